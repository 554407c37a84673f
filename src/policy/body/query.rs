//! What the queries of judged requests may hold. A build is judged by its query alone: its body is a tar.

use std::borrow::Cow;

use super::json::Value;
use super::permits::{Permits, Switch};
use super::shape::{Judge, Needs};
use super::{Kind, Refusal, special};

/// Fields that a query may have; builds name tags and hosts.
const MAX_FIELDS: usize = 256;

/// A field by its exact name.
struct Field {
    key: &'static str,
    needs: Needs,
    /// Whether dockerd reads all of its values; else it reads one.
    many: bool,
}

const fn one(key: &'static str, needs: Needs) -> Field {
    let many = false;
    Field { key, needs, many }
}

const fn free(key: &'static str) -> Field {
    one(key, Needs::Nothing)
}

const fn many(key: &'static str, needs: Needs) -> Field {
    let many = true;
    Field { key, needs, many }
}

fn fields(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::ContainerCreate => CREATE,
        Kind::ServiceUpdate => SERVICE_UPDATE,
        Kind::ExecResize => RESIZE,
        Kind::Build => BUILD,
        Kind::ImageCreate => PULL,
        _ => &[],
    }
}

const CREATE: &[Field] = &[free("name"), free("platform")];

const SERVICE_UPDATE: &[Field] = &[
    free("version"),
    free("registryAuthFrom"),
    one("rollback", Needs::Look(special::no_rollback)),
];

const RESIZE: &[Field] = &[free("h"), free("w")];

/// A pull. With `fromSrc` dockerd reads an image from its body, or calls an address.
const PULL: &[Field] = &[
    free("fromImage"),
    free("tag"),
    free("platform"),
    one("fromSrc", Needs::Full),
    free("repo"),
    free("message"),
    many("changes", Needs::Nothing),
];

const BUILD: &[Field] = &[
    many("t", Needs::Nothing),
    free("q"),
    free("nocache"),
    free("pull"),
    free("rm"),
    free("forcerm"),
    free("dockerfile"),         // inside of the context
    one("remote", Needs::Full), // dockerd calls the address
    free("buildargs"),
    free("labels"),
    free("target"),
    free("squash"),
    free("platform"),
    free("isolation"), // of Windows
    free("cachefrom"),
    many("extrahosts", Needs::Nothing),
    one("networkmode", Needs::Look(special::network_mode)),
    one("cgroupparent", Needs::Permit(Switch::CgroupParent)),
    many("securityopt", Needs::Permit(Switch::SecurityOpt)),
    one("ulimits", Needs::Look(special::ulimits)),
    free("shmsize"),
    free("memory"),
    free("memswap"),
    free("cpushares"),
    free("cpuperiod"),
    free("cpuquota"),
    free("cpusetcpus"),
    free("cpusetmems"),
    one("version", Needs::Look(special::builder)),
    one("session", Needs::Full), // the rest is BuildKit's
    one("outputs", Needs::Full),
    free("buildid"),
];

/// Judges a query with its `?`, or none.
pub(super) fn judge(kind: Kind, permits: &Permits, query: &str) -> Result<(), Refusal> {
    let query = query.strip_prefix('?').unwrap_or(query);
    let fields = fields(kind);
    let mut seen = Vec::new();
    for (count, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let refuse = |why: &str| Err(Refusal::at(key, why));
        if count == MAX_FIELDS {
            return refuse("is one field too many in the query");
        }
        // Go decodes keys too: encoded they are other words.
        let Some(field) = fields.iter().find(|field| field.key == key) else {
            return refuse("is a field of the query that is not known here");
        };
        if !field.many && seen.contains(&key) {
            return refuse("comes twice in the query");
        }
        seen.push(key);
        let Some(value) = decode(value) else {
            return refuse("is not UTF-8 in the query");
        };
        let mut judge = Judge::new(permits);
        judge.inside(key, |judge| {
            judge.permitted(&Value::Text(value), field.needs)
        })?;
    }
    Ok(())
}

/// A value as Go reads it: `+` is a space, and `%` has two digits behind it, which the target's form
/// has seen to.
fn decode(value: &str) -> Option<Cow<'_, str>> {
    if !value.contains(['%', '+']) {
        return Some(value.into());
    }
    let mut decoded = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => (digit(bytes.next())? << 4 | digit(bytes.next())?) as u8, // two digits
            other => other,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}
