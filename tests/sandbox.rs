//! What the agent has given up once it runs, and that it still reads what it must: files that are
//! replaced, the resolver's, the kernel's.
//!
//! What the filter of system calls refuses is shown where the filter is (`sys::seccomp`). This kernel
//! may have no Landlock; then the tests that need it say so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use haven_agent::config::{Config, Request, Surroundings, read};
use haven_agent::metrics::Collector;
use haven_agent::sandbox::{Outcome, enter};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::ToSocketAddrs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use support::agent::{Agent, PASSWORD, Setup, binary};
use support::client::Client;
use support::process::{Outcome as Ended, clean, run};
use support::upstream::Upstream;
use support::{TempDir, eventually, skipped};

/// ENOSYS and EOPNOTSUPP on all that the tests run on (`asm-generic/errno.h`).
const ENOSYS: &str = "38";
const EOPNOTSUPP: &str = "95";
/// `landlock_create_ruleset`, the same everywhere.
const LANDLOCK: &str = "444";
/// `seccomp`.
#[cfg(target_arch = "x86_64")]
const SECCOMP: &str = "317";
#[cfg(target_arch = "aarch64")]
const SECCOMP: &str = "277";
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const SECCOMP: &str = "383";

/// Docker's answer.
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The settings of these arguments.
fn config(arguments: &[String]) -> Config {
    let request = read(&Surroundings {
        arguments: arguments.iter().map(OsString::from).collect(),
        variables: Vec::new(),
        directory: PathBuf::from("/"),
        etc: PathBuf::from("/nowhere"),
        pid1: false,
    });
    match request.unwrap() {
        Request::Run(config) => *config,
        other => panic!("{other:?}"),
    }
}

/// Does `work` inside the sandbox that these options make, in a thread of its own, which with all it
/// makes is bound by it. Where there is no Landlock there is nothing to test.
fn inside(options: &[(&str, &Path)], work: impl FnOnce() + Send) {
    let options = options.iter();
    let arguments: Vec<String> = options
        .map(|(name, value)| format!("--{name}={}", value.display()))
        .collect();
    let config = config(&arguments);
    thread::scope(|scope| {
        let bound = scope.spawn(|| {
            let Outcome { line, places, .. } = enter(&config);
            if places.is_empty() {
                return skipped(&line);
            }
            work();
        });
        bound.join().unwrap();
    })
}

fn denied<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// Reads `file`, which says `old`, inside a sandbox that knows it as the `ca`; then, after `renew` was done
/// outside, finds `new` in it.
fn is_read_after(renew: impl FnOnce(), file: &Path) {
    let read = || fs::read_to_string(file).unwrap();
    changes(&[("ca", file)], renew, |state| assert_eq!(read(), state));
}

