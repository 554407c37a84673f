//! What `install` and `uninstall` are told. Their own options stand in no file and no variable; the
//! agent's beside them become the first configuration.

use super::arguments::{self, CommandLine};
use super::error::ConfigError;
use super::options::{self, Group, Id, Kind, Opt};
use super::raw::Origin;
use super::table::base;
use super::{Command, Task};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The user that the agent runs as, unless another is named.
pub const DEFAULT_USER: &str = "haven-agent";
/// The longest name of a user (useradd(8)).
const MAX_NAME: usize = 32;

const OWN: Opt = base(Group::Install);
const FLAG: Opt = Opt {
    kind: Kind::Flag,
    ..OWN
};

/// The options of their own.
pub const OPTIONS: [Opt; 9] = [
    Opt {
        id: Id::User,
        key: "user",
        short: Some('u'),
        metavar: "USER",
        default: DEFAULT_USER,
        help: "whom the agent runs as; made where there is no such user; without it as before",
        ..OWN
    },
    Opt {
        id: Id::Root,
        key: "root",
        metavar: "DIR",
        default: "/",
        help: "(also uninstall) into the system below DIR, an image's; no commands are run",
        ..OWN
    },
    Opt {
        id: Id::NoStart,
        key: "no_start",
        help: "the service is there and enabled, and not started",
        ..FLAG
    },
    Opt {
        id: Id::Init,
        key: "init",
        metavar: "INIT",
        help: "who starts services here: systemd, openrc, procd or runit; without it as before, or what is found",
        ..OWN
    },
    Opt {
        id: Id::Socket,
        key: "socket",
        help: "systemd keeps the port open, so that a restart refuses nobody; a later install keeps it so",
        ..FLAG
    },
    Opt {
        id: Id::NoSocket,
        key: "no_socket",
        help: "it keeps it no longer",
        ..FLAG
    },
    Opt {
        id: Id::PasswordFile,
        key: "password_file",
        metavar: "FILE",
        kind: Kind::File,
        help: "admin's password is the first line of FILE, and not a new one",
        ..OWN
    },
    Opt {
        id: Id::DefaultPassword,
        key: "default_password",
        help: "admin's password is the one of the manual",
        ..FLAG
    },
    Opt {
        id: Id::KeepConfig,
        key: "keep_config",
        help: "(uninstall) the configuration stays",
        ..FLAG
    },
];

/// Who starts services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// systemd.
    Systemd,
    /// OpenRC, as Alpine and Gentoo have it.
    OpenRc,
    /// OpenWrt's.
    Procd,
    /// runit, as Void has it.
    Runit,
}

impl Init {
    /// All of them by name.
    pub const ALL: [(&str, Init); 4] = [
        ("systemd", Init::Systemd),
        ("openrc", Init::OpenRc),
        ("procd", Init::Procd),
        ("runit", Init::Runit),
    ];
}

/// Whose password `admin` gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// A new one.
    Random,
    /// The one in this file.
    File(PathBuf),
    /// The one of the manual.
    Default,
}

/// What is to be installed.
#[derive(Clone, Debug)]
pub struct Install {
    /// Where the root directory of the system is; `/` is this one.
    pub root: PathBuf,
    /// Whom the agent runs as; none: as before, or [`DEFAULT_USER`].
    pub user: Option<String>,
    /// Whether it is started.
    pub start: bool,
    /// Who starts it; none: as before, or to be found out.
    pub init: Option<Init>,
    /// Whether systemd opens its port; none: as before.
    pub socket: Option<bool>,
    /// `admin`'s.
    pub password: Password,
    /// Settings of the command line, for a new configuration.
    pub settings: Flags,
}

/// What is to be removed.
#[derive(Clone, Debug)]
pub struct Uninstall {
    /// Where the root directory of the system is; `/` is this one.
    pub root: PathBuf,
    /// Whether the configuration stays.
    pub keep_config: bool,
}

/// Settings of a command line: option, origin, by its Spring name, text.
pub type Flags = Vec<(Id, Origin, bool, String)>;

/// The entry of an option of their own.
fn own(id: Id) -> Option<&'static Opt> {
    OPTIONS.iter().find(|option| option.id == id)
}

