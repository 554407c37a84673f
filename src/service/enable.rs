//! The commands that take the service's files into use, and out of it again.

use super::init::{Changed, LINKS, RUNIT, SCRIPT, SOCKET, Service, Starter, UNIT};
use super::tree::Tree;
use super::{Error, NAME, PROGRAM, init, step};
use crate::config::Init;
use std::fs;

const UNIT_NAME: &str = "haven-agent.service";
const SOCKET_NAME: &str = "haven-agent.socket";
/// Where runit looks for what it runs: Void, Debian, others.
const RUNIT_SERVICES: [&str; 3] = ["/var/service", "/etc/service", "/service"];

/// Has the service started with the system and, if `start`, now; anew where something has `changed`.
///
/// # Errors
/// A command failed.
pub fn enable(tree: &Tree, service: &Service, start: bool, changed: Changed) -> Result<(), Error> {
    let init = service.starter.init;
    if !service.starter.can_act(tree) {
        return enable_in_image(tree, init);
    }
    let anew = changed.any || runs_an_old_program();
    let act = if anew { "restart" } else { "start" };
    match init {
        Init::Systemd => {
            let systemctl = |arguments: &[&str]| tree.act("systemctl", arguments);
            systemctl(&["daemon-reload"])?;
            systemctl(&["enable", UNIT_NAME])?;
            if service.listen.is_some() {
                systemctl(&["enable", SOCKET_NAME])?;
                let is_open = || tree.run("systemctl", &["is-active", SOCKET_NAME]).is_ok();
                if start && (changed.socket || !is_open()) {
                    // The service has the port still, if it runs.
                    systemctl(&["stop", UNIT_NAME])?;
                    systemctl(&["restart", SOCKET_NAME])?;
                }
            }
            if start {
                systemctl(&[act, UNIT_NAME]).map_err(|error| {
                    Error::of_system(format!("{error}; see: journalctl -u {NAME} -n 20"))
                })?;
            }
        }
        Init::OpenRc => {
            tree.act("rc-update", &["add", NAME, "default"])?;
            if start {
                tree.act("rc-service", &[NAME, act])?;
            }
        }
        Init::Procd => {
            tree.act(SCRIPT, &["enable"])?;
            if start {
                tree.act(SCRIPT, &[act])?;
            }
        }
        Init::Runit => {
            link_for_runit(tree)?;
            if start && anew && tree.has(&format!("{RUNIT}/supervise")) {
                tree.act("sv", &["restart", NAME])?;
            }
        }
    }
    Ok(())
}

/// Whether an agent runs from a program that has been replaced (proc_pid_exe(5)): by this installation, or one that
/// did not come to its end.
fn runs_an_old_program() -> bool {
    let old = format!("{PROGRAM} (deleted)");
    let is_old = |process: &fs::DirEntry| {
        fs::read_link(process.path().join("exe")).is_ok_and(|exe| *exe.as_os_str() == *old)
    };
    fs::read_dir("/proc").is_ok_and(|all| all.flatten().any(|process| is_old(&process)))
}

/// What the commands would do, for the next start of the image.
fn enable_in_image(tree: &Tree, init: Init) -> Result<(), Error> {
    let [
        (wants, _),
        (sockets, _),
        (runlevel, _),
        (begin, _),
        (end, _),
        ..,
    ] = LINKS;
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

/// Stops the service where `starter` runs it, and has it started no more. What is not there is no error, and what
/// somebody else has made goes on.
pub fn disable(tree: &Tree, starter: &Starter) {
    if !tree.is_own() || !starter.is_here(tree) {
        return;
    }
    if starter.init == Init::Systemd {
        disable_unit(tree, SOCKET, SOCKET_NAME);
        return disable_unit(tree, UNIT, UNIT_NAME);
    }
    if !starter.has_service(tree) {
        return;
    }
    match starter.init {
        Init::OpenRc => {
            tree.attempt("rc-service", &[NAME, "stop"]);
            tree.attempt("rc-update", &["del", NAME]);
        }
        Init::Procd => tree.attempt(SCRIPT, &["stop"]),
        Init::Runit => tree.attempt("sv", &["down", NAME]),
        Init::Systemd => {}
    }
}

/// A unit goes on when its file is gone, and systemd knows it by its name alone, which a package's may have as well.
fn disable_unit(tree: &Tree, file: &str, name: &str) {
    if tree.is_marked(file) {
        tree.attempt("systemctl", &["disable", "--now", name]);
        return;
    }
    let ask = |arguments: &[&str]| tree.run("systemctl", arguments);
    let is_ours = |from: String| ["", file].contains(&from.trim());
    if !tree.has(file)
        && ask(&["is-active", name]).is_ok()
        && ask(&["show", "-p", "FragmentPath", "--value", name]).is_ok_and(is_ours)
    {
        tree.attempt("systemctl", &["stop", name]);
    }
}

/// Has systemd keep the port no longer; says whether it did.
///
/// # Errors
/// The file cannot be removed.
pub fn close_socket(tree: &Tree) -> Result<bool, Error> {
    let kept = tree.is_marked(SOCKET);
    if kept {
        if Starter::of(Init::Systemd).can_act(tree) {
            disable_unit(tree, SOCKET, SOCKET_NAME);
        }
        init::remove(tree, SOCKET)?;
    }
    Ok(kept)
}

/// Has systemd forget what was removed.
///
/// # Errors
/// It cannot.
pub fn forget(tree: &Tree) -> Result<(), Error> {
    if Starter::of(Init::Systemd).can_act(tree) {
        tree.act("systemctl", &["daemon-reload"])?;
    }
    Ok(())
}
