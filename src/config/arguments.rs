//! The command line.
//!
//! Read from left to right as Python's argparse does: `-d X`, `-dX`, `-vvd X`, `--docker X`,
//! `--docker=X`, flags before or after the command, `--` before words. A value that begins with a
//! dash needs the form with `=` (or `-sVALUE`), so that a forgotten value does not swallow the next
//! flag. One scan serves the parser and the wiping of secrets, so that both agree on what is one.

use super::Command;
use super::error::ConfigError;
use super::options::{self, Id, MAX_LOG_LEVEL, Opt, VERBOSE};
use super::raw::Origin;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// The commands by name.
pub const COMMANDS: [(&str, Command, &str); 5] = [
    (
        "daemon",
        Command::Daemon,
        "serve the proxy and register the node (the default)",
    ),
    (
        "root-cert",
        Command::RootCert,
        "print the root certificate that signs the proxy's",
    ),
    (
        "report",
        Command::Report,
        "collect once and print the JSON that would be sent",
    ),
    (
        "check",
        Command::Check,
        "try all settings, Docker and the masters, and say what works",
    ),
    (
        "hash-password",
        Command::HashPassword,
        "make the bcrypt hash of the password on standard input",
    ),
];

/// What a command line asks for.
#[derive(Debug)]
pub enum CommandLine {
    /// The help text.
    Help,
    /// The version.
    Version,
    /// A command, with the settings given: option, origin, by its Spring name, text.
    Run(Command, Vec<(Id, Origin, bool, String)>),
}

/// A part of one argument, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The argument's index.
    pub argument: usize,
    /// Its first byte.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
}

/// A command line's parts.
#[derive(Debug)]
pub enum Token {
    /// An option and where its value is.
    Value {
        /// Which.
        option: &'static Opt,
        /// As it is spelled, with its dashes.
        spelled: String,
        /// Whether that is its Spring name.
        spring: bool,
        /// Its value.
        at: Place,
    },
    /// An option whose value is missing.
    Missing(String),
    /// One `-v` or `--verbose`.
    Verbose,
    /// `-h` or `--help`.
    Help,
    /// `-V` or `--version`.
    Version,
    /// A word: the command.
    Word(usize),
    /// A flag that there is not; without a value, which may be a secret.
    Unknown(String),
}

/// What a command line asks for.
pub fn parse(arguments: &[OsString]) -> Result<CommandLine, ConfigError> {
    let mut command = None;
    let mut flags = Vec::new();
    let mut verbosity: u32 = 0;
    let mut after_secret = false;
    for token in scan(arguments) {
        let was_secret = std::mem::take(&mut after_secret);
        match token {
            Token::Help => return Ok(CommandLine::Help),
            Token::Version => return Ok(CommandLine::Version),
            Token::Verbose => verbosity = verbosity.saturating_add(1),
            Token::Missing(flag) => return usage(format!("{flag} needs a value")),
            Token::Unknown(flag) => return usage(format!("unknown option {flag}")),
            Token::Word(_) if command.is_some() || was_secret => {
                return usage(unexpected(arguments, &token, was_secret));
            }
            Token::Word(index) => command = Some(self::command(arguments, index)?),
            Token::Value {
                option,
                spelled,
                spring,
                at,
            } => {
                after_secret = option.secret;
                let origin = Origin::Flag(spelled);
                let value = text(arguments, at).ok_or(ConfigError::NotText(origin.clone()))?;
                flags.push((option.id, origin, spring, value));
            }
        }
    }
    if verbosity > 0 {
        let spelled = format!("-{}", "v".repeat(verbosity.min(3) as usize));
        let value = verbosity.min(MAX_LOG_LEVEL).to_string();
        flags.push((Id::LogLevel, Origin::Flag(spelled), false, value));
    }
    let command = command.unwrap_or(Command::Daemon);
    Ok(CommandLine::Run(command, flags))
}

fn usage<T>(problem: String) -> Result<T, ConfigError> {
    Err(ConfigError::Usage(problem))
}

/// A word too many. One right behind a secret may be its second half, for want of quotes, and is
/// not shown.
fn unexpected(arguments: &[OsString], token: &Token, was_secret: bool) -> String {
    match token {
        Token::Word(index) if !was_secret => {
            format!("unexpected argument {}", shown(arguments, *index))
        }
        _ => "unexpected argument behind a secret (does the secret need quotes?); \
              a command goes before it"
            .to_string(),
    }
}

