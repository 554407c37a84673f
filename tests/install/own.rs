//! `install` and `uninstall` in the system that runs: this one, where `/etc`, `/usr/local` and `/run` are a test's own
//! (unshare(1)), and with them commands that write down how they were called.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use super::support::agent::binary;
use super::support::process::{Outcome, Running, clean, run};
use super::support::{TempDir, eventually, skipped};
use super::{CONFIG, SCRIPT, SOCKET, SOCKETS, UNIT, WANTED, is_root};

/// What each directory of the machine's own is called below the temporary one.
const DIRECTORIES: [&str; 3] = ["etc", "usr/local", "run"];
/// Runs its arguments with those of the directory in the place of this machine's.
const INSIDE: &str =
    "for each in etc usr/local run; do mount --bind \"$0/$each\" /$each; done; exec \"$@\"";
const CALLS: &str = "run/calls";

struct Machine(TempDir);

impl Machine {
    /// One with systemd, where root may make any.
    fn new() -> Option<Machine> {
        if !is_root() {
            return None;
        }
        let machine = Machine(TempDir::new("machine"));
        for directory in DIRECTORIES {
            fs::create_dir_all(machine.0.join(directory)).unwrap();
        }
        machine.write(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/:/bin/false\n",
        );
        machine.write("etc/group", "root:x:0:\ndocker:x:998:\nweb:x:33:\n");
        fs::create_dir_all(machine.0.join("run/systemd/system")).unwrap();
        machine.command(
            "systemctl",
            "case $1 in --version) echo systemd 252;; is-active) [ -e /run/active ];; esac",
        );
        machine.command("useradd", "echo haven-agent:x:7:7:haven-agent install::/bin/false >>/etc/passwd; echo haven-agent:x:7: >>/etc/group");
        machine.command("userdel", "sed -i /^haven-agent:/d /etc/passwd /etc/group");
        for name in ["usermod", "gpasswd", "rc-update", "rc-service"] {
            machine.command(name, "");
        }
        let inside = run(&mut machine.inside(&["true"]), b"");
        if inside.code != Some(0) {
            skipped("no directories of one's own");
            return None;
        }
        Some(machine)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap_or_default()
    }

    fn has(&self, path: &str) -> bool {
        self.0.join(path).symlink_metadata().is_ok()
    }

