//! `policy show NAME` and `policy explain USER METHOD PATH [FILE]`: what the proxy would say, without it.

use super::{Failure, print};
use crate::config::{Config, ConfigError};
use crate::policy::{Question, Ruling, Target};
use crate::tls;
use std::fs;
use std::process::ExitCode;

pub fn run(config: &Config) -> Result<ExitCode, Failure> {
    let words: Vec<&str> = config.operands.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["show", name] => show(config, name),
        ["explain", user, method, path] => explain(config, user, method, path, None),
        ["explain", user, method, path, body] => explain(config, user, method, path, Some(body)),
        _ => Err(usage(
            "`policy show NAME` or `policy explain USER METHOD PATH [FILE-WITH-BODY]`".to_string(),
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

/// Judges a request as the proxy would, with the JSON of a file as its body or without one.
fn explain(
    config: &Config,
    user: &str,
    method: &str,
    path: &str,
    file: Option<&str>,
) -> Result<ExitCode, Failure> {
    let body = file.map(body_of).transpose()?;
    check_question(config, user, method, path)?;
    let target = match Target::parse(path) {
        Ok(target) => target,
        Err(error) => {
            print(&format!(
                "denied\nto:   everybody (status 400)\nby:   {error}\n"
            ))?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let ruling = judge(config, user, method, &target, body.as_deref());
    let then = match (&ruling.trial, &body) {
        (Some(_), None) => "then: its body is judged as well: give it in a file\n",
        _ => "",
    };
    let verdict = if ruling.allowed { "allowed" } else { "denied" };
    print(&format!(
        "{verdict}\nto:   {user}\nasks: {method} {}{}\nby:   {}\n{then}",
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

fn body_of(file: &str) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|error| usage(format!("`{}`: {error}", file.escape_debug())))
}

/// Refuses a question that no request could ask.
fn check_question(config: &Config, user: &str, method: &str, path: &str) -> Result<(), Failure> {
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
    Ok(())
}

/// The ruling, with that on the body where there is one.
fn judge(
    config: &Config,
    user: &str,
    method: &str,
    target: &Target<'_>,
    body: Option<&[u8]>,
) -> Ruling {
    let question = Question {
        has_body: body.is_some(),
        has_json: body.is_some(),
        ..Question::plain(method, target)
    };
    let ruling = config.policies.judge(user, &question);
    match (&ruling.trial, body) {
        (Some(trial), Some(body)) => match trial.judge(body) {
            Ok(()) => ruling,
            Err(denial) => denial,
        },
        _ => ruling,
    }
}
