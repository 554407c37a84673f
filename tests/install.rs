//! `install` and `uninstall` in a system below a temporary directory. Commands are run in none of these
//! tests: `scripts/systemd` has those.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that goes wrong"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::agent::{Setup, basic, binary};
use support::client::Client;
use support::process::{Outcome, clean, run};
use support::upstream::Upstream;
use support::{TempDir, skipped};

const PROGRAM: &str = "usr/local/bin/haven-agent";
const CONFIG: &str = "etc/haven-agent.ini";
const UNIT: &str = "etc/systemd/system/haven-agent.service";
const SOCKET: &str = "etc/systemd/system/haven-agent.socket";
const WANTED: &str = "etc/systemd/system/multi-user.target.wants/haven-agent.service";
const NEW_PASSWORD: &str = "admin's password, shown this once: ";

/// Another system's root directory, with systemd, Docker's group and the agent's user.
struct System(TempDir);

impl System {
    fn new() -> System {
        let system = System(TempDir::new("root"));
        system.write("lib/systemd/systemd", "");
        system.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        system.write("etc/group", "root:x:0:\ndocker:x:998:\n");
        system
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[track_caller]
    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.at(path)).unwrap().mode() & 0o7777
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = clean(binary());
        command.args(arguments).arg("--root").arg(self.0.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        run(&mut self.command(arguments), b"")
    }

    #[track_caller]
    fn install(&self, arguments: &[&str]) -> String {
        self.run(&[&["install"], arguments].concat()).ok()
    }

    #[track_caller]
    fn uninstall(&self, arguments: &[&str]) -> String {
        self.run(&[&["uninstall"], arguments].concat()).ok()
    }

    /// What standard error says to a command that must fail and change nothing.
    #[track_caller]
    fn refused(&self, arguments: &[&str], code: i32) -> String {
        let before = self.snapshot();
        let outcome = self.run(arguments);
        assert_eq!(
            outcome.code,
            Some(code),
            "{}{}",
            outcome.out(),
            outcome.err()
        );
        assert_eq!(self.snapshot(), before);
        outcome.err()
    }

    /// Each file and link: its mode, its inode, and what it holds.
    fn snapshot(&self) -> BTreeMap<PathBuf, (u32, u64, Vec<u8>)> {
        let mut all = BTreeMap::new();
        let mut ahead = vec![self.0.path().to_owned()];
        while let Some(directory) = ahead.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let meta = path.symlink_metadata().unwrap();
                let content = if meta.is_dir() {
                    ahead.push(path);
                    continue;
                } else if meta.is_symlink() {
                    fs::read_link(&path)
                        .unwrap()
                        .into_os_string()
                        .into_encoded_bytes()
                } else {
                    fs::read(&path).unwrap()
                };
                all.insert(path, (meta.mode(), meta.ino(), content));
            }
        }
        all
    }
}

fn told_password(out: &str) -> String {
    let line = out.lines().find_map(|line| line.strip_prefix(NEW_PASSWORD));
    line.unwrap_or_else(|| panic!("no password:\n{out}"))
        .to_owned()
}

