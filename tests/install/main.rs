//! `install` and `uninstall` in a system below a temporary directory, and in this one with directories and commands
//! of its own (`own`). `scripts/systemd` and `scripts/inits` have those of real service managers.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that goes wrong"
)]

mod own;
#[path = "../support/mod.rs"]
mod support;
mod system;
mod takeover;
mod upgrade;

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use support::agent::{Setup, basic, binary};
use support::client::Client;
use support::process::{clean, run};
use support::upstream::Upstream;
use support::{TempDir, skipped};
use system::System;

const PROGRAM: &str = "usr/local/bin/haven-agent";
const CONFIG: &str = "etc/haven-agent.ini";
const UNIT: &str = "etc/systemd/system/haven-agent.service";
const SOCKET: &str = "etc/systemd/system/haven-agent.socket";
const WANTED: &str = "etc/systemd/system/multi-user.target.wants/haven-agent.service";
const SOCKETS: &str = "etc/systemd/system/sockets.target.wants/haven-agent.socket";
const SCRIPT: &str = "etc/init.d/haven-agent";
const NEW_PASSWORD: &str = "admin's password, shown this once: ";

/// Whether this is root, whom alone files can be given away by.
fn is_root() -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
    if !root {
        skipped("files of other users need root");
    }
    root
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
    let said = system.refused(&["install", "--password-file", "/no/such/file"], 2);
    assert!(said.contains("/no/such/file"), "{said}");
    let file = system.at("password");
    for bytes in [&b"\xef\xbb\xbfpassword\n"[..], b"pass\xe9\n"] {
        fs::write(&file, bytes).unwrap();
        let said = system.refused(
            &["install", "--password-file", &file.display().to_string()],
            2,
        );
        assert!(said.contains("/password:1: not UTF-8"), "{said}");
    }
    fs::write(&file, "\n").unwrap();
    let empty = ["install", "--password-file", &file.display().to_string()];
    assert!(system.refused(&empty, 2).contains("empty"));
    // It says more than an old agent's configuration.
    fs::write(&file, "new\n").unwrap();
    let hash = bcrypt::hash("old", 4).unwrap();
    system.write(
        "etc/node-agent.ini",
        &format!("[main]\nadmin_password = {hash}\n"),
    );
    system.install(&["--password-file", &file.display().to_string()]);
    assert!(!system.read(CONFIG).contains(&hash));
}

#[test]
fn half_of_an_installation_is_removed_as_well() {
    let probe = System::new();
    let before = probe.snapshot().len();
    probe.install(&["--socket", "--default-password"]);
    assert!(probe.snapshot().len() > before + 5);
    let made: Vec<PathBuf> = probe.snapshot().into_keys().collect();
    for missing in &made {
        let system = System::new();
        let untouched: Vec<_> = system.snapshot().into_keys().collect();
        system.install(&["--socket", "--default-password"]);
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
        system.install(&["--default-password"]);
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

    // Neither is a link that leads nowhere in the way.
    fs::remove_file(system.at(CONFIG)).unwrap();
    symlink("/no/where", system.at(CONFIG)).unwrap();
    system.uninstall(&["--keep-config"]);
    assert!(system.has(CONFIG));

    // A program of that name is an agent if it is the same, or has a service of ours.
    let system = System::new();
    system.write(PROGRAM, "another\n");
    let out = system.uninstall(&[]);
    assert!(
        system.has(PROGRAM) && out.contains("left: /usr/local/bin/haven-agent"),
        "{out}"
    );
    system.write(UNIT, "[Service]\nExecStart=/somebody/elses\n");
    fs::create_dir_all(system.at(WANTED).parent().unwrap()).unwrap();
    symlink(Path::new("/").join(UNIT), system.at(WANTED)).unwrap();
    system.uninstall(&[]);
    assert!(system.has(UNIT) && system.has(WANTED));
}

#[test]
fn links_to_what_is_not_install_s_are_left() {
    let packaged = "/usr/lib/systemd/system/haven-agent.service";
    for (link, target, is_ours) in [
        (WANTED, packaged, false),
        (
            WANTED,
            "../../../../usr/lib/systemd/system/haven-agent.service",
            false,
        ),
        (WANTED, "/etc/systemd/system/haven-agent.service", true),
        (WANTED, "../haven-agent.service", true),
        (SOCKETS, "/lib/systemd/system/haven-agent.socket", false),
        (
            "etc/runlevels/default/haven-agent",
            "/etc/init.d/haven-agent",
            true,
        ),
        ("etc/rc.d/S99haven-agent", "../init.d/haven-agent", true),
        ("etc/service/haven-agent", "/etc/sv/haven-agent", true),
        (
            "etc/service/haven-agent",
            "/usr/share/sv/haven-agent",
            false,
        ),
    ] {
        let system = System::new();
        fs::create_dir_all(system.at(link).parent().unwrap()).unwrap();
        symlink(target, system.at(link)).unwrap();
        system.uninstall(&[]);
        assert_eq!(system.has(link), !is_ours, "{link} -> {target}");
    }
}

#[test]
fn directories_are_open_whatever_the_umask() {
    let system = System::new();
    let script = "umask 077; exec \"$0\" install --root \"$1\"";
    let mut command = clean("sh");
    command
        .args(["-c", script])
        .arg(binary())
        .arg(system.0.path());
    run(&mut command, b"").ok();
    for directory in ["usr", "usr/local", "usr/local/bin", "etc/systemd/system"] {
        assert_eq!(system.mode(directory), 0o755, "{directory}");
    }
    assert_eq!((system.mode(PROGRAM), system.mode(CONFIG)), (0o755, 0o640));
}

#[test]
fn a_password_that_cannot_be_told_is_not_set() {
    let system = System::new();
    let mut command = system.command(&["install"]);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("haven-agent hash-password"), "{said}");
    assert!(!system.has(CONFIG));
}

