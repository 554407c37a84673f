//! The Haven node agent: serves the node's Docker API over authenticated TLS, and registers the
//! node with its master.
//!
//! # The map of the code
//!
//! A file imports downward only; files of one room may import each other.
//!
//! | floor | room | what it owns |
//! | --- | --- | --- |
//! | 0 | [`buf`] | bounded byte buffers |
//! | 0 | [`held`] | how much of what clients send is held at a time |
//! | 0 | [`log`] | the log: its line format, its queue and its thread |
//! | 0 | [`zone`] | the node's time zone |
//! | 0 | [`links`] | symbolic links, followed by hand |
//! | 0 | [`secret`] | strings that are never shown |
//! | 0 | [`service::notify`] | what the service manager is told |
//! | 0 | [`sorted`] | small maps and sets |
//! | 0 | [`source`] | whom an address counts as, networks |
//! | 0 | [`sys`] | every `unsafe` block: sockets, readiness, signals, clocks, files |
//! | 1 | [`http`] | HTTP/1.1 heads and bodies, and a small blocking client |
//! | 1 | [`metrics`] | CPU, memory, disks and network from `/proc`, `/sys` and `statvfs` |
//! | 2 | [`auth`] | users, Basic credentials, bcrypt |
//! | 2 | [`docker`] | what the agent itself asks of Docker |
//! | 2 | [`policy`] | what a user may do: canonical paths, rules, verdicts |
//! | 2 | [`tls`] | certificates: what the server shows, what a client trusts |
//! | 3 | [`config`] | command line, environment and INI files, after one table of options |
//! | 3–4 | [`proxy`] | a connection as two machines without I/O; the event loop around them |
//! | 4 | [`report`] | what is registered, and the thread that registers it |
//! | 4 | [`sandbox`] | what the agent gives up once it has started |
//! | 4 | [`service`] | `install` and `uninstall`, the unit and other systems' service files |
//! | 5 | [`control`] | what a running agent is asked by `health` and `reload` |
//! | 6 | `commands` | what each command does |
//! | 6 | `fuzzing` | harnesses of the readers, for tests alone |
//!
//! Who starts where: [`run`] reads the settings and hands them to a command; the `daemon` command
//! becomes the proxy's first event loop once it has started the threads `log`, `auth`, `reload`,
//! `control`, `reporter`, where there is use for them `service` (a service manager to be told), `names`
//! (Docker at a name) and `worker 1` … (more event loops); and `statvfs` for a while, for a disk that may hang.

use std::ffi::OsString;
use std::process::ExitCode;

pub mod auth;
pub mod buf;
mod commands;
pub mod config;
pub mod control;
pub mod docker;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod held;
pub mod http;
pub mod links;
pub mod log;
pub mod metrics;
pub mod policy;
pub mod proxy;
pub mod report;
pub mod sandbox;
pub mod secret;
pub mod service;
pub mod sorted;
pub mod source;
pub mod sys;
pub mod tls;
pub mod zone;

#[cfg(not(any(fuzzing, plain_heap)))]
#[global_allocator]
static HEAP: sys::heap::Heap = sys::heap::Heap;

/// The program: status 0 where all went well, 1 where something failed, 2 where the settings are
/// wrong and nothing was started.
pub fn run() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    // First of all, so that a secret is in the process list as shortly as can be.
    let wiped = wipe_secrets(&arguments);
    // The program's name, where there is one.
    arguments.drain(..arguments.len().min(1));
    let done = config::load(arguments.clone())
        .map_err(commands::Failure::from)
        .and_then(|request| commands::run(request, wiped, arguments));
    log::flush();
    match done {
        Ok(status) => status,
        Err(failure) => {
            eprintln!("haven-agent: {failure}");
            failure.status()
        }
    }
}

/// Whether no secret of the command line is left in the process list.
fn wipe_secrets(arguments: &[OsString]) -> bool {
    let (_, given) = arguments.split_at(arguments.len().min(1));
    let ranges = config::secret_ranges(given).into_iter();
    // The program's name is the first argument.
    let ranges: Vec<_> = ranges
        .map(|(index, start, end)| (index + 1, start, end))
        .collect();
    sys::process::wipe_arguments(arguments, &ranges)
}
