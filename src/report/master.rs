//! One registration: the request to a master, and what its answer means.

use crate::config::Master;
use crate::http::client::{self, ClientError, Request, Response};
use crate::secret::Secret;
use crate::sys::stream::Stream;
use crate::tls;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::fmt;
use std::io::{self, Read};
use std::mem;
use std::path::Path;
use std::time::{Duration, Instant};

/// From the look-up of the master's name to the last byte of its answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of an answer; a manager's has none, or a page of JSON about an error.
pub const MAX_ANSWER: usize = 64 * 1024;

/// The most bytes of the head of an answer that is read by minreq.
const MAX_HEAD: usize = 16 * 1024;

/// The status of a success that never has a body (RFC 9110 §15.3.5).
const NO_CONTENT: u16 = 204;

/// The most characters of an answer that are shown.
const MAX_SHOWN: usize = 200;

/// What a registration needs besides its master.
#[derive(Clone, Copy, Debug)]
pub struct Registration<'a> {
    /// The node.
    pub name: &'a str,
    /// For how long it holds.
    pub ttl: Duration,
    /// Sent as `X-Auth-Node`.
    pub secret: Option<&'a Secret>,
    /// The certificates (PEM) that an `https` master's is checked with, instead of the usual ones.
    pub ca: Option<&'a Path>,
    /// The report.
    pub json: &'a str,
}

/// Why a node is not registered. `Display` says it without the master's name.
#[derive(Debug)]
pub enum RegisterError {
    /// There is no connection.
    Connect(io::Error),
    /// The master's certificate is not trusted.
    Untrusted(rustls::Error),
    /// TLS failed for another reason.
    Tls(rustls::Error),
    /// The file of certificates cannot be used, or the master's name cannot be in a certificate.
    Trust(String),
    /// No whole answer came.
    Exchange(ClientError),
    /// 401.
    Secret {
        /// Whether one was sent.
        sent: bool,
    },
    /// 400: the report was not understood. The master's words.
    NotUnderstood(String),
    /// 3xx, and where it points; it is not followed, since the secret would be sent there.
    Redirect(u16, String),
    /// Another answer, and the master's words.
    Status(u16, String),
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_clock(tls::clock_hint()))
    }
}

impl std::error::Error for RegisterError {}

impl From<ClientError> for RegisterError {
    /// rustls hides its errors inside those of the stream.
    fn from(error: ClientError) -> RegisterError {
        let hidden = match &error {
            ClientError::Send(error) | ClientError::Receive(error) => error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>()),
            _ => None,
        };
        match hidden {
            Some(tls @ rustls::Error::InvalidCertificate(_)) => {
                RegisterError::Untrusted(tls.clone())
            }
            Some(tls) => RegisterError::Tls(tls.clone()),
            None => RegisterError::Exchange(error),
        }
    }
}

impl RegisterError {
    /// What went wrong, and `clock_hint` where that may be the reason.
    fn with_clock(&self, clock_hint: Option<String>) -> String {
        let what = self.what();
        match (self, clock_hint) {
            (RegisterError::Untrusted(_) | RegisterError::Tls(_), Some(hint)) => {
                format!("{what}; {hint}")
            }
            _ => what,
        }
    }

    fn what(&self) -> String {
        match self {
            RegisterError::Connect(error) => format!("it cannot be reached: {error}"),
            RegisterError::Untrusted(error) => format!(
                "its certificate is not trusted ({error}): give the certificate of the \
                 authority that signed it as `ca`"
            ),
            RegisterError::Tls(error) => format!("TLS failed: {error}"),
            RegisterError::Trust(why) => why.clone(),
            RegisterError::Exchange(error) => error.to_string(),
            RegisterError::Secret { sent } => format!(
                "it answered 401: the secret is {}. Set `secret` (dm.agent.notifier.secret) \
                 to what the master has as dm.agent.notifier.secret",
                if *sent { "wrong" } else { "missing" }
            ),
            RegisterError::NotUnderstood(words) => {
                format!("it answered 400, it did not understand the report{words}")
            }
            RegisterError::Redirect(status, target) => format!(
                "it answered {status}, a redirect to {target}, which is not followed: \
                 set that as the master if it is one"
            ),
            RegisterError::Status(404, words) => format!(
                "it answered 404: is it a Haven manager, at the right port and path?{words}"
            ),
            RegisterError::Status(status, words) => format!("it answered {status}{words}"),
        }
    }

