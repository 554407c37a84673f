//! Message heads: read strictly, judged, and written anew (RFC 9110, RFC 9112).
//!
//! Nothing of a peer's head is passed on unread. A head is read once, from its first byte to its
//! last, into a borrowed view that says all that the proxy decides on; what is forwarded is written
//! from that view, start line and framing anew. Whatever two parsers could read in two ways is
//! refused.

use std::fmt;

use crate::buf::Buf;
use crate::http::body::Framing;

mod fields;
mod grammar;
mod passing;
mod request;
mod response;
mod scan;
#[cfg(test)]
mod tests;

pub(super) use grammar::Reader;
pub use request::RequestHead;
pub use response::{Connection, ResponseHead};

/// Bytes that a head may have: `X-Registry-Config` and `X-Registry-Auth` are long.
pub const MAX_HEAD: usize = 64 * 1024;

/// Fields that a head may have, where nobody says otherwise.
pub const MAX_FIELDS: usize = 100;

/// Members that the `Connection` fields of a head may have, empty ones included. Each is compared
/// with each field; real ones have two or three.
const MAX_MEMBERS: usize = 100;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes, the empty line included; at most [`MAX_HEAD`].
    pub bytes: usize,
    /// Fields.
    pub fields: usize,
}

impl Default for HeadLimits {
    fn default() -> HeadLimits {
        HeadLimits {
            bytes: MAX_HEAD,
            fields: MAX_FIELDS,
        }
    }
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// The head has more bytes or fields than allowed: 431.
    TooLarge(HeadLimits),
    /// The head breaks the grammar or is ambiguous: 400.
    Malformed(&'static str),
    /// HTTP of a version that is not spoken here: 505.
    Version,
    /// An expectation other than `100-continue`: 417.
    Expectation,
    /// The buffer has no room for it as it would be written: 431.
    NoRoom,
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeadError::TooLarge(limits) => write!(
                f,
                "the head has more than {} bytes or {} fields",
                limits.bytes, limits.fields
            ),
            HeadError::Malformed(what) => f.write_str(what),
            HeadError::Version => f.write_str("only HTTP/1.0 and HTTP/1.1 are spoken here"),
            HeadError::Expectation => f.write_str("the only expectation is 100-continue"),
            HeadError::NoRoom => f.write_str("there is no room for the head"),
        }
    }
}

impl std::error::Error for HeadError {}

/// Finds the end of a head, however many reads it takes, looking at no byte twice.
#[derive(Debug, Default)]
pub struct HeadFinder {
    searched: usize,
    limits: HeadLimits,
}

impl HeadFinder {
    /// For a head within `limits`.
    pub fn within(limits: HeadLimits) -> HeadFinder {
        HeadFinder {
            searched: 0,
            limits,
        }
    }

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
        while let Some(offset) = input.get(from..).and_then(scan::line_feed) {
            let end = from + offset + 1;
            match input.get(..end) {
                Some([.., b'\r', b'\n', b'\r', b'\n']) => {
                    self.searched = 0;
                    return if end > self.limits.bytes {
                        Err(HeadError::TooLarge(self.limits))
                    } else {
                        Ok(Some(end))
                    };
                }
                Some([.., b'\r', b'\n']) => from = end,
                _ => return Err(HeadError::Malformed("a line does not end in CRLF")),
            }
        }
        self.searched = input.len();
        if input.len() >= self.limits.bytes {
            return Err(HeadError::TooLarge(self.limits));
        }
        Ok(None)
    }
}

/// HTTP/1's two versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunked coding, no `1xx`, closed unless asked otherwise.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// Writes a head into a buffer's free space: all of it or nothing, for a head that lacks a part is another message.
struct HeadWriter<'a> {
    space: &'a mut [u8],
    /// Bytes, those that did not fit included.
    written: usize,
}

impl HeadWriter<'_> {
    /// Lets `write` append a head of at most `bound` bytes to `out`.
    fn append(
        out: &mut Buf,
        bound: usize,
        write: impl FnOnce(&mut HeadWriter<'_>),
    ) -> Result<(), HeadError> {
        let mut writer = HeadWriter {
            space: out.space_for(bound),
            written: 0,
        };
        write(&mut writer);
        let written = writer.written;
        let fits = written <= writer.space.len();
        out.commit(if fits { written } else { 0 });
        if fits { Ok(()) } else { Err(HeadError::NoRoom) }
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.written + bytes.len();
        if let Some(space) = self.space.get_mut(self.written..end) {
            space.copy_from_slice(bytes);
        }
        self.written = end;
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn number(&mut self, number: u64) -> &mut Self {
        let mut digits = [0; 20]; // of u64::MAX
        let mut count = 0;
        let mut left = number;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
            count += 1;
            if left == 0 {
                break;
            }
        }
        self.bytes(digits.get(digits.len() - count..).unwrap_or_default())
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        self.bytes(name).text(": ").bytes(value).text("\r\n");
    }

    fn framing(&mut self, framing: Framing) {
        match framing {
            Framing::Length(length) => {
                self.text("Content-Length: ").number(length).text("\r\n");
            }
            Framing::Chunked => {
                self.text("Transfer-Encoding: chunked\r\n");
            }
            Framing::None | Framing::UntilClose => {}
        }
    }

    /// The lines of a connection that changes to `protocol`.
    fn upgrade(&mut self, protocol: &str) {
        self.text("Connection: Upgrade\r\nUpgrade: ")
            .text(protocol)
            .text("\r\n");
    }
}
