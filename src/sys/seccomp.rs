//! A filter of system calls, seccomp(2), that refuses what this program never makes and who has
//! broken into it would.
//!
//! It is a list of what is refused, not of what is allowed: the C library's and the compiler's next
//! version may use other calls, and an agent that dies of an upgrade helps nobody. For the same
//! reason what is refused fails with `EPERM` and the program lives: nothing has happened, an
//! intruder is no further, and who only probed for a call goes on without it. Calls of another
//! architecture are different: nothing in the binary can make one, their only use is to get round a
//! list like this, and so they kill.
//!
//! It binds the calling thread and what that makes from then on, and can never be taken off.

use std::io;

/// Puts the filter on; gives how many calls it refuses. Needs `no_new_privs`.
///
/// # Errors
/// `Unsupported`: there is no list for this architecture; `seccomp(2)`, which says `ENOSYS`
/// or `EINVAL` where the kernel has none.
pub fn refuse() -> io::Result<usize> {
    filter::refuse()
}

#[cfg(not(all(
    target_endian = "little",
    any(
        all(target_arch = "x86_64", target_pointer_width = "64"),
        target_arch = "aarch64",
        target_arch = "arm"
    )
)))]
mod filter {
    use std::io;

    pub fn refuse() -> io::Result<usize> {
        let problem = format!("it has no list for {}", std::env::consts::ARCH);
        Err(io::Error::new(io::ErrorKind::Unsupported, problem))
    }
}

#[cfg(all(
    target_endian = "little",
    any(
        all(target_arch = "x86_64", target_pointer_width = "64"),
        target_arch = "aarch64",
        target_arch = "arm"
    )
))]
mod filter {
    use std::io;
    use std::mem::offset_of;

    use libc::{seccomp_data, sock_filter};

    use super::super::calls::{REFUSED, REFUSED_HERE};

    /// `__AUDIT_ARCH_64BIT` and `__AUDIT_ARCH_LE` of `linux/audit.h`, beside the machine's number in ELF.
    #[cfg(target_pointer_width = "64")]
    const KIND: u32 = 0xC000_0000;
    #[cfg(target_pointer_width = "32")]
    const KIND: u32 = 0x4000_0000;
    #[cfg(target_arch = "x86_64")]
    const MACHINE: u16 = libc::EM_X86_64;
    #[cfg(target_arch = "aarch64")]
    const MACHINE: u16 = libc::EM_AARCH64;
    #[cfg(target_arch = "arm")]
    const MACHINE: u16 = libc::EM_ARM;
    /// `AUDIT_ARCH_…` of this program.
    const ARCH: u32 = MACHINE as u32 | KIND;

    /// `__X32_SYSCALL_BIT`: the same architecture to `arch`, other numbers.
    #[cfg(target_arch = "x86_64")]
    const X32: u32 = 0x4000_0000;

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
    /// What sends a C library to the older call of the same use, whose arguments can be judged.
    const MISSING: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();

    /// What `clone` makes a namespace with (clone(2)).
    const NAMESPACES: u32 = (libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET)
        .cast_unsigned();
    /// What the agent talks in: clients and masters, Docker, and the list of interfaces.
    const FAMILIES: [libc::c_int; 4] = [
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_UNIX,
        libc::AF_NETLINK,
    ];

