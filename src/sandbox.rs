//! What the agent gives up before it serves anybody, so that who breaks into it has little of it: new
//! privileges, all files but those that it reads, and the system calls that it never makes.
//!
//! The kernel binds the thread that asks, and what that thread makes from then on: [`enter`] comes
//! before the first thread. What the kernel does not have is told, and nothing more: the agent works
//! without.

use crate::config::Config;
use crate::links;
use crate::sorted::Set;
use crate::sys::landlock::{self, Ruleset};
use crate::sys::process::forbid_new_privileges;
use crate::sys::seccomp;
use crate::zone;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// What the resolver of the C library reads (resolver(3), hosts(5)); beside the latter, in the same
/// directory, lies what else glibc's reads (`nsswitch.conf`, `gai.conf`).
const NAMES: [&str; 2] = ["etc/resolv.conf", "etc/hosts"];
/// Where the programs that write `resolv.conf` keep it: a link may turn from one to the other.
const RESOLVERS: [&str; 3] = [
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/run/resolvconf",
];
/// Where the kernel tells of itself, below the node's root and our own. All of `proc`, and not the files
/// that are read there: the kernel makes a new inode for the same file after it has forgotten the old one
/// for want of memory, and no rule would be about that one. Other processes' memory is out of reach all
/// the same: Landlock denies what needs the right to trace them.
const KERNELS: [&str; 3] = ["proc", "sys/class/net", "sys/devices"];
/// The node's name, in its root directory.
const HOST_NAME: &str = "etc/hostname";

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// One line: what holds, and what does not and why.
    pub line: String,
    /// Whether all holds that the settings want.
    pub complete: bool,
    /// Below these directories, and of these files, everything is read; none: Landlock does not hold.
    pub places: Vec<PathBuf>,
}

impl Outcome {
    /// Tells it in the log.
    pub fn tell(&self) {
        let level = if self.complete {
            log::Level::Info
        } else {
            log::Level::Warn
        };
        log::log!(level, "sandbox: {}", self.line);
        if !self.places.is_empty() {
            log::debug!("sandbox: files are read below {:?}", self.places);
        }
    }
}

/// Gives up what `config` says, for the calling thread and what it makes from now on, for ever.
pub fn enter(config: &Config) -> Outcome {
    let (wanted, mut places) = (config.sandbox, Vec::new());
    if !wanted.on {
        return Outcome {
            line: "off, as the settings say".to_string(),
            complete: true,
            places,
        };
    }
    let mut parts = Parts::default();
    parts.add("no_new_privs", true, || {
        forbid_new_privileges().map(|()| String::new())
    });
    parts.add("Landlock", wanted.landlock, || {
        let readable = readable(config);
        let abi = restrict(&readable)?;
        places = readable;
        Ok(format!(" ABI {abi}"))
    });
    // The last: what comes before is made of system calls as well.
    parts.add("seccomp", wanted.seccomp, || {
        let refused = seccomp::refuse()?;
        Ok(format!(" ({refused} calls refused)"))
    });
    Outcome {
        line: parts.line(),
        complete: parts.lacking.is_empty(),
        places,
    }
}

/// The parts of a sandbox by how they turned out, each as a text.
#[derive(Default)]
struct Parts {
    hold: Vec<String>,
    off: Vec<String>,
    lacking: Vec<String>,
}

impl Parts {
    fn add(&mut self, name: &str, wanted: bool, part: impl FnOnce() -> io::Result<String>) {
        if !wanted {
            self.off.push(format!("{name} is off, as the settings say"));
            return;
        }
        match part() {
            Ok(how) => self.hold.push(format!("{name}{how}")),
            Err(error) => self.lacking.push(format!("no {name}: {}", why(&error))),
        }
    }

    fn line(&self) -> String {
        let mut line = if self.hold.is_empty() {
            "nothing holds".to_string()
        } else {
            self.hold.join(", ")
        };
        for part in self.off.iter().chain(&self.lacking) {
            // Writing to a string cannot fail.
            let _ = write!(line, "; {part}");
        }
        line
    }
}

/// Why a part is missing, in terms of what can be done about it.
fn why(error: &io::Error) -> String {
    use io::ErrorKind::{PermissionDenied, Unsupported};
    let text = error.to_string();
    let hint = match (error.kind(), error.raw_os_error()) {
        (Unsupported, None) => return text,
        // ENOSYS and EOPNOTSUPP are of one kind.
        (Unsupported, Some(_)) => "the kernel is too old, or built or started without it",
        (PermissionDenied, _) => "refused to this process: by its container's seccomp profile?",
        _ => return text,
    };
    format!("{hint} ({text})")
}

