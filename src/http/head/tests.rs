use super::*;

fn request(head: &str) -> Result<String, HeadError> {
    let found = HeadFinder::default()
        .find(head.as_bytes())?
        .expect("a whole head");
    assert_eq!(found, head.len());
    let parsed = RequestHead::parse(head.as_bytes())?;
    let mut out = Buf::new(MAX_HEAD * 2);
    parsed.write_canonical(&mut out);
    assert!(
        out.len() <= RequestHead::canonical_bound(head.len()),
        "{head:?}"
    );
    Ok(String::from_utf8(out.data().to_vec()).unwrap())
}

fn answer(head: &str, method: &str) -> Result<(String, Framing), HeadError> {
    HeadFinder::default()
        .find(head.as_bytes())?
        .expect("a whole head");
    let parsed = ResponseHead::parse(head.as_bytes(), method)?;
    let mut out = Buf::new(MAX_HEAD * 2);
    parsed.write(&mut out, parsed.framing, Connection::Keep);
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
    assert_eq!(HeadFinder::default().find(&long), Err(HeadError::TooLarge));
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
    assert_eq!(request(&with(many.trim_end())), Err(HeadError::TooLarge));
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
