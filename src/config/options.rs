//! Options: what one is, and how one is found by each of its names. `table` has them all.

use super::install;
pub use super::table::OPTIONS;

/// Names an option in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the table documents each")]
pub enum Id {
    Timeout,
    Master,
    Docker,
    LogLevel,
    Secret,
    SecretFile,
    Config,
    Address,
    RootPath,
    TimeFormat,
    Ca,
    Listen,
    Workers,
    AdminPassword,
    AdminPasswordFile,
    Users,
    Policy,
    Policies,
    Names,
    Resolve,
    TlsCert,
    TlsKey,
    RootCert,
    RootKey,
    ClientCa,
    ClientAuth,
    ClientCrl,
    MaxConnections,
    HandshakeTimeout,
    HeadTimeout,
    BodyTimeout,
    IdleTimeout,
    Grace,
    ExitOnStaleSocket,
    AllowFrom,
    AllowOrigin,
    MaxConnectionsPerAddress,
    MaxHead,
    MaxJudgedBody,
    MaxFields,
    MaxRequestsPerConnection,
    Sandbox,
    Landlock,
    Seccomp,
    User,
    Root,
    NoStart,
    Init,
    Socket,
    NoSocket,
    PasswordFile,
    DefaultPassword,
    KeepConfig,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Free text, checked by what it means.
    Text,
    /// The path of a file that is read.
    File,
    /// A whole number within bounds, and of what.
    Number {
        /// The least that is taken.
        min: u32,
        /// The most that is taken.
        max: u32,
        /// What is counted, in the plural.
        unit: &'static str,
    },
    /// `true`, `yes`, `on`, `1` or `false`, `no`, `off`, `0`.
    Switch,
    /// No value: it is there or not.
    Flag,
}

/// Under which heading an option is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// What both old agents had.
    Agent,
    /// What is reported to the master, and how.
    Report,
    /// The proxy.
    Proxy,
    /// The proxy's certificate, and its clients'.
    Certificate,
    /// The proxy's bounds.
    Limits,
    /// What the agent gives up.
    Sandbox,
    /// `install` and `uninstall`.
    Install,
}

/// Each heading in the order of the help text.
pub const GROUPS: [(Group, &str); 7] = [
    (Group::Agent, "options"),
    (Group::Report, "report"),
    (Group::Proxy, "proxy"),
    (Group::Certificate, "certificates"),
    (Group::Limits, "limits"),
    (Group::Sandbox, "sandbox"),
    (
        Group::Install,
        "install and uninstall (these alone are no settings)",
    ),
];

/// One option in all its forms.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// Its name in the code.
    pub id: Id,
    /// Its INI key; its flag and its environment variable follow from it.
    pub key: &'static str,
    /// Its one-letter flag. `-v` is counted and takes no value; all others take one.
    pub short: Option<char>,
    /// Its name in the Java agent.
    pub spring: Option<&'static str>,
    /// What stands for the value in the help text.
    pub metavar: &'static str,
    /// What a value looks like.
    pub kind: Kind,
    /// What holds when it is not given; empty: nothing does.
    pub default: &'static str,
    /// One sentence for the help text and the README.
    pub help: &'static str,
    /// Whether the value is never shown.
    pub secret: bool,
    /// Whether giving it says that the proxy is wanted.
    pub wants_proxy: bool,
    /// Its heading.
    pub group: Group,
}

/// What every environment variable of the agent begins with.
pub const ENV_PREFIX: &str = "HAVEN_AGENT_";
/// The port of the proxy, unless another is given.
pub const DEFAULT_PORT: u16 = 8771;
/// The greatest `log_level`: DEBUG.
pub const MAX_LOG_LEVEL: u32 = 2;
impl Opt {
    /// Its long flag, without the dashes.
    pub fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// Its environment variable.
    pub fn variable(&self) -> String {
        format!("{ENV_PREFIX}{}", self.key.to_ascii_uppercase())
    }

