//! An answer's head: parsed, and written for the client.

use super::fields::{self, Message};
use super::grammar::Reader;
use super::passing::Passing;
use super::{HeadError, HeadLimits, HeadWriter, RequestHead};
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
    reason: &'b [u8],
    /// A `Content-Length` that describes a body which is not sent (HEAD, 304).
    described_length: Option<u64>,
    passing: Passing<'b>,
    length: usize,
}

impl<'b> ResponseHead<'b> {
    /// Parses `head`, which [`HeadFinder`](super::HeadFinder) has measured, as the answer to a
    /// request: `to_head`, to a `HEAD`.
    ///
    /// # Errors
    /// The answer is malformed; the client is told 502.
    pub fn parse(head: &'b [u8], to_head: bool) -> Result<ResponseHead<'b>, HeadError> {
        let mut reader = Reader::new(head);
        let line = reader.status_line()?;
        let (known, passing) = fields::read(reader, Message::Answer, HeadLimits::default())?;
        if line.status < 100 {
            return Err(HeadError::Malformed("bad status code"));
        }

        let declared = known.framing(line.version)?;
        Ok(ResponseHead {
            status: line.status,
            framing: answer_framing(line.status, to_head, declared),
            keep_alive: known.keeps_alive(line.version),
            upgrade: known.upgrade()?,
            content_type: known.content_type.unwrap_or_default(),
            reason: line.reason,
            described_length: match declared {
                Some(Framing::Length(length)) => Some(length),
                _ => None,
            },
            passing,
            length: head.len(),
        })
    }

    /// Whether this is an interim answer, after which the final one is still to come.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// Writes the head for the client, with `framing` and `connection` as they are on that side.
    ///
    /// # Errors
    /// [`HeadError::NoRoom`]: `out` has less than [`RequestHead::canonical_bound`] says, and got nothing.
    pub fn write(
        &self,
        out: &mut Buf,
        framing: Framing,
        connection: Connection<'_>,
    ) -> Result<(), HeadError> {
        // More is added to a request.
        HeadWriter::append(out, RequestHead::canonical_bound(self.length), |out| {
            out.text("HTTP/1.1 ").number(self.status.into()).text(" ");
            out.bytes(self.reason).text("\r\n");
            self.passing.write(out);
            match (framing, self.described_length) {
                (Framing::None, Some(length)) if self.may_describe_length() => {
                    out.framing(Framing::Length(length));
                }
                _ => out.framing(framing),
            }
            match connection {
                Connection::Keep => {}
                Connection::KeepTold => {
                    out.text("Connection: keep-alive\r\n");
                }
                Connection::Close => {
                    out.text("Connection: close\r\n");
                }
                Connection::Upgrade(protocol) => out.upgrade(protocol),
            }
            out.text("\r\n");
        })
    }

    /// RFC 9110 §8.6: no `Content-Length` in a 1xx or a 204.
    fn may_describe_length(&self) -> bool {
        self.status >= 200 && self.status != 204
    }
}

/// The steps of RFC 9112 §6.3 in their order, for an answer.
fn answer_framing(status: u16, to_head: bool, declared: Option<Framing>) -> Framing {
    match (status, declared) {
        // 1. HEAD, 1xx, 204 and 304 have no body.
        _ if to_head => Framing::None,
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
