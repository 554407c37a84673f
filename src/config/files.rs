//! Files that settings name: secrets, hashes, users, certificates.

use super::error::ConfigError;
use super::raw::{self, Setting};
use crate::auth;
use crate::policy::Policies;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The largest file with one secret or hash, in bytes.
const MAX_SECRET_FILE: usize = 16 * 1024;
/// The largest file of users, in bytes.
const MAX_USERS_FILE: usize = 1024 * 1024;
/// The largest file of policies, in bytes.
const MAX_POLICIES_FILE: usize = 256 * 1024;

/// The one line of a file that holds a secret. Warns where everybody may read it.
///
/// # Errors
/// The file cannot be read, is empty, or has more than one line.
pub fn secret_line(setting: &Setting, warnings: &mut Vec<String>) -> Result<String, ConfigError> {
    let path = PathBuf::from(&setting.value);
    let (text, everyones) = read(setting, &path, MAX_SECRET_FILE)?;
    if everyones {
        warnings.push(raw::world_readable(&path));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let content = |problem: &str| {
        let origin = setting.origin.clone();
        ConfigError::Content(origin, path.clone(), 0, problem.to_string())
    };
    if line.is_empty() {
        return Err(content("the file is empty"));
    }
    if line.contains(['\n', '\r']) {
        return Err(content("more than one line"));
    }
    Ok(line.to_string())
}

/// The users of an htpasswd file, with their hashes.
///
/// # Errors
/// The file cannot be read, or has a line that is no user with a bcrypt hash.
pub fn users(setting: &Setting) -> Result<Vec<(String, String)>, ConfigError> {
    let path = PathBuf::from(&setting.value);
    let (text, _) = read(setting, &path, MAX_USERS_FILE)?;
    auth::parse_htpasswd(&text).map_err(|(line, error)| {
        ConfigError::Content(setting.origin.clone(), path, line, error.to_string())
    })
}

/// Adds the policies of a file.
///
/// # Errors
/// The file cannot be read, or has a policy that is refused.
pub fn policies(setting: &Setting, policies: &mut Policies) -> Result<(), ConfigError> {
    let path = PathBuf::from(&setting.value);
    let (text, _) = read(setting, &path, MAX_POLICIES_FILE)?;
    let place = path.display().to_string();
    policies.add(&text, &place).map_err(|(line, problem)| {
        ConfigError::Content(setting.origin.clone(), path, line, problem)
    })
}

/// The path of a file that must be readable; its content is for others to judge.
///
/// # Errors
/// It is not there, not permitted, or a directory.
pub fn readable(setting: &Setting) -> Result<PathBuf, ConfigError> {
    let path = PathBuf::from(&setting.value);
    let opened = File::open(&path).and_then(|file| {
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(())
    });
    match opened {
        Ok(()) => Ok(path),
        Err(error) => Err(ConfigError::Unreadable(setting.origin.clone(), path, error)),
    }
}

/// The text of a file, and whether everybody may read it.
fn read(setting: &Setting, path: &Path, limit: usize) -> Result<(String, bool), ConfigError> {
    let unreadable =
        |error| ConfigError::Unreadable(setting.origin.clone(), path.to_path_buf(), error);
    let file = File::open(path).map_err(unreadable)?;
    let everyones = raw::is_world_readable(&file);
    let bytes = raw::read_bounded(file, limit).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| {
        let origin = setting.origin.clone();
        ConfigError::Content(origin, path.to_path_buf(), 0, "not UTF-8".to_string())
    })?;
    Ok((text, everyones))
}
