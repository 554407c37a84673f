//! Configuration files in the dialect of Python's `configparser.ConfigParser`, which read them
//! for the old agent.
//!
//! `=` or `:` between key and value, keys in any case, whole lines of `#` or `;` comment, deeper
//! indented lines continue a value, `%%` is a percent sign and `%(key)s` another key's value, a key
//! or section must not come twice, `[DEFAULT]` holds what `[main]` does not say. What is wider in
//! Python is refused here, since it can only be a mistake: other sections. A byte order mark is
//! skipped. A test compares this with configparser itself.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// The longest value, interpolation included, in bytes.
const MAX_VALUE: usize = 64 * 1024;
/// How deep `%(key)s` may nest, as in Python.
const MAX_DEPTH: usize = 10;
/// The section that is read.
const SECTION: &str = "main";
/// The section behind it.
const DEFAULTS: &str = "DEFAULT";

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// In lower case.
    pub key: String,
    /// Without the white space around it; lines are separated by `\n`. May be a secret.
    pub value: String,
    /// The line of the key, from 1.
    pub line: usize,
}

/// Why a file is refused, and where. The text never shows a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IniError {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

/// A value under construction, or done but not interpolated.
#[derive(Debug)]
struct Raw {
    line: usize,
    lines: Vec<String>,
}

type Section = BTreeMap<String, Raw>;

/// Reads the settings of a file, in the order of their lines.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, IniError> {
    let text = decode(bytes)?;
    let mut reader = Reader::default();
    for (index, line) in text.lines().enumerate() {
        reader.line(index + 1, line)?;
    }
    let raw = reader.finish();
    let mut entries = Vec::new();
    let mut by_line: Vec<_> = raw.iter().collect();
    by_line.sort_by_key(|(_, (line, _))| *line);
    for (key, (line, value)) in by_line {
        let mut budget = MAX_VALUE;
        let value = interpolate(&raw, value, 1, &mut budget);
        let value = value.map_err(|problem| IniError {
            line: *line,
            problem: format!("{}: {problem}", key.escape_debug()),
        })?;
        entries.push(Entry {
            key: key.clone(),
            value,
            line: *line,
        });
    }
    Ok(entries)
}

/// The text of a file with `\n` between lines, whatever it had.
fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, IniError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        problem(1 + line_ends(before), "not UTF-8".to_string())
    })?;
    let text = if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    };
    let control = |character: char| character.is_control() && !"\n\t".contains(character);
    if let Some(at) = text.find(control) {
        let before = text.get(..at).unwrap_or_default();
        let line = 1 + line_ends(before.as_bytes());
        return Err(problem(line, "a control character".to_string()));
    }
    Ok(text)
}

