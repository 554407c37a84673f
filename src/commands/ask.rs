//! `health [live] [PID]` and `reload [PID]`: what a running agent says, in a line. No setting is read.

use super::{Failure, print};
use crate::config::{Ask, ConfigError};
use crate::control::Question;
use crate::control::client;
use std::process::ExitCode;

pub fn run(what: Ask, operands: &[String]) -> Result<ExitCode, Failure> {
    let words: Vec<&str> = operands.iter().map(String::as_str).collect();
    let (question, pid) = match (what, words.as_slice()) {
        (Ask::Reload, pid) => (Question::Reload, pid),
        (Ask::Health, ["live", pid @ ..]) => (Question::Live, pid),
        (Ask::Health, pid) => (Question::Health, pid),
    };
    let pid = match pid {
        [] => None,
        [pid] => Some(pid.parse().map_err(|_| usage())?),
        _ => return Err(usage()),
    };
    let answer = client::ask(question, pid);
    let status = match answer {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    };
    let (well, ill) = match question {
        Question::Health | Question::Live => ("healthy", "unhealthy"),
        Question::Reload => ("reloaded", "not reloaded"),
    };
    match answer {
        Ok(text) => print(&format!("{well}: {text}\n"))?,
        Err(text) => print(&format!("{ill}: {text}\n"))?,
    };
    Ok(status)
}

fn usage() -> Failure {
    let problem = "`health [live] [PID]` or `reload [PID]`, where PID is the agent's process";
    Failure::Config(ConfigError::Usage(problem.to_string()))
}