#[test]
fn the_socket_unit_has_the_port_of_the_configuration() {
    let system = System::new();
    system.install(&["--socket", "--listen", "[::1]:9000"]);
    assert!(system.read(SOCKET).contains("\nListenStream=[::1]:9000\n"));
    assert!(system.has(SOCKETS));
    // It follows the configuration without being asked for again.
    let moved = system.read(CONFIG).replace("[::1]:9000", ":9001");
    system.write(CONFIG, &moved);
    system.install(&[]);
    assert!(
        system
            .read(SOCKET)
            .contains("\nListenStream=0.0.0.0:9001\n")
    );
    // And goes with the proxy, or when it is no longer wanted.
    let off = system.read(CONFIG).replace(":9001", "none");
    system.write(CONFIG, &off);
    system.install(&[]);
    assert!(!system.has(SOCKET) && !system.has(SOCKETS));
    let system = System::new();
    system.install(&["--socket"]);
    system.install(&["--no-socket"]);
    assert!(!system.has(SOCKET) && !system.has(SOCKETS));
    system.install(&[]);
    assert!(!system.has(SOCKET));
}

#[test]
fn a_socket_that_cannot_be_is_refused() {
    for arguments in [
        &["install", "--socket", "--listen", "none"][..],
        &["install", "--socket", "--init", "openrc"],
        &["install", "--socket", "--listen", ":0"],
    ] {
        let said = System::new().refused(arguments, 1);
        assert!(said.contains("--socket needs systemd"), "{said}");
    }
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
        (
            &["install", "--socket", "--no-socket"],
            "exclude each other",
        ),
        (
            &["install", "--default-password", "--password-file", "/x"],
            "exclude each other",
        ),
    ] {
        let said = system.refused(arguments, 2);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let said = system.refused(&["install", "--listen", "nowhere:x"], 2);
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

#[test]
fn what_an_image_cannot_have_yet_is_told_and_no_more_is_claimed() {
    let system = System::new();
    let out = system.install(&[]);
    assert!(out.contains("0640 root:root"), "{out}");
    for init in ["openrc", "procd", "runit"] {
        let system = System::new();
        let out = system.install(&["--init", init]);
        assert!(
            out.contains("0640 root:root")
                && out.contains("make the system user haven-agent")
                && out.contains("chgrp haven-agent /etc/haven-agent.ini"),
            "{out}"
        );
    }
}

#[test]
fn files_that_an_image_gets_later_are_good_and_what_contradicts_itself_is_not() {
    for good in [
        &["--client-ca", "/etc/ca.pem", "--client-auth", "optional"][..],
        &["--policies", "/etc/policies", "--policy", "admin:mine"],
        &["--tls-cert", "/etc/cert", "--tls-key", "/etc/key"],
    ] {
        System::new().install(good);
    }
    let said = System::new().refused(&["install", "--tls-cert", "/etc/cert"], 2);
    assert!(said.contains("--tls-cert: needs tls_key"), "{said}");
    let both = ["install", "-s", "x", "--secret-file", "/etc/secret"];
    let said = System::new().refused(&both, 2);
    assert!(
        said.contains("exclude each other") && !said.contains(" x "),
        "{said}"
    );
}

#[test]
fn files_are_named_from_the_root_on() {
    let system = System::new();
    system.install(&["--secret-file", "etc/secret"]);
    assert!(
        system
            .read(CONFIG)
            .contains("\nsecret_file = /etc/secret\n")
    );
}
