use super::options::{self, Id, OPTIONS, Opt};
use super::raw::{Origin, RawConfig};
use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};

/// bcrypt of `x` at cost 4.
const HASH: &str = crate::auth::DEFAULT_PASSWORD_HASH;

/// A directory of one test: `work`, `home` and `etc` for INI files, `file` that can be read.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("haven-config-{}-{number}", std::process::id()));
        for directory in ["work", "home/.config", "xdg", "etc"] {
            fs::create_dir_all(path.join(directory)).unwrap();
        }
        let place = Place(path);
        place.write("file", "x\n");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file that only its owner can read.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn around(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Surroundings {
        let home = self.path("home").into_os_string();
        let variables = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        Surroundings {
            arguments: arguments.iter().map(OsString::from).collect(),
            variables: variables.chain([("HOME".into(), home)]).collect(),
            directory: self.path("work"),
            etc: self.path("etc"),
            pid1: false,
        }
    }

    fn raw(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<RawConfig, ConfigError> {
        let around = self.around(arguments, variables);
        match arguments::parse(&around.arguments)? {
            CommandLine::Run(_, _, flags) => RawConfig::read(flags, &around),
            other => panic!("{other:?}"),
        }
    }

    fn config(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Config, ConfigError> {
        match read(&self.around(arguments, variables))? {
            Request::Run(config) => Ok(*config),
            other => panic!("{other:?}"),
        }
    }

    fn error(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let error = self.config(arguments, variables).unwrap_err().to_string();
        assert!(
            !error.contains("hunter2") && !error.contains('\n'),
            "{error}"
        );
        error.replace(&*self.0.to_string_lossy(), "DIR")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Two different good values of each option.
fn samples(option: &Opt, place: &Place) -> [String; 2] {
    let text = |one: &str, other: &str| [one.to_string(), other.to_string()];
    match option.id {
        Id::Timeout => text("10", "20"),
        Id::Master => text("m:1", "https://m:2"),
        Id::Docker => text("h:1", "unix:///x"),
        Id::LogLevel => text("0", "2"),
        Id::Secret => text("one", "other"),
        Id::Address => text("a:1", "https://a:2"),
        Id::RootPath => text("/", "/tmp"),
        Id::TimeFormat => text("local", "offset"),
        Id::Listen => text("1", "2"),
        Id::Workers | Id::MaxConnections | Id::MaxConnectionsPerAddress => text("2", "3"),
        Id::MaxRequestsPerConnection | Id::MaxFields => text("20", "30"),
        Id::MaxJudgedBody => text("5000", "6000"),
        Id::MaxHead => text("4096", "8192"),
        Id::AllowFrom => text("10.0.0.0/8", "fd00::/8, ::1"),
        Id::AllowOrigin => text("https://ui", "https://ui:1,http://ui"),
        Id::AdminPassword => text(HASH, ""),
        Id::Policy => text("admin:monitor", "admin:full"),
        Id::Policies => ["one", "other"].map(|name| {
            let path = place.write(name, "[a]\nallow GET /info\n");
            path.to_string_lossy().into_owned()
        }),
        Id::Names => text("a", "b,10.0.0.1"),
        Id::Resolve | Id::ExitOnStaleSocket | Id::Sandbox | Id::Landlock | Id::Seccomp => {
            text("no", "true")
        }
        Id::Config => [place.write("one.ini", ""), place.write("other.ini", "")]
            .map(|path| path.to_string_lossy().into_owned()),
        Id::Users | Id::AdminPasswordFile => {
            let line = if option.id == Id::Users { "u:" } else { "" };
            ["one", "other"].map(|name| {
                let path = place.write(name, &format!("{line}{HASH}\n"));
                path.to_string_lossy().into_owned()
            })
        }
        Id::SecretFile
        | Id::Ca
        | Id::TlsCert
        | Id::TlsKey
        | Id::RootCert
        | Id::RootKey
        | Id::ClientCa
        | Id::ClientCrl => {
            ["one", "other"].map(|name| place.write(name, "x\n").to_string_lossy().into_owned())
        }
        Id::ClientAuth => text("optional", "required"),
        Id::HandshakeTimeout | Id::HeadTimeout | Id::BodyTimeout | Id::IdleTimeout | Id::Grace => {
            text("3", "4")
        }
        // No settings: `install`'s own.
        Id::User
        | Id::Root
        | Id::NoStart
        | Id::Init
        | Id::Socket
        | Id::NoSocket
        | Id::PasswordFile
        | Id::DefaultPassword
        | Id::KeepConfig => text("", ""),
    }
}

#[test]
fn every_option_is_read_in_each_of_its_forms_and_the_nearest_wins() {
    let place = Place::new();
    for option in &OPTIONS {
        let [one, other] = samples(option, &place);
        let mut flags = vec![format!("--{}", option.flag())];
        let mut variables = vec![option.variable()];
        let mut keys = vec![option.key.to_string()];
        if let Some(spring) = option.spring {
            flags.push(format!("--{spring}"));
            let lower = spring.replace('.', "_");
            variables.extend([lower.to_uppercase(), lower, spring.to_string()]);
            keys.extend([spring.to_string(), spring.to_uppercase()]);
        }
        if option.id == Id::Config {
            keys.clear();
        }
        let value = |raw: &RawConfig| {
            let value = raw.get(option.id).unwrap().value.clone();
            value.trim_start_matches(':').to_string()
        };
        let spaced = |flag: &String| vec![flag.clone(), one.clone()];
        let joined = |flag: &String| vec![format!("{flag}={one}")];
        let mut lines: Vec<Vec<String>> =
            flags.iter().flat_map(|f| [spaced(f), joined(f)]).collect();
        if let Some(short) = option.short.filter(|short| *short != 'v') {
            lines.extend([spaced(&format!("-{short}")), vec![format!("-{short}{one}")]]);
        }
        for variable in &variables {
            let raw = place.raw(&[], &[(variable, &one)]).unwrap();
            assert_eq!(value(&raw), one, "{variable}");
            assert_eq!(
                raw.get(option.id).unwrap().origin,
                Origin::Variable(variable.clone())
            );
            for line in &lines {
                let line: Vec<&str> = line.iter().map(String::as_str).collect();
                let raw = place.raw(&line, &[(variable, &other)]).unwrap();
                assert_eq!(value(&raw), one, "{line:?} over {variable}");
            }
        }
        for key in &keys {
            place.write("work/haven-agent.ini", &format!("[main]\n{key} = {one}\n"));
            let raw = place.raw(&[], &[]).unwrap();
            assert_eq!(value(&raw), one, "{key}");
            for variable in &variables {
                let raw = place.raw(&[], &[(variable, &other)]).unwrap();
                assert_eq!(value(&raw), other, "{variable} over {key}");
            }
            fs::remove_file(place.path("work/haven-agent.ini")).unwrap();
        }
    }
}

/// What another option must say for this one's sample to be good, and what the two then are worth.
#[test]
fn every_options_samples_are_good_and_show_in_the_settings() {
    let place = Place::new();
    for option in &OPTIONS {
        let samples = samples(option, &place);
        let shown = samples.map(|sample| {
            let partner = match option.id {
                Id::TlsCert => Some(Id::TlsKey),
                Id::TlsKey => Some(Id::TlsCert),
                Id::RootCert => Some(Id::RootKey),
                Id::RootKey => Some(Id::RootCert),
                Id::ClientAuth | Id::ClientCrl => Some(Id::ClientCa),
                _ => None,
            };
            let mut line = vec![format!("--{}={sample}", option.flag())];
            let file = place.path("file");
            line.extend(
                partner.map(|id| format!("--{}={}", options::entry(id).flag(), file.display())),
            );
            let line: Vec<&str> = line.iter().map(String::as_str).collect();
            let mut config = place.config(&line, &[]).unwrap();
            config.listen_why.clear();
            if config.secret.is_some() {
                assert_ne!(format!("{config:?}"), "");
            }
            // The effective arguments alone would show anything that was given.
            let arguments = std::mem::take(&mut config.arguments);
            let secret = config
                .secret
                .as_ref()
                .map(|secret| secret.expose().to_string());
            (format!("{config:?}{secret:?}"), arguments)
        });
        let same_content = [Id::SecretFile, Id::AdminPasswordFile, Id::Users];
        if !same_content.contains(&option.id) {
            assert_ne!(shown[0].0, shown[1].0, "{}", option.key);
        }
        let secrets = ["one'", HASH];
        if option.secret {
            assert!(
                !secrets.iter().any(|secret| shown[0].1.contains(secret)),
                "{}",
                shown[0].1
            );
        } else {
            assert_ne!(shown[0].1, shown[1].1, "{}", option.key);
        }
    }
}

#[test]
fn the_defaults_are_those_of_the_table() {
    let place = Place::new();
    let config = place.config(&[], &[]).unwrap();
    assert_eq!(config.task, Task::Daemon);
    assert_eq!(config.level, LevelFilter::Info);
    assert_eq!(config.interval, Duration::from_secs(60));
    assert!(config.masters.is_empty() && config.secret.is_none());
    assert_eq!(config.listen, Some("0.0.0.0:8771".parse().unwrap()));
    assert_eq!(config.address.as_deref(), Some("https://localhost:8771"));
    assert_eq!(config.root_path, Path::new("/"));
    assert_eq!(config.time_format, TimeFormat::Auto);
    assert_eq!((config.workers, config.tls.resolve), (1, true));
    assert!(config.users.uses_default_password());
    let seconds = Duration::from_secs;
    let limits = Limits {
        max_connections: None,
        max_connections_per_address: None,
        max_requests_per_connection: 1_000_000,
        max_head: 65_536,
        max_fields: 100,
        max_judged_body: 262_144,
        handshake_timeout: seconds(10),
        head_timeout: seconds(15),
        body_timeout: seconds(60),
        idle_timeout: seconds(90),
        grace: seconds(8),
    };
    assert_eq!(config.limits, limits);
    assert!(!config.exit_on_stale_socket);
    let mut around = place.around(&[], &[]);
    around.pid1 = true;
    let Ok(Request::Run(config)) = read(&around) else {
        panic!("no settings");
    };
    assert!(config.exit_on_stale_socket);
}

#[test]
fn the_more_specific_file_wins_key_by_key() {
    let place = Place::new();
    let files = [
        "work/haven-agent.ini",
        "work/dm-agent.ini",
        "home/.config/haven-agent.ini",
        "home/.config/dm-agent.ini",
        "etc/haven-agent.ini",
        "etc/dm-agent.ini",
    ];
    let keys = [
        "timeout",
        "workers",
        "grace",
        "head_timeout",
        "body_timeout",
        "idle_timeout",
    ];
    for (rank, file) in files.iter().enumerate() {
        let lines = keys
            .iter()
            .skip(rank)
            .map(|key| format!("{key} = {}\n", rank + 1));
        // Each file sets its own key and those of the less specific ones after it.
        place.write(
            file,
            &format!("[main]\n{}", lines.rev().collect::<String>()),
        );
    }
    let raw = place.raw(&[], &[]).unwrap();
    for id in [Id::Timeout, Id::Workers, Id::Grace, Id::IdleTimeout] {
        assert_eq!(raw.get(id).unwrap().value, "1");
    }
    assert_eq!(raw.files, files.map(|file| place.path(file)));
    for (rank, file) in files.iter().enumerate() {
        place.write(file, &format!("[main]\n{} = {}\n", keys[rank], rank + 1));
    }
    let raw = place.raw(&[], &[]).unwrap();
    assert_eq!(raw.get(Id::IdleTimeout).unwrap().value, "6");
    // XDG_CONFIG_HOME replaces $HOME/.config, and -f all of them.
    place.write("xdg/haven-agent.ini", "[main]\ngrace = 30\n");
    let xdg = place.path("xdg").to_string_lossy().into_owned();
    let raw = place.raw(&[], &[("XDG_CONFIG_HOME", &xdg)]).unwrap();
    assert_eq!(raw.get(Id::Grace).unwrap().value, "30");
    let raw = place.raw(&["-f", "../xdg/haven-agent.ini"], &[]).unwrap();
    assert_eq!((raw.files.len(), raw.get(Id::Timeout)), (1, None));
}

#[test]
fn of_a_value_and_its_file_the_more_specific_counts() {
    let place = Place::new();
    let file = place
        .write("secret", "from file\r\n")
        .to_string_lossy()
        .into_owned();
    place.write("etc/haven-agent.ini", "[main]\nsecret = from ini\n");
    let secret = |config: Config| config.secret.unwrap().expose().to_string();
    let config = place
        .config(&[], &[("HAVEN_AGENT_SECRET_FILE", &file)])
        .unwrap();
    assert_eq!(secret(config), "from file");
    let config = place
        .config(&["-s", "x"], &[("HAVEN_AGENT_SECRET_FILE", &file)])
        .unwrap();
    assert_eq!(secret(config), "x");
    assert_eq!(
        place.error(&["-s", "hunter2", "--secret-file", &file], &[]),
        "-s and --secret-file exclude each other: give one of them"
    );
}

#[test]
fn every_mistake_is_one_line_that_says_where() {
    let place = Place::new();
    let empty = place.write("empty", "").to_string_lossy().into_owned();
    let lines = place
        .write("lines", "a\nhunter2\n")
        .to_string_lossy()
        .into_owned();
    let users = place
        .write("users", "u:hunter2\n")
        .to_string_lossy()
        .into_owned();
    let admins = place
        .write("admins", &format!("admin:{HASH}\n"))
        .to_string_lossy()
        .into_owned();
    let costly = HASH.replace("$04$", "$31$");
    let costly = costly.as_str();
    let hash = format!("--admin-password={HASH}");
    for (line, message) in [
        (
            &["-t", "0"][..],
            "-t: `0` is not a number from 1 to 604800 (seconds)",
        ),
        (
            &["-t", "+5"],
            "-t: `+5` is not a number from 1 to 604800 (seconds)",
        ),
        (
            &["--timeout="],
            "--timeout: `` is not a number from 1 to 604800 (seconds)",
        ),
        (
            &["--log-level", "3"],
            "--log-level: `3` is not a number from 0 to 2 (WARNING, INFO, DEBUG)",
        ),
        (
            &["-v", "--log-level=2"],
            "--log-level and -v set the same option differently",
        ),
        (
            &["-d", "a:1", "--docker", "b:1"],
            "-d and --docker set the same option differently",
        ),
        (
            &["-d", "ftp://x"],
            "-d: 'ftp://' is not supported for Docker: give unix:///path, tcp://host:port or host:port",
        ),
        (
            &["-m", "x:y"],
            "-m: `x:y` has a port that is no number from 0 to 65535",
        ),
        (
            &["-s", "a\r\nhunter2"],
            "-s: the secret holds a line break or another control character",
        ),
        (
            &["-s", " hunter2"],
            "-s: the secret begins or ends with white space, which HTTP would drop",
        ),
        (
            &["--secret-file", "/none/x"],
            "--secret-file: cannot read /none/x: No such file or directory (os error 2)",
        ),
        (
            &["--secret-file", &empty],
            "--secret-file: DIR/empty: the file is empty",
        ),
        (
            &["--secret-file", &lines],
            "--secret-file: DIR/lines: more than one line",
        ),
        (
            &["--users", &users],
            "--users: DIR/users:1: not a bcrypt hash (something else or a plain password); make one with `haven-agent hash-password` or `htpasswd -B`",
        ),
        (
            &["--users", &admins, &hash],
            "--users: user \"admin\" is there twice",
        ),
        (
            &["--users", &admins, "--admin-password="],
            "--admin-password and --users exclude each other: give one of them",
        ),
        (
            &["--admin-password", costly],
            "--admin-password: bcrypt cost 31 is outside of 4 to 14; make one with `haven-agent hash-password` or `htpasswd -B`",
        ),
        (
            &["--listen", "localhost:1"],
            "--listen: `localhost:1` is not where to listen: address:port, :port, [IPv6]:port or none",
        ),
        (
            &["--workers", "65"],
            "--workers: `65` is not a number from 1 to 64 (event loops)",
        ),
        (
            &["--resolve", "maybe"],
            "--resolve: `maybe` is neither on nor off",
        ),
        (
            &["--time-format", "utc"],
            "--time-format: `utc` is neither auto nor offset nor local",
        ),
        (
            &["--root-path", &empty],
            "--root-path: DIR/empty is not a directory",
        ),
        (
            &["--root-path", "/none/x"],
            "--root-path: cannot read /none/x: No such file or directory (os error 2)",
        ),
        (&["--tls-cert", &empty], "--tls-cert: needs tls_key as well"),
        (
            &["--root-key", &empty],
            "--root-key: needs root_cert as well",
        ),
        (&["--ca", "/tmp"], "--ca: cannot read /tmp: is a directory"),
        (
            &["-f", "none.ini"],
            "-f: cannot read DIR/work/none.ini: No such file or directory (os error 2)",
        ),
        (
            &["--address", "x/y"],
            "--address: `x/y` has a path and no scheme",
        ),
        (
            &["--names", "a b/c"],
            "--names: `b/c` is neither a host name nor an address",
        ),
    ] {
        assert_eq!(place.error(line, &[]), message, "{line:?}");
    }
    for (name, value, message) in [
        (
            "HAVEN_AGENT_MASTR",
            "x",
            "environment variable HAVEN_AGENT_MASTR names no option (see --help)",
        ),
        (
            "HAVEN_AGENT_PORT",
            "9000",
            "environment variable HAVEN_AGENT_PORT names no option (see --help)",
        ),
        (
            "HAVEN_AGENT_TIMEOUT",
            "x",
            "HAVEN_AGENT_TIMEOUT: `x` is not a number from 1 to 604800 (seconds)",
        ),
        (
            "dm_agent_notifier_server",
            "u@x",
            "dm_agent_notifier_server: a user or password in a URL is not supported",
        ),
    ] {
        assert_eq!(place.error(&[], &[(name, value)]), message);
    }
    assert_eq!(
        place.error(
            &[],
            &[
                ("HAVEN_AGENT_MASTER", "a"),
                ("dm_agent_notifier_server", "b")
            ]
        ),
        "HAVEN_AGENT_MASTER and dm_agent_notifier_server set the same option differently"
    );
    for (text, message) in [
        ("[main]\n\nmastr = x\n", ":3: unknown key `mastr`"),
        ("[min]\n", ":1: unknown section [min], not [main]"),
        (
            "[main]\nsecret = hunter2%\n",
            ":2: secret: a lone `%`: write `%%` for a percent sign",
        ),
        (
            "[main]\ntimeout = ten\n",
            ":2: timeout: `ten` is not a number from 1 to 604800 (seconds)",
        ),
        (
            "[main]\nconfig = x\n",
            ":2: `config` cannot stand in a configuration file",
        ),
        (
            "[main]\nmaster = a\ndm.agent.notifier.server = b\n",
            ":2: master and DIR/work/haven-agent.ini:3: dm.agent.notifier.server set the same option differently",
        ),
    ] {
        place.write("work/haven-agent.ini", text);
        assert_eq!(
            place.error(&[], &[]),
            format!("DIR/work/haven-agent.ini{message}")
        );
    }
}

#[test]
fn what_docker_links_and_kubernetes_inject_is_ignored() {
    let place = Place::new();
    let variables = [
        ("HAVEN_AGENT_PORT", "tcp://10.0.0.1:8771"),
        ("HAVEN_AGENT_PORT_8771_TCP", "tcp://10.0.0.1:8771"),
        ("HAVEN_AGENT_SERVICE_HOST", "10.0.0.1"),
        ("HAVEN_AGENT_ENV_PATH", "/bin"),
        ("HAVEN_AGENT_NAME", "/a/haven-agent"),
        ("SERVER_PORT", "tcp://10.0.0.1:80"),
        ("PATH", "/bin"),
    ];
    let config = place.config(&[], &variables).unwrap();
    assert_eq!(
        (config.listen.unwrap().port(), config.warnings.len()),
        (8771, 0)
    );
    // No option's variable is among them.
    for option in &OPTIONS {
        assert_eq!(
            options::by_variable(&option.variable()).unwrap().0.id,
            option.id
        );
        let rest = option.variable();
        let rest = rest.strip_prefix(options::ENV_PREFIX).unwrap();
        assert!(
            !["PORT", "SERVICE", "ENV_", "NAME_"]
                .iter()
                .any(|p| rest.starts_with(p))
                && rest != "NAME"
        );
    }
    let config = place
        .config(&[], &[("dm_agent_server_threads", "9")])
        .unwrap();
    assert_eq!(
        config.warnings,
        [
            "environment variable dm_agent_server_threads names no option of this agent and is ignored"
        ]
    );
}

#[test]
fn the_proxy_is_off_for_the_python_agents_users_only() {
    let place = Place::new();
    let file = place.path("file").to_string_lossy().into_owned();
    let users = place
        .write("users", &format!("u:{HASH}"))
        .to_string_lossy()
        .into_owned();
    let docker = ["-d", "10.0.0.5:2375", "-m", "m:1"];
    let config = |more: &[&str], variables: &[(&str, &str)]| {
        place
            .config(&[&docker[..], more].concat(), variables)
            .unwrap()
    };
    let off = config(&["-t", "5", "-s", "x"], &[]);
    assert_eq!(
        (off.listen, off.address.as_deref()),
        (None, Some("10.0.0.5:2375"))
    );
    assert_eq!(
        off.listen_why,
        "The proxy is off, and Docker's own address is registered: the default for \
         tcp://10.0.0.5:2375 where no setting speaks of a proxy (listen = 0.0.0.0:8771 switches it on)"
    );
    for more in [
        vec!["--listen=:9000".to_string()],
        vec![format!("--users={users}")],
        vec![format!("--admin-password={HASH}")],
        vec![format!("--tls-cert={file}"), format!("--tls-key={file}")],
        vec!["--server.port=9000".to_string()],
        vec!["--dm.agent.notifier.address=x:1".to_string()],
    ] {
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        assert!(config(&more, &[]).listen.is_some(), "{more:?}");
    }
    let on = config(&[], &[("dm_agent_notifier_secret", "x")]);
    assert_eq!(
        on.listen_why,
        "The proxy is on, at 0.0.0.0:8771: dm_agent_notifier_secret is given"
    );
    let none = config(&["--listen", "none"], &[]);
    assert_eq!(none.listen_why, "The proxy is off: --listen says so");
    // A given address is the proxy's own where there is one, else Docker's.
    let given = |more: &[&str]| config(more, &[]).address.unwrap();
    assert_eq!(given(&["--address=x:1"]), "x:1");
    assert_eq!(given(&["--address=x:1", "--listen=:2"]), "https://x:1");
    // Without a proxy and without a TCP address, nobody can reach Docker.
    let unix = place
        .config(&["-d", "unix:///x", "--listen=none", "-m", "m:1"], &[])
        .unwrap();
    assert_eq!((unix.address, unix.warnings.len()), (None, 1));
}

#[test]
fn users_come_from_the_hash_and_the_file() {
    let place = Place::new();
    let users = place
        .write("users", &format!("# c\nu:{HASH}\n"))
        .to_string_lossy()
        .into_owned();
    let hash = place
        .write("hash", &format!("{HASH}\n"))
        .to_string_lossy()
        .into_owned();
    let of = |line: &[&str]| {
        let users = place.config(line, &[]).unwrap().users;
        (
            format!("{users:?}"),
            users.is_open(),
            users.uses_default_password(),
        )
    };
    let names = |names: &str| names.to_string();
    assert_eq!(of(&[]), (names("{\"admin\"}"), false, true));
    assert_eq!(of(&["--admin-password="]), (names("{}"), true, false));
    assert_eq!(
        of(&["--admin-password-file", &hash]),
        (names("{\"admin\"}"), false, false)
    );
    assert_eq!(
        of(&["--users", &users]),
        (names("{\"admin\", \"u\"}"), false, true)
    );
}

#[test]
fn a_secret_that_everyone_can_read_is_warned_of() {
    let place = Place::new();
    let file = place.write("secret", "x");
    let ini = place.write("etc/haven-agent.ini", "[main]\nsecret = x\n");
    let line = [
        "--admin-password=",
        "--secret-file",
        &file.to_string_lossy(),
    ]
    .map(str::to_string);
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    assert!(place.config(&line, &[]).unwrap().warnings.is_empty());
    for path in [&file, &ini] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let warnings = place.config(&line, &[]).unwrap().warnings;
    assert_eq!(warnings.len(), 2);
    assert!(
        warnings[1].ends_with(&format!("chmod o-r {}", file.display())),
        "{warnings:?}"
    );
}

#[test]
fn the_effective_arguments_are_a_python_dictionary() {
    let place = Place::new();
    place.write(
        "etc/haven-agent.ini",
        "[main]\ndocker = 172.31.0.12:2375\nmaster = 172.31.0.3:8762\ntimeout = 10\nlog_level = 2\nsecret=hunter2\n",
    );
    let config = place.config(&["--names=a'b"], &[]);
    assert!(config.is_err());
    let config = place.config(&["--resolve=no"], &[]).unwrap();
    assert!(
        config.arguments.starts_with(
            "{'timeout': 10, 'master': '172.31.0.3:8762', 'docker': '172.31.0.12:2375', \
             'log_level': 2, 'secret': '***', 'secret_file': None, "
        ),
        "{}",
        config.arguments
    );
    assert!(config.arguments.contains("'resolve': False, "));
    assert!(config.arguments.contains("'listen': 'none', "));
    assert_eq!(config.files, [place.path("etc/haven-agent.ini")]);
}

#[test]
fn the_help_text_names_every_option_within_its_width() {
    let help = help(None);
    for option in &OPTIONS {
        assert!(
            help.contains(&format!("--{} ", option.flag())),
            "{}",
            option.key
        );
        assert!(help.contains(option.spring.unwrap_or_default()));
    }
    for line in help.lines() {
        assert!(line.chars().count() <= 82, "{line}");
    }
}

/// `HAVEN_WRITE_README=1 cargo test readme` writes it.
#[test]
fn the_readme_lists_every_option() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once("<!-- options -->\n").unwrap();
    let (list, after) = rest.split_once("<!-- /options -->").unwrap();
    if std::env::var_os("HAVEN_WRITE_README").is_some() {
        let list = help::readme();
        let text = format!("{before}<!-- options -->\n{list}<!-- /options -->{after}");
        fs::write(&path, text).unwrap();
        return;
    }
    assert_eq!(
        list,
        help::readme(),
        "run: HAVEN_WRITE_README=1 cargo test readme"
    );
}

/// Who may do what: the policy that explains a denial of `POST /build`, by user.
fn policy_of(config: &Config, user: &str) -> String {
    let target = crate::policy::Target::parse("/containers/x/kill").unwrap();
    let ruling = config
        .policies
        .judge(user, &crate::policy::Question::plain("POST", &target));
    let (policy, _) = ruling.by.split_once(':').unwrap_or((&ruling.by, ""));
    policy.to_string()
}

#[test]
fn every_user_has_a_policy() {
    let place = Place::new();
    let users = place.write("users", &format!("alice:{HASH}\nbob:{HASH}\n"));
    let rules = place.write("rules", "[deploy]\nallow POST /containers/*/kill\n");
    let (users, rules) = (users.to_str().unwrap(), rules.to_str().unwrap());
    let config = |more: &[&str]| {
        let arguments = [&["--users", users], more].concat();
        place.config(&arguments, &[]).unwrap()
    };
    let plain = config(&[]);
    assert_eq!(policy_of(&plain, "admin"), "full");
    assert_eq!(policy_of(&plain, "alice"), "read-only");
    assert_eq!(policy_of(&plain, "-"), "read-only");
    let list = "bob:deploy, admin : monitor,";
    let given = config(&["--policies", rules, "--policy", list]);
    assert_eq!(policy_of(&given, "admin"), "monitor");
    assert_eq!(policy_of(&given, "alice"), "read-only");
    assert_eq!(policy_of(&given, "bob"), "deploy");

    // A certificate's user is in no file, and the name's colon is none of the list's.
    let list = "cert:bob:full, cert:alice@example.org:deploy";
    let given = config(&["--policies", rules, "--policy", list]);
    assert_eq!(policy_of(&given, "cert:bob"), "full");
    assert_eq!(policy_of(&given, "cert:alice@example.org"), "deploy");
    assert_eq!(policy_of(&given, "bob"), "read-only");
    assert_eq!(policy_of(&given, "cert:admin"), "read-only");

    // Where nobody is asked, everybody is `-`.
    let open = [("HAVEN_AGENT_ADMIN_PASSWORD", "")];
    let nobody = place.config(&[], &open).unwrap();
    assert_eq!(policy_of(&nobody, "-"), "full");
    let nobody = place.config(&["--policy=-:read-only"], &open).unwrap();
    assert_eq!(policy_of(&nobody, "-"), "read-only");
    assert_eq!(
        place.error(&["--policy", "admin:full"], &open),
        "--policy: `admin` is no user: nobody is asked who they are, and all are `-`"
    );
}

#[test]
fn mistakes_in_policies_are_named_with_their_line() {
    let place = Place::new();
    for (text, problem) in [
        ("admin", "`admin` is not of the form USER:POLICY"),
        (
            "eve:fool",
            "`fool` is no policy: there are full, read-only, monitor",
        ),
        ("eve:full,eve:full", "user `eve` has two policies"),
        (
            "admin:fool",
            "`fool` is no policy: there are full, read-only, monitor",
        ),
        ("admin:full,admin:full", "user `admin` has two policies"),
    ] {
        assert_eq!(
            place.error(&["--policy", text], &[]),
            format!("--policy: {problem}")
        );
    }
    place.write(
        "work/haven-agent.ini",
        "[main]\nmaster = m\npolicy = eve:fool\n",
    );
    assert_eq!(
        place.error(&[], &[]),
        "DIR/work/haven-agent.ini:3: policy: `fool` is no policy: there are full, read-only, monitor"
    );
    place.write("work/haven-agent.ini", "");
    let rules = place.write("rules", "[a]\n# none\nallow GET info\n");
    assert_eq!(
        place.error(&["--policies", rules.to_str().unwrap()], &[]),
        "--policies: DIR/rules:3: `info`: the path does not begin with a /"
    );
}

/// They were taken out of `users`, perhaps years ago: the node has to come up all the same.
#[test]
fn a_policy_of_somebody_who_is_no_user_is_warned_of() {
    let place = Place::new();
    for user in ["eve", "cert:", "cert"] {
        let policy = format!("{user}:full,admin:read-only");
        let config = place.config(&["--policy", &policy], &[]).unwrap();
        let warning = format!("--policy: `{user}` is no user: the policy is nobody's");
        assert_eq!(config.warnings, [warning]);
        assert_eq!(policy_of(&config, "admin"), "read-only");
    }
}

#[test]
fn the_files_that_install_is_told_of_are_named_from_the_root_on() {
    let around = Place::new().around(&["install", "--secret-file", "here", "--ca", "/there"], &[]);
    let Request::Install(install) = read(&around).unwrap() else {
        panic!("no installation");
    };
    let here = std::env::current_dir().unwrap().join("here");
    let values = install
        .settings
        .iter()
        .map(|(.., value)| PathBuf::from(value));
    assert_eq!(values.collect::<Vec<_>>(), [here, "/there".into()]);
}
