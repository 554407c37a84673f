//! What can be wrong with the settings.

use super::raw::Origin;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// One problem with the settings. `Display` is one line that says where it is, and never a secret.
#[derive(Debug)]
pub enum ConfigError {
    /// The command line cannot be understood.
    Usage(String),
    /// A setting's text does not mean anything that it may mean.
    Value(Origin, String),
    /// A setting's text is not UTF-8.
    NotText(Origin),
    /// Two spellings of one option in the same place differ.
    Conflict(Origin, Origin),
    /// Two options of which only one may be given.
    Exclusive(Origin, Origin),
    /// An environment variable with the agent's prefix that names no option.
    UnknownVariable(String),
    /// A line of an INI file.
    Ini(PathBuf, usize, String),
    /// An INI file that was found and cannot be read.
    UnreadableIni(PathBuf, io::Error),
    /// A file that a setting names cannot be read.
    Unreadable(Origin, PathBuf, io::Error),
    /// The text of a file that a setting names: origin, file, line (0: as a whole), problem.
    Content(Origin, PathBuf, usize, String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Usage(problem) => write!(f, "{problem} (see --help)"),
            ConfigError::Value(origin, problem) => write!(f, "{origin}: {problem}"),
            ConfigError::NotText(origin) => write!(f, "{origin}: the value is not UTF-8"),
            ConfigError::Conflict(one, other) => {
                write!(f, "{one} and {other} set the same option differently")
            }
            ConfigError::Exclusive(one, other) => {
                write!(f, "{one} and {other} exclude each other: give one of them")
            }
            ConfigError::UnknownVariable(name) => {
                write!(
                    f,
                    "environment variable {name} names no option (see --help)"
                )
            }
            ConfigError::Ini(path, line, problem) => {
                write!(f, "{}:{line}: {problem}", path.display())
            }
            ConfigError::UnreadableIni(path, error) => {
                write!(f, "cannot read {}: {error}", path.display())
            }
            ConfigError::Unreadable(origin, path, error) => {
                write!(f, "{origin}: cannot read {}: {error}", path.display())
            }
            ConfigError::Content(origin, path, 0, problem) => {
                write!(f, "{origin}: {}: {problem}", path.display())
            }
            ConfigError::Content(origin, path, line, problem) => {
                write!(f, "{origin}: {}:{line}: {problem}", path.display())
            }
        }
    }
}

impl std::error::Error for ConfigError {}
