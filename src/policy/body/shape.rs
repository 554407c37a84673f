//! How the tables of this room say what a body may hold, and how a body is held against them.

use super::json::Value;
use super::permits::{Permits, Switch};
use super::{Refusal, special};

/// One key of an object, in its exact spelling.
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) is: Is,
    pub(super) needs: Needs,
}

/// What a value is. `null` is taken everywhere: to Go it says nothing.
#[derive(Clone, Copy)]
pub(super) enum Is {
    Flag,
    /// A whole number of 64 bits.
    Whole,
    Number,
    Text,
    /// Go's `strslice`: a text, or a list of them.
    Words,
    List(&'static Is),
    /// Any keys, each with such a value.
    Map(&'static Is),
    /// These keys and no others; in several tables where Go embeds one struct in another.
    Object(&'static [&'static [Field]]),
}

/// What a value needs to be permitted.
#[derive(Clone, Copy)]
pub(super) enum Needs {
    /// Nothing: it is harmless whatever it is.
    Nothing,
    /// This, unless it is empty: zero, `false`, without text, items or members.
    Permit(Switch),
    /// This, unless it is `null`: an empty list says something as well.
    PermitUnlessNull(Switch),
    /// Nobody but `full` may say more than nothing here.
    Full,
    /// What a closer look at it says.
    Look(fn(&Value<'_>, &Permits) -> Verdict),
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

/// What is said of one value.
pub(super) type Verdict = Result<(), Why>;

pub(super) const TEXTS: Is = Is::List(&Is::Text);
pub(super) const WHOLES: Is = Is::List(&Is::Whole);
/// Names and values.
pub(super) const TEXT_MAP: Is = Is::Map(&Is::Text);
/// Go's `map[string]struct{}`: a set of names.
pub(super) const SET: Is = Is::Map(&Is::Object(&[]));

/// A key that is harmless.
pub(super) const fn free(key: &'static str, is: Is) -> Field {
    Field {
        key,
        is,
        needs: Needs::Nothing,
    }
}

/// A key that has to be permitted, unless it is empty.
pub(super) const fn permit(key: &'static str, is: Is, switch: Switch) -> Field {
    Field {
        key,
        is,
        needs: Needs::Permit(switch),
    }
}

/// A key that is harmless or not by its value.
pub(super) const fn look(
    key: &'static str,
    is: Is,
    look: fn(&Value<'_>, &Permits) -> Verdict,
) -> Field {
    Field {
        key,
        is,
        needs: Needs::Look(look),
    }
}

/// A key under which only `full` may say something.
pub(super) const fn full(key: &'static str) -> Field {
    Field {
        key,
        is: Is::Text,
        needs: Needs::Full,
    }
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
    pub(super) fn judge(&mut self, value: &Value<'_>, is: Is) -> Result<(), Refusal> {
        match (value, is) {
            (Value::Null, _)
            | (Value::Flag(_), Is::Flag)
            | (Value::Number(_), Is::Number)
            | (Value::Text(_), Is::Text | Is::Words) => Ok(()),
            (Value::Number(number), Is::Whole) if is_whole(number) => Ok(()),
            (Value::List(items), Is::List(is)) => self.items(items, *is),
            (Value::List(items), Is::Words) => self.items(items, Is::Text),
            (Value::Object(members), Is::Map(is)) => {
                let mut members = members.iter();
                members
                    .try_for_each(|(key, value)| self.inside(key, |judge| judge.judge(value, *is)))
            }
            (Value::Object(members), Is::Object(tables)) => {
                let mut members = members.iter();
                members.try_for_each(|(key, value)| {
                    self.inside(key, |judge| judge.member(key, value, tables))
                })
            }
            _ => Err(self.refuse(kind(is))),
        }
    }

    fn items(&mut self, items: &[Value<'_>], is: Is) -> Result<(), Refusal> {
        for (number, item) in items.iter().enumerate() {
            let length = self.place.len();
            self.place.push_str(&format!("[{number}]"));
            self.judge(item, is)?;
            self.place.truncate(length);
        }
        Ok(())
    }

    fn member(
        &mut self,
        key: &str,
        value: &Value<'_>,
        tables: &'static [&'static [Field]],
    ) -> Result<(), Refusal> {
        let mut fields = tables.iter().flat_map(|table| table.iter());
        let Some(field) = fields.find(|field| field.key == key) else {
            return Err(self.refuse("is not known here"));
        };
        if let Needs::Full = field.needs {
            return match value.is_empty() {
                true => Ok(()),
                false => Err(self.refuse("is for the policy full alone")),
            };
        }
        self.judge(value, field.is)?;
        self.permitted(value, field.needs)
    }

    /// Whether a value of the right kind is permitted.
    pub(super) fn permitted(&self, value: &Value<'_>, needs: Needs) -> Result<(), Refusal> {
        let verdict = match needs {
            Needs::Nothing => Ok(()),
            Needs::Permit(_) | Needs::Full if value.is_empty() => Ok(()),
            Needs::PermitUnlessNull(_) if *value == Value::Null => Ok(()),
            Needs::Permit(switch) | Needs::PermitUnlessNull(switch) => {
                special::need(switch, self.permits)
            }
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
fn kind(is: Is) -> &'static str {
    match is {
        Is::Flag => "is not true or false",
        Is::Whole => "is not a whole number of 64 bits",
        Is::Number => "is not a number",
        Is::Text => "is not a string",
        Is::Words => "is not a string or a list of strings",
        Is::List(_) => "is not a list",
        Is::Map(_) | Is::Object(_) => "is not an object",
    }
}
