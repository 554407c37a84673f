//! The fields that go on to the other side, and how they are written there.
//!
//! Each is written as `name: value CRLF`. Most come like that and next to each other: such runs of
//! lines are copied as they are. Whatever is otherwise is read and written field by field.

use std::ops::Range;

use super::fields::{Kind, Message, list_members};
use super::grammar::{Field, Reader};
use super::{HeadWriter, MAX_HEAD};

/// Runs of lines that are known; a head has one or two, seldom more.
const MAX_RUNS: usize = 8;

/// A place in a head, whose last two bytes are in no field.
type Place = u16;
const _: () = assert!(MAX_HEAD - 1 <= Place::MAX as usize);

/// The fields of a head that go on.
pub(super) struct Passing<'b> {
    /// All fields, and the empty line.
    lines: &'b [u8],
    message: Message,
    /// The runs are known, and can be copied.
    is_runs: bool,
    /// `Connection` names fields, which then do not go on.
    names: bool,
    runs: [(Place, Place); MAX_RUNS],
    count: usize,
}

impl<'b> Passing<'b> {
    pub(super) fn new(lines: &'b [u8], message: Message) -> Passing<'b> {
        Passing {
            lines,
            message,
            is_runs: lines.len() <= MAX_HEAD,
            names: false,
            runs: [(0, 0); MAX_RUNS],
            count: 0,
        }
    }

    /// The line at `place`, which holds `field`, goes on unless `Connection` names it.
    pub(super) fn add(&mut self, place: Range<usize>, field: Field<'_>) {
        self.is_runs &= self.is_canonical(&place, field);
        if !self.is_runs {
            return;
        }
        let (start, end) = (place.start as Place, place.end as Place); // as `new` has seen to
        if let Some(last) = self.count.checked_sub(1)
            && let Some((_, last)) = self.runs.get_mut(last)
            && *last == start
        {
            *last = end;
        } else if let Some(run) = self.runs.get_mut(self.count) {
            *run = (start, end);
            self.count += 1;
        } else {
            self.is_runs = false;
        }
    }

    /// All fields have been seen. `names`: `Connection` names some of them.
    pub(super) fn finish(&mut self, names: bool) {
        self.names = names;
        self.is_runs &= !names;
    }

    /// Writes the fields in their order.
    pub(super) fn write(&self, out: &mut HeadWriter<'_>) {
        if !self.is_runs {
            return self.write_anew(out);
        }
        for &(start, end) in self.runs.iter().take(self.count) {
            let run = self.lines.get(usize::from(start)..usize::from(end));
            out.bytes(run.unwrap_or_default());
        }
    }

    fn write_anew(&self, out: &mut HeadWriter<'_>) {
        let named = self.named();
        let is_named = |name: &[u8]| named.iter().any(|member| member.eq_ignore_ascii_case(name));
        let mut reader = Reader::at_line(self.lines);
        while let Ok(Some(field)) = reader.field() {
            let kind = Kind::of(field.name);
            // Docker is to say the `100` that the client waits for, whatever `Connection` says.
            let goes_on = kind == Kind::Expect || !is_named(field.name);
            if !kind.ends_here(self.message) && goes_on {
                out.field(field.name, field.value);
            }
        }
    }

    /// The fields that `Connection` names, which thereby are for this connection only; at most as
    /// many as a head's [`MAX_MEMBERS`](super::MAX_MEMBERS).
    fn named(&self) -> Vec<&[u8]> {
        let mut named = Vec::new();
        let mut reader = Reader::at_line(self.lines);
        while self.names
            && let Ok(Some(field)) = reader.field()
        {
            if Kind::of(field.name) == Kind::Connection {
                named.extend(list_members(field.value));
            }
        }
        named
    }

    /// Whether the line is what [`HeadWriter::field`] would write of it.
    fn is_canonical(&self, place: &Range<usize>, field: Field<'_>) -> bool {
        let added = place.len() - field.name.len() - field.value.len();
        added == ": \r\n".len() && self.lines.get(place.start + field.name.len() + 1) == Some(&b' ')
    }
}
