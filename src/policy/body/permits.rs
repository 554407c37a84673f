//! What an operator's policy permits in the bodies of its requests: `permit host-network`.

use super::super::rule::Pattern;

/// Lines of one policy.
const MAX_PERMITS: usize = 64;

/// One thing that is dangerous, and may be permitted by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Root on the host.
    Privileged,
    /// The host's network.
    HostNetwork,
    /// The host's processes.
    HostPid,
    /// The host's shared memory.
    HostIpc,
    /// The host's name.
    HostUts,
    /// No user namespace, where dockerd would give one.
    HostUserns,
    /// The host's view of the control groups.
    HostCgroupns,
    /// Capabilities by their names.
    Capabilities,
    /// Devices of the host, and rules for them.
    Devices,
    /// Seccomp, AppArmor, SELinux, masked paths.
    SecurityOpt,
    /// Directories of the host by their paths.
    Binds,
    /// All volumes of another container.
    VolumesFrom,
    /// Drivers of volumes and their options, with which `local` mounts anything.
    VolumeOptions,
    /// Drivers of networks and their options.
    NetworkOptions,
    /// Kernel parameters.
    Sysctls,
    /// Another runtime, and annotations for it.
    Runtime,
    /// A place among the host's control groups.
    CgroupParent,
    /// Namespaces of another container.
    ContainerNamespaces,
    /// Links, which show another container's environment.
    Links,
    /// Log drivers that send elsewhere, and their options.
    LogDriver,
    /// Limits that a container is to escape: the OOM killer, ulimits, real time.
    Limits,
    /// Secrets and configs of a swarm, mounted into a service.
    Secrets,
}

/// Every switch by its name in a file.
pub(super) const SWITCHES: &[(&str, Switch)] = &[
    ("privileged", Switch::Privileged),
    ("host-network", Switch::HostNetwork),
    ("host-pid", Switch::HostPid),
    ("host-ipc", Switch::HostIpc),
    ("host-uts", Switch::HostUts),
    ("host-userns", Switch::HostUserns),
    ("host-cgroupns", Switch::HostCgroupns),
    ("capabilities", Switch::Capabilities),
    ("devices", Switch::Devices),
    ("security-opt", Switch::SecurityOpt),
    ("binds", Switch::Binds),
    ("volumes-from", Switch::VolumesFrom),
    ("volume-options", Switch::VolumeOptions),
    ("network-options", Switch::NetworkOptions),
    ("sysctls", Switch::Sysctls),
    ("runtime", Switch::Runtime),
    ("cgroup-parent", Switch::CgroupParent),
    ("container-namespaces", Switch::ContainerNamespaces),
    ("links", Switch::Links),
    ("log-driver", Switch::LogDriver),
    ("limits", Switch::Limits),
    ("secrets", Switch::Secrets),
];

impl Switch {
    /// The one with this name.
    pub(super) fn named(name: &str) -> Option<Switch> {
        let mut switches = SWITCHES.iter();
        switches
            .find(|(known, _)| *known == name)
            .map(|(_, switch)| *switch)
    }

    /// Its name in a file.
    pub fn name(self) -> &'static str {
        let mut switches = SWITCHES.iter();
        switches
            .find(|(_, switch)| *switch == self)
            .map_or("", |(name, _)| name)
    }
}

/// What one policy permits; at first nothing.
#[derive(Clone, Debug, Default)]
pub struct Permits {
    switches: Vec<Switch>,
    /// In upper case, without `CAP_`.
    capabilities: Vec<Box<str>>,
    binds: Vec<Bind>,
    /// The lines as they stand, with their numbers, for a person.
    pub(in crate::policy) lines: Vec<(usize, Box<str>)>,
}

/// Directories of the host that may be mounted.
#[derive(Clone, Debug)]
struct Bind {
    text: Box<str>,
    pattern: Pattern,
    writable: bool,
}

