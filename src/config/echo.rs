//! The effective settings as the Python agent printed them: `{'timeout': 10, 'master': '…'}`.

use super::options::{Id, Kind, OPTIONS, Opt};
use super::raw::RawConfig;
use crate::docker::Endpoint;
use crate::secret::MASK;
use std::fmt::Write;

/// Every option's effective value as a Python dictionary, secrets masked.
/// `docker`, `listens` and `exits` are what three options without a constant default came to.
pub fn arguments(raw: &RawConfig, docker: &Endpoint, listens: bool, exits: bool) -> String {
    let pairs = OPTIONS.iter().map(|option| {
        let value = match (option.id, raw.get(option.id)) {
            (_, Some(setting)) => given(option, &setting.value),
            (Id::Docker, None) => quoted(&docker.to_string()),
            (Id::Listen, None) if !listens => quoted("none"),
            (Id::ExitOnStaleSocket, None) => truth(exits),
            (_, None) if option.default.is_empty() => "None".to_string(),
            (_, None) => given(option, option.default),
        };
        format!("'{}': {value}", option.key)
    });
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

/// A value as Python's `repr` shows it.
fn given(option: &Opt, value: &str) -> String {
    match option.kind {
        _ if option.secret && value.is_empty() => "''".to_string(),
        _ if option.secret => quoted(MASK),
        _ if value.is_empty() => "None".to_string(),
        Kind::Number { .. } => value.to_string(),
        Kind::Switch => truth(super::resolve::switch(value) == Some(true)),
        Kind::Text | Kind::File | Kind::Flag => quoted(value),
    }
}

fn truth(value: bool) -> String {
    if value { "True" } else { "False" }.to_string()
}

/// A string in Python's single quotes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("'");
    for character in text.chars() {
        match character {
            '\'' | '\\' => {
                quoted.push('\\');
                quoted.push(character);
            }
            '\n' => quoted.push_str("\\n"),
            _ if character.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\x{:02x}", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('\'');
    quoted
}
