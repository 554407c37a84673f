use super::*;

fn request(head: &str) -> Result<String, HeadError> {
    let found = HeadFinder::default()
        .find(head.as_bytes())?
        .expect("a whole head");
    assert_eq!(found, head.len());
    canonical(head, HeadLimits::default())
}

/// What goes on of a head, written into no more room than it says to need.
fn canonical(head: &str, limits: HeadLimits) -> Result<String, HeadError> {
    let parsed = RequestHead::parse(head.as_bytes(), limits)?;
    let mut out = Buf::new(parsed.canonical_room());
    parsed.write_canonical(parsed.target, "", &mut out)?;
    Ok(String::from_utf8(out.data().to_vec()).unwrap())
}

fn answer(head: &str, method: &str) -> Result<(String, Framing), HeadError> {
    HeadFinder::default()
        .find(head.as_bytes())?
        .expect("a whole head");
    let parsed = ResponseHead::parse(head.as_bytes(), method == "HEAD")?;
    let mut out = Buf::new(MAX_HEAD * 2);
    parsed.write(&mut out, parsed.framing, Connection::Keep)?;
    let written = String::from_utf8(out.data().to_vec()).unwrap();
    Ok((written, parsed.framing))
}

/// The end is found at the same place whole, byte by byte, and with trailing bytes.
fn find_in_steps(input: &[u8]) -> Result<Option<usize>, HeadError> {
    let whole = HeadFinder::default().find(input);
    let mut finder = HeadFinder::default();
    let mut stepwise = Ok(None);
    for end in 1..=input.len() {
        stepwise = finder.find(&input[..end]);
        if !matches!(stepwise, Ok(None)) {
            break;
        }
    }
    assert_eq!(whole, stepwise, "{:?}", String::from_utf8_lossy(input));
    if let Ok(Some(length)) = whole {
        let trailing = [&input[..length], b"\nX\r\n\r\n"].concat();
        assert_eq!(HeadFinder::default().find(&trailing), Ok(Some(length)));
    }
    whole
}

#[test]
fn finds_the_end_of_a_head() {
    assert_eq!(find_in_steps(b"GET / HTTP/1.1\r\n\r\n"), Ok(Some(18)));
    assert_eq!(
        find_in_steps(b"GET / HTTP/1.1\r\nA: b\r\n\r\nbody"),
        Ok(Some(24))
    );
    assert_eq!(find_in_steps(b"GET / HTTP/1.1\r\nA: b\r\n"), Ok(None));
    assert_eq!(find_in_steps(b""), Ok(None));
    for bare in [
        &b"GET / HTTP/1.1\n\n"[..],
        b"GET / HTTP/1.1\r\nA: b\n\r\n",
        b"\n",
        b"GET / HTTP/1.1\r\n\n",
    ] {
        let found = find_in_steps(bare);
        assert!(matches!(found, Err(HeadError::Malformed(_))), "{bare:?}");
    }
    let long = [&b"GET / HTTP/1.1\r\nA: "[..], &vec![b'x'; MAX_HEAD]].concat();
    assert_eq!(
        HeadFinder::default().find(&long),
        Err(HeadError::TooLarge(HeadLimits::default()))
    );
}

#[test]
fn writes_the_canonical_request() {
    assert_eq!(
        request(
            "GET /v1.41/info?x=%20 HTTP/1.1\r\nHost: node:8771\r\nUser-Agent: Docker-Client\r\n\
             Authorization: Basic eA==\r\n\r\n"
        )
        .unwrap(),
        "GET /v1.41/info?x=%20 HTTP/1.1\r\nHost: node:8771\r\nUser-Agent: Docker-Client\r\n\r\n"
    );
}

