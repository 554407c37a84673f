//! Why Docker did not answer, in words that say what to do.

use super::Endpoint;
use super::access::Access;
use crate::http::client::ClientError;
use crate::sys::fs::read_up_to;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The kernel's table of this process's mounts (`proc_pid_mountinfo(5)`).
const MOUNT_TABLE: &str = "/proc/self/mountinfo";
/// The most that is read of it; a busy Docker host has some hundred kilobytes.
const MAX_MOUNT_TABLE: usize = 4 * 1024 * 1024;
/// The most characters of a foreign message that are shown.
const MAX_SHOWN: usize = 200;

/// Why Docker did not answer.
#[derive(Debug)]
pub enum DockerError {
    /// There is no such socket.
    NotFound(PathBuf),
    /// The mounted socket was replaced on the host: this mount keeps the dead one.
    Stale(PathBuf),
    /// The agent's user may not connect.
    PermissionDenied {
        /// Docker's socket.
        path: PathBuf,
        /// Whom it lets in, where that can be read.
        access: Option<Access>,
    },
    /// Nobody listens there.
    Refused(Endpoint),
    /// The connection failed for another reason.
    Connect {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        source: io::Error,
    },
    /// The connection was made, but no whole answer came.
    Exchange {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        source: ClientError,
    },
    /// An answer other than 200.
    Status {
        /// Where.
        endpoint: Endpoint,
        /// What was asked.
        target: String,
        /// The answer.
        status: u16,
        /// Docker's words.
        message: String,
    },
    /// An answer that is not Docker's.
    NotDocker {
        /// Where.
        endpoint: Endpoint,
        /// What was asked.
        target: String,
    },
}

impl DockerError {
    /// Tells apart why a connection could not be made.
    pub fn connecting(endpoint: &Endpoint, source: io::Error) -> DockerError {
        let Endpoint::Unix(path) = endpoint else {
            return if source.kind() == io::ErrorKind::ConnectionRefused {
                DockerError::Refused(endpoint.clone())
            } else {
                DockerError::Connect {
                    endpoint: endpoint.clone(),
                    source,
                }
            };
        };
        match source.kind() {
            io::ErrorKind::NotFound => DockerError::NotFound(path.clone()),
            io::ErrorKind::PermissionDenied => DockerError::PermissionDenied {
                path: path.clone(),
                access: Access::of(path),
            },
            io::ErrorKind::ConnectionRefused if stale_mount(path) => {
                DockerError::Stale(path.clone())
            }
            io::ErrorKind::ConnectionRefused => DockerError::Refused(endpoint.clone()),
            _ => DockerError::Connect {
                endpoint: endpoint.clone(),
                source,
            },
        }
    }
}

impl fmt::Display for DockerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DockerError::NotFound(path) => write!(
                f,
                "there is no Docker socket at {0}: is Docker running, and, in a container, \
                 is the directory mounted (-v /run:/run)?",
                path.display()
            ),
            DockerError::Stale(path) => write!(
                f,
                "Docker's socket {0} was replaced on the host since it was mounted here; a mount \
                 of the file keeps the dead one for ever. Mount the directory instead \
                 (-v /run:/run), or restart this container after each restart of Docker",
                path.display()
            ),
            DockerError::PermissionDenied { path, access } => {
                write!(
                    f,
                    "permission to use Docker's socket {} was denied",
                    path.display()
                )?;
                match access {
                    Some(access) => write!(f, ": {access}"),
                    None => f.write_str(
                        ", or to a directory above it: the agent's user must belong to the \
                         socket's group (usermod -aG docker USER)",
                    ),
                }
            }
            DockerError::Refused(endpoint) => {
                write!(f, "nobody listens at {endpoint}: is Docker running there?")
            }
            DockerError::Connect { endpoint, source } => {
                write!(f, "Docker at {endpoint} cannot be reached: {source}")
            }
            DockerError::Exchange { endpoint, source } => {
                write!(f, "Docker at {endpoint} did not answer: {source}")
            }
            DockerError::Status {
                endpoint,
                target,
                status,
                message,
            } => {
                let shown: String = message.chars().take(MAX_SHOWN).collect();
                write!(
                    f,
                    "Docker at {endpoint} answered {status} to {target}: {}",
                    shown.escape_debug()
                )
            }
            DockerError::NotDocker { endpoint, target } => write!(
                f,
                "what {endpoint} answered to {target} is not Docker's: is the endpoint right?"
            ),
        }
    }
}

