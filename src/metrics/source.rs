//! Bounded reads of the kernel's files, and what can go wrong with them.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::sys::fs::read_up_to;

/// Why a source could not be read.
#[derive(Debug)]
pub enum SourceError {
    /// A file or directory could not be opened or read.
    Read {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
    /// A file lacks what it always has, or has it in a form that is not the kernel's.
    Content {
        /// Which file.
        path: PathBuf,
        /// What is missing or wrong.
        missing: &'static str,
    },
    /// A file is longer than any that a kernel writes.
    TooLong {
        /// Which file.
        path: PathBuf,
        /// The most bytes that are read.
        bound: usize,
    },
}

impl SourceError {
    pub(super) fn read(path: &Path, error: io::Error) -> SourceError {
        SourceError::Read {
            path: path.to_owned(),
            error,
        }
    }

    pub(super) fn content(path: &Path, missing: &'static str) -> SourceError {
        SourceError::Content {
            path: path.to_owned(),
            missing,
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::Read { path, error } => {
                write!(f, "cannot read {}: {error}", path.display())
            }
            SourceError::Content { path, missing } => {
                write!(f, "{} has no usable {missing}", path.display())
            }
            SourceError::TooLong { path, bound } => {
                write!(f, "{} has more than {bound} bytes", path.display())
            }
        }
    }
}

impl Error for SourceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            SourceError::Read { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// The beginning of a file, as much as one `read(2)` gives. The kernel makes the whole text of
/// its single-record files (`stat`, `meminfo`, sysfs attributes) in one read, so that a second
/// one would only be told of the end.
pub(super) fn read_once<'a>(path: &Path, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let mut file = File::open(path)?;
    let length = loop {
        match file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    Ok(buffer.get(..length).unwrap_or_default())
}

/// A whole file of up to `bound` bytes, and the file itself, still open.
pub(super) fn read_whole(path: &Path, bound: usize) -> Result<(Vec<u8>, File), SourceError> {
    let failed = |error| SourceError::read(path, error);
    let file = File::open(path).map_err(failed)?;
    let text = read_up_to(&file, bound.saturating_add(1)).map_err(failed)?;
    if text.len() > bound {
        return Err(SourceError::TooLong {
            path: path.to_owned(),
            bound,
        });
    }
    Ok((text, file))
}

/// The lines of a text that are whole: what follows the last line end was cut off somewhere, and
/// half a number is worse than none.
pub(super) fn whole_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|&b| b == b'\n')
        .filter_map(|line| line.strip_suffix(b"\n"))
}

/// The fields of a line, between spaces and tabs.
pub(super) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&b| b == b' ' || b == b'\t')
        .filter(|field| !field.is_empty())
}

/// A decimal number: digits only, and no more than 64 bits hold.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// `tests/fixtures/NAME`.
    pub(in crate::metrics) fn fixture(name: &str) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let path = root.join(name);
        assert!(path.is_dir(), "{}", path.display());
        path
    }

    /// A directory of a test's own, removed with it.
    pub(in crate::metrics) struct Tree(pub PathBuf);

    impl Tree {
        pub(in crate::metrics) fn new() -> Tree {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("haven-metrics-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&path).unwrap();
            Tree(path.canonicalize().unwrap())
        }

        /// Writes a file under the tree, with the directories above it.
        pub(in crate::metrics) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
            let path = self.0.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn numbers_are_digits_that_fit() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for bad in ["", "18446744073709551616", "-1", "+1", "1 ", "0x1", "1.0"] {
            assert_eq!(number(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_no_line() {
        let lines: Vec<&[u8]> = whole_lines(b"one\n\ntwo\nthr").collect();
        assert_eq!(lines, [&b"one"[..], b"", b"two"]);
        assert_eq!(whole_lines(b"").count(), 0);
    }

    #[test]
    fn reads_are_bounded() {
        let tree = Tree::new();
        tree.write("file", "0123456789");
        let path = tree.0.join("file");
        assert_eq!(read_once(&path, &mut [0; 4]).unwrap(), b"0123");
        assert_eq!(read_once(&path, &mut [0; 40]).unwrap(), b"0123456789");
        assert_eq!(read_whole(&path, 10).unwrap().0, b"0123456789");
        let error = read_whole(&path, 9).unwrap_err();
        assert!(error.to_string().contains("more than 9 bytes"), "{error}");
        let error = read_whole(&tree.0.join("none"), 9).unwrap_err();
        assert!(error.to_string().starts_with("cannot read "), "{error}");
    }
}