    /// The same for errors that an operator would call the same, whatever their details: a
    /// master's words may hold the time of day.
    pub fn kind(&self) -> Kind {
        let (io, status) = match self {
            RegisterError::Connect(error) => (Some(error.kind()), None),
            RegisterError::Redirect(status, _) | RegisterError::Status(status, _) => {
                (None, Some(*status))
            }
            _ => (None, None),
        };
        Kind(mem::discriminant(self), io, status)
    }
}

/// What errors that are the same to an operator have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(
    mem::Discriminant<RegisterError>,
    Option<io::ErrorKind>,
    Option<u16>,
);

/// Registers a node.
///
/// # Errors
/// The master cannot be reached, does not answer in time, or does not take the report.
pub fn register(master: &Master, node: &Registration<'_>) -> Result<(), RegisterError> {
    let target = target(master, node);
    let response = if uses_minreq(master) {
        post_with_minreq(master, &target, node)?
    } else {
        post(master, &target, node)?
    };
    judge(&response, node.secret.is_some())
}

/// minreq speaks no TLS as it is built here (its own would bring a second crypto library), and
/// does not understand the URL of an IPv6 address.
fn uses_minreq(master: &Master) -> bool {
    !master.tls && !master.host.contains(':')
}

/// `/discovery/nodes/NAME?ttl=SECONDS`, below the master's own path.
fn target(master: &Master, node: &Registration<'_>) -> String {
    format!(
        "{}/discovery/nodes/{}?ttl={}",
        master.path,
        percent_encode(node.name),
        node.ttl.as_secs()
    )
}

/// One path segment: all but the unreserved characters (RFC 3986 §2.3) as `%XX`.
fn percent_encode(segment: &str) -> String {
    let mut encoded = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn headers<'a>(node: &Registration<'a>) -> Vec<(&'static str, &'a str)> {
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(node.secret.map(|secret| ("X-Auth-Node", secret.expose())));
    headers
}

fn post_with_minreq(
    master: &Master,
    target: &str,
    node: &Registration<'_>,
) -> Result<Response, RegisterError> {
    let origin = format!("http://{}:{}", master.host, master.port);
    let answer = minreq::post(format!("{origin}{target}"))
        .with_headers(headers(node))
        .with_header("Connection", "close")
        .with_body(node.json)
        .with_timeout(ANSWER_TIMEOUT.as_secs())
        .with_follow_redirects(false)
        .with_max_headers_size(MAX_HEAD)
        .with_max_status_line_length(MAX_HEAD)
        .send_lazy()
        .map_err(minreq_error)?;
    read_lazily(answer)
}

/// minreq takes text that is no status line for a 503, and an answer that ends early, even inside
/// its head, for a shorter one. None of these is an answer.
fn read_lazily(mut answer: minreq::ResponseLazy) -> Result<Response, RegisterError> {
    let status @ 100..=599 = answer.status_code else {
        return Err(ClientError::NotHttp("a status that does not exist").into());
    };
    if answer.reason_phrase == "Server did not provide a status line" {
        return Err(ClientError::NotHttp("no status line").into());
    }
    if (100..200).contains(&status) {
        // To minreq an interim answer is the whole one, and the final one its body.
        return Ok(client::receive(&mut answer, "POST", MAX_ANSWER)?);
    }
    let mut response = Response {
        status,
        headers: answer.headers.clone(),
        body: Vec::new(),
    };
    if head_size(&response) > MAX_HEAD {
        return Err(ClientError::HeadTooLarge.into());
    }
    if status != NO_CONTENT {
        read_body(answer, &mut response.body)?;
    }
    if is_cut_short(&response) {
        return Err(ClientError::CutShort.into());
    }
    Ok(response)
}