#[test]
fn everything_is_there_and_gone_again() {
    let system = System::new();
    let before = system.snapshot();
    let out = system.install(&[]);
    assert_eq!(
        fs::read(system.at(PROGRAM)).unwrap(),
        fs::read(binary()).unwrap()
    );
    assert_eq!(system.mode(PROGRAM), 0o755);
    assert_eq!(system.mode(CONFIG), 0o640);
    assert_eq!(system.mode(UNIT), 0o644);
    let unit = system.read(UNIT);
    for line in [
        "User=haven-agent",
        "SupplementaryGroups=docker",
        "Type=notify",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "ExecStart=/usr/local/bin/haven-agent daemon --config /etc/haven-agent.ini",
    ] {
        assert!(unit.lines().any(|known| known == line), "{line}\n{unit}");
    }
    assert!(
        !unit.contains('@') || unit.contains("=@system-service"),
        "{unit}"
    );
    assert_eq!(
        fs::read_link(system.at(WANTED)).unwrap(),
        Path::new("/").join(UNIT)
    );
    // The image's user is made when it is started.
    assert!(
        system
            .read("etc/sysusers.d/haven-agent.conf")
            .contains("u haven-agent - ")
    );
    let password = told_password(&out);
    assert!(
        out.contains(&format!("dm.agent.client.password={password}")),
        "{out}"
    );
    assert!(password.len() == 24 && !system.read(CONFIG).contains(&password));
    let again = System::new();
    assert_ne!(told_password(&again.install(&[])), password);

    let installed = system.snapshot();
    let out = system.install(&[]);
    assert_eq!(system.snapshot(), installed, "a second run writes nothing");
    assert!(!out.contains("password"), "{out}");

    system.uninstall(&[]);
    assert_eq!(system.snapshot(), before);
    system.uninstall(&[]);
}

#[test]
fn the_agent_works_with_what_is_installed() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK");
    let system = System::new();
    let out = system.install(&[
        "-m",
        "127.0.0.1:9",
        "-s",
        "hunter2%",
        "--names=node.example",
    ]);
    assert!(!out.contains("hunter2"), "{out}");
    let text = system.read(CONFIG);
    for line in [
        "master = 127.0.0.1:9",
        "secret = hunter2%%",
        "names = node.example",
        "#timeout = 60",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
    let agent = Setup::new()
        .without_env("HAVEN_AGENT_ADMIN_PASSWORD")
        .docker(&upstream.socket())
        .config(&system.at(CONFIG))
        .start();
    let mut client = Client::connect(&agent);
    let credentials = basic("admin", &told_password(&out));
    client.send(format!(
        "GET /_ping HTTP/1.1\r\nHost: a\r\nAuthorization: {credentials}\r\n\r\n"
    ));
    assert_eq!(client.answer("GET").status, 200);
    assert!(!agent.log().contains("default password"), "{}", agent.log());
}

#[test]
fn an_upgrade_replaces_the_program_and_the_unit_and_keeps_the_configuration() {
    let system = System::new();
    system.install(&["-m", "h:1"]);
    let edited = system
        .read(CONFIG)
        .replace("#timeout = 60", "timeout = 5 # mine");
    let edited = edited.replace(" # mine", "");
    system.write(CONFIG, &edited);
    system.write(PROGRAM, "the last version");
    system.write(UNIT, "# Written by haven-agent install\nold");
    let out = system.install(&["-m", "h:2"]);
    assert!(out.contains("stays"), "{out}");
    assert_eq!(system.read(CONFIG), edited);
    assert_eq!(
        fs::read(system.at(PROGRAM)).unwrap(),
        fs::read(binary()).unwrap()
    );
    assert!(system.read(UNIT).contains("[Service]"));

    // A configuration that would not start stops the upgrade before it has begun.
    system.write(PROGRAM, "the last version");
    system.write(CONFIG, "[main]\ntimeout = never\n");
    let said = system.refused(&["install"], 1);
    assert!(
        said.contains("/etc/haven-agent.ini") && said.contains("never"),
        "{said}"
    );
}

#[test]
fn a_configuration_that_everyone_could_read_is_closed() {
    let system = System::new();
    system.write(CONFIG, "[main]\nsecret = x\n");
    fs::set_permissions(system.at(CONFIG), fs::Permissions::from_mode(0o644)).unwrap();
    system.install(&[]);
    assert_eq!(
        (system.mode(CONFIG), system.read(CONFIG)),
        (0o640, "[main]\nsecret = x\n".into())
    );
    // It is not install's, and stays.
    let out = system.uninstall(&[]);
    assert!(out.contains("left: /etc/haven-agent.ini"), "{out}");
    assert_eq!(system.read(CONFIG), "[main]\nsecret = x\n");
}

