//! The wall clock, as rustls asks for it, and what to say where it is wrong.

use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::sys::time;

/// When this program was built, in seconds since the epoch.
const BUILT_AT: i64 = include!(concat!(env!("OUT_DIR"), "/built_at.in"));

/// `sys::time` as rustls's source of time: its own one ends in 2038 on 32-bit targets.
#[derive(Debug)]
pub(super) struct WallClock;

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(time::now().secs))
    }
}

/// Seconds since the epoch as rustls counts them: a time before 1970 is 1970.
pub(super) fn unix_time(secs: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(secs).unwrap_or(0)))
}

/// A sentence for a TLS error where the clock shows a time before this program was built: then no
/// certificate of a master can be judged, and "not yet valid" is the clock's fault. Boards without
/// a battery boot in 1970.
pub fn clock_hint() -> Option<String> {
    hint(time::now().secs)
}

fn hint(now: i64) -> Option<String> {
    (now < BUILT_AT).then(|| {
        format!(
            "this node's clock is wrong: it stands {} days before this program was built; \
             certificates cannot be judged until it is set (NTP)",
            BUILT_AT.saturating_sub(now) / (24 * 60 * 60)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_the_build_is_named() {
        assert_eq!(hint(BUILT_AT), None);
        assert!(hint(0).unwrap().contains("clock is wrong"));
        assert!(hint(i64::MIN).is_some());
        assert_eq!(clock_hint(), None);
    }

    #[test]
    fn a_time_before_1970_is_1970() {
        assert_eq!(unix_time(-5).as_secs(), 0);
        assert_eq!(unix_time(1 << 40).as_secs(), 1 << 40);
    }
}