/// At least what minreq has counted: where that is more than the limit, it has lost the limit.
fn head_size(response: &Response) -> usize {
    let sizes = response.headers.iter();
    sizes
        .map(|(name, value)| name.len() + ": ".len() + value.len() + "\r\n".len())
        .sum()
}

fn read_body(answer: minreq::ResponseLazy, body: &mut Vec<u8>) -> Result<(), ClientError> {
    answer
        .take(MAX_ANSWER as u64 + 1)
        .read_to_end(body)
        .map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => ClientError::TimedOut,
            _ => ClientError::Receive(error),
        })?;
    if body.len() > MAX_ANSWER {
        return Err(ClientError::BodyTooLarge(MAX_ANSWER));
    }
    Ok(())
}

/// Whether less came than the head says, or of the head no more than its first line. An answer may
/// end with its connection, and managers do that (RFC 9112 §6.3): then, and in the chunked coding,
/// minreq cannot tell a whole one from one that is cut later.
fn is_cut_short(response: &Response) -> bool {
    let success = (200..300).contains(&response.status) && response.status != NO_CONTENT;
    match response.header("Content-Length") {
        Some(length) => length.trim().parse() != Ok(response.body.len()),
        None => success && response.headers.is_empty(),
    }
}

fn minreq_error(error: minreq::Error) -> RegisterError {
    match error {
        minreq::Error::IoError(error) if error.kind() == io::ErrorKind::TimedOut => {
            ClientError::TimedOut.into()
        }
        minreq::Error::IoError(error) => RegisterError::Connect(error),
        minreq::Error::HeadersOverflow | minreq::Error::StatusLineOverflow => {
            ClientError::HeadTooLarge.into()
        }
        minreq::Error::MalformedContentLength => {
            ClientError::NotHttp("a length that is no number").into()
        }
        minreq::Error::InvalidUtf8InResponse => ClientError::NotHttp("no text").into(),
        other => RegisterError::Connect(io::Error::other(other.to_string())),
    }
}

fn post(master: &Master, target: &str, node: &Registration<'_>) -> Result<Response, RegisterError> {
    let host = master.authority();
    let request = Request {
        method: "POST",
        target,
        host: &host,
        headers: &headers(node),
        body: node.json.as_bytes(),
    };
    exchange(master, node.ca, &request, MAX_ANSWER)
}

/// Connects to `master` and asks `request`, all within [`ANSWER_TIMEOUT`]; `ca` as in
/// [`Registration`]. An answer whose body is longer than `max_body` bytes is an error, one with a
/// bad status is not.
///
/// # Errors
/// There is no connection, no trust, or no whole answer.
pub fn exchange(
    master: &Master,
    ca: Option<&Path>,
    request: &Request<'_>,
    max_body: usize,
) -> Result<Response, RegisterError> {
    let tls = master.tls.then(|| tls_client(master, ca)).transpose()?;
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let mut stream = Stream::tcp(&master.host, master.port, deadline).map_err(|error| {
        if matches!(
            error.kind(),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
        ) {
            ClientError::TimedOut.into()
        } else {
            RegisterError::Connect(error)
        }
    })?;
    let response = match tls {
        Some(tls) => client::exchange(&mut StreamOwned::new(tls, stream), request, max_body),
        None => client::exchange(&mut stream, request, max_body),
    };
    Ok(response?)
}

/// Made anew for each registration, so that a replaced `ca` file is used by the next one.
fn tls_client(master: &Master, ca: Option<&Path>) -> Result<ClientConnection, RegisterError> {
    let config = tls::client_config(ca).map_err(|e| RegisterError::Trust(e.to_string()))?;
    let name = ServerName::try_from(master.host.clone()).map_err(|_| {
        let host = master.host.escape_debug();
        RegisterError::Trust(format!("'{host}' cannot be a certificate's name"))
    })?;
    ClientConnection::new(config, name).map_err(RegisterError::Tls)
}

