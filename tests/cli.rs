//! The built binary's command line, settings, first lines and exit statuses.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that goes wrong"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

const BINARY: &str = env!("CARGO_BIN_EXE_haven-agent");
/// bcrypt of `password` at cost 4.
const HASH: &str = haven_agent::auth::DEFAULT_PASSWORD_HASH;
/// Arguments with which nothing outside of the process is needed: no Docker, no proxy.
const ALONE: [&str; 2] = ["--docker=unix:///nonexistent/docker.sock", "--listen=none"];

/// A test's own directory: the working directory and the home of what it runs.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("haven-cli-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("home/.config")).unwrap();
        Place(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_string_lossy().into_owned()
    }

    fn command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.0.join("home"))
            .env("TZ", "UTC0")
            .envs(variables.iter().copied())
            .current_dir(&self.0)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        self.command(arguments, variables).output().unwrap()
    }

    /// Standard error of a run that must end with status 2 and nothing on standard output.
    fn refused(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let output = self.run(arguments, variables);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        error.replace(&*self.0.to_string_lossy(), "DIR")
    }

    /// What `-vv` says the effective arguments are. A run of `check` alone says it, too.
    fn effective(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let level: (&str, &str) = ("HAVEN_AGENT_LOG_LEVEL", "2");
        let variables = [variables, &[level]].concat();
        let output = self.run(&[&["check"], arguments].concat(), &variables);
        let error = text(&output.stderr);
        let line = error.lines().find(|line| line.starts_with("Arguments: {"));
        line.unwrap_or_else(|| panic!("{arguments:?} {variables:?}: {error}"))
            .to_string()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A daemon that ends with its test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a daemon and waits for its first line.
fn daemon(mut command: Command) -> (Daemon, String) {
    let mut daemon = Daemon(
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    let stdout = daemon.0.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    (daemon, line)
}

/// The rows of the README's table, which a unit test holds equal to the options of the code:
/// (INI key, flags, variable, Spring name), each without its backquotes.
fn options() -> Vec<(String, Vec<String>, String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(path).unwrap();
    let table = readme.split("<!-- options -->\n").nth(1).unwrap();
    let table = table.split("<!-- /options -->").next().unwrap();
    let rows = table.lines().skip(2).map(|row| {
        let cells: Vec<String> = row.split('|').map(|c| c.trim().replace('`', "")).collect();
        let flags = cells[2].split(", ").map(str::to_string).collect();
        (cells[1].clone(), flags, cells[3].clone(), cells[4].clone())
    });
    rows.collect()
}

#[test]
fn every_option_takes_effect_in_each_of_its_forms() {
    let place = Place::new();
    let options = options();
    assert!(options.len() >= 32);
    for (key, flags, variable, spring) in options {
        let name = flags.last().unwrap().trim_start_matches('-');
        let name = if key == "log_level" {
            "log-level"
        } else {
            name
        };
        let file = |text: &str| place.write("sample", text);
        // A value, and how Python would show it.
        let (value, shown) = match name {
            "timeout" => ("7".to_string(), "7".to_string()),
            "log-level" => ("2".to_string(), "2".to_string()),
            "workers" | "max-connections" | "grace" => ("3".to_string(), "3".to_string()),
            "max-fields" => ("50".to_string(), "50".to_string()),
            name if name.starts_with("max-") => ("5000".to_string(), "5000".to_string()),
            name if name.ends_with("-timeout") => ("4".to_string(), "4".to_string()),
            "resolve" | "exit-on-stale-socket" => ("yes".to_string(), "True".to_string()),
            "sandbox" | "landlock" | "seccomp" => ("off".to_string(), "False".to_string()),
            "secret" => ("hunter2".to_string(), "'***'".to_string()),
            "admin-password" => (HASH.to_string(), "'***'".to_string()),
            name => {
                let value = match name {
                    "master" => "127.0.0.1:1".to_string(),
                    "docker" => "unix:///nonexistent".to_string(),
                    "address" => "https://a:1".to_string(),
                    "root-path" => place.0.to_string_lossy().into_owned(),
                    "time-format" => "local".to_string(),
                    "client-auth" => "optional".to_string(),
                    "listen" => ":0".to_string(),
                    "names" => "a.example".to_string(),
                    "allow-from" => "10.0.0.0/8".to_string(),
                    "allow-origin" => "https://ui".to_string(),
                    "users" => file(&format!("u:{HASH}\n")),
                    "policy" => "admin:monitor".to_string(),
                    "policies" => file("[own]\nallow GET /info\n"),
                    "admin-password-file" => file(HASH),
                    "config" => file(""),
                    _ => file("x\n"),
                };
                (value.clone(), format!("'{value}'"))
            }
        };
        let expected = format!("'{}': {shown}", name.replace('-', "_"));
        let partner = match name {
            "tls-cert" => "--tls-key=sample",
            "tls-key" => "--tls-cert=sample",
            "root-cert" => "--root-key=sample",
            "root-key" => "--root-cert=sample",
            "client-auth" | "client-crl" => "--client-ca=sample",
            _ => "--body-timeout=4",
        };
        let docker = "--docker=unix:///nonexistent";
        let show = |arguments: &[&str], variables: &[(&str, &str)]| {
            let own = if name == "docker" { partner } else { docker };
            let all = [arguments, &[partner, own]].concat();
            let effective = place.effective(&all, variables);
            assert!(
                effective.contains(&expected),
                "{arguments:?} {variables:?}: {effective}"
            );
        };
        for flag in flags.iter().filter(|flag| !flag.starts_with("-v")) {
            show(&[flag, &value], &[]);
            let joined = if flag.starts_with("--") {
                format!("{flag}={value}")
            } else {
                format!("{flag}{value}")
            };
            show(&[&joined], &[]);
        }
        show(&[], &[(&variable, &value)]);
        let spelled = if name == "listen" {
            "0".to_string()
        } else {
            value.clone()
        };
        if !spring.is_empty() {
            show(&[&format!("--{spring}={spelled}")], &[]);
            show(&[&format!("--{spring}"), &spelled], &[]);
            for variable in [
                spring.replace('.', "_"),
                spring.replace('.', "_").to_uppercase(),
            ] {
                show(&[], &[(&variable, &spelled)]);
            }
        }
        let mut lines = vec![(key.clone(), value.clone())];
        if !spring.is_empty() {
            lines.push((spring.clone(), spelled));
        }
        for (key, value) in lines.iter().filter(|(key, _)| key != "–") {
            place.write("haven-agent.ini", &format!("[main]\n{key} = {value}\n"));
            show(&[], &[]);
        }
        let _ = fs::remove_file(place.0.join("haven-agent.ini"));
    }
    // The counted flag.
    let output = place.run(&[&ALONE[..], &["check", "-vv"]].concat(), &[]);
    assert!(text(&output.stderr).contains("'log_level': 2"));
}

#[test]
fn command_line_then_environment_then_file_then_default() {
    let place = Place::new();
    let timeout = |arguments: &[&str], variables: &[(&str, &str)]| {
        let effective = place.effective(&[&ALONE[..], arguments].concat(), variables);
        effective["Arguments: {'timeout': ".len()..]
            .split(',')
            .next()
            .unwrap()
            .to_string()
    };
    assert_eq!(timeout(&[], &[]), "60");
    place.write("home/.config/haven-agent.ini", "[main]\ntimeout = 2\n");
    assert_eq!(timeout(&[], &[]), "2");
    place.write("dm-agent.ini", "[main]\ntimeout = 3\n");
    assert_eq!(timeout(&[], &[]), "3");
    place.write("haven-agent.ini", "[main]\ntimeout = 4\n");
    assert_eq!(timeout(&[], &[]), "4");
    assert_eq!(timeout(&[], &[("HAVEN_AGENT_TIMEOUT", "5")]), "5");
    assert_eq!(timeout(&["-t", "6"], &[("HAVEN_AGENT_TIMEOUT", "5")]), "6");
    place.write("other.ini", "[main]\ntimeout = 7\n");
    assert_eq!(timeout(&["-f", "other.ini"], &[]), "7");
}

#[test]
fn mistakes_are_one_line_and_status_2() {
    let place = Place::new();
    for (arguments, message) in [
        (
            &["--nonsense"][..],
            "unknown option --nonsense (see --help)",
        ),
        (&["-x"], "unknown option -x (see --help)"),
        (
            &["--nonsense=hunter2"],
            "unknown option --nonsense (see --help)",
        ),
        (&["-d"], "-d needs a value (see --help)"),
        (
            &["check", "report"],
            "unexpected argument `report` (see --help)",
        ),
        (
            &["start"],
            "unknown command `start`: one of daemon, root-cert, report, check, hash-password, policy, health, reload, install, uninstall (see --help)",
        ),
        (
            &["-t", "soon"],
            "-t: `soon` is not a number from 1 to 604800 (seconds)",
        ),
        (
            &["-f", "none.ini"],
            "-f: cannot read DIR/none.ini: No such file or directory (os error 2)",
        ),
        (
            &["-m", "a:1", "--master=b:1"],
            "-m and --master set the same option differently",
        ),
        (
            &["-m", "a:1", "--dm.agent.notifier.server=b:1"],
            "-m and --dm.agent.notifier.server set the same option differently",
        ),
        (
            &["-s", "hunter2\n"],
            "-s: the secret holds a line break or another control character",
        ),
        (
            &["--tls-cert=/dev/null"],
            "--tls-cert: needs tls_key as well",
        ),
    ] {
        assert_eq!(
            place.refused(arguments, &[]),
            format!("haven-agent: {message}\n")
        );
    }
    for (name, value, message) in [
        (
            "HAVEN_AGENT_SECERT",
            "hunter2",
            "environment variable HAVEN_AGENT_SECERT names no option (see --help)",
        ),
        (
            "HAVEN_AGENT_SECRET",
            "hunter2\r\nX: y",
            "HAVEN_AGENT_SECRET: the secret holds a line break or another control character",
        ),
        (
            "HAVEN_AGENT_LISTEN",
            "x",
            "HAVEN_AGENT_LISTEN: `x` is not where to listen: address:port, :port, [IPv6]:port or none",
        ),
        (
            "DM_AUTH_ADMINPASSWORD",
            "hunter2",
            "DM_AUTH_ADMINPASSWORD: not a bcrypt hash (something else or a plain password); \
             make one with `haven-agent hash-password` or `htpasswd -B`",
        ),
    ] {
        assert_eq!(
            place.refused(&[], &[(name, value)]),
            format!("haven-agent: {message}\n")
        );
    }
    for (ini, message) in [
        (
            "[main]\nsecert = hunter2\n",
            "DIR/haven-agent.ini:2: unknown key `secert`",
        ),
        (
            "[main]\n[other]\n",
            "DIR/haven-agent.ini:2: unknown section [other], not [main]",
        ),
        (
            "docker = x\n",
            "DIR/haven-agent.ini:1: a setting before the section header [main]",
        ),
        (
            "[main]\ntimeout: 5s\n",
            "DIR/haven-agent.ini:2: timeout: `5s` is not a number from 1 to 604800 (seconds)",
        ),
    ] {
        place.write("haven-agent.ini", ini);
        assert_eq!(place.refused(&[], &[]), format!("haven-agent: {message}\n"));
    }
    fs::remove_file(place.0.join("haven-agent.ini")).unwrap();
    fs::create_dir(place.0.join("haven-agent.ini")).unwrap();
    assert_eq!(
        place.refused(&[], &[]),
        "haven-agent: cannot read DIR/haven-agent.ini: Is a directory (os error 21)\n"
    );
}

#[test]
fn a_certificate_that_is_none_is_refused_before_anything_starts() {
    let place = Place::new();
    place.write("cert.pem", "no certificate\n");
    place.write("key.pem", "no key\n");
    let output = place.run(
        &[
            ALONE[0],
            "--listen=127.0.0.1:0",
            "--tls-cert=cert.pem",
            "--tls-key=key.pem",
        ],
        &[],
    );
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(
        error.starts_with("haven-agent: tls_cert: cert.pem "),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1);
}

#[test]
fn secrets_are_in_no_output() {
    let place = Place::new();
    let file = place.write("secret", "hunter2\n");
    let ini = place.write("own.ini", "[main]\nsecret = hunter2\n");
    let secret_file = format!("--secret-file={file}");
    for (arguments, variables) in [
        (&["-s", "hunter2"][..], &[][..]),
        (&["--secret=hunter2"], &[]),
        (&["--dm.agent.notifier.secret=hunter2"], &[]),
        (&[&secret_file], &[]),
        (&["-f", &ini], &[]),
        (&[], &[("dm_agent_notifier_secret", "hunter2")]),
        (&["-s", "hunter2", "-t", "x"], &[]),
        (&["-s", "hunter2", "--admin-password=hunter2"], &[]),
        (&["-s", "not", "hunter2"], &[]),
        (&["-xhunter2"], &[]),
    ] {
        let all = [
            &["check", "-vv", "-m", "127.0.0.1:1"],
            &ALONE[..],
            arguments,
        ]
        .concat();
        let output = place.run(&all, variables);
        let both = text(&output.stdout) + &text(&output.stderr);
        assert!(!both.contains("hunter2"), "{arguments:?}: {both}");
    }
}

#[test]
fn secrets_are_wiped_from_the_process_list() {
    let place = Place::new();
    let hash = format!("--admin-password={HASH}");
    let spring = format!("--dm.auth.adminPassword={HASH}");
    for secret in [
        &["-s", "hunter2"][..],
        &["-shunter2"],
        &["-vshunter2"],
        &["--secret=hunter2"],
        &["--secret", "hunter2"],
        &["--dm.agent.notifier.secret=hunter2"],
        &["--dm.agent.notifier.secret", "hunter2", "-t", "30"],
        &[&hash],
        &[&spring],
        &["--admin-password", HASH],
    ] {
        let arguments = [&ALONE[..], secret].concat();
        let (daemon, _) = daemon(place.command(&arguments, &[]));
        let list = fs::read(format!("/proc/{}/cmdline", daemon.0.id())).unwrap();
        let given = [&[BINARY], &arguments[..]].concat().join("\0") + "\0";
        let wiped = given
            .replace("hunter2", "*******")
            .replace(HASH, &"*".repeat(HASH.len()));
        assert_ne!(given, wiped);
        assert_eq!(text(&list), wiped);
    }
}

#[test]
fn the_daemons_first_lines_are_the_documented_ones() {
    let place = Place::new();
    let ini = place.write("haven-agent.ini", "[main]\nlog_level = 2\n");
    let mut command = place.command(&ALONE, &[("TZ", "<+05>-5")]);
    let mut daemon = Daemon(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(daemon.0.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    // 2016-08-10 15:03:04,583 - INFO - Configs: …
    let (time, message) = first.split_at(23);
    let form: String = time
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(form, "0000-00-00 00:00:00,000");
    assert_eq!(message, format!(" - INFO - Configs: {ini}"));
    let second = lines.next().unwrap().unwrap();
    assert!(
        second.starts_with("Arguments: {'timeout': 60, 'master': None, "),
        "{second}"
    );
    let third = lines.next().unwrap().unwrap();
    assert!(
        third.ends_with(" - INFO - The proxy is off: --listen says so"),
        "{third}"
    );
}

#[test]
fn under_systemd_lines_have_priorities_instead_of_times() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().unwrap();
    let stat = fs::File::from(OwnedFd::from(writer.try_clone().unwrap()))
        .metadata()
        .unwrap();
    let journal = format!("{}:{}", stat.dev(), stat.ino());
    let mut command = place.command(&ALONE, &[("JOURNAL_STREAM", &journal)]);
    let _daemon = Daemon(command.stdout(writer).spawn().unwrap());
    drop(command);
    let mut lines = BufReader::new(reader).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "<6>Configs: none");
    // A stream that is not the journal's is none, whatever the variable says.
    let (_other, line) = daemon(place.command(&ALONE, &[("JOURNAL_STREAM", "1:2")]));
    assert!(line.ends_with(" - INFO - Configs: none\n"), "{line}");
}

#[test]
fn the_default_password_and_none_at_all_are_warned_of() {
    let place = Place::new();
    let warnings = |arguments: &[&str]| {
        let all = [&[ALONE[0], "--listen=127.0.0.1:0"], arguments].concat();
        let mut command = place.command(&all, &[]);
        let mut daemon = Daemon(command.stdout(Stdio::piped()).spawn().unwrap());
        let lines = BufReader::new(daemon.0.stdout.take().unwrap()).lines();
        let lines = lines
            .map(Result::unwrap)
            .take_while(|line| !line.contains("No master is given"));
        lines
            .filter(|line| line.contains(" - WARNING - "))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert!(warnings(&[]).contains("The default password is in use"));
    assert!(warnings(&["--admin-password="]).contains("Authentication is off"));
    let own = warnings(&[&format!("--admin-password={HASH}")]);
    assert!(
        !own.contains("assword") && !own.contains("Authentication"),
        "{own}"
    );
}

#[test]
fn help_and_version_need_no_good_settings() {
    let place = Place::new();
    place.write("haven-agent.ini", "nonsense");
    for (arguments, usage) in [
        (&["-h"][..], "usage: haven-agent [-h] [-d DOCKER]"),
        (&["--help"], "usage: haven-agent [-h] [-d DOCKER]"),
        (&["help"], "usage: haven-agent [-h] [-d DOCKER]"),
        (&["check", "-h"], "usage: haven-agent check ["),
        (&["help", "policy"], "usage: haven-agent policy ["),
    ] {
        let output = place.run(arguments, &[("HAVEN_AGENT_NONSENSE", "x")]);
        assert!(output.status.success() && output.stderr.is_empty());
        let help = text(&output.stdout);
        assert!(help.starts_with(usage), "{help}");
        assert!(help.contains("--head-timeout"), "{help}");
    }
    let output = place.run(&["--version"], &[]);
    let version = format!("haven-agent {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&output.stdout), version);
}

#[test]
fn the_help_texts_sample_config_is_one() {
    let place = Place::new();
    let help = text(&place.run(&["--help"], &[]).stdout);
    let sample = help.split("Sample config:\n").nth(1).unwrap();
    let sample = sample.split("By default").next().unwrap();
    place.write("haven-agent.ini", sample);
    let effective = place.effective(
        &["-d", "unix:///nonexistent", "-m", "", "--listen=none"],
        &[],
    );
    assert!(
        effective.contains("'timeout': 10, 'master': None, "),
        "{effective}"
    );
}

fn hash_password(place: &Place, input: &[u8]) -> Output {
    let mut command = place.command(&["hash-password"], &[]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn hash_password_makes_a_hash_that_is_taken() {
    let place = Place::new();
    for input in [&b"hunter2\n"[..], b"hunter2"] {
        let output = hash_password(&place, input);
        assert!(output.status.success());
        let hash = text(&output.stdout);
        assert!(bcrypt::verify("hunter2", hash.trim_end()).unwrap());
        let effective = place.effective(&ALONE, &[("dm_auth_adminPassword", hash.trim_end())]);
        assert!(effective.contains("'admin_password': '***'"));
    }
    for (input, problem) in [
        (&b"\n"[..], "the password is empty"),
        (b"", "the password is empty"),
        (&[b'x'; 73], "the password has more than 72 bytes"),
        (b"two\nlines\n", "the password has a control character"),
    ] {
        let output = hash_password(&place, input);
        assert_eq!(output.status.code(), Some(1));
        let error = text(&output.stderr);
        assert!(
            error.starts_with(&format!("haven-agent: {problem}")),
            "{error}"
        );
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn root_cert_prints_the_root_and_its_fingerprint() {
    let place = Place::new();
    let output = place.run(&["root-cert"], &[]);
    assert!(output.status.success());
    let pem = text(&output.stdout);
    assert!(
        pem.starts_with("-----BEGIN CERTIFICATE-----\n")
            && pem.ends_with("-----END CERTIFICATE-----\n")
    );
    let fingerprint = text(&output.stderr);
    let hex = fingerprint
        .trim_end()
        .strip_prefix("SHA-256 fingerprint: ")
        .unwrap();
    assert_eq!(hex.split(':').count(), 32);
    // A result that cannot be written is a failure.
    let mut command = place.command(&["root-cert"], &[]);
    command
        .stdout(fs::File::create("/dev/full").unwrap())
        .stderr(Stdio::piped());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot write to standard output"));
}

#[test]
fn check_says_what_works_and_what_does_not() {
    let place = Place::new();
    let output = place.run(
        &[
            "check",
            ALONE[0],
            "--listen=127.0.0.1:0",
            "-m",
            "127.0.0.1:1",
        ],
        &[],
    );
    assert_eq!(output.status.code(), Some(1));
    let lines = text(&output.stdout);
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines[0], "ok   settings: good (configuration files: none)");
    assert_eq!(
        lines[1],
        "ok   proxy: The proxy is on, at 127.0.0.1:0: --listen says so"
    );
    assert_eq!(
        lines[2],
        "ok   users: the default password is in use: set admin_password"
    );
    assert_eq!(
        lines[3],
        "ok   certificate: can be signed by the built-in root"
    );
    assert_eq!(lines[4], "ok   port 127.0.0.1:0: free");
    assert!(
        lines[5].starts_with("FAIL docker unix:///nonexistent/docker.sock: "),
        "{}",
        lines[5]
    );
    assert_eq!(
        lines[6],
        "FAIL master http://127.0.0.1:1: Connection refused (os error 111)"
    );
    // Which parts hold is the kernel's to say.
    assert!(lines[7].starts_with("ok   sandbox: "), "{}", lines[7]);
}

#[test]
fn check_finds_a_port_that_is_taken() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = place.run(&["check", ALONE[0], "--listen", &address], &[]);
    let line = format!(
        "FAIL port {address}: Address already in use (os error 98) (does an agent run already?)"
    );
    assert!(text(&output.stdout).contains(&line));
}

#[test]
fn check_asks_a_master_without_registering() {
    let place = Place::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/haven", listener.local_addr().unwrap());
    let master = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let head: Vec<String> = lines
            .by_ref()
            .map(Result::unwrap)
            .take_while(|l| !l.is_empty())
            .collect();
        stream
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        head
    });
    let output = place.run(
        &["check", ALONE[0], ALONE[1], "-s", "hunter2", "-m", &url],
        &[],
    );
    let line = format!("ok   master {url}: answers HTTP 404 (nothing was registered)");
    assert!(
        text(&output.stdout).contains(&line),
        "{}",
        text(&output.stdout)
    );
    let head = master.join().unwrap();
    assert_eq!(head[0], "GET /haven/ HTTP/1.1");
    assert!(!head.concat().contains("hunter2"));
}

#[test]
fn check_is_content_where_docker_answers() {
    let place = Place::new();
    if std::os::unix::net::UnixStream::connect("/var/run/docker.sock").is_err() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no Docker at /var/run/docker.sock"
        );
        return;
    }
    let output = place.run(&["check", "--listen=127.0.0.1:0"], &[]);
    assert!(output.status.success(), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("ok   docker unix:///var/run/docker.sock: "));
}
