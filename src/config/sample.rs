//! The configuration that `install` writes, made from the table of options; and how it understands the
//! one that is there, its own or an old agent's.

use super::install::Flags;
use super::options::{self, GROUPS, Id, Kind, OPTIONS};
use super::raw::{Origin, RawConfig};
use super::{Config, ConfigError, Task, resolve};
use crate::auth::DEFAULT_PASSWORD_HASH;
use std::fmt::Write;
use std::path::Path;

/// How wide its comments are.
const WIDTH: usize = 100;

const HEAD: &str = "\
# Written by haven-agent install, once: it is yours from now on.
#
# What stands behind a # has its default. `haven-agent check` tries all of it. Users, policies,
# certificates and log_level are read again by a reload of the service; the rest needs a restart.
";
/// Before the name of an old agent's file whose settings it has.
const TAKEN: &str = "# Taken from ";

/// Whether the configuration `text` has the settings of an old agent's file.
pub fn is_taken(text: &str, path: &str) -> bool {
    text.lines()
        .any(|line| line.strip_prefix(TAKEN) == Some(path))
}

/// A configuration in the making: the settings of several places, of which the one that was added first counts.
#[derive(Clone, Default)]
pub struct Draft {
    raw: RawConfig,
    /// How many places were added.
    places: usize,
    /// An old agent's keys that name no option, with their values, which may be secrets.
    unknown: Vec<(String, String)>,
    /// The old agent's files.
    taken: Vec<String>,
}

impl Draft {
    /// Adds the settings of a command line.
    ///
    /// # Errors
    /// Two of them contradict each other.
    pub fn add(&mut self, settings: Flags) -> Result<(), ConfigError> {
        for (id, origin, spring, value) in settings {
            self.raw.add(self.places, id, origin, spring, value)?;
        }
        self.places += 1;
        self.raw.settle()
    }

    /// Adds those of the INI file at `path`, which is the agent's own, or an `old` agent's.
    ///
    /// # Errors
    /// The line, and what is wrong there.
    pub fn add_ini(&mut self, path: &str, text: &[u8], old: bool) -> Result<(), ConfigError> {
        let unknown = old.then_some(&mut self.unknown);
        let place = self.places;
        self.raw
            .add_ini(place, Path::new(path), text, false, unknown)?;
        self.places += 1;
        self.raw.settle()
    }

    /// Sets `admin`'s password by its hash, whatever was said of it.
    pub fn set_password(&mut self, hash: String) {
        self.raw.remove(Id::AdminPasswordFile);
        self.raw.remove(Id::AdminPassword);
        let origin = Origin::Flag("the new password".to_owned());
        // Nothing is there that it could contradict.
        let _ = self.raw.add(0, Id::AdminPassword, origin, false, hash);
    }

    /// Has the configuration say that it has an old agent's file in it.
    pub fn take(&mut self, path: &str) {
        self.taken.push(path.to_owned());
    }

    /// What is said of `id`, if anything.
    pub fn get(&self, id: Id) -> Option<&str> {
        self.raw.get(id).map(|setting| setting.value.as_str())
    }

    /// The files that are named, each with the key that names it.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let options = OPTIONS.iter().filter(|option| option.kind == Kind::File);
        options.filter_map(|option| Some((option.key, self.get(option.id)?)))
    }

    /// What the settings come to. Unless `files` are there to be read, what is in them is taken for good.
    ///
    /// # Errors
    /// What of them is wrong, and where it stands.
    pub fn config(&self, files: bool) -> Result<Config, ConfigError> {
        let mut raw = self.raw.clone();
        if !files {
            forget_files(&mut raw);
        }
        resolve::config(Task::Check, raw, false)
    }

    /// The commented configuration.
    pub fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        // Writing to a string cannot fail.
        for path in &self.taken {
            let _ = writeln!(text, "{TAKEN}{path}");
        }
        text.push_str("\n[main]\n");
        for (group, title) in GROUPS {
            let mut options = OPTIONS
                .iter()
                .filter(|option| option.group == group && option.id != Id::Config)
                .peekable();
            if options.peek().is_some() {
                let _ = write!(text, "\n# ---- {title}\n");
            }
            for option in options {
                text.push('\n');
                comment(&mut text, option.help);
                let _ = match self.raw.get(option.id) {
                    Some(given) => writeln!(text, "{} = {}", option.key, escaped(&given.value)),
                    None if option.default.is_empty() => writeln!(text, "#{} =", option.key),
                    None => writeln!(text, "#{} = {}", option.key, option.default),
                };
            }
        }
        if !self.unknown.is_empty() {
            text.push_str("\n# ---- of the old agent's configuration, not understood\n");
        }
        for (key, value) in &self.unknown {
            let _ = writeln!(text, "#{key} = {}", escaped(value).replace('\n', "\n#"));
        }
        text
    }
}