    /// A command that notes how it is called, and does that.
    fn command(&self, name: &str, does: &str) {
        let path = format!("usr/local/sbin/{name}");
        self.write(
            &path,
            &format!("#!/bin/sh\necho {name} $* >>/{CALLS}\n{does}\n"),
        );
        let path = self.0.join(&path);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn inside(&self, words: &[&str]) -> std::process::Command {
        let mut command = clean("unshare");
        command
            .args(["--mount", "sh", "-ec", INSIDE])
            .arg(self.0.path())
            .args(words);
        // As `su` without `-` leaves it.
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command
    }

    /// Runs the agent.
    fn run(&self, arguments: &[&str]) -> Outcome {
        fs::write(self.0.join(CALLS), "").unwrap();
        let agent = binary().display().to_string();
        run(
            &mut self.inside(&[&[agent.as_str()], arguments].concat()),
            b"",
        )
    }

    /// Runs it, and gives what it has called that changes something.
    #[track_caller]
    fn calls(&self, arguments: &[&str]) -> Vec<String> {
        self.run(arguments).ok();
        let calls = self.read(CALLS);
        let calls = calls
            .lines()
            .filter(|call| !call.contains("--version") && !call.contains("is-active"));
        calls.map(str::to_owned).collect()
    }

    fn old_agent(&self) {
        self.write(
            "etc/systemd/system/node-agent.service",
            "[Service]\nExecStart=/usr/local/bin/node-agent.py\n",
        );
        self.write("usr/local/bin/node-agent.py", "");
        self.write("etc/node-agent.ini", "[main]\nmaster = h:1\n");
    }
}

#[test]
fn the_python_agent_goes_when_the_new_one_runs() {
    let Some(machine) = Machine::new() else {
        return;
    };
    machine.old_agent();
    let out = machine.run(&["install", "--no-start"]).ok();
    assert!(out.contains("left: the Python agent"), "{out}");
    assert!(!machine.read(CALLS).contains("node-agent"));
    assert!(machine.has("etc/node-agent.ini") && machine.read(CONFIG).contains("master = h:1"));

    machine.write("run/broken", "");
    machine.command(
        "systemctl",
        "[ ! -e /run/broken ] || case $1 in start|restart) exit 1;; esac",
    );
    let outcome = machine.run(&["install"]);
    assert!(
        outcome.code == Some(1) && outcome.err().contains("journalctl"),
        "{}",
        outcome.err()
    );
    assert!(machine.has("usr/local/bin/node-agent.py") && machine.has("etc/node-agent.ini"));

    fs::remove_file(machine.0.join("run/broken")).unwrap();
    let calls = machine.calls(&["install"]);
    let [.., start, stop] = &calls[..] else {
        panic!("{calls:?}")
    };
    assert!(start.ends_with("start haven-agent.service"), "{calls:?}");
    assert_eq!(stop, "systemctl disable --now node-agent.service");
    for gone in [
        "etc/systemd/system/node-agent.service",
        "usr/local/bin/node-agent.py",
        "etc/node-agent.ini",
    ] {
        assert!(!machine.has(gone), "{gone}");
    }
}

#[test]
fn the_python_agent_that_has_our_name_is_stopped_first_or_nothing_is_done() {
    let Some(machine) = Machine::new() else {
        return;
    };
    machine.write(
        UNIT,
        "[Service]\nExecStart=/usr/bin/python3 /opt/haven-agent.py -m h:1\n",
    );
    let outcome = machine.run(&["install", "--no-start"]);
    assert!(
        outcome.code == Some(1) && outcome.err().contains("--no-start"),
        "{}",
        outcome.err()
    );
    assert_eq!(machine.read(CALLS), "");
    let calls = machine.calls(&["install"]);
    let stop = calls
        .iter()
        .position(|call| call == "systemctl disable --now haven-agent.service");
    let start = calls
        .iter()
        .position(|call| call.ends_with("start haven-agent.service"));
    assert!(stop < start && stop.is_some(), "{calls:?}");
}

#[test]
fn a_program_that_was_replaced_and_runs_still_is_restarted() {
    let Some(machine) = Machine::new() else {
        return;
    };
    machine.run(&["install", "--no-start"]).ok();
    // Stands in for the agent of before.
    let program = machine.0.join("usr/local/bin/haven-agent");
    fs::remove_file(&program).unwrap();
    fs::copy("/bin/sleep", &program).unwrap();
    let mut running = Running::start(&mut machine.inside(&["/usr/local/bin/haven-agent", "600"]));
    let exe = format!("/proc/{}/exe", running.id());
    let runs = || fs::read_link(&exe).is_ok_and(|exe| exe.ends_with("haven-agent"));
    assert!(eventually(runs));
    machine.run(&["install", "--no-start"]).ok();
    let restart = "systemctl restart haven-agent.service".to_owned();
    assert!(machine.calls(&["install"]).contains(&restart));
    running.kill();
}

#[test]
fn the_port_follows_the_configuration() {
    let Some(machine) = Machine::new() else {
        return;
    };
    machine.write("run/active", "");
    let opens = "systemctl restart haven-agent.socket".to_owned();
    assert!(machine.calls(&["install", "--socket"]).contains(&opens));
    assert!(!machine.calls(&["install"]).contains(&opens));
    let moved = machine
        .read(CONFIG)
        .replace("#listen = 0.0.0.0:8771", "listen = :9001");
    machine.write(CONFIG, &moved);
    let calls = machine.calls(&["install"]);
    let place = |call: &str| calls.iter().position(|known| known == call);
    let order = [
        place("systemctl daemon-reload"),
        place("systemctl stop haven-agent.service"),
        place(&opens),
        place("systemctl restart haven-agent.service"),
    ];
    assert!(order.is_sorted() && order[0].is_some(), "{calls:?}");
    // The one that a limit has closed is opened again.
    fs::remove_file(machine.0.join("run/active")).unwrap();
    assert!(machine.calls(&["install"]).contains(&opens));

    let calls = machine.calls(&["install", "--no-socket"]);
    assert!(
        calls.contains(&"systemctl disable --now haven-agent.socket".to_owned()),
        "{calls:?}"
    );
    assert!(!machine.has(SOCKET));
}

#[test]
fn half_a_service_is_stopped_and_another_s_is_not() {
    let Some(machine) = Machine::new() else {
        return;
    };
    machine.run(&["install"]).ok();
    fs::remove_file(machine.0.join(UNIT)).unwrap();
    machine.write("run/active", "");
    let calls = machine.calls(&["uninstall"]);
    assert!(
        calls.contains(&"systemctl stop haven-agent.service".to_owned()),
        "{calls:?}"
    );
    assert!(
        calls.contains(&"systemctl daemon-reload".to_owned()),
        "{calls:?}"
    );
    assert!(
        calls.contains(&"userdel haven-agent".to_owned()),
        "{calls:?}"
    );

    machine.write(UNIT, "[Service]\nExecStart=/somebody/elses\n");
    let calls = machine.calls(&["uninstall"]);
    let names_it = |call: &String| call.contains("haven-agent.service");
    assert!(!calls.iter().any(names_it), "{calls:?}");

    // As a package has it, whose unit is elsewhere.
    fs::remove_file(machine.0.join(UNIT)).unwrap();
    machine.command(
        "systemctl",
        "[ $1 != show ] || echo /usr/lib/systemd/system/haven-agent.service",
    );
    let calls = machine.calls(&["uninstall"]);
    let stops = |call: &String| names_it(call) && !call.contains(" show ");
    assert!(!calls.iter().any(stops), "{calls:?}");
}

/// The number of a group that is gone is the next one's.
#[test]
fn files_that_the_user_s_group_could_read_are_root_s_alone_again() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let files = ["secret", "key", "users", "nobody-s", "other"];
    for name in files {
        machine.write(&format!("etc/{name}"), "");
    }
    machine.run(&["install", "--no-start"]).ok();
    // What the program does not understand is no reason to leave the rest.
    let text = "[main]\nsecret_file = /etc/secret\ntls_key = /etc/key\nusers = /etc/users\nca = /etc/missing\n\
                policies = /etc/other\ncolor = red\n";
    machine.write(CONFIG, text);
    let give = |name: &str, mode: u32, user: u32, group: u32| {
        let path = machine.0.join("etc").join(name);
        chown(&path, Some(user), Some(group)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    give("secret", 0o640, 0, 7);
    give("key", 0o400, 7, 0);
    give("users", 0o644, 0, 7);
    give("nobody-s", 0o640, 0, 7);
    give("other", 0o640, 0, 33);
    let out = machine.run(&["uninstall"]).ok();
    let is = |name: &str| {
        let meta = fs::metadata(machine.0.join("etc").join(name)).unwrap();
        (meta.mode() & 0o7777, meta.uid(), meta.gid())
    };
    let expected = [
        (0o600, 0, 0),
        (0o400, 0, 0),
        (0o604, 0, 0),
        (0o640, 0, 7),
        (0o640, 0, 33),
    ];
    assert_eq!(files.map(is), expected);
    for line in [
        "left: /etc/secret, named by secret_file",
        "left: /etc/key, named by tls_key",
        "left: /etc/users, named by users",
    ] {
        assert!(out.lines().any(|told| told == line), "{out}");
    }
    assert!(
        !out.contains("/etc/other") && !out.contains("missing"),
        "{out}"
    );
}

#[test]
fn a_group_that_was_joined_is_left() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let joined = "usermod -a -G docker web".to_owned();
    let left = "gpasswd -d web docker".to_owned();
    assert!(
        machine
            .calls(&["install", "--init", "openrc", "-u", "web"])
            .contains(&joined)
    );
    machine.write("etc/group", "docker:x:998:web\nweb:x:33:\n");
    assert!(!machine.calls(&["install"]).contains(&joined));
    assert!(machine.read(SCRIPT).contains("added to the group docker"));
    assert!(machine.calls(&["uninstall"]).contains(&left));

    // Who was a member before stays one.
    machine
        .run(&["install", "--init", "openrc", "-u", "web"])
        .ok();
    assert!(!machine.calls(&["uninstall"]).contains(&left));

    // Another user, or another init that needs no member, is as good as the end.
    for arguments in [["install", "-u", "root"], ["install", "--init", "systemd"]] {
        machine.write("etc/group", "docker:x:998:\nweb:x:33:\n");
        machine
            .run(&["install", "--init", "openrc", "-u", "web"])
            .ok();
        machine.write("etc/group", "docker:x:998:web\nweb:x:33:\n");
        assert!(machine.calls(&arguments).contains(&left), "{arguments:?}");
    }
    let calls = machine.calls(&["install", "--init", "openrc"]);
    assert!(
        calls.contains(&"systemctl disable --now haven-agent.service".to_owned()),
        "{calls:?}"
    );
    assert!(!machine.has(UNIT));
}

#[test]
fn a_systemd_that_would_not_run_it_is_refused() {
    let Some(machine) = Machine::new() else {
        return;
    };
    machine.command("systemctl", "echo systemd 237");
    let outcome = machine.run(&["install"]);
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.err().contains("systemd 237") && !machine.has(CONFIG),
        "{}",
        outcome.err()
    );
}

