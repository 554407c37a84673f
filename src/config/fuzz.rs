//! The harness for configuration files (see `fuzzing`).
#![allow(clippy::unwrap_used, reason = "a harness fails by a panic")]

use super::ini;

/// An INI file: keys and values are bounded and clean, and line ends make no difference.
pub fn ini(bytes: &[u8]) {
    let lines = 1 + bytes.iter().filter(|byte| b"\r\n".contains(byte)).count();
    let read = ini::parse(bytes);
    match &read {
        Err(error) => {
            assert!((1..=lines).contains(&error.line));
            assert!(!error.problem.contains(char::is_control));
        }
        Ok(entries) => {
            for (place, entry) in entries.iter().enumerate() {
                assert!((1..=lines).contains(&entry.line) && !entry.key.is_empty());
                assert!(entry.value.len() <= 64 * 1024);
                let wild = |character: char| character.is_control() && !"\n\t".contains(character);
                assert!(!entry.value.contains(wild) && !entry.key.contains(wild));
                assert!(
                    !entries[..place]
                        .iter()
                        .any(|before| before.key == entry.key)
                );
            }
        }
    }
    let text = String::from_utf8_lossy(bytes);
    if !text.contains('\r') {
        let windows = bytes.split(|&byte| byte == b'\n').collect::<Vec<_>>();
        assert_eq!(ini::parse(&windows.join(&b"\r\n"[..])), read);
    }
}
