//! Values that are harmless or not by what they say.

use super::json::Value;
use super::permits::{Permits, Switch};
use super::shape::{Look, Verdict, Why};

/// What looks at a value, by its name in a table.
pub(super) fn look(name: &str) -> Option<Look> {
    Some(match name {
        "binds" => binds,
        "log" => log_config,
        "network" => network_mode,
        "volume-driver" => volume_driver,
        "capabilities" => capabilities,
        "cgroupns" => cgroupns_mode,
        "ipc" => ipc_mode,
        "oom-score" => oom_score,
        "pid" => pid_mode,
        "security-opt" => security_opt,
        "uts" => uts_mode,
        "userns" => userns_mode,
        "mounts" => mounts,
        "endpoints" => endpoints,
        "network-driver" => network_driver,
        "task-runtime" => task_runtime,
        "tmpfs" => tmpfs,
        _ => return None,
    })
}

/// Good, if `switch` is permitted.
pub(super) fn need(switch: Switch, permits: &Permits) -> Verdict {
    match permits.has(switch) {
        true => Ok(()),
        false => Err(Why::Needs(switch)),
    }
}

const UNKNOWN: Why = Why::Full("has a value that is not known here");

/// A mode of a namespace: of the host, of a container, or one that is `known` to be harmless.
fn mode(value: &Value<'_>, permits: &Permits, host: Switch, known: &[&str]) -> Verdict {
    match value.text() {
        "host" => need(host, permits),
        mode if mode.starts_with("container:") => need(Switch::ContainerNamespaces, permits),
        mode if known.contains(&mode) => Ok(()),
        _ => Err(UNKNOWN),
    }
}

pub(super) fn pid_mode(value: &Value<'_>, permits: &Permits) -> Verdict {
    mode(value, permits, Switch::HostPid, &["", "private"])
}

pub(super) fn ipc_mode(value: &Value<'_>, permits: &Permits) -> Verdict {
    let known = ["", "none", "private", "shareable"];
    mode(value, permits, Switch::HostIpc, &known)
}

pub(super) fn uts_mode(value: &Value<'_>, permits: &Permits) -> Verdict {
    mode(value, permits, Switch::HostUts, &["", "private"])
}

pub(super) fn userns_mode(value: &Value<'_>, permits: &Permits) -> Verdict {
    mode(value, permits, Switch::HostUserns, &["", "private"])
}

pub(super) fn cgroupns_mode(value: &Value<'_>, permits: &Permits) -> Verdict {
    mode(value, permits, Switch::HostCgroupns, &["", "private"])
}

/// Another name is that of a network, of which dockerd lets nobody join the host's by its ID.
pub(super) fn network_mode(value: &Value<'_>, permits: &Permits) -> Verdict {
    let name = value.text();
    mode(value, permits, Switch::HostNetwork, &[name])
}

/// The networks that a container is connected to, by name.
pub(super) fn endpoints(value: &Value<'_>, permits: &Permits) -> Verdict {
    let mut names = value.members().iter();
    names.try_for_each(|(name, _)| network_mode(&Value::Text((*name).into()), permits))
}

pub(super) fn capabilities(value: &Value<'_>, permits: &Permits) -> Verdict {
    let one = |name: &str| match permits.has_capability(name) {
        true => Ok(()),
        false => Err(Why::NeedsFor(Switch::Capabilities, name.to_owned())),
    };
    match value {
        Value::Text(name) => one(name),
        list => list.items().iter().try_for_each(|name| one(name.text())),
    }
}

/// What takes privileges away is good.
pub(super) fn security_opt(value: &Value<'_>, permits: &Permits) -> Verdict {
    let good = [
        "no-new-privileges",
        "no-new-privileges:true",
        "no-new-privileges=true",
    ];
    let mut options = value.items().iter();
    match options.all(|option| good.contains(&option.text())) {
        true => Ok(()),
        false => need(Switch::SecurityOpt, permits),
    }
}

/// Where a volume comes from: the driver that Docker itself has, or another.
pub(super) fn volume_driver(value: &Value<'_>, permits: &Permits) -> Verdict {
    match value.text() {
        "" | "local" => Ok(()),
        _ => need(Switch::VolumeOptions, permits),
    }
}

/// Drivers that make a network of this host's, or of the swarm's; `macvlan` reaches the host's own.
pub(super) fn network_driver(value: &Value<'_>, permits: &Permits) -> Verdict {
    match value.text() {
        "" | "default" | "bridge" | "overlay" => Ok(()),
        _ => need(Switch::NetworkOptions, permits),
    }
}

/// Which logs stay on the host; by `Type` in a container and `Name` in a service.
pub(super) fn log_config(value: &Value<'_>, permits: &Permits) -> Verdict {
    const KEYS: &[&str] = &[
        "max-size",
        "max-file",
        "compress",
        "labels",
        "labels-regex",
        "env",
        "env-regex",
        "tag",
        "mode",
        "max-buffer-size",
    ];
    let driver = [value.get("Type").text(), value.get("Name").text()].concat();
    let stays = matches!(&*driver, "" | "json-file" | "local" | "journald" | "none");
    let options = [value.get("Config"), value.get("Options")];
    let mut options = options.iter().flat_map(|options| options.members());
    match stays && options.all(|(key, _)| KEYS.contains(key)) {
        true => Ok(()),
        false => need(Switch::LogDriver, permits),
    }
}

