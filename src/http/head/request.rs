//! A request's head: parsed, and written for Docker.

use super::fields::{self, Known, Message};
use super::grammar::Reader;
use super::passing::Passing;
use super::{HeadError, HeadWriter, Version};
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
    authority: &'b [u8],
    passing: Passing<'b>,
    length: usize,
}

impl<'b> RequestHead<'b> {
    /// Parses `head`, which [`HeadFinder`](super::HeadFinder) has measured.
    ///
    /// # Errors
    /// The head is refused; see [`HeadError`] for the status that says so.
    pub fn parse(head: &'b [u8]) -> Result<RequestHead<'b>, HeadError> {
        let mut reader = Reader::new(head);
        let line = reader.request_line()?;
        let (known, passing) = fields::read(reader, Message::Request)?;

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
            authority: authority.or(host).unwrap_or(b"localhost"),
            passing,
            length: head.len(),
        })
    }

    /// Writes the canonical form for Docker: origin form, HTTP/1.1, no field that ends here. `path` and
    /// `query` (with its `?`) stand for the target and are together no longer than it.
    pub fn write_canonical(&self, path: &str, query: &str, out: &mut Buf) {
        HeadWriter::append(out, RequestHead::canonical_bound(self.length), |out| {
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
        });
    }

    /// The bytes that [`write_canonical`](Self::write_canonical) may need for a head of `length`.
    pub fn canonical_bound(length: usize) -> usize {
        // The longest that is added: a Host, and a space after each colon.
        length + 256
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
