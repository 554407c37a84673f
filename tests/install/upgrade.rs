//! A second `install`, and one over what somebody else has put there.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};

use super::support::agent::binary;
use super::system::System;
use super::{CONFIG, PROGRAM, SCRIPT, SOCKET, UNIT, is_root};

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
    let said = system.refused(&["install"], 2);
    assert!(
        said.contains("/etc/haven-agent.ini:2: timeout: `never`")
            && said.contains("nothing was done"),
        "{said}"
    );
    // So does a key that no daemon would start with.
    system.write(CONFIG, "[main]\ncolor = red\n");
    let said = system.refused(&["install"], 2);
    assert!(
        said.contains("/etc/haven-agent.ini:2: unknown key"),
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

#[test]
fn the_user_and_its_groups() {
    let system = System::new();
    system.write("etc/passwd", "web:x:33:65534::/:/bin/false\n");
    system.write("etc/group", "nogroup:x:65534:\n");
    if !is_root() {
        return;
    }
    let out = system.install(&["-u", "web"]);
    assert!(out.contains("no group docker"), "{out}");
    let unit = system.read(UNIT);
    assert!(
        unit.contains("User=web\nRestart") && !unit.contains("SupplementaryGroups"),
        "{unit}"
    );
    assert_eq!(system.ownership(CONFIG), (0o640, 0, 65534));
    assert!(!system.at("etc/sysusers.d/haven-agent.conf").exists());
    assert!(out.contains("0640 root:nogroup"), "{out}");
    assert!(out.contains("all of the group nogroup can read"), "{out}");
    // What is kept is root's alone once that group may be anybody's.
    let out = system.uninstall(&["--keep-config"]);
    assert!(out.contains("0640 root:root"), "{out}");
    assert_eq!(system.ownership(CONFIG), (0o640, 0, 0));
}

#[test]
fn without_flags_user_and_init_stay_as_they_are() {
    let marks: [(&str, &str, &str); 4] = [
        ("systemd", UNIT, "User=root\n"),
        ("openrc", SCRIPT, "command_user=\"root:root\""),
        ("procd", SCRIPT, "procd_set_param user root\n"),
        ("runit", "etc/sv/haven-agent/run", "chpst -u root:root"),
    ];
    for (init, file, line) in marks {
        let system = System::new();
        fs::create_dir_all(system.at("etc/service")).unwrap();
        system.install(&["-u", "root", "--default-password", "--init", init]);
        let installed = system.snapshot();
        assert!(system.read(file).contains(line), "{}", system.read(file));
        system.install(&[]);
        assert_eq!(system.snapshot(), installed, "{init}");
        // Another one takes the place of the first.
        let others = marks.iter().filter(|(other, ..)| *other != init);
        for (other, its, line) in others {
            let system = System::new();
            fs::create_dir_all(system.at("etc/service")).unwrap();
            system.install(&["-u", "root", "--default-password", "--init", init]);
            system.install(&["--init", other]);
            assert!(system.read(its).contains(line), "{init} to {other}");
            assert!(its == &file || !system.has(file), "{init} to {other}");
            system.uninstall(&[]);
            assert!(!system.has(its));
        }
        system.uninstall(&[]);
        assert!(!system.has(file) && !system.has(PROGRAM));
    }
}

#[test]
fn files_are_root_s_whoever_s_they_were() {
    if !is_root() {
        return;
    }
    let system = System::new();
    system.install(&["-u", "root", "--socket"]);
    let all = [
        (PROGRAM, 0o755),
        (CONFIG, 0o640),
        (UNIT, 0o644),
        (SOCKET, 0o644),
    ];
    for (path, mode) in all {
        assert_eq!(system.ownership(path), (mode, 0, 0), "{path}");
        system.give(path, 1000, 1000);
    }
    let out = system.install(&[]);
    for (path, mode) in all {
        assert_eq!(system.ownership(path), (mode, 0, 0), "{path}");
    }
    assert!(!out.contains("as it should be"), "{out}");
}

#[test]
fn a_link_is_no_program_and_no_unit() {
    let system = System::new();
    system.install(&[]);
    fs::rename(system.at(PROGRAM), system.at("usr/local/elsewhere")).unwrap();
    symlink("../elsewhere", system.at(PROGRAM)).unwrap();
    fs::rename(system.at(UNIT), system.at("etc/elsewhere")).unwrap();
    symlink("../../elsewhere", system.at(UNIT)).unwrap();
    system.install(&[]);
    for path in [PROGRAM, UNIT] {
        assert!(
            system.at(path).symlink_metadata().unwrap().is_file(),
            "{path}"
        );
    }
}

#[test]
fn what_somebody_else_has_made_is_not_written_over() {
    for (path, arguments) in [
        (UNIT, &["install"][..]),
        (SOCKET, &["install", "--socket"]),
        (SCRIPT, &["install", "--init", "openrc"]),
        (
            "etc/sv/haven-agent/log/run",
            &["install", "--init", "runit"],
        ),
    ] {
        let system = System::new();
        system.write(path, "[Service]\nExecStart=/usr/local/bin/haven-agent\n");
        let said = system.refused(arguments, 1);
        assert!(
            said.contains(&format!("/{path} is there"))
                && said.ends_with("nothing was done: remove it\n"),
            "{said}"
        );
    }
    let masked = System::new();
    fs::create_dir_all(masked.at(UNIT).parent().unwrap()).unwrap();
    symlink("/dev/null", masked.at(UNIT)).unwrap();
    // systemctl would unmask that of this machine.
    let said = masked.refused(&["install"], 1);
    assert!(said.ends_with("nothing was done: remove it\n"), "{said}");
    // A socket that is not asked for is nobody's business.
    let system = System::new();
    system.write(SOCKET, "[Socket]\n");
    system.install(&[]);
    assert_eq!(system.read(SOCKET), "[Socket]\n");
}

#[test]
fn two_at_once_are_one_and_others_than_root_cannot_keep_it_out() {
    for directory in ["etc", "run"] {
        let system = System::new();
        fs::create_dir_all(system.at(directory)).unwrap();
        // What anybody may open.
        let readable = ["", directory].map(|path| File::open(system.at(path)).unwrap());
        for file in &readable {
            file.try_lock().unwrap();
        }
        system.install(&[]);
        let lock = format!("{directory}/haven-agent.lock");
        assert!(!system.has(&lock));

        system.write(&lock, "");
        let other = File::open(system.at(&lock)).unwrap();
        other.lock().unwrap();
        for command in ["install", "uninstall"] {
            let said = system.refused(&[command], 1);
            assert!(said.contains("at work"), "{said}");
        }
        // A run that was killed leaves it.
        other.unlock().unwrap();
        system.install(&[]);
        assert!(!system.has(&lock));
        symlink("passwd", system.at(&lock)).unwrap();
        system.refused(&["install"], 1);
    }
}

#[test]
fn what_the_command_line_says_to_a_configuration_that_stays_is_told() {
    let system = System::new();
    system.write(CONFIG, "[main]\nmaster = h:1\n");
    let out = system.install(&["--default-password"]);
    assert!(out.contains("password are not written to it"), "{out}");
    // Nobody has set one.
    assert!(
        out.contains("everybody knows") && out.contains("haven-agent hash-password"),
        "{out}"
    );
    for quiet in [
        "admin_password =",
        "listen = none",
        "admin_password_file = /etc/hash",
        "client_ca = /etc/ca.pem",
    ] {
        system.write(CONFIG, &format!("[main]\n{quiet}\n"));
        let out = system.install(&[]);
        assert!(!out.contains("everybody knows"), "{quiet}: {out}");
    }
}
