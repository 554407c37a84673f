//! Completions for bash, zsh and fish.

use haven_agent::config::{COMMANDS, Kind, Opt, every};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What a shell can offer for an option's value.
enum Values {
    /// The path of a file.
    Files,
    /// One of these words.
    Words(Vec<&'static str>),
    /// Nothing: a text of the user's own.
    Free,
    /// It has no value.
    None,
}

fn values(option: &Opt) -> Values {
    match option.kind {
        Kind::Flag => Values::None,
        Kind::File => Values::Files,
        _ if option.metavar == "DIRECTORY" => Values::Files,
        _ if option.metavar.contains('|') => Values::Words(option.metavar.split('|').collect()),
        Kind::Text | Kind::Number { .. } | Kind::Switch => Values::Free,
    }
}

/// The flags of an option: `-d`, `--docker`.
fn flags(option: &Opt) -> Vec<String> {
    let short = option.short.filter(|_| !option.is_counted());
    let short = short.map(|short| format!("-{short}"));
    let long = format!("--{}", option.flag());
    short.into_iter().chain([long]).collect()
}

/// The flags without a value, and what they do.
const SWITCHES: [(char, &str, &str); 3] = [
    ('h', "help", "show the options"),
    ('V', "version", "show the version"),
    ('v', "verbose", "log more; -vv still more"),
];

/// An option's help up to its first semicolon.
fn short_help(help: &str) -> &str {
    help.split(';').next().unwrap_or(help).trim()
}

/// The words that may follow a command, of its help: `policy show NAME` makes show, `reload [PID]` none.
fn operands(command: &str, help: &'static str) -> Vec<&'static str> {
    let code = help.split('`').skip(1).step_by(2);
    let behind = code.filter_map(|code| code.strip_prefix(command)?.strip_prefix(' '));
    let first = behind.filter_map(|words| words.split(' ').next());
    first
        .filter(|word| word.starts_with(char::is_lowercase))
        .collect()
}

/// The commands with words of their own behind them.
fn commands_with_operands() -> impl Iterator<Item = (&'static str, String)> {
    let commands = COMMANDS.iter();
    let commands = commands.map(|(name, _, help)| (*name, operands(name, help).join(" ")));
    commands.filter(|(_, operands)| !operands.is_empty())
}

fn command_names(separator: &str) -> String {
    COMMANDS.map(|(name, ..)| name).join(separator)
}

pub fn bash() -> String {
    // What is offered, and behind which flags.
    let mut offers = BTreeMap::<String, Vec<String>>::new();
    for option in every() {
        let offer = match values(option) {
            Values::Files => "_haven_agent_offer_files".to_string(),
            Values::Words(words) => format!("_haven_agent_offer -W '{}'", words.join(" ")),
            Values::Free => ":".to_string(),
            Values::None => continue,
        };
        offers.entry(offer).or_default().extend(flags(option));
    }
    let mut cases = String::new();
    for (offer, flags) in offers {
        // Writing to a string cannot fail.
        let _ = writeln!(cases, "        {}) {offer}; return ;;", flags.join(" | "));
    }
    let mut operands = String::new();
    for (command, words) in commands_with_operands() {
        let _ = writeln!(
            operands,
            "        {command}) _haven_agent_offer -W '{words}'; return ;;"
        );
    }
    let mut all: Vec<String> = every().flat_map(flags).collect();
    for (short, long, _) in SWITCHES {
        all.extend([format!("-{short}"), format!("--{long}")]);
    }
    format!(
        "# bash completion for haven-agent\n\
         _haven_agent_offer() {{ mapfile -t COMPREPLY < <(compgen \"$@\" -- \"$current\"); }}\n\
         _haven_agent_offer_files() {{ compopt -o filenames 2>/dev/null; _haven_agent_offer -f; }}\n\
         \n\
         _haven_agent() {{\n    \
             local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} word\n    \
             COMPREPLY=()\n    \
             # Readline takes --option=value for three words.\n    \
             if [ \"$current\" = = ]; then\n        \
                 current=\n    \
             elif [ \"$before\" = = ]; then\n        \
                 before=${{COMP_WORDS[COMP_CWORD - 2]}}\n    \
             fi\n    \
             case $before in\n{cases}    \
             esac\n    \
             if [[ $current == -* ]]; then\n        \
                 _haven_agent_offer -W '{}'\n        \
                 return\n    \
             fi\n    \
             case $before in\n{operands}    \
             esac\n    \
             # One command is enough.\n    \
             for word in \"${{COMP_WORDS[@]:1:COMP_CWORD - 1}}\"; do\n        \
                 case $word in {}) return ;; esac\n    \
             done\n    \
             _haven_agent_offer -W '{}'\n\
         }}\n\
         \n\
         complete -F _haven_agent haven-agent\n",
        all.join(" "),
        command_names(" | "),
        command_names(" "),
    )
}

pub fn zsh() -> String {
    let mut specs = String::new();
    let mut spec = |text: String| {
        let _ = writeln!(specs, "    {} \\", quoted(&text));
    };
    for (short, long, help) in SWITCHES {
        let times = if short == 'v' { "*" } else { "" };
        spec(format!("{times}-{short}[{help}]"));
        spec(format!("{times}--{long}[{help}]"));
    }
    for option in every() {
        let help = plain(short_help(option.help));
        let action = match values(option) {
            Values::Files => "_files".to_string(),
            Values::Words(words) => format!("({})", words.join(" ")),
            Values::Free => " ".to_string(),
            Values::None => {
                spec(format!("--{}[{help}]", option.flag()));
                continue;
            }
        };
        let metavar = plain(option.metavar);
        for flag in flags(option) {
            // What may stand between flag and value: nothing, or an equals sign.
            let joint = if flag.starts_with("--") { '=' } else { '+' };
            spec(format!("{flag}{joint}[{help}]:{metavar}:{action}"));
        }
    }
    let commands =
        COMMANDS.map(|(name, _, help)| format!("{name}\\:\"{}\"", plain(short_help(help))));
    spec(format!("1:command:(({}))", commands.join(" ")));
    let mut operands = String::new();
    for (command, words) in commands_with_operands() {
        let _ = writeln!(operands, "        {command}) compadd -- {words} ;;");
    }
    format!(
        "#compdef haven-agent\n\
         \n\
         _haven-agent_operands() {{\n    \
             case ${{words[(r)({})]}} in\n{operands}    \
             esac\n\
         }}\n\
         \n\
         _arguments -s \\\n{specs}    \
         '2:operand:_haven-agent_operands'\n",
        command_names("|"),
    )
}

/// Text within a specification of zsh's `_arguments`.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for character in text.chars() {
        match character {
            // It ends what it stands in.
            '[' | ']' | ':' | '\\' => plain.extend(['\\', character]),
            // Means something within "", as which commands are described.
            '"' | '`' | '$' => plain.push('\''),
            other => plain.push(other),
        }
    }
    plain
}

