//! In which form a file holds a private key, and the command that turns it into PKCS#8 in PEM.
//!
//! `build.rs` includes this file too: a root's key is refused with the same words at build time
//! and at run time.

/// What a file that should hold a private key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// PEM, `PRIVATE KEY`: what is asked for.
    Pkcs8,
    /// PEM, `EC PRIVATE KEY` (RFC 5915).
    Sec1,
    /// PEM, `RSA PRIVATE KEY` (RFC 8017).
    Pkcs1,
    /// PEM, `ENCRYPTED PRIVATE KEY`.
    Encrypted,
    /// A key in DER, without PEM's armour.
    Der,
    /// Java's own key store (JKS or JCEKS).
    JavaKeyStore,
    /// A PKCS#12 store: what Java writes since version 9, or a `.p12` or `.pfx` file.
    Pkcs12,
    /// PEM without any private key.
    NoKey,
    /// None of these.
    Unknown,
}

impl KeyForm {
    /// Recognises the form by PEM labels and magic bytes.
    pub fn of(bytes: &[u8]) -> KeyForm {
        const PEM_LABELS: [(&str, KeyForm); 5] = [
            ("-----BEGIN PRIVATE KEY-----", KeyForm::Pkcs8),
            ("-----BEGIN EC PRIVATE KEY-----", KeyForm::Sec1),
            ("-----BEGIN RSA PRIVATE KEY-----", KeyForm::Pkcs1),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----", KeyForm::Encrypted),
            ("-----BEGIN ", KeyForm::NoKey),
        ];
        const JKS: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
        const JCEKS: [u8; 4] = [0xce, 0xce, 0xce, 0xce];
        if bytes.starts_with(&JKS) || bytes.starts_with(&JCEKS) {
            return KeyForm::JavaKeyStore;
        }
        if let Some(form) = der_form(bytes) {
            return form;
        }
        PEM_LABELS
            .iter()
            .find(|(label, _)| contains(bytes, label.as_bytes()))
            .map_or(KeyForm::Unknown, |&(_, form)| form)
    }

    /// What is wrong with the file at `path` and how to mend it; `None` for PKCS#8.
    pub fn complaint(self, path: &str) -> Option<String> {
        let quoted = shell_word(path);
        let pem = shell_word(&format!("{path}.pkcs8.pem"));
        let store = shell_word(&format!("{path}.p12"));
        let convert = |what: &str, inform: &str| {
            format!(
                "holds {what}; an unencrypted PKCS#8 key in PEM is needed, which this makes: \
                 openssl pkcs8 -topk8 -nocrypt {inform}-in {quoted} -out {pem}"
            )
        };
        let unpack = |store: &str| {
            format!(
                "openssl pkcs12 -in {store} -nodes -nocerts | openssl pkcs8 -topk8 -nocrypt -out {pem} \
                 (its certificate: openssl pkcs12 -in {store} -nokeys -out {})",
                shell_word(&format!("{path}.cert.pem"))
            )
        };
        Some(match self {
            KeyForm::Pkcs8 => return None,
            KeyForm::Sec1 => convert("an EC key in SEC1 form", ""),
            KeyForm::Pkcs1 => convert("an RSA key in PKCS#1 form", ""),
            KeyForm::Encrypted => convert("an encrypted key", ""),
            KeyForm::Der => convert("a key in DER", "-inform DER "),
            KeyForm::JavaKeyStore => format!(
                "is a Java keystore; the key is needed as PKCS#8 in PEM, which these make: \
                 keytool -importkeystore -srckeystore {quoted} -destkeystore {store} -deststoretype PKCS12 && {}",
                unpack(&store)
            ),
            KeyForm::Pkcs12 => format!(
                "is a PKCS#12 store; the key is needed as PKCS#8 in PEM, which this makes: {}",
                unpack(&quoted)
            ),
            KeyForm::NoKey => "holds no private key (no PEM section PRIVATE KEY)".to_owned(),
            KeyForm::Unknown => {
                "is not in PEM form (no line -----BEGIN PRIVATE KEY-----)".to_owned()
            }
        })
    }
}

