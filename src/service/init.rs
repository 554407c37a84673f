//! Who starts services: the files that tell of the agent, and the commands that take them into use.

use super::account::{self, Account, DOCKER};
use super::tree::Tree;
use super::{Error, NAME, failed, step};
use crate::config::Init;
use std::net::SocketAddr;

/// The unit.
pub const UNIT: &str = "/etc/systemd/system/haven-agent.service";
/// Its port, where systemd keeps that.
pub const SOCKET: &str = "/etc/systemd/system/haven-agent.socket";
const UNIT_NAME: &str = "haven-agent.service";
const SOCKET_NAME: &str = "haven-agent.socket";
/// The user of an image, and its configuration's group, made when the image is started
/// (sysusers.d(5), tmpfiles.d(5)).
const SYSUSERS: &str = "/etc/sysusers.d/haven-agent.conf";
const TMPFILES: &str = "/etc/tmpfiles.d/haven-agent.conf";
const SCRIPT: &str = "/etc/init.d/haven-agent";
const RUNIT: &str = "/etc/sv/haven-agent";
const RUNIT_RUN: &str = "/etc/sv/haven-agent/run";
const RUNIT_LOG: &str = "/etc/sv/haven-agent/log/run";
const OPENRC_LOG: &str = "/var/log/haven-agent.log";

/// Every file that `install` may have made for whom ever.
pub const FILES: [&str; 5] = [UNIT, SOCKET, SYSUSERS, TMPFILES, SCRIPT];
/// Links by which the service is enabled.
pub const LINKS: [&str; 8] = [
    "/etc/systemd/system/multi-user.target.wants/haven-agent.service",
    "/etc/systemd/system/sockets.target.wants/haven-agent.socket",
    "/etc/runlevels/default/haven-agent",
    "/etc/rc.d/S99haven-agent",
    "/etc/rc.d/K10haven-agent",
    "/var/service/haven-agent",
    "/etc/service/haven-agent",
    "/service/haven-agent",
];
/// Where runit looks for what it runs: Void, Debian, others.
const RUNIT_SERVICES: [&str; 3] = ["/var/service", "/etc/service", "/service"];

/// By what each is known: where it runs, and where it is to run.
const SIGNS: [(Init, &[&str]); 4] = [
    (Init::Systemd, &["/run/systemd/system"]),
    (Init::Procd, &["/sbin/procd"]),
    (Init::OpenRc, &["/sbin/openrc-run", "/usr/sbin/openrc-run"]),
    (
        Init::Runit,
        &["/etc/runit", "/usr/bin/runsvdir", "/bin/runsvdir"],
    ),
];
const SYSTEMD: [&str; 2] = ["/lib/systemd/systemd", "/usr/lib/systemd/systemd"];

/// The first systemd with `Type=notify-reload`.
const NOTIFY_RELOAD: u32 = 253;

/// Who starts services in this system.
///
/// # Errors
/// Nobody that is known.
pub fn detect(tree: &Tree) -> Result<Init, Error> {
    let found = SIGNS
        .iter()
        .find(|(_, signs)| signs.iter().any(|sign| tree.has(sign)));
    match found {
        Some((init, _)) => Ok(*init),
        None if SYSTEMD.iter().any(|systemd| tree.has(systemd)) => Ok(Init::Systemd),
        None => failed(
            "who starts services here? say it by --init systemd, openrc, procd or runit".to_owned(),
        ),
    }
}

/// What the service's files depend on.
pub struct Service<'a> {
    /// Whom it runs as.
    pub user: &'a str,
    /// The same as the system knows it.
    pub account: &'a Account,
    /// Where systemd opens the port, if it does.
    pub listen: Option<SocketAddr>,
}

/// Writes the files; says whether any was not there or another.
///
/// # Errors
/// One cannot be written.
pub fn write(tree: &Tree, init: Init, service: &Service<'_>) -> Result<bool, Error> {
    let (user, group) = (service.user, service.account.group_name.as_str());
    let mut changed = false;
    for (path, template, mode) in files(tree, init, service) {
        let text = template.replace("@USER@", user).replace("@GROUP@", group);
        let written = tree.write(path, text.as_bytes(), mode, 0)?;
        let how = if written {
            "written"
        } else {
            "as it should be"
        };
        step(format_args!("service: {path}, {how}"));
        changed |= written;
    }
    if matches!(init, Init::OpenRc | Init::Procd) {
        account::join_docker(tree, user)?;
    }
    if !service.account.docker && user != "root" {
        step(format_args!(
            "to be done: there is no group {DOCKER}; the agent needs the right to use Docker's socket \
             (install it again once Docker is there)"
        ));
    }
    Ok(changed)
}

