//! Message heads: read strictly, judged, and written anew (RFC 9110, RFC 9112).
//!
//! Nothing of a peer's head is passed on as it came. A head is parsed into a borrowed view that
//! says all that the proxy decides on; what is forwarded is serialised from that view. Whatever
//! two parsers could read in two ways is refused.

use std::fmt::{self, Write};

use crate::buf::Buf;
use crate::http::body::Framing;

/// Bytes that a head may have: `X-Registry-Config` and `X-Registry-Auth` are long.
pub const MAX_HEAD: usize = 64 * 1024;

/// Fields that a head may have.
const MAX_FIELDS: usize = 100;

/// Fields that concern one connection only (RFC 9110 §7.6.1) or that are written anew; those that
/// `Connection` names are added to them.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields of a request that end here: they are for this proxy, not for Docker.
const ENDS_HERE: [&str; 3] = ["authorization", "host", "proxy-authorization"];

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// The head has more bytes or fields than allowed: 431.
    TooLarge,
    /// The head breaks the grammar or is ambiguous: 400.
    Malformed(&'static str),
    /// HTTP of a version that is not spoken here: 505.
    Version,
    /// An expectation other than `100-continue`: 417.
    Expectation,
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeadError::TooLarge => write!(
                f,
                "the head has more than {MAX_HEAD} bytes or {MAX_FIELDS} fields"
            ),
            HeadError::Malformed(what) => f.write_str(what),
            HeadError::Version => f.write_str("only HTTP/1.0 and HTTP/1.1 are spoken here"),
            HeadError::Expectation => f.write_str("the only expectation is 100-continue"),
        }
    }
}

impl std::error::Error for HeadError {}

/// Finds the end of a head, however many reads it takes, looking at no byte twice.
#[derive(Debug, Default)]
pub struct HeadFinder {
    searched: usize,
}

impl HeadFinder {
    /// Whether no byte has been seen yet.
    pub fn is_fresh(&self) -> bool {
        self.searched == 0
    }

    /// The length of the head at the start of `input`, its empty line included; `None` while that
    /// line has not come.
    ///
    /// # Errors
    /// Too large already, or a line that does not end in CRLF (RFC 9112 §2.2 lets a recipient
    /// accept a bare LF; two that disagree on it can be made to see different messages).
    pub fn find(&mut self, input: &[u8]) -> Result<Option<usize>, HeadError> {
        let mut from = self.searched;
        while let Some(offset) = input.get(from..).and_then(find_line_feed) {
            let end = from + offset + 1;
            match input.get(..end) {
                Some(head) if head.ends_with(b"\r\n\r\n") => {
                    self.searched = 0;
                    return if end > MAX_HEAD {
                        Err(HeadError::TooLarge)
                    } else {
                        Ok(Some(end))
                    };
                }
                Some(head) if head.ends_with(b"\r\n") => from = end,
                _ => return Err(HeadError::Malformed("a line does not end in CRLF")),
            }
        }
        self.searched = input.len();
        if input.len() >= MAX_HEAD {
            return Err(HeadError::TooLarge);
        }
        Ok(None)
    }
}

fn find_line_feed(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n')
}

/// HTTP/1's two versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunked coding, no `1xx`, closed unless asked otherwise.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// The fields of a head, in their order, borrowed from the bytes that came.
struct Fields<'b> {
    list: [httparse::Header<'b>; MAX_FIELDS],
    count: usize,
}