    /// The judgement on one system call. Instructions go on with the next, a jump's two numbers are
    /// how many are left out if its condition holds and if not.
    ///
    /// Kernels since 5.11 remember which calls need no look at their arguments and do not run this
    /// for them; older ones compare the number a hundred times, some 50 ns.
    pub(super) fn program() -> Vec<sock_filter> {
        let mut program = vec![
            load(offset_of!(seccomp_data, arch)),
            if_equal(ARCH, 1, 0),
            answer(KILL),
            load(offset_of!(seccomp_data, nr)),
        ];
        #[cfg(target_arch = "x86_64")]
        program.extend([if_at_least(X32, 0, 1), answer(KILL)]);
        // Threads, and no processes: `fork` is a `clone` without CLONE_THREAD.
        program.extend([
            if_equal(call(libc::SYS_clone), 0, 5),
            load(argument(0)),
            if_any(NAMESPACES, 1, 0),
            if_any(libc::CLONE_THREAD.cast_unsigned(), 1, 0),
            answer(REFUSE),
            answer(ALLOW),
        ]);
        // Its flags are in memory, where a filter does not see them.
        program.extend([if_equal(call(libc::SYS_clone3), 0, 1), answer(MISSING)]);
        // Keys typed into the terminal that the agent was started from.
        program.extend([
            if_equal(call(libc::SYS_ioctl), 0, 5),
            load(argument(1)),
            if_equal(libc::TIOCSTI as u32, 1, 0),
            if_equal(libc::TIOCLINUX as u32, 0, 1),
            answer(REFUSE),
            answer(ALLOW),
        ]);
        program.extend([
            if_equal(call(libc::SYS_socket), 0, 7),
            load(argument(0)),
            if_equal(FAMILIES[0].cast_unsigned(), 4, 0),
            if_equal(FAMILIES[1].cast_unsigned(), 3, 0),
            if_equal(FAMILIES[2].cast_unsigned(), 2, 0),
            if_equal(FAMILIES[3].cast_unsigned(), 1, 0),
            answer(REFUSE),
            answer(ALLOW),
        ]);
        for &refused in REFUSED.iter().chain(REFUSED_HERE) {
            program.extend([if_equal(call(refused), 0, 1), answer(REFUSE)]);
        }
        program.push(answer(ALLOW));
        program
    }

    pub fn refuse() -> io::Result<usize> {
        let mut program = program();
        let length = u16::try_from(program.len());
        let filter = libc::sock_fprog {
            len: length.map_err(|_| io::ErrorKind::InvalidInput)?,
            filter: program.as_mut_ptr(),
        };
        // Before 5.16 a filter slowed down the process's memory, as a guard for those that run
        // strangers' code (`Documentation/userspace-api/spec_ctrl.rst`), which this one does not.
        // Before 4.17 the flag was unknown.
        install(&filter, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW).or_else(|error| {
            if error.raw_os_error() == Some(libc::EINVAL) {
                install(&filter, 0)
            } else {
                Err(error)
            }
        })?;
        Ok(REFUSED.len() + REFUSED_HERE.len())
    }

    fn install(filter: &libc::sock_fprog, flags: libc::c_ulong) -> io::Result<()> {
        // SAFETY: `filter` is live, and points at as many live instructions as it says; the kernel
        // copies them during the call and writes nothing.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                std::ptr::from_ref(filter),
            )
        };
        if answer == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// A system call's number as filters see it.
    fn call(number: libc::c_long) -> u32 {
        // Numbers are small; the one kind that is not, x32's, is none of this list.
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// Where the lower half of an argument is, all that flags, requests and families have.
    fn argument(index: usize) -> usize {
        offset_of!(seccomp_data, args) + index * size_of::<u64>()
    }

    /// Takes up 32 bits of what is judged.
    fn load(offset: usize) -> sock_filter {
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0)
    }

    fn if_equal(value: u32, then: u8, otherwise: u8) -> sock_filter {
        jump(libc::BPF_JEQ, value, then, otherwise)
    }

    #[cfg(target_arch = "x86_64")]
    fn if_at_least(value: u32, then: u8, otherwise: u8) -> sock_filter {
        jump(libc::BPF_JGE, value, then, otherwise)
    }

    /// If a bit of `value` is set.
    fn if_any(value: u32, then: u8, otherwise: u8) -> sock_filter {
        jump(libc::BPF_JSET, value, then, otherwise)
    }

    fn jump(condition: u32, value: u32, then: u8, otherwise: u8) -> sock_filter {
        let code = libc::BPF_JMP | condition | libc::BPF_K;
        instruction(code, value, then, otherwise)
    }

    fn answer(action: u32) -> sock_filter {
        instruction(libc::BPF_RET | libc::BPF_K, action, 0, 0)
    }

    fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
        // All codes have 16 bits.
        let code = code as u16;
        sock_filter { code, jt, jf, k }
    }
}

#[cfg(all(
    test,
    target_endian = "little",
    any(
        all(target_arch = "x86_64", target_pointer_width = "64"),
        target_arch = "aarch64",
        target_arch = "arm"
    )
))]
mod tests;