/// To be killed before others is nobody's danger.
pub(super) fn oom_score(value: &Value<'_>, permits: &Permits) -> Verdict {
    match value {
        Value::Number(score) if score.starts_with('-') && *score != "-0" => {
            need(Switch::Limits, permits)
        }
        _ => Ok(()),
    }
}

/// What is mounted by `Tmpfs`, with its options.
pub(super) fn tmpfs(value: &Value<'_>, _: &Permits) -> Verdict {
    let mut mounts = value.members().iter();
    mounts.try_for_each(|(_, options)| tmpfs_options(options.text()))
}

/// dockerd hands on whatever mount(8) knows. `remount` makes no tmpfs but changes what is mounted there,
/// a read-only bind or the file system that it is of; `bind` and `shared` reach the host as well.
fn tmpfs_options(options: &str) -> Verdict {
    let known = |option: &str| match option.split_once('=') {
        Some((key, _)) => ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"].contains(&key),
        None => [
            "", "ro", "rw", "exec", "noexec", "suid", "nosuid", "dev", "nodev", "noatime",
        ]
        .contains(&option),
    };
    match options.split(',').all(known) {
        true => Ok(()),
        false => Err(UNKNOWN),
    }
}

/// A service's runtime: a plugin runs with root's rights.
pub(super) fn task_runtime(value: &Value<'_>, _: &Permits) -> Verdict {
    match value.text() {
        "" | "container" => Ok(()),
        _ => Err(Why::Full("is for the policy full alone")),
    }
}

/// Which version of the builder: BuildKit does what its session says, which nobody judges.
pub(super) fn builder(value: &Value<'_>, _: &Permits) -> Verdict {
    match value.text() {
        "" | "1" => Ok(()),
        _ => Err(Why::Full(
            "is BuildKit's, which is for the policy full alone (DOCKER_BUILDKIT=0 builds without it)",
        )),
    }
}

/// `SOURCE:TARGET[:MODE]` with a path of the host as source, or a volume's name; as dockerd's parser for
/// Linux reads it.
pub(super) fn binds(value: &Value<'_>, permits: &Permits) -> Verdict {
    let mut entries = value.items().iter();
    entries.try_for_each(|entry| bind(entry.text(), permits))
}

fn bind(entry: &str, permits: &Permits) -> Verdict {
    let mut parts = entry.split(':');
    let (source, target) = (parts.next().unwrap_or_default(), parts.next());
    let mode = parts.next().unwrap_or_default();
    // Without a second part the first is the target of a volume without a name.
    if target.is_none() {
        return Ok(());
    }
    if parts.next().is_some() {
        return Err(UNKNOWN);
    }
    let mut writable = true;
    for word in mode.split(',').filter(|word| !word.is_empty()) {
        match word {
            "ro" => writable = false,
            // Labels that SELinux is to give to the source.
            "z" | "Z" => {}
            "rw" | "nocopy" | "consistent" | "cached" | "delegated" | "default" | "private"
            | "rprivate" | "slave" | "rslave" => {}
            // With `shared` a mount in the container appears on the host.
            _ => return Err(UNKNOWN),
        }
    }
    let relabels = mode.contains(['z', 'Z']);
    match source.starts_with('/') {
        true => host_path(source, writable || relabels, permits),
        false => Ok(()),
    }
}

fn host_path(path: &str, writable: bool, permits: &Permits) -> Verdict {
    if permits.has_bind(path, writable) {
        return Ok(());
    }
    let mode = if writable { "" } else { ":ro" };
    Err(Why::NeedsFor(Switch::Binds, [path, mode].concat()))
}

/// A mount of a container or a service. swarmkit takes one without a type for a bind, and types in any
/// case.
pub(super) fn mount(value: &Value<'_>, permits: &Permits) -> Verdict {
    let source = value.get("Source").text();
    match value.get("Type").text() {
        "image" => Ok(()),
        "tmpfs" => {
            let options = value.get("TmpfsOptions").get("Options");
            let mut words = options.items().iter().flat_map(Value::items);
            words.try_for_each(|word| tmpfs_options(word.text()))
        }
        "volume" if source.starts_with('/') => Err(UNKNOWN),
        "volume" => Ok(()),
        "bind" => {
            let options = value.get("BindOptions");
            let propagation = options.get("Propagation").text();
            if !["", "private", "rprivate", "slave", "rslave"].contains(&propagation) {
                return Err(UNKNOWN);
            }
            let read_only = *value.get("ReadOnly") == Value::Flag(true)
                && options.get("ReadOnlyNonRecursive").is_empty();
            host_path(source, !read_only, permits)
        }
        _ => Err(UNKNOWN),
    }
}

/// The limits of a build, as JSON in its query.
pub(super) fn ulimits(value: &Value<'_>, permits: &Permits) -> Verdict {
    match value.text() {
        "" | "null" | "[]" => Ok(()),
        _ => need(Switch::Limits, permits),
    }
}

/// Every one of a list of mounts.
pub(super) fn mounts(value: &Value<'_>, permits: &Permits) -> Verdict {
    value.items().iter().try_for_each(|one| mount(one, permits))
}

/// A flag that dockerd reads from a query.
pub(super) fn no_rollback(value: &Value<'_>, _: &Permits) -> Verdict {
    match value.text() {
        "" | "none" => Ok(()),
        _ => Err(Why::Full(
            "brings back what is not in the body, and is for the policy full alone",
        )),
    }
}