/// Each file with its template and its mode.
fn files(tree: &Tree, init: Init, service: &Service<'_>) -> Vec<(&'static str, String, u32)> {
    let account = service.account;
    match init {
        Init::Systemd => {
            let mut files = vec![(UNIT, unit(version(tree), account.docker), 0o644)];
            files.extend(service.listen.map(|listen| (SOCKET, socket(listen), 0o644)));
            if account.group.is_none() {
                files.push((SYSUSERS, include_str!("sysusers.conf").to_owned(), 0o644));
                files.push((TMPFILES, include_str!("tmpfiles.conf").to_owned(), 0o644));
            }
            files
        }
        Init::OpenRc => vec![(SCRIPT, include_str!("openrc.sh").to_owned(), 0o755)],
        Init::Procd => vec![(SCRIPT, include_str!("procd.sh").to_owned(), 0o755)],
        Init::Runit => {
            let groups = if account.docker {
                "@GROUP@:docker"
            } else {
                "@GROUP@"
            };
            let run = include_str!("runit.sh").replace("@GROUPS@", groups);
            let log = include_str!("runit-log.sh").to_owned();
            vec![(RUNIT_RUN, run, 0o755), (RUNIT_LOG, log, 0o755)]
        }
    }
}

/// The unit for a version of systemd. A group that is not there would keep the service from starting.
fn unit(version: u32, docker: bool) -> String {
    let kind = if version >= NOTIFY_RELOAD {
        "Type=notify-reload"
    } else {
        "Type=notify\nExecReload=/bin/kill -HUP $MAINPID"
    };
    let groups = if docker {
        "SupplementaryGroups=docker\n"
    } else {
        ""
    };
    let unit = include_str!("unit.service").replace("@TYPE@", kind);
    unit.replace("@GROUPS@\n", groups)
}

fn socket(listen: SocketAddr) -> String {
    include_str!("unit.socket").replace("@LISTEN@", &listen.to_string())
}

/// systemd's version; 0, which has the least, where that cannot be known.
fn version(tree: &Tree) -> u32 {
    if !tree.is_own() {
        return 0;
    }
    let said = tree.run("systemctl", &["--version"]).unwrap_or_default();
    let number = said.split_whitespace().nth(1).unwrap_or_default();
    number.parse().unwrap_or_default()
}

/// Has the service started with the system and, if `start`, now; anew where something has `changed`.
///
/// # Errors
/// A command failed.
pub fn enable(tree: &Tree, init: Init, start: bool, changed: bool) -> Result<(), Error> {
    if !tree.is_own() {
        return enable_in_image(tree, init);
    }
    let act = if changed { "restart" } else { "start" };
    let run = |program: &str, arguments: &[&str]| -> Result<(), Error> {
        tree.run(program, arguments)?;
        step(format_args!("done: {program} {}", arguments.join(" ")));
        Ok(())
    };
    match init {
        Init::Systemd => {
            require(tree, "systemctl")?;
            let socket = tree.has(SOCKET);
            run("systemctl", &["daemon-reload"])?;
            run("systemctl", &["enable", UNIT_NAME])?;
            if socket {
                run("systemctl", &["enable", SOCKET_NAME])?;
            }
            if start && socket && tree.run("systemctl", &["is-active", SOCKET_NAME]).is_err() {
                // The service has the port still, if it runs.
                run("systemctl", &["stop", UNIT_NAME])?;
                run("systemctl", &["start", SOCKET_NAME])?;
            }
            if start {
                run("systemctl", &[act, UNIT_NAME]).map_err(|Error(why)| {
                    Error(format!("{why}; see: journalctl -u {NAME} -n 20"))
                })?;
            }
        }
        Init::OpenRc => {
            require(tree, "rc-update")?;
            run("rc-update", &["add", NAME, "default"])?;
            if start {
                run("rc-service", &[NAME, act])?;
            }
        }
        Init::Procd => {
            run(SCRIPT, &["enable"])?;
            if start {
                run(SCRIPT, &[act])?;
            }
        }
        Init::Runit => {
            link_for_runit(tree)?;
            if start && changed && tree.has(&format!("{RUNIT}/supervise")) {
                run("sv", &["restart", NAME])?;
            }
        }
    }
    Ok(())
}

fn require(tree: &Tree, command: &str) -> Result<(), Error> {
    if tree.has_command(command) {
        return Ok(());
    }
    failed(format!(
        "there is no {command}: the files are in place, have them taken into use by other means, or name \
         who starts services here by --init"
    ))
}

