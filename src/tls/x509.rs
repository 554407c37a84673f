//! What the agent needs to know of a root's or a client's certificate (RFC 5280 §4.1).
//!
//! `build.rs` includes this file too: the root that is embedded and the one that is given at run
//! time pass the same judgement.

use super::der::{Reader, tag};

/// The extensions that are looked at, by the content octets of their OIDs.
mod extension {
    /// subjectKeyIdentifier, 2.5.29.14.
    pub const KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
    /// keyUsage, 2.5.29.15.
    pub const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
    /// subjectAltName, 2.5.29.17.
    pub const ALTERNATIVES: &[u8] = &[0x55, 0x1d, 0x11];
    /// basicConstraints, 2.5.29.19.
    pub const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
}

/// The keyCertSign bit in the first octet of a KeyUsage.
const KEY_CERT_SIGN: u8 = 0x04;

/// A certificate, read as far as issuing under it needs.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    /// The Validity, whole: it is copied into what the root signs.
    pub validity: &'a [u8],
    /// The subject's Name, whole: it is copied as the issuer of what the root signs (Go compares
    /// the raw bytes).
    pub subject: &'a [u8],
    /// The key itself: the content octets of subjectPublicKey, without the unused-bits octet.
    pub public_key: &'a [u8],
    /// The subject key identifier, where there is one.
    pub key_id: Option<&'a [u8]>,
    /// The subject's alternative names (GeneralNames), whole, where there are any.
    pub alternatives: Option<&'a [u8]>,
    /// BasicConstraints' cA.
    is_ca: bool,
    /// The first octet of KeyUsage, where there is one.
    key_usage: Option<u8>,
}

impl<'a> Certificate<'a> {
    /// Reads a certificate from its DER; `None` when it is not one.
    pub fn parse(der: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::new(der);
        let mut certificate = Reader::new(outer.expect(tag::SEQUENCE)?.contents);
        let mut fields = Reader::new(certificate.expect(tag::SEQUENCE)?.contents);
        fields.take_if(tag::CONTEXT_0);
        fields.expect(tag::INTEGER)?;
        fields.expect(tag::SEQUENCE)?;
        fields.expect(tag::SEQUENCE)?;
        let validity = fields.expect(tag::SEQUENCE)?.whole;
        let subject = fields.expect(tag::SEQUENCE)?.whole;
        let key_info = fields.expect(tag::SEQUENCE)?;
        let mut read = Certificate {
            validity,
            subject,
            public_key: public_key(key_info.whole)?,
            key_id: None,
            alternatives: None,
            is_ca: false,
            key_usage: None,
        };
        while let Some(field) = fields.next() {
            if field.tag == tag::CONTEXT_3 {
                read.read_extensions(field.contents)?;
            }
        }
        outer.is_empty().then_some(read)
    }

    /// Whether it may issue certificates.
    ///
    /// # Errors
    /// What it lacks, as the end of a sentence that begins with its name.
    pub fn may_issue(&self) -> Result<(), &'static str> {
        if !self.is_ca {
            return Err("is not a certificate authority (its BasicConstraints lack CA:TRUE)");
        }
        match self.key_usage {
            Some(usage) if usage & KEY_CERT_SIGN == 0 => {
                Err("may not sign certificates (its KeyUsage lacks keyCertSign)")
            }
            _ => Ok(()),
        }
    }

    /// When it begins to be valid, in seconds since the epoch; `None` when that cannot be read.
    pub fn not_before(&self) -> Option<i64> {
        let fields = Reader::new(self.validity).expect(tag::SEQUENCE)?;
        let time = Reader::new(fields.contents).next()?;
        unix_seconds(time.tag, time.contents)
    }

    fn read_extensions(&mut self, contents: &'a [u8]) -> Option<()> {
        let mut extensions = Reader::new(Reader::new(contents).expect(tag::SEQUENCE)?.contents);
        while !extensions.is_empty() {
            let mut fields = Reader::new(extensions.expect(tag::SEQUENCE)?.contents);
            let id = fields.expect(tag::OID)?.contents;
            fields.take_if(tag::BOOLEAN);
            let mut value = Reader::new(fields.expect(tag::OCTET_STRING)?.contents);
            match id {
                extension::KEY_ID => self.key_id = Some(value.expect(tag::OCTET_STRING)?.contents),
                extension::ALTERNATIVES => {
                    self.alternatives = Some(value.expect(tag::SEQUENCE)?.whole);
                }
                extension::KEY_USAGE => {
                    // The first octet of a BIT STRING counts the unused bits of the last one.
                    let bits = value.expect(tag::BIT_STRING)?.contents;
                    self.key_usage = Some(bits.get(1).copied().unwrap_or(0));
                }
                extension::BASIC_CONSTRAINTS => {
                    let mut constraints = Reader::new(value.expect(tag::SEQUENCE)?.contents);
                    self.is_ca = constraints
                        .take_if(tag::BOOLEAN)
                        .is_some_and(|ca| ca.contents != [0]);
                }
                _ => {}
            }
        }
        Some(())
    }
}