fn line_ends(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

fn problem(line: usize, problem: String) -> IniError {
    IniError { line, problem }
}

/// The state between two lines; `RawConfigParser._read` step by step.
#[derive(Debug, Default)]
struct Reader {
    main: Section,
    defaults: Section,
    /// Where `[main]` begins: it must not begin twice.
    main_line: Option<usize>,
    /// Which of the two is being read.
    section: Option<Place>,
    /// The key that a deeper indented line continues.
    key: Option<String>,
    /// The indentation of the last key or section, in characters.
    indent: usize,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Main,
    Defaults,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), IniError> {
        let text = line.trim();
        if text.is_empty() {
            // An empty line may stand inside a value; at its end it is trimmed away.
            if let Some(raw) = self.current() {
                raw.lines.push(String::new());
            }
            return Ok(());
        }
        if text.starts_with(['#', ';']) {
            return Ok(());
        }
        let indent = line.chars().take_while(|c| c.is_whitespace()).count();
        if indent > self.indent
            && let Some(raw) = self.current()
        {
            raw.lines.push(text.to_string());
            return Ok(());
        }
        self.indent = indent;
        match header(text) {
            Some(name) => self.begin_section(number, name),
            None => self.begin_value(number, text),
        }
    }

    fn current(&mut self) -> Option<&mut Raw> {
        let key = self.key.as_ref()?;
        match self.section? {
            Place::Main => self.main.get_mut(key),
            Place::Defaults => self.defaults.get_mut(key),
        }
    }

    fn begin_section(&mut self, number: usize, name: &str) -> Result<(), IniError> {
        self.key = None;
        match (name, self.main_line) {
            (SECTION, None) => {
                self.main_line = Some(number);
                self.section = Some(Place::Main);
            }
            (SECTION, Some(first)) => {
                let again = format!("section [{SECTION}] again, first in line {first}");
                return Err(problem(number, again));
            }
            (DEFAULTS, _) => self.section = Some(Place::Defaults),
            _ => {
                let unknown = format!("unknown section [{}], not [{SECTION}]", name.escape_debug());
                return Err(problem(number, unknown));
            }
        }
        Ok(())
    }

    fn begin_value(&mut self, number: usize, text: &str) -> Result<(), IniError> {
        let fail = |what: &str| Err(problem(number, what.to_string()));
        let section = match self.section {
            Some(Place::Main) => &mut self.main,
            Some(Place::Defaults) => &mut self.defaults,
            None => return fail("a setting before the section header [main]"),
        };
        let Some((key, value)) = text.split_once(['=', ':']) else {
            return fail("neither `key = value` nor a section nor a comment");
        };
        let key = key.trim_end().to_lowercase();
        if key.is_empty() {
            return fail("no key before the value");
        }
        if let Some(first) = section.get(&key) {
            let (key, line) = (key.escape_debug(), first.line);
            return fail(&format!("key `{key}` again, first in line {line}"));
        }
        let lines = vec![value.trim().to_string()];
        section.insert(
            key.clone(),
            Raw {
                line: number,
                lines,
            },
        );
        self.key = Some(key);
        Ok(())
    }

    /// The values of `[main]` over those of `[DEFAULT]`, with their lines joined.
    fn finish(self) -> BTreeMap<String, (usize, String)> {
        let both = self.defaults.into_iter().chain(self.main);
        let joined = both.map(|(key, raw)| {
            let value = raw.lines.join("\n").trim_end().to_string();
            (key, (raw.line, value))
        });
        joined.collect()
    }
}

/// The name in `[name]`; configparser ignores what is behind the last bracket.
fn header(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('[')?.rsplit_once(']')?;
    (!name.is_empty()).then_some(name)
}

/// `%%` and `%(key)s`, as `BasicInterpolation._interpolate_some`. `budget` is how many bytes the
/// value may still grow by.
fn interpolate(
    raw: &BTreeMap<String, (usize, String)>,
    value: &str,
    depth: usize,
    budget: &mut usize,
) -> Result<String, String> {
    if depth > MAX_DEPTH {
        return Err(format!("%(…)s nests deeper than {MAX_DEPTH}"));
    }
    let mut done = String::new();
    let mut rest = value;
    while let Some((before, behind)) = rest.split_once('%') {
        spend(budget, before.len() + 1)?;
        done.push_str(before);
        if let Some(behind) = behind.strip_prefix('%') {
            done.push('%');
            rest = behind;
        } else if let Some((key, behind)) = reference(behind) {
            let key = key.to_lowercase();
            let Some((_, value)) = raw.get(&key) else {
                return Err("%(…)s names a key that is not there".to_string());
            };
            done.push_str(&interpolate(raw, value, depth + 1, budget)?);
            rest = behind;
        } else {
            return Err("a lone `%`: write `%%` for a percent sign".to_string());
        }
    }
    spend(budget, rest.len())?;
    done.push_str(rest);
    Ok(done)
}

fn spend(budget: &mut usize, bytes: usize) -> Result<(), String> {
    let left = budget.checked_sub(bytes);
    *budget = left.ok_or_else(|| format!("longer than {MAX_VALUE} bytes"))?;
    Ok(())
}

/// The key of `(key)s…`, and what is behind it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (key, behind) = text.strip_prefix('(')?.split_once(')')?;
    Some((key, behind.strip_prefix('s')?)).filter(|_| !key.is_empty())
}

#[cfg(test)]
mod tests;
