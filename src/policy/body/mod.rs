//! What the bodies and queries of requests that could make somebody root may hold, for all policies but
//! `full`. It is an allow-list: what is not known to be harmless has to be permitted by name, and what is
//! not known at all is refused.
//!
//! - `json`: a reader that takes what can be read in one way only;
//! - `known.ini`, `query`: what may stand where, a line for each key;
//! - `shape`: how a body is held against that;
//! - `special`: values that are harmless or not by what they say;
//! - `permits`: what an operator's policy permits, one by one.

use std::fmt;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod json;
mod permits;
mod query;
mod shape;
mod special;
#[cfg(test)]
mod tests;

pub use permits::{Permits, Switch};
use shape::Judge;

/// The longest part of a peer's words that is shown.
const MAX_SHOWN: usize = 96;

/// The requests that are judged by more than their path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `POST /containers/create`
    ContainerCreate,
    /// `POST /containers/*/update`
    ContainerUpdate,
    /// `POST /containers/*/exec`
    ExecCreate,
    /// `POST /exec/*/start`
    ExecStart,
    /// `POST /exec/*/resize`
    ExecResize,
    /// `POST /volumes/create`
    VolumeCreate,
    /// `POST /networks/create`
    NetworkCreate,
    /// `POST /networks/*/connect`
    NetworkConnect,
    /// `POST /services/create`
    ServiceCreate,
    /// `POST /services/*/update`
    ServiceUpdate,
    /// `POST /build`
    Build,
    /// `POST /images/create`
    ImageCreate,
}

impl Kind {
    /// What a route without version asks for. A name in it may have slashes, as dockerd takes it.
    pub fn of(method: &str, route: &str) -> Option<Kind> {
        let has = |start: &str, end: &str| route.starts_with(start) && route.ends_with(end);
        Some(match route {
            _ if method != "POST" => return None,
            "/containers/create" => Kind::ContainerCreate,
            "/volumes/create" => Kind::VolumeCreate,
            "/networks/create" => Kind::NetworkCreate,
            "/services/create" => Kind::ServiceCreate,
            "/build" => Kind::Build,
            "/images/create" => Kind::ImageCreate,
            _ if has("/containers/", "/update") => Kind::ContainerUpdate,
            _ if has("/containers/", "/exec") => Kind::ExecCreate,
            _ if has("/exec/", "/start") => Kind::ExecStart,
            _ if has("/exec/", "/resize") => Kind::ExecResize,
            _ if has("/networks/", "/connect") => Kind::NetworkConnect,
            _ if has("/services/", "/update") => Kind::ServiceUpdate,
            _ => return None,
        })
    }

    /// What its body is, as a section of `known.ini`; none where it is not looked at.
    fn shape(self) -> Option<&'static str> {
        Some(match self {
            Kind::ContainerCreate => "Create",
            Kind::ContainerUpdate => "Update",
            Kind::ExecCreate => "ExecCreate",
            Kind::ExecStart => "ExecStart",
            Kind::VolumeCreate => "Volume",
            Kind::NetworkCreate => "Network",
            Kind::NetworkConnect => "Connect",
            Kind::ServiceCreate | Kind::ServiceUpdate => "Service",
            Kind::ExecResize | Kind::Build | Kind::ImageCreate => return None,
        })
    }

    /// Whether its body is judged.
    pub fn has_judged_body(self) -> bool {
        self.shape().is_some()
    }
}

/// Why a body or a query is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The key, or where the reading ended; fit to be shown.
    place: String,
    why: String,
}

impl Refusal {
    fn at(place: &str, why: &str) -> Refusal {
        Refusal {
            place: shown(place),
            why: why.to_owned(),
        }
    }

    fn unreadable(at: usize, why: &str) -> Refusal {
        Refusal {
            place: format!("byte {at} of the body:"),
            why: why.to_owned(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place, self.why)
    }
}

impl std::error::Error for Refusal {}

/// A peer's words as they may stand in a log: without control characters, and not long.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown.escape_default().to_string()
}

/// Judges the body of a request.
///
/// # Errors
/// It cannot be read whole and understood, or holds what `permits` does not permit: the first key that
/// does, and what it needs.
pub fn judge(kind: Kind, permits: &Permits, body: &[u8]) -> Result<(), Refusal> {
    let Some(shape) = kind.shape() else {
        return Ok(());
    };
    let value = json::read(body)?;
    if value == json::Value::Null {
        return Err(Refusal::at("the body", "is not an object"));
    }
    Judge::new(permits).judge(&value, shape)
}

/// Judges the query of a request, with its `?`.
///
/// # Errors
/// A field that is not known, or that is not permitted.
pub fn judge_query(kind: Kind, permits: &Permits, query: &str) -> Result<(), Refusal> {
    query::judge(kind, permits, query)
}

/// The `Id` in dockerd's answer to the creation of an exec.
pub(super) fn made_exec(answer: &[u8]) -> Option<String> {
    let value = json::read(answer).ok()?;
    Some(value.get("Id").text().to_owned()).filter(|id| !id.is_empty())
}
