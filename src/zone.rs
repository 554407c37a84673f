//! The node's time zone.
//!
//! Log lines and reports carry the node's local time. In a container the node's zone is not the
//! process's: it is read inside the directory where the host's root is mounted, and never outside
//! of it, whatever the links in there say.

use crate::links;
use crate::sys::fs::read_up_to;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The largest zone file that is read, in bytes; real ones have some 4 KB.
const MAX_ZONE_FILE: usize = 128 * 1024;
/// The node's own zone, inside its root directory.
const LOCALTIME: &str = "etc/localtime";
/// Where zones are found by name, inside the node's root directory.
const ZONEINFO: [&str; 2] = ["usr/share/zoneinfo", "usr/lib/zoneinfo"];

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

/// The files and directories, inside the node's root directory, that [`Zone::load`] reads from.
pub fn sources() -> Vec<PathBuf> {
    let mut sources: Vec<_> = [LOCALTIME]
        .iter()
        .chain(&ZONEINFO)
        .map(PathBuf::from)
        .collect();
    let tz = std::env::var_os("TZ").unwrap_or_default();
    let file = Path::new(
        tz.to_str()
            .map_or("", |tz| tz.strip_prefix(':').unwrap_or(tz)),
    );
    if file.is_absolute() {
        sources.push(file.to_owned());
    }
    sources
}

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Zone {
        Zone(tz::TimeZone::utc())
    }

    /// The zone of the node whose root directory is `root`, and, where it is UTC for want of a
    /// better answer, why.
    ///
    /// `TZ` (tzset(3)) says which; without it `etc/localtime` inside `root` does.
    pub fn load(root: &Path) -> (Zone, Option<String>) {
        match Zone::find(root, std::env::var_os("TZ").as_deref()) {
            Ok(zone) => (zone, None),
            Err(why) => (Zone::utc(), Some(format!("Times are in UTC: {why}"))),
        }
    }

    fn find(root: &Path, tz: Option<&OsStr>) -> Result<Zone, String> {
        let Some(tz) = tz else {
            let shown = root.join(LOCALTIME);
            return Zone::read(root, Path::new(LOCALTIME))
                .map_err(|error| format!("{}: {error}", shown.display()));
        };
        let name = tz.to_str().ok_or("TZ is not UTF-8")?;
        let name = name.strip_prefix(':').unwrap_or(name);
        if name.is_empty() {
            return Ok(Zone::utc());
        }
        Zone::named(root, name)
            .or_else(|| Zone::posix(name))
            .ok_or_else(|| {
                let (name, root) = (name.escape_debug(), root.join("usr/share/zoneinfo"));
                format!("TZ is `{name}`, which {} does not have", root.display())
            })
    }

    /// A zone by its name (`Europe/Berlin`) or by the path of its file.
    fn named(root: &Path, name: &str) -> Option<Zone> {
        if name.starts_with('/') {
            return Zone::read(root, Path::new(name)).ok();
        }
        let files = ZONEINFO
            .iter()
            .map(|directory| Path::new(directory).join(name));
        files
            .into_iter()
            .find_map(|file| Zone::read(root, &file).ok())
    }

    /// A zone by its rules (`CET-1CEST,M3.5.0,M10.5.0/3`).
    fn posix(rules: &str) -> Option<Zone> {
        let settings = tz::TimeZoneSettings::new(&[], |_| Err("no files".into()));
        settings.parse_posix_tz(rules).ok().map(Zone)
    }

    /// A zone from its file (tzfile(5)), whose path is meant inside `root`.
    fn read(root: &Path, path: &Path) -> Result<Zone, String> {
        let path = links::walk(root, path, |_| ()).map_err(|error| error.to_string())?;
        // A pipe or a device would block.
        if !path.is_file() {
            return Err("not a file".to_string());
        }
        let bytes = File::open(&path)
            .and_then(|file| read_up_to(&file, MAX_ZONE_FILE))
            .map_err(|error| error.to_string())?;
        let zone = tz::TimeZone::from_tz_data(&bytes);
        zone.map(Zone)
            .map_err(|_| "not a time zone file".to_string())
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A node's root directory, with the zones `Europe/Berlin` and `Asia/Kolkata`.
    struct Root(PathBuf);

    impl Root {
        fn new() -> Root {
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("haven-zone-{}-{number}", std::process::id());
            let root = std::env::temp_dir().join(name);
            let zones = root.join("usr/share/zoneinfo");
            for directory in ["Europe", "Asia"] {
                fs::create_dir_all(zones.join(directory)).unwrap();
            }
            fs::create_dir_all(root.join("etc")).unwrap();
            fs::write(zones.join("Europe/Berlin"), zone_file(BERLIN)).unwrap();
            fs::write(zones.join("Asia/Kolkata"), zone_file("IST-5:30")).unwrap();
            Root(root)
        }

        fn offset(&self, tz: Option<&str>) -> Result<i32, String> {
            let zone = Zone::find(&self.0, tz.map(OsStr::new));
            zone.map(|zone| zone.local(SUMMER).offset_secs)
                .map_err(|why| why.replace(&*self.0.to_string_lossy(), "ROOT"))
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
    /// 2016-08-10T13:03:04Z.
    const SUMMER: i64 = 1_470_834_184;
    /// 2026-11-22T06:12:00Z.
    const WINTER: i64 = 1_795_327_920;

    /// A zone file of version 2 without transitions, whose footer has the rules (RFC 8536 §3).
    fn zone_file(rules: &str) -> Vec<u8> {
        let mut header = b"TZif2".to_vec();
        header.resize(20, 0);
        for count in [0_u32, 0, 0, 0, 1, 4] {
            header.extend(count.to_be_bytes());
        }
        // One local time type: offset, not daylight saving, its name at 0.
        let offset = Zone::posix(rules).unwrap().local(WINTER).offset_secs;
        let mut body = header;
        body.extend(offset.to_be_bytes());
        body.extend([0, 0]);
        let name: String = rules.chars().take(3).collect();
        body.extend(name.bytes().chain([0]));
        [&body[..], &body[..], b"\n", rules.as_bytes(), b"\n"].concat()
    }

    #[test]
    fn local_time_follows_the_zones_rules() {
        let zone = Zone::posix(BERLIN).unwrap();
        let summer = LocalTime {
            year: 2016,
            month: 8,
            day: 10,
            hour: 15,
            minute: 3,
            second: 4,
            offset_secs: 7_200,
        };
        assert_eq!(zone.local(SUMMER), summer);
        let winter = zone.local(WINTER);
        assert_eq!(
            (winter.hour, winter.minute, winter.offset_secs),
            (7, 12, 3_600)
        );
        // The hour before and after the clocks go back: 2026-10-25, 03:00 CEST becomes 02:00 CET.
        let back = 1_792_890_000;
        let (before, after) = (zone.local(back - 1), zone.local(back));
        assert_eq!(
            (before.hour, before.second, before.offset_secs),
            (2, 59, 7_200)
        );
        assert_eq!((after.hour, after.second, after.offset_secs), (2, 0, 3_600));
    }

    #[test]
    fn the_calendar_holds_far_from_now() {
        let date = |secs| {
            let local = Zone::utc().local(secs);
            (local.year, local.month, local.day, local.hour)
        };
        assert_eq!(date(0), (1970, 1, 1, 0));
        assert_eq!(date(-1), (1969, 12, 31, 23));
        assert_eq!(date(951_782_400), (2000, 2, 29, 0));
        assert_eq!(date(4_107_542_400), (2100, 3, 1, 0));
        assert_eq!(date(2_147_483_648), (2038, 1, 19, 3));
        assert_eq!(date(-62_135_596_800), (1, 1, 1, 0));
        // No panic at either end.
        let _ = (date(i64::MAX), date(i64::MIN));
    }

    #[test]
    fn localtime_is_found_inside_the_root_whatever_its_links_say() {
        let root = Root::new();
        let link = root.0.join("etc/localtime");
        for target in [
            "/usr/share/zoneinfo/Asia/Kolkata",
            "../usr/share/zoneinfo/Asia/Kolkata",
            "../../../../usr/share/zoneinfo/./Asia/Kolkata",
            "/etc/second",
        ] {
            let _ = fs::remove_file(&link);
            symlink(target, &link).unwrap();
            let _ = symlink(
                "../usr/share/zoneinfo/Asia/Kolkata",
                root.0.join("etc/second"),
            );
            assert_eq!(root.offset(None), Ok(19_800), "{target}");
        }
        fs::remove_file(&link).unwrap();
        fs::write(&link, zone_file(BERLIN)).unwrap();
        assert_eq!(root.offset(None), Ok(7_200));
    }

    #[test]
    fn tz_names_a_zone_of_the_root_or_its_rules() {
        let root = Root::new();
        for (tz, offset) in [
            ("Europe/Berlin", 7_200),
            (":Europe/Berlin", 7_200),
            ("/usr/share/zoneinfo/Asia/Kolkata", 19_800),
            ("EST5EDT,M3.2.0,M11.1.0", -14_400),
            ("<+03>-3", 10_800),
            ("UTC0", 0),
            ("", 0),
        ] {
            assert_eq!(root.offset(Some(tz)), Ok(offset), "{tz}");
        }
    }

    #[test]
    fn where_no_zone_is_found_the_reason_is() {
        let root = Root::new();
        let link = root.0.join("etc/localtime");
        let missing = "ROOT/etc/localtime: No such file or directory (os error 2)";
        assert_eq!(root.offset(None), Err(missing.to_string()));
        assert_eq!(
            root.offset(Some("Mars/Base")),
            Err("TZ is `Mars/Base`, which ROOT/usr/share/zoneinfo does not have".to_string())
        );
        symlink("localtime", &link).unwrap();
        assert_eq!(
            root.offset(None),
            Err("ROOT/etc/localtime: too many symbolic links".to_string())
        );
        for text in [&b"TZif2 and then nothing"[..], b"", &[0xff; 100]] {
            fs::remove_file(&link).unwrap();
            fs::write(&link, text).unwrap();
            assert_eq!(
                root.offset(None),
                Err("ROOT/etc/localtime: not a time zone file".to_string())
            );
        }
        fs::remove_file(&link).unwrap();
        fs::create_dir(&link).unwrap();
        assert_eq!(
            root.offset(None),
            Err("ROOT/etc/localtime: not a file".to_string())
        );
        let (zone, why) = Zone::load(Path::new("/nonexistent"));
        assert_eq!(zone.local(0).offset_secs, 0);
        assert!(why.is_none_or(|why| why.starts_with("Times are in UTC: ")));
    }
}
