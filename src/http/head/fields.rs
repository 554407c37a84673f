//! The fields of a head, and what they say of the message and its connection.

use super::grammar::Reader;
use super::passing::Passing;
use super::{HeadError, HeadLimits, MAX_MEMBERS, Version};
use crate::http::body::Framing;

/// What a field is to the proxy, by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Authorization,
    Connection,
    ContentEncoding,
    ContentLength,
    ContentType,
    Expect,
    Host,
    Origin,
    ProxyAuthorization,
    SecFetchSite,
    TransferEncoding,
    Upgrade,
    /// The others that concern one connection only (RFC 9110 §7.6.1).
    HopByHop,
    /// Nothing: it goes on.
    Other,
}

impl Kind {
    /// There is at most one name to compare with: the length and the first letter tell which.
    pub(super) fn of(name: &[u8]) -> Kind {
        let (known, kind): (&[u8], Kind) = match (name.len(), name.first()) {
            (2, _) => (b"te", Kind::HopByHop),
            (4, _) => (b"host", Kind::Host),
            (5, _) => (b"close", Kind::HopByHop), // reserved, lest it be named by `Connection: close`
            (6, Some(b'o' | b'O')) => (b"origin", Kind::Origin),
            (6, _) => (b"expect", Kind::Expect),
            (7, Some(b't' | b'T')) => (b"trailer", Kind::HopByHop),
            (7, _) => (b"upgrade", Kind::Upgrade),
            (10, Some(b'k' | b'K')) => (b"keep-alive", Kind::HopByHop),
            (10, _) => (b"connection", Kind::Connection),
            (12, _) => (b"content-type", Kind::ContentType),
            (13, _) => (b"authorization", Kind::Authorization),
            (14, Some(b's' | b'S')) => (b"sec-fetch-site", Kind::SecFetchSite),
            (14, _) => (b"content-length", Kind::ContentLength),
            (16, Some(b'c' | b'C')) => (b"content-encoding", Kind::ContentEncoding),
            (16, _) => (b"proxy-connection", Kind::HopByHop),
            (17, _) => (b"transfer-encoding", Kind::TransferEncoding),
            (18, _) => (b"proxy-authenticate", Kind::HopByHop),
            (19, _) => (b"proxy-authorization", Kind::ProxyAuthorization),
            _ => return Kind::Other,
        };
        // Of a token's characters, only an upper-case letter becomes another by this bit.
        let same = name
            .iter()
            .zip(known)
            .all(|(found, known)| found | 0x20 == *known);
        if same { kind } else { Kind::Other }
    }

    /// Whether fields of the kind end here: they are for this connection only, or written anew, or
    /// in a request for this proxy and not for Docker.
    pub(super) fn ends_here(self, message: Message) -> bool {
        match self {
            Kind::ContentEncoding
            | Kind::ContentType
            | Kind::Expect
            | Kind::Origin
            | Kind::SecFetchSite
            | Kind::Other => false,
            Kind::Authorization | Kind::Host | Kind::ProxyAuthorization => {
                message == Message::Request
            }
            Kind::Connection
            | Kind::ContentLength
            | Kind::TransferEncoding
            | Kind::Upgrade
            | Kind::HopByHop => true,
        }
    }
}

/// What a head begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    Request,
    Answer,
}

/// The value of a field that may come once.
#[derive(Clone, Copy, Default)]
pub(super) enum Once<'b> {
    #[default]
    Absent,
    Value(&'b [u8]),
    Twice,
}

impl<'b> Once<'b> {
    fn add(&mut self, value: &'b [u8]) {
        *self = match self {
            Once::Absent => Once::Value(value),
            Once::Value(_) | Once::Twice => Once::Twice,
        };
    }

    /// The value, or `twice` said of more than one.
    pub(super) fn value(self, twice: &'static str) -> Result<Option<&'b [u8]>, HeadError> {
        match self {
            Once::Absent => Ok(None),
            Once::Value(value) => Ok(Some(value)),
            Once::Twice => Err(HeadError::Malformed(twice)),
        }
    }
}

/// What the members of all `Connection` fields say.
#[derive(Clone, Copy, Default)]
struct Options {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    /// Fields are named that concern this connection only.
    names: bool,
    /// How many there are, empty ones included.
    members: usize,
}

impl Options {
    fn add(&mut self, value: &[u8]) {
        let commas = value.iter().filter(|&&byte| byte == b',').count();
        self.members += commas + 1;
        for member in list_members(value) {
            match () {
                () if member.eq_ignore_ascii_case(b"close") => self.close = true,
                () if member.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                () if member.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
                () => self.names = true,
            }
        }
    }
}

/// What was said by fields that the proxy acts on.
#[derive(Default)]
pub(super) struct Known<'b> {
    pub(super) host: Once<'b>,
    pub(super) authorization: Once<'b>,
    pub(super) expect: Once<'b>,
    /// The first.
    pub(super) content_type: Option<&'b [u8]>,
    /// One of them says so, or may be read so by somebody.
    pub(super) is_form: bool,
    pub(super) is_encoded: bool,
    pub(super) origin: Once<'b>,
    /// One of them says so.
    pub(super) is_cross_site: bool,
    content_length: Once<'b>,
    transfer_encoding: Once<'b>,
    upgrade: Once<'b>,
    connection: Options,
}

