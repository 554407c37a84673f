//! `install`: the program, the user, the configuration, the service; and the Python agent out of the way.

use super::account::{self, Account};
use super::init::{self, Service};
use super::tree::Tree;
use super::{CONFIG, Error, PROGRAM, failed, step, takeover};
use crate::auth;
use crate::config::{self, Id, Install, Old, Password, Values};
use crate::docker::Endpoint;
use crate::sys::fs::read_up_to;
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::File;
use std::path::Path;

/// Letters and digits that look like no other; 32, so that each is as likely.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// The characters of a new password: 120 bits.
const PASSWORD_LENGTH: usize = 24;
/// The most that is read of the file of a password.
const MAX_PASSWORD_FILE: usize = 4096;

/// Makes the agent a service, or what is there the service that it should be.
///
/// # Errors
/// What could not be done. What comes before that is done; a second run does the rest.
pub fn install(wanted: &Install) -> Result<(), Error> {
    let tree = Tree::new(wanted.root.clone());
    let init = wanted.init.map_or_else(|| init::detect(&tree), Ok)?;
    let plan = Plan::new(&tree, wanted)?;

    let mut changed = tree.write_program(PROGRAM)?;
    let how = if changed { "copied" } else { "as it should be" };
    step(format_args!("program: {PROGRAM}, {how}"));
    let account = account::prepare(&tree, &wanted.user)?;
    changed |= plan.configure(&tree, &account)?;
    takeover::remove(&tree, plan.text.is_some())?;
    let service = Service {
        user: &wanted.user,
        account: &account,
        listen: plan.listen(wanted, &tree),
    };
    changed |= init::write(&tree, init, &service)?;
    init::enable(&tree, init, wanted.start, changed)
}

/// What the configuration is to be; made before anything is changed, so that what is wrong stops
/// the installation at its beginning.
struct Plan {
    /// What it comes to.
    config: config::Config,
    /// The file, if it is to be written.
    text: Option<String>,
    /// Whose password `admin` has now, if it was set.
    password: Option<NewPassword>,
}

enum NewPassword {
    Random(String),
    OfFile,
    Default,
    /// There is no proxy, as with the Python agent.
    NoProxy,
}

impl Plan {
    fn new(tree: &Tree, wanted: &Install) -> Result<Plan, Error> {
        match tree.read(CONFIG)? {
            Some(text) => Plan::kept(tree, wanted, &text),
            None => Plan::made(tree, wanted),
        }
    }

    fn kept(tree: &Tree, wanted: &Install, text: &[u8]) -> Result<Plan, Error> {
        let old = config::old(text).map_err(|(line, problem)| {
            Error(format!("{CONFIG}:{line}: {problem}: repair it first"))
        })?;
        if let Some((key, _)) = old.unknown.first() {
            return failed(format!(
                "{CONFIG}: unknown key `{}`: repair it first",
                key.escape_debug()
            ));
        }
        let config = config::try_out(&old.values, tree.is_own())
            .map_err(|error| Error(format!("{CONFIG} is wrong, repair it first: {error}")))?;
        if !wanted.settings.is_empty() || wanted.password != Password::Random {
            step(format_args!(
                "settings: {CONFIG} is there and stays; those of the command line are not written to it"
            ));
        }
        Ok(Plan {
            config,
            text: None,
            password: None,
        })
    }

    fn made(tree: &Tree, wanted: &Install) -> Result<Plan, Error> {
        let Old {
            mut values,
            unknown,
        } = takeover::settings(tree)?;
        for (id, value) in &wanted.settings {
            values.retain(|(known, _)| known != id);
            values.push((*id, value.clone()));
        }
        let try_out = |values: &Values| {
            config::try_out(values, tree.is_own())
                .map_err(|error| Error(format!("{error}; nothing was done")))
        };
        let mut config = try_out(&values)?;
        let password = password(wanted, &config, &mut values)?;
        if password.is_some() {
            config = try_out(&values)?;
        }
        Ok(Plan {
            config,
            text: Some(config::sample(&values, &unknown)),
            password,
        })
    }