impl std::error::Error for DockerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DockerError::Connect { source, .. } => Some(source),
            DockerError::Exchange { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Whether `socket` is a mount of a file that is gone on the host: the kernel then shows the
/// root of that mount as `…//deleted`. `false` where the mount table cannot be read.
pub fn stale_mount(socket: &Path) -> bool {
    let table = File::open(MOUNT_TABLE).and_then(|file| read_up_to(&file, MAX_MOUNT_TABLE));
    // A path through a link (`/var/run`) is mounted under its real name.
    let real = fs::canonicalize(socket).ok();
    table.is_ok_and(|table| {
        shows_deleted(&table, socket) || real.is_some_and(|real| shows_deleted(&table, &real))
    })
}

/// The topmost (that is, the last) mount on `socket` decides.
pub(super) fn shows_deleted(table: &[u8], socket: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    table
        .split(|&b| b == b'\n')
        .filter_map(root_and_mount_point)
        .rfind(|(_, mount_point)| unescape(mount_point) == socket.as_os_str().as_bytes())
        .is_some_and(|(root, _)| root.ends_with(b"//deleted"))
}

/// The fields (4) and (5) of a line: `ID PARENT MAJOR:MINOR ROOT MOUNT-POINT …`.
fn root_and_mount_point(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = line.split(|&b| b == b' ').skip(3);
    Some((fields.next()?, fields.next()?))
}

/// Space, tab, newline and backslash stand as three octal digits after a backslash.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        match after {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] if byte == b'\\' => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As seen in a container (busybox) after dockerd was restarted on the host.
    const TABLE: &[u8] =
        b"1202 1187 0:24 /docker.sock//deleted /run/docker.sock rw,nosuid - tmpfs tmpfs rw\n\
          1203 1187 0:24 /docker.sock /run/live.sock rw,nosuid - tmpfs tmpfs rw\n\
          1204 1187 0:24 /a//deleted /run/with\\040space rw - tmpfs tmpfs rw\n\
          1205 1187 0:24 /old//deleted /run/twice rw - tmpfs tmpfs rw\n\
          1206 1187 0:24 /new /run/twice rw - tmpfs tmpfs rw\n\
          broken\n";

    #[test]
    fn only_a_deleted_root_makes_a_mount_stale() {
        for (path, stale) in [
            ("/run/docker.sock", true),
            ("/run/with space", true),
            ("/run/live.sock", false),
            ("/run/twice", false),
            ("/run", false),
        ] {
            assert_eq!(shows_deleted(TABLE, Path::new(path)), stale, "{path}");
        }
    }

    #[test]
    fn a_socket_that_is_no_mount_is_not_stale() {
        assert!(!stale_mount(Path::new("/run/docker.sock")));
        assert!(!stale_mount(Path::new("/no/such/socket")));
    }

    #[test]
    fn the_error_says_what_to_do() {
        let path = PathBuf::from("/run/docker.sock");
        let denied = DockerError::PermissionDenied {
            path: path.clone(),
            access: None,
        };
        for (error, advice) in [
            (DockerError::NotFound(path.clone()), "is Docker running"),
            (DockerError::Stale(path.clone()), "-v /run:/run"),
            (denied, "usermod -aG"),
            (
                DockerError::Refused(Endpoint::Unix(path.clone())),
                "nobody listens at unix:///run/docker.sock",
            ),
        ] {
            let text = error.to_string();
            assert!(text.contains(advice), "{text}");
            assert!(text.contains("/run/docker.sock"), "{text}");
        }
    }

    #[test]
    fn a_foreign_message_is_escaped_and_bounded() {
        let error = DockerError::Status {
            endpoint: Endpoint::Unix(PathBuf::from("/s")),
            target: "/info".to_owned(),
            status: 500,
            message: format!("two\nlines{}", "x".repeat(5000)),
        };
        let text = error.to_string();
        assert!(text.contains("two\\nlines") && text.len() < 400, "{text}");
    }
}
