//! The system calls that `seccomp` refuses, by what they are good for. The agent makes none of them
//! once it runs; of those with a reason to wonder, the reason is beside them.

#![allow(
    clippy::unreadable_literal,
    reason = "numbers of system calls are written as the kernel's tables have them"
)]

use libc::c_long;

/// Calls newer than some of libc's tables. Since Linux 5.1 a number is the same everywhere.
mod newer {
    use libc::c_long;
    pub const FCHMODAT2: c_long = 452;
    pub const SETXATTRAT: c_long = 463;
    pub const REMOVEXATTRAT: c_long = 466;
    pub const OPEN_TREE_ATTR: c_long = 467;
    pub const FILE_SETATTR: c_long = 469;
}

/// Those that every architecture has.
#[rustfmt::skip]
pub const REFUSED: &[c_long] = &[
    // Another program.
    libc::SYS_execve, libc::SYS_execveat,
    // Other processes' memory and descriptors.
    libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev,
    libc::SYS_process_madvise, libc::SYS_pidfd_getfd, libc::SYS_kcmp, libc::SYS_move_pages,
    // Other views of the file system.
    libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root, libc::SYS_chroot,
    libc::SYS_open_tree, newer::OPEN_TREE_ATTR, libc::SYS_move_mount, libc::SYS_mount_setattr,
    libc::SYS_fsopen, libc::SYS_fsconfig, libc::SYS_fsmount, libc::SYS_fspick,
    // By number instead of by path, past every directory's rights.
    libc::SYS_open_by_handle_at, libc::SYS_name_to_handle_at,
    // Namespaces; see also `clone` in `seccomp`.
    libc::SYS_unshare, libc::SYS_setns,
    // The kernel itself.
    libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module,
    libc::SYS_kexec_load, libc::SYS_reboot, libc::SYS_bpf, libc::SYS_perf_event_open,
    libc::SYS_syslog,
    // What exploits of the kernel lean on: faults that wait, memory that no one else sees, work that
    // the kernel does past this filter.
    libc::SYS_userfaultfd, libc::SYS_memfd_create, libc::SYS_memfd_secret,
    libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register,
    libc::SYS_personality, libc::SYS_vmsplice,
    // Keys that the kernel keeps; they are not bound to namespaces.
    libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key,
    // The whole machine's settings.
    libc::SYS_swapon, libc::SYS_swapoff, libc::SYS_acct, libc::SYS_quotactl, libc::SYS_quotactl_fd,
    libc::SYS_fanotify_init, libc::SYS_vhangup, libc::SYS_sethostname, libc::SYS_setdomainname,
    libc::SYS_settimeofday, libc::SYS_clock_settime, libc::SYS_clock_adjtime, libc::SYS_adjtimex,
    // Another user, other rights.
    libc::SYS_setuid, libc::SYS_setgid, libc::SYS_setreuid, libc::SYS_setregid,
    libc::SYS_setresuid, libc::SYS_setresgid, libc::SYS_setfsuid, libc::SYS_setfsgid,
    libc::SYS_setgroups, libc::SYS_capset,
    // Changes to files that Landlock does not see.
    libc::SYS_fchmod, libc::SYS_fchmodat, newer::FCHMODAT2, libc::SYS_fchown, libc::SYS_fchownat,
    libc::SYS_utimensat, libc::SYS_mknodat, newer::FILE_SETATTR,
    libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr, newer::SETXATTRAT,
    libc::SYS_removexattr, libc::SYS_lremovexattr, libc::SYS_fremovexattr, newer::REMOVEXATTRAT,
];

/// Those that this one has besides.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
pub const REFUSED_HERE: &[c_long] = &[
    libc::SYS_fork, libc::SYS_vfork, libc::SYS_uselib,
    libc::SYS_kexec_file_load, libc::SYS_migrate_pages, libc::SYS_nfsservctl,
    libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt,
    libc::SYS_chmod, libc::SYS_chown, libc::SYS_lchown, libc::SYS_mknod,
    libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat,
];

/// Those that this one has besides.
#[cfg(target_arch = "aarch64")]
#[rustfmt::skip]
pub const REFUSED_HERE: &[c_long] = &[
    // kexec_file_load, which libc's table for musl lacks.
    294,
    libc::SYS_migrate_pages, libc::SYS_nfsservctl,
];

/// Those that this one has besides: the numbers from before user ids had 32 bits and times 64.
#[cfg(target_arch = "arm")]
#[rustfmt::skip]
pub const REFUSED_HERE: &[c_long] = &[
    libc::SYS_fork, libc::SYS_vfork, libc::SYS_uselib, libc::SYS_nfsservctl,
    // migrate_pages, kexec_file_load, clock_settime64, clock_adjtime64, utimensat_time64: libc's
    // table for musl lacks them.
    400, 401, 404, 405, 412,
    libc::SYS_setuid32, libc::SYS_setgid32, libc::SYS_setreuid32, libc::SYS_setregid32,
    libc::SYS_setresuid32, libc::SYS_setresgid32, libc::SYS_setfsuid32, libc::SYS_setfsgid32,
    libc::SYS_setgroups32,
    libc::SYS_chmod, libc::SYS_chown, libc::SYS_lchown, libc::SYS_mknod,
    libc::SYS_chown32, libc::SYS_fchown32, libc::SYS_lchown32,
    libc::SYS_utimes, libc::SYS_futimesat,
];