/// Has what no file of an image can be asked for be something that is good. That a setting is there counts still:
/// others need it, and it may switch the proxy on.
fn forget_files(raw: &mut RawConfig) {
    let policies = raw.get(Id::Policies).is_some();
    for (id, text) in raw.texts().filter(|(_, text)| !text.is_empty()) {
        match *id {
            Id::AdminPasswordFile | Id::Users => {
                *id = Id::AdminPassword;
                DEFAULT_PASSWORD_HASH.clone_into(text);
            }
            Id::SecretFile | Id::Policies => text.clear(),
            Id::Policy if policies => text.clear(),
            Id::RootPath => "/".clone_into(text),
            other if options::entry(other).kind == Kind::File => "/dev/null".clone_into(text),
            _ => {}
        }
    }
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

    fn flag(id: Id, value: &str) -> (Id, Origin, bool, String) {
        let name = format!("--{}", options::entry(id).flag());
        (id, Origin::Flag(name), false, value.to_owned())
    }

    fn draft(settings: &[(Id, &str)]) -> Draft {
        let mut draft = Draft::default();
        let settings = settings.iter().map(|(id, value)| flag(*id, value));
        draft.add(settings.collect()).unwrap();
        draft
    }

    #[test]
    fn what_is_written_is_read_back() {
        let settings = [
            (Id::Master, "10.0.0.3:8761\n10.0.0.4:8761"),
            (Id::Secret, "100% = #1; [x]"),
            (Id::AdminPassword, DEFAULT_PASSWORD_HASH),
        ];
        let mut written = draft(&settings);
        written.unknown = vec![("color".to_owned(), "a%b\n[main]".to_owned())];
        written.take("/etc/old.ini");
        let text = written.text();
        let mut read = Draft::default();
        read.add_ini("/x", text.as_bytes(), true).unwrap();
        for (id, expected) in settings {
            assert_eq!(read.get(id), Some(expected));
        }
        assert!(read.unknown.is_empty() && read.get(Id::Docker).is_none());
        assert!(is_taken(&text, "/etc/old.ini") && !is_taken(&text, "/etc/old"));
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        assert!(written.config(true).is_ok());
    }

    #[test]
    fn each_setting_is_there_with_a_default_that_is_good() {
        let text = Draft::default().text();
        let live: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.starts_with(' ') && !setting.ends_with('=') => setting,
                Some(_) => "",
                None => line,
            })
            .fold(String::new(), |all, line| all + line + "\n");
        let mut read = Draft::default();
        read.add_ini("/x", live.as_bytes(), false).unwrap();
        for option in OPTIONS.iter().filter(|option| option.id != Id::Config) {
            let default = Some(option.default).filter(|default| !default.is_empty());
            assert_eq!(read.get(option.id), default);
            assert!(
                text.contains(&format!("\n#{} =", option.key)),
                "{}",
                option.key
            );
        }
        assert!(read.config(true).is_ok());
    }

    #[test]
    fn of_two_places_the_first_counts_and_an_old_agent_s_keys_are_told_apart() {
        let mut draft = draft(&[(Id::SecretFile, "/s")]);
        let first = b"[main]\nmaster: h:1\nserver.port = 9\ncolor = red\nsecret = old\n";
        draft.add_ini("/a", first, true).unwrap();
        draft
            .add_ini("/b", b"[main]\nmaster = h:2\n", true)
            .unwrap();
        assert_eq!(draft.get(Id::Master), Some("h:1"));
        assert_eq!(draft.get(Id::Listen), Some(":9"));
        assert_eq!(draft.get(Id::Secret), None, "the file is given");
        assert_eq!(draft.unknown, [("color".to_owned(), "red".to_owned())]);
        let wrong = |text: &[u8], old| {
            let error = Draft::default().add_ini("/a", text, old).unwrap_err();
            error.to_string()
        };
        assert!(wrong(b"[main]\ncolor = red\n", false).starts_with("/a:2: unknown key `color`"));
        assert!(wrong(b"[main]\nconfig = /b\n", true).starts_with("/a:2: "));
        draft.add_ini("/c", b"[main]\ntimeout = x\n", true).unwrap();
        let error = draft.config(false).unwrap_err().to_string();
        assert!(error.starts_with("/c:2: timeout: "), "{error}");
    }

    #[test]
    fn without_its_files_a_good_configuration_is_good_and_a_wrong_one_wrong() {
        for good in [
            &[(Id::ClientCa, "/no/ca"), (Id::ClientAuth, "optional")][..],
            &[(Id::Policies, "/no/policies"), (Id::Policy, "admin:mine")],
            &[(Id::TlsCert, "/no/cert"), (Id::TlsKey, "/no/key")],
            &[(Id::SecretFile, "/no/secret"), (Id::RootPath, "/no/root")],
        ] {
            assert!(draft(good).config(true).is_err());
            let config = draft(good).config(false).unwrap();
            assert!(config.users.uses_default_password());
        }
        for wrong in [
            &[(Id::TlsCert, "/no/cert")][..],
            &[(Id::Policy, "admin:mine")],
            &[(Id::ClientAuth, "optional")],
        ] {
            assert!(draft(wrong).config(false).is_err());
        }
        // On TCP these switch the proxy on, and admin has a password.
        for id in [Id::AdminPasswordFile, Id::Users] {
            let config = draft(&[(Id::Docker, "h:1"), (id, "/no/file")]).config(false);
            let config = config.unwrap();
            assert!(config.listen.is_some() && !config.users.uses_default_password());
        }
        let settings = vec![flag(Id::Secret, "x"), flag(Id::SecretFile, "/no")];
        assert!(Draft::default().add(settings).is_err());
    }
}
