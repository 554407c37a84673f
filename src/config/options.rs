//! The one table of options.
//!
//! The parser of the command line, the environment, the INI files, the help text and the README's
//! list are all made from it or checked against it.

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
    Names,
    Resolve,
    TlsCert,
    TlsKey,
    RootCert,
    RootKey,
    MaxConnections,
    HandshakeTimeout,
    HeadTimeout,
    BodyTimeout,
    IdleTimeout,
    Grace,
    ExitOnStaleSocket,
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
    /// The proxy's certificate.
    Certificate,
    /// The proxy's bounds.
    Limits,
}

/// Each heading in the order of the help text.
pub const GROUPS: [(Group, &str); 5] = [
    (Group::Agent, "options"),
    (Group::Report, "report"),
    (Group::Proxy, "proxy"),
    (Group::Certificate, "certificate"),
    (Group::Limits, "limits"),
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
/// The counted flag in its long form.
pub const VERBOSE: &str = "verbose";
/// The port of the proxy, unless another is given.
pub const DEFAULT_PORT: u16 = 8771;
/// The greatest `log_level`: DEBUG.
pub const MAX_LOG_LEVEL: u32 = 2;
/// The longest interval between two reports, in seconds: a week.
const MAX_INTERVAL: u32 = 604_800;
/// The longest time-out of the proxy, in seconds: an hour.
const MAX_TIMEOUT: u32 = 3_600;
/// The greatest number of event loops.
const MAX_WORKERS: u32 = 64;
/// The greatest `max_connections`.
const MAX_CONNECTIONS: u32 = 1_000_000;

const TIMEOUT: Kind = Kind::Number {
    min: 1,
    max: MAX_TIMEOUT,
    unit: "seconds",
};

/// What most options of a group have in common.
const fn base(group: Group) -> Opt {
    Opt {
        id: Id::Config,
        key: "",
        short: None,
        spring: None,
        metavar: "",
        kind: Kind::Text,
        default: "",
        help: "",
        secret: false,
        wants_proxy: false,
        group,
    }
}
const AGENT: Opt = base(Group::Agent);
const REPORT: Opt = base(Group::Report);
const PROXY: Opt = base(Group::Proxy);
const CERTIFICATE: Opt = Opt {
    kind: Kind::File,
    metavar: "FILE",
    ..base(Group::Certificate)
};
const LIMITS: Opt = Opt {
    kind: TIMEOUT,
    metavar: "SECONDS",
    ..base(Group::Limits)
};

/// Every option. The order is that of the help text, of the README and of `Arguments: {…}`.
pub const OPTIONS: [Opt; 29] = [
    Opt {
        id: Id::Timeout,
        key: "timeout",
        short: Some('t'),
        metavar: "TIMEOUT",
        kind: Kind::Number {
            min: 1,
            max: MAX_INTERVAL,
            unit: "seconds",
        },
        default: "60",
        help: "seconds between two registrations of the node",
        ..AGENT
    },
    Opt {
        id: Id::Master,
        key: "master",
        short: Some('m'),
        spring: Some("dm.agent.notifier.server"),
        metavar: "MASTER",
        help: "the Haven service: host:port, http://… or https://…; of several, separated by commas, \
               the next is tried when one fails; none: no registration",
        ..AGENT
    },
    Opt {
        id: Id::Docker,
        key: "docker",
        short: Some('d'),
        metavar: "DOCKER",
        help: "the Docker service: unix:///path, tcp://host:port or host:port; \
               without it /var/run/docker.sock, else /run/docker.sock",
        ..AGENT
    },
    Opt {
        id: Id::LogLevel,
        key: "log_level",
        short: Some('v'),
        metavar: "LEVEL",
        kind: Kind::Number {
            min: 0,
            max: MAX_LOG_LEVEL,
            unit: "WARNING, INFO, DEBUG",
        },
        default: "1",
        help: "0 is WARNING, 1 is INFO, 2 is DEBUG; -v is 1, -vv is 2",
        ..AGENT
    },
    Opt {
        id: Id::Secret,
        key: "secret",
        short: Some('s'),
        spring: Some("dm.agent.notifier.secret"),
        metavar: "SECRET",
        secret: true,
        help: "sent to the master as X-Auth-Node; wiped from the process list",
        ..AGENT
    },
    Opt {
        id: Id::SecretFile,
        key: "secret_file",
        metavar: "FILE",
        kind: Kind::File,
        help: "a file with the secret",
        ..AGENT
    },
    Opt {
        id: Id::Config,
        key: "config",
        short: Some('f'),
        metavar: "CONFIG",
        kind: Kind::File,
        help: "the configuration file, read instead of those below; not for INI files themselves",
        ..AGENT
    },
    Opt {
        id: Id::Address,
        key: "address",
        spring: Some("dm.agent.notifier.address"),
        metavar: "ADDRESS",
        help: "where the master reaches this node, host:port or a URL; without it the master takes \
               the address that the registration comes from",
        ..REPORT
    },
    Opt {
        id: Id::RootPath,
        key: "root_path",
        spring: Some("dm.agent.notifier.rootPath"),
        metavar: "DIRECTORY",
        default: "/",
        help: "where the host's root directory is mounted",
        ..REPORT
    },
    Opt {
        id: Id::TimeFormat,
        key: "time_format",
        metavar: "FORM",
        default: "auto",
        help: "the report's time: offset (masters since mid 2017), local (older ones) or auto, \
               which tries both",
        ..REPORT
    },
    Opt {
        id: Id::Ca,
        key: "ca",
        metavar: "FILE",
        kind: Kind::File,
        help: "certificates (PEM) that vouch for an https:// master, instead of the public ones",
        ..REPORT
    },
    Opt {
        id: Id::Listen,
        key: "listen",
        spring: Some("server.port"),
        metavar: "ADDRESS",
        default: "0.0.0.0:8771",
        wants_proxy: true,
        help: "where the proxy listens: address:port, :port, port, [IPv6]:port, or none for no proxy; \
               server.port gives the port alone. none is the default where docker is a TCP address \
               and no listen, tls_*, root_cert, root_key, users, admin_password* or dm.* setting is given",
        ..PROXY
    },
    Opt {
        id: Id::Workers,
        key: "workers",
        metavar: "NUMBER",
        kind: Kind::Number {
            min: 1,
            max: MAX_WORKERS,
            unit: "event loops",
        },
        default: "1",
        help: "the proxy's event loops, one thread each",
        ..PROXY
    },
    Opt {
        id: Id::AdminPassword,
        key: "admin_password",
        spring: Some("dm.auth.adminPassword"),
        metavar: "HASH",
        secret: true,
        wants_proxy: true,
        help: "the bcrypt hash of admin's password (see hash-password), without it that of \
               `password`; empty: nobody is asked for a password",
        ..PROXY
    },
    Opt {
        id: Id::AdminPasswordFile,
        key: "admin_password_file",
        metavar: "FILE",
        kind: Kind::File,
        wants_proxy: true,
        help: "a file with that hash",
        ..PROXY
    },
    Opt {
        id: Id::Users,
        key: "users",
        metavar: "FILE",
        kind: Kind::File,
        wants_proxy: true,
        help: "more users: a file in htpasswd's format with bcrypt hashes (htpasswd -B)",
        ..PROXY
    },
    Opt {
        id: Id::ExitOnStaleSocket,
        key: "exit_on_stale_socket",
        metavar: "on|off",
        kind: Kind::Switch,
        help: "exit with status 1 when the mounted Docker socket was replaced on the host, so that \
               a restart mounts the new one; without it on as process 1 of a container, off otherwise",
        ..PROXY
    },
    Opt {
        id: Id::Names,
        key: "names",
        spring: Some("dm.agent.server.names"),
        metavar: "NAMES",
        kind: Kind::Text,
        help: "names and addresses that the certificate carries besides the host's own, separated by commas",
        ..CERTIFICATE
    },
    Opt {
        id: Id::Resolve,
        key: "resolve",
        spring: Some("dm.agent.server.resolve"),
        metavar: "on|off",
        kind: Kind::Switch,
        default: "on",
        help: "whether it also carries the names that the host's addresses resolve to",
        ..CERTIFICATE
    },
    Opt {
        id: Id::TlsCert,
        key: "tls_cert",
        wants_proxy: true,
        help: "your own certificate chain (PEM) instead of one signed by the root; needs tls_key",
        ..CERTIFICATE
    },
    Opt {
        id: Id::TlsKey,
        key: "tls_key",
        wants_proxy: true,
        help: "its key (PEM)",
        ..CERTIFICATE
    },
    Opt {
        id: Id::RootCert,
        key: "root_cert",
        wants_proxy: true,
        help: "another root certificate (PEM) than the built-in one; needs root_key",
        ..CERTIFICATE
    },
    Opt {
        id: Id::RootKey,
        key: "root_key",
        wants_proxy: true,
        help: "its key (PEM)",
        ..CERTIFICATE
    },
    Opt {
        id: Id::MaxConnections,
        key: "max_connections",
        metavar: "NUMBER",
        kind: Kind::Number {
            min: 1,
            max: MAX_CONNECTIONS,
            unit: "connections",
        },
        help: "client connections at a time; without it as many as the limit on open files allows",
        ..LIMITS
    },
    Opt {
        id: Id::HandshakeTimeout,
        key: "handshake_timeout",
        default: "10",
        help: "seconds for a connection's TLS handshake",
        ..LIMITS
    },
    Opt {
        id: Id::HeadTimeout,
        key: "head_timeout",
        default: "15",
        help: "seconds for a request's head, from its first byte",
        ..LIMITS
    },
    Opt {
        id: Id::BodyTimeout,
        key: "body_timeout",
        default: "60",
        help: "seconds that a request's body may stand still",
        ..LIMITS
    },
    Opt {
        id: Id::IdleTimeout,
        key: "idle_timeout",
        default: "90",
        help: "seconds that a connection is kept between two requests",
        ..LIMITS
    },
    Opt {
        id: Id::Grace,
        key: "grace",
        kind: Kind::Number {
            min: 0,
            max: MAX_TIMEOUT,
            unit: "seconds",
        },
        default: "8",
        help: "seconds for running streams when the agent is told to stop (docker stop waits 10)",
        ..LIMITS
    },
];

impl Opt {
    /// Its long flag, without the dashes.
    pub fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// Its environment variable.
    pub fn variable(&self) -> String {
        format!("{ENV_PREFIX}{}", self.key.to_ascii_uppercase())
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
    find(name, |option| option.flag() == name)
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
    OPTIONS.iter().find(|option| option.short == Some(letter))
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
