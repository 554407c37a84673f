//! The help text and the README's list, made from the table of options.

use super::Command;
use super::arguments::COMMANDS;
use super::install;
use super::options::{GROUPS, Group, Kind, OPTIONS, Opt};
use std::fmt::Write;

/// How wide the help text is.
const WIDTH: usize = 80;
/// Where its explanations begin, as argparse has it.
const COLUMN: usize = 24;

const HEAD: &str = "\
usage: haven-agent [-h] [-d DOCKER] [-m MASTER] [-s SECRET] [-t TIMEOUT] [-v]
                   [-f CONFIG] [--OPTION VALUE ...] [COMMAND]

Haven node agent.
";

const TAIL: &str = "
Each --some-option is also read from the environment, as HAVEN_AGENT_SOME_OPTION,
and from a configuration file, as some_option. The command line overrides the
environment, and that the files. Names in parentheses are those of the Java
agent; they serve as --name=value, as variables with _ for . in any case, and in
the files.

Example:
  haven-agent -d 172.31.0.11:2375 -m 172.31.0.3:8763 -t 2 -vv
Sample config:
  [main]
  docker = 172.31.0.12:2375
  master = 172.31.0.3:8762
  timeout = 10
  log_level = 2
By default find config in (what an earlier one says wins):
        $CWD/haven-agent.ini
        $XDG_CONFIG_HOME/haven-agent.ini or $HOME/.config/haven-agent.ini
        /etc/haven-agent.ini
and for dm-agent.ini, the old name, in the same places.
";

/// The help text; what is `about` one command comes first.
pub fn help(about: Option<Command>) -> String {
    let mut text = String::new();
    for (name, command, what) in &COMMANDS {
        if about == Some(*command) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "usage: haven-agent {name} [--OPTION VALUE ...]\n");
            item(&mut text, name, what);
            text.push('\n');
        }
    }
    text.push_str(HEAD);
    text.push_str("\ncommands:\n");
    for (name, _, what) in &COMMANDS {
        item(&mut text, name, what);
    }
    for (group, title) in GROUPS {
        let _ = write!(text, "\n{title}:\n");
        if group == Group::Agent {
            item(&mut text, "-h, --help", "shows this help message");
            item(&mut text, "-V, --version", "shows the version");
        }
        let all = OPTIONS.iter().chain(&install::OPTIONS);
        for option in all.filter(|option| option.group == group) {
            item(&mut text, &flags(option), &explanation(option));
            if option.is_counted() {
                item(
                    &mut text,
                    "-v, --verbose",
                    "logging level, -v is INFO, -vv is DEBUG",
                );
            }
        }
    }
    text.push_str(TAIL);
    text
}

/// `-d DOCKER, --docker DOCKER`.
fn flags(option: &Opt) -> String {
    let (flag, metavar) = (option.flag(), option.metavar);
    if option.kind == Kind::Flag {
        return format!("--{flag}");
    }
    match option.short.filter(|_| !option.is_counted()) {
        Some(short) => format!("-{short} {metavar}, --{flag} {metavar}"),
        None => format!("--{flag} {metavar}"),
    }
}

fn explanation(option: &Opt) -> String {
    let mut text = option.help.to_string();
    if !option.default.is_empty() {
        let _ = write!(text, " [{}]", option.default);
    }
    if let Some(spring) = option.spring {
        let _ = write!(text, " ({spring})");
    }
    text
}

/// An entry as argparse lays it out.
fn item(text: &mut String, head: &str, explanation: &str) {
    let head = format!("  {head}");
    let mut line = if head.chars().count() + 2 <= COLUMN {
        format!("{head:COLUMN$}")
    } else {
        text.push_str(&head);
        text.push('\n');
        " ".repeat(COLUMN)
    };
    let mut begun = false;
    for word in explanation.split_whitespace() {
        if begun && line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = " ".repeat(COLUMN);
            begun = false;
        }
        if begun {
            line.push(' ');
        }
        line.push_str(word);
        begun = true;
    }
    text.push_str(&line);
    text.push('\n');
}

/// The README's list of options, between its two markers.
#[cfg(test)]
pub fn readme() -> String {
    use super::options::Id;

    let mut text = String::from(
        "| INI key | flag | environment | Java agent's name | default | meaning |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for option in &OPTIONS {
        let ini = match option.id {
            Id::Config => "–".to_string(),
            _ => format!("`{}`", option.key),
        };
        let mut flag = format!("`--{}`", option.flag());
        match (option.id, option.short) {
            (Id::LogLevel, _) => flag.push_str(", `-v`, `-vv`"),
            (_, Some(short)) => flag.insert_str(0, &format!("`-{short}`, ")),
            _ => {}
        }
        let code = |name: &str| match name {
            "" => String::new(),
            _ => format!("`{name}`"),
        };
        let _ = writeln!(
            text,
            "| {ini} | {flag} | `{}` | {} | {} | {} |",
            option.variable(),
            code(option.spring.unwrap_or_default()),
            code(option.default),
            option.help.replace('|', "\\|"),
        );
    }
    text
}
