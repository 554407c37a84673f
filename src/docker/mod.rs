//! What the agent itself asks of Docker: its name and labels, and its containers.
//!
//! Each question is a connection of its own with a deadline and a bound on the answer's size, so
//! that a Docker that hangs, or that has more to tell than fits, costs one report its containers
//! and nothing else.

mod access;
mod endpoint;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod labels;

pub use endpoint::{DEFAULT_TCP_PORT, Endpoint, EndpointError};
pub use error::{DockerError, stale_mount};

use crate::http::client::{self, Request};
use crate::sorted::Map;
use crate::sys::stream::Stream;
use labels::Labels;
use miniserde::{Deserialize, json};
use std::time::{Duration, Instant};

/// From the connection to the last byte of an answer. `/info` takes seconds on a node whose
/// storage is busy.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// The most bytes of an answer: room for some 20,000 containers.
pub const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// What `Host` says over a Unix socket; dockerd ignores it, but HTTP/1.1 wants one.
const UNIX_HOST: &str = "docker";

/// The most characters of an identifier that stand for a container without a name, as the docker
/// command shows them.
const SHORT_ID: usize = 12;

/// What Docker says about itself (`GET /info`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The Docker host's name; empty where Docker does not tell.
    pub name: String,
    /// The daemon's `--label` options, each `key=value` as it was given.
    pub labels: Vec<String>,
    /// The version of dockerd; empty where it does not tell.
    pub server_version: String,
}

/// A container, running or not (`GET /containers/json?all=1`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The last segment of its first name, or the beginning of its id where it has none.
    pub name: String,
    /// What it was made from, as the user named it.
    pub image: String,
    /// Its labels.
    pub labels: Map<String, String>,
}

/// Asks Docker about itself.
///
/// # Errors
/// It cannot be reached, does not answer in time, or not as Docker does.
pub fn info(endpoint: &Endpoint) -> Result<Info, DockerError> {
    let raw: RawInfo = get(endpoint, "/info")?;
    Ok(Info {
        name: raw.name.unwrap_or_default(),
        labels: raw.labels.unwrap_or_default(),
        server_version: raw.server_version.unwrap_or_default(),
    })
}

/// Asks Docker for all containers, running or not.
///
/// # Errors
/// It cannot be reached, does not answer in time, or not as Docker does.
pub fn containers(endpoint: &Endpoint) -> Result<Vec<Container>, DockerError> {
    let raw: Option<Vec<RawContainer>> = get(endpoint, "/containers/json?all=1")?;
    Ok(raw
        .unwrap_or_default()
        .into_iter()
        .map(Container::from)
        .collect())
}

/// Connects to Docker; reads and writes fail from `deadline` on.
///
/// # Errors
/// It cannot be reached by then.
pub fn connect(endpoint: &Endpoint, deadline: Instant) -> Result<Stream, DockerError> {
    let connected = match endpoint {
        Endpoint::Unix(path) => Stream::unix(path, deadline),
        Endpoint::Tcp { host, port } => Stream::tcp(host, *port, deadline),
    };
    connected.map_err(|error| DockerError::connecting(endpoint, error))
}

/// Whether Docker answers within `patience`.
///
/// # Errors
/// Why not.
pub fn ping(endpoint: &Endpoint, patience: Duration) -> Result<(), DockerError> {
    ask(endpoint, "/_ping", Instant::now() + patience).map(|_| ())
}

/// Asks for `target` and reads the JSON that answers it.
fn get<T: Deserialize>(endpoint: &Endpoint, target: &str) -> Result<T, DockerError> {
    let body = ask(endpoint, target, Instant::now() + ANSWER_TIMEOUT)?;
    let text = std::str::from_utf8(&body).ok();
    text.and_then(|text| json::from_str(text).ok())
        .ok_or_else(|| DockerError::NotDocker {
            endpoint: endpoint.clone(),
            target: target.to_owned(),
        })
}

/// Asks for `target`, and gives the body of the answer, which is a 200.
fn ask(endpoint: &Endpoint, target: &str, deadline: Instant) -> Result<Vec<u8>, DockerError> {
    let mut stream = connect(endpoint, deadline)?;
    let host = endpoint.authority();
    let request = Request {
        method: "GET",
        target,
        host: host.as_deref().unwrap_or(UNIX_HOST),
        headers: &[],
        body: b"",
    };
    let answer = client::exchange(&mut stream, &request, MAX_ANSWER).map_err(|source| {
        DockerError::Exchange {
            endpoint: endpoint.clone(),
            source,
        }
    })?;
    if answer.status != 200 {
        let text = std::str::from_utf8(&answer.body).ok();
        return Err(DockerError::Status {
            endpoint: endpoint.clone(),
            target: target.to_owned(),
            status: answer.status,
            message: text.and_then(message).unwrap_or_default(),
        });
    }
    Ok(answer.body)
}

/// Docker's own words for an error: `{"message": "…"}`.
fn message(body: &str) -> Option<String> {
    json::from_str::<RawMessage>(body).ok()?.message
}

#[derive(Deserialize)]
struct RawMessage {
    message: Option<String>,
}

// Every field may be missing, and a list or a map may be null.

#[derive(Deserialize)]
struct RawInfo {
    #[serde(rename = "Name")]
    name: Option<String>,
    #[serde(rename = "Labels")]
    labels: Option<Vec<String>>,
    #[serde(rename = "ServerVersion")]
    server_version: Option<String>,
}

#[derive(Deserialize)]
struct RawContainer {
    #[serde(rename = "Id")]
    id: Option<String>,
    #[serde(rename = "Names")]
    names: Option<Vec<String>>,
    #[serde(rename = "Image")]
    image: Option<String>,
    #[serde(rename = "Labels")]
    labels: Option<Labels>,
}

impl From<RawContainer> for Container {
    fn from(raw: RawContainer) -> Container {
        let id = raw.id.unwrap_or_default();
        let names = raw.names.unwrap_or_default();
        let name = names
            .first()
            .and_then(|name| name.rsplit('/').next())
            .filter(|name| !name.is_empty())
            .map_or_else(|| id.chars().take(SHORT_ID).collect(), str::to_owned);
        Container {
            id,
            name,
            image: raw.image.unwrap_or_default(),
            labels: raw.labels.unwrap_or_default().0,
        }
    }
}

#[cfg(test)]
mod tests;