    /// Writes the configuration, or leaves it and sees to it that the agent can read it and others
    /// cannot; says whether it was written.
    fn configure(&self, tree: &Tree, account: &Account) -> Result<bool, Error> {
        let group = account.group.unwrap_or_default();
        let Some(text) = &self.text else {
            let how = if tree.restrict(CONFIG, 0o640, group)? {
                "kept, now"
            } else {
                "kept,"
            };
            step(format_args!(
                "configuration: {CONFIG}, {how} 0640 root:{}",
                account.group_name
            ));
            return Ok(false);
        };
        tree.write(CONFIG, text.as_bytes(), 0o640, group)?;
        step(format_args!(
            "configuration: {CONFIG}, written, 0640 root:{}",
            account.group_name
        ));
        self.tell_password();
        Ok(true)
    }

    fn tell_password(&self) {
        match &self.password {
            Some(NewPassword::Random(password)) => {
                step(format_args!(
                    "admin's password, shown this once: {password}"
                ));
                step(format_args!(
                    "in the manager, which has one for all its agents, set: dm.agent.client.password={password}"
                ));
                step(format_args!("(several nodes share one by --password-file)"));
            }
            Some(NewPassword::OfFile) => step(format_args!(
                "admin's password: that of the file; the manager's is dm.agent.client.password"
            )),
            Some(NewPassword::Default) => step(format_args!(
                "admin's password: the one of the manual, which everybody knows: let allow_from or a firewall admit the manager alone"
            )),
            Some(NewPassword::NoProxy) => step(format_args!(
                "the proxy stays off, as with the Python agent and a Docker on TCP; listen and admin_password switch it on"
            )),
            None => step(format_args!("admin's password: that of the settings")),
        }
    }

    fn listen(&self, wanted: &Install, tree: &Tree) -> Option<std::net::SocketAddr> {
        // A socket that is there stays, and follows the configuration.
        let socket = wanted.socket || tree.is_marked(init::SOCKET);
        self.config.listen.filter(|_| socket)
    }
}

/// The password that `admin` gets, as a hash among the settings; none where they say already who may
/// come in.
fn password(
    wanted: &Install,
    config: &config::Config,
    values: &mut Values,
) -> Result<Option<NewPassword>, Error> {
    let said = |id: Id| values.iter().any(|(known, _)| *known == id);
    if said(Id::AdminPassword) || said(Id::AdminPasswordFile) {
        return Ok(None);
    }
    if config.listen.is_none()
        && matches!(config.docker, Endpoint::Tcp { .. })
        && wanted.password == Password::Random
    {
        // A password is a setting that speaks of the proxy, and would switch it on.
        return Ok(Some(NewPassword::NoProxy));
    }
    let (password, new) = match &wanted.password {
        Password::Default => return Ok(Some(NewPassword::Default)),
        Password::Random => {
            let password = random_password()?;
            (password.clone(), NewPassword::Random(password))
        }
        Password::File(path) => (first_line(path)?, NewPassword::OfFile),
    };
    let hash =
        auth::hash_password(password.as_bytes()).map_err(|error| Error(error.to_string()))?;
    values.push((Id::AdminPassword, hash));
    Ok(Some(new))
}

fn random_password() -> Result<String, Error> {
    let mut bytes = [0; PASSWORD_LENGTH];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        return failed(
            "the system has no random numbers for a password: give one by --password-file"
                .to_owned(),
        );
    }
    let letter = |byte: &u8| {
        ALPHABET
            .get(usize::from(byte % 32))
            .copied()
            .map(char::from)
    };
    Ok(bytes.iter().filter_map(letter).collect())
}

fn first_line(path: &Path) -> Result<String, Error> {
    let read = File::open(path).and_then(|file| read_up_to(&file, MAX_PASSWORD_FILE));
    let bytes = read.map_err(|error| Error(format!("cannot read {}: {error}", path.display())))?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