    /// Whether its short flag takes no value but is counted: `-v`, `-vv`.
    pub fn is_counted(&self) -> bool {
        self.id == Id::LogLevel
    }

    /// Whether `name` is its name in the Java agent, in any of the spellings that Spring takes:
    /// any case, `.`, `_` or `-` between words, and `rootPath` as one word or two.
    pub fn is_spring(&self, name: &str) -> bool {
        let Some(spring) = self.spring else {
            return false;
        };
        let given: String = name.chars().map(plain).collect();
        let joined: String = spring.chars().map(plain).collect();
        given == joined || given == split_words(spring)
    }
}

/// A character of a Spring name without what does not matter.
fn plain(character: char) -> char {
    match character {
        '.' | '-' => '_',
        other => other.to_ascii_lowercase(),
    }
}

/// `dm.agent.notifier.rootPath` as `dm_agent_notifier_root_path`.
fn split_words(spring: &str) -> String {
    let mut words = String::new();
    for character in spring.chars() {
        if character.is_ascii_uppercase() {
            words.push('_');
        }
        words.push(plain(character));
    }
    words
}

/// The entry of `id`.
pub fn entry(id: Id) -> &'static Opt {
    // A test shows that each `Id` stands in the table; the first is never taken.
    OPTIONS
        .iter()
        .find(|option| option.id == id)
        .unwrap_or(&OPTIONS[0])
}

/// The option that a long flag (without dashes) names, and whether by its Spring name.
pub fn by_flag(name: &str) -> Option<(&'static Opt, bool)> {
    let own = install::OPTIONS.iter().find(|option| option.flag() == name);
    own.map(|option| (option, false))
        .or_else(|| find(name, |option| option.flag() == name))
}

/// The option that an environment variable names, and whether by its Spring name.
pub fn by_variable(name: &str) -> Option<(&'static Opt, bool)> {
    find(name, |option| option.variable().eq_ignore_ascii_case(name))
}

/// The option that an INI key names, and whether by its Spring name.
pub fn by_ini_key(name: &str) -> Option<(&'static Opt, bool)> {
    find(name, |option| option.key == name)
}

/// The option that a one-letter flag names.
pub fn by_letter(letter: char) -> Option<&'static Opt> {
    let mut all = OPTIONS.iter().chain(&install::OPTIONS);
    all.find(|option| option.short == Some(letter))
}

fn find(name: &str, own: impl Fn(&Opt) -> bool) -> Option<(&'static Opt, bool)> {
    let named = OPTIONS.iter().find(|option| own(option));
    if let Some(option) = named {
        return Some((option, false));
    }
    let spring = OPTIONS.iter().find(|option| option.is_spring(name));
    spring.map(|option| (option, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_options_share_a_name() {
        let mut seen = BTreeSet::new();
        for option in &OPTIONS {
            assert!(seen.insert(option.key.to_string()), "{}", option.key);
            if let Some(short) = option.short {
                assert!(seen.insert(format!("-{short}")), "-{short}");
            }
            if let Some(spring) = option.spring {
                assert!(seen.insert(spring.to_lowercase()), "{spring}");
            }
            assert_eq!(entry(option.id).key, option.key);
            assert!(!option.help.is_empty() && !option.metavar.is_empty());
        }
    }

    #[test]
    fn spring_names_are_taken_as_spring_takes_them() {
        for name in [
            "dm.agent.notifier.rootPath",
            "dm_agent_notifier_rootPath",
            "DM_AGENT_NOTIFIER_ROOTPATH",
            "DM_AGENT_NOTIFIER_ROOT_PATH",
            "dm.agent.notifier.root-path",
        ] {
            assert!(entry(Id::RootPath).is_spring(name), "{name}");
        }
        assert!(!entry(Id::RootPath).is_spring("dm_agent_notifier_rootPaths"));
        assert!(!entry(Id::Docker).is_spring(""));
    }
}
