//! What a certificate that was signed anew has that the one before had not, for the log.

use std::fmt;

use super::subjects::Subjects;
use crate::sorted::Set;

/// The most names and addresses that are told of each kind.
const MAX_TOLD: usize = 8;

/// The names and addresses that came and went. `Display` tells the first few of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    added: Vec<String>,
    gone: Vec<String>,
}

impl Change {
    /// From the subjects of the certificate `before` to those `after`.
    pub(super) fn new(before: &Subjects, after: &Subjects) -> Change {
        let (before, after) = (texts(before), texts(after));
        Change {
            added: missing(&after, &before),
            gone: missing(&before, &after),
        }
    }
}

/// Those of `all` that are not in `there`.
fn missing(all: &Set<String>, there: &Set<String>) -> Vec<String> {
    let missing = all.iter().filter(|text| !there.contains(text));
    missing.cloned().collect()
}

fn texts(subjects: &Subjects) -> Set<String> {
    let mut texts = subjects.names.clone();
    // As it is, it may hold anything; it is shown in the log.
    texts.insert(subjects.host.escape_debug().to_string());
    texts.extend(subjects.addresses.iter().map(ToString::to_string));
    texts
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (verb, texts) in [("with", &self.added), ("without", &self.gone)] {
            if !texts.is_empty() {
                parts.push(format!("{verb} {}", told(texts)));
            }
        }
        f.write_str(&parts.join("; "))
    }
}

fn told(texts: &[String]) -> String {
    let first: Vec<&str> = texts.iter().map(String::as_str).take(MAX_TOLD).collect();
    let first = first.join(", ");
    match texts.len().saturating_sub(MAX_TOLD) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects(host: &str, addresses: &[&str]) -> Subjects {
        Subjects {
            host: host.to_owned(),
            names: ["localhost".to_owned()].into(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn what_came_and_what_went_is_told() {
        let before = subjects("n", &["10.0.0.1", "::1"]);
        let change = Change::new(&before, &subjects("m\n", &["::1", "10.0.0.2"]));
        assert_eq!(
            change.to_string(),
            "with 10.0.0.2, m\\n; without 10.0.0.1, n"
        );
        let change = Change::new(&before, &subjects("n", &["::1"]));
        assert_eq!(change.to_string(), "without 10.0.0.1");
    }

    #[test]
    fn what_is_told_is_bounded() {
        let many: Vec<String> = (0..20).map(|last| format!("10.0.0.{last}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let change = Change::new(&subjects("n", &[]), &subjects("n", &many));
        let text = change.to_string();
        assert!(text.ends_with(" and 12 more"), "{text}");
        assert_eq!(text.matches(", ").count(), MAX_TOLD - 1);
    }
}