impl<'b> Known<'b> {
    fn add(&mut self, kind: Kind, value: &'b [u8]) {
        match kind {
            Kind::Authorization => self.authorization.add(value),
            Kind::Connection => self.connection.add(value),
            Kind::ContentEncoding => self.is_encoded = true,
            Kind::ContentLength => self.content_length.add(value),
            Kind::ContentType => {
                self.content_type.get_or_insert(value);
                self.is_form |= may_be_form(value);
            }
            Kind::Origin => self.origin.add(value),
            Kind::SecFetchSite => {
                self.is_cross_site |= value.eq_ignore_ascii_case(b"cross-site");
            }
            Kind::Expect => self.expect.add(value),
            Kind::Host => self.host.add(value),
            Kind::TransferEncoding => self.transfer_encoding.add(value),
            Kind::Upgrade => self.upgrade.add(value),
            Kind::ProxyAuthorization | Kind::HopByHop | Kind::Other => {}
        }
    }

    /// Steps 1 to 5 of RFC 9112 §6.3 that requests and answers share: what the fields themselves
    /// say of the body's length.
    pub(super) fn framing(&self, version: Version) -> Result<Option<Framing>, HeadError> {
        let length = self.content_length.value("more than one Content-Length")?;
        let coding = self
            .transfer_encoding
            .value("more than one Transfer-Encoding")?;
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
            _ if self.connection.close => false,
            Version::Http11 => true,
            Version::Http10 => self.connection.keep_alive,
        }
    }

    /// The protocol of an `Upgrade` that `Connection` confirms (RFC 9110 §7.8).
    pub(super) fn upgrade(&self) -> Result<Option<&'b str>, HeadError> {
        let protocol = self.upgrade.value("more than one Upgrade")?;
        match protocol.map(std::str::from_utf8) {
            Some(Ok(protocol)) if self.connection.upgrade => Ok(Some(protocol)),
            Some(Err(_)) => Err(HeadError::Malformed("Upgrade is not text")),
            _ => Ok(None),
        }
    }
}

/// Reads the fields of a head of which `reader` has read the start line, up to the very end.
pub(super) fn read<'b>(
    mut reader: Reader<'b>,
    message: Message,
    limits: HeadLimits,
) -> Result<(Known<'b>, Passing<'b>), HeadError> {
    let lines = reader.rest();
    let mut known = Known::default();
    let mut passing = Passing::new(lines, message);
    let mut start = 0;
    for _ in 0..=limits.fields {
        let Some(field) = reader.field()? else {
            if known.connection.members > MAX_MEMBERS {
                return Err(HeadError::Malformed("too many members of Connection"));
            }
            passing.finish(known.connection.names);
            return match reader.rest() {
                [] => Ok((known, passing)),
                _ => Err(HeadError::Malformed("bytes after the head")),
            };
        };
        let end = lines.len() - reader.rest().len();
        let kind = Kind::of(field.name);
        known.add(kind, field.value);
        if !kind.ends_here(message) {
            passing.add(start..end, field);
        }
        start = end;
    }
    Err(HeadError::TooLarge(limits))
}

/// Whether a `Content-Type` is `application/x-www-form-urlencoded` to a reader as lenient as Go's
/// `mime.ParseMediaType`, which lower-cases beyond ASCII: whatever is not ASCII counts as well.
fn may_be_form(value: &[u8]) -> bool {
    const FORM: &[u8] = b"application/x-www-form-urlencoded";
    let media_type = value.split(|&byte| byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(FORM) || !media_type.is_ascii()
}

/// Whether a `Content-Type` is `application/json`, with parameters or without.
pub(super) fn is_json(value: &[u8]) -> bool {
    let media_type = value.split(|&byte| byte == b';').next().unwrap_or_default();
    media_type
        .trim_ascii()
        .eq_ignore_ascii_case(b"application/json")
}

/// The members of a comma-separated list (RFC 9110 §5.6.1), empty ones left out.
pub(super) fn list_members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(|member| member.trim_ascii())
        .filter(|member| !member.is_empty())
}

/// `Content-Length = 1*DIGIT`: no sign, no space, no list.
fn parse_length(value: &[u8]) -> Result<u64, HeadError> {
    const BAD: HeadError = HeadError::Malformed("bad Content-Length");
    if value.is_empty() {
        return Err(BAD);
    }
    let add = |length: u64, &digit: &u8| match digit {
        b'0'..=b'9' => length.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    };
    value.iter().try_fold(0, add).ok_or(BAD)
}
