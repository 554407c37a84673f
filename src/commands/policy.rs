//! `policy show NAME` and `policy explain USER METHOD PATH`: what the proxy would say, without it.

use super::{Failure, print};
use crate::config::{Config, ConfigError};
use crate::policy::{Question, Target};
use crate::tls;
use std::process::ExitCode;

pub fn run(config: &Config) -> Result<ExitCode, Failure> {
    let words: Vec<&str> = config.operands.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["show", name] => show(config, name),
        ["explain", user, method, path] => explain(config, user, method, path),
        _ => Err(usage(
            "`policy show NAME` or `policy explain USER METHOD PATH`".to_string(),
        )),
    }
}

fn usage(problem: String) -> Failure {
    Failure::Config(ConfigError::Usage(problem))
}

fn show(config: &Config, name: &str) -> Result<ExitCode, Failure> {
    let policies = &config.policies;
    let Some(text) = policies.show(name) else {
        let (name, known) = (name.escape_debug(), policies.names());
        return Err(usage(format!("`{name}` is no policy: there are {known}")));
    };
    print(&text)
}

/// Judges a request without a body, as the proxy would.
fn explain(config: &Config, user: &str, method: &str, path: &str) -> Result<ExitCode, Failure> {
    if !config.users.has(user) && !tls::is_certified(user) {
        return Err(usage(format!("`{}` is no user", user.escape_debug())));
    }
    let graphic =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if !graphic(method) || !graphic(path) {
        return Err(usage(
            "a method and a path as they stand in a request, without spaces".to_string(),
        ));
    }
    let target = match Target::parse(path) {
        Ok(target) => target,
        Err(error) => {
            print(&format!(
                "denied\nto:   everybody (status 400)\nby:   {error}\n"
            ))?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let question = Question::plain(method, &target);
    let ruling = config.policies.judge(user, &question);
    let verdict = if ruling.allowed { "allowed" } else { "denied" };
    print(&format!(
        "{verdict}\nto:   {user}\nasks: {method} {}{}\nby:   {}\n",
        target.path(),
        target.query(),
        ruling.by,
    ))?;
    if !ruling.reason.is_empty() {
        print(&format!("why:  {}\n", ruling.reason))?;
    }
    Ok(if ruling.allowed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
