//! The text of policies: sections of rules, and of what they permit.

use std::sync::Arc;

use super::body::Permits;
use super::rule::Rule;

/// Policies that a file may have.
const MAX_POLICIES: usize = 64;
/// Rules that a policy may have.
const MAX_RULES: usize = 256;
/// The longest name of a policy, in bytes.
const MAX_NAME: usize = 64;

/// A section.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) name: Arc<str>,
    /// The line of its header, from 1.
    pub(super) line: usize,
    pub(super) rules: Vec<Rule>,
    pub(super) permits: Permits,
}

/// Reads `[NAME]` and below it rules and permits, a line each; empty lines and such that begin with `#` or `;` are
/// passed over. `place` is the file's path, or nothing of what is built in.
///
/// # Errors
/// The line, from 1, and what is wrong with it.
pub(super) fn parse(text: &str, place: &str) -> Result<Vec<Section>, (usize, String)> {
    let mut sections: Vec<Section> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let wrong = |problem: String| (number, problem);
        if line.contains(char::is_control) {
            return Err(wrong("a control character".to_string()));
        }
        if let Some(rest) = line.strip_prefix('[') {
            let section = header(rest, number, &sections).map_err(wrong)?;
            sections.push(section);
            continue;
        }
        let Some(section) = sections.last_mut() else {
            let problem = "a rule before the first header [NAME]".to_string();
            return Err(wrong(problem));
        };
        if let Some(permit) = line.strip_prefix("permit").filter(|rest| starts_word(rest)) {
            section.permits.add(permit, number).map_err(wrong)?;
            continue;
        }
        if section.rules.len() == MAX_RULES {
            let problem = format!("more than {MAX_RULES} rules in [{}]", section.name);
            return Err(wrong(problem));
        }
        let rule = Rule::parse(line, number, &section.name, place).map_err(wrong)?;
        section.rules.push(rule);
    }
    Ok(sections)
}

/// What is behind the bracket of `[NAME]`.
fn header(rest: &str, line: usize, before: &[Section]) -> Result<Section, String> {
    let usual = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    let name = rest.strip_suffix(']').unwrap_or_default();
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(usual) {
        return Err(format!(
            "not the header of a policy: [NAME], of at most {MAX_NAME} letters, digits, `-`, `_` and `.`"
        ));
    }
    if let Some(first) = before.iter().find(|section| &*section.name == name) {
        return Err(format!(
            "policy [{name}] again, first in line {}",
            first.line
        ));
    }
    if before.len() == MAX_POLICIES {
        return Err(format!("more than {MAX_POLICIES} policies"));
    }
    Ok(Section {
        name: name.into(),
        line,
        rules: Vec::new(),
        permits: Permits::default(),
    })
}

/// Whether a word has ended before this.
fn starts_word(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(char::is_whitespace)
}