#[test]
fn wrong_settings_have_a_status_of_their_own() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let missing = ["install", "--secret-file", "/etc/no-such-file"];
    for arguments in [&missing[..], &["install", "-m", "ftp://x"]] {
        let outcome = machine.run(arguments);
        assert_eq!(outcome.code, Some(2), "{}", outcome.err());
        assert!(!machine.has(CONFIG), "{}", outcome.err());
    }
}

/// As where an image is built by commands inside of it.
#[test]
fn a_systemd_that_does_not_run_gets_its_files_alone() {
    let Some(machine) = Machine::new() else {
        return;
    };
    fs::remove_dir_all(machine.0.join("run/systemd")).unwrap();
    let outcome = machine.run(&["install", "--init", "systemd"]);
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.err().contains("/run/systemd/system") && outcome.err().contains("--no-start"),
        "{}",
        outcome.err()
    );
    assert!(!machine.has(CONFIG) && !machine.has(UNIT));

    let none: [String; 0] = [];
    let install = ["install", "--no-start", "--init", "systemd"];
    let calls = machine.calls(&[&install[..], &["--socket"]].concat());
    assert!(calls.iter().all(|call| call.starts_with("useradd ")));
    assert!(machine.has(SOCKET) && machine.has(WANTED) && machine.has(SOCKETS));
    assert_eq!(
        machine.calls(&[&install[..], &["--no-socket"]].concat()),
        none
    );
    assert!(!machine.has(SOCKET) && !machine.has(SOCKETS));
    assert_eq!(machine.calls(&["uninstall"]), ["userdel haven-agent"]);
    for gone in [UNIT, WANTED, CONFIG] {
        assert!(!machine.has(gone), "{gone}");
    }
}

