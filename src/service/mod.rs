//! The agent as a service of the system.
//!
//! | file | owns |
//! | --- | --- |
//! | `notify.rs` | what the service manager is told while the agent runs |
//! | `install.rs`, `uninstall.rs` | the two commands, step by step |
//! | `configuration.rs` | the configuration, a new one or the one that is there |
//! | `password.rs` | admin's password in a new one |
//! | `init.rs` | who starts services, and their files: `unit.service`, `openrc.sh` … |
//! | `enable.rs` | the commands that start and stop the service |
//! | `takeover.rs` | the Python agent that was there before |
//! | `account.rs` | the user that the agent runs as |
//! | `tree.rs` | files, written whole or not at all, and commands |

pub mod account;
mod configuration;
mod enable;
mod init;
mod install;
pub mod notify;
mod password;
mod takeover;
mod tree;
mod uninstall;

pub use install::install;
pub use uninstall::uninstall;

use std::fmt;
use std::io::{self, Write};

/// Where the program is installed.
const PROGRAM: &str = "/usr/local/bin/haven-agent";
/// Its configuration.
const CONFIG: &str = "/etc/haven-agent.ini";
/// The name of the service.
const NAME: &str = "haven-agent";
/// What the first lines of each file have that `install` wrote, and the comment of a user that it
/// made: nothing else is replaced or removed.
const MARK: &str = "haven-agent install";

/// What was tried, where, why it failed, and what to do about it, in one line; and whether it [is of the
/// settings](Error::is_of_settings). In a box: each step may hand it on, and seldom does.
#[derive(Debug)]
pub struct Error(Box<(String, bool)>);

impl Error {
    /// Of the system.
    #[inline(never)]
    fn of_system(text: String) -> Error {
        Error(Box::new((text, false)))
    }

    /// Of the settings, or a file that they name.
    #[inline(never)]
    fn of_settings(text: String) -> Error {
        Error(Box::new((text, true)))
    }

    /// Whether the settings, or a file that they name, are wrong.
    pub fn is_of_settings(&self) -> bool {
        self.0.1
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.0)
    }
}

impl std::error::Error for Error {}

fn failed<T>(text: String) -> Result<T, Error> {
    Err(Error::of_system(text))
}

/// Tells a step that was done. Nobody who reads is no reason to stop half way.
fn step(text: fmt::Arguments<'_>) {
    let _ = tell(text);
}

/// Writes a line to standard output, and at once.
///
/// # Errors
/// It cannot be written.
#[inline(never)]
fn tell(text: fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}
