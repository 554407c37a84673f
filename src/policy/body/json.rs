//! JSON (RFC 8259) as it may stand in a body that is judged: read whole, and more strictly than dockerd does.
//!
//! Go takes a key in any case for the field (and `ſ` for `s`), lets the last of two keys win, and stops behind the
//! first value. Here keys are printable ASCII without escapes and come once, and nothing follows the value.

use std::borrow::Cow;

use super::Refusal;

/// Values inside each other that a body may have; a service has eight.
const MAX_DEPTH: usize = 16;
/// Values that a body may have.
const MAX_VALUES: usize = 16_384;
/// Members that an object may have; each key is compared with those before it.
const MAX_MEMBERS: usize = 1024;
/// The longest number, in bytes: none of Docker's has more than 20 digits.
const MAX_NUMBER: usize = 24;
/// The longest key, in bytes.
const MAX_KEY: usize = 4096;

/// A value; what it borrows is in the body.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'b> {
    Null,
    Flag(bool),
    /// As it is written, which the grammar allows.
    Number(&'b str),
    Text(Cow<'b, str>),
    List(Vec<Value<'b>>),
    /// In the order of the body; each key once.
    Object(Vec<(&'b str, Value<'b>)>),
}

impl<'b> Value<'b> {
    /// The text; nothing of any other value.
    pub(super) fn text(&self) -> &str {
        match self {
            Value::Text(text) => text,
            _ => "",
        }
    }

    /// The members of an object, none of any other value.
    pub(super) fn members(&self) -> &[(&'b str, Value<'b>)] {
        match self {
            Value::Object(members) => members,
            _ => &[],
        }
    }

    /// The items of a list, none of any other value.
    pub(super) fn items(&self) -> &[Value<'b>] {
        match self {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// A member of an object.
    pub(super) fn get(&self, key: &str) -> &Value<'b> {
        let mut members = self.members().iter();
        members
            .find(|(known, _)| *known == key)
            .map_or(&Value::Null, |(_, value)| value)
    }

    /// Whether it is what Go has where nothing is said.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Value::Null | Value::Flag(false) | Value::Number("0" | "-0") => true,
            Value::Text(text) => text.is_empty(),
            Value::List(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            Value::Flag(true) | Value::Number(_) => false,
        }
    }
}

/// Reads a body that is one value.
///
/// # Errors
/// It cannot be read in one way only; see above.
pub(super) fn read(body: &[u8]) -> Result<Value<'_>, Refusal> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Refusal::unreadable(error.valid_up_to(), "not UTF-8"))?;
    let mut reader = Reader {
        text,
        at: 0,
        values: 0,
    };
    reader.space();
    if reader.peek().is_none() {
        return Err(reader.wrong("it is empty"));
    }
    let value = reader.value(0)?;
    reader.space();
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.wrong("more than one value")),
    }
}

struct Reader<'b> {
    text: &'b str,
    at: usize,
    values: usize,
}