/// What the commands would do, for the next start of the image.
fn enable_in_image(tree: &Tree, init: Init) -> Result<(), Error> {
    let [wants, sockets, runlevel, begin, end, ..] = LINKS;
    match init {
        Init::Systemd => {
            tree.link(wants, UNIT)?;
            if tree.has(SOCKET) {
                tree.link(sockets, SOCKET)?;
            }
        }
        Init::OpenRc => tree.link(runlevel, SCRIPT)?,
        Init::Procd => {
            tree.link(begin, "../init.d/haven-agent")?;
            tree.link(end, "../init.d/haven-agent")?;
        }
        Init::Runit => link_for_runit(tree)?,
    }
    Ok(())
}

/// runit starts what it finds in its directory within five seconds.
fn link_for_runit(tree: &Tree) -> Result<(), Error> {
    match RUNIT_SERVICES.iter().find(|directory| tree.has(directory)) {
        Some(directory) => tree.link(&format!("{directory}/{NAME}"), RUNIT),
        None => {
            step(format_args!(
                "to be done: link {RUNIT} into the directory of runit's services"
            ));
            Ok(())
        }
    }
}

/// Stops the service, whoever runs it, and has it started no more. A service that is not there is
/// no error.
pub fn disable(tree: &Tree) {
    if !tree.is_own() {
        return;
    }
    let commands: [(&str, &str, &[&str]); 6] = [
        (SOCKET, "systemctl", &["disable", "--now", SOCKET_NAME]),
        (UNIT, "systemctl", &["disable", "--now", UNIT_NAME]),
        (SCRIPT, "rc-service", &[NAME, "stop"]),
        (SCRIPT, "rc-update", &["del", NAME]),
        (SCRIPT, SCRIPT, &["stop"]),
        (RUNIT, "sv", &["down", NAME]),
    ];
    for (file, program, arguments) in commands {
        let is_there =
            program == SCRIPT && !tree.has_command("rc-service") || tree.has_command(program);
        if !tree.has(file) || !is_there {
            continue;
        }
        match tree.run(program, arguments) {
            Ok(_) => step(format_args!("done: {program} {}", arguments.join(" "))),
            Err(error) => step(format_args!("not done: {error}")),
        }
    }
}

/// runit's directories, with what its supervisor keeps there.
fn remove_runit(tree: &Tree) -> Result<(), Error> {
    for directory in [format!("{RUNIT}/log"), RUNIT.to_owned()] {
        let run = format!("{directory}/run");
        if tree.is_marked(&run) {
            for name in ["control", "lock", "ok", "pid", "stat", "status"] {
                tree.remove(&format!("{directory}/supervise/{name}"))?;
            }
            tree.remove_directory(&format!("{directory}/supervise"));
            tree.remove(&run)?;
        }
        tree.remove_directory(&directory);
    }
    Ok(())
}

/// Removes every file and link that is ours.
///
/// # Errors
/// One cannot be removed.
pub fn remove(tree: &Tree) -> Result<(), Error> {
    let systemd = tree.has(UNIT);
    for link in LINKS {
        tree.remove(link)?;
    }
    if tree.is_marked(SCRIPT) {
        tree.remove(OPENRC_LOG)?;
    }
    for file in FILES {
        if tree.is_marked(file) {
            tree.remove(file)?;
        } else if tree.has(file) {
            step(format_args!("left: {file}, which install did not write"));
        }
    }
    remove_runit(tree)?;
    if systemd && tree.is_own() && tree.has_command("systemctl") {
        tree.run("systemctl", &["daemon-reload"])?;
        step(format_args!("done: systemctl daemon-reload"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_suits_the_version_of_systemd_and_the_groups_there_are() {
        for (version, docker) in [(0, true), (252, false), (253, true), (257, false)] {
            let unit = unit(version, docker);
            let has = |line: &str| unit.lines().any(|known| known == line);
            assert_eq!(has("Type=notify-reload"), version >= 253);
            assert_eq!(has("Type=notify"), version < 253);
            assert_eq!(has("ExecReload=/bin/kill -HUP $MAINPID"), version < 253);
            assert_eq!(has("SupplementaryGroups=docker"), docker);
            assert!(
                has("User=@USER@") && unit.matches('@').count() == 5,
                "{unit}"
            );
        }
    }

    #[test]
    fn the_socket_has_the_address() {
        let socket = socket("[::1]:9".parse().unwrap());
        assert!(socket.contains("\nListenStream=[::1]:9\n") && !socket.contains('@'));
    }
}