#[test]
fn a_masked_unit_is_refused() {
    let Some(machine) = Machine::new() else {
        return;
    };
    fs::create_dir_all(machine.0.join("etc/systemd/system")).unwrap();
    for name in ["haven-agent.service", "haven-agent.socket"] {
        let unit = machine.0.join("etc/systemd/system").join(name);
        symlink("/dev/null", &unit).unwrap();
        let outcome = machine.run(&["install", "--socket"]);
        assert_eq!(outcome.code, Some(1));
        let unmask = format!("nothing was done: systemctl unmask {name}\n");
        assert!(outcome.err().ends_with(&unmask), "{}", outcome.err());
        fs::remove_file(&unit).unwrap();
    }
}

#[test]
fn an_init_that_is_not_here_is_refused() {
    let Some(machine) = Machine::new() else {
        return;
    };
    machine.run(&["install"]).ok();
    let outcome = machine.run(&["install", "--init", "procd"]);
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.err().contains("there is no procd here"),
        "{}",
        outcome.err()
    );
    assert!(machine.has(UNIT) && !machine.has(SCRIPT));
}

#[test]
fn without_proc_it_says_so() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let agent = binary().display().to_string();
    let words = [
        "sh",
        "-c",
        "mount -t tmpfs none /proc && exec \"$0\" install",
        &agent,
    ];
    let outcome = run(&mut machine.inside(&words), b"");
    assert!(
        outcome.err().contains("is /proc mounted?"),
        "{}",
        outcome.err()
    );
    assert!(!machine.has(CONFIG));
}