impl<'b> Fields<'b> {
    fn new() -> Fields<'b> {
        Fields {
            list: [httparse::EMPTY_HEADER; MAX_FIELDS],
            count: 0,
        }
    }

    fn iter(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + '_ {
        self.list
            .iter()
            .take(self.count)
            .map(|field| (field.name, field.value))
    }

    /// All values of the field called `name` (in lower case).
    fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'b [u8]> + 's {
        self.iter()
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The only value of a field that may come once.
    fn single(
        &self,
        name: &'static str,
        twice: &'static str,
    ) -> Result<Option<&'b [u8]>, HeadError> {
        let mut values = self.values(name);
        let first = values.next();
        match values.next() {
            Some(_) => Err(HeadError::Malformed(twice)),
            None => Ok(first),
        }
    }

    /// Whether a comma-separated list field holds `token`, in any case.
    fn lists(&self, name: &'static str, token: &str) -> bool {
        self.values(name)
            .flat_map(list_members)
            .any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Whether a field is for this connection only, by its nature or because `Connection` names it.
    fn is_hop_by_hop(&self, name: &str) -> bool {
        HOP_BY_HOP.iter().any(|hop| name.eq_ignore_ascii_case(hop))
            || self.lists("connection", name)
    }

    /// Steps 1 to 5 of RFC 9112 §6.3 that requests and answers share: what the fields themselves
    /// say of the body's length.
    fn framing(&self, version: Version) -> Result<Option<Framing>, HeadError> {
        let length = self.single("content-length", "more than one Content-Length")?;
        let coding = self.single("transfer-encoding", "more than one Transfer-Encoding")?;
        match (coding, length) {
            (Some(_), Some(_)) => Err(HeadError::Malformed(
                "both Transfer-Encoding and Content-Length",
            )),
            (Some(_), None) if version == Version::Http10 => {
                Err(HeadError::Malformed("Transfer-Encoding with HTTP/1.0"))
            }
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Some(Framing::Chunked))
            }
            (Some(_), None) => Err(HeadError::Malformed(
                "a Transfer-Encoding other than chunked",
            )),
            (None, Some(length)) => parse_length(length).map(|n| Some(Framing::Length(n))),
            (None, None) => Ok(None),
        }
    }

    /// Whether the connection outlives this message (RFC 9112 §9.3).
    fn keeps_alive(&self, version: Version) -> bool {
        match version {
            _ if self.lists("connection", "close") => false,
            Version::Http11 => true,
            Version::Http10 => self.lists("connection", "keep-alive"),
        }
    }

    /// The protocol of an `Upgrade` that `Connection` confirms (RFC 9110 §7.8).
    fn upgrade(&self) -> Result<Option<&'b str>, HeadError> {
        let protocol = self.single("upgrade", "more than one Upgrade")?;
        match protocol.map(std::str::from_utf8) {
            Some(Ok(protocol)) if self.lists("connection", "upgrade") => Ok(Some(protocol)),
            Some(Err(_)) => Err(HeadError::Malformed("Upgrade is not text")),
            _ => Ok(None),
        }
    }
}

/// The members of a comma-separated list (RFC 9110 §5.6.1), empty ones left out.
fn list_members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(|member| member.trim_ascii())
        .filter(|member| !member.is_empty())
}

/// `Content-Length = 1*DIGIT`: no sign, no space, no list.
fn parse_length(value: &[u8]) -> Result<u64, HeadError> {
    const BAD: HeadError = HeadError::Malformed("bad Content-Length");
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(BAD);
    }
    std::str::from_utf8(value)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or(BAD)
}

fn version(minor: Option<u8>) -> Result<Version, HeadError> {
    match minor {
        Some(0) => Ok(Version::Http10),
        Some(1) => Ok(Version::Http11),
        _ => Err(HeadError::Version),
    }
}

/// What httparse says, in this module's words.
fn parse_failure(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::TooManyHeaders => HeadError::TooLarge,
        httparse::Error::Version => HeadError::Version,
        httparse::Error::HeaderName => HeadError::Malformed("bad field name"),
        httparse::Error::HeaderValue => HeadError::Malformed("bad field value"),
        _ => HeadError::Malformed("bad start line"),
    }
}

/// A request's head.
pub struct RequestHead<'b> {
    /// The method, a token in its own case.
    pub method: &'b str,
    /// The target in origin form: path and query.
    pub target: &'b str,
    /// What the client speaks.
    pub version: Version,
    /// Where the body ends: never [`Framing::UntilClose`].
    pub framing: Framing,
    /// Whether the client wants the connection kept.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before the body.
    pub expects_continue: bool,
    /// The protocol that the client offers to change to.
    pub upgrade: Option<&'b str>,
    /// The value of `Authorization`.
    pub authorization: Option<&'b [u8]>,
    authority: &'b [u8],
    fields: Fields<'b>,
}

