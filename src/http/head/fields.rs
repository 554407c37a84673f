//! The fields of a head, and what they say of the message and its connection.

use super::{HeadError, MAX_FIELDS, Version};
use crate::http::body::Framing;

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

/// The fields of a head, in their order, borrowed from the bytes that came.
pub(super) struct Fields<'b> {
    pub(super) list: [httparse::Header<'b>; MAX_FIELDS],
    pub(super) count: usize,
}

impl<'b> Fields<'b> {
    pub(super) fn new() -> Fields<'b> {
        Fields {
            list: [httparse::EMPTY_HEADER; MAX_FIELDS],
            count: 0,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + '_ {
        self.list
            .iter()
            .take(self.count)
            .map(|field| (field.name, field.value))
    }

    /// All values of the field called `name` (in lower case).
    pub(super) fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'b [u8]> + 's {
        self.iter()
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The only value of a field that may come once.
    pub(super) fn single(
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
    pub(super) fn lists(&self, name: &'static str, token: &str) -> bool {
        self.values(name)
            .flat_map(list_members)
            .any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Whether a field is for this connection only, by its nature or because `Connection` names it.
    pub(super) fn is_hop_by_hop(&self, name: &str) -> bool {
        HOP_BY_HOP.iter().any(|hop| name.eq_ignore_ascii_case(hop))
            || self.lists("connection", name)
    }

    /// Steps 1 to 5 of RFC 9112 §6.3 that requests and answers share: what the fields themselves
    /// say of the body's length.
    pub(super) fn framing(&self, version: Version) -> Result<Option<Framing>, HeadError> {
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
    pub(super) fn keeps_alive(&self, version: Version) -> bool {
        match version {
            _ if self.lists("connection", "close") => false,
            Version::Http11 => true,
            Version::Http10 => self.lists("connection", "keep-alive"),
        }
    }

    /// The protocol of an `Upgrade` that `Connection` confirms (RFC 9110 §7.8).
    pub(super) fn upgrade(&self) -> Result<Option<&'b str>, HeadError> {
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