/// Only 2xx is a registration.
fn judge(response: &Response, secret_sent: bool) -> Result<(), RegisterError> {
    match response.status {
        200..=299 => Ok(()),
        401 => Err(RegisterError::Secret { sent: secret_sent }),
        400 => Err(RegisterError::NotUnderstood(words(&response.body))),
        status @ 300..=399 => {
            let target = response.header("Location").unwrap_or("nowhere");
            Err(RegisterError::Redirect(status, shown(target)))
        }
        status => Err(RegisterError::Status(status, words(&response.body))),
    }
}

/// The beginning of what a master says about an error, after a colon; nothing where it says
/// nothing.
fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.is_empty() {
        String::new()
    } else {
        format!(": {}", shown(text))
    }
}

/// Bounded, and in one line without control characters.
fn shown(text: &str) -> String {
    let beginning: String = text.chars().take(MAX_SHOWN).collect();
    beginning.escape_debug().to_string().replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(url_path: &str) -> Master {
        Master {
            tls: false,
            host: "master".to_owned(),
            port: 8761,
            path: url_path.to_owned(),
        }
    }

    fn node(name: &str) -> Registration<'_> {
        Registration {
            name,
            ttl: Duration::from_secs(120),
            secret: None,
            ca: None,
            json: "{}",
        }
    }

    fn answer(status: u16, body: &str) -> Response {
        Response {
            status,
            headers: vec![("Location".to_owned(), "http://other/\n".to_owned())],
            body: body.into(),
        }
    }

    #[test]
    fn the_name_is_one_path_segment() {
        for (name, path, expected) in [
            (
                "node-1.example",
                "",
                "/discovery/nodes/node-1.example?ttl=120",
            ),
            (
                "a/../b?c#d",
                "",
                "/discovery/nodes/a%2F..%2Fb%3Fc%23d?ttl=120",
            ),
            (
                "kö 1%",
                "/haven",
                "/haven/discovery/nodes/k%C3%B6%201%25?ttl=120",
            ),
        ] {
            assert_eq!(target(&master(path), &node(name)), expected);
        }
    }

    #[test]
    fn an_answer_is_judged_by_its_status() {
        assert!(judge(&answer(200, "whatever"), false).is_ok());
        for (status, sent, body, expected) in [
            (
                401,
                true,
                "",
                "the secret is wrong. Set `secret` (dm.agent.notifier.secret)",
            ),
            (401, false, "", "the secret is missing. Set `secret`"),
            (
                400,
                false,
                " {\"no\":\n1}",
                "did not understand the report: {\"no\":\\n1}",
            ),
            (
                302,
                false,
                "",
                "a redirect to http://other/\\n, which is not followed",
            ),
            (404, false, "", "is it a Haven manager"),
            (500, false, "", "it answered 500"),
        ] {
            let text = judge(&answer(status, body), sent).unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
        let long = judge(&answer(500, &"x".repeat(9999)), false).unwrap_err();
        assert!(long.to_string().len() < 300);
    }

    #[test]
    fn a_wrong_clock_is_named_where_tls_fails() {
        use rustls::CertificateError::NotValidYet;
        let hint = || Some("the clock is wrong".to_owned());
        let untrusted = RegisterError::Untrusted(rustls::Error::InvalidCertificate(NotValidYet));
        let failed = RegisterError::Tls(rustls::Error::DecryptError);
        for error in [untrusted, failed] {
            let text = error.with_clock(hint());
            assert!(text.ends_with("; the clock is wrong"), "{text}");
            assert_eq!(error.with_clock(None), error.to_string());
        }
        let refused = RegisterError::Connect(io::ErrorKind::ConnectionRefused.into());
        assert_eq!(refused.with_clock(hint()), refused.to_string());
    }

    #[test]
    fn errors_are_the_same_kind_whatever_the_master_says() {
        let kind = |status, body| judge(&answer(status, body), true).unwrap_err().kind();
        assert_eq!(kind(500, "at 12:00"), kind(500, "at 12:01"));
        assert_ne!(kind(500, ""), kind(502, ""));
        assert_ne!(kind(400, ""), kind(401, ""));
    }
}
