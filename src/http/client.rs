//! A small blocking client: one request, one answer, over any `Read + Write`.
//!
//! Sans sockets: who calls brings the stream, and with it the deadline. Everything that is read is
//! bounded, and an answer that is not whole is an error, never a shorter answer.

use super::body::{ChunkDecoder, ChunkError, Framing, Part};
use super::head::{Reader, Version};
use std::fmt;
use std::io::{self, Read, Write};

/// The most bytes of an answer's head.
const MAX_HEAD: usize = 16 * 1024;
/// The most fields of an answer's head.
const MAX_FIELDS: usize = 64;
/// The most interim answers (1xx) that are skipped.
const MAX_INTERIM: usize = 8;
/// How much is read at a time.
const READ_SIZE: usize = 8 * 1024;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// Path and query, in origin form (RFC 9112 §3.2.1).
    pub target: &'a str,
    /// The value of `Host`.
    pub host: &'a str,
    /// Fields besides `Host`, `Connection` and `Content-Length`, which are always written.
    pub headers: &'a [(&'a str, &'a str)],
    /// Empty where there is none.
    pub body: &'a [u8],
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 200 to 599.
    pub status: u16,
    /// Names as they were sent; values with what is not UTF-8 replaced.
    pub headers: Vec<(String, String)>,
    /// Decoded from its framing.
    pub body: Vec<u8>,
}

impl Response {
    /// The first field of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// The request would not be one: which part, and never its content.
    BadRequest(&'static str),
    /// The request could not be sent.
    Send(io::Error),
    /// The answer could not be read.
    Receive(io::Error),
    /// The stream's deadline passed.
    TimedOut,
    /// The peer closed without a byte of an answer.
    NoAnswer,
    /// The peer closed inside the answer.
    CutShort,
    /// The answer's head is longer than any that is expected.
    HeadTooLarge,
    /// The answer's body is longer than allowed, which is this many bytes.
    BodyTooLarge(usize),
    /// The answer's chunked body is malformed.
    Chunked(ChunkError),
    /// What came is not an HTTP/1.1 answer.
    NotHttp(&'static str),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::BadRequest(part) => {
                write!(
                    f,
                    "the request's {part} holds a character that cannot be sent"
                )
            }
            ClientError::Send(error) => write!(f, "the request could not be sent: {error}"),
            ClientError::Receive(error) => write!(f, "the answer could not be read: {error}"),
            ClientError::TimedOut => f.write_str("no whole answer came in time"),
            ClientError::NoAnswer => f.write_str("the connection was closed without an answer"),
            ClientError::CutShort => f.write_str("the answer was cut short"),
            ClientError::HeadTooLarge => {
                write!(f, "the answer's head is longer than {MAX_HEAD} bytes")
            }
            ClientError::BodyTooLarge(limit) => {
                write!(f, "the answer's body is longer than {limit} bytes")
            }
            ClientError::Chunked(error) => write!(f, "the answer cannot be read: {error}"),
            ClientError::NotHttp(what) => write!(f, "the answer is not HTTP: {what}"),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ClientError::Send(error) | ClientError::Receive(error) => Some(error),
            ClientError::Chunked(error) => Some(error),
            _ => None,
        }
    }
}

/// Sends `request` and reads its answer, with a body of `max_body` bytes at most. The connection
/// is of no use afterwards (`Connection: close`).
///
/// # Errors
/// A part of the request cannot be written, the connection breaks or takes too long, or the answer is
/// not HTTP, or too long.
pub fn exchange<S: Read + Write>(
    stream: &mut S,
    request: &Request<'_>,
    max_body: usize,
) -> Result<Response, ClientError> {
    let head = request_head(request)?;
    match send(stream, &head, request.body) {
        Ok(()) => receive(stream, request.method, max_body),
        // A peer may refuse a request before it has read all of it, and close: its answer tells
        // more than the broken pipe does.
        Err(broken) if is_closed(&broken) => {
            receive(stream, request.method, max_body).map_err(|_| ClientError::Send(broken))
        }
        Err(error) if is_timeout(&error) => Err(ClientError::TimedOut),
        Err(error) => Err(ClientError::Send(error)),
    }
}