/// Leaves `readable` to be read and nothing to be written or executed; gives Landlock's ABI.
fn restrict(readable: &[PathBuf]) -> io::Result<u32> {
    let abi = landlock::abi()?;
    let ruleset = Ruleset::new(abi)?;
    for place in readable {
        match ruleset.allow_reading(place) {
            // What cannot be reached now could not be read either.
            Err(error) if is_unreachable(&error) => {}
            outcome => outcome?,
        }
    }
    ruleset.restrict_self()?;
    Ok(abi)
}

fn is_unreachable(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
}

/// What the agent reads once it has started, or may read again: directories, for a rule on a file ends
/// when the file is replaced, which is how certificates and `resolv.conf` change.
fn readable(config: &Config) -> Vec<PathBuf> {
    let (own, node) = (Path::new("/"), config.root_path.as_path());
    let mut places = Set::default();
    for file in config.files.iter().chain(&config.named) {
        // It fails only without a working directory, where no relative path leads anywhere.
        if let Ok(file) = std::path::absolute(file) {
            add(&mut places, own, &file);
        }
    }
    for name in NAMES {
        add(&mut places, own, Path::new(name));
    }
    add(&mut places, node, Path::new(HOST_NAME));
    for source in zone::sources() {
        add(&mut places, node, &source);
    }
    for root in [own, node] {
        for name in KERNELS {
            places.insert(root.join(name));
        }
    }
    for directory in RESOLVERS {
        places.insert(PathBuf::from(directory));
    }
    places
        .iter()
        .filter(|place| place.exists())
        .cloned()
        .collect()
}

/// Adds the directories that the file `path` (inside `root`) needs so that it can be read and, however
/// it is replaced, still be read:
///
/// - that of the file, and that of each link that stands for the file (certbot's `live`, then `archive`);
/// - that of a link on the way that leads below its own directory (Kubernetes' `..data`): the next
///   will lead to a neighbour. One that leads elsewhere (`/var/run`) was made to stay.
/// - where a link leads to what is not there yet, the nearest directory above.
///
/// Of a file in the root directory or in `/dev` it is the file alone: their directories are everything,
/// and the disks on which everything lies.
fn add(places: &mut Set<PathBuf>, root: &Path, path: &Path) {
    let mut add = |directory: &Path, file: &Path| {
        let too_much = [root, Path::new("/"), Path::new("/dev")];
        let place = if too_much.contains(&directory) {
            file
        } else {
            directory
        };
        if !too_much.contains(&place) {
            places.insert(place.to_owned());
        }
    };
    let (mut reached, mut linked) = (root.to_owned(), false);
    let found = links::walk(root, path, |step| match (step.link, step.at.parent()) {
        (Some(target), Some(parent)) => {
            linked = true;
            let swapped = parent != root && leads_below(parent, root, target);
            if step.last || swapped {
                add(parent, step.at);
            }
        }
        _ => reached = step.at.to_owned(),
    });
    match found {
        Ok(place) if place.is_dir() => add(&place, &place),
        Ok(file) => add(file.parent().unwrap_or(root), &file),
        Err(_) if linked => add(&reached, &reached),
        Err(_) => {}
    }
}