#[test]
fn the_managers_absolute_form_becomes_origin_form() {
    assert_eq!(
        request(
            "GET https://10.0.0.5:8771/containers/json?all=1 HTTP/1.1\r\nHost: 10.0.0.5\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .unwrap(),
        "GET /containers/json?all=1 HTTP/1.1\r\nHost: 10.0.0.5:8771\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn hop_by_hop_fields_stay_here() {
    assert_eq!(
        request(
            "POST /x HTTP/1.1\r\nHost: a\r\nConnection: X-Private, keep-alive\r\nX-Private: 1\r\n\
             Keep-Alive: 5\r\nTE: trailers\r\nTrailer: A\r\nProxy-Authorization: x\r\n\
             Transfer-Encoding: Chunked\r\nX-Registry-Auth: e30=\r\n\r\n"
        )
        .unwrap(),
        "POST /x HTTP/1.1\r\nHost: a\r\nX-Registry-Auth: e30=\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
}

#[test]
fn an_upgrade_is_restored_only_when_connection_confirms_it() {
    assert_eq!(
        request(
            "POST /exec/x/start HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
             Content-Length: 2\r\n\r\n"
        )
        .unwrap(),
        "POST /exec/x/start HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\
         Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    );
    assert_eq!(
        request("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n").unwrap(),
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    );
    assert_eq!(
        request("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n").unwrap(),
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    );
}

#[test]
fn ambiguous_and_malformed_requests_are_refused() {
    let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length:",
        "Content-Length: 18446744073709551616",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding:",
        "Transfer-Encoding : chunked",
        "A: b\r\n folded: c",
        " A: b",
        "A b",
        ": b",
        "A: b\rc",
        "A: \0",
        "A\u{e9}: b",
        "Host: b",
        "Authorization: Basic eA==\r\nAuthorization: Basic eQ==",
        "Upgrade: a\r\nUpgrade: b\r\nConnection: upgrade",
        "Expect: 100-continue\r\nExpect: 100-continue",
    ] {
        let outcome = request(&with(fields));
        assert!(
            matches!(outcome, Err(HeadError::Malformed(_))),
            "{fields:?}: {outcome:?}"
        );
    }
    for line in [
        "GET  / HTTP/1.1",
        "GET /",
        "GET / HTTP/1.1 ",
        "/ HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET * HTTP/1.1",
        "CONNECT a:80 HTTP/1.1",
        "GET a/b HTTP/1.1",
        "GET ftp://a/b HTTP/1.1",
        "GET http://a HTTP/1.1",
        "GET http:///b HTTP/1.1",
        "GET http://u@a/b HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /a\tb HTTP/1.1",
    ] {
        let outcome = request(&format!("{line}\r\nHost: a\r\n\r\n"));
        assert!(
            matches!(outcome, Err(HeadError::Malformed(_))),
            "{line:?}: {outcome:?}"
        );
    }
    assert_eq!(
        request("GET / HTTP/1.1\r\n\r\n"),
        Err(HeadError::Malformed("no Host"))
    );
    assert_eq!(
        request("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Err(HeadError::Malformed("Transfer-Encoding with HTTP/1.0"))
    );
    assert_eq!(request(&with("Expect: tea")), Err(HeadError::Expectation));
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9"] {
        let outcome = request(&format!("GET / {version}\r\nHost: a\r\n\r\n"));
        assert_eq!(outcome, Err(HeadError::Version), "{version}");
    }
    let many = "A: b\r\n".repeat(MAX_FIELDS + 1);
    assert_eq!(
        request(&with(many.trim_end())),
        Err(HeadError::TooLarge(HeadLimits::default()))
    );
}

#[test]
fn limits_are_those_that_are_given() {
    let limits = HeadLimits {
        bytes: 100,
        fields: 3,
    };
    let find = |input: &[u8]| HeadFinder::within(limits).find(input);
    let head = |fields: usize, length: usize| {
        let plain = format!(
            "GET /{{}} HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "A: b\r\n".repeat(fields)
        );
        let path = "x".repeat(length.saturating_sub(plain.len() - 2));
        plain.replace("{}", &path)
    };
    assert_eq!(find(head(0, 100).as_bytes()), Ok(Some(100)));
    let refused = HeadError::TooLarge(limits);
    assert_eq!(find(head(0, 101).as_bytes()), Err(refused));
    assert_eq!(find(&head(0, 200).as_bytes()[..100]), Err(refused));
    assert!(RequestHead::parse(head(2, 0).as_bytes(), limits).is_ok());
    let long = head(3, 0);
    let parsed = RequestHead::parse(long.as_bytes(), limits);
    assert_eq!(parsed.err(), Some(refused));
    assert_eq!(
        refused.to_string(),
        "the head has more than 100 bytes or 3 fields"
    );
}

/// A request with these fields.
fn bearing(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")
}

#[test]
fn connection_has_a_hundred_members_and_not_more() {
    let of = |members: &str| request(&bearing(&format!("A: b\r\nConnection: {members}")));
    let refused = Err(HeadError::Malformed("too many members of Connection"));
    assert!(of(&"a,".repeat(MAX_MEMBERS - 1)).is_ok_and(|head| !head.contains("A: b")));
    assert_eq!(of(&"a,".repeat(MAX_MEMBERS)), refused);
    assert_eq!(
        of(&",".repeat(MAX_MEMBERS)),
        refused,
        "empty ones cost as much"
    );
    // Over all fields, and with the 32,000 that a head has room for.
    let halves = "a,".repeat(MAX_MEMBERS / 2);
    assert_eq!(of(&format!("{halves}\r\nConnection: {halves}")), refused);
    assert_eq!(of(&"a,".repeat(32_000)), refused);
}

#[test]
fn what_connection_names_stays_here_however_it_is_spelled() {
    let fields = "A: 1\r\nB:  2\r\nConnection: x, b\r\nX: 3\r\nconnection: C\r\nc: 4\r\nD: 5";
    let head = request(&bearing(fields)).unwrap();
    assert!(head.contains("\r\nA: 1\r\nD: 5\r\n"), "{head}");
    for line in ["B:", "X:", "c:", "onnection:"] {
        assert!(!head.contains(line), "{head}");
    }
}

#[test]
fn an_answers_body_ends_where_the_rfc_says() {
    for (head, method, framing) in [
        ("200 OK\r\nContent-Length: 5", "GET", Framing::Length(5)),
        (
            "200 OK\r\nTransfer-Encoding: chunked",
            "GET",
            Framing::Chunked,
        ),
        ("200 OK", "GET", Framing::UntilClose),
        ("200 OK\r\nContent-Length: 5", "HEAD", Framing::None),
        (
            "304 Not Modified\r\nContent-Length: 5",
            "GET",
            Framing::None,
        ),
        ("204 No Content", "POST", Framing::None),
        (
            "101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp",
            "POST",
            Framing::None,
        ),
    ] {
        let (_, found) = answer(&format!("HTTP/1.1 {head}\r\n\r\n"), method).unwrap();
        assert_eq!(found, framing, "{head:?}");
    }
}

#[test]
fn answers_are_written_anew() {
    for (head, method, expected) in [
        (
            "200 OK\r\nApi-Version: 1.41\r\nConnection: close\r\nKeep-Alive: 1\r\nContent-Length: 5",
            "GET",
            "200 OK\r\nApi-Version: 1.41\r\nContent-Length: 5",
        ),
        (
            "200 OK\r\nContent-Length: 5",
            "HEAD",
            "200 OK\r\nContent-Length: 5",
        ),
        ("204 No Content", "GET", "204 No Content"),
        ("404 ", "GET", "404 "),
    ] {
        let (written, _) = answer(&format!("HTTP/1.1 {head}\r\n\r\n"), method).unwrap();
        assert_eq!(written, format!("HTTP/1.1 {expected}\r\n\r\n"));
    }
}

#[test]
fn malformed_answers_are_refused() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5",
        "HTTP/1.1 200 OK\r\nContent-Length: -5",
        "HTTP/1.1 200 OK\r\nA: b\r\n c: d",
        "HTTP/1.1 200 OK\r\nA : b",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 099 OK",
        "ICY 200 OK",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked",
        "HTTP/2.0 200 OK",
    ] {
        assert!(
            answer(&format!("{head}\r\n\r\n"), "GET").is_err(),
            "{head:?}"
        );
    }
}

/// What a parser read: start line, then fields; `None` where it refused.
type Read = Option<(Vec<String>, Vec<(Vec<u8>, Vec<u8>)>)>;

fn fields_left(mut reader: Reader<'_>) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut fields = Vec::new();
    while let Some(field) = reader.field().ok()? {
        fields.push((field.name.to_vec(), field.value.to_vec()));
    }
    reader.rest().is_empty().then_some(fields)
}

fn request_as_read_here(head: &[u8]) -> Read {
    let mut reader = Reader::new(head);
    let line = reader.request_line().ok()?;
    let version = (line.version == Version::Http11) as u8;
    let start = [line.method, line.target, &version.to_string()];
    Some((start.map(str::to_owned).to_vec(), fields_left(reader)?))
}

fn answer_as_read_here(head: &[u8]) -> Read {
    let mut reader = Reader::new(head);
    let line = reader.status_line().ok()?;
    let version = (line.version == Version::Http11) as u8;
    let reason = String::from_utf8(line.reason.to_vec()).unwrap();
    let start = vec![version.to_string(), line.status.to_string(), reason];
    Some((start, fields_left(reader)?))
}

fn owned(fields: &[httparse::Header<'_>]) -> Vec<(Vec<u8>, Vec<u8>)> {
    (fields.iter())
        .map(|field| (field.name.into(), field.value.into()))
        .collect()
}

fn request_as_httparse_reads_it(head: &[u8]) -> Read {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    let outcome = parsed.parse(head).ok()?;
    // Stricter here: what RFC 3986 does not have in a path or query, and a fragment.
    let target = parsed
        .path
        .filter(|path| path.is_ascii() && !path.contains('#'));
    let start = [
        parsed.method?,
        target?,
        &parsed.version.unwrap().to_string(),
    ];
    (outcome == httparse::Status::Complete(head.len()))
        .then(|| (start.map(str::to_owned).to_vec(), owned(parsed.headers)))
}

fn answer_as_httparse_reads_it(head: &[u8]) -> Read {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let outcome = parsed.parse(head).ok()?;
    let reason = parsed.reason?.to_owned();
    let start = vec![
        parsed.version?.to_string(),
        parsed.code?.to_string(),
        reason,
    ];
    (outcome == httparse::Status::Complete(head.len())).then(|| (start, owned(parsed.headers)))
}

#[test]
fn heads_are_read_as_httparse_reads_them() {
    const HEADS: [&[u8]; 6] = [
        b"GET /v1.41/info?x=%20 HTTP/1.1\r\nHost: node:8771\r\nX-Long-Name: some words, \"more\"\r\n\r\n",
        b"\r\nDELETE / HTTP/1.0\r\na:b\r\nEmpty:\r\nSpaces: \t \r\nTrailing: x \t\r\n\r\n",
        b"POST http://a/b HTTP/1.1\r\nA:\tx\ty\xe9\xff z\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n",
        b"HTTP/1.0 404\r\n\r\n",
        b"\r\nHTTP/1.1 999 caf\xe9\tau lait\r\nServer: Docker/1 (linux)\r\nA:b\r\n\r\n",
    ];
    const INSERTED: &[u8] = b"\r\n\t :/#?\0\x0b\x0c\x1f\x7f\x80\xff\"(),;<=>@[]{}~!A0.";
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    let (mut read, mut refused) = (0, 0);
    let rounds = if cfg!(miri) { 300 } else { 60_000 };
    for round in 0..rounds {
        let mut head = HEADS[round % HEADS.len()].to_vec();
        for _ in 0..random(4) {
            let at = random(head.len());
            match random(4) {
                0 => drop(head.remove(at)),
                1 => head[at] = random(256) as u8,
                2 => head[at] = INSERTED[random(INSERTED.len())],
                _ => head.insert(at, INSERTED[random(INSERTED.len())]),
            }
        }
        // A bare LF, which httparse takes, is refused before.
        let Ok(Some(length)) = HeadFinder::default().find(&head) else {
            continue;
        };
        let head = &head[..length];
        let shown = String::from_utf8_lossy(head);
        let request = request_as_read_here(head);
        assert_eq!(request, request_as_httparse_reads_it(head), "{shown:?}");
        let answer = answer_as_read_here(head);
        assert_eq!(answer, answer_as_httparse_reads_it(head), "{shown:?}");
        match request.or(answer) {
            Some(_) => read += 1,
            None => refused += 1,
        }
    }
    let many = rounds / 6;
    assert!(read > many && refused > many, "{read}, {refused}");
}

#[test]
fn what_goes_on_is_written_in_one_form() {
    let expected = "GET / HTTP/1.1\r\nHost: a\r\nOne: 1\r\nTwo: 2\r\nThree: 3\r\nEmpty: \r\n\r\n";
    for fields in [
        "One: 1\r\nHost: a\r\nTwo: 2\r\nTE: x\r\nThree: 3\r\nEmpty: ",
        "Host:a\r\nOne:1\r\nTwo:\t2\r\nThree:  3\r\nEmpty:",
        "One: 1 \r\nTwo: \t2\t\r\nkeep-alive: x\r\nThree: 3\r\nHost: a\r\nEmpty: \t ",
        "Connection: x-Y\r\nX-Y: 1\r\nOne: 1\r\nTwo: 2\r\nx-y: 2\r\nThree: 3\r\nHost: a\r\nEmpty:",
    ] {
        let written = request(&format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n"));
        assert_eq!(written.as_deref(), Ok(expected), "{fields:?}");
    }
}

#[test]
fn what_is_added_to_a_head_is_bounded() {
    // Each field grows by a space, and a Host is added.
    for count in [0, 1, MAX_FIELDS, 999] {
        let many = "A:\r\n".repeat(count);
        let limits = HeadLimits {
            fields: 1000,
            ..HeadLimits::default()
        };
        let head = format!("GET / HTTP/1.0\r\n{many}Content-Length:9\r\n\r\n");
        let written = canonical(&head, limits).unwrap();
        assert_eq!(written.matches("A: \r\n").count(), count);
        assert!(written.ends_with("\r\nContent-Length: 9\r\n\r\n"));
    }
    // Every other one goes on: more runs than are kept.
    let runs = "Te:x\r\nA: b\r\n".repeat(MAX_FIELDS / 2);
    let written = request(&format!("GET / HTTP/1.0\r\n{runs}\r\n")).unwrap();
    assert_eq!(written.matches("A: b\r\n").count(), MAX_FIELDS / 2);
    let length = "Content-Length: 18446744073709551615\r\n";
    let written = request(&format!("GET / HTTP/1.0\r\n{length}\r\n")).unwrap();
    assert!(written.contains(length), "{written}");
}

/// A head without its last field or two would be another message, whose body is the next request.
#[test]
fn a_head_for_which_there_is_no_room_is_not_written_at_all() {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
    let parsed = RequestHead::parse(head, HeadLimits::default()).unwrap();
    for room in 0..head.len() {
        let mut out = Buf::new(room);
        let result = parsed.write_canonical("/", "", &mut out);
        assert_eq!((result, out.len()), (Err(HeadError::NoRoom), 0), "{room}");
    }
    let mut out = Buf::new(head.len());
    parsed.write_canonical("/", "", &mut out).unwrap();
    assert_eq!(out.data(), head);
}

#[test]
fn what_ends_at_the_proxy_in_a_request_may_pass_in_an_answer() {
    let fields = "Host: a\r\nAuthorization: b\r\nProxy-Authorization: c\r\nExpect: d\r\n";
    let (written, _) = answer(
        &format!("HTTP/1.1 204 No Content\r\n{fields}{fields}Proxy-Authenticate: e\r\n\r\n"),
        "GET",
    )
    .unwrap();
    assert_eq!(
        written,
        format!("HTTP/1.1 204 No Content\r\n{fields}{fields}\r\n")
    );
}

#[test]
fn names_are_known_in_any_case_and_only_whole() {
    for name in [
        "te",
        "close",
        "trailer",
        "upgrade",
        "keep-alive",
        "connection",
        "content-length",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
    ] {
        let upper = name.to_ascii_uppercase();
        let written = request(&format!("GET / HTTP/1.0\r\n{name}: 1\r\n\r\n")).unwrap();
        let cased = request(&format!("GET / HTTP/1.0\r\n{upper}: 1\r\n\r\n")).unwrap();
        assert_eq!(written, cased);
        assert!(!written.contains(&format!("\r\n{name}")), "{written}");
        // As long as a known name, but another one.
        let other = format!("{}x: 1\r\n", &name[..name.len() - 1]);
        let written = request(&format!("GET / HTTP/1.0\r\n{other}\r\n")).unwrap();
        assert!(written.contains(&other), "{written}");
    }
}