fn send(stream: &mut dyn Write, head: &str, body: &[u8]) -> io::Result<()> {
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    stream.flush()
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

/// A blocking socket reports its time-out as either of the two.
fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// The request line and the fields. Nothing that could end a line or a field early is let through.
fn request_head(request: &Request<'_>) -> Result<String, ClientError> {
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    let value = |text: &str| text.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 0x7f));
    for (sound, part) in [
        (word(request.method), "method"),
        (word(request.target), "target"),
        (word(request.host), "host"),
    ] {
        if !sound {
            return Err(ClientError::BadRequest(part));
        }
    }
    let mut head = format!(
        "{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
        request.method, request.target, request.host
    );
    if !request.body.is_empty() || request.method == "POST" {
        head.push_str(&format!("Content-Length: {}\r\n", request.body.len()));
    }
    for (name, content) in request.headers {
        if !word(name) || name.contains(':') || !value(content) {
            return Err(ClientError::BadRequest("header"));
        }
        head.push_str(&format!("{name}: {content}\r\n"));
    }
    head.push_str("\r\n");
    Ok(head)
}

/// Reads the final answer to a `method`, with a body of `max_body` bytes at most; interim ones before it are
/// skipped (RFC 9110 §15.2).
///
/// # Errors
/// The connection breaks or takes too long, or the answer is not HTTP, or too long.
// Behind `dyn`, so that it is there once for all streams.
pub fn receive(
    stream: &mut dyn Read,
    method: &str,
    max_body: usize,
) -> Result<Response, ClientError> {
    let mut input = Input::new(stream);
    for _ in 0..=MAX_INTERIM {
        let head = Head::parse(&input.take_head()?)?;
        match head.status {
            101 => return Err(ClientError::NotHttp("an upgrade that was not asked for")),
            100..=199 => continue,
            _ => {
                let body = match head.framing(method)? {
                    Framing::None => Vec::new(),
                    Framing::Length(length) => input.take_length(length, max_body)?,
                    Framing::Chunked => input.take_chunked(max_body)?,
                    Framing::UntilClose => input.take_rest(max_body)?,
                };
                return Ok(Response {
                    status: head.status,
                    headers: head.headers,
                    body,
                });
            }
        }
    }
    Err(ClientError::NotHttp("too many interim answers"))
}

struct Head {
    version: Version,
    status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    /// `bytes` end with the empty line.
    fn parse(bytes: &[u8]) -> Result<Head, ClientError> {
        const UNREADABLE: ClientError = ClientError::NotHttp("a head that cannot be read");
        let mut reader = Reader::new(bytes);
        let line = reader.status_line().map_err(|_| UNREADABLE)?;
        let mut headers = Vec::new();
        while let Some(field) = reader.field().map_err(|_| UNREADABLE)? {
            if headers.len() >= MAX_FIELDS {
                return Err(ClientError::HeadTooLarge);
            }
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            headers.push((text(field.name), text(field.value)));
        }
        if !(100..=599).contains(&line.status) {
            return Err(ClientError::NotHttp("a status that does not exist"));
        }
        Ok(Head {
            version: line.version,
            status: line.status,
            headers,
        })
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim_matches([' ', '\t']))
    }

    /// The steps of RFC 9112 §6.3, as far as they concern an answer.
    fn framing(&self, method: &str) -> Result<Framing, ClientError> {
        // 1.
        if method == "HEAD" || matches!(self.status, 204 | 304) {
            return Ok(Framing::None);
        }
        let mut codings = self.values("Transfer-Encoding");
        let length = self.content_length()?;
        if let Some(coding) = codings.next() {
            // 3., and no other coding than `chunked` was asked for.
            if length.is_some() || codings.next().is_some() || self.version == Version::Http10 {
                return Err(ClientError::NotHttp("a body with two framings"));
            }
            if !coding.eq_ignore_ascii_case("chunked") {
                return Err(ClientError::NotHttp("an unknown transfer coding"));
            }
            return Ok(Framing::Chunked); // 4.
        }
        // 5., 6. and 8.
        Ok(length.map_or(Framing::UntilClose, Framing::Length))
    }

    /// Digits only, and the same in every field of that name.
    fn content_length(&self) -> Result<Option<u64>, ClientError> {
        let wrong = ClientError::NotHttp("a length that is no number");
        let mut values = self.values("Content-Length");
        let Some(first) = values.next() else {
            return Ok(None);
        };
        if values.any(|other| other != first) || !first.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong);
        }
        first.parse().map(Some).map_err(|_| wrong)
    }
}

