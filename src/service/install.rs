//! `install`: the program, the user, the configuration, the service; and the Python agent out of the way.

use super::account::{self, Account};
use super::configuration::Plan;
use super::init::{self, Installed, SOCKET, Service, Starter, UNIT};
use super::takeover::Agent;
use super::tree::{self, Tree};
use super::{Error, PROGRAM, enable, failed, step, takeover};
use crate::config::{DEFAULT_USER, Init, Install};
use crate::sys::process;
use std::net::SocketAddr;

/// Makes the agent a service, or what is there the service that it should be.
///
/// # Errors
/// What could not be done. What comes before that is done; a second run does the rest.
pub fn install(mut wanted: Install) -> Result<(), Error> {
    process::set_usual_umask();
    let tree = Tree::new(wanted.root.clone());
    let _alone = tree.lock()?;
    let there = init::installed(&tree)?;
    let starter = starter(&tree, &wanted, &there)?;
    let mut old = takeover::find(&tree)?;
    let plan = Plan::new(&tree, &mut wanted, &mut old)?;
    let mut service = service(&tree, &wanted, starter, &there, &plan)?;
    check(&tree, &wanted, &service, &old, &plan)?;
    let own = tree::own_program()?;

    let program = tree.write(PROGRAM, &own, 0o755, 0)?;
    let how = if program { "copied" } else { "as it should be" };
    step(format_args!("program: {PROGRAM}, {how}"));
    service.account.make(&tree)?;
    let configured = plan.write(&tree, &service.account)?;
    for gone in &there {
        retire(&tree, gone, &service)?;
    }
    for agent in old.iter().filter(|agent| agent.is_in_the_way()) {
        agent.remove(&tree)?;
    }
    let mut changed = service.write(&tree)?;
    changed.any |= program || configured;
    if service.listen.is_none() {
        changed.any |= enable::close_socket(&tree)?;
    }
    enable::enable(&tree, &service, wanted.start, changed)?;
    remove_old(&tree, &wanted, &old)
}

/// Who is to start the service: who is told, else who did, else who is found.
fn starter(tree: &Tree, wanted: &Install, there: &[Installed]) -> Result<&'static Starter, Error> {
    if let Some(init) = wanted.init {
        return Ok(Starter::of(init));
    }
    let found = Starter::detect(tree);
    let is_found = |installed: &&Installed| {
        let found = found.as_ref();
        found.is_ok_and(|found| found.init == installed.starter.init)
    };
    match there.iter().find(is_found).or(there.first()) {
        Some(installed) => Ok(installed.starter),
        None => found,
    }
}

/// The service with the user that is told, or else that it had.
fn service(
    tree: &Tree,
    wanted: &Install,
    starter: &'static Starter,
    there: &[Installed],
    plan: &Plan,
) -> Result<Service, Error> {
    let mut same = there.iter();
    let same = same.find(|installed| installed.starter.init == starter.init);
    let before = same.or(there.first()).map(|installed| &*installed.user);
    let user = wanted.user.as_deref().or(before).unwrap_or(DEFAULT_USER);
    let mut joined = there.iter().filter(|installed| installed.joined);
    Ok(Service {
        starter,
        account: Account::find(tree, user)?,
        joined: joined.any(|installed| installed.user == user),
        listen: listen(tree, wanted, starter, plan)?,
    })
}

/// Where systemd is to open the port. A socket that is there stays, and follows the configuration.
fn listen(
    tree: &Tree,
    wanted: &Install,
    starter: &Starter,
    plan: &Plan,
) -> Result<Option<SocketAddr>, Error> {
    let can = |listen: &SocketAddr| starter.init == Init::Systemd && listen.port() != 0;
    match (wanted.socket, plan.config.listen.filter(can)) {
        (Some(true), None) => failed(
            "--socket needs systemd, and a listen that names a port; nothing was done".to_owned(),
        ),
        (Some(false), _) => Ok(None),
        (Some(true), listen) => Ok(listen),
        (None, listen) => Ok(listen.filter(|_| tree.is_marked(SOCKET))),
    }
}

/// Refuses what could not be done without the loss of something.
fn check(
    tree: &Tree,
    wanted: &Install,
    service: &Service,
    old: &[Agent],
    plan: &Plan,
) -> Result<(), Error> {
    if wanted.start && tree.is_own() && !service.starter.can_act(tree) {
        return failed(
            "systemd does not run here (no /run/systemd/system); nothing was done: --no-start writes the files alone"
                .to_owned(),
        );
    }
    let Some(agent) = old.iter().find(|agent| agent.is_in_the_way()) else {
        return service.check(tree, None);
    };
    if !wanted.start && tree.is_own() {
        return failed(format!(
            "--no-start: {UNIT} is the Python agent's, whose place the new one takes; nothing was done"
        ));
    }
    if plan.is_kept() {
        agent.check(tree)?;
    }
    service.check(tree, Some(UNIT))
}

/// Undoes what of an earlier installation the service does not go on with.
fn retire(tree: &Tree, gone: &Installed, service: &Service) -> Result<(), Error> {
    if gone.starter.init != service.starter.init {
        enable::disable(tree, gone.starter);
        gone.starter.remove(tree)?;
        enable::forget(tree)?;
    }
    let goes_on = service.is_by_membership() && gone.user == service.account.user;
    if gone.joined && !goes_on {
        account::leave_docker(tree, &gone.user);
    }
    Ok(())
}

/// The Python agents go once the new one runs, so that the node is never without; that of an image does not run.
fn remove_old(tree: &Tree, wanted: &Install, old: &[Agent]) -> Result<(), Error> {
    if wanted.start || !tree.is_own() {
        for agent in old.iter().filter(|agent| !agent.is_in_the_way()) {
            agent.remove(tree)?;
        }
        return takeover::remove_configs(tree);
    }
    if !old.is_empty() {
        step(format_args!(
            "left: the Python agent, until install starts this one"
        ));
    }
    Ok(())
}
