//! The `Authorization` field's `Basic` form (RFC 7617, RFC 4648 §4).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The longest `Authorization` value that is looked at, in bytes: a name and a password of 255
/// bytes each fit.
pub const MAX_AUTHORIZATION: usize = 768;

/// A name and a password as a client sent them; overwritten when dropped.
pub(super) struct Credentials {
    /// `name:password`, UTF-8, with at least one colon and without control characters.
    text: Zeroizing<Vec<u8>>,
    /// Where the first colon is.
    colon: usize,
}

impl Credentials {
    /// Reads `Basic <base64 of name:password>`, the value as it stands in the field without the
    /// white space around it.
    ///
    /// `None` for another scheme and whatever RFC 7617 §2 does not allow: there is nothing to be
    /// verified, and no answer but 401 to any of it.
    pub(super) fn parse(value: &[u8]) -> Option<Credentials> {
        if value.len() > MAX_AUTHORIZATION {
            return None;
        }
        let (scheme, rest) = value.split_at_checked("Basic".len())?;
        if !scheme.eq_ignore_ascii_case(b"Basic") {
            return None;
        }
        let text = decode(after_spaces(rest)?)?;
        let readable = std::str::from_utf8(&text).ok()?;
        if readable.chars().any(char::is_control) {
            return None;
        }
        // "The first colon in a user-pass string separates user-id and password."
        let colon = readable.find(':')?;
        Some(Credentials { text, colon })
    }

    /// The user's name; may be empty.
    pub(super) fn name(&self) -> &str {
        let name = self.text.get(..self.colon).unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }

    /// The password; may be empty and hold colons.
    pub(super) fn password(&self) -> &[u8] {
        self.text.get(self.colon + 1..).unwrap_or_default()
    }
}

/// What follows one or more spaces (RFC 9110 §11.4: `auth-scheme 1*SP token68`).
fn after_spaces(rest: &[u8]) -> Option<&[u8]> {
    let token = rest.trim_ascii_start();
    let spaces = rest.len() - token.len();
    let only_spaces = rest.iter().take(spaces).all(|&b| b == b' ');
    (spaces > 0 && only_spaces).then_some(token)
}

/// Strict base64: the standard alphabet, padded, nothing else in between.
fn decode(token: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(vec![0; base64::decoded_len_estimate(token.len())]);
    let length = STANDARD.decode_slice(token, &mut text).ok()?;
    text.truncate(length);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(text: &[u8]) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(text)).into_bytes()
    }

    fn parsed(value: &[u8]) -> Option<(String, Vec<u8>)> {
        let credentials = Credentials::parse(value)?;
        Some((
            credentials.name().to_owned(),
            credentials.password().to_vec(),
        ))
    }

    fn pair(name: &str, password: &str) -> Option<(String, Vec<u8>)> {
        Some((name.to_owned(), password.as_bytes().to_vec()))
    }

    #[test]
    fn the_rfc_s_own_examples_are_read() {
        // RFC 7617 §2 and §2.1.
        let aladdin = b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
        assert_eq!(parsed(aladdin), pair("Aladdin", "open sesame"));
        assert_eq!(parsed(b"Basic dGVzdDoxMjPCow=="), pair("test", "123£"));
    }

    #[test]
    fn the_scheme_has_any_case_and_any_number_of_spaces() {
        for value in ["basic YTpi", "BASIC YTpi", "bAsIc    YTpi"] {
            assert_eq!(parsed(value.as_bytes()), pair("a", "b"), "{value}");
        }
        for value in [
            "",
            "Basic",
            "Basic ",
            "BasicYTpi",
            "Basic\tYTpi",
            "Basic \tYTpi",
            "Bearer YTpi",
            "Digest a=b",
            " Basic YTpi",
            "Basi",
            "B\u{e4}sic YTpi",
        ] {
            assert_eq!(parsed(value.as_bytes()), None, "{value:?}");
        }
    }

    #[test]
    fn the_first_colon_splits() {
        assert_eq!(parsed(&basic(b"a:b:c:")), pair("a", "b:c:"));
        assert_eq!(parsed(&basic(b":")), pair("", ""));
        assert_eq!(parsed(&basic(b":b")), pair("", "b"));
        assert_eq!(parsed(&basic(b"a:")), pair("a", ""));
        assert_eq!(parsed(&basic(b"no colon")), None);
    }

    #[test]
    fn base64_is_taken_to_the_letter() {
        for value in [
            "Basic YTpiYw",       // padding left out
            "Basic YTpiYw=",      // half of it
            "Basic YTpiYw===",    // too much
            "Basic YTpiYx==",     // bits behind the end
            "Basic YTpi YTpi",    // a space inside
            "Basic YTpi\r\nYTpi", // a line end inside
            "Basic YTpi ",        // and one behind
            "Basic _-pi",         // the URL alphabet
            "Basic YTpi, Basic YTpi",
        ] {
            assert_eq!(parsed(value.as_bytes()), None, "{value:?}");
        }
        assert_eq!(parsed(b"Basic YTpiYw=="), pair("a", "bc"));
    }

    #[test]
    fn text_that_is_not_utf8_or_has_control_characters_is_refused() {
        for text in [
            &b"a:\xff"[..],
            b"\xc3:b",
            b"a:b\n",
            b"a\0:b",
            b"a:\x7f",
            "a:\u{85}".as_bytes(),
        ] {
            assert_eq!(parsed(&basic(text)), None, "{text:?}");
        }
    }

    #[test]
    fn the_length_is_bounded() {
        let mut text = vec![b'x'; MAX_AUTHORIZATION];
        text[1] = b':';
        assert_eq!(parsed(&basic(&text)), None);
        text.truncate(500);
        assert!(parsed(&basic(&text)).is_some());
    }

    #[test]
    fn nothing_breaks_at_any_cut_or_byte() {
        let whole = basic("jürgen:pässwörd".as_bytes());
        for end in 0..whole.len() {
            parsed(&whole[..end]);
            for byte in [0, b' ', b'=', b'\r', 0x80, 0xff] {
                let mut broken = whole.clone();
                broken[end] = byte;
                parsed(&broken);
            }
        }
    }
}
