//! The manual page: `haven-agent.8`, filled in from the table of options. Its language is mdoc(7).

use haven_agent::config::{COMMANDS, GROUPS, Group, Kind, Opt, every};
use std::fmt::Write;

const TEMPLATE: &str = include_str!("haven-agent.8");
/// The longest line of text, without what escapes add.
const WIDTH: usize = 72;

/// The page. `date` is a date as `January 31, 2026`.
pub fn page(date: &str) -> String {
    TEMPLATE
        .replace("@DATE@", date)
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@COMMANDS@\n", &commands())
        .replace("@OPTIONS@\n", &options())
}

fn commands() -> String {
    let mut text = String::new();
    for (name, _, what) in COMMANDS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, ".It Cm {name}\n{}", running(what));
    }
    text
}

fn options() -> String {
    let mut text = String::new();
    for (group, title) in GROUPS {
        let _ = writeln!(text, ".Ss {}\n.Bl -tag -width Ds", capitalised(title));
        if group == Group::Agent {
            text.push_str(".It Fl h , Fl \\-help\nShows the options.\n");
            text.push_str(".It Fl V , Fl \\-version\nShows the version.\n");
        }
        for option in every().filter(|option| option.group == group) {
            let _ = writeln!(text, ".It {}\n{}", flags(option), running(&meaning(option)));
        }
        text.push_str(".El\n");
    }
    text
}

/// `-d DOCKER, --docker DOCKER`; `-v` is counted.
fn flags(option: &Opt) -> String {
    if option.kind == Kind::Flag {
        return format!("Fl \\-{}", option.flag());
    }
    let long = format!("Fl \\-{} Ar {}", option.flag(), option.metavar);
    match option.short {
        Some(short) if option.is_counted() => format!("Fl {short} , Fl {short}{short} , {long}"),
        Some(short) => format!("Fl {short} Ar {} , {long}", option.metavar),
        None => long,
    }
}

fn meaning(option: &Opt) -> String {
    let mut text = capitalised(option.help);
    if !option.default.is_empty() {
        let _ = write!(text, " [{}]", option.default);
    }
    if let Some(spring) = option.spring {
        let _ = write!(text, " ({spring})");
    }
    text
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

/// Running text: lines of words, a sentence each on its own, `code` set apart.
fn running(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let ends_sentence = |line: &String| line.ends_with('.') && !line.ends_with("...");
        let full = |line: &String| line.len() + 1 + word.len() > WIDTH;
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if !full(line) && !ends_sentence(line) => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    let mut quoting = false;
    let lines: Vec<String> = lines
        .iter()
        .map(|line| escaped(line, &mut quoting))
        .collect();
    lines.join("\n")
}

/// A line that roff(7) prints as it is. `quoting`: within backticks.
fn escaped(line: &str, quoting: &mut bool) -> String {
    let mut text = String::new();
    // A dot or an apostrophe would make a request of the line.
    if line.starts_with(['.', '\'']) {
        text.push_str("\\&");
    }
    for character in line.chars() {
        match character {
            '`' => {
                text.push_str(if *quoting { "\\fR" } else { "\\fB" });
                *quoting = !*quoting;
            }
            '\\' => text.push_str("\\e"),
            '-' => text.push_str("\\-"),
            '\'' => text.push_str("\\(aq"),
            '^' => text.push_str("\\(ha"),
            '~' => text.push_str("\\(ti"),
            ascii if ascii.is_ascii() => text.push(ascii),
            other => {
                let _ = write!(text, "\\[u{:04X}]", u32::from(other));
            }
        }
    }
    text
}
