//! The Python agent that was there before: its settings are carried over, and once the new agent runs it is stopped
//! and removed. A file of its settings is removed only if the configuration says that it has them.

use super::configuration::refused;
use super::tree::Tree;
use super::{CONFIG, Error, NAME, PROGRAM, failed, step};
use crate::config::{self, Draft, Flags, Id, in_name};
use std::ffi::OsString;

/// What its script is called on nodes, in its own repository, and in its manual.
const NAMES: [&str; 3] = ["node-agent", "dm-agent", NAME];
/// Its configurations, besides the one that has our name, which is ours as it is.
const CONFIGS: [&str; 2] = ["/etc/node-agent.ini", "/etc/dm-agent.ini"];
/// Where it copied itself to.
const PROGRAMS: &str = "/usr/local/bin/";

/// A Python agent that is a service of systemd here.
pub struct Agent {
    name: &'static str,
    /// Its unit's file.
    unit: String,
    /// Its script.
    script: String,
    /// What its command line says, until it is carried over.
    settings: Flags,
    /// Whether that is more than to read the configuration that stays.
    has_settings: bool,
}

impl Agent {
    /// Whether it is the service that ours is to be, and has to make room for it.
    pub fn is_in_the_way(&self) -> bool {
        self.name == NAME
    }

    /// Refuses to lose what the configuration that is there does not have.
    ///
    /// # Errors
    /// There is something.
    pub fn check(&self, tree: &Tree) -> Result<(), Error> {
        if !self.has_settings || config::is_taken(&tree.read_text(CONFIG)?, &self.unit) {
            return Ok(());
        }
        failed(format!(
            "{}: its options are not in {CONFIG}, which stays; nothing was done: move them there",
            self.unit
        ))
    }

    /// Stops it, and removes what no setting is lost with.
    ///
    /// # Errors
    /// It cannot be stopped, or a file not be removed.
    pub fn remove(&self, tree: &Tree) -> Result<(), Error> {
        if tree.has_command("systemctl") {
            let service = format!("{}.service", self.name);
            tree.act("systemctl", &["disable", "--now", &service])?;
        }
        tree.remove(&format!(
            "/etc/systemd/system/multi-user.target.wants/{}.service",
            self.name
        ))?;
        if self.has_settings {
            remove_taken(tree, &self.unit)?;
        } else {
            tree.remove(&self.unit)?;
        }
        let name = self.script.strip_prefix(PROGRAMS);
        if name.is_some_and(|name| !name.contains('/')) {
            return tree.remove(&self.script);
        }
        if tree.has(&self.script) {
            step(format_args!("left: {}", self.script));
        }
        Ok(())
    }
}

/// Those that are there.
///
/// # Errors
/// What one's command line says cannot be understood.
pub fn find(tree: &Tree) -> Result<Vec<Agent>, Error> {
    let mut agents: Vec<Agent> = Vec::new();
    for name in NAMES {
        let unit = format!("/etc/systemd/system/{name}.service");
        if !tree.is_foreign(&unit) {
            continue;
        }
        for (number, line) in (1..).zip(tree.read_text(&unit)?.lines()) {
            let Some((script, behind)) = script(line, name) else {
                continue;
            };
            let settings = settings(&format!("{unit}:{number}"), behind)?;
            let is_more = |(id, _, _, value): &_| *id != Id::Config || value != CONFIG;
            agents.push(Agent {
                has_settings: settings.iter().any(is_more),
                unit: unit.clone(),
                name,
                script,
                settings,
            });
        }
        if name != NAME && agents.last().is_none_or(|agent| agent.name != name) {
            step(format_args!(
                "left: {unit}, whose ExecStart= does not name {name}.py"
            ));
        }
    }
    Ok(agents)
}

/// The script of the agent called `name` in a unit's line, and what is behind it.
fn script<'a>(line: &'a str, name: &str) -> Option<(String, &'a str)> {
    let (key, command) = line.split_once('=')?;
    if key.trim() != "ExecStart" {
        return None;
    }
    let known = [
        format!("{PROGRAMS}{name}.py"),
        format!("{PROGRAMS}{name}"),
        format!("/{name}.py"),
    ];
    known.into_iter().find_map(|script| {
        let (before, behind) = command.split_once(script.as_str())?;
        let is_whole = script != PROGRAM && !behind.starts_with(in_name);
        // The word that ends with it, but for what systemd may have before that (`-`).
        let before = before.rsplit([' ', '"', '\'']).next()?;
        let before = before.trim_start_matches(|character| character != '/');
        is_whole.then(|| (format!("{before}{script}"), behind))
    })
}