fn command(arguments: &[OsString], index: usize) -> Result<Command, ConfigError> {
    let word = arguments.get(index).and_then(|word| word.to_str());
    let known = COMMANDS.iter().find(|(name, ..)| Some(*name) == word);
    if let Some((_, command, _)) = known {
        return Ok(*command);
    }
    let names: Vec<&str> = COMMANDS.iter().map(|(name, ..)| *name).collect();
    let word = shown(arguments, index);
    usage(format!(
        "unknown command {word}: one of {}",
        names.join(", ")
    ))
}

fn shown(arguments: &[OsString], index: usize) -> String {
    let word = arguments.get(index).map(|word| word.to_string_lossy());
    format!("`{}`", word.unwrap_or_default().escape_debug())
}

fn text(arguments: &[OsString], at: Place) -> Option<String> {
    let bytes = arguments
        .get(at.argument)?
        .as_bytes()
        .get(at.start..at.end)?;
    String::from_utf8(bytes.to_vec()).ok()
}

/// Takes a command line apart; never fails, and goes on behind what it does not know.
pub fn scan(arguments: &[OsString]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut words_only = false;
    let mut index = 0;
    while let Some(argument) = arguments.get(index) {
        let bytes = argument.as_bytes();
        if words_only || !is_flag(bytes) {
            tokens.push(Token::Word(index));
        } else if bytes == b"--" {
            words_only = true;
        } else if let Some(long) = bytes.strip_prefix(b"--") {
            index += scan_long(arguments, index, long, &mut tokens);
        } else {
            index += scan_short(arguments, index, &mut tokens);
        }
        index += 1;
    }
    tokens
}

/// A lone dash is a word, and may be a value.
fn is_flag(argument: &[u8]) -> bool {
    argument.len() > 1 && argument.starts_with(b"-")
}

/// `--name`, `--name=value`; how many arguments it takes beyond its own.
fn scan_long(arguments: &[OsString], index: usize, long: &[u8], tokens: &mut Vec<Token>) -> usize {
    let equals = long.iter().position(|&byte| byte == b'=');
    let name = String::from_utf8_lossy(long.get(..equals.unwrap_or(long.len())).unwrap_or(long));
    let spelled = format!("--{name}");
    let simple = match name.as_ref() {
        "help" => Some(Token::Help),
        "version" => Some(Token::Version),
        VERBOSE => Some(Token::Verbose),
        _ => None,
    };
    match (simple, options::by_flag(&name), equals) {
        (Some(token), _, None) => tokens.push(token),
        (None, Some((option, spring)), Some(equals)) => tokens.push(Token::Value {
            option,
            spelled,
            spring,
            at: Place {
                argument: index,
                start: "--".len() + equals + 1,
                end: "--".len() + long.len(),
            },
        }),
        (None, Some((option, spring)), None) => {
            return scan_next(arguments, index + 1, option, spelled, spring, tokens);
        }
        _ => tokens.push(Token::Unknown(format!("{}", spelled.escape_debug()))),
    }
    0
}

/// `-v`, `-vv`, `-dVALUE`, `-d=VALUE`, `-vvd VALUE`; how many arguments it takes beyond its own.
fn scan_short(arguments: &[OsString], index: usize, tokens: &mut Vec<Token>) -> usize {
    let bytes = arguments
        .get(index)
        .map_or(&b""[..], |argument| argument.as_bytes());
    for (at, &byte) in bytes.iter().enumerate().skip(1) {
        let spelled = format!("-{}", char::from(byte).escape_debug());
        match options::by_letter(char::from(byte)) {
            _ if byte == b'h' => tokens.push(Token::Help),
            _ if byte == b'V' => tokens.push(Token::Version),
            Some(option) if option.id == Id::LogLevel => tokens.push(Token::Verbose),
            Some(option) if at + 1 == bytes.len() => {
                return scan_next(arguments, index + 1, option, spelled, false, tokens);
            }
            Some(option) => {
                let equals = usize::from(bytes.get(at + 1) == Some(&b'='));
                tokens.push(Token::Value {
                    option,
                    spelled,
                    spring: false,
                    at: Place {
                        argument: index,
                        start: at + 1 + equals,
                        end: bytes.len(),
                    },
                });
                return 0;
            }
            None => {
                // The rest of the argument may be a value: it is neither shown nor read.
                tokens.push(Token::Unknown(spelled));
                return 0;
            }
        }
    }
    0
}