/// Whether a link in `directory` to `target` leads to what is below the same directory.
fn leads_below(directory: &Path, root: &Path, target: &Path) -> bool {
    use std::path::Component::ParentDir;
    let climbs = target.components().any(|part| part == ParentDir);
    let inside = target.strip_prefix("/");
    !climbs && inside.map_or(true, |inside| root.join(inside).starts_with(directory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A directory of a test's own, removed with it.
    struct Tree(PathBuf);

    impl Tree {
        fn new() -> Tree {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("haven-sandbox-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Tree(path.canonicalize().unwrap())
        }

        fn file(&self, path: &str) -> PathBuf {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            path
        }

        fn link(&self, path: &str, target: &str) -> PathBuf {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, &path).unwrap();
            path
        }

        /// What is added for the file at `path`, below the tree.
        fn places(&self, path: &Path) -> Vec<String> {
            let mut places = Set::default();
            add(&mut places, Path::new("/"), path);
            let inside = places.iter().map(|place| {
                let inside = place.strip_prefix(&self.0).unwrap_or(place);
                inside.display().to_string()
            });
            inside.collect()
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_plain_file_opens_its_directory() {
        let tree = Tree::new();
        let file = tree.file("tls/key.pem");
        assert_eq!(tree.places(&file), ["tls"]);
        assert_eq!(tree.places(&tree.0.join("tls/../tls/./key.pem")), ["tls"]);
        assert_eq!(tree.places(&tree.0.join("tls")), ["tls"]);
        assert!(tree.places(&tree.0.join("none/key.pem")).is_empty());
    }

    #[test]
    fn certbot_s_links_open_both_directories() {
        let tree = Tree::new();
        tree.file("archive/node/cert1.pem");
        let live = tree.link("live/node/cert.pem", "../../archive/node/cert1.pem");
        assert_eq!(tree.places(&live), ["archive/node", "live/node"]);
        let named = tree.link("etc/cert.pem", &live.display().to_string());
        assert_eq!(tree.places(&named), ["archive/node", "etc", "live/node"]);
    }

    #[test]
    fn kubernetes_data_link_opens_the_volume() {
        let tree = Tree::new();
        tree.file("secret/..2026_11/tls.key");
        tree.link("secret/..data", "..2026_11");
        let key = tree.link("secret/tls.key", "..data/tls.key");
        assert_eq!(tree.places(&key), ["secret", "secret/..2026_11"]);
        let through = tree.0.join("secret/..data/tls.key");
        assert_eq!(tree.places(&through), ["secret", "secret/..2026_11"]);
    }

    #[test]
    fn a_directory_link_that_leads_elsewhere_opens_nothing_around_it() {
        let tree = Tree::new();
        tree.file("run/haven/key.pem");
        tree.link("var/run", &tree.0.join("run").display().to_string());
        tree.link("var/other", "../run");
        for path in ["var/run/haven/key.pem", "var/other/haven/key.pem"] {
            assert_eq!(tree.places(&tree.0.join(path)), ["run/haven"], "{path}");
        }
    }

    #[test]
    fn where_a_link_leads_to_what_is_not_there_yet_the_directory_above_is_open() {
        let tree = Tree::new();
        fs::create_dir_all(tree.0.join("run/systemd")).unwrap();
        let conf = tree.link("etc/resolv.conf", "../run/systemd/resolve/stub.conf");
        assert_eq!(tree.places(&conf), ["etc", "run/systemd"]);
    }

    #[test]
    fn a_circle_of_links_ends() {
        let tree = Tree::new();
        let one = tree.link("one", "two");
        tree.link("two", "one");
        assert!(tree.places(&one).len() <= 2);
    }

    #[test]
    fn the_root_directory_and_that_of_the_devices_are_never_open() {
        let tree = Tree::new();
        assert_eq!(tree.places(Path::new("/dev/null")), ["/dev/null"]);
        assert!(tree.places(Path::new("/none.pem")).is_empty());
        assert!(tree.places(Path::new("/")).is_empty());
        tree.link("etc/passwd", "/in-the-root");
        tree.file("in-the-root");
        let mut places = Set::default();
        add(&mut places, &tree.0, Path::new("etc/passwd"));
        let places: Vec<_> = places.iter().cloned().collect();
        assert_eq!(places, [tree.0.join("etc"), tree.0.join("in-the-root")]);
    }

    #[test]
    fn what_is_missing_is_told_with_its_reason() {
        let mut parts = Parts::default();
        parts.add("one", true, || Ok(" of 1".to_string()));
        parts.add("two", false, || Ok(String::new()));
        // In the C library's words: musl's are others than glibc's.
        let [unknown, unsupported, refused] = [errno::ENOSYS, errno::EOPNOTSUPP, errno::EPERM]
            .map(io::Error::from_raw_os_error)
            .map(|error| error.to_string());
        for code in [errno::ENOSYS, errno::EOPNOTSUPP, errno::EPERM] {
            parts.add("three", true, || Err(io::Error::from_raw_os_error(code)));
        }
        let old = "no three: the kernel is too old, or built or started without it";
        assert_eq!(
            parts.line(),
            format!(
                "one of 1; two is off, as the settings say; \
                 {old} ({unknown}); {old} ({unsupported}); \
                 no three: refused to this process: by its container's seccomp profile? ({refused})"
            )
        );
        assert_eq!(Parts::default().line(), "nothing holds");
    }

    /// Numbers that every Linux but MIPS, SPARC and their like has (`asm-generic/errno.h`).
    mod errno {
        pub const EPERM: i32 = 1;
        pub const ENOSYS: i32 = 38;
        pub const EOPNOTSUPP: i32 = 95;
    }
}