pub fn fish() -> String {
    let mut text = String::from("# fish completion for haven-agent\ncomplete -c haven-agent -f\n");
    for (name, _, help) in COMMANDS {
        let help = quoted(short_help(help));
        let _ = writeln!(
            text,
            "complete -c haven-agent -n 'not __fish_seen_subcommand_from {}' -a {name} -d {help}",
            command_names(" ")
        );
    }
    for (command, words) in commands_with_operands() {
        let _ = writeln!(
            text,
            "complete -c haven-agent -n '__fish_seen_subcommand_from {command}; \
             and not __fish_seen_subcommand_from {words}' -a '{words}'"
        );
    }
    for (short, long, help) in SWITCHES {
        let help = quoted(help);
        let _ = writeln!(
            text,
            "complete -c haven-agent -s {short} -l {long} -d {help}"
        );
    }
    for option in every() {
        let short = option.short.filter(|_| !option.is_counted());
        let short = short
            .map(|short| format!("-s {short} "))
            .unwrap_or_default();
        let offer = match values(option) {
            Values::Files => "-r -F".to_string(),
            Values::Words(words) => format!("-x -a '{}'", words.join(" ")),
            Values::Free => "-x".to_string(),
            Values::None => String::new(),
        };
        let (flag, help) = (option.flag(), quoted(short_help(option.help)));
        let _ = writeln!(
            text,
            "complete -c haven-agent {short}-l {flag} {offer} -d {help}"
        );
    }
    text
}

/// A word for zsh and fish, in single quotes.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
