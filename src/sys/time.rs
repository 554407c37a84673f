//! Wall time, 64 bits wide on every target.
//!
//! `std::time::SystemTime::now` panics in 2038 where `libc::time_t` has 32 bits (i686, armv6 and
//! armv7 musl), and a board without a battery boots in 1970: every wall-clock reading of the
//! program comes from [`now`].

/// A reading of `CLOCK_REALTIME`: seconds and nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime {
    /// Whole seconds since 1970-01-01T00:00:00Z; negative before.
    pub secs: i64,
    /// Nanoseconds within the second, 0 to 999,999,999.
    pub nanos: u32,
}

impl UnixTime {
    /// Milliseconds within the second, as log lines show them.
    pub fn millis(self) -> u32 {
        self.nanos / 1_000_000
    }

    /// Microseconds within the second, as reports show them.
    pub fn micros(self) -> u32 {
        self.nanos / 1_000
    }
}

/// The wall clock (`clock_gettime(2)`, `CLOCK_REALTIME`).
pub fn now() -> UnixTime {
    read_clock()
}

/// The kernel's `struct __kernel_timespec`: 64-bit seconds on every architecture.
#[cfg(target_pointer_width = "32")]
#[repr(C)]
struct KernelTimespec {
    tv_sec: i64,
    tv_nsec: i64,
}

/// musl's and glibc's `clock_gettime` fill a 32-bit `time_t` as the `libc` crate declares it, so
/// 32-bit targets ask the kernel itself (`clock_gettime64`, Linux 5.1).
#[cfg(target_pointer_width = "32")]
fn read_clock() -> UnixTime {
    /// `__NR_clock_gettime64` has this number on every 32-bit architecture (it was added after
    /// the tables were unified).
    const SYS_CLOCK_GETTIME64: libc::c_long = 403;
    let mut spec = KernelTimespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `spec` is a live, writable `__kernel_timespec`, which is all that the call touches.
    let done = unsafe {
        libc::syscall(
            SYS_CLOCK_GETTIME64,
            libc::c_long::from(libc::CLOCK_REALTIME),
            &raw mut spec,
        )
    };
    if done == 0 {
        return UnixTime {
            secs: spec.tv_sec,
            nanos: spec.tv_nsec.clamp(0, 999_999_999) as u32,
        };
    }
    read_old_clock()
}

#[cfg(target_pointer_width = "64")]
fn read_clock() -> UnixTime {
    read_old_clock()
}

/// `clock_gettime(2)` with the C library's own `timespec`.
fn read_old_clock() -> UnixTime {
    let mut spec = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `spec` is a live, writable `timespec`, which is all that the call touches. It
    // cannot fail with a valid pointer and CLOCK_REALTIME; if it did, the epoch stays in `spec`.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut spec) };
    #[allow(
        clippy::useless_conversion,
        reason = "`time_t` has 32 bits on some targets"
    )]
    UnixTime {
        secs: i64::from(spec.tv_sec),
        nanos: spec.tv_nsec.clamp(0, 999_999_999) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_agrees_with_the_standard_library() {
        let before = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs() as i64;
        let ours = now();
        assert!(
            ours.secs >= before && ours.secs <= before + 60,
            "{ours:?} after {before}"
        );
        assert!(ours.nanos < 1_000_000_000);
    }
}