/// Refuses what `command` does not take.
pub fn check(command: Command, flags: &Flags) -> Result<(), ConfigError> {
    let takes = |id| match command {
        Command::Install => !matches!(id, Id::KeepConfig | Id::Config),
        Command::Uninstall => matches!(id, Id::Root | Id::KeepConfig),
        _ => own(id).is_none(),
    };
    for (id, origin, ..) in flags {
        if !takes(*id) {
            let problem = format!("{origin} is not for this command");
            return Err(ConfigError::Usage(problem));
        }
        let against = match id {
            Id::Socket => Id::NoSocket,
            Id::DefaultPassword | Id::AdminPassword => Id::PasswordFile,
            _ => continue,
        };
        if let Some((_, other, ..)) = flags.iter().find(|(given, ..)| *given == against) {
            return Err(ConfigError::Exclusive(origin.clone(), other.clone()));
        }
    }
    Ok(())
}

/// What `install` is told by its flags.
pub fn install(flags: Flags) -> Result<Install, ConfigError> {
    let mut install = Install {
        root: PathBuf::from("/"),
        user: None,
        start: true,
        init: None,
        socket: None,
        password: Password::Random,
        settings: Vec::new(),
    };
    for (id, origin, spring, value) in flags {
        match id {
            Id::Root => install.root = root(&origin, &value)?,
            Id::User => install.user = Some(user(&origin, value)?),
            Id::NoStart => install.start = false,
            Id::Init => install.init = Some(init(&origin, &value)?),
            Id::Socket => install.socket = Some(true),
            Id::NoSocket => install.socket = Some(false),
            Id::PasswordFile => install.password = Password::File(PathBuf::from(value)),
            Id::DefaultPassword => install.password = Password::Default,
            _ => install.settings.push((id, origin, spring, value)),
        }
    }
    for (id, origin, _, value) in &mut install.settings {
        if options::entry(*id).kind == Kind::File && !value.is_empty() {
            *value = absolute(&install.root, origin, value)?;
        }
    }
    Ok(install)
}

/// The path of a file as the service takes it, which starts in `/`; that of an image is in the image.
fn absolute(root: &Path, origin: &Origin, value: &str) -> Result<String, ConfigError> {
    let here = match root == Path::new("/") {
        true => std::path::absolute(value),
        false => Ok(Path::new("/").join(value)),
    };
    match here.map(|path| path.into_os_string().into_string()) {
        Ok(Ok(path)) => Ok(path),
        _ => Err(wrong(origin, "say where the file is from / on".to_owned())),
    }
}

/// What the Python agent was told by the words of its command line, which stand at `at`: its options are ours as well.
///
/// # Errors
/// They are no options, or another command than a service's.
pub fn old_words(at: &str, words: Vec<OsString>) -> Result<Flags, ConfigError> {
    let CommandLine::Run(Command::Task(Task::Daemon), _, mut flags) = arguments::parse(&words)?
    else {
        return Err(ConfigError::Usage("no command of a service".to_owned()));
    };
    for (_, origin, ..) in &mut flags {
        *origin = Origin::Flag(format!("{at}: {origin}"));
    }
    Ok(flags)
}

/// What `uninstall` is told by its flags.
pub fn uninstall(flags: &Flags) -> Result<Uninstall, ConfigError> {
    let mut uninstall = Uninstall {
        root: PathBuf::from("/"),
        keep_config: false,
    };
    for (id, origin, _, value) in flags {
        match id {
            Id::Root => uninstall.root = root(origin, value)?,
            _ => uninstall.keep_config = true,
        }
    }
    Ok(uninstall)
}

fn wrong(origin: &Origin, problem: String) -> ConfigError {
    ConfigError::Value(origin.clone(), problem)
}

fn root(origin: &Origin, value: &str) -> Result<PathBuf, ConfigError> {
    match std::path::absolute(value) {
        Ok(root) if root.is_dir() => Ok(root),
        _ => Err(wrong(
            origin,
            format!("`{}` is no directory", value.escape_debug()),
        )),
    }
}

/// A name that stands in units and scripts as it is.
fn user(origin: &Origin, value: String) -> Result<String, ConfigError> {
    let first = value.bytes().next().unwrap_or_default();
    if value.len() > MAX_NAME
        || !value.chars().all(in_name)
        || !(first.is_ascii_alphabetic() || first == b'_')
    {
        let problem = format!("`{}` is no name of a user", value.escape_debug());
        return Err(wrong(origin, problem));
    }
    Ok(value)
}

/// Whether a user's name may have it.
pub fn in_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_-.".contains(character)
}

fn init(origin: &Origin, value: &str) -> Result<Init, ConfigError> {
    match Init::ALL.iter().find(|(name, _)| *name == value) {
        Some((_, init)) => Ok(*init),
        None => {
            let problem = "neither systemd nor openrc nor procd nor runit";
            Err(wrong(origin, problem.to_owned()))
        }
    }
}
