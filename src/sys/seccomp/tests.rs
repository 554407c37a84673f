//! The filter put on, in threads and processes of the tests' own, and judged call by call.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use super::super::calls::{REFUSED, REFUSED_HERE};
use super::filter::program;
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
#[cfg(target_arch = "x86_64")]
use std::os::unix::process::ExitStatusExt;

/// What runs a program of these instructions over (architecture, number, arguments).
fn judge(arch: u32, number: u32, arguments: [u32; 2]) -> u32 {
    let data = |offset: u32| match offset {
        0 => number,
        4 => arch,
        16 => arguments[0],
        24 => arguments[1],
        other => panic!("offset {other}"),
    };
    let (mut at, mut loaded, program) = (0, 0, program());
    loop {
        let step = program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
        match u32::from(step.code) {
            0x20 => loaded = data(step.k),
            0x06 => return step.k,
            0x15 => at += jump(loaded == step.k),
            0x35 => at += jump(loaded >= step.k),
            0x45 => at += jump(loaded & step.k != 0),
            other => panic!("instruction {other:#x}"),
        }
    }
}

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;
#[cfg(target_arch = "arm")]
const ARCH: u32 = 0x4000_0028;

const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

fn judged(number: libc::c_long, arguments: [libc::c_int; 2]) -> u32 {
    let arguments = arguments.map(libc::c_int::cast_unsigned);
    judge(ARCH, u32::try_from(number).unwrap(), arguments)
}

#[test]
fn what_is_listed_is_refused_and_the_daily_work_is_not() {
    let all: Vec<_> = REFUSED.iter().chain(REFUSED_HERE).collect();
    for &&number in &all {
        assert_eq!(judged(number, [0, 0]), EPERM, "{number}");
    }
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    for number in [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_openat,
        libc::SYS_futex,
        libc::SYS_munmap,
        libc::SYS_epoll_pwait,
        libc::SYS_accept4,
        libc::SYS_splice,
        libc::SYS_prctl,
        libc::SYS_tkill,
        libc::SYS_exit_group,
        libc::SYS_statfs,
    ] {
        assert_eq!(judged(number, [0, 0]), ALLOW, "{number}");
    }
}

#[test]
fn arguments_decide_where_they_say_what_is_made() {
    let threads = libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_THREAD;
    assert_eq!(judged(libc::SYS_clone, [threads, 0]), ALLOW);
    assert_eq!(judged(libc::SYS_clone, [libc::SIGCHLD, 0]), EPERM);
    for namespace in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWNET] {
        assert_eq!(judged(libc::SYS_clone, [threads | namespace, 0]), EPERM);
    }
    assert_eq!(judged(libc::SYS_clone3, [0, 0]), ENOSYS);
    for family in [
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
    ] {
        assert_eq!(judged(libc::SYS_socket, [family, 0]), ALLOW);
    }
    for family in [libc::AF_PACKET, libc::AF_ALG, libc::AF_VSOCK, 0, -1] {
        assert_eq!(judged(libc::SYS_socket, [family, 0]), EPERM);
    }
    assert_eq!(judged(libc::SYS_ioctl, [0, libc::TIOCSTI as i32]), EPERM);
    assert_eq!(judged(libc::SYS_ioctl, [0, libc::TIOCLINUX as i32]), EPERM);
    assert_eq!(judged(libc::SYS_ioctl, [0, libc::FIONBIO as i32]), ALLOW);
}

#[test]
fn calls_of_another_architecture_kill() {
    // i386, x86_64, arm, aarch64: all but this one.
    for arch in [0x4000_0003, 0xc000_003e, 0x4000_0028, 0xc000_00b7, 0] {
        if arch != ARCH {
            assert_eq!(judge(arch, 0, [0, 0]), KILL, "{arch:#x}");
        }
    }
    #[cfg(target_arch = "x86_64")]
    for number in [0x4000_0000, 0x4000_0000 + 59, 0x8000_0000, u32::MAX] {
        assert_eq!(judge(ARCH, number, [0, 0]), KILL, "{number:#x}");
    }
}

/// Whether this kernel, and what this test runs in, has filters at all: qemu-user has not.
fn has_filters() -> bool {
    // SAFETY: the call takes no pointer.
    let has = unsafe { libc::prctl(libc::PR_GET_SECCOMP) } >= 0;
    if !has {
        let _ = writeln!(io::stderr(), "SKIPPED: there is no seccomp to test here");
    }
    has
}

/// A system call without arguments that matter: what refuses it comes before they are looked at.
fn refused(number: libc::c_long) -> bool {
    // SAFETY: all arguments are 0, no pointer among them is valid: even let through, each of the
    // calls it is used for would fail before it does anything.
    let answer = unsafe { libc::syscall(number, 0, 0, 0, 0, 0, 0) };
    answer == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

#[test]
fn under_the_filter_the_work_goes_on_and_the_rest_is_refused() {
    if !has_filters() {
        return;
    }
    std::thread::spawn(|| {
        super::super::process::forbid_new_privileges().unwrap();
        assert!(super::refuse().unwrap() > 80);
        for number in [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_kexec_load,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_keyctl,
            libc::SYS_reboot,
            libc::SYS_swapon,
            libc::SYS_setuid,
            libc::SYS_setresgid,
            libc::SYS_capset,
            libc::SYS_io_uring_setup,
            libc::SYS_fchmodat,
        ] {
            assert!(refused(number), "{number}");
        }
        let started = std::process::Command::new("/bin/true").status();
        assert_eq!(started.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        // Threads, sockets, readiness, files, signals of one's own.
        let echo = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = echo.local_addr().unwrap();
        let thread = std::thread::Builder::new().name("named".to_string());
        let peer = thread.spawn(move || echo.accept().unwrap().0.write_all(b"here"));
        let mut bytes = Vec::new();
        let mut client = std::net::TcpStream::connect(address).unwrap();
        client.read_to_end(&mut bytes).unwrap();
        peer.unwrap().join().unwrap().unwrap();
        assert_eq!(bytes, b"here");
        assert!(!super::super::net::interface_addresses().unwrap().is_empty());
        assert!(super::super::epoll::Poller::new().is_ok());
        assert!(super::super::limits::raise_descriptor_limit().is_ok());
        std::fs::read("/proc/self/status").unwrap();
    })
    .join()
    .unwrap();
}

/// Set in a process that a test may end.
#[cfg(target_arch = "x86_64")]
const OWN_PROCESS: &str = "HAVEN_TEST_OWN_PROCESS";

/// Runs the ignored test `name` in a process of its own; gives the signal that ended it.
#[cfg(target_arch = "x86_64")]
fn ended_by(name: &str) -> Option<i32> {
    let mut test = std::process::Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "--ignored", "--test-threads=1"])
        .arg(format!("sys::seccomp::tests::{name}"))
        .env(OWN_PROCESS, "1")
        .stdout(std::process::Stdio::null());
    test.status().unwrap().signal()
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_call_by_x32_s_numbers_ends_the_process() {
    if has_filters() {
        assert_eq!(ended_by("x32"), Some(libc::SIGSYS));
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
#[ignore = "ends its process; started by the test above"]
fn x32() {
    if std::env::var_os(OWN_PROCESS).is_none() {
        return;
    }
    super::super::process::forbid_new_privileges().unwrap();
    super::refuse().unwrap();
    // SAFETY: getpid, by x32's number; it takes no arguments.
    unsafe { libc::syscall(0x4000_0000 + libc::SYS_getpid) };
}