/// An option whose value is the argument at `next`; how many arguments that takes.
fn scan_next(
    arguments: &[OsString],
    next: usize,
    option: &'static Opt,
    spelled: String,
    spring: bool,
    tokens: &mut Vec<Token>,
) -> usize {
    match arguments.get(next) {
        Some(value) if !is_flag(value.as_bytes()) => {
            let at = Place {
                argument: next,
                start: 0,
                end: value.len(),
            };
            tokens.push(Token::Value {
                option,
                spelled,
                spring,
                at,
            });
            1
        }
        _ => {
            tokens.push(Token::Missing(spelled));
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &[&str]) -> Vec<OsString> {
        line.iter().map(OsString::from).collect()
    }

    fn run(line: &[&str]) -> (Command, Vec<(Id, String)>) {
        match parse(&args(line)).unwrap() {
            CommandLine::Run(command, flags) => {
                let flags = flags.into_iter().map(|(id, _, _, value)| (id, value));
                (command, flags.collect())
            }
            other => panic!("{other:?}"),
        }
    }

    fn error(line: &[&str]) -> String {
        parse(&args(line)).unwrap_err().to_string()
    }

    #[test]
    fn each_form_of_a_flag_is_read() {
        let docker = vec![(Id::Docker, "h:1".to_string())];
        for line in [
            &["-d", "h:1"][..],
            &["-dh:1"],
            &["-d=h:1"],
            &["--docker", "h:1"],
            &["--docker=h:1"],
        ] {
            assert_eq!(run(line), (Command::Daemon, docker.clone()), "{line:?}");
        }
        assert_eq!(
            run(&["-vvd", "h:1", "check"]),
            (
                Command::Check,
                vec![docker[0].clone(), (Id::LogLevel, "2".into())]
            )
        );
        assert_eq!(run(&["report", "-v"]).1, [(Id::LogLevel, "1".into())]);
        assert_eq!(run(&["-vvvv"]).1, [(Id::LogLevel, "2".into())]);
        assert_eq!(run(&["--verbose", "-v"]).1, [(Id::LogLevel, "2".into())]);
        assert_eq!(run(&["--", "check"]).0, Command::Check);
        assert_eq!(run(&["--secret=-x"]).1, [(Id::Secret, "-x".into())]);
        assert_eq!(
            run(&["--dm.auth.adminPassword="]).1,
            [(Id::AdminPassword, String::new())]
        );
        assert_eq!(run(&["--server.port", "9"]).1, [(Id::Listen, "9".into())]);
    }

    #[test]
    fn help_and_version_end_the_reading() {
        for line in [&["-h"][..], &["-vh"], &["check", "--help", "--nonsense"]] {
            assert!(
                matches!(parse(&args(line)), Ok(CommandLine::Help)),
                "{line:?}"
            );
        }
        for line in [&["-V"][..], &["--version"]] {
            assert!(matches!(parse(&args(line)), Ok(CommandLine::Version)));
        }
    }

    #[test]
    fn mistakes_are_named_and_secrets_are_not() {
        for (line, message) in [
            (&["-d"][..], "-d needs a value (see --help)"),
            (&["-t", "-v"], "-t needs a value (see --help)"),
            (&["--nonsense=x"], "unknown option --nonsense (see --help)"),
            (&["--verbose=2"], "unknown option --verbose (see --help)"),
            (&["-xhunter2"], "unknown option -x (see --help)"),
            (
                &["check", "more"],
                "unexpected argument `more` (see --help)",
            ),
            (
                &["-s", "my", "hunter2"],
                "unexpected argument behind a secret (does the secret need quotes?); \
                 a command goes before it (see --help)",
            ),
            (
                &["frobnicate"],
                "unknown command `frobnicate`: one of daemon, root-cert, report, check, \
                 hash-password (see --help)",
            ),
        ] {
            assert_eq!(error(line), message);
        }
    }

    #[test]
    fn every_form_of_a_secret_is_found() {
        for line in [
            &["-s", "hunter2"][..],
            &["-shunter2"],
            &["-vvshunter2"],
            &["-s=hunter2"],
            &["--secret", "hunter2"],
            &["--secret=hunter2"],
            &["--dm.agent.notifier.secret=hunter2"],
            &["--admin-password", "hunter2"],
            &["--nonsense", "--dm.auth.adminPassword=hunter2"],
        ] {
            let line = args(line);
            let ranges = super::super::raw::secret_ranges(&line);
            let [(index, start, end)] = ranges[..] else {
                panic!("{line:?}: {ranges:?}");
            };
            assert_eq!(&line[index].as_bytes()[start..end], b"hunter2", "{line:?}");
        }
    }
}
