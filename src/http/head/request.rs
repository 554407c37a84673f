//! A request's head: parsed, and written for Docker.

use super::fields::{self, Known, Message, Once};
use super::grammar::Reader;
use super::passing::Passing;
use super::{HeadError, HeadLimits, HeadWriter, Version};
use crate::buf::Buf;
use crate::http::body::Framing;

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
    /// The value of `Origin`; empty, as nobody's is, where there are several.
    pub origin: Option<&'b [u8]>,
    /// A browser says that a page of another site sends it (`Sec-Fetch-Site`).
    pub is_cross_site: bool,
    /// Its body would be read as a form, with fields as those of the query.
    pub is_form: bool,
    /// It is encoded in some way (`Content-Encoding`).
    pub is_encoded: bool,
    /// Whom the client believes to speak with: the target's authority, else `Host`.
    pub authority: &'b [u8],
    content_type: Option<&'b [u8]>,
    passing: Passing<'b>,
    length: usize,
}

impl<'b> RequestHead<'b> {
    /// Parses `head`, which [`HeadFinder`](super::HeadFinder) has measured within the same limits.
    ///
    /// # Errors
    /// The head is refused; see [`HeadError`] for the status that says so.
    pub fn parse(head: &'b [u8], limits: HeadLimits) -> Result<RequestHead<'b>, HeadError> {
        let mut reader = Reader::new(head);
        let line = reader.request_line()?;
        let (known, passing) = fields::read(reader, Message::Request, limits)?;

        let version = line.version;
        let host = known.host.value("more than one Host")?;
        if host.is_none() && version == Version::Http11 {
            return Err(HeadError::Malformed("no Host"));
        }
        let (authority, target) = split_target(line.target)?;
        let upgrade = match version {
            Version::Http10 => None, // RFC 9110 §7.8: to be ignored
            Version::Http11 => known.upgrade()?,
        };
        Ok(RequestHead {
            method: line.method,
            target,
            version,
            framing: known.framing(version)?.unwrap_or(Framing::None),
            keep_alive: known.keeps_alive(version),
            expects_continue: expects_continue(&known, version)?,
            upgrade,
            authorization: known.authorization.value("more than one Authorization")?,
            origin: match known.origin {
                Once::Absent => None,
                Once::Value(value) => Some(value),
                Once::Twice => Some(b""),
            },
            is_cross_site: known.is_cross_site,
            is_form: known.is_form,
            is_encoded: known.is_encoded,
            authority: authority.or(host).unwrap_or(b"localhost"),
            content_type: known.content_type,
            passing,
            length: head.len(),
        })
    }

    /// Whether the method changes state (RFC 9110 §9.2.1: it is not a safe one).
    pub fn changes_state(&self) -> bool {
        !matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
    }

    /// Whether to do it twice is to do it once (RFC 9110 §9.2.2).
    pub fn is_idempotent(&self) -> bool {
        !self.changes_state() || matches!(self.method, "PUT" | "DELETE")
    }

    /// Whether the body is said to be `application/json`.
    pub fn is_json(&self) -> bool {
        self.content_type.is_some_and(fields::is_json)
    }

    /// Writes the canonical form for Docker: origin form, HTTP/1.1, no field that ends here. `path` and
    /// `query` (with its `?`) stand for the target and are together no longer than it.
    ///
    /// # Errors
    /// [`HeadError::NoRoom`]: `out` has less room than [`canonical_room`](Self::canonical_room), and got nothing.
    pub fn write_canonical(&self, path: &str, query: &str, out: &mut Buf) -> Result<(), HeadError> {
        HeadWriter::append(out, self.canonical_room(), |out| {
            out.text(self.method).text(" ").text(path).text(query);
            out.text(" HTTP/1.1\r\nHost: ")
                .bytes(self.authority)
                .text("\r\n");
            self.passing.write(out);
            out.framing(self.framing);
            if let Some(protocol) = self.upgrade {
                out.upgrade(protocol);
            }
            out.text("\r\n");
        })
    }

    /// The bytes that [`write_canonical`](Self::write_canonical) may need for this head.
    pub fn canonical_room(&self) -> usize {
        RequestHead::canonical_bound(self.length)
    }

    /// The same for any head of `length`.
    pub const fn canonical_bound(length: usize) -> usize {
        // What is added: a space behind a colon, to fields of four bytes (`a:` and the line's end) or more, and a Host.
        length + length / 4 + 256
    }
}

/// `Expect` (RFC 9110 §10.1.1); an HTTP/1.0 client's is to be ignored.
fn expects_continue(known: &Known<'_>, version: Version) -> Result<bool, HeadError> {
    match known.expect.value("more than one Expect")? {
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
