//! The Python agent's settings, its service and its files.

use std::fs;
use std::os::unix::fs::symlink;

use super::system::System;
use super::{CONFIG, NEW_PASSWORD, UNIT};

const OLD_UNIT: &str = "etc/systemd/system/node-agent.service";
const OLD_CONFIG: &str = "etc/node-agent.ini";

impl System {
    /// Puts the Python agent there, with these words behind its script.
    fn old_agent(&self, name: &str, words: &str) {
        self.write(
            &format!("etc/systemd/system/{name}.service"),
            &format!("[Service]\nExecStart=/usr/bin/python3 /usr/local/bin/{name}.py {words}\n"),
        );
        self.write(&format!("usr/local/bin/{name}.py"), "#!/usr/bin/python3\n");
    }

    #[track_caller]
    fn has_lines(&self, lines: &[&str]) {
        let text = self.read(CONFIG);
        for line in lines {
            assert!(text.lines().any(|known| known == *line), "{line}\n{text}");
        }
    }
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
fn a_program_that_it_did_not_put_there_itself_is_left_and_told() {
    for (path, is_left) in [
        ("opt/node-agent.py", true),
        ("usr/local/bin/old/node-agent.py", true),
        ("opt/usr/local/bin/node-agent.py", true),
        ("usr/local/bin/node-agent.py", false),
    ] {
        let system = System::new();
        // Another one's.
        system.write("usr/local/bin/node-agent.py", "");
        system.write(path, "");
        let unit = format!("[Service]\nExecStart=/usr/bin/python3 /{path} -m h:1\n");
        system.write(OLD_UNIT, &unit);
        let out = system.install(&[]);
        assert_eq!(system.has(path), is_left, "{path}");
        assert_eq!(system.has("usr/local/bin/node-agent.py"), is_left, "{path}");
        let told = out.lines().any(|line| line == format!("left: /{path}"));
        assert_eq!(told, is_left, "{out}");
        assert!(!system.has(OLD_UNIT));
    }
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
    let said = system.refused(&["install"], 2);
    assert!(
        said.contains("/etc/dm-agent.ini:3: ") && said.contains("nothing was done"),
        "{said}"
    );
    system.write("etc/dm-agent.ini", "[main]\nmaster = h:x\n");
    let said = system.refused(&["install"], 2);
    assert!(
        said.contains("/etc/dm-agent.ini:2: master: ") && said.contains("h:x"),
        "{said}"
    );
}

/// Its options are ours as well.
#[test]
fn what_its_service_was_told_is_carried_over() {
    let system = System::new();
    system.old_agent(
        "node-agent",
        "daemon -m '10.0.0.5:8761' --secret=a,b -f /etc/named.ini -vv",
    );
    system.write("etc/named.ini", "[main]\nmaster = unheard:1\ntimeout = 7\n");
    system.write(OLD_CONFIG, "[main]\ntimeout = 8\n");
    let out = system.install(&["--timeout", "9"]);
    assert!(!out.contains("a,b"), "{out}");
    system.has_lines(&[
        "master = 10.0.0.5:8761",
        "secret = a,b",
        "log_level = 2",
        "timeout = 9",
        "# Taken from /etc/systemd/system/node-agent.service",
        "# Taken from /etc/named.ini",
    ]);
    assert!(!system.has(OLD_UNIT) && !system.has("usr/local/bin/node-agent.py"));
    // It was not read.
    assert!(
        system.has(OLD_CONFIG) && out.contains("left: /etc/node-agent.ini"),
        "{out}"
    );
}

#[test]
fn what_its_service_was_told_and_cannot_be_understood_stops_everything() {
    for (words, problem) in [
        ("-m h:1 -s hunter2 $EXTRA", "move it into a configuration"),
        ("-s hunter2 --color", "unknown option --color"),
        ("-s hunter2 hunter2", "behind a secret"),
        ("-s hunter2 -m h:x", "h:x"),
        ("-s 'hunter2 hunter2'", "a quote"),
        ("report -s hunter2", "no command of a service"),
    ] {
        let system = System::new();
        system.old_agent("node-agent", words);
        let said = system.refused(&["install"], 2);
        assert!(
            said.contains("/etc/systemd/system/node-agent.service:2: ") && said.contains(problem),
            "{words}: {said}"
        );
        assert!(
            said.contains("nothing was done") && !said.contains("hunter2"),
            "{said}"
        );
    }
}

#[test]
fn a_run_that_did_not_come_to_its_end_is_known_by_the_new_configuration() {
    let system = System::new();
    system.old_agent("node-agent", "-m h:1");
    system.write(OLD_CONFIG, "[main]\ntimeout = 8\n");
    let (unit, config) = (system.read(OLD_UNIT), system.read(OLD_CONFIG));
    system.install(&[]);
    system.write(OLD_UNIT, &unit);
    system.write(OLD_CONFIG, &config);
    system.install(&[]);
    assert!(!system.has(OLD_UNIT) && !system.has(OLD_CONFIG));

    // A configuration that has not their settings does not make them worthless.
    let system = System::new();
    system.write(CONFIG, "[main]\nadmin_password =\n");
    system.old_agent("node-agent", "-m h:1");
    system.write(OLD_CONFIG, "[main]\ntimeout = 8\n");
    let out = system.install(&[]);
    for left in [OLD_UNIT, OLD_CONFIG] {
        assert!(
            system.has(left) && out.contains(&format!("left: /{left}")),
            "{out}"
        );
    }
    assert!(!system.has("usr/local/bin/node-agent.py"));
}

/// As the manual calls it: its unit has our unit's name, and its configuration is ours.
#[test]
fn the_script_that_is_called_as_we_are_is_taken_over() {
    let system = System::new();
    system.old_agent("haven-agent", "-f /etc/haven-agent.ini");
    system.write(CONFIG, "[main]\nmaster = h:1\n");
    system.install(&[]);
    assert_eq!(system.read(CONFIG), "[main]\nmaster = h:1\n");
    assert!(system.read(UNIT).contains("User=haven-agent"));
    assert!(!system.has("usr/local/bin/haven-agent.py"));

    let system = System::new();
    system.old_agent("haven-agent", "-m h:1");
    system.install(&[]);
    system.has_lines(&["master = h:1"]);
    assert!(system.read(UNIT).contains("User=haven-agent"));

    // What would be lost stops it.
    let system = System::new();
    system.old_agent("haven-agent", "-m h:2");
    system.write(CONFIG, "[main]\nmaster = h:1\n");
    let said = system.refused(&["install"], 1);
    assert!(
        said.contains("/etc/systemd/system/haven-agent.service: its options are not in"),
        "{said}"
    );
}

#[test]
fn a_service_that_is_called_like_it_and_is_another_stays() {
    let system = System::new();
    system.write(
        OLD_UNIT,
        "[Service]\nExecStart=/usr/bin/node-agent --x=$Y\n",
    );
    system.write("usr/local/bin/node-agent", "another\n");
    let out = system.install(&[]);
    assert!(
        out.contains("left: /etc/systemd/system/node-agent.service"),
        "{out}"
    );
    assert!(system.has(OLD_UNIT) && system.has("usr/local/bin/node-agent"));
}

#[test]
fn the_command_line_says_more_than_an_old_configuration() {
    let system = System::new();
    system.write(OLD_CONFIG, "[main]\nmaster = h:1\nsecret = old\n");
    system.install(&["--secret-file", "/etc/secret", "-m", "h:2"]);
    system.has_lines(&["master = h:2", "#secret =", "secret_file = /etc/secret"]);
}
