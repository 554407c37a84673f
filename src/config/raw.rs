//! Command line, environment and INI files as one set of texts, each with its origin.

use super::error::ConfigError;
use super::options::{self, ENV_PREFIX, Id, Opt};
use super::{arguments, ini};
use crate::sys::fs::read_up_to;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The largest INI file that is read, in bytes.
pub const MAX_INI_BYTES: usize = 256 * 1024;
/// The names of the INI file, the old agent's last.
const INI_NAMES: [&str; 2] = ["haven-agent.ini", "dm-agent.ini"];
/// What Docker's links and Kubernetes put into the environment for a service that is called
/// `haven-agent`; each is also ignored with `_` and more behind it, but for the name.
const INJECTED: [&str; 3] = ["PORT", "SERVICE", "ENV"];

/// Where a setting was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On the command line, by this spelling.
    Flag(String),
    /// In the environment variable of this name.
    Variable(String),
    /// In an INI file.
    Ini {
        /// Which.
        path: PathBuf,
        /// The line of the key.
        line: usize,
        /// The key as it is spelled, in lower case.
        key: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(name) | Origin::Variable(name) => f.write_str(name),
            Origin::Ini { path, line, key } => write!(f, "{}:{line}: {key}", path.display()),
        }
    }
}

/// The text of an option and where it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The text, as given. May be a secret.
    pub value: String,
    /// Where.
    pub origin: Origin,
    /// Whether by the Java agent's name.
    pub spring: bool,
    /// How specific its place is: the least wins.
    level: usize,
}

/// What the process was started with and in; the tests make their own.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The arguments, without the program's name.
    pub arguments: Vec<OsString>,
    /// The environment.
    pub variables: Vec<(OsString, OsString)>,
    /// The working directory.
    pub directory: PathBuf,
    /// `/etc`.
    pub etc: PathBuf,
    /// Whether this is process 1.
    pub pid1: bool,
}

/// The settings as texts, from all places.
#[derive(Clone, Debug, Default)]
pub struct RawConfig {
    /// Each option at most once.
    settings: Vec<(Id, Setting)>,
    /// The INI files that were read, the most specific first.
    pub files: Vec<PathBuf>,
    /// What is odd, but no error.
    pub warnings: Vec<String>,
}

impl RawConfig {
    /// The text of `id`, if it was given at all.
    pub fn get(&self, id: Id) -> Option<&Setting> {
        let mut settings = self.settings.iter();
        settings.find_map(|(given, setting)| (*given == id).then_some(setting))
    }

    /// Reads everything: `flags` (the command line's settings), the environment, the INI files.
    ///
    /// # Errors
    /// A variable or key is not known, a value is no text, or a file cannot be read.
    pub fn read(
        flags: Vec<(Id, Origin, bool, String)>,
        around: &Surroundings,
    ) -> Result<RawConfig, ConfigError> {
        let mut raw = RawConfig::default();
        for (id, origin, spring, value) in flags {
            raw.add(0, id, origin, spring, value)?;
        }
        raw.read_environment(&around.variables)?;
        if let Some(config) = raw.get(Id::Config).cloned() {
            let path = around.directory.join(&config.value);
            raw.read_ini(2, &path, Some(&config.origin))?;
        } else {
            for (place, path) in places(around).iter().enumerate() {
                raw.read_ini(2 + place, path, None)?;
            }
        }
        raw.settle()?;
        Ok(raw)
    }

    /// Each text that was given, to be changed, and of which option.
    pub fn texts(&mut self) -> impl Iterator<Item = (&mut Id, &mut String)> {
        let settings = self.settings.iter_mut();
        settings.map(|(id, setting)| (id, &mut setting.value))
    }