impl Permits {
    /// Reads what is behind the word `permit` in a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(in crate::policy) fn add(&mut self, text: &str, line: usize) -> Result<(), String> {
        let text = text.split_once('#').map_or(text, |(permit, _)| permit);
        let words: Vec<&str> = text.split_whitespace().collect();
        let (name, arguments) = words.split_first().unwrap_or((&"", &[]));
        let Some(switch) = Switch::named(name) else {
            let known: Vec<&str> = SWITCHES.iter().map(|(name, _)| *name).collect();
            let (name, known) = (name.escape_debug(), known.join(", "));
            return Err(format!("`{name}` cannot be permitted: there are {known}"));
        };
        if self.lines.len() == MAX_PERMITS {
            return Err(format!("more than {MAX_PERMITS} lines of `permit`"));
        }
        match (switch, arguments) {
            (Switch::Capabilities, []) => {
                return Err("which? `permit capabilities NET_ADMIN,SYS_TIME`, or ALL".to_string());
            }
            (Switch::Binds, []) => {
                return Err("which? `permit binds /srv/web /var/log/**:ro`".to_string());
            }
            (Switch::Capabilities, names) => {
                let names = names.iter().flat_map(|word| word.split(','));
                self.capabilities
                    .extend(names.map(|name| capability(name).into()));
            }
            (Switch::Binds, paths) => {
                for path in paths {
                    self.binds.push(Bind::parse(path)?);
                }
                self.keep_inside()?;
            }
            (_, []) => self.switches.push(switch),
            (_, [extra, ..]) => {
                let extra = extra.escape_debug();
                return Err(format!("`{extra}`: nothing stands behind `{name}`"));
            }
        }
        self.lines.push((line, words.join(" ").into()));
        Ok(())
    }

    /// Refuses directories below such that a container may write to: it could put a symbolic link
    /// there, and mount what that points to.
    fn keep_inside(&self) -> Result<(), String> {
        for upper in self.binds.iter().filter(|bind| bind.writable) {
            let mut lower = self.binds.iter();
            if let Some(lower) = lower.find(|lower| upper.pattern.is_above(&lower.pattern)) {
                return Err(format!(
                    "what `{}` lets a container write to holds what `{}` lets it mount: a symbolic link put \
                     there leads anywhere (add :ro, or name directories that are not inside each other; \
                     /srv/* is good)",
                    upper.text, lower.text
                ));
            }
        }
        Ok(())
    }

    /// Whether this is permitted.
    pub(super) fn has(&self, switch: Switch) -> bool {
        self.switches.contains(&switch)
    }

    /// Whether a capability may be added, in whatever form it is written.
    pub(super) fn has_capability(&self, name: &str) -> bool {
        let name = capability(name);
        self.capabilities.iter().any(|known| **known == *name)
    }

    /// Whether a directory of the host may be mounted. dockerd cleans a path before it uses it, and
    /// swarmkit fills in templates; one that would change by that, but for a slash at its end, is not taken.
    pub(super) fn has_bind(&self, path: &str, writable: bool) -> bool {
        let Some(path) = clean(path) else {
            return false;
        };
        self.binds.iter().any(|bind| {
            (bind.writable || !writable) && bind.pattern.matches(path.split_terminator('/'))
        })
    }
}

impl Bind {
    /// `/srv/web`, `/srv/*` or `/var/log/**:ro`.
    fn parse(text: &str) -> Result<Bind, String> {
        let (path, writable) = match text.strip_suffix(":ro") {
            Some(path) => (path, false),
            None => (text, true),
        };
        let wrong = |what: &str| format!("`{}`: {what}", text.escape_debug());
        let Some(clean) = clean(path).filter(|clean| clean.len() + 1 == path.len()) else {
            return Err(wrong(
                "not an absolute path without `//`, `.`, `..` and a `/` at its end",
            ));
        };
        Ok(Bind {
            text: text.into(),
            pattern: Pattern::of_segments(clean.split_terminator('/'))
                .map_err(|what| wrong(&what))?,
            writable,
        })
    }
}

/// An absolute path without its first slash and its last, if it has no empty segment, `.` or `..`, and
/// nothing that swarmkit would fill in.
/// The root itself has no segment, and is not taken.
fn clean(path: &str) -> Option<&str> {
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let good = |segment: &str| !matches!(segment, "" | "." | "..");
    let plain = !path.contains(char::is_control) && !path.contains("{{");
    (path.split('/').all(good) && plain).then_some(path)
}

/// A capability's name as the kernel has it, without `CAP_`.
fn capability(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").unwrap_or(&name).to_owned()
}
