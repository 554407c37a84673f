//! The one form of a request's target that is judged and forwarded.
//!
//! dockerd decodes a path once and then looks for a route in it, so that two spellings of a path may
//! mean the same to it, and one spelling something else than it seems to. Here the same is done
//! first, and whatever could still be read in two ways is refused or normalised:
//!
//! | in the path | is |
//! | --- | --- |
//! | `%41`, of a character that needs no encoding (RFC 3986 §2.3, §2.4) | normalised: decoded, once |
//! | `%2F` | normalised: a `/`, before segments are looked at, which is how dockerd reads it |
//! | `%e4`, of any other byte; `%25` | normalised: stays encoded, in upper case; never decoded again |
//! | `%`, without two digits behind it | refused |
//! | a control character (NUL, C0, DEL, C1), encoded | refused; plain ones `http::head` has refused |
//! | what is not UTF-8, encoded | refused; plain bytes beyond ASCII `http::head` has refused |
//! | `;`, plain or encoded | refused: others cut parameters off there |
//! | `"<>[\]^{\|}` and the grave accent, plain | refused: not in a path (RFC 3986 §3.3); encoded they stay so |
//! | `//`, a `/` at the end (the path `/` alone may) | refused: dockerd redirects or finds an empty name |
//! | a segment `.` or `..` | refused |
//! | more than [`MAX_SEGMENTS`] segments | refused |
//! | a first segment `v1.NN` | the version prefix, which rules do not see |
//! | any other first segment that dockerd takes for a version (`v` and digits or dots) | refused |
//! | a second version | refused |
//! | an asterisk alone, an authority | refused by `http::head`, which takes absolute form apart as well |
//!
//! The query goes on as it came. It is refused where it has a `;`, at which Go before 1.17 begins a new
//! field and later ones drop the field, or a `%` without two digits, at which Go drops the rest.

use std::borrow::Cow;
use std::fmt;

/// Segments that a path may have. The longest real ones are names of images.
pub const MAX_SEGMENTS: usize = 64;

/// A target in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'t> {
    path: Cow<'t, str>,
    query: &'t str,
    version: Option<u16>,
    /// Where the path goes on behind the version.
    route: usize,
}

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetError(&'static str);

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for TargetError {}

fn refuse<T>(why: &'static str) -> Result<T, TargetError> {
    Err(TargetError(why))
}

impl<'t> Target<'t> {
    /// The canonical form of `target`, which is in origin form and of visible ASCII. It is never longer
    /// than what was given; what is canonical already is borrowed.
    ///
    /// # Errors
    /// What the table above calls refused.
    pub fn parse(target: &'t str) -> Result<Target<'t>, TargetError> {
        let query = target.bytes().position(|byte| byte == b'?');
        let (path, query) = target.split_at(query.unwrap_or(target.len()));
        check_query(query)?;
        let path = if path.bytes().all(is_plain) {
            Cow::Borrowed(path)
        } else {
            Cow::Owned(encode(&decode(path)?))
        };
        let (version, route) = check_segments(&path)?;
        Ok(Target {
            path,
            query,
            version,
            route,
        })
    }

    /// The path, with its version.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query with its `?`, or nothing.
    pub fn query(&self) -> &str {
        self.query
    }

    /// NN of the prefix `/v1.NN`.
    pub fn version(&self) -> Option<u16> {
        self.version
    }

    /// The path without its version.
    pub fn route(&self) -> &str {
        self.path.get(self.route..).unwrap_or_default()
    }

    /// The segments of the route; none of `/`.
    pub fn segments(&self) -> Segments<'_> {
        let route = self.route();
        route
            .strip_prefix('/')
            .unwrap_or(route)
            .split_terminator('/')
    }
}

/// The parts of a path between its slashes.
pub type Segments<'p> = std::str::SplitTerminator<'p, char>;

/// Decodes once; what comes out has no byte that a path must not have in any form.
fn decode(path: &str) -> Result<String, TargetError> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => match (digit(bytes.next()), digit(bytes.next())) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return refuse("a % in the path without two hexadecimal digits behind it"),
            },
            b';' => return refuse("a ; in the path"),
            plain if is_plain(plain) => plain,
            _ => return refuse("a character in the path that has to be percent-encoded there"),
        });
    }
    let Ok(decoded) = String::from_utf8(decoded) else {
        return refuse("the path is not UTF-8");
    };
    if decoded.contains(char::is_control) {
        return refuse("a control character in the path");
    }
    if decoded.contains(';') {
        return refuse("a ; in the path");
    }
    Ok(decoded)
}

fn digit(byte: Option<u8>) -> Option<u8> {
    let value = char::from(byte?).to_digit(16)?;
    u8::try_from(value).ok()
}

/// Encodes whatever is not plain.
fn encode(decoded: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let hex = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    let mut path = String::with_capacity(decoded.len());
    for byte in decoded.bytes() {
        if is_plain(byte) {
            path.push(char::from(byte));
        } else {
            path.extend(['%', hex(byte >> 4), hex(byte)]);
        }
    }
    path
}

/// What stands in a canonical path as it is.
fn is_plain(byte: u8) -> bool {
    IS_PLAIN[usize::from(byte)]
}

/// `pchar` (RFC 3986 §3.3) and `/`, without `%` and `;`.
const IS_PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = matches!(
            byte as u8,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9'
                | b'-' | b'.' | b'_' | b'~'
                | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'='
                | b':' | b'@' | b'/'
        );
        byte += 1;
    }
    table
};

/// Looks at each segment of a canonical path; the version and where the route begins.
fn check_segments(path: &str) -> Result<(Option<u16>, usize), TargetError> {
    let Some(rest) = path.as_bytes().strip_prefix(b"/") else {
        return refuse("the path does not begin with a /");
    };
    if rest.is_empty() {
        return Ok((None, 0));
    }
    let mut found = (None, 0);
    for (number, segment) in rest.split(|&byte| byte == b'/').enumerate() {
        match segment {
            b"" => return refuse("an empty segment in the path (// or a / at its end)"),
            b"." | b".." => return refuse("a segment . or .. in the path"),
            _ if number == MAX_SEGMENTS => return refuse("too many segments in the path"),
            [b'v', version @ ..] if number <= 1 && is_version(version) => {
                if found.0.is_some() {
                    return refuse("a second version in the path");
                }
                // Behind another word it is a name.
                if number == 0 {
                    let Some(minor) = minor(version) else {
                        return refuse("a version that is not of the form /v1.NN");
                    };
                    found = (Some(minor), 1 + segment.len());
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// What dockerd's router takes for a version behind the v: `/v{version:[0-9.]+}`.
fn is_version(version: &[u8]) -> bool {
    let usual = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.');
    !version.is_empty() && version.iter().all(usual)
}

/// NN of `1.NN`: one to three digits, the first of several no zero.
fn minor(version: &[u8]) -> Option<u16> {
    let digits = version.strip_prefix(b"1.")?;
    let leads = digits.len() > 1 && digits.starts_with(b"0");
    if leads || !(1..=3).contains(&digits.len()) {
        return None;
    }
    digits.iter().try_fold(0, |number, &digit| {
        let digit = char::from(digit).to_digit(10)?;
        Some(number * 10 + u16::try_from(digit).ok()?)
    })
}

fn check_query(query: &str) -> Result<(), TargetError> {
    let mut bytes = query.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b';' => return refuse("a ; in the query"),
            b'%' if digit(bytes.next()).is_none() || digit(bytes.next()).is_none() => {
                return refuse("a % in the query without two hexadecimal digits behind it");
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