impl<'b> RequestHead<'b> {
    /// Parses `head`, which [`HeadFinder`] has measured.
    ///
    /// # Errors
    /// The head is refused; see [`HeadError`] for the status that says so.
    pub fn parse(head: &'b [u8]) -> Result<RequestHead<'b>, HeadError> {
        let mut fields = Fields::new();
        let mut parsed = httparse::Request::new(&mut fields.list);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err(HeadError::Malformed("bad start line")),
            Err(error) => return Err(parse_failure(error)),
        }
        let (method, target) = (
            parsed.method.unwrap_or_default(),
            parsed.path.unwrap_or_default(),
        );
        let version = version(parsed.version)?;
        fields.count = parsed.headers.len();

        let host = fields.single("host", "more than one Host")?;
        if host.is_none() && version == Version::Http11 {
            return Err(HeadError::Malformed("no Host"));
        }
        let (authority, target) = split_target(target)?;
        let upgrade = match version {
            Version::Http10 => None, // RFC 9110 §7.8: to be ignored
            Version::Http11 => fields.upgrade()?,
        };
        Ok(RequestHead {
            method,
            target,
            version,
            framing: fields.framing(version)?.unwrap_or(Framing::None),
            keep_alive: fields.keeps_alive(version),
            expects_continue: expects_continue(&fields, version)?,
            upgrade,
            authorization: fields.single("authorization", "more than one Authorization")?,
            authority: authority.or(host).unwrap_or(b"localhost"),
            fields,
        })
    }

    /// Writes the canonical form for Docker: origin form, HTTP/1.1, no field that ends here.
    pub fn write_canonical(&self, out: &mut Buf) {
        let mut out = HeadWriter(out);
        out.text(self.method)
            .text(" ")
            .text(self.target)
            .text(" HTTP/1.1\r\n");
        out.field("Host", self.authority);
        for (name, value) in self.fields.iter() {
            let ends_here = ENDS_HERE.iter().any(|end| name.eq_ignore_ascii_case(end));
            if !ends_here && !self.fields.is_hop_by_hop(name) {
                out.field(name, value);
            }
        }
        out.framing(self.framing);
        if let Some(protocol) = self.upgrade {
            out.field("Connection", b"Upgrade");
            out.field("Upgrade", protocol.as_bytes());
        }
        out.text("\r\n");
    }

    /// The bytes that [`write_canonical`](Self::write_canonical) may need for a head of `length`.
    pub fn canonical_bound(length: usize) -> usize {
        // The longest that is added: Host, framing with 20 digits, Connection and Upgrade lines.
        length + 256
    }
}

/// `Expect` (RFC 9110 §10.1.1); an HTTP/1.0 client's is to be ignored.
fn expects_continue(fields: &Fields<'_>, version: Version) -> Result<bool, HeadError> {
    match fields.single("expect", "more than one Expect")? {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case(b"100-continue") => {
            Ok(version == Version::Http11)
        }
        Some(_) => Err(HeadError::Expectation),
    }
}

/// Splits a request target into the authority of an absolute form (RFC 9112 §3.2.2; the manager
/// sends it) and the origin form. The asterisk and authority forms have no meaning to Docker.
fn split_target(target: &str) -> Result<(Option<&[u8]>, &str), HeadError> {
    if !target
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    {
        return Err(HeadError::Malformed("a forbidden character in the target"));
    }
    if target.starts_with('/') {
        return Ok((None, target));
    }
    let (scheme, rest) = target
        .split_once("://")
        .ok_or(HeadError::Malformed("the target is not a path or URL"))?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(HeadError::Malformed(
            "the target's scheme is not http or https",
        ));
    }
    let slash = rest
        .find('/')
        .ok_or(HeadError::Malformed("the target has no path"))?;
    let (authority, path) = rest.split_at(slash);
    if authority.is_empty() || authority.contains(['?', '@']) {
        return Err(HeadError::Malformed(
            "the target's authority is not host[:port]",
        ));
    }
    Ok((Some(authority.as_bytes()), path))
}

/// An answer's head.
pub struct ResponseHead<'b> {
    /// 100 to 999.
    pub status: u16,
    /// Where the body ends, given the request's method.
    pub framing: Framing,
    /// Whether Docker keeps the connection.
    pub keep_alive: bool,
    /// The protocol that a `101` changes to.
    pub upgrade: Option<&'b str>,
    /// The value of `Content-Type`.
    pub content_type: &'b [u8],
    reason: &'b str,
    /// A `Content-Length` that describes a body which is not sent (HEAD, 304).
    described_length: Option<u64>,
    fields: Fields<'b>,
}