/// Sees that `holds` of `old` inside a sandbox, and after `renew`, which is done outside, of `new`.
fn changes(options: &[(&str, &Path)], renew: impl FnOnce(), holds: impl Fn(&str) + Send) {
    let (ready, is_ready) = mpsc::channel();
    let (done, is_done) = mpsc::channel();
    thread::scope(|scope| {
        let bound = scope.spawn(move || {
            inside(options, move || {
                holds("old");
                ready.send(()).unwrap();
                is_done.recv().unwrap();
                holds("new");
            })
        });
        // An error is that there is nothing to test, or that the test has failed.
        if is_ready.recv().is_ok() {
            renew();
            done.send(()).unwrap();
        }
        bound.join().unwrap();
    });
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn every_thread_of_the_agent_is_bound() {
    let upstream = Upstream::answering(OK);
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--workers", "2", "-vv"])
        .start();
    let mut client = Client::connect(&agent);
    assert_eq!(client.ask("GET", "/test", "").text(), "ok");
    assert!(
        eventually(|| threads(&agent).len() >= 5),
        "{:?}",
        threads(&agent)
    );
    for (name, status) in threads(&agent) {
        let field = |name: &str| {
            let mut lines = status.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.map(|value| value.trim().to_string())
        };
        assert_eq!(field("NoNewPrivs").as_deref(), Some("1"), "{name}");
        let seccomp = field("Seccomp");
        assert!(matches!(seccomp.as_deref(), Some("2") | None), "{name}");
    }
    agent.wait_for_log("sandbox: no_new_privs");
}

/// Each thread's name and status, as the kernel tells them.
fn threads(agent: &Agent) -> Vec<(String, String)> {
    let tasks = fs::read_dir(format!("/proc/{}/task", agent.id())).unwrap();
    let read = |path: PathBuf| {
        let name = fs::read_to_string(path.join("comm")).ok()?;
        Some((name, fs::read_to_string(path.join("status")).ok()?))
    };
    tasks.filter_map(|task| read(task.ok()?.path())).collect()
}

#[test]
fn a_renewed_file_is_read_again() {
    let tree = TempDir::new("renewed");
    let (cert, next) = (tree.join("tls/cert.pem"), tree.join("tls/next.pem"));
    write(&cert, "old");
    let renew = || {
        write(&next, "new");
        fs::rename(&next, &cert).unwrap();
    };
    is_read_after(renew, &cert);
}

#[test]
fn certbot_s_new_link_is_followed() {
    let tree = TempDir::new("certbot");
    let live = tree.join("live/node/cert.pem");
    write(&tree.join("archive/node/cert1.pem"), "old");
    fs::create_dir_all(live.parent().unwrap()).unwrap();
    symlink("../../archive/node/cert1.pem", &live).unwrap();
    // certbot takes the link away and makes another.
    let renew = || {
        write(&tree.join("archive/node/cert2.pem"), "new");
        fs::remove_file(&live).unwrap();
        symlink("../../archive/node/cert2.pem", &live).unwrap();
    };
    is_read_after(renew, &live);
}

#[test]
fn a_kubernetes_volume_is_followed_to_its_next_state() {
    for named in ["tls.crt", "..data/tls.crt"] {
        let tree = TempDir::new("volume");
        let volume = tree.join("volume");
        write(&volume.join("..1/tls.crt"), "old");
        symlink("..1", volume.join("..data")).unwrap();
        symlink("..data/tls.crt", volume.join("tls.crt")).unwrap();
        // The kubelet's AtomicWriter.
        let renew = || {
            write(&volume.join("..2/tls.crt"), "new");
            symlink("..2", volume.join("..data_tmp")).unwrap();
            fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
            fs::remove_dir_all(volume.join("..1")).unwrap();
        };
        is_read_after(renew, &volume.join(named));
    }
}

#[test]
fn the_kernel_and_the_resolver_are_still_asked() {
    let elsewhere = TempDir::new("elsewhere");
    write(&elsewhere.join("file"), "text");
    let before = Collector::new(Path::new("/")).sample();
    // The node's root under another name, as in a container.
    let root = elsewhere.join("rootfs");
    symlink("/", &root).unwrap();
    inside(&[("root-path", &root)], || {
        for root in [Path::new("/"), &root] {
            let sample = Collector::new(root).sample();
            assert!(
                sample.memory.is_ok() && sample.cpu_load.is_ok(),
                "{sample:?}"
            );
            let names = |disks: &Result<_, _>| format!("{disks:?}").matches('"').count();
            assert_eq!(names(&sample.disks), names(&before.disks), "{sample:?}");
            assert!(!sample.net.unwrap().is_empty());
        }
        assert!(("localhost", 1).to_socket_addrs().unwrap().next().is_some());
        fs::read("/etc/hosts").unwrap();
        assert!(denied(fs::read(elsewhere.join("file"))));
        assert!(denied(fs::read_dir("/")));
        assert!(denied(fs::File::create(elsewhere.join("new"))));
        assert!(denied(std::process::Command::new("/bin/true").status()));
        assert!(haven_agent::sys::fs::usage(Path::new("/")).unwrap().total > 0);
    });
}

/// In a mount namespace of its own, whose `/etc` the test may change.
#[test]
fn a_replaced_resolv_conf_and_hosts_are_read() {
    let etc = TempDir::new("etc");
    write(&etc.join("resolv.conf"), "old");
    write(&etc.join("hosts"), "127.0.0.1 old.test\n");
    let script = "mount --bind \"$1\" /etc && exec \"$0\" --exact --ignored resolver";
    let mut command = clean("unshare");
    command
        .args(["--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(etc.path())
        .env(OWN_ETC, "1");
    if clean("unshare")
        .args(["--mount", "true"])
        .status()
        .is_ok_and(|status| status.success())
    {
        let out = run(&mut command, b"").ok();
        assert!(out.contains("1 passed"), "{out}");
    } else {
        skipped("no mount namespaces");
    }
}

/// Set where `/etc` is the test's own.
const OWN_ETC: &str = "HAVEN_TEST_OWN_ETC";

#[test]
#[ignore = "needs an /etc of its own; started by the test above"]
fn resolver() {
    if std::env::var_os(OWN_ETC).is_none() {
        return;
    }
    let replace = |name: &str, text: &str| {
        let (file, next) = (Path::new("/etc").join(name), Path::new("/etc").join("next"));
        write(&next, text);
        fs::rename(next, file).unwrap();
    };
    let renew = || {
        replace("resolv.conf", "new");
        replace("hosts", "127.0.0.1 new.test\n");
    };
    changes(&[], renew, |state| {
        assert_eq!(fs::read_to_string("/etc/resolv.conf").unwrap(), state);
        let mut found = (format!("{state}.test"), 1).to_socket_addrs().unwrap();
        assert!(found.next().is_some());
    });
}

/// The agent's `check` from which these system calls are hidden; none where there is no Python.
fn check_without(numbers: &str, errno: &str) -> Option<Ended> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/without.py");
    let mut command = clean("python3");
    command
        .arg(script)
        .args([errno, numbers])
        .arg(binary())
        .args(["check", "--config", "/dev/null", "--listen", "127.0.0.1:0"]);
    if clean("python3").arg("--version").output().is_err() {
        skipped("no python3");
        return None;
    }
    Some(run(&mut command, b""))
}

#[test]
fn a_kernel_without_landlock_is_told_of() {
    for errno in [ENOSYS, EOPNOTSUPP] {
        let Some(ended) = check_without(LANDLOCK, errno) else {
            return;
        };
        let out = ended.out();
        let told =
            out.contains("no Landlock: the kernel is too old, or built or started without it");
        assert!(told && out.contains("no_new_privs"), "{ended:?}");
    }
}

#[test]
fn an_agent_without_any_of_it_serves_all_the_same() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/without.py");
    let Some(ended) = check_without(&format!("{LANDLOCK},{SECCOMP}"), ENOSYS) else {
        return;
    };
    assert!(
        ended.out().contains("no seccomp: the kernel is too old"),
        "{ended:?}"
    );
    let hash = bcrypt::hash(PASSWORD, 4).unwrap();
    let mut command = clean("python3");
    command
        .arg(script)
        .args([ENOSYS, &format!("{LANDLOCK},{SECCOMP}")])
        .arg(binary())
        .args(["--config", "/dev/null", "--listen", "127.0.0.1:0"])
        .env("HAVEN_AGENT_ADMIN_PASSWORD", hash);
    let mut agent = support::process::Running::start(&mut command);
    agent.wait_for("line that it listens", |out| {
        out.contains("proxy: listening on")
    });
    let told = agent.out();
    let lines = told.lines().filter(|line| line.contains("sandbox: "));
    assert_eq!(lines.count(), 1, "{told}");
    assert!(
        told.contains("WARNING - sandbox: no_new_privs; no Landlock: "),
        "{told}"
    );
}

#[test]
fn each_part_can_be_switched_off() {
    for (option, line) in [
        ("--sandbox", "sandbox: off, as the settings say"),
        ("--landlock", "; Landlock is off, as the settings say"),
        ("--seccomp", "; seccomp is off, as the settings say"),
    ] {
        let agent = Setup::new().args(&[option, "off"]).start();
        agent.wait_for_log(line);
        let status = fs::read_to_string(format!("/proc/{}/status", agent.id())).unwrap();
        let bound = status.contains("NoNewPrivs:\t1");
        assert_eq!(bound, option != "--sandbox", "{option}");
        let filtered = status.contains("Seccomp:\t2");
        assert_eq!(filtered, option == "--landlock", "{option}");
    }
}
