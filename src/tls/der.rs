//! DER (X.690) as far as certificates need it: a reader of elements and a writer of them.
//!
//! Uses nothing but `core` and `alloc`'s prelude: `build.rs` includes this file as well.

/// Universal and context tags, as they stand in a certificate (RFC 5280, appendix A).
pub mod tag {
    /// BOOLEAN.
    pub const BOOLEAN: u8 = 0x01;
    /// INTEGER.
    pub const INTEGER: u8 = 0x02;
    /// BIT STRING.
    pub const BIT_STRING: u8 = 0x03;
    /// OCTET STRING.
    pub const OCTET_STRING: u8 = 0x04;
    /// OBJECT IDENTIFIER.
    pub const OID: u8 = 0x06;
    /// UTF8String.
    pub const UTF8_STRING: u8 = 0x0c;
    /// PrintableString.
    pub const PRINTABLE_STRING: u8 = 0x13;
    /// IA5String.
    pub const IA5_STRING: u8 = 0x16;
    /// UTCTime: two digits of the year.
    pub const UTC_TIME: u8 = 0x17;
    /// GeneralizedTime: four digits of the year.
    pub const GENERALIZED_TIME: u8 = 0x18;
    /// SEQUENCE.
    pub const SEQUENCE: u8 = 0x30;
    /// SET.
    pub const SET: u8 = 0x31;
    /// `[0]`, constructed: a certificate's version.
    pub const CONTEXT_0: u8 = 0xa0;
    /// `[1]`, constructed: an EC key's public half.
    pub const CONTEXT_1: u8 = 0xa1;
    /// `[0]`, IMPLICIT and primitive: a keyIdentifier.
    pub const IMPLICIT_0: u8 = 0x80;
    /// `[1]`, IMPLICIT and primitive: an rfc822Name.
    pub const IMPLICIT_1: u8 = 0x81;
    /// `[2]`, IMPLICIT and primitive: a dNSName.
    pub const IMPLICIT_2: u8 = 0x82;
    /// `[7]`, IMPLICIT and primitive: an iPAddress.
    pub const IMPLICIT_7: u8 = 0x87;
    /// `[3]`, constructed: a certificate's extensions.
    pub const CONTEXT_3: u8 = 0xa3;
}

/// One element: its tag, what it holds, and its whole encoding.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    /// The identifier octet.
    pub tag: u8,
    /// The content octets.
    pub contents: &'a [u8],
    /// Identifier, length and content octets.
    pub whole: &'a [u8],
}

/// Reads elements one after the other; whatever is malformed reads as `None`.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the first element of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element, whatever its tag.
    pub fn next(&mut self) -> Option<Element<'a>> {
        let (&tag, after_tag) = self.rest.split_first()?;
        let (length, after_length) = read_length(after_tag)?;
        let contents = after_length.get(..length)?;
        let rest = after_length.get(length..)?;
        let whole = self.rest.get(..self.rest.len().checked_sub(rest.len())?)?;
        self.rest = rest;
        Some(Element {
            tag,
            contents,
            whole,
        })
    }

    /// The next element if it has this tag, else `None`.
    pub fn expect(&mut self, tag: u8) -> Option<Element<'a>> {
        self.next().filter(|element| element.tag == tag)
    }

    /// The next element if it has this tag; one of another tag stays to be read.
    pub fn take_if(&mut self, tag: u8) -> Option<Element<'a>> {
        if self.rest.first() == Some(&tag) {
            self.next()
        } else {
            None
        }
    }
}

/// Octets of a length in its long form that are understood: 16 MiB is beyond any certificate.
const MAX_LENGTH_OCTETS: usize = 3;

/// A definite length (X.690 §8.1.3) and what follows it.
fn read_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((usize::from(first), rest));
    }
    let octets = usize::from(first & 0x7f);
    if octets == 0 || octets > MAX_LENGTH_OCTETS {
        return None;
    }
    let length = rest
        .get(..octets)?
        .iter()
        .fold(0, |length, &octet| length << 8 | usize::from(octet));
    Some((length, rest.get(octets..)?))
}

/// An element of `tag` that holds `parts`, one after the other.
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    if let Ok(short @ 0..0x80) = u8::try_from(length) {
        out.push(short);
    } else {
        let octets = length.to_be_bytes();
        let zeros = octets.iter().take_while(|&&octet| octet == 0).count();
        let significant = octets.iter().skip(zeros);
        out.push(0x80 | significant.len() as u8);
        out.extend(significant);
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let contents = vec![7; length];
            let whole = element(tag::OCTET_STRING, &[&contents]);
            let mut reader = Reader::new(&whole);
            let read = reader.expect(tag::OCTET_STRING).unwrap();
            assert_eq!(read.contents, contents);
            assert_eq!(read.whole, whole);
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn what_is_cut_short_is_refused_at_every_byte() {
        let whole = element(tag::SEQUENCE, &[&[9; 300]]);
        for end in 0..whole.len() {
            assert!(Reader::new(&whole[..end]).next().is_none(), "at {end}");
        }
    }

    #[test]
    fn lengths_that_are_indefinite_or_absurd_are_refused() {
        for bytes in [&[0x30, 0x80, 0, 0][..], &[0x30, 0x84, 0, 0, 0, 0], &[0x30]] {
            assert!(Reader::new(bytes).next().is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn an_element_of_another_tag_stays() {
        let bytes = element(tag::INTEGER, &[&[5]]);
        let mut reader = Reader::new(&bytes);
        assert!(reader.take_if(tag::BOOLEAN).is_none());
        assert!(reader.take_if(tag::INTEGER).is_some());
    }
}
