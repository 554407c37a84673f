//! How a body is held against the tables of `known.ini`.

use std::sync::OnceLock;

use super::json::Value;
use super::permits::{Permits, Switch};
use super::{Refusal, special};

/// The tables.
const KNOWN: &str = include_str!("known.ini");

/// What a value needs to be permitted.
#[derive(Clone, Copy)]
pub(super) enum Needs {
    /// Nothing: it is harmless whatever it is.
    Nothing,
    /// This, unless it is empty: zero, `false`, without text, items or members.
    Permit(Switch),
    /// This, unless it is `null`: an empty list says something as well.
    Set(Switch),
    /// Nobody but `full` may say more than nothing here.
    Full,
    /// What a closer look at it says.
    Look(Look),
}

/// Why a value is not permitted.
pub(super) enum Why {
    /// It needs that.
    Needs(Switch),
    /// It needs that for this name or path.
    NeedsFor(Switch, String),
    /// Nobody but `full` may.
    Full(&'static str),
}

/// Looks closer at a value.
pub(super) type Look = fn(&Value<'_>, &Permits) -> Verdict;

/// What is said of one value.
pub(super) type Verdict = Result<(), Why>;

impl Needs {
    /// As a table says it; what cannot be understood is for `full`.
    fn parse(verb: &str, name: &str) -> Needs {
        let switch = || Switch::named(name).map_or(Needs::Full, Needs::Permit);
        match verb {
            "" => Needs::Nothing,
            "permit" => switch(),
            "set" => match switch() {
                Needs::Permit(switch) => Needs::Set(switch),
                other => other,
            },
            "look" => special::look(name).map_or(Needs::Full, Needs::Look),
            _ => Needs::Full,
        }
    }
}

/// The sections that an object's keys are in: its own, and those that it embeds.
fn sections(name: &str) -> impl Iterator<Item = &'static str> {
    let embedded = section(name).map_or("", |(embedded, _)| embedded);
    let own = section(name).map(|(_, lines)| lines);
    let others = embedded.split_whitespace().filter_map(section);
    own.into_iter().chain(others.map(|(_, lines)| lines))
}

/// What stands behind a section's header, and its lines.
fn section(name: &str) -> Option<(&'static str, &'static str)> {
    // A body may have thousands of objects: the text is taken apart once.
    static SECTIONS: OnceLock<Vec<[&str; 3]>> = OnceLock::new();
    let sections = SECTIONS.get_or_init(|| {
        let sections = KNOWN.split("\n[").skip(1).filter_map(|section| {
            let (header, lines) = section.split_once('\n').unwrap_or((section, ""));
            let (name, embedded) = header.split_once(']')?;
            Some([name, embedded, lines])
        });
        sections.collect()
    });
    let [_, embedded, lines] = sections.iter().find(|[found, ..]| *found == name)?;
    Some((embedded, lines))
}

/// The line of a key: what its value is, and what it needs.
fn field(section: &'static str, key: &str) -> Option<(&'static str, Needs)> {
    section.lines().find_map(|line| {
        let mut words = line.split(' ');
        let found = words.next()?;
        let kind = words.next()?;
        let mut needs = || words.next().unwrap_or_default();
        (found == key && found != "#").then(|| (kind, Needs::parse(needs(), needs())))
    })
}

/// Where in a body the judge is, for a refusal: `HostConfig.Mounts[2].Source`.
pub(super) struct Judge<'j> {
    permits: &'j Permits,
    place: String,
}