impl<'b> Reader<'b> {
    fn wrong(&self, what: &str) -> Refusal {
        Refusal::unreadable(self.at, what)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn since(&self, start: usize) -> &'b str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes `byte` and the space before it, if it comes.
    fn takes(&mut self, byte: u8) -> bool {
        self.space();
        let comes = self.peek() == Some(byte);
        self.at += usize::from(comes);
        comes
    }

    fn value(&mut self, depth: usize) -> Result<Value<'b>, Refusal> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.wrong("too many values"));
        }
        if depth > MAX_DEPTH {
            return Err(self.wrong("too deep"));
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.list(depth + 1),
            Some(b'"') => self.string().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') => self.word("null", Value::Null),
            Some(b't') => self.word("true", Value::Flag(true)),
            Some(b'f') => self.word("false", Value::Flag(false)),
            _ => Err(self.wrong("no JSON value")),
        }
    }

    fn word(&mut self, word: &str, value: Value<'b>) -> Result<Value<'b>, Refusal> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(self.wrong("no JSON value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn list(&mut self, depth: usize) -> Result<Value<'b>, Refusal> {
        self.at += 1;
        let mut items = Vec::new();
        if self.takes(b']') {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.takes(b']') {
                return Ok(Value::List(items));
            }
            if !self.takes(b',') {
                return Err(self.wrong("no , or ] behind an item"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'b>, Refusal> {
        self.at += 1;
        let mut members: Vec<(&str, Value<'_>)> = Vec::new();
        if self.takes(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            let key = self.key()?;
            if members.iter().any(|(known, _)| *known == key) {
                return Err(Refusal::at(key, "comes twice"));
            }
            if members.len() == MAX_MEMBERS {
                return Err(self.wrong("too many members in an object"));
            }
            if !self.takes(b':') {
                return Err(self.wrong("no : behind a key"));
            }
            members.push((key, self.value(depth)?));
            if self.takes(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.takes(b',') {
                return Err(self.wrong("no , or } behind a member"));
            }
        }
    }

    /// A key: what stands between its quotes is what it is.
    fn key(&mut self) -> Result<&'b str, Refusal> {
        if !self.takes(b'"') {
            return Err(self.wrong("no key in an object"));
        }
        let start = self.at;
        while let Some(b' '..=b'!' | b'#'..=b'[' | b']'..=b'~') = self.peek() {
            self.at += 1;
        }
        let key = self.since(start);
        if self.peek() != Some(b'"') {
            let rest = self.text.get(start..).unwrap_or_default();
            let whole = rest.split('"').next().unwrap_or_default();
            return Err(Refusal::at(whole, "is a key not of plain ASCII"));
        }
        if key.len() > MAX_KEY {
            return Err(self.wrong("a key is too long"));
        }
        self.at += 1;
        Ok(key)
    }

    fn string(&mut self) -> Result<Cow<'b, str>, Refusal> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = self.since(start);
                    self.at += 1;
                    return Ok(Cow::Borrowed(text));
                }
                Some(b'\\') => return self.escaped(start).map(Cow::Owned),
                Some(b' '..) => self.at += 1,
                _ => return Err(self.wrong("a control character, or the end, in a string")),
            }
        }
    }

    /// The rest of a string that has escapes, the first of which comes now.
    fn escaped(&mut self, start: usize) -> Result<String, Refusal> {
        let mut text = self.since(start).to_owned();
        loop {
            let plain = self.at;
            while let Some(b' '..=b'!' | b'#'..=b'[' | b']'..) = self.peek() {
                self.at += 1;
            }
            text.push_str(self.since(plain));
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                _ => return Err(self.wrong("a control character, or the end, in a string")),
            }
        }
    }

    /// What is behind a reverse solidus (RFC 8259 §7).
    fn escape(&mut self) -> Result<char, Refusal> {
        let byte = self.peek();
        self.at += 1;
        Ok(match byte {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let unit = self.unit()?;
                let code = match unit {
                    0xd800..0xdc00 => {
                        let low = match self.text.get(self.at..self.at + 2) {
                            Some("\\u") => {
                                self.at += 2;
                                self.unit()?
                            }
                            _ => 0,
                        };
                        if !(0xdc00..0xe000).contains(&low) {
                            return Err(self.wrong("half a surrogate pair"));
                        }
                        0x10000 + ((unit - 0xd800) << 10 | (low - 0xdc00))
                    }
                    unit => unit,
                };
                let whole = char::from_u32(code);
                whole.ok_or_else(|| self.wrong("half a surrogate pair"))?
            }
            _ => return Err(self.wrong("no escape of JSON")),
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u32, Refusal> {
        let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
        let mut unit = 0;
        for digit in digits.chars() {
            let digit = digit.to_digit(16);
            unit = unit << 4 | digit.ok_or_else(|| self.wrong("no escape of JSON"))?;
        }
        if digits.is_empty() {
            return Err(self.wrong("no escape of JSON"));
        }
        self.at += 4;
        Ok(unit)
    }

    /// RFC 8259 §6.
    fn number(&mut self) -> Result<Value<'b>, Refusal> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        match self.since(start) {
            number if number.len() <= MAX_NUMBER => Ok(Value::Number(number)),
            _ => Err(self.wrong("a number is too long")),
        }
    }

    fn digits(&mut self) -> Result<(), Refusal> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.wrong("no number of JSON"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> String {
        match read(body.as_bytes()) {
            Ok(value) => format!("{value:?}"),
            Err(refusal) => refusal.to_string(),
        }
    }

    #[test]
    fn what_is_json_is_read() {
        let body = " {\"a\":[1,-0,0.5e+3,null,true,false],\"b\":{},\"c\":\"\",\"d\":[]}\n";
        let value = read(body.as_bytes()).unwrap();
        let numbers: Vec<_> = value.get("a").items().iter().take(3).collect();
        assert_eq!(
            numbers,
            [
                &Value::Number("1"),
                &Value::Number("-0"),
                &Value::Number("0.5e+3")
            ]
        );
        assert!(
            value.get("b").is_empty() && value.get("c").is_empty() && value.get("x").is_empty()
        );
        for (body, text) in [
            (r#""é\u00e9\n\/\"\\""#, "éé\n/\"\\"),
            (r#""\ud83d\uDE00 😀""#, "😀 😀"),
            (r#""\u0000""#, "\0"),
        ] {
            assert_eq!(read(body.as_bytes()).unwrap().text(), text, "{body}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (body, says) in [
            ("", "it is empty"),
            (" \n", "it is empty"),
            ("{}{}", "more than one value"),
            ("{} x", "more than one value"),
            ("{\"a\":1,\"a\":2}", "a comes twice"),
            (
                "{\"Ho\\u0073tConfig\":1}",
                "Ho\\\\u0073tConfig is a key not of plain ASCII",
            ),
            (
                "{\"Ho\u{17f}tConfig\":1}",
                "Ho\\u{17f}tConfig is a key not of plain ASCII",
            ),
            ("{\"a\nb\":1}", "is a key not of plain ASCII"),
            ("{a:1}", "no key in an object"),
            ("{\"a\" 1}", "no : behind a key"),
            ("{\"a\":1,}", "no key in an object"),
            ("[1,]", "no JSON value"),
            ("[1 2]", "no , or ] behind an item"),
            ("01", "more than one value"),
            ("-", "no number of JSON"),
            ("1.", "no number of JSON"),
            ("1e", "no number of JSON"),
            ("+1", "no JSON value"),
            ("NaN", "no JSON value"),
            ("nul", "no JSON value"),
            ("1234567890123456789012345", "a number is too long"),
            ("\"a", "a control character, or the end, in a string"),
            ("\"a\nb\"", "a control character, or the end, in a string"),
            ("\"\\x41\"", "no escape of JSON"),
            ("\"\\u00\"", "no escape of JSON"),
            ("\"\\u+123\"", "no escape of JSON"),
            ("\"\\ud800\"", "half a surrogate pair"),
            ("\"\\ud800\\u0041\"", "half a surrogate pair"),
            ("\"\\udc00\"", "half a surrogate pair"),
            ("'a'", "no JSON value"),
            ("{/**/}", "no key in an object"),
            ("\u{feff}{}", "no JSON value"),
        ] {
            assert!(said(body).contains(says), "{body:?}: {}", said(body));
        }
        assert!(read(b"\"\xff\"").is_err());
        assert!(said(&"[".repeat(100_000)).contains("too deep"));
        let many = format!("[{}1]", "1,".repeat(MAX_VALUES));
        assert!(said(&many).contains("too many values"));
        let members: Vec<String> = (0..1025).map(|n| format!("\"{n}\":1")).collect();
        assert!(said(&format!("{{{}}}", members.join(","))).contains("too many members"));
    }

    #[test]
    fn what_is_cut_is_refused_at_each_byte() {
        let body = r#"{"a":[1.5e3,"x\u00e9\n"],"b":{"c":null,"d":true}}"#;
        assert!(read(body.as_bytes()).is_ok());
        for end in 0..body.len() {
            assert!(read(&body.as_bytes()[..end]).is_err(), "{end}");
        }
    }
}
