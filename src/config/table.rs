//! The one table of options.
//!
//! The parser of the command line, the environment, the INI files, the help text and the README's
//! list are all made from it or checked against it.

use super::options::{Group, Id, Kind, MAX_LOG_LEVEL, Opt};
use crate::http::head::MAX_HEAD;

/// The longest interval between two reports, in seconds: a week.
const MAX_INTERVAL: u32 = 604_800;
/// The longest time-out of the proxy, in seconds: an hour.
const MAX_TIMEOUT: u32 = 3_600;
/// The greatest number of event loops.
const MAX_WORKERS: u32 = 64;
/// The greatest `max_connections`.
pub const MAX_CONNECTIONS: u32 = 1_000_000;
/// What every client's head fits into: credentials of 768 bytes and a few fields.
const MIN_HEAD: u32 = 4_096;
/// What the settings of ordinary containers fit into.
const MIN_JUDGED_BODY: u32 = 4_096;
/// The greatest `max_judged_body`.
const MAX_JUDGED_BODY: u32 = 4 << 20;
/// The fields that any client sends.
const MIN_FIELDS: u32 = 16;
/// The greatest `max_fields`.
const MAX_FIELDS: u32 = 1_000;
/// The greatest `max_requests_per_connection`.
const MAX_REQUESTS: u32 = 1_000_000_000;

const TIMEOUT: Kind = Kind::Number {
    min: 1,
    max: MAX_TIMEOUT,
    unit: "seconds",
};

/// What most options of a group have in common.
pub const fn base(group: Group) -> Opt {
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

const SANDBOX: Opt = Opt {
    kind: Kind::Switch,
    metavar: "on|off",
    default: "on",
    ..base(Group::Sandbox)
};

/// Every option. The order is that of the help text, of the README and of `Arguments: {…}`.
pub const OPTIONS: [Opt; 44] = [
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
               and no listen, tls_*, root_cert, root_key, client_*, users, policy, policies, admin_password* or dm.* setting is given",
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
        id: Id::AllowFrom,
        key: "allow_from",
        metavar: "NETWORKS",
        help: "who may connect: addresses and networks (10.0.0.0/8, fd00::/8), separated by commas; \
               without it everybody",
        ..PROXY
    },
    Opt {
        id: Id::AllowOrigin,
        key: "allow_origin",
        metavar: "ORIGINS",
        help: "whose pages a browser may let change something besides the node's own: \
               https://host[:port], separated by commas",
        ..PROXY
    },
    Opt {
        id: Id::Policy,
        key: "policy",
        metavar: "USER:POLICY",
        wants_proxy: true,
        help: "what users may do, as alice:monitor, cert:bob:deploy: full, read-only, monitor or one of the \
               file of policies; without it admin has full and all others read-only",
        ..PROXY
    },
    Opt {
        id: Id::Policies,
        key: "policies",
        metavar: "FILE",
        kind: Kind::File,
        wants_proxy: true,
        help: "a file of policies of your own: [NAME], and below it rules as \
               allow GET,HEAD /containers/*/json, and permits as permit host-network",
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
        id: Id::ClientCa,
        key: "client_ca",
        wants_proxy: true,
        help: "certificates (PEM) of the authorities whose clients need no password: who has a \
               certificate of theirs is the user cert:NAME",
        ..CERTIFICATE
    },
    Opt {
        id: Id::ClientAuth,
        key: "client_auth",
        metavar: "off|optional|required",
        kind: Kind::Text,
        wants_proxy: true,
        help: "whether clients must have such a certificate; optional: or a password. Without it \
               required where client_ca is given",
        ..CERTIFICATE
    },
    Opt {
        id: Id::ClientCrl,
        key: "client_crl",
        wants_proxy: true,
        help: "revocation lists (PEM), one of each authority: a certificate of which they do not \
               say that it holds is refused; needs client_ca",
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
        id: Id::MaxConnectionsPerAddress,
        key: "max_connections_per_address",
        metavar: "NUMBER",
        kind: Kind::Number {
            min: 1,
            max: MAX_CONNECTIONS,
            unit: "connections",
        },
        help: "those of one address, or of one IPv6 /64; without it three quarters of max_connections",
        ..LIMITS
    },
    Opt {
        id: Id::MaxRequestsPerConnection,
        key: "max_requests_per_connection",
        metavar: "NUMBER",
        kind: Kind::Number {
            min: 1,
            max: MAX_REQUESTS,
            unit: "requests",
        },
        default: "1000000",
        help: "requests after which a connection is closed with the answer",
        ..LIMITS
    },
    Opt {
        id: Id::MaxHead,
        key: "max_head",
        metavar: "BYTES",
        kind: Kind::Number {
            min: MIN_HEAD,
            max: MAX_HEAD as u32,
            unit: "bytes",
        },
        default: "65536",
        help: "bytes of a request's head; docker's X-Registry-Config is long where many registries \
               are logged in to",
        ..LIMITS
    },
    Opt {
        id: Id::MaxJudgedBody,
        key: "max_judged_body",
        metavar: "BYTES",
        kind: Kind::Number {
            min: MIN_JUDGED_BODY,
            max: MAX_JUDGED_BODY,
            unit: "bytes",
        },
        default: "262144",
        help: "bytes of a request's body that a policy judges; it is held whole until then",
        ..LIMITS
    },
    Opt {
        id: Id::MaxFields,
        key: "max_fields",
        metavar: "NUMBER",
        kind: Kind::Number {
            min: MIN_FIELDS,
            max: MAX_FIELDS,
            unit: "fields",
        },
        default: "100",
        help: "fields of a request's head",
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
    Opt {
        id: Id::Sandbox,
        key: "sandbox",
        help: "the agent gives up, before it serves, what it does not need: new privileges, and what the \
               next two say, as far as the kernel can",
        ..SANDBOX
    },
    Opt {
        id: Id::Landlock,
        key: "landlock",
        help: "files: it reads below the directories of its own files and of the metrics, writes \
               nothing and executes nothing (Linux 5.13)",
        ..SANDBOX
    },
    Opt {
        id: Id::Seccomp,
        key: "seccomp",
        help: "system calls: no programs, mounts, modules, namespaces, tracing, other users and the \
               like (x86_64, aarch64, arm)",
        ..SANDBOX
    },
];