/// What the words behind a script say, which stand at `at` in a unit. Of what systemd makes of words (systemd.service(5))
/// quotes around whole ones are known.
fn settings(at: &str, behind: &str) -> Result<Flags, Error> {
    let plain = |word: &str| {
        let quoted = |quote| word.strip_prefix(quote)?.strip_suffix(quote);
        let word = quoted('"').or_else(|| quoted('\'')).unwrap_or(word);
        let odd = word.contains(['\\', '$', '%', '"', '\'']);
        (!odd).then(|| OsString::from(word))
    };
    // One that ended with the script.
    let behind = behind.trim_start_matches(['"', '\'']);
    let words = behind.split(' ').filter(|word| !word.is_empty());
    let Some(words) = words.map(plain).collect() else {
        return Err(Error::of_settings(format!(
            "{at}: a quote, \\, $ or % inside an option: move it into a configuration; nothing was done"
        )));
    };
    let said = config::old_words(at, words);
    said.map_err(|error| Error::of_settings(format!("{at}: {}", refused(error))))
}

/// Adds what they are told and what their configurations say to `draft`.
///
/// # Errors
/// A configuration cannot be read, or not be understood.
pub fn carry(tree: &Tree, agents: &mut [Agent], draft: &mut Draft) -> Result<(), Error> {
    for agent in agents {
        if agent.has_settings {
            carried(draft, &agent.unit);
        }
        let settings = std::mem::take(&mut agent.settings);
        draft.add(settings).map_err(refused)?;
    }
    // One that is named is read in the place of the usual ones.
    let named = draft.get(Id::Config).map(str::to_owned);
    for path in CONFIGS {
        let path = named.as_deref().unwrap_or(path);
        if let Some(text) = tree.read(path)? {
            draft.add_ini(path, &text, true).map_err(refused)?;
            carried(draft, path);
        }
        if named.is_some() {
            break;
        }
    }
    Ok(())
}

fn carried(draft: &mut Draft, path: &str) {
    draft.take(path);
    step(format_args!(
        "settings: those of {path} are carried over to {CONFIG}"
    ));
}

/// Removes its configurations.
///
/// # Errors
/// One is there and stays there.
pub fn remove_configs(tree: &Tree) -> Result<(), Error> {
    CONFIGS.iter().try_for_each(|path| remove_taken(tree, path))
}

/// Removes a file of settings, if the configuration has them.
fn remove_taken(tree: &Tree, path: &str) -> Result<(), Error> {
    if config::is_taken(&tree.read_text(CONFIG)?, path) {
        return tree.remove(path);
    }
    if tree.has(path) {
        step(format_args!(
            "left: {path}, whose settings are not in {CONFIG}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_program_is_told_from_the_interpreter() {
        for (line, name, expected) in [
            (
                "ExecStart=/usr/bin/python3 /usr/local/bin/node-agent.py daemon -f /x.ini",
                "node-agent",
                ("/usr/local/bin/node-agent.py", " daemon -f /x.ini"),
            ),
            (
                " ExecStart = -/usr/local/bin/node-agent -vv",
                "node-agent",
                ("/usr/local/bin/node-agent", " -vv"),
            ),
            (
                "ExecStart=\"/opt/haven-agent.py\" \"-m\" h:1",
                "haven-agent",
                ("/opt/haven-agent.py", "\" \"-m\" h:1"),
            ),
            (
                "ExecStart=-/opt/usr/local/bin/node-agent",
                "node-agent",
                ("/opt/usr/local/bin/node-agent", ""),
            ),
        ] {
            let (script, behind) = script(line, name).unwrap();
            assert_eq!((&*script, behind), expected, "{line}");
        }
        for (line, name) in [
            ("ExecStart=/usr/local/bin/haven-agent", "haven-agent"),
            ("ExecStart=/usr/local/bin/haven-agent-2", "haven-agent"),
            ("ExecStart=/usr/local/bin/../../bin/sh", "node-agent"),
            ("ExecStart=/usr/local/bin/node-agents.py", "node-agent"),
            ("ExecStart=/usr/local/bin/other.py", "node-agent"),
            ("ExecStart=/opt/node-agent", "node-agent"),
            ("ExecStop=/usr/local/bin/node-agent.py", "node-agent"),
        ] {
            assert_eq!(script(line, name), None, "{line}");
        }
    }

    #[test]
    fn words_are_those_of_systemd_where_they_are_plain() {
        let said = |behind: &str| {
            let settings = settings("/unit:3", behind);
            settings.map(|all| all.into_iter().map(|(id, _, _, value)| (id, value)))
        };
        for (behind, expected) in [
            ("", &[][..]),
            (
                "\"  -m  h:1 -vv ",
                &[(Id::Master, "h:1"), (Id::LogLevel, "2")],
            ),
            (
                " -s 'a' \"--docker=d\"",
                &[(Id::Docker, "d"), (Id::Secret, "a")],
            ),
        ] {
            let said: Vec<_> = said(behind).unwrap().collect();
            let said: Vec<_> = said
                .iter()
                .map(|(id, value)| (*id, value.as_str()))
                .collect();
            assert_eq!(said, expected, "{behind}");
        }
        for odd in [
            "-s=$SECRET",
            "-s %n",
            "-s a\\",
            "-s 'a b'",
            "--secret='a'",
            "-s '",
        ] {
            let Err(error) = said(odd) else {
                panic!("{odd}")
            };
            assert!(
                error.to_string().starts_with("/unit:3: a quote,"),
                "{error}"
            );
        }
    }
}
