//! The command line.
//!
//! pico-args takes the options from it. It knows neither `--docker=X` with any X, nor `-dX` and
//! `-vvd X`, and takes whatever follows an option for its value; so [`normalise`] first writes each
//! argument in one plain form. As with Python's argparse a value that begins with a dash needs the
//! form with `=` (or `-sVALUE`), so that a forgotten value does not swallow the next flag. The
//! wiping of secrets uses the same plain form, so that both agree on what is one.

use super::error::ConfigError;
use super::install;
use super::options::{self, Id, Kind, MAX_LOG_LEVEL, OPTIONS, Opt};
use super::raw::Origin;
use super::{Ask, Command, Task};
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::LazyLock;

/// The commands by name.
pub static COMMANDS: [(&str, Command, &str); 10] = [
    (
        "daemon",
        Command::Task(Task::Daemon),
        "serve the proxy and register the node (the default)",
    ),
    (
        "root-cert",
        Command::Task(Task::RootCert),
        "print the root certificate that signs the proxy's",
    ),
    (
        "report",
        Command::Task(Task::Report),
        "collect once and print the JSON that would be sent",
    ),
    (
        "check",
        Command::Task(Task::Check),
        "try all settings, Docker and the masters, and say what works",
    ),
    (
        "hash-password",
        Command::HashPassword,
        "make the bcrypt hash of the password on standard input",
    ),
    (
        "policy",
        Command::Task(Task::Policy),
        "`policy show NAME` prints a policy's rules; `policy explain USER METHOD PATH [FILE]` says \
         whether a request, with that file's JSON as its body, is allowed and by which rule, and ends with \
         status 0 or 1",
    ),
    (
        "health",
        Command::Ask(Ask::Health),
        "`health [PID]` asks the agent that runs here whether its event loops turn, Docker answers and \
         a master has its report; `health live [PID]`, of the loops alone; ends with status 0 or 1",
    ),
    (
        "reload",
        Command::Ask(Ask::Reload),
        "`reload [PID]` has the agent that runs here read its files again, as SIGHUP does, and says \
         what came of it; ends with status 0 or 1",
    ),
    (
        "install",
        Command::Install,
        "make a service of this program, with a configuration, and start it; or upgrade it",
    ),
    (
        "uninstall",
        Command::Uninstall,
        "remove what `install` has made",
    ),
];

/// What a command line asks for.
#[derive(Debug)]
pub enum CommandLine {
    /// The help text, begun with that of a command where one is named.
    Help(Option<Command>),
    /// The version.
    Version,
    /// A command, the words behind it, and the settings given: option, origin, by its Spring name,
    /// text.
    Run(Command, Vec<String>, Vec<(Id, Origin, bool, String)>),
}

/// The flags without a value, as they are written in the plain form.
const FLAG_HELP: &str = "--help";
const FLAG_VERSION: &str = "--version";
const FLAG_VERBOSE: &str = "--verbose";

/// Every option of the table, and those of `install` behind them.
pub fn every() -> impl Iterator<Item = &'static Opt> {
    OPTIONS.iter().chain(&install::OPTIONS)
}

/// What stands before each option's value in the plain form, in the order of the table.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let names = every().map(|option| format!("--{}", option.flag()));
    names.collect()
});

/// What a word begins with in the plain form, so that no word is taken for a flag.
const WORD: u8 = b'=';

/// What a command line asks for.
///
/// # Errors
/// An option or a command is not known, lacks its value, or does not fit the others.
pub fn parse(arguments: &[OsString]) -> Result<CommandLine, ConfigError> {
    let plain = normalise(arguments).plain;
    if let Some(about) = help_asked(&plain) {
        return Ok(CommandLine::Help(about));
    }
    let mut left = pico_args::Arguments::from_vec(plain);
    if left.contains(FLAG_VERSION) {
        return Ok(CommandLine::Version);
    }
    let mut verbosity: u32 = 0;
    while left.contains(FLAG_VERBOSE) {
        verbosity = verbosity.saturating_add(1);
    }
    let mut flags = Vec::new();
    for (option, name) in every().zip(NAMES.iter()) {
        let whole = |given: &OsStr| Ok::<_, Infallible>(given.as_bytes().to_vec());
        let given = left.values_from_os_str(name.as_str(), whole);
        for given in given.or_else(|error| usage(error.to_string()))? {
            flags.push(setting(option, &given)?);
        }
    }
    if verbosity > 0 {
        let spelled = format!("-{}", "v".repeat(verbosity.min(3) as usize));
        let value = verbosity.min(MAX_LOG_LEVEL).to_string();
        flags.push((Id::LogLevel, Origin::Flag(spelled), false, value));
    }
    let (command, operands) = command(left.finish())?;
    install::check(command, &flags)?;
    Ok(CommandLine::Run(command, operands, flags))
}

