//! A request's head: parsed, and written for Docker.

use super::fields::Fields;
use super::{HeadError, HeadWriter, Version, parse_failure, version};
use crate::buf::Buf;
use crate::http::body::Framing;

/// Fields of a request that end here: they are for this proxy, not for Docker.
const ENDS_HERE: [&str; 3] = ["authorization", "host", "proxy-authorization"];

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
    fields: Fields<'b>,
}

impl<'b> RequestHead<'b> {
    /// Parses `head`, which [`HeadFinder`] has measured.
    ///
    /// # Errors
    /// The head is refused; see [`HeadError`] for the status that says so.
    pub fn parse(head: &'b [u8]) -> Result<RequestHead<'b>, HeadError> {
        let mut fields = Fields::new();
        let mut parsed = httparse::Request::new(&mut fields.list);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err(HeadError::Malformed("bad start line")),
            Err(error) => return Err(parse_failure(error)),
        }
        let (method, target) = (
            parsed.method.unwrap_or_default(),
            parsed.path.unwrap_or_default(),
        );
        let version = version(parsed.version)?;
        fields.count = parsed.headers.len();

        let host = fields.single("host", "more than one Host")?;
        if host.is_none() && version == Version::Http11 {
            return Err(HeadError::Malformed("no Host"));
        }
        let (authority, target) = split_target(target)?;
        let upgrade = match version {
            Version::Http10 => None, // RFC 9110 §7.8: to be ignored
            Version::Http11 => fields.upgrade()?,
        };
        Ok(RequestHead {
            method,
            target,
            version,
            framing: fields.framing(version)?.unwrap_or(Framing::None),
            keep_alive: fields.keeps_alive(version),
            expects_continue: expects_continue(&fields, version)?,
            upgrade,
            authorization: fields.single("authorization", "more than one Authorization")?,
            authority: authority.or(host).unwrap_or(b"localhost"),
            fields,
        })
    }

    /// Writes the canonical form for Docker: origin form, HTTP/1.1, no field that ends here.
    pub fn write_canonical(&self, out: &mut Buf) {
        let mut out = HeadWriter(out);
        out.text(self.method)
            .text(" ")
            .text(self.target)
            .text(" HTTP/1.1\r\n");
        out.field("Host", self.authority);
        for (name, value) in self.fields.iter() {
            let ends_here = ENDS_HERE.iter().any(|end| name.eq_ignore_ascii_case(end));
            if !ends_here && !self.fields.is_hop_by_hop(name) {
                out.field(name, value);
            }
        }
        out.framing(self.framing);
        if let Some(protocol) = self.upgrade {
            out.field("Connection", b"Upgrade");
            out.field("Upgrade", protocol.as_bytes());
        }
        out.text("\r\n");
    }

    /// The bytes that [`write_canonical`](Self::write_canonical) may need for a head of `length`.
    pub fn canonical_bound(length: usize) -> usize {
        // The longest that is added: Host, framing with 20 digits, Connection and Upgrade lines.
        length + 256
    }
}

/// `Expect` (RFC 9110 §10.1.1); an HTTP/1.0 client's is to be ignored.
fn expects_continue(fields: &Fields<'_>, version: Version) -> Result<bool, HeadError> {
    match fields.single("expect", "more than one Expect")? {
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
    if !target
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    {
        return Err(HeadError::Malformed("a forbidden character in the target"));
    }
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
