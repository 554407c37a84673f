//! The grammar of a head (RFC 9112 §2 to §5), read once from its first byte to its last.
//!
//! Lines end in CRLF and nothing else, a name touches its colon, no line is folded. One empty line
//! before the start line is skipped (§2.2), and a status line may end after its code (§4).

use super::{HeadError, Version, scan};

const BAD_START: HeadError = HeadError::Malformed("bad start line");

/// What is still to be read of a head.
#[derive(Clone, Copy)]
pub(in crate::http) struct Reader<'b>(&'b [u8]);

/// A request's first line: `method SP request-target SP HTTP-version`.
pub(super) struct RequestLine<'b> {
    pub(super) method: &'b str,
    /// Visible ASCII without `#`.
    pub(super) target: &'b str,
    pub(super) version: Version,
}

/// An answer's first line: `HTTP-version SP status-code [SP reason-phrase]`.
pub(in crate::http) struct StatusLine<'b> {
    pub(in crate::http) version: Version,
    /// 0 to 999.
    pub(in crate::http) status: u16,
    /// ASCII; one that is not is left out.
    pub(in crate::http) reason: &'b [u8],
}

/// `field-name ":" OWS field-value OWS`.
#[derive(Clone, Copy)]
pub(in crate::http) struct Field<'b> {
    /// A token.
    pub(in crate::http) name: &'b [u8],
    /// Without white space around it; may be empty.
    pub(in crate::http) value: &'b [u8],
}

impl<'b> Reader<'b> {
    /// At the start of `head`.
    pub(in crate::http) fn new(head: &'b [u8]) -> Reader<'b> {
        Reader(head.strip_prefix(b"\r\n").unwrap_or(head))
    }

    /// At the start of a line in the midst of a head.
    pub(super) fn at_line(lines: &'b [u8]) -> Reader<'b> {
        Reader(lines)
    }

    /// What is still to be read.
    pub(super) fn rest(&self) -> &'b [u8] {
        self.0
    }

    pub(super) fn request_line(&mut self) -> Result<RequestLine<'b>, HeadError> {
        let method = self.token();
        if method.is_empty() || !self.skip(b" ") {
            return Err(BAD_START);
        }
        let target = self.take_while(is_target);
        match self.0.first() {
            Some(b' ') if !target.is_empty() => self.0 = self.0.get(1..).unwrap_or_default(),
            Some(b'#' | 0x80..) => {
                return Err(HeadError::Malformed("a forbidden character in the target"));
            }
            _ => return Err(BAD_START),
        }
        let version = self.version()?;
        if !self.skip(b"\r\n") {
            return Err(BAD_START);
        }
        Ok(RequestLine {
            method: ascii(method)?,
            target: ascii(target)?,
            version,
        })
    }

    pub(in crate::http) fn status_line(&mut self) -> Result<StatusLine<'b>, HeadError> {
        let version = self.version()?;
        if !self.skip(b" ") {
            return Err(HeadError::Version);
        }
        let mut status = 0;
        for _ in 0..3 {
            let [digit @ b'0'..=b'9', rest @ ..] = self.0 else {
                return Err(BAD_START);
            };
            self.0 = rest;
            status = status * 10 + u16::from(digit - b'0');
        }
        let reason = match self.skip(b" ") {
            true => self.text(),
            false => b"",
        };
        if !self.skip(b"\r\n") {
            return Err(BAD_START);
        }
        Ok(StatusLine {
            version,
            status,
            reason: if reason.is_ascii() { reason } else { b"" },
        })
    }

    /// The next field; `None` after the empty line that ends the head.
    pub(in crate::http) fn field(&mut self) -> Result<Option<Field<'b>>, HeadError> {
        let name = self.token();
        if name.is_empty() && self.skip(b"\r\n") {
            return Ok(None);
        }
        if name.is_empty() || !self.skip(b":") {
            return Err(HeadError::Malformed("bad field name"));
        }
        let text = self.text();
        if !self.skip(b"\r\n") {
            return Err(HeadError::Malformed("bad field value"));
        }
        let value = text.trim_ascii(); // of what that trims, a text has only SP and HTAB
        Ok(Some(Field { name, value }))
    }

    fn version(&mut self) -> Result<Version, HeadError> {
        let version = match self.0 {
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', ..] => Version::Http10,
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', ..] => Version::Http11,
            _ => return Err(HeadError::Version),
        };
        self.take(8);
        Ok(version)
    }

    fn token(&mut self) -> &'b [u8] {
        self.take_while(|byte| IS_TOKEN[usize::from(byte)])
    }

    /// `*( HTAB / SP / VCHAR / obs-text )` (RFC 9110 §5.5; §15.1 of RFC 9112 for a reason).
    fn text(&mut self) -> &'b [u8] {
        let mut length = 0;
        loop {
            let rest = self.0.get(length..).unwrap_or_default();
            let stop = scan::control(rest).unwrap_or(rest.len());
            length += stop;
            match rest.get(stop) {
                Some(b'\t') => length += 1,
                _ => return self.take(length),
            }
        }
    }

    fn take_while(&mut self, allowed: impl Fn(u8) -> bool) -> &'b [u8] {
        let stop = self.0.iter().position(|&byte| !allowed(byte));
        self.take(stop.unwrap_or(self.0.len()))
    }

    fn take(&mut self, length: usize) -> &'b [u8] {
        let (taken, rest) = self.0.split_at_checked(length).unwrap_or_default();
        self.0 = rest;
        taken
    }

    fn skip<const N: usize>(&mut self, expected: &[u8; N]) -> bool {
        match self.0.split_first_chunk() {
            Some((found, rest)) if found == expected => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }
}

/// What a target may have: visible characters of ASCII, and no fragment.
fn is_target(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'#'
}

/// Bytes that have been seen to be ASCII.
fn ascii(bytes: &[u8]) -> Result<&str, HeadError> {
    std::str::from_utf8(bytes).map_err(|_| BAD_START)
}

/// `tchar` (RFC 9110 §5.6.2).
const IS_TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = matches!(
            byte as u8,
            b'0'..=b'9'
                | b'A'..=b'Z'
                | b'a'..=b'z'
                | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.'
                | b'^' | b'_' | b'`' | b'|' | b'~'
        );
        byte += 1;
    }
    table
};
