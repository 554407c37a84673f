//! The Python agent that was there before: its settings are carried over, and it is stopped and removed.

use super::tree::Tree;
use super::{CONFIG, Error, failed, step};
use crate::config::{self, Old};

/// What its script is called on nodes, and in its own repository.
const NAMES: [&str; 2] = ["node-agent", "dm-agent"];
/// Where it copied itself to.
const PROGRAMS: &str = "/usr/local/bin";

fn ini(name: &str) -> String {
    format!("/etc/{name}.ini")
}

fn unit(name: &str) -> String {
    format!("/etc/systemd/system/{name}.service")
}

/// What its configurations say; of two, what the first says counts.
///
/// # Errors
/// One cannot be read, or not be understood.
pub fn settings(tree: &Tree) -> Result<Old, Error> {
    let mut all = Old::default();
    for name in NAMES {
        let path = ini(name);
        let Some(text) = tree.read(&path)? else {
            continue;
        };
        let old = match config::old(&text) {
            Ok(old) => old,
            Err((line, problem)) => {
                return failed(format!(
                    "{path}:{line}: {problem}; nothing was done: repair the file, or remove it"
                ));
            }
        };
        for (id, value) in old.values {
            if !all.values.iter().any(|(known, _)| *known == id) {
                all.values.push((id, value));
            }
        }
        all.unknown.extend(old.unknown);
        step(format_args!(
            "settings: those of {path} are carried over to {CONFIG}"
        ));
    }
    Ok(all)
}

/// Stops it and removes it; its configurations as well, where `carried` over.
///
/// # Errors
/// It cannot be stopped, or a file not be removed.
pub fn remove(tree: &Tree, carried: bool) -> Result<(), Error> {
    for name in NAMES {
        let unit = unit(name);
        if tree.has(&unit) {
            let programs = programs(&tree.read_text(&unit)?, name);
            if tree.is_own() && tree.has_command("systemctl") {
                tree.run(
                    "systemctl",
                    &["disable", "--now", &format!("{name}.service")],
                )?;
                step(format_args!(
                    "done: systemctl disable --now {name}.service, the Python agent"
                ));
            }
            tree.remove(&format!(
                "/etc/systemd/system/multi-user.target.wants/{name}.service"
            ))?;
            tree.remove(&unit)?;
            for program in programs {
                tree.remove(&program)?;
            }
        }
        if carried {
            tree.remove(&ini(name))?;
        }
    }
    Ok(())
}

/// The programs of a unit that are the agent's own, and not the interpreter.
fn programs(unit: &str, name: &str) -> Vec<String> {
    let lines = unit
        .lines()
        .filter_map(|line| line.trim().strip_prefix("ExecStart="));
    let words = lines
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_matches(['"', '\'', '-', '@']));
    let own = words.filter(|word| {
        let file = word
            .strip_prefix(PROGRAMS)
            .and_then(|file| file.strip_prefix('/'));
        file.is_some_and(|file| file.strip_suffix(".py").unwrap_or(file) == name)
    });
    own.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_program_is_told_from_the_interpreter() {
        let unit = "[Service]\nExecStart=/usr/bin/python3 /usr/local/bin/node-agent.py daemon -f /etc/node-agent.ini\n";
        assert_eq!(
            programs(unit, "node-agent"),
            ["/usr/local/bin/node-agent.py"]
        );
        let unit = "[Service]\nExecStart=-/usr/local/bin/node-agent -vv\n";
        assert_eq!(programs(unit, "node-agent"), ["/usr/local/bin/node-agent"]);
        for other in [
            "/usr/local/bin/../../bin/sh",
            "/usr/local/bin/other",
            "/opt/node-agent",
        ] {
            assert!(programs(&format!("ExecStart={other}"), "node-agent").is_empty());
        }
    }
}
