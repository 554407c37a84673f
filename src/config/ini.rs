//! Configuration files in the dialect of Python's `configparser.ConfigParser`, which read them
//! for the old agent.
//!
//! `=` or `:` between key and value, keys in any case (of ASCII letters: no option has others), whole
//! lines of `#` or `;` comment, deeper indented lines continue a value, `%%` is a percent sign and
//! `%(key)s` another key's value, a key or section must not come twice, `[DEFAULT]` holds what
//! `[main]` does not say. What is wider in Python is refused here, since it can only be a mistake:
//! other sections. A byte order mark is skipped. A test compares this with configparser itself.

use std::borrow::Cow;

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
    /// Its ASCII letters in lower case.
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

/// A key with its value under construction, or done but not interpolated.
#[derive(Debug)]
struct Raw {
    section: Section,
    entry: Entry,
}

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Main,
    Defaults,
}

/// Reads the settings of a file, in the order of their lines.
///
/// # Errors
/// The first line that is no setting, by its number.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, IniError> {
    let text = decode(bytes)?;
    let mut reader = Reader::default();
    for (index, line) in text.lines().enumerate() {
        reader.line(index + 1, line)?;
    }
    let raw = reader.finish();
    let interpolated = raw.iter().map(|entry| {
        let mut budget = MAX_VALUE;
        let (key, line) = (entry.key.clone(), entry.line);
        match interpolate(&raw, &entry.value, 1, &mut budget) {
            Ok(value) => Ok(Entry { key, value, line }),
            Err(what) => Err(problem(line, format!("{}: {what}", key.escape_debug()))),
        }
    });
    interpolated.collect()
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
    /// In the order of their lines. Searched one by one: a file that is of use has no more keys than
    /// there are options.
    raw: Vec<Raw>,
    /// Where `[main]` begins: it must not begin twice.
    main_line: Option<usize>,
    /// Which of the two is being read.
    section: Option<Section>,
    /// Whether a deeper indented line continues the last value.
    continues: bool,
    /// The indentation of the last key or section, in characters.
    indent: usize,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), IniError> {
        let text = line.trim();
        if text.is_empty() {
            // An empty line may stand inside a value; at its end it is trimmed away.
            self.continue_value("");
            return Ok(());
        }
        if text.starts_with(['#', ';']) {
            return Ok(());
        }
        let indent = line.chars().take_while(|c| c.is_whitespace()).count();
        if indent > self.indent && self.continue_value(text) {
            return Ok(());
        }
        self.indent = indent;
        match header(text) {
            Some(name) => self.begin_section(number, name),
            None => self.begin_value(number, text),
        }
    }

    /// Whether there is a value to continue.
    fn continue_value(&mut self, line: &str) -> bool {
        match self.raw.last_mut() {
            Some(raw) if self.continues => {
                raw.entry.value.push('\n');
                raw.entry.value.push_str(line);
                true
            }
            _ => false,
        }
    }

    fn begin_section(&mut self, number: usize, name: &str) -> Result<(), IniError> {
        self.continues = false;
        match (name, self.main_line) {
            (SECTION, None) => {
                self.main_line = Some(number);
                self.section = Some(Section::Main);
            }
            (SECTION, Some(first)) => {
                let again = format!("section [{SECTION}] again, first in line {first}");
                return Err(problem(number, again));
            }
            (DEFAULTS, _) => self.section = Some(Section::Defaults),
            _ => {
                let unknown = format!("unknown section [{}], not [{SECTION}]", name.escape_debug());
                return Err(problem(number, unknown));
            }
        }
        Ok(())
    }

    fn begin_value(&mut self, number: usize, text: &str) -> Result<(), IniError> {
        let fail = |what: &str| Err(problem(number, what.to_string()));
        let Some(section) = self.section else {
            return fail("a setting before the section header [main]");
        };
        let Some((key, value)) = text.split_once(['=', ':']) else {
            return fail("neither `key = value` nor a section nor a comment");
        };
        let key = key.trim_end().to_ascii_lowercase();
        if key.is_empty() {
            return fail("no key before the value");
        }
        let same = |raw: &&Raw| raw.section == section && raw.entry.key == key;
        if let Some(first) = self.raw.iter().find(same) {
            let (key, line) = (key.escape_debug(), first.entry.line);
            return fail(&format!("key `{key}` again, first in line {line}"));
        }
        let entry = Entry {
            key,
            value: value.trim().to_string(),
            line: number,
        };
        self.raw.push(Raw { section, entry });
        self.continues = true;
        Ok(())
    }

    /// The values of `[main]`, and those of `[DEFAULT]` that it does not say.
    fn finish(&self) -> Vec<Entry> {
        let main = |raw: &&Raw| raw.section == Section::Main;
        let said = |key: &str| self.raw.iter().filter(main).any(|raw| raw.entry.key == key);
        let counts = self
            .raw
            .iter()
            .filter(|raw| main(raw) || !said(&raw.entry.key));
        let trimmed = counts.map(|Raw { entry, .. }| Entry {
            key: entry.key.clone(),
            value: entry.value.trim_end().to_string(),
            line: entry.line,
        });
        trimmed.collect()
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
    raw: &[Entry],
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
            let key = key.to_ascii_lowercase();
            let Some(entry) = raw.iter().find(|entry| entry.key == key) else {
                return Err("%(…)s names a key that is not there".to_string());
            };
            done.push_str(&interpolate(raw, &entry.value, depth + 1, budget)?);
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
    let behind = behind.strip_prefix('s')?;
    (!key.is_empty()).then_some((key, behind))
}

#[cfg(test)]
mod tests;