/// Whether help is wanted, and with which command: by `--help`, or by `help` in a command's place.
fn help_asked(plain: &[OsString]) -> Option<Option<Command>> {
    let mut words = plain
        .iter()
        .filter_map(|part| part.to_str()?.strip_prefix(char::from(WORD)));
    let first = words.next();
    let word = first == Some("help");
    let about = if word { words.next() } else { first };
    let asked = word || plain.iter().any(|part| part == FLAG_HELP);
    asked.then(|| known(about?))
}

fn usage<T>(problem: String) -> Result<T, ConfigError> {
    Err(ConfigError::Usage(problem))
}

/// What `given`, a flag as it was spelled with `=` and its value, sets.
fn setting(option: &Opt, given: &[u8]) -> Result<(Id, Origin, bool, String), ConfigError> {
    let mut parts = given.splitn(2, |&byte| byte == b'=');
    let mut part = || parts.next().unwrap_or_default().to_vec();
    let spelled = String::from_utf8_lossy(&part()).into_owned();
    let spring = spelled
        .strip_prefix("--")
        .is_some_and(|name| name != option.flag());
    let origin = Origin::Flag(spelled);
    let value = String::from_utf8(part()).map_err(|_| ConfigError::NotText(origin.clone()))?;
    Ok((option.id, origin, spring, value))
}

/// The command among what is `left` of the plain form, with the words behind it: words, and what is
/// wrong.
fn command(left: Vec<OsString>) -> Result<(Command, Vec<String>), ConfigError> {
    let mut command = None;
    let mut operands = Vec::new();
    for part in left {
        let text = part.to_string_lossy();
        let Some(word) = text.strip_prefix(char::from(WORD)) else {
            return usage(text.into_owned());
        };
        match command {
            None => command = Some(named(word)?),
            Some(Command::Task(Task::Policy) | Command::Ask(_)) => {
                operands.push(word.to_string());
            }
            Some(_) => return usage(format!("unexpected argument `{}`", word.escape_debug())),
        }
    }
    Ok((command.unwrap_or(Command::Task(Task::Daemon)), operands))
}

fn known(word: &str) -> Option<Command> {
    let entry = COMMANDS.iter().find(|(name, ..)| *name == word);
    entry.map(|(_, command, _)| *command)
}

fn named(word: &str) -> Result<Command, ConfigError> {
    if let Some(command) = known(word) {
        return Ok(command);
    }
    let names: Vec<&str> = COMMANDS.iter().map(|(name, ..)| *name).collect();
    usage(format!(
        "unknown command `{}`: one of {}",
        word.escape_debug(),
        names.join(", ")
    ))
}

/// A command line in its plain form.
#[derive(Default)]
pub struct Normalised {
    /// `--docker` and `-d=X` for `-dX`, `-d X`, …: an option, then the flag as it was spelled with
    /// its value. `=X` for the word X. A flag without a value. Else, in words, what is wrong with
    /// an argument, in its place.
    plain: Vec<OsString>,
    /// Where the arguments hold secrets: index of the argument, first byte, behind the last byte.
    pub secrets: Vec<(usize, usize, usize)>,
    /// Whether a secret was the last that was read.
    after_secret: bool,
}

