//! An answer's head: parsed, and written for the client.

use std::fmt::Write;

use super::fields::Fields;
use super::{HeadError, HeadWriter, parse_failure, version};
use crate::buf::Buf;
use crate::http::body::Framing;

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
