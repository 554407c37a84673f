//! The configuration: the one that is there, tried, or a new one with a password.

use super::account::{self, Account};
use super::takeover::{self, Agent};
use super::tree::Tree;
use super::{CONFIG, Error, password, step};
use crate::config::{Config, ConfigError, Draft, Id, Install, Password};
use crate::docker::Endpoint;
use crate::tls::ClientAuth;

/// What the configuration is to be; made before anything is changed, so that what is wrong stops
/// the installation at its beginning.
pub struct Plan {
    /// What it comes to.
    pub config: Config,
    /// The file, if it is to be written.
    text: Option<String>,
    /// `admin`'s new password.
    password: Option<String>,
    /// What is told of it instead of it.
    told: Option<&'static str>,
}

impl Plan {
    /// Reads what is there, the settings of `old` agents included.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn new(tree: &Tree, wanted: &mut Install, old: &mut [Agent]) -> Result<Plan, Error> {
        match tree.read(CONFIG)? {
            Some(text) => Plan::kept(tree, wanted, &text).map_err(refused),
            None => Plan::made(tree, wanted, old),
        }
    }

    /// Whether the file is there, and stays.
    pub fn is_kept(&self) -> bool {
        self.text.is_none()
    }

    fn kept(tree: &Tree, wanted: &Install, text: &[u8]) -> Result<Plan, ConfigError> {
        let mut draft = Draft::default();
        draft.add_ini(CONFIG, text, false)?;
        let config = draft.config(tree.is_own())?;
        if !wanted.settings.is_empty() || wanted.password != Password::Random {
            step(format_args!(
                "settings: {CONFIG} is there and stays; the command line's settings and password are not written to it"
            ));
        }
        Ok(Plan {
            config,
            text: None,
            password: None,
            told: None,
        })
    }

    fn made(tree: &Tree, wanted: &mut Install, old: &mut [Agent]) -> Result<Plan, Error> {
        let mut draft = Draft::default();
        let settings = std::mem::take(&mut wanted.settings);
        draft.add(settings).map_err(refused)?;
        takeover::carry(tree, old, &mut draft)?;
        let mut config = draft.config(tree.is_own()).map_err(refused)?;
        let hash = draft.get(Id::AdminPassword);
        let said = hash.or(draft.get(Id::AdminPasswordFile)).is_some();
        let tcp = matches!(config.docker, Endpoint::Tcp { .. });
        let (password, told) = match &wanted.password {
            Password::File(path) => (
                Some(password::of_file(path)?),
                Some("that of the file; the manager's is dm.agent.client.password"),
            ),
            _ if said => (None, Some("that of the settings")),
            Password::Default => (None, Some("that of the manual")),
            // A password is a setting that speaks of the proxy, and would switch it on.
            Password::Random if config.listen.is_none() && tcp => (
                None,
                Some(
                    "none: the proxy stays off, as with the Python agent and a Docker on TCP; \
                     listen and admin_password switch it on",
                ),
            ),
            Password::Random => (Some(password::random()?), None),
        };
        if let Some(password) = &password {
            draft.set_password(password::hash(password)?);
            config = draft.config(tree.is_own()).map_err(refused)?;
        }
        Ok(Plan {
            config,
            text: Some(draft.text()),
            password,
            told,
        })
    }

    /// Writes the file, or leaves it and sees to it that the agent can read it and others cannot; says whether
    /// it was written.
    ///
    /// # Errors
    /// It cannot be written, or a new password not be told.
    pub fn write(&self, tree: &Tree, account: &Account) -> Result<bool, Error> {
        let group = account.group.unwrap_or_default();
        match (&self.password, self.told) {
            (_, Some(told)) => step(format_args!("admin's password: {told}")),
            (Some(password), None) => password::show(password)?,
            (None, None) => {}
        }
        let how = match &self.text {
            Some(text) => {
                tree.write(CONFIG, text.as_bytes(), 0o640, group)?;
                "written,"
            }
            None if tree.restrict(CONFIG, 0o640, group)? => "kept, now",
            None => "kept,",
        };
        let name = account.group.map_or("root", |_| &account.group_name);
        step(format_args!(
            "configuration: {CONFIG}, {how} 0640{}",
            account::owner(name)
        ));
        if account.group.is_some() && name != account.user {
            step(format_args!(
                "careful: all of the group {name} can read {CONFIG}: better a user with a group of its own"
            ));
        }
        let by_password = self.config.tls.client_auth != ClientAuth::Required;
        if self.config.listen.is_some() && by_password && self.config.users.uses_default_password()
        {
            step(format_args!(
                "careful: admin's password is the one of the manual, which everybody knows: set admin_password \
                 (haven-agent hash-password), or let allow_from or a firewall admit the manager alone"
            ));
        }
        Ok(self.text.is_some())
    }
}

/// Settings that are wrong, where, and that they stopped everything.
pub fn refused(error: ConfigError) -> Error {
    Error::of_settings(format!("{error}: repair that first; nothing was done"))
}