/// The key itself out of a SubjectPublicKeyInfo.
pub fn public_key(key_info: &[u8]) -> Option<&[u8]> {
    let mut fields = Reader::new(Reader::new(key_info).expect(tag::SEQUENCE)?.contents);
    fields.expect(tag::SEQUENCE)?;
    match fields.expect(tag::BIT_STRING)?.contents.split_first()? {
        (0, key) => Some(key),
        _ => None,
    }
}

/// A Time of RFC 5280 §4.1.2.5 (`YYMMDDHHMMSSZ`, or with four digits of the year) in seconds since
/// the epoch.
fn unix_seconds(form: u8, text: &[u8]) -> Option<i64> {
    let (year, rest) = match form {
        tag::UTC_TIME => {
            let (digits, rest) = text.split_at_checked(2)?;
            let year = number(digits)?;
            (year + if year < 50 { 2000 } else { 1900 }, rest)
        }
        tag::GENERALIZED_TIME => {
            let (digits, rest) = text.split_at_checked(4)?;
            (number(digits)?, rest)
        }
        _ => return None,
    };
    let &[m1, m2, d1, d2, h1, h2, n1, n2, s1, s2, b'Z'] = rest else {
        return None;
    };
    let month = number(&[m1, m2]).filter(|month| (1..=12).contains(month))?;
    let days = days_since_epoch(year, month, number(&[d1, d2])?);
    Some(((days * 24 + number(&[h1, h2])?) * 60 + number(&[n1, n2])?) * 60 + number(&[s1, s2])?)
}

/// A few decimal digits.
fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + i64::from(digit - b'0'))
    })
}

/// Days from 1970-01-01 to a date of the Gregorian calendar: years begin in March, so that the
/// leap day is a year's last and a month's first day is a linear function of its number.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    /// Days from 0000-03-01 to 1970-01-01.
    const EPOCH: i64 = 719_468;
    year * 365 + leap_days + day_of_year - EPOCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(unix_seconds(tag::UTC_TIME, b"700101000000Z"), Some(0));
        assert_eq!(
            unix_seconds(tag::UTC_TIME, b"261122191305Z"),
            Some(1_795_374_785)
        );
        assert_eq!(
            unix_seconds(tag::GENERALIZED_TIME, b"20500228235959Z"),
            Some(2_529_705_599)
        );
        assert_eq!(
            unix_seconds(tag::GENERALIZED_TIME, b"20240229000000Z"),
            Some(1_709_164_800)
        );
        for wrong in [
            &b"700101000000"[..],
            b"7x0101000000Z",
            b"701301000000Z",
            b"",
        ] {
            assert_eq!(unix_seconds(tag::UTC_TIME, wrong), None);
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused_at_every_byte() {
        let der = crate::tls::root::embedded_certificate();
        assert!(Certificate::parse(der).is_some());
        for end in 0..der.len() {
            assert!(Certificate::parse(&der[..end]).is_none(), "at {end}");
        }
    }
}