    /// Adds a text, unless a more specific place has given one. Levels are read in ascending order.
    ///
    /// # Errors
    /// Another spelling of the option says something else in the same place.
    pub fn add(
        &mut self,
        level: usize,
        id: Id,
        origin: Origin,
        spring: bool,
        value: String,
    ) -> Result<(), ConfigError> {
        let value = if id == Id::Listen && spring {
            format!(":{}", value.trim())
        } else {
            value
        };
        if let Some(other) = self.get(id) {
            if other.level < level {
                return Ok(());
            }
            if other.value != value && other.origin != origin {
                return Err(ConfigError::Conflict(other.origin.clone(), origin));
            }
        }
        let setting = Setting {
            value,
            origin,
            spring,
            level,
        };
        self.remove(id);
        self.settings.push((id, setting));
        Ok(())
    }

    fn read_environment(&mut self, variables: &[(OsString, OsString)]) -> Result<(), ConfigError> {
        for (name, value) in variables {
            // A name that is not UTF-8 is none of ours.
            let Some(name) = name.to_str() else { continue };
            match options::by_variable(name) {
                Some((option, spring)) if !(spring && is_link(option, value)) => {
                    let origin = Origin::Variable(name.to_string());
                    let value = value.clone().into_string();
                    let value = value.map_err(|_| ConfigError::NotText(origin.clone()))?;
                    self.add(1, option.id, origin, spring, value)?;
                }
                Some(_) => {}
                None => self.judge_unknown(name, value)?,
            }
        }
        Ok(())
    }

    /// A variable with our prefix that names no option is an error, like an unknown flag; the Java
    /// agent's other settings are warned of, since its users may keep them for other programs.
    fn judge_unknown(&mut self, name: &str, value: &OsStr) -> Result<(), ConfigError> {
        let upper = name.to_ascii_uppercase();
        if let Some(rest) = upper.strip_prefix(ENV_PREFIX) {
            if !is_injected(rest, value) {
                return Err(ConfigError::UnknownVariable(name.to_string()));
            }
        } else if ["DM_AGENT_", "DM_AUTH_", "DM.AGENT.", "DM.AUTH."]
            .iter()
            .any(|prefix| upper.starts_with(prefix))
        {
            self.warnings.push(format!(
                "environment variable {name} names no option of this agent and is ignored"
            ));
        }
        Ok(())
    }

    /// Reads one INI file. One that was asked for (`named`) must exist.
    fn read_ini(
        &mut self,
        level: usize,
        path: &Path,
        named: Option<&Origin>,
    ) -> Result<(), ConfigError> {
        let read = || {
            let file = File::open(path)?;
            let everyones = is_world_readable(&file);
            Ok((everyones, read_bounded(file, MAX_INI_BYTES)?))
        };
        let (everyones, bytes) = match (read(), named) {
            (Ok(read), _) => read,
            (Err(error), None) if is_absent(&error) => return Ok(()),
            (Err(error), None) => {
                return Err(ConfigError::UnreadableIni(path.to_path_buf(), error));
            }
            (Err(error), Some(origin)) => {
                let path = path.to_path_buf();
                return Err(ConfigError::Unreadable(origin.clone(), path, error));
            }
        };
        self.add_ini(level, path, &bytes, everyones, None)?;
        self.files.push(path.to_path_buf());
        Ok(())
    }

    /// Adds the settings of the INI file at `path`, which has these `bytes` and may be readable by everyone.
    /// A key that names no option goes to `unknown` with its value; it is an error where there is none.
    ///
    /// # Errors
    /// The line, and what is wrong there.
    pub fn add_ini(
        &mut self,
        level: usize,
        path: &Path,
        bytes: &[u8],
        everyones: bool,
        mut unknown: Option<&mut Vec<(String, String)>>,
    ) -> Result<(), ConfigError> {
        let at = |line, problem| ConfigError::Ini(path.to_path_buf(), line, problem);
        for entry in ini::parse(bytes).map_err(|error| at(error.line, error.problem))? {
            let Some((option, spring)) = options::by_ini_key(&entry.key) else {
                if let Some(unknown) = &mut unknown {
                    unknown.push((entry.key, entry.value));
                    continue;
                }
                let problem = format!("unknown key `{}`", entry.key.escape_debug());
                return Err(at(entry.line, problem));
            };
            if option.id == Id::Config {
                let problem = "`config` cannot stand in a configuration file".to_string();
                return Err(at(entry.line, problem));
            }
            if option.id == Id::Secret && everyones && !entry.value.is_empty() {
                self.warnings.push(world_readable(path));
            }
            let origin = Origin::Ini {
                path: path.to_path_buf(),
                line: entry.line,
                key: entry.key,
            };
            self.add(level, option.id, origin, spring, entry.value)?;
        }
        Ok(())
    }