/// A flag that takes a value, as it was spelled.
type Flag = (&'static Opt, String);

/// Never fails, and goes on behind what it does not know.
pub fn normalise(arguments: &[OsString]) -> Normalised {
    let mut normalised = Normalised::default();
    let mut words_only = false;
    let mut index = 0;
    while let Some(argument) = arguments.get(index) {
        let bytes = argument.as_bytes();
        let mut waiting = None;
        if words_only || !is_flag(bytes) {
            normalised.word(bytes);
        } else if bytes == b"--" {
            words_only = true;
        } else if let Some(long) = bytes.strip_prefix(b"--") {
            waiting = normalised.long(index, long);
        } else {
            waiting = normalised.short(index, bytes);
        }
        index += 1;
        let Some((option, spelled)) = waiting else {
            continue;
        };
        match arguments.get(index).map(|next| next.as_bytes()) {
            Some(value) if !is_flag(value) => {
                normalised.option((option, spelled), (index, 0), value);
                index += 1;
            }
            _ => normalised.push(format!("{spelled} needs a value")),
        }
    }
    normalised
}

/// A lone dash is a word, and may be a value.
fn is_flag(argument: &[u8]) -> bool {
    argument.len() > 1 && argument.starts_with(b"-")
}

impl Normalised {
    fn push(&mut self, part: impl Into<OsString>) {
        self.plain.push(part.into());
        self.after_secret = false;
    }

    /// A word right behind a secret may be its second half, for want of quotes, and is not shown.
    fn word(&mut self, word: &[u8]) {
        if self.after_secret {
            self.push(
                "unexpected argument behind a secret (does the secret need quotes?); \
                 a command goes before it",
            );
        } else {
            self.push(OsString::from_vec([&[WORD], word].concat()));
        }
    }

    /// `value` is the end of an argument: `(index, first byte)`.
    fn option(&mut self, (option, spelled): Flag, (index, start): (usize, usize), value: &[u8]) {
        self.push(format!("--{}", option.flag()));
        self.push(OsString::from_vec(
            [spelled.as_bytes(), b"=", value].concat(),
        ));
        if option.secret {
            self.secrets.push((index, start, start + value.len()));
            self.after_secret = true;
        }
    }

    /// `--name`, `--name=value`; gives the flag that waits for the next argument.
    fn long(&mut self, index: usize, long: &[u8]) -> Option<Flag> {
        let mut parts = long.splitn(2, |&byte| byte == b'=');
        let name = String::from_utf8_lossy(parts.next().unwrap_or_default());
        let value = parts.next();
        let spelled = format!("--{name}");
        match (options::by_flag(&name), value) {
            (Some((option, _)), Some(_)) if option.kind == Kind::Flag => {
                self.push(format!("{spelled} takes no value"));
            }
            (Some((option, _)), None) if option.kind == Kind::Flag => {
                self.option((option, spelled), (index, 0), b"");
            }
            (Some((option, _)), Some(value)) => {
                let start = "--".len() + long.len() - value.len();
                self.option((option, spelled), (index, start), value);
            }
            (Some((option, _)), None) => return Some((option, spelled)),
            (None, None) if [FLAG_HELP, FLAG_VERSION, FLAG_VERBOSE].contains(&spelled.as_str()) => {
                self.push(spelled);
            }
            // Without its value, which may be a secret.
            _ => self.push(format!("unknown option {}", spelled.escape_debug())),
        }
        None
    }

    /// `-v`, `-vv`, `-dVALUE`, `-d=VALUE`, `-vvd VALUE`; gives the flag that waits for the next
    /// argument.
    fn short(&mut self, index: usize, bundle: &[u8]) -> Option<Flag> {
        let mut rest = bundle.strip_prefix(b"-").unwrap_or_default();
        while let Some((&byte, behind)) = rest.split_first() {
            rest = behind;
            let spelled = format!("-{}", char::from(byte).escape_debug());
            match (byte, options::by_letter(char::from(byte))) {
                (b'h', _) => self.push(FLAG_HELP),
                (b'V', _) => self.push(FLAG_VERSION),
                (_, Some(option)) if option.is_counted() => self.push(FLAG_VERBOSE),
                (_, Some(option)) if rest.is_empty() => return Some((option, spelled)),
                (_, Some(option)) => {
                    let value = rest.strip_prefix(b"=").unwrap_or(rest);
                    let start = bundle.len() - value.len();
                    self.option((option, spelled), (index, start), value);
                    return None;
                }
                // The rest of the argument may be a value: it is neither shown nor read.
                (_, None) => {
                    self.push(format!("unknown option {spelled}"));
                    return None;
                }
            }
        }
        None
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
            CommandLine::Run(command, _, flags) => {
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
            assert_eq!(
                run(line),
                (Command::Task(Task::Daemon), docker.clone()),
                "{line:?}"
            );
        }
        assert_eq!(
            run(&["-vvd", "h:1", "check"]),
            (
                Command::Task(Task::Check),
                vec![docker[0].clone(), (Id::LogLevel, "2".into())]
            )
        );
        assert_eq!(run(&["report", "-v"]).1, [(Id::LogLevel, "1".into())]);
        assert_eq!(run(&["-vvvv"]).1, [(Id::LogLevel, "2".into())]);
        assert_eq!(run(&["--verbose", "-v"]).1, [(Id::LogLevel, "2".into())]);
        assert_eq!(run(&["--", "check"]).0, Command::Task(Task::Check));
        assert_eq!(run(&["--secret=-x"]).1, [(Id::Secret, "-x".into())]);
        assert_eq!(
            run(&["--dm.auth.adminPassword="]).1,
            [(Id::AdminPassword, String::new())]
        );
        assert_eq!(run(&["--server.port", "9"]).1, [(Id::Listen, "9".into())]);
    }

    #[test]
    fn help_and_version_end_the_reading() {
        let install = Some(Command::Install);
        for (line, expected) in [
            (&["-h"][..], None),
            (&["-vh"], None),
            (&["--nonsense", "--help"], None),
            (&["frobnicate", "--help"], None),
            (&["help"], None),
            (&["help", "frobnicate"], None),
            (&["install", "--help", "--nonsense"], install),
            (&["-h", "--docker", "check", "install"], install),
            (&["help", "install"], install),
            (&["-v", "help", "install", "check"], install),
        ] {
            let parsed = parse(&args(line));
            let Ok(CommandLine::Help(about)) = parsed else {
                panic!("{line:?}: {parsed:?}");
            };
            assert_eq!(about, expected, "{line:?}");
        }
        assert!(error(&["check", "help"]).starts_with("unexpected argument `help`"));
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
                 hash-password, policy, health, reload, install, uninstall (see --help)",
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
