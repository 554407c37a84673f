//! How many descriptors the process may have: `getrlimit(2)`.

use std::io;

use super::cvt;

/// Raises the soft limit on open descriptors to the hard one, where the kernel allows that; returns what now holds.
///
/// # Errors
/// `getrlimit(2)`.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a live rlimit: the first call only writes it, the second only reads it.
    unsafe {
        cvt(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit))?;
        let soft = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        // EPERM: the hard one is above `fs.nr_open`, which was lowered since.
        if cvt(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)).is_err() {
            limit.rlim_cur = soft;
        }
    }
    #[allow(clippy::useless_conversion, reason = "`rlim_t` differs by target")]
    Ok(u64::from(limit.rlim_cur))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_limit_is_raised_and_stays() {
        let limit = super::raise_descriptor_limit().unwrap();
        assert!(limit >= 64, "{limit}");
        assert_eq!(super::raise_descriptor_limit().unwrap(), limit);
    }
}
