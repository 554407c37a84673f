//! What is reported, and its JSON.

use crate::docker::Container;
use crate::metrics::{Disk, Memory, Traffic};
use crate::sorted::Map;
use crate::sys::time::UnixTime;
use crate::zone::LocalTime;
use miniserde::json;
use miniserde::ser::{self, Fragment, Serialize};
use std::borrow::Cow;
use std::slice;

/// How a report's time is written: each generation of managers reads one form only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeForm {
    /// `2026-11-22T07:12:00.123456+01:00` (Java's `ZonedDateTime`): managers since mid 2017.
    Offset,
    /// `2016-08-10T15:03:05.559807` (Java's `LocalDateTime`): managers before.
    Local,
}

impl TimeForm {
    /// The one that is tried where this one was not understood.
    pub fn other(self) -> TimeForm {
        match self {
            TimeForm::Offset => TimeForm::Local,
            TimeForm::Local => TimeForm::Offset,
        }
    }
}

/// The state of a node at one moment. What could not be found out is `None`, and is left out of
/// the JSON: a manager keeps what it knew, where a zero would replace it.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// When.
    pub time: UnixTime,
    /// The same moment on the node's clocks.
    pub local: LocalTime,
    /// The Docker host's name, or the node's own.
    pub name: String,
    /// Where the master reaches Docker on this node.
    pub address: Option<String>,
    /// The Docker daemon's labels.
    pub labels: Map<String, String>,
    /// All containers, running or not.
    pub containers: Option<Vec<Container>>,
    /// The node's health.
    pub system: System,
}

/// The health of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct System {
    /// Percent of the whole machine since the report before.
    pub cpu_load: Option<f32>,
    /// In bytes.
    pub memory: Option<Memory>,
    /// By mount point.
    pub disks: Option<Map<String, Disk>>,
    /// By interface.
    pub net: Option<Map<String, Traffic>>,
}

impl Report {
    /// The body of a registration, with the fields in the order of the document.
    pub fn to_json(&self, form: TimeForm) -> String {
        let time = format_time(self.time, self.local, form);
        let containers: Option<Vec<_>> = self
            .containers
            .as_ref()
            .map(|list| list.iter().map(container_json).collect());
        let mut fields = Object::default();
        fields.add("time", time);
        fields.add("id", self.name.as_str());
        fields.add("name", self.name.as_str());
        fields.add_some("address", self.address.as_deref());
        fields.add("labels", labels_json(&self.labels));
        fields.add_some("containers", containers);
        fields.add("system", self.system.to_object());
        json::to_string(&fields)
    }
}

impl System {
    fn to_object(&self) -> Object<'_> {
        let mut fields = Object::default();
        fields.add_some("cpuLoad", self.cpu_load.and_then(percent));
        fields.add_some("memory", self.memory.as_ref().map(memory_json));
        fields.add_some("disks", self.disks.as_ref().map(|d| each(d, disk_json)));
        fields.add_some("net", self.net.as_ref().map(|n| each(n, traffic_json)));
        fields
    }
}

/// Two digits after the point say all that a load has to say. Not a number: left out, since JSON
/// has none.
fn percent(load: f32) -> Option<f64> {
    load.is_finite()
        .then(|| (f64::from(load).clamp(0.0, 100.0) * 100.0).round() / 100.0)
}

/// Managers read a Java `long`, which ends earlier.
fn bytes(count: u64) -> u64 {
    count.min(i64::MAX as u64)
}

fn memory_json(memory: &Memory) -> Object<'static> {
    let mut fields = Object::default();
    fields.add("total", bytes(memory.total));
    fields.add("available", bytes(memory.available));
    fields.add("used", bytes(memory.used));
    fields
}

fn disk_json(disk: &Disk) -> Object<'static> {
    let mut fields = Object::default();
    fields.add("total", bytes(disk.total));
    fields.add("used", bytes(disk.used));
    fields
}

fn traffic_json(traffic: &Traffic) -> Object<'static> {
    let mut fields = Object::default();
    fields.add("bytesIn", bytes(traffic.bytes_in));
    fields.add("bytesOut", bytes(traffic.bytes_out));
    fields
}

fn container_json(container: &Container) -> Object<'_> {
    let mut fields = Object::default();
    fields.add("id", container.id.as_str());
    fields.add("name", container.name.as_str());
    fields.add("image", container.image.as_str());
    fields.add("labels", labels_json(&container.labels));
    fields
}

fn labels_json(labels: &Map<String, String>) -> Object<'_> {
    let mut fields = Object::default();
    for (key, value) in labels {
        fields.add(key, value.as_str());
    }
    fields
}