/// What was read and not yet taken.
struct Input<'s> {
    stream: &'s mut dyn Read,
    held: Vec<u8>,
    /// How much of `held` was taken already.
    taken: usize,
}

impl<'s> Input<'s> {
    fn new(stream: &'s mut dyn Read) -> Self {
        Input {
            stream,
            held: Vec::new(),
            taken: 0,
        }
    }

    fn available(&self) -> &[u8] {
        self.held.get(self.taken..).unwrap_or_default()
    }

    /// Reads once. `false`: the peer has closed.
    fn fill(&mut self) -> Result<bool, ClientError> {
        self.held.drain(..self.taken);
        self.taken = 0;
        let mut block = [0; READ_SIZE];
        loop {
            match self.stream.read(&mut block) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    let read = block.get(..count).unwrap_or_default();
                    self.held.extend_from_slice(read);
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(ClientError::TimedOut),
                // TLS: closed without a close_notify.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(ClientError::CutShort);
                }
                Err(error) => return Err(ClientError::Receive(error)),
            }
        }
    }

    /// Takes the next `count` bytes of what is held, or fewer.
    fn take(&mut self, count: usize) -> &[u8] {
        let from = self.taken;
        self.taken = from.saturating_add(count).min(self.held.len());
        self.held.get(from..self.taken).unwrap_or_default()
    }

    /// Takes a line without its CRLF; a bare LF is refused.
    fn take_line(&mut self, max: usize, too_long: ClientError) -> Result<Vec<u8>, ClientError> {
        let mut seen = 0;
        loop {
            let unseen = self.available().get(seen..).unwrap_or_default();
            if let Some(at) = unseen.iter().position(|&b| b == b'\n') {
                let line = self.take(seen + at + 1);
                let Some(line) = line.strip_suffix(b"\r\n") else {
                    return Err(ClientError::NotHttp("a line that ends without CR"));
                };
                return if line.len() > max {
                    Err(too_long)
                } else {
                    Ok(line.to_vec())
                };
            }
            seen = self.available().len();
            // The CR may be here already, and its LF not.
            if seen > max.saturating_add(1) {
                return Err(too_long);
            }
            if !self.fill()? {
                return Err(ClientError::CutShort);
            }
        }
    }

    /// Takes a head up to and with its empty line.
    fn take_head(&mut self) -> Result<Vec<u8>, ClientError> {
        if self.available().is_empty() && !self.fill()? {
            return Err(ClientError::NoAnswer);
        }
        let mut head = Vec::new();
        loop {
            let room = MAX_HEAD.saturating_sub(head.len());
            let line = self.take_line(room, ClientError::HeadTooLarge)?;
            if line.is_empty() && head.is_empty() {
                return Err(ClientError::NotHttp("an empty line before the head"));
            }
            head.extend_from_slice(&line);
            head.extend_from_slice(b"\r\n");
            if line.is_empty() {
                return Ok(head);
            }
        }
    }

    fn take_length(&mut self, length: u64, max_body: usize) -> Result<Vec<u8>, ClientError> {
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= max_body)
            .ok_or(ClientError::BodyTooLarge(max_body))?;
        let mut body = Vec::new();
        while body.len() < length {
            if self.available().is_empty() && !self.fill()? {
                return Err(ClientError::CutShort);
            }
            let part = self.take(length - body.len());
            body.extend_from_slice(part);
        }
        Ok(body)
    }

    fn take_rest(&mut self, max_body: usize) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        loop {
            let part = self.take(usize::MAX);
            if part.len() > max_body.saturating_sub(body.len()) {
                return Err(ClientError::BodyTooLarge(max_body));
            }
            body.extend_from_slice(part);
            if !self.fill()? {
                return Ok(body);
            }
        }
    }

    fn take_chunked(&mut self, max_body: usize) -> Result<Vec<u8>, ClientError> {
        let mut decoder = ChunkDecoder::new();
        let mut body = Vec::new();
        while !decoder.is_done() {
            if self.available().is_empty() && !self.fill()? {
                return Err(ClientError::CutShort);
            }
            let input = self.available();
            let piece = decoder.decode(input).map_err(ClientError::Chunked)?;
            let data = match piece.part {
                Part::Data(range) => input.get(range).unwrap_or_default(),
                _ => &[],
            };
            if data.len() > max_body.saturating_sub(body.len()) {
                return Err(ClientError::BodyTooLarge(max_body));
            }
            body.extend_from_slice(data);
            self.take(piece.consumed);
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer that answers `answer`, `step` bytes at a time, and then closes.
    struct Peer {
        answer: Vec<u8>,
        step: usize,
        sent: Vec<u8>,
        /// After how many bytes it takes no more.
        deaf_after: usize,
    }

    impl Peer {
        fn new(answer: &str, step: usize) -> Peer {
            Peer {
                answer: answer.into(),
                step,
                sent: Vec::new(),
                deaf_after: usize::MAX,
            }
        }
    }

    impl Read for Peer {
        fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
            let count = self.step.min(block.len()).min(self.answer.len());
            let rest = self.answer.split_off(count);
            block[..count].copy_from_slice(&self.answer);
            self.answer = rest;
            Ok(count)
        }
    }

    impl Write for Peer {
        fn write(&mut self, block: &[u8]) -> io::Result<usize> {
            if self.sent.len() >= self.deaf_after {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.sent.extend_from_slice(block);
            Ok(block.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const GET: Request<'static> = Request {
        method: "GET",
        target: "/info",
        host: "docker",
        headers: &[],
        body: b"",
    };

    const LIMIT: usize = 64;

    /// The same result however the bytes arrive.
    fn answer_to(method: &'static str, answer: &str) -> Result<Response, String> {
        let request = Request { method, ..GET };
        let ask = |step| {
            exchange(&mut Peer::new(answer, step), &request, LIMIT).map_err(|e| e.to_string())
        };
        let whole = ask(usize::MAX);
        assert_eq!(ask(1), whole, "byte by byte: {answer:?}");
        assert_eq!(ask(7), whole, "seven at a time: {answer:?}");
        whole
    }

    fn body_of(answer: &str) -> String {
        let response = answer_to("GET", answer).unwrap_or_else(|e| panic!("{answer:?}: {e}"));
        String::from_utf8(response.body).unwrap()
    }

    fn error_of(answer: &str) -> String {
        match answer_to("GET", answer) {
            Ok(response) => panic!("{answer:?} was taken: {response:?}"),
            Err(error) => error,
        }
    }

    #[test]
    fn the_request_is_written_whole() {
        let mut peer = Peer::new("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 99);
        let request = Request {
            method: "POST",
            target: "/discovery/nodes/n?ttl=120",
            host: "master:8761",
            headers: &[("X-Auth-Node", "s p")],
            body: b"{}",
        };
        let response = exchange(&mut peer, &request, LIMIT).unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(
            String::from_utf8(peer.sent).unwrap(),
            "POST /discovery/nodes/n?ttl=120 HTTP/1.1\r\nHost: master:8761\r\n\
             Connection: close\r\nContent-Length: 2\r\nX-Auth-Node: s p\r\n\r\n{}"
        );
    }

    #[test]
    fn nothing_that_would_end_a_line_is_sent_or_shown() {
        let injected = [("X-Auth-Node", "hidden\r\nX: y")];
        for request in [
            Request {
                target: "/a b",
                ..GET
            },
            Request {
                target: "/\r\n",
                ..GET
            },
            Request { host: "", ..GET },
            Request { host: "a\n", ..GET },
            Request {
                headers: &injected,
                ..GET
            },
            Request {
                headers: &[("a:b", "")],
                ..GET
            },
        ] {
            let mut peer = Peer::new("", 1);
            let error = exchange(&mut peer, &request, LIMIT).unwrap_err();
            assert!(matches!(error, ClientError::BadRequest(_)), "{error:?}");
            assert!(!error.to_string().contains("hidden"));
            assert!(peer.sent.is_empty());
        }
    }

    #[test]
    fn every_framing_is_read_and_trailing_bytes_are_not() {
        for (answer, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 ",
                "hello",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-length:2 \r\n\r\nok",
                "ok",
            ),
            ("HTTP/1.0 200 OK\r\n\r\nuntil close", "until close"),
            ("HTTP/1.1 200\r\n\r\n", ""),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nT: r\r\n\r\nmore",
                "abc0123456789",
            ),
            ("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", ""),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n\
                 HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!",
                "!",
            ),
        ] {
            assert_eq!(body_of(answer), body, "{answer:?}");
        }
        let head_only = answer_to("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").unwrap();
        assert_eq!(head_only.body, b"");
    }

    #[test]
    fn an_answer_that_is_not_whole_is_an_error() {
        assert!(error_of("").contains("closed without an answer"));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        for answer in [chunked, length] {
            for end in 1..answer.len() {
                let cut = error_of(&answer[..end]);
                assert!(cut.contains("cut short"), "{end}: {cut}");
            }
        }
    }

    #[test]
    fn what_is_not_strict_http_is_refused() {
        for (answer, reason) in [
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "cannot be read"),
            ("\r\nHTTP/1.1 200 OK\r\n\r\n", "empty line"),
            ("HTTP/1.1 200 OK\nContent-Length: 0\n\n", "without CR"),
            ("HTTP/1.1 200 OK\r\nA: b\n\r\n", "without CR"),
            ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "cannot be read"),
            ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "cannot be read"),
            ("HTTP/1.1 600 OK\r\n\r\n", "does not exist"),
            ("HTTP/1.1 101 Up\r\nUpgrade: x\r\n\r\n", "upgrade"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
                "no number",
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\na", "no number"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
                "no number",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "two framings",
            ),
            (
                "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "two framings",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
                "unknown transfer coding",
            ),
        ] {
            let error = error_of(answer);
            assert!(error.contains(reason), "{answer:?}: {error}");
        }
        // Its own tests say what else the decoder refuses.
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for body in ["\r\n", "+1\r\na\r\n0\r\n\r\n", "1\na\n0\n\n"] {
            let error = error_of(&format!("{chunked}{body}"));
            assert!(error.contains("cannot be read"), "{body:?}: {error}");
        }
    }

    #[test]
    fn every_size_is_bounded() {
        let over = "x".repeat(LIMIT + 1);
        for answer in [
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{over}",
                over.len()
            ),
            format!("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n{over}"),
            format!("HTTP/1.1 200 OK\r\n\r\n{over}"),
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n{over}\r\n0\r\n\r\n"
            ),
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{over}"
            ),
        ] {
            let error = error_of(&answer);
            assert!(
                error.contains("body is longer than 64"),
                "{answer:?}: {error}"
            );
        }
        let long = "y".repeat(MAX_HEAD);
        for answer in [
            format!("HTTP/1.1 200 OK\r\nA: {long}\r\n\r\n"),
            format!(
                "HTTP/1.1 200 OK\r\n{}\r\n",
                "A: b\r\n".repeat(MAX_FIELDS + 1)
            ),
            format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MAX_HEAD)),
        ] {
            assert!(error_of(&answer).contains("head is longer"));
        }
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(MAX_INTERIM + 1);
        assert!(error_of(&interim).contains("interim"));
    }

    #[test]
    fn an_answer_given_before_the_request_was_read_is_told() {
        let mut peer = Peer::new("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", 99);
        peer.deaf_after = 1;
        let request = Request {
            body: b"much",
            ..GET
        };
        assert_eq!(exchange(&mut peer, &request, LIMIT).unwrap().status, 401);
        let mut silent = Peer::new("", 99);
        silent.deaf_after = 1;
        let error = exchange(&mut silent, &request, LIMIT).unwrap_err();
        assert!(matches!(error, ClientError::Send(_)), "{error:?}");
    }
}