/// The forms that begin as a DER SEQUENCE whose first field is a version.
fn der_form(bytes: &[u8]) -> Option<KeyForm> {
    let (0x30, rest) = bytes.split_first().map(|(&first, rest)| (first, rest))? else {
        return None;
    };
    let (&length, rest) = rest.split_first()?;
    // PKCS#12 stores may have an indefinite length (0x80), which has no octets after it.
    let octets = if length < 0x80 {
        0
    } else {
        usize::from(length & 0x7f)
    };
    match rest.get(octets..)? {
        [0x02, 0x01, 0x03, ..] => Some(KeyForm::Pkcs12),
        // PKCS#8 and PKCS#1 have version 0 (PKCS#8 with a public key: 1), SEC1 has version 1.
        [0x02, 0x01, 0x00 | 0x01, 0x30 | 0x02 | 0x04, ..] => Some(KeyForm::Der),
        // An encrypted PKCS#8 key: SEQUENCE { SEQUENCE { OID 1.2.840.113549.1.5.… or .12.… } …
        [
            0x30,
            _,
            0x06,
            _,
            0x2a,
            0x86,
            0x48,
            0x86,
            0xf7,
            0x0d,
            0x01,
            0x05 | 0x0c,
            ..,
        ] => Some(KeyForm::Der),
        _ => None,
    }
}

/// What is wrong with a file at `path` that should hold certificates in PEM and does not, and how
/// to mend it.
pub fn certificate_complaint(bytes: &[u8], path: &str) -> String {
    let quoted = shell_word(path);
    let pem = shell_word(&format!("{path}.pem"));
    match KeyForm::of(bytes) {
        KeyForm::JavaKeyStore => format!(
            "is a Java keystore; the certificate is needed in PEM, which this makes: \
             keytool -exportcert -rfc -keystore {quoted} -alias root-cert -file {pem}"
        ),
        KeyForm::Pkcs12 => format!(
            "is a PKCS#12 store; the certificate is needed in PEM, which this makes: \
             openssl pkcs12 -in {quoted} -nokeys -out {pem}"
        ),
        _ if bytes.starts_with(&[0x30, 0x82]) => format!(
            "is not in PEM form; if it is a certificate in DER, this makes it PEM: \
             openssl x509 -inform DER -in {quoted} -out {pem}"
        ),
        _ => "holds no certificate (no PEM section CERTIFICATE)".to_owned(),
    }
}

/// `text` as one word of a shell's command line.
pub(super) fn shell_word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:,@".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|part| part == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_by_labels_and_magic_bytes() {
        let cases: [(&[u8], KeyForm); 11] = [
            (b"Bag\n-----BEGIN PRIVATE KEY-----\n", KeyForm::Pkcs8),
            (
                b"-----BEGIN EC PARAMETERS-----\n-----BEGIN EC PRIVATE KEY-----\n",
                KeyForm::Sec1,
            ),
            (b"-----BEGIN RSA PRIVATE KEY-----\n", KeyForm::Pkcs1),
            (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", KeyForm::Encrypted),
            (b"-----BEGIN CERTIFICATE-----\n", KeyForm::NoKey),
            (b"\xfe\xed\xfe\xed\0\0\0\x02", KeyForm::JavaKeyStore),
            (b"\x30\x82\x09\xd0\x02\x01\x03\x30", KeyForm::Pkcs12),
            (b"\x30\x80\x02\x01\x03\x30", KeyForm::Pkcs12),
            (b"\x30\x81\x87\x02\x01\x00\x30", KeyForm::Der),
            (b"", KeyForm::Unknown),
            (b"\x30", KeyForm::Unknown),
        ];
        for (bytes, form) in cases {
            assert_eq!(KeyForm::of(bytes), form, "{bytes:?}");
        }
    }

    #[test]
    fn a_path_with_blanks_or_quotes_stays_one_word() {
        assert_eq!(shell_word("/etc/root.key"), "/etc/root.key");
        assert_eq!(shell_word("it's mine"), r"'it'\''s mine'");
        assert_eq!(shell_word("$(id)"), "'$(id)'");
    }
}
