//! The harness for bodies that are judged (see `fuzzing`).
#![allow(clippy::unwrap_used, reason = "a harness fails by a panic")]

use miniserde::json as lenient;

use super::json::{self, Value};
use super::{Kind, Permits, judge, judge_query};

/// What is looked at by more than its path.
const KINDS: [Kind; 12] = [
    Kind::ContainerCreate,
    Kind::ContainerUpdate,
    Kind::ExecCreate,
    Kind::ExecStart,
    Kind::ExecResize,
    Kind::VolumeCreate,
    Kind::NetworkCreate,
    Kind::NetworkConnect,
    Kind::ServiceCreate,
    Kind::ServiceUpdate,
    Kind::Build,
    Kind::ImageCreate,
];

/// A body, and the same bytes as a query: read in one way only, refused in words that may be logged,
/// and, of one to whom nothing is permitted, never taken with what makes root.
pub fn body(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes);
    let another: Option<lenient::Value> = text.ok().and_then(|text| lenient::from_str(text).ok());
    if let Ok(value) = json::read(bytes) {
        let mut written = String::new();
        write(&value, &mut written);
        assert_eq!(json::read(written.as_bytes()), Ok(value.clone()));
        if let Some(another) = &another {
            assert!(same(&value, another), "{value:?}");
        }
    }
    let permits = Permits::default();
    for kind in KINDS {
        let judged = judge(kind, &permits, bytes);
        let query = text.map(|text| judge_query(kind, &permits, &format!("?{text}")));
        for refusal in [
            judged.as_ref().err(),
            query.as_ref().ok().and_then(|query| query.as_ref().err()),
        ] {
            let words = refusal.map(ToString::to_string).unwrap_or_default();
            assert!(!words.contains(char::is_control) && words.len() < 2000);
        }
        if judged.is_ok() && kind.has_judged_body() {
            assert!(another.as_ref().is_none_or(is_harmless), "{kind:?}");
        }
    }
}

fn write(value: &Value<'_>, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Flag(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => out.push_str(number),
        Value::Text(text) => out.push_str(&lenient::to_string(&**text)),
        Value::List(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                out.push_str(if place > 0 { ", " } else { "" });
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (place, (key, item)) in members.iter().enumerate() {
                out.push_str(if place > 0 { ", " } else { "" });
                out.push_str(&format!("\"{key}\": "));
                write(item, out);
            }
            out.push('}');
        }
    }
}

/// Whether another reader has read the same; of numbers only that they are some.
fn same(value: &Value<'_>, another: &lenient::Value) -> bool {
    match (value, another) {
        (Value::Null, lenient::Value::Null) => true,
        (Value::Flag(one), lenient::Value::Bool(other)) => one == other,
        (Value::Number(_), lenient::Value::Number(_)) => true,
        (Value::Text(one), lenient::Value::String(other)) => one == other,
        (Value::List(one), lenient::Value::Array(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other.iter())
                    .all(|(one, other)| same(one, other))
        }
        (Value::Object(one), lenient::Value::Object(other)) => {
            let is_same = |(key, value): &(&str, Value<'_>)| {
                other.get(*key).is_some_and(|other| same(value, other))
            };
            one.len() == other.len() && one.iter().all(is_same)
        }
        _ => false,
    }
}

/// Whether nothing in it makes root, as far as a glance tells, with keys in any case as Go takes them.
fn is_harmless(value: &lenient::Value) -> bool {
    match value {
        lenient::Value::Array(items) => items.iter().all(is_harmless),
        lenient::Value::Object(members) => members.iter().all(|(key, value)| {
            let key = key.to_ascii_lowercase();
            // Keys of one's own, with texts.
            matches!(&*key, "labels" | "config")
                || (is_harmless_at(&key, value) && is_harmless(value))
        }),
        _ => true,
    }
}

fn is_harmless_at(key: &str, value: &lenient::Value) -> bool {
    let texts = || -> Vec<&str> {
        match value {
            lenient::Value::String(text) => vec![text],
            lenient::Value::Array(items) => items.iter().filter_map(text).collect(),
            _ => Vec::new(),
        }
    };
    match key {
        "privileged" => !matches!(value, lenient::Value::Bool(true)),
        "networkmode" | "pidmode" | "ipcmode" | "utsmode" | "usernsmode" | "cgroupnsmode" => {
            texts()
                .iter()
                .all(|mode| *mode != "host" && !mode.starts_with("container:"))
        }
        "binds" => !texts().iter().any(|bind| bind.starts_with('/')),
        "securityopt" => !texts().iter().any(|option| option.contains("unconfined")),
        "capadd" | "capabilityadd" | "volumesfrom" => texts().is_empty(),
        "devices" | "devicerequests" | "devicecgrouprules" => {
            !matches!(value, lenient::Value::Array(items) if !items.is_empty())
        }
        "mounts" => match value {
            lenient::Value::Array(mounts) => !mounts.iter().any(is_bind),
            _ => true,
        },
        _ => true,
    }
}

fn is_bind(mount: &lenient::Value) -> bool {
    match mount {
        lenient::Value::Object(members) => members
            .iter()
            .any(|(key, value)| key.eq_ignore_ascii_case("type") && text(value) == Some("bind")),
        _ => false,
    }
}

fn text(value: &lenient::Value) -> Option<&str> {
    match value {
        lenient::Value::String(text) => Some(text),
        _ => None,
    }
}
