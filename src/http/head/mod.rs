//! Message heads: read strictly, judged, and written anew (RFC 9110, RFC 9112).
//!
//! Nothing of a peer's head is passed on as it came. A head is parsed into a borrowed view that
//! says all that the proxy decides on; what is forwarded is serialised from that view. Whatever
//! two parsers could read in two ways is refused.

use std::fmt::{self, Write};

use crate::buf::Buf;
use crate::http::body::Framing;

mod fields;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use request::RequestHead;
pub use response::{Connection, ResponseHead};

/// Bytes that a head may have: `X-Registry-Config` and `X-Registry-Auth` are long.
pub const MAX_HEAD: usize = 64 * 1024;

/// Fields that a head may have.
const MAX_FIELDS: usize = 100;

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