    /// Of a value and the file that may hold it, both given, one counts.
    ///
    /// # Errors
    /// Both are given in the same place.
    pub fn settle(&mut self) -> Result<(), ConfigError> {
        self.settle_pair(Id::Secret, Id::SecretFile)?;
        self.settle_pair(Id::AdminPassword, Id::AdminPasswordFile)
    }

    /// The one from the more specific place.
    fn settle_pair(&mut self, value: Id, file: Id) -> Result<(), ConfigError> {
        let (Some(one), Some(other)) = (self.get(value), self.get(file)) else {
            return Ok(());
        };
        if one.level == other.level {
            let (one, other) = (one.origin.clone(), other.origin.clone());
            return Err(ConfigError::Exclusive(one, other));
        }
        let loser = if one.level < other.level { file } else { value };
        self.remove(loser);
        Ok(())
    }

    /// Forgets what was given.
    pub fn remove(&mut self, id: Id) {
        self.settings.retain(|(given, _)| *given != id);
    }
}

/// The INI files that are looked for, the most specific first, none twice.
fn places(around: &Surroundings) -> Vec<PathBuf> {
    let variable = |name: &str| {
        let found = around.variables.iter().find(|(key, _)| key == name);
        found
            .map(|(_, value)| PathBuf::from(value))
            .filter(|path| !path.as_os_str().is_empty())
    };
    let users = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
    let directories = [
        Some(around.directory.clone()),
        users,
        Some(around.etc.clone()),
    ];
    let mut paths = Vec::new();
    for directory in directories.into_iter().flatten() {
        for name in INI_NAMES {
            let path = directory.join(name);
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    paths
}

/// `SERVER_PORT=tcp://…` is what Docker and Kubernetes inject for a service called `server`.
fn is_link(option: &Opt, value: &OsStr) -> bool {
    option.id == Id::Listen && is_url(value)
}

fn is_url(value: &OsStr) -> bool {
    value.to_string_lossy().contains("://")
}

fn is_injected(rest: &str, value: &OsStr) -> bool {
    let beneath = |name: &&str| {
        let more = rest.strip_prefix(*name);
        more.is_some_and(|more| more.starts_with('_'))
    };
    rest == "NAME" || (rest == "PORT" && is_url(value)) || INJECTED.iter().any(beneath)
}

/// Whether no such file is there, as opposed to one that cannot be read.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Reads all of `file`, which may have at most `limit` bytes.
///
/// # Errors
/// `FileTooLarge`; else `read(2)`.
pub fn read_bounded(file: File, limit: usize) -> io::Result<Vec<u8>> {
    let bytes = read_up_to(&file, limit.saturating_add(1))?;
    if bytes.len() > limit {
        let problem = format!("larger than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(bytes)
}

/// Whether everybody on this machine may read `file`.
pub fn is_world_readable(file: &File) -> bool {
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o004 != 0)
}

/// The warning about a secret in such a file.
pub fn world_readable(path: &Path) -> String {
    let path = path.display();
    format!("{path} holds a secret and can be read by everyone: chmod o-r {path}")
}

/// The byte ranges of `arguments` that hold secrets: (index, start, end).
pub fn secret_ranges(arguments: &[OsString]) -> Vec<(usize, usize, usize)> {
    arguments::normalise(arguments).secrets
}