impl<'b> ResponseHead<'b> {
    /// Parses `head`, which [`HeadFinder`] has measured, as the answer to a request with `method`.
    ///
    /// # Errors
    /// The answer is malformed; the client is told 502.
    pub fn parse(head: &'b [u8], method: &str) -> Result<ResponseHead<'b>, HeadError> {
        let mut fields = Fields::new();
        let mut parsed = httparse::Response::new(&mut fields.list);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err(HeadError::Malformed("bad status line")),
            Err(error) => return Err(parse_failure(error)),
        }
        let version = version(parsed.version)?;
        let status = parsed.code.unwrap_or_default();
        let reason = parsed.reason.unwrap_or_default();
        fields.count = parsed.headers.len();
        if status < 100 {
            return Err(HeadError::Malformed("bad status code"));
        }

        let declared = fields.framing(version)?;
        let content_type = fields.values("content-type").next().unwrap_or_default();
        Ok(ResponseHead {
            status,
            framing: answer_framing(status, method, declared),
            keep_alive: fields.keeps_alive(version),
            upgrade: fields.upgrade()?,
            content_type,
            reason,
            described_length: match declared {
                Some(Framing::Length(length)) => Some(length),
                _ => None,
            },
            fields,
        })
    }

    /// Whether this is an interim answer, after which the final one is still to come.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// Writes the head for the client, with `framing` and `connection` as they are on that side.
    pub fn write(&self, out: &mut Buf, framing: Framing, connection: Connection<'_>) {
        let mut out = HeadWriter(out);
        let _ = write!(out.0, "HTTP/1.1 {} ", self.status);
        out.text(self.reason).text("\r\n");
        for (name, value) in self.fields.iter() {
            if !self.fields.is_hop_by_hop(name) {
                out.field(name, value);
            }
        }
        match (framing, self.described_length) {
            (Framing::None, Some(length)) if self.may_describe_length() => {
                out.framing(Framing::Length(length));
            }
            _ => out.framing(framing),
        }
        match connection {
            Connection::Keep => {}
            Connection::KeepTold => out.field("Connection", b"keep-alive"),
            Connection::Close => out.field("Connection", b"close"),
            Connection::Upgrade(protocol) => {
                out.field("Connection", b"Upgrade");
                out.field("Upgrade", protocol.as_bytes());
            }
        }
        out.text("\r\n");
    }

    /// RFC 9110 §8.6: no `Content-Length` in a 1xx or a 204.
    fn may_describe_length(&self) -> bool {
        self.status >= 200 && self.status != 204
    }
}

/// The steps of RFC 9112 §6.3 in their order, for an answer.
fn answer_framing(status: u16, method: &str, declared: Option<Framing>) -> Framing {
    match (status, declared) {
        // 1. HEAD, 1xx, 204 and 304 have no body.
        _ if method == "HEAD" => Framing::None,
        (100..=199 | 204 | 304, _) => Framing::None,
        // 2. CONNECT is never forwarded as such. 3. to 6. Transfer-Encoding, Content-Length.
        (_, Some(framing)) => framing,
        // 8. Otherwise the body ends with the connection.
        (_, None) => Framing::UntilClose,
    }
}

/// What an answer tells the client of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection<'a> {
    /// Kept, as HTTP/1.1 implies.
    Keep,
    /// Kept, said aloud: an HTTP/1.0 client asked for it.
    KeepTold,
    /// Closed after this answer.
    Close,
    /// Changed to another protocol.
    Upgrade(&'a str),
}

/// Writes the lines of a head; the buffer's limit has been chosen for the whole.
struct HeadWriter<'a>(&'a mut Buf);

impl HeadWriter<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.put(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn field(&mut self, name: &str, value: &[u8]) {
        self.text(name).text(": ").bytes(value).text("\r\n");
    }

    fn framing(&mut self, framing: Framing) {
        match framing {
            Framing::Length(length) => {
                let _ = write!(self.0, "Content-Length: {length}\r\n");
            }
            Framing::Chunked => self.field("Transfer-Encoding", b"chunked"),
            Framing::None | Framing::UntilClose => {}
        }
    }
}

#[cfg(test)]
mod tests {
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
}
