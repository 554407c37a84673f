//! The configuration that `install` writes, made from the table of options; and how it understands the
//! one that is there, its own or an old agent's.

use super::options::{self, GROUPS, Id, Kind, OPTIONS};
use super::{Config, ConfigError, Request, Surroundings, Task, ini};
use std::ffi::OsString;
use std::fmt::Write;
use std::path::PathBuf;

/// How wide its comments are.
const WIDTH: usize = 100;

const HEAD: &str = "\
# Written by haven-agent install, once: it is yours from now on.
#
# What stands behind a # has its default. `haven-agent check` tries all of it. Users, policies,
# certificates and log_level are read again by a reload of the service; the rest needs a restart.

[main]
";

/// Settings as texts.
pub type Values = Vec<(Id, String)>;

/// A configuration that is there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Old {
    /// What is understood of it.
    pub values: Values,
    /// Keys that name no option, with their values, which may be secrets.
    pub unknown: Vec<(String, String)>,
}

/// Understands the text of a configuration.
///
/// # Errors
/// The line, and what is wrong there.
pub fn old(text: &[u8]) -> Result<Old, (usize, String)> {
    let mut old = Old::default();
    for entry in ini::parse(text).map_err(|error| (error.line, error.problem))? {
        match options::by_ini_key(&entry.key) {
            Some((option, true)) if option.id == Id::Listen => {
                old.values.push((option.id, format!(":{}", entry.value)));
            }
            Some((option, _)) => old.values.push((option.id, entry.value)),
            None => old.unknown.push((entry.key, entry.value)),
        }
    }
    Ok(old)
}

/// What settings come to; those that name files are left out unless `files` are there to be read.
///
/// # Errors
/// What of them is wrong.
pub fn try_out(values: &Values, files: bool) -> Result<Config, ConfigError> {
    let named = |id: &Id| options::entry(*id).kind == Kind::File;
    let values = values.iter().filter(|(id, _)| files || !named(id));
    let flags = values.map(|(id, value)| format!("--{}={value}", options::entry(*id).flag()));
    let arguments = std::iter::once("check".to_owned()).chain(flags);
    let request = super::read(&Surroundings {
        arguments: arguments.map(OsString::from).collect(),
        variables: Vec::new(),
        directory: PathBuf::from("/"),
        // Where no configuration is.
        etc: PathBuf::from("/proc/self/fdinfo"),
        pid1: false,
    })?;
    match request {
        Request::Run(config) if config.task == Task::Check => Ok(*config),
        _ => Err(ConfigError::Usage("settings ask for a command".to_owned())),
    }
}

/// A commented configuration with these settings, and these keys as a comment.
pub fn sample(values: &Values, unknown: &[(String, String)]) -> String {
    let mut text = HEAD.to_owned();
    for (group, title) in GROUPS {
        let mut options = OPTIONS
            .iter()
            .filter(|option| option.group == group && option.id != Id::Config)
            .peekable();
        if options.peek().is_some() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n# ---- {title}\n");
        }
        for option in options {
            text.push('\n');
            comment(&mut text, option.help);
            let _ = match values.iter().find(|(id, _)| *id == option.id) {
                Some((_, value)) => writeln!(text, "{} = {}", option.key, escaped(value)),
                None if option.default.is_empty() => writeln!(text, "#{} =", option.key),
                None => writeln!(text, "#{} = {}", option.key, option.default),
            };
        }
    }
    if !unknown.is_empty() {
        text.push_str("\n# ---- of the old agent's configuration, not understood\n");
    }
    for (key, value) in unknown {
        let _ = writeln!(text, "#{key} = {}", escaped(value).replace('\n', "\n#"));
    }
    text
}

fn comment(text: &mut String, help: &str) {
    let mut width = WIDTH;
    for word in help.split_whitespace() {
        width += 1 + word.chars().count();
        if width > WIDTH {
            let begin = if text.ends_with('\n') { "#" } else { "\n#" };
            text.push_str(begin);
            width = 2 + word.chars().count();
        }
        text.push(' ');
        text.push_str(word);
    }
    text.push('\n');
}

/// A value as configparser reads it back.
fn escaped(value: &str) -> String {
    value.replace('%', "%%").replace('\n', "\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let values = vec![
            (Id::Master, "10.0.0.3:8761\n10.0.0.4:8761".to_owned()),
            (Id::Secret, "100% = #1; [x]".to_owned()),
            (
                Id::AdminPassword,
                crate::auth::DEFAULT_PASSWORD_HASH.to_owned(),
            ),
        ];
        let unknown = vec![("color".to_owned(), "a%b\n[main]".to_owned())];
        let text = sample(&values, &unknown);
        let mut read = old(text.as_bytes()).unwrap();
        read.values.sort();
        let mut expected = values.clone();
        expected.sort();
        assert_eq!(read.values, expected);
        assert!(read.unknown.is_empty());
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        assert!(try_out(&values, true).is_ok());
    }

    #[test]
    fn each_setting_is_there_with_a_default_that_is_good() {
        let text = sample(&Values::new(), &[]);
        let live: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.starts_with(' ') && !setting.ends_with('=') => setting,
                Some(_) => "",
                None => line,
            })
            .fold(String::new(), |all, line| all + line + "\n");
        let read = old(live.as_bytes()).unwrap();
        let defaults = OPTIONS.iter().filter(|option| !option.default.is_empty());
        assert_eq!(read.values.len(), defaults.count());
        assert!(try_out(&read.values, true).is_ok());
        for option in OPTIONS.iter().filter(|option| option.id != Id::Config) {
            assert!(
                text.contains(&format!("\n#{} =", option.key)),
                "{}",
                option.key
            );
        }
    }

    #[test]
    fn an_old_agent_s_keys_are_told_apart() {
        let read = old(b"[main]\nmaster: h:1\nserver.port = 9\ncolor = red\n").unwrap();
        let values = vec![
            (Id::Master, "h:1".to_owned()),
            (Id::Listen, ":9".to_owned()),
        ];
        assert_eq!(read.values, values);
        assert_eq!(read.unknown, [("color".to_owned(), "red".to_owned())]);
        assert_eq!(old(b"[other]\n").unwrap_err().0, 1);
    }
}