/// An object with the keys of `map`.
fn each<T>(map: &Map<String, T>, json: fn(&T) -> Object<'static>) -> Object<'_> {
    let mut fields = Object::default();
    for (key, value) in map {
        fields.add(key, json(value));
    }
    fields
}

/// `2016-08-10T15:03:05.559807`, and `+01:00` after it in the other form; `+00:00` for UTC, and
/// seconds in an offset only where it has some (ISO 8601 as Java reads it).
fn format_time(time: UnixTime, local: LocalTime, form: TimeForm) -> String {
    let mut text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}",
        local.year,
        local.month,
        local.day,
        local.hour,
        local.minute,
        local.second,
        time.micros()
    );
    if form == TimeForm::Offset {
        let sign = if local.offset_secs < 0 { '-' } else { '+' };
        let offset = local.offset_secs.unsigned_abs();
        let (hours, minutes, seconds) = (offset / 3600, offset / 60 % 60, offset % 60);
        text.push_str(&format!("{sign}{hours:02}:{minutes:02}"));
        if seconds != 0 {
            text.push_str(&format!(":{seconds:02}"));
        }
    }
    text
}

/// A JSON object whose fields may be left out, which miniserde's derived ones cannot.
#[derive(Default)]
struct Object<'a>(Vec<(&'a str, Box<dyn Serialize + 'a>)>);

impl<'a> Object<'a> {
    fn add(&mut self, name: &'a str, value: impl Serialize + 'a) {
        self.0.push((name, Box::new(value)));
    }

    fn add_some(&mut self, name: &'a str, value: Option<impl Serialize + 'a>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }
}

impl Serialize for Object<'_> {
    fn begin(&self) -> Fragment<'_> {
        Fragment::Map(Box::new(Fields(self.0.iter())))
    }
}

struct Fields<'a>(slice::Iter<'a, (&'a str, Box<dyn Serialize + 'a>)>);

impl ser::Map for Fields<'_> {
    fn next(&mut self) -> Option<(Cow<'_, str>, &dyn Serialize)> {
        let (name, value) = self.0.next()?;
        Some((Cow::Borrowed(name), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(offset_secs: i32) -> (UnixTime, LocalTime) {
        let time = UnixTime {
            secs: 0,
            nanos: 123_456_789,
        };
        let local = LocalTime {
            year: 2026,
            month: 1,
            day: 2,
            hour: 7,
            minute: 12,
            second: 0,
            offset_secs,
        };
        (time, local)
    }

    fn report() -> Report {
        let (time, local) = moment(3600);
        Report {
            time,
            local,
            name: "node".to_owned(),
            address: Some("https://localhost:8771".to_owned()),
            labels: Map::from([("k".to_owned(), "v".to_owned())]),
            containers: Some(vec![Container {
                id: "1".to_owned(),
                name: "web \"x\"".to_owned(),
                image: "nginx".to_owned(),
                labels: Map::default(),
            }]),
            system: System {
                cpu_load: Some(12.3),
                memory: Some(Memory {
                    total: u64::MAX,
                    available: 5,
                    used: 3,
                }),
                disks: Some(Map::from([("/".to_owned(), Disk { total: 9, used: 4 })])),
                net: Some(Map::from([(
                    "eth0".to_owned(),
                    Traffic {
                        bytes_in: 1,
                        bytes_out: 2,
                    },
                )])),
            },
        }
    }

    #[test]
    fn the_whole_report_is_written_in_the_documents_order() {
        assert_eq!(
            report().to_json(TimeForm::Offset),
            concat!(
                r#"{"time":"2026-01-02T07:12:00.123456+01:00","id":"node","name":"node","#,
                r#""address":"https://localhost:8771","labels":{"k":"v"},"#,
                r#""containers":[{"id":"1","name":"web \"x\"","image":"nginx","labels":{}}],"#,
                r#""system":{"cpuLoad":12.3,"#,
                r#""memory":{"total":9223372036854775807,"available":5,"used":3},"#,
                r#""disks":{"/":{"total":9,"used":4}},"#,
                r#""net":{"eth0":{"bytesIn":1,"bytesOut":2}}}}"#
            )
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let mut report = report();
        report.address = None;
        report.labels = Map::default();
        report.containers = None;
        report.system = System::default();
        let nothing = concat!(
            r#"{"time":"2026-01-02T07:12:00.123456","id":"node","name":"node","#,
            r#""labels":{},"system":{}}"#
        );
        assert_eq!(report.to_json(TimeForm::Local), nothing);
        for load in [f32::NAN, f32::INFINITY] {
            report.system.cpu_load = Some(load);
            assert_eq!(report.to_json(TimeForm::Local), nothing);
        }
    }

    #[test]
    fn a_load_stays_between_0_and_100() {
        for (load, shown) in [(0.0, 0.0), (100.004, 100.0), (-1.0, 0.0), (33.333, 33.33)] {
            assert_eq!(percent(load), Some(shown));
        }
    }

    #[test]
    fn the_time_has_both_forms_in_every_zone() {
        for (offset, shown) in [
            (0, "+00:00"),
            (19_800, "+05:30"),
            (-34_200, "-09:30"),
            (-1_521, "-00:25:21"),
        ] {
            let (time, local) = moment(offset);
            let plain = format_time(time, local, TimeForm::Local);
            assert_eq!(plain, "2026-01-02T07:12:00.123456");
            assert_eq!(
                format_time(time, local, TimeForm::Offset),
                format!("{plain}{shown}")
            );
        }
    }
}