impl<'j> Judge<'j> {
    pub(super) fn new(permits: &'j Permits) -> Judge<'j> {
        Judge {
            permits,
            place: String::new(),
        }
    }

    /// Holds `value` against what it should be, and all that is in it.
    pub(super) fn judge(&mut self, value: &Value<'_>, kind: &str) -> Result<(), Refusal> {
        let inner = |open, close| kind.strip_prefix(open)?.strip_suffix(close);
        match (value, kind) {
            (Value::Null, _)
            | (Value::Flag(_), "flag")
            | (Value::Number(_), "number")
            | (Value::Text(_), "text" | "words") => Ok(()),
            (Value::Number(number), "whole") if is_whole(number) => Ok(()),
            (Value::List(items), "words") => self.items(items, "text"),
            (Value::List(items), _) if let Some(kind) = inner('[', ']') => self.items(items, kind),
            (Value::Object(members), _) => {
                let values = inner('{', '}');
                let named = kind.starts_with(|first: char| first.is_ascii_uppercase());
                if values.is_none() && !named {
                    return Err(self.refuse(wrong_kind(kind)));
                }
                members.iter().try_for_each(|(key, value)| {
                    self.inside(key, |judge| match values {
                        Some(kind) => judge.judge(value, kind),
                        None => judge.member(key, value, kind),
                    })
                })
            }
            _ => Err(self.refuse(wrong_kind(kind))),
        }
    }

    fn items(&mut self, items: &[Value<'_>], kind: &str) -> Result<(), Refusal> {
        for (number, item) in items.iter().enumerate() {
            let length = self.place.len();
            self.place.push_str(&format!("[{number}]"));
            self.judge(item, kind)?;
            self.place.truncate(length);
        }
        Ok(())
    }

    fn member(&mut self, key: &str, value: &Value<'_>, object: &str) -> Result<(), Refusal> {
        let Some((kind, needs)) = sections(object).find_map(|section| field(section, key)) else {
            return Err(self.refuse("is not known here"));
        };
        match needs {
            // Whatever else it is.
            Needs::Full => self.permitted(value, needs),
            needs => {
                self.judge(value, kind)?;
                self.permitted(value, needs)
            }
        }
    }

    /// Whether a value of the right kind is permitted.
    pub(super) fn permitted(&self, value: &Value<'_>, needs: Needs) -> Result<(), Refusal> {
        let verdict = match needs {
            Needs::Nothing => Ok(()),
            Needs::Permit(_) | Needs::Full if value.is_empty() => Ok(()),
            Needs::Set(_) if *value == Value::Null => Ok(()),
            Needs::Permit(switch) | Needs::Set(switch) => special::need(switch, self.permits),
            Needs::Full => Err(Why::Full("is for the policy full alone")),
            Needs::Look(look) => look(value, self.permits),
        };
        verdict.map_err(|why| match why {
            Why::Needs(switch) => self.refuse(&format!("needs \"permit {}\"", switch.name())),
            Why::NeedsFor(switch, what) => {
                let what = super::shown(&what);
                self.refuse(&format!("needs \"permit {} {what}\"", switch.name()))
            }
            Why::Full(why) => self.refuse(why),
        })
    }

    /// Does something inside of a member.
    pub(super) fn inside(
        &mut self,
        key: &str,
        act: impl FnOnce(&mut Self) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let length = self.place.len();
        if length > 0 {
            self.place.push('.');
        }
        self.place.push_str(key);
        act(self)?;
        self.place.truncate(length);
        Ok(())
    }

    fn refuse(&self, why: &str) -> Refusal {
        let place = match self.place.as_str() {
            "" => "the body",
            place => place,
        };
        Refusal::at(place, why)
    }
}

/// Whether Go takes it for an integer: of 64 bits, without fraction and exponent.
fn is_whole(number: &str) -> bool {
    number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok()
}

/// What is said of a value that is something else.
fn wrong_kind(kind: &str) -> &'static str {
    match kind {
        "flag" => "is not true or false",
        "whole" => "is not a whole number of 64 bits",
        "number" => "is not a number",
        "text" => "is not a string",
        "words" => "is not a string or a list of strings",
        list if list.starts_with('[') => "is not a list",
        _ => "is not an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a kind is one: sections are there.
    fn is_kind(kind: &str) -> bool {
        match kind.as_bytes() {
            [b'[', .., b']'] | [b'{', .., b'}'] => is_kind(&kind[1..kind.len() - 1]),
            _ => {
                section(kind).is_some()
                    || ["flag", "whole", "number", "text", "words"].contains(&kind)
            }
        }
    }

    #[test]
    fn every_line_of_the_tables_means_something() {
        let mut names = Vec::new();
        for line in KNOWN
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            if let Some(header) = line.strip_prefix('[') {
                let (name, embedded) = header.split_once(']').unwrap();
                assert!(!names.contains(&name), "{name} again");
                assert!(
                    embedded
                        .split_whitespace()
                        .all(|name| section(name).is_some())
                );
                names.push(name);
                continue;
            }
            let words: Vec<&str> = line.split(' ').collect();
            assert!(is_kind(words[1]), "{line}");
            let good = match words[2..] {
                [] | ["full"] => true,
                ["permit" | "set", name] => Switch::named(name).is_some(),
                ["look", name] => special::look(name).is_some(),
                _ => false,
            };
            assert!(good, "{line}");
        }
        for name in names {
            let mut keys: Vec<&str> = sections(name)
                .flat_map(str::lines)
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(|line| line.split(' ').next().unwrap())
                .collect();
            let count = keys.len();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), count, "a key twice in {name}");
        }
    }
}
