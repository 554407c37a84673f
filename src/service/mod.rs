//! The agent as a service of the system.
//!
//! | file | owns |
//! | --- | --- |
//! | `notify.rs` | what the service manager is told while the agent runs |
//! | `install.rs`, `uninstall.rs` | the two commands, step by step |
//! | `init.rs` | who starts services: their files (`unit.service`, `openrc.sh` …) and commands |
//! | `takeover.rs` | the Python agent that was there before |
//! | `account.rs` | the user that the agent runs as |
//! | `tree.rs` | files, written whole or not at all, and commands |

pub mod account;
mod init;
mod install;
pub mod notify;
mod takeover;
mod tree;
mod uninstall;

pub use install::install;
pub use uninstall::uninstall;

use std::fmt;

/// Where the program is installed.
const PROGRAM: &str = "/usr/local/bin/haven-agent";
/// Its configuration.
const CONFIG: &str = "/etc/haven-agent.ini";
/// The name of the service.
const NAME: &str = "haven-agent";
/// What the first lines of each file have that `install` wrote, and the comment of a user that it
/// made: `uninstall` removes nothing else.
const MARK: &str = "haven-agent install";

/// What was tried, where, why it failed, and what to do about it, in one line.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

fn failed<T>(text: String) -> Result<T, Error> {
    Err(Error(text))
}

/// Tells a step that was done. Nobody who reads is no reason to stop half way.
#[inline(never)]
fn step(text: fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}
