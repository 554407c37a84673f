//! One rule: whether some methods on some paths are allowed.

use std::fmt;
use std::sync::Arc;

use super::path::{Segments, Target};

/// `**` that a pattern may have, so that matching stays cheap whatever the path.
const MAX_RESTS: usize = 2;

/// `allow GET,HEAD /containers/*/json # why`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Whether what matches is allowed.
    pub allows: bool,
    pub(super) methods: Methods,
    pub(super) pattern: Pattern,
    /// Where it stands: a line, from 1.
    pub line: usize,
    /// The rule's words, without its reason.
    pub text: Box<str>,
    /// Why, in the words of who wrote it; may be empty.
    pub reason: Box<str>,
    /// Policy, rule and place in one line, for logs and refusals.
    pub label: Arc<str>,
}

impl Rule {
    /// Reads a line that is neither empty nor a comment nor a header. `policy` and `place` (a file's
    /// path, or nothing of what is built in) go into the label.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, line: usize, policy: &str, place: &str) -> Result<Rule, String> {
        let (rule, reason) = match text.split_once('#') {
            Some((rule, reason)) => (rule, reason.trim()),
            None => (text, ""),
        };
        let words: Vec<&str> = rule.split_whitespace().collect();
        let [verb, methods, pattern] = words.as_slice() else {
            return Err("not a rule: `allow` or `deny`, methods, a path, as in \
                        `allow GET,HEAD /containers/*/json`"
                .to_string());
        };
        let allows = match *verb {
            "allow" => true,
            "deny" => false,
            _ => {
                let verb = verb.escape_debug();
                return Err(format!("`{verb}` is neither `allow` nor `deny`"));
            }
        };
        let text = words.join(" ");
        let place = match place {
            "" => format!("built in, line {line}"),
            path => format!("{path}:{line}"),
        };
        Ok(Rule {
            allows,
            methods: Methods::parse(methods)?,
            pattern: Pattern::parse(pattern)?,
            line,
            label: format!("{policy}: {text} ({place})").into(),
            text: text.into(),
            reason: reason.into(),
        })
    }

    /// Whether it speaks of this request.
    pub fn matches(&self, method: &str, target: &Target<'_>) -> bool {
        self.methods.has(method) && self.pattern.matches(target.segments())
    }

    /// Whether there is a request that both speak of.
    pub(super) fn meets(&self, other: &Rule) -> bool {
        self.methods.0 & other.methods.0 != 0 && meet(&self.pattern.0, &other.pattern.0)
    }

    /// Whether it speaks of all that `other` speaks of. May say no where it does, never the other way.
    pub(super) fn covers(&self, other: &Rule) -> bool {
        other.methods.0 & !self.methods.0 == 0 && cover(&self.pattern.0, &other.pattern.0)
    }
}

/// A set of methods; what is in no rule is one bit of its own, which `*` alone has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Methods(u8);

impl Methods {
    const NAMES: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
    const OTHER: u8 = 1 << Methods::NAMES.len();

    fn bit(method: &str) -> Option<u8> {
        let place = Methods::NAMES.iter().position(|name| *name == method)?;
        Some(1 << place)
    }

    /// `*`, or names with commas between them.
    fn parse(text: &str) -> Result<Methods, String> {
        if text == "*" {
            return Ok(Methods(u8::MAX));
        }
        let mut methods = Methods(0);
        for name in text.split(',') {
            methods.0 |= Methods::bit(name).ok_or_else(|| {
                let (name, known) = (name.escape_debug(), Methods::NAMES.join(", "));
                format!("`{name}` is no method of Docker's API: {known}, or * for all")
            })?;
        }
        Ok(methods)
    }

    fn has(self, method: &str) -> bool {
        self.0 & Methods::bit(method).unwrap_or(Methods::OTHER) != 0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// `*`: one segment.
    Any,
    /// `**`: any number of them, also none.
    Rest,
    Literal(Box<str>),
}

/// A path with wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Segment>);

impl Pattern {
    fn parse(text: &str) -> Result<Pattern, String> {
        let wrong = |what: &dyn fmt::Display| format!("`{}`: {what}", text.escape_debug());
        // Compared with canonical paths, so it has to be one.
        let target = Target::parse(text).map_err(|error| wrong(&error))?;
        if target.path() != text {
            let canonical = format!("write it as {}{}", target.path(), target.query());
            return Err(wrong(&if target.query().is_empty() {
                canonical
            } else {
                "a rule is about a path, and knows no query".to_string()
            }));
        }
        if target.version().is_some() {
            return Err(wrong(&"without the version, which rules do not see"));
        }
        Pattern::of_segments(target.segments()).map_err(|what| wrong(&what))
    }

    /// Of a path's segments, whatever they are: those of a directory of the host.
    pub(super) fn of_segments(path: Segments<'_>) -> Result<Pattern, String> {
        let segments = path.map(|segment| match segment {
            "*" => Ok(Segment::Any),
            "**" => Ok(Segment::Rest),
            part if part.contains('*') => {
                Err("a * stands for a whole segment, ** for any rest".to_string())
            }
            literal => Ok(Segment::Literal(literal.into())),
        });
        let segments: Vec<Segment> = segments.collect::<Result<_, _>>()?;
        if segments.iter().filter(|&one| *one == Segment::Rest).count() > MAX_RESTS {
            return Err(format!("more than {MAX_RESTS} times **"));
        }
        Ok(Pattern(segments))
    }

    pub(super) fn matches(&self, path: Segments<'_>) -> bool {
        matches(&self.0, path)
    }

    /// Whether something that `lower` matches may be inside of something that this matches.
    pub(super) fn is_above(&self, lower: &Pattern) -> bool {
        let inside = [&*self.0, &[Segment::Any, Segment::Rest]].concat();
        meet(&inside, &lower.0)
    }
}

fn matches(pattern: &[Segment], mut path: Segments<'_>) -> bool {
    match pattern.split_first() {
        None => path.next().is_none(),
        Some((Segment::Rest, [])) => true,
        Some((Segment::Rest, behind)) => loop {
            if matches(behind, path.clone()) {
                return true;
            }
            if path.next().is_none() {
                return false;
            }
        },
        Some((Segment::Any, behind)) => path.next().is_some() && matches(behind, path),
        Some((Segment::Literal(literal), behind)) => {
            path.next() == Some(literal) && matches(behind, path)
        }
    }
}

/// Whether some path matches both.
fn meet(one: &[Segment], other: &[Segment]) -> bool {
    use Segment::{Literal, Rest};
    match (one.split_first(), other.split_first()) {
        (None, None) => true,
        (Some((Rest, behind)), _) => {
            meet(behind, other) || other.split_first().is_some_and(|(_, rest)| meet(one, rest))
        }
        (_, Some((Rest, _))) => meet(other, one),
        (Some((Literal(a), _)), Some((Literal(b), _))) if a != b => false,
        (Some((_, one)), Some((_, other))) => meet(one, other),
        _ => false,
    }
}

/// Whether `wide` matches all that `narrow` does.
fn cover(wide: &[Segment], narrow: &[Segment]) -> bool {
    use Segment::{Any, Rest};
    match (wide.split_first(), narrow.split_first()) {
        (None, None) => true,
        (Some((Rest, behind)), _) => {
            cover(behind, narrow)
                || narrow
                    .split_first()
                    .is_some_and(|(_, rest)| cover(wide, rest))
        }
        (Some((_, _)), Some((Rest, _))) => false,
        (Some((a, wide)), Some((b, narrow))) => (*a == Any || a == b) && cover(wide, narrow),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