/// The Python agent's script is `node-agent` on nodes; its own repository called it `dm-agent`.
#[test]
fn the_python_agent_is_taken_over() {
    let system = System::new();
    let before = system.snapshot();
    let unit = "[Service]\nExecStart=/usr/bin/python3 /usr/local/bin/node-agent.py\n";
    system.write("etc/systemd/system/node-agent.service", unit);
    let wants = "etc/systemd/system/multi-user.target.wants/node-agent.service";
    fs::create_dir_all(system.at(wants).parent().unwrap()).unwrap();
    symlink("/etc/systemd/system/node-agent.service", system.at(wants)).unwrap();
    system.write("usr/local/bin/node-agent.py", "#!/usr/bin/python3\n");
    system.write(
        "etc/node-agent.ini",
        "[main]\nmaster: 10.0.0.3:8761\nsecret = 100%%\ncolor = red\n",
    );
    system.write(
        "etc/dm-agent.ini",
        "[main]\nmaster = 10.0.0.4:8761\ntimeout = 10\n",
    );
    let out = system.install(&[]);
    let text = system.read(CONFIG);
    for line in [
        "master = 10.0.0.3:8761",
        "secret = 100%%",
        "timeout = 10",
        "#color = red",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
    for removed in [
        "etc/node-agent.ini",
        "etc/dm-agent.ini",
        "usr/local/bin/node-agent.py",
        "etc/systemd/system/node-agent.service",
        wants,
    ] {
        assert!(system.at(removed).symlink_metadata().is_err(), "{removed}");
        assert!(out.contains(&format!("/{removed}")), "{removed}\n{out}");
    }
    system.uninstall(&[]);
    assert_eq!(
        system.snapshot().keys().collect::<Vec<_>>(),
        before.keys().collect::<Vec<_>>()
    );
}

#[test]
fn a_node_whose_docker_is_on_tcp_stays_without_the_proxy() {
    let system = System::new();
    system.write(
        "etc/node-agent.ini",
        "[main]\ndocker = 172.31.0.12:2375\nmaster = h:1\n",
    );
    let out = system.install(&[]);
    assert!(
        out.contains("the proxy stays off") && !out.contains(NEW_PASSWORD),
        "{out}"
    );
    assert!(system.read(CONFIG).contains("\n#admin_password =\n"));
}

#[test]
fn an_old_configuration_that_cannot_be_read_stops_everything() {
    let system = System::new();
    system.write("etc/dm-agent.ini", "[main]\nmaster = h:1\nnonsense\n");
    let said = system.refused(&["install"], 1);
    assert!(
        said.contains("/etc/dm-agent.ini:3: ") && said.contains("nothing was done"),
        "{said}"
    );
    system.write("etc/dm-agent.ini", "[main]\nmaster = h:x\n");
    let said = system.refused(&["install"], 1);
    assert!(said.contains("h:x"), "{said}");
}

#[test]
fn passwords_that_nodes_share() {
    let system = System::new();
    let file = system.at("password");
    fs::write(&file, "one for all\nrest").unwrap();
    let out = system.install(&["--password-file", &file.display().to_string()]);
    assert!(
        !out.contains("one for all") && !out.contains(NEW_PASSWORD),
        "{out}"
    );
    let text = system.read(CONFIG);
    let hash = text
        .lines()
        .find_map(|line| line.strip_prefix("admin_password = "))
        .unwrap();
    assert!(bcrypt::verify("one for all", hash).unwrap());

    let system = System::new();
    let out = system.install(&["--default-password"]);
    assert!(out.contains("everybody knows"), "{out}");
    assert!(system.read(CONFIG).contains("\n#admin_password =\n"));

    let system = System::new();
    let said = system.refused(&["install", "--password-file", "/no/such/file"], 1);
    assert!(said.contains("/no/such/file"), "{said}");
}

#[test]
fn half_of_an_installation_is_removed_as_well() {
    let probe = System::new();
    let before = probe.snapshot().len();
    probe.install(&["--socket"]);
    assert!(probe.snapshot().len() > before + 5);
    let made: Vec<PathBuf> = probe.snapshot().into_keys().collect();
    for missing in &made {
        let system = System::new();
        let untouched: Vec<_> = system.snapshot().into_keys().collect();
        system.install(&["--socket"]);
        let relative = missing.strip_prefix(probe.0.path()).unwrap();
        if untouched.contains(&system.0.path().join(relative)) {
            continue;
        }
        fs::remove_file(system.0.path().join(relative)).unwrap();
        // What a power cut leaves.
        system.write("usr/local/bin/.haven-agent.new", "half");
        system.write("etc/.haven-agent.ini.new", "half");
        system.uninstall(&[]);
        let left: Vec<_> = system.snapshot().into_keys().collect();
        assert_eq!(left, untouched, "without {}", relative.display());
        system.install(&[]);
    }
}

#[test]
fn what_install_did_not_write_is_left() {
    let system = System::new();
    system.install(&[]);
    system.write(UNIT, "[Service]\nExecStart=/somebody/elses\n");
    let out = system.uninstall(&["--keep-config"]);
    assert!(
        out.contains("left: /etc/haven-agent.ini") && out.contains("left: /etc/systemd"),
        "{out}"
    );
    assert!(system.read(UNIT).contains("elses"));
    assert!(system.read(CONFIG).contains("admin_password = $2"));
    assert!(!system.at(PROGRAM).exists());
}

#[test]
fn the_user_and_its_groups() {
    let system = System::new();
    system.write("etc/passwd", "web:x:33:65534::/:/bin/false\n");
    system.write("etc/group", "nogroup:x:65534:\n");
    if fs::metadata(system.0.path()).unwrap().uid() != 0 {
        skipped("files of another group need root");
        return;
    }
    let out = system.install(&["-u", "web"]);
    assert!(out.contains("no group docker"), "{out}");
    let unit = system.read(UNIT);
    assert!(
        unit.contains("User=web\nRestart") && !unit.contains("SupplementaryGroups"),
        "{unit}"
    );
    assert_eq!(fs::metadata(system.at(CONFIG)).unwrap().gid(), 65534);
    assert!(!system.at("etc/sysusers.d/haven-agent.conf").exists());
}

#[test]
fn the_socket_unit_has_the_port_of_the_configuration() {
    let system = System::new();
    system.install(&["--socket", "--listen", "[::1]:9000"]);
    assert!(system.read(SOCKET).contains("\nListenStream=[::1]:9000\n"));
    assert!(
        system
            .at("etc/systemd/system/sockets.target.wants/haven-agent.socket")
            .symlink_metadata()
            .is_ok()
    );
    // It follows the configuration without being asked for again.
    let moved = system.read(CONFIG).replace("[::1]:9000", ":9001");
    system.write(CONFIG, &moved);
    system.install(&[]);
    assert!(
        system
            .read(SOCKET)
            .contains("\nListenStream=0.0.0.0:9001\n")
    );
}

#[test]
fn each_init_system_gets_its_files_and_scripts_that_shells_understand() {
    let cases: [(&str, &str, &[&str], &[&str]); 3] = [
        (
            "openrc",
            "sbin/openrc-run",
            &["etc/init.d/haven-agent"],
            &["etc/runlevels/default/haven-agent"],
        ),
        (
            "procd",
            "sbin/procd",
            &["etc/init.d/haven-agent"],
            &["etc/rc.d/S99haven-agent", "etc/rc.d/K10haven-agent"],
        ),
        (
            "runit",
            "usr/bin/runsvdir",
            &["etc/sv/haven-agent/run", "etc/sv/haven-agent/log/run"],
            &["var/service/haven-agent"],
        ),
    ];
    for (name, sign, scripts, links) in cases {
        for found in [false, true] {
            let system = System::new();
            fs::create_dir_all(system.at("var/service")).unwrap();
            let before: Vec<_> = system.snapshot().into_keys().collect();
            let out = if found {
                fs::remove_file(system.at("lib/systemd/systemd")).unwrap();
                system.write(sign, "");
                system.install(&["-u", "root"])
            } else {
                system.install(&["-u", "root", "--init", name])
            };
            assert!(!system.at(UNIT).exists());
            for script in scripts {
                assert_eq!(system.mode(script), 0o755, "{script}");
                check_script(&system.at(script));
                let text = system.read(script);
                assert!(!text.contains("@U") && !text.contains("@G"), "{text}");
                assert!(out.contains(script), "{out}");
            }
            for link in links {
                assert!(
                    system.at(link).symlink_metadata().unwrap().is_symlink(),
                    "{link}"
                );
            }
            system.uninstall(&[]);
            if !found {
                let left: Vec<_> = system.snapshot().into_keys().collect();
                assert_eq!(left, before, "{name}");
            }
        }
    }
    let system = System::new();
    fs::remove_file(system.at("lib/systemd/systemd")).unwrap();
    let said = system.refused(&["install"], 1);
    assert!(
        said.contains("--init systemd, openrc, procd or runit"),
        "{said}"
    );
}

/// By the shells that are there, and by shellcheck.
fn check_script(path: &Path) {
    let path = path.display().to_string();
    let checks: [&[&str]; 4] = [
        &["sh", "-n", &path],
        &["busybox", "ash", "-n", &path],
        &["dash", "-n", &path],
        &["shellcheck", "--shell=sh", &path],
    ];
    for check in checks {
        let mut command = clean(check[0]);
        if clean(check[0]).arg("--version").output().is_err() {
            skipped(&format!("no {}", check[0]));
            continue;
        }
        let outcome = run(command.args(&check[1..]), b"");
        assert_eq!(
            outcome.code,
            Some(0),
            "{check:?}: {}{}",
            outcome.out(),
            outcome.err()
        );
    }
}

#[test]
fn a_link_of_an_image_does_not_lead_out_of_it() {
    let system = System::new();
    let outside = TempDir::new("outside");
    fs::create_dir_all(system.at("etc/systemd")).unwrap();
    fs::create_dir_all(system.at(outside.path().strip_prefix("/").unwrap().to_str().unwrap()))
        .unwrap();
    symlink(outside.path(), system.at("etc/systemd/system")).unwrap();
    system.install(&[]);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    let inside = system.at(outside.path().strip_prefix("/").unwrap().to_str().unwrap());
    assert!(inside.join("haven-agent.service").exists());
}

#[test]
fn a_configuration_that_is_a_link_is_the_image_s_own() {
    let system = System::new();
    let outside = TempDir::new("outside");
    let file = outside.join("file");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    symlink(&file, system.at(CONFIG)).unwrap();
    system.install(&[]);
    let meta = fs::metadata(&file).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.len()), (0o666, 0));
    assert!(!system.read(CONFIG).is_empty() && system.mode(CONFIG) == 0o640);
}

#[test]
fn wrong_usage_is_told() {
    let system = System::new();
    for (arguments, words) in [
        (&["install", "-u", "a b"][..], "no name of a user"),
        (
            &["install", "--init", "upstart"],
            "neither systemd nor openrc",
        ),
        (&["install", "--no-start=yes"], "takes no value"),
        (
            &["install", "--keep-config"],
            "--keep-config is not for this command",
        ),
        (&["uninstall", "-m", "h:1"], "-m is not for this command"),
        (
            &["install", "-f", "/etc/x.ini"],
            "-f is not for this command",
        ),
        (&["check"], "--root is not for this command"),
        (&["install", "extra"], "unexpected argument"),
    ] {
        let said = system.refused(arguments, 2);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let said = system.refused(&["install", "--listen", "nowhere:x"], 1);
    assert!(
        said.contains("--listen") && said.contains("nothing was done"),
        "{said}"
    );
    let nowhere = run(
        clean(binary()).args(["install", "--root", "/no/such/root"]),
        b"",
    );
    assert_eq!(nowhere.code, Some(2));
    assert!(nowhere.err().contains("/no/such/root"));
}
