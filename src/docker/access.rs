//! Whom Docker's socket lets in.

use crate::sys::fs::read_up_to;
use crate::sys::process::effective_uid;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What the kernel tells of this process (`proc_pid_status(5)`), of which its groups are read.
const STATUS: &str = "/proc/self/status";
/// The most that is read of it; with 65,536 groups, the most there can be, it is half of that.
const MAX_STATUS: usize = 1024 * 1024;
/// How a group is shown that has no number in this user namespace (`user_namespaces(7)`).
const NO_GROUP: u32 = 65534;
/// The right of a group to connect to a socket (`unix(7)`).
const GROUP_MAY: u32 = 0o020;

/// Whom a socket lets in. Printed, it is why this process is not let in, and what to do.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    mode: u32,
    uid: u32,
    gid: u32,
    /// This process belongs to them.
    ours: bool,
}

impl Access {
    /// By the file; none: it cannot be looked at.
    pub fn of(socket: &Path) -> Option<Access> {
        let socket = fs::metadata(socket).ok()?;
        let (mode, uid, gid) = (socket.mode(), socket.uid(), socket.gid());
        let is_in_group = mode & GROUP_MAY != 0 && is_member(gid);
        Some(Access {
            mode,
            uid,
            gid,
            ours: uid == effective_uid() || is_in_group,
        })
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Access { mode, uid, gid, .. } = *self;
        if gid == NO_GROUP {
            f.write_str(
                "its group has no number in this user namespace; start the agent's container with \
                 --userns=host",
            )
        } else if self.ours {
            f.write_str(
                "its mode and group do not refuse the agent, so that SELinux or AppArmor must; start \
                 its container with --security-opt label=disable or apparmor=unconfined",
            )
        } else if mode & GROUP_MAY == 0 {
            let mode = mode & 0o777;
            write!(
                f,
                "its mode {mode:o} lets no group in; chmod 660 it, or run the agent as user {uid}"
            )
        } else {
            write!(
                f,
                "it belongs to the group {gid}; add the agent's user to that group \
                 (usermod -aG docker USER), or start its container with --group-add {gid}"
            )
        }
    }
}

/// Whether this process is in the group.
fn is_member(gid: u32) -> bool {
    let status = File::open(STATUS).and_then(|file| read_up_to(&file, MAX_STATUS));
    let status = status.unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let mut groups = status
        .lines()
        .filter(|line| line.starts_with("Gid:") || line.starts_with("Groups:"));
    groups.any(|line| {
        line.split_whitespace()
            .any(|number| number.parse() == Ok(gid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_depends_on_what_refuses() {
        let access = |mode: u32, gid, ours| Access {
            mode: 0o140_000 | mode,
            uid: 7,
            gid,
            ours,
        };
        for (access, advice) in [
            (access(0o660, 998, false), "--group-add 998"),
            (access(0o660, 998, true), "--security-opt label=disable"),
            (access(0o600, 0, false), "its mode 600 lets no group in"),
            (access(0o600, 0, false), "run the agent as user 7"),
            (access(0o660, NO_GROUP, false), "--userns=host"),
            // Groups of this process that have no number look the same.
            (access(0o660, NO_GROUP, true), "--userns=host"),
        ] {
            let text = access.to_string();
            assert!(text.contains(advice), "{text}");
        }
    }

    #[test]
    fn groups_are_this_process_s() {
        let status = fs::read_to_string(STATUS).unwrap();
        let line = status.lines().find(|line| line.starts_with("Gid:"));
        let own = line.unwrap().split_whitespace().nth(2).unwrap();
        assert!(is_member(own.parse().unwrap()), "{own}");
        assert!(!is_member(u32::MAX - 1));
    }
}
