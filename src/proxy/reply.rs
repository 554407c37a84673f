//! Answers that the proxy gives itself, in the form that a Docker client prints.

use std::fmt::Write;
use std::time::Duration;

use crate::buf::Buf;

/// The realm of the Java agent, which clients may have stored a password for.
const REALM: &str = "Haven Agent";

/// Bytes of the longest message; a longer one is cut.
const MAX_MESSAGE: usize = 1024;

/// For people who use a client of HTTP/2.
const NO_HTTP2: &[u8] =
    b"haven-agent: HTTP/2 is not spoken here, but HTTP/1.1 and its upgrades are";

/// Ends a connection that began with HTTP/2's preface. Its clients show nothing that is not in
/// frames: an empty SETTINGS (RFC 9113 §3.4) and a GOAWAY (§6.8) of HTTP_1_1_REQUIRED (§7).
pub fn refuse_http2(out: &mut Buf) {
    const LENGTH: u8 = 8 + NO_HTTP2.len() as u8;
    out.put(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    out.put(&[0, 0, LENGTH, 7, 0, 0, 0, 0, 0]);
    out.put(&[0, 0, 0, 0, 0, 0, 0, 13]);
    out.put(NO_HTTP2);
}

/// An answer made here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// What happened and what to do, for a person.
    pub message: String,
    /// In how many seconds to try again (RFC 9110 §10.2.3).
    pub retry_after: Option<u64>,
}

impl Reply {
    /// An answer with `status` and a message of at most [`MAX_MESSAGE`] bytes.
    pub fn new(status: u16, message: impl Into<String>) -> Reply {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        Reply {
            status,
            message,
            retry_after: None,
        }
    }

    /// Too many attempts (RFC 6585 §4): the next one after `wait`.
    pub fn delayed(wait: Duration) -> Reply {
        let seconds = wait.as_millis().div_ceil(1000).max(1) as u64; // bounded by the lock-out
        let text = format!(
            "haven-agent: too many passwords from this address were wrong, or wait: \
             try again in {seconds} s"
        );
        Reply {
            retry_after: Some(seconds),
            ..Reply::new(429, text)
        }
    }

    /// No credentials (RFC 9110 §15.5.2).
    pub fn unauthorized() -> Reply {
        Reply::new(
            401,
            "haven-agent: a user name and password are required (Basic authentication)",
        )
    }

    /// Writes head and body, as Docker's API writes its errors: `{"message": "…"}`.
    pub fn write(&self, out: &mut Buf, close: bool, with_body: bool) {
        let mut body = String::with_capacity(self.message.len() + 16);
        body.push_str("{\"message\":\"");
        escape_json(&self.message, &mut body);
        body.push_str("\"}\n");
        // There is room: before it is an interim answer at most, which leaves some.
        let _ = write!(out, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        if self.status == 401 {
            let _ = write!(out, "WWW-Authenticate: Basic realm=\"{REALM}\"\r\n");
        }
        if let Some(seconds) = self.retry_after {
            let _ = write!(out, "Retry-After: {seconds}\r\n");
        }
        let _ = write!(
            out,
            "Content-Type: application/json\r\nContent-Length: {}\r\n{}\r\n",
            body.len(),
            if close { "Connection: close\r\n" } else { "" },
        );
        if with_body {
            out.put(body.as_bytes());
        }
    }
}

/// RFC 8259 §7: quotation mark, reverse solidus and control characters.
fn escape_json(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
}

/// The reason phrases of the statuses that the proxy answers with (RFC 9110 §15).
fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        408 => "Request Timeout",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: &Reply, close: bool, with_body: bool) -> String {
        let mut out = Buf::new(8192);
        reply.write(&mut out, close, with_body);
        String::from_utf8(out.data().to_vec()).unwrap()
    }

    #[test]
    fn a_reply_is_dockers_json() {
        assert_eq!(
            written(&Reply::new(502, "a \"b\" \\ \n c"), true, true),
            "HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\nContent-Length: 34\r\n\
             Connection: close\r\n\r\n{\"message\":\"a \\\"b\\\" \\\\ \\u000a c\"}\n"
        );
    }

    #[test]
    fn a_401_names_the_realm_and_head_has_no_body() {
        let text = written(&Reply::unauthorized(), false, false);
        assert!(
            text.contains("\r\nWWW-Authenticate: Basic realm=\"Haven Agent\"\r\n"),
            "{text}"
        );
        assert!(text.ends_with("\r\n\r\n"), "{text}");
        assert!(!text.contains("Connection"), "{text}");
    }

    #[test]
    fn a_delay_is_told_in_whole_seconds() {
        for (millis, seconds) in [(1, 1), (1000, 1), (1001, 2), (59_500, 60)] {
            let reply = Reply::delayed(Duration::from_millis(millis));
            let text = written(&reply, false, true);
            assert!(
                text.starts_with("HTTP/1.1 429 Too Many Requests\r\n"),
                "{text}"
            );
            assert!(
                text.contains(&format!("\r\nRetry-After: {seconds}\r\n")),
                "{text}"
            );
        }
    }

    #[test]
    fn a_message_is_bounded() {
        let long = "é".repeat(4000);
        assert!(Reply::new(400, long).message.len() <= MAX_MESSAGE);
    }
}
