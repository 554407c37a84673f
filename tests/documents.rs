//! The manual page and the completions say all that the program takes, and the shells take them.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use haven_agent::config::{COMMANDS, Kind, every};
use std::fs;
use std::process::{Command, Output, Stdio};
use support::{TempDir, skipped};

#[path = "../scripts/documents/completions.rs"]
mod completions;
#[path = "../scripts/documents/man.rs"]
mod man;

const DATE: &str = "January 31, 2026";

/// A file that is gone with the test.
struct Scratch {
    path: String,
    _directory: TempDir,
}

impl Scratch {
    fn new(text: &str) -> Scratch {
        let directory = TempDir::new("documents");
        let path = directory.join("document");
        fs::write(&path, text).unwrap();
        Scratch {
            path: path.to_str().unwrap().to_string(),
            _directory: directory,
        }
    }

    fn path(&self) -> &str {
        &self.path
    }
}

/// What a program answers, or none, said visibly, where it is not installed.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    match command.output() {
        Ok(output) => Some(output),
        Err(_) => {
            skipped(&format!("no {program}"));
            None
        }
    }
}

/// The words that a program prints, which must not complain.
fn words(program: &str, arguments: &[&str]) -> Option<Vec<String>> {
    let output = run(program, arguments)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stderr.is_empty(),
        "{program}: {stderr}"
    );
    let stdout = String::from_utf8(output.stdout).unwrap();
    Some(stdout.split_whitespace().map(String::from).collect())
}

fn assert_clean(program: &str, arguments: &[&str]) {
    if let Some(output) = run(program, arguments) {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(
            output.status.success() && said.is_empty(),
            "{program}: {said}"
        );
    }
}

/// Each long flag and each command.
fn everything() -> Vec<String> {
    let flags = every().map(|option| format!("--{}", option.flag()));
    let commands = COMMANDS.iter().map(|(name, ..)| name.to_string());
    flags.chain(commands).collect()
}

#[test]
fn the_manual_page_is_well_formed() {
    let page = man::page(DATE);
    assert!(!page.contains('@'), "a place that was not filled in");
    let page = Scratch::new(&page);
    assert_clean("mandoc", &["-T", "lint", "-W", "warning", page.path()]);
    assert_clean("groff", &["-ww", "-z", "-mdoc", "-T", "utf8", page.path()]);
}

#[test]
fn the_manual_page_has_every_option_and_command() {
    let page = Scratch::new(&man::page(DATE));
    // As it is read, without the overstriking of bold and underlined text.
    let Some(output) = run("mandoc", &["-T", "utf8", "-O", "width=1000", page.path()]) else {
        return;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let mut read = String::new();
    for character in text.chars() {
        match character {
            '\u{8}' => drop(read.pop()),
            other => read.push(other),
        }
    }
    for name in everything() {
        let entry = |line: &str| line.split([' ', ',']).any(|word| word == name);
        assert!(read.lines().any(entry), "{name}");
    }
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let running = plain(&read);
    for option in every() {
        let (_, help) = option.help.split_once(' ').unwrap();
        let help = plain(help).replace('`', "");
        assert!(running.contains(&help), "{}", option.key);
        assert!(
            running.contains(option.spring.unwrap_or_default()),
            "{}",
            option.key
        );
    }
    for section in [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "COMMANDS",
        "OPTIONS",
        "ENVIRONMENT",
        "FILES",
        "SIGNALS",
        "EXIT STATUS",
        "EXAMPLES",
        "SECURITY",
        "SEE ALSO",
    ] {
        assert!(read.lines().any(|line| line == section), "{section}");
    }
}

/// What bash offers for the last of `words`.
fn bash(words_before: &[&str]) -> Option<Vec<String>> {
    let script = Scratch::new(&format!(
        "{}\nCOMP_WORDS=(haven-agent \"$@\")\nCOMP_CWORD=$#\n_haven_agent\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        completions::bash()
    ));
    words("bash", &[&["--norc", script.path()], words_before].concat())
}

#[test]
fn bash_offers_options_commands_and_values() {
    let Some(flags) = bash(&["-"]) else { return };
    let Some(commands) = bash(&[""]) else { return };
    let offered = [flags, commands].concat();
    for name in everything() {
        assert!(offered.contains(&name), "{name}");
    }
    for (typed, offered) in [
        (&["--client-a"][..], &["--client-auth"][..]),
        (&["--sandbox", ""], &["on", "off"]),
        (&["--sandbox", "="], &["on", "off"]),
        (&["--sandbox", "=", "of"], &["off"]),
        (&["-m", ""], &[]),
        (&["policy", ""], &["show", "explain"]),
        (&["policy", "show", ""], &[]),
        (&["policy", "--sandb"], &["--sandbox"]),
        (&["health", ""], &["live"]),
        (&["reload", ""], &[]),
        (&["-v", "hash"], &["hash-password"]),
        (&["check", "d"], &[]),
        (&["-f", "/etc/host"], &["/etc/hostname", "/etc/hosts"]),
    ] {
        let mut given = bash(typed).unwrap();
        if typed[0] == "-f" {
            given.retain(|path| offered.contains(&path.as_str()));
            given.sort();
        }
        assert_eq!(given, offered, "{typed:?}");
    }
    let script = Scratch::new(&completions::bash());
    assert_clean("shellcheck", &["--shell=bash", script.path()]);
}

#[test]
fn zsh_reads_its_specifications() {
    let script = Scratch::new(&completions::zsh());
    assert_clean("zsh", &["-f", "-n", script.path()]);
    let print = "_arguments() { print -rl -- \"$@\" }; source \"$1\"";
    let Some(output) = run("zsh", &["-f", "-c", print, "zsh", script.path()]) else {
        return;
    };
    let specs = String::from_utf8(output.stdout).unwrap();
    for option in every() {
        let joint = if option.kind == Kind::Flag { "" } else { "=" };
        let spec = format!("--{}{joint}[", option.flag());
        assert!(specs.lines().any(|line| line.starts_with(&spec)), "{spec}");
    }
    for (command, ..) in COMMANDS {
        assert!(specs.contains(&format!("{command}\\:\"")), "{command}");
    }
    assert!(specs.contains(":on|off:(on off)\n"));
}

/// What fish offers for a line.
fn fish(line: &str) -> Option<Vec<String>> {
    let script = Scratch::new(&completions::fish());
    let ask = "source $argv[1]; complete --do-complete $argv[2]";
    let output = run("fish", &["--no-config", "-c", ask, script.path(), line])?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let first = stdout.lines().filter_map(|line| line.split('\t').next());
    Some(first.map(String::from).collect())
}

#[test]
fn fish_offers_options_commands_and_values() {
    let Some(flags) = fish("haven-agent --") else {
        return;
    };
    let offered = [flags, fish("haven-agent ").unwrap()].concat();
    for name in everything() {
        assert!(offered.contains(&name), "{name}");
    }
    assert_eq!(fish("haven-agent --sandbox ").unwrap(), ["off", "on"]);
    assert_eq!(fish("haven-agent policy ").unwrap(), ["explain", "show"]);
    assert_eq!(fish("haven-agent health ").unwrap(), ["live"]);
    assert!(fish("haven-agent reload ").unwrap().is_empty());
    assert!(fish("haven-agent check d").unwrap().is_empty());
}
