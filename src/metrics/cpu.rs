//! The CPU load, from the first line of `/proc/stat` (proc_stat(5)).
//!
//! ```text
//! cpu  user nice system idle iowait irq softirq steal guest guest_nice
//! ```
//!
//! Ticks since boot, summed over all CPUs. `guest` and `guest_nice` are counted in `user` and
//! `nice` already. Kernels before 2.6.11 have fewer fields. Idle is `idle` and `iowait`, as in
//! top, htop and psutil; interrupts are work, and so is stolen time: it was asked for and not
//! had.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::source::{self, SourceError};

/// How long the first sample watches the CPU: long enough for 25 ticks of a 100 Hz clock on each
/// CPU.
pub const BASELINE: Duration = Duration::from_millis(250);

/// The first line has a name and up to ten numbers of 20 digits.
const MAX_STAT: usize = 256;

/// How many of the line's numbers are added up: all but the guests'.
const COUNTED: usize = 8;

/// Where `idle` and `iowait` stand.
const IDLE: [usize; 2] = [3, 4];

/// The counters of one reading, in ticks; those that a kernel does not have stay 0.
pub(super) type Ticks = [u64; COUNTED];

pub(super) struct Cpu {
    path: PathBuf,
    previous: Option<Ticks>,
    /// The load that stands while no tick has passed, in percent.
    load: f32,
}

impl Cpu {
    pub(super) fn new(root: &Path) -> Cpu {
        Cpu {
            path: root.join("proc/stat"),
            previous: None,
            load: 0.0,
        }
    }

    /// The load since the previous sample, in percent. The first one takes a short baseline of
    /// its own and blocks for [`BASELINE`].
    pub(super) fn sample(&mut self) -> Result<f32, SourceError> {
        if self.previous.is_none() {
            self.previous = Some(read(&self.path)?);
            thread::sleep(BASELINE);
        }
        let now = read(&self.path)?;
        let before = self.previous.replace(now).unwrap_or(now);
        if let Some(load) = load(&before, &now) {
            self.load = load;
        }
        Ok(self.load)
    }
}

fn read(path: &Path) -> Result<Ticks, SourceError> {
    let mut buffer = [0; MAX_STAT];
    let text =
        source::read_once(path, &mut buffer).map_err(|error| SourceError::read(path, error))?;
    parse(text).ok_or_else(|| SourceError::content(path, "`cpu` line"))
}

/// The numbers of the line `cpu`, which is the first; at least up to `idle`.
pub(super) fn parse(text: &[u8]) -> Option<Ticks> {
    let line = source::whole_lines(text).next()?;
    let mut fields = source::fields(line);
    if fields.next()? != b"cpu" {
        return None;
    }
    let mut ticks = Ticks::default();
    let mut found = 0;
    for (tick, field) in ticks.iter_mut().zip(fields) {
        *tick = source::number(field)?;
        found += 1;
    }
    (found > IDLE[0]).then_some(ticks)
}

/// The busy part of the time between two readings, in percent; `None` when no tick has passed.
///
/// `iowait` may go back (proc_stat(5) says so), and all counters may where a machine is resumed
/// or moved. Each field's step back counts as none, as in top and psutil.
pub(super) fn load(before: &Ticks, now: &Ticks) -> Option<f32> {
    let mut total = 0_u64;
    let mut idle = 0_u64;
    for (place, (before, now)) in before.iter().zip(now).enumerate() {
        let passed = now.saturating_sub(*before);
        total = total.saturating_add(passed);
        if IDLE.contains(&place) {
            idle = idle.saturating_add(passed);
        }
    }
    if total == 0 {
        return None;
    }
    let busy = total.saturating_sub(idle) as f64;
    Some((busy / total as f64 * 100.0).clamp(0.0, 100.0) as f32)
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::{Tree, fixture};
    use super::*;

    const ZERO: Ticks = [0; COUNTED];

    #[test]
    fn each_field_counts_as_what_it_is() {
        //                            user nice sys idle iowait irq soft steal
        let cases: [(Ticks, f32); 9] = [
            ([50, 0, 0, 50, 0, 0, 0, 0], 50.0),
            ([0, 50, 0, 50, 0, 0, 0, 0], 50.0),
            ([0, 0, 50, 50, 0, 0, 0, 0], 50.0),
            ([0, 0, 0, 50, 50, 0, 0, 0], 0.0),
            ([0, 0, 0, 50, 0, 50, 0, 0], 50.0),
            ([0, 0, 0, 50, 0, 0, 50, 0], 50.0),
            ([0, 0, 0, 50, 0, 0, 0, 50], 50.0),
            ([100, 0, 0, 0, 0, 0, 0, 0], 100.0),
            ([1, 2, 3, 984, 5, 2, 2, 1], 1.1),
        ];
        for (now, expected) in cases {
            let load = load(&ZERO, &now).unwrap();
            assert!((load - expected).abs() < 0.001, "{now:?}: {load}");
        }
    }

    #[test]
    fn guests_are_not_counted_twice() {
        let before = parse(b"cpu  1000 0 0 1000 0 0 0 0 500 0\n").unwrap();
        let after = parse(b"cpu  1100 0 0 1100 0 0 0 0 600 0\n").unwrap();
        assert_eq!(load(&before, &after), Some(50.0));
    }

    #[test]
    fn counters_that_go_back_make_no_nonsense() {
        let before = [100, 0, 100, 1000, 500, 0, 0, 0];
        // iowait alone: the rest still tells.
        assert_eq!(
            load(&before, &[150, 0, 100, 1050, 400, 0, 0, 0]),
            Some(50.0)
        );
        // All of them, as after a migration: nothing is known.
        assert_eq!(load(&before, &[1, 0, 1, 10, 5, 0, 0, 0]), None);
        assert_eq!(load(&before, &before), None);
        let wild = load(&ZERO, &[u64::MAX; COUNTED]).unwrap();
        assert!(wild.is_finite() && (0.0..=100.0).contains(&wild), "{wild}");
    }

    #[test]
    fn the_load_stands_until_ticks_pass_again() {
        let tree = Tree::new();
        tree.write("proc/stat", "cpu  0 0 0 0 0 0 0 0 0 0\n");
        let mut cpu = Cpu::new(&tree.0);
        cpu.previous = Some(ZERO);
        assert_eq!(cpu.sample().unwrap(), 0.0);
        tree.write("proc/stat", "cpu  75 0 0 25 0 0 0 0 0 0\n");
        assert_eq!(cpu.sample().unwrap(), 75.0);
        assert_eq!(cpu.sample().unwrap(), 75.0);
        tree.write("proc/stat", "cpu  5 0 0 5 0 0 0 0 0 0\n");
        assert_eq!(cpu.sample().unwrap(), 75.0, "reset");
        tree.write("proc/stat", "cpu  15 0 0 35 0 0 0 0 0 0\n");
        assert_eq!(cpu.sample().unwrap(), 25.0, "counted from the reset");
    }

    #[test]
    fn fixtures_of_several_kernels_are_read() {
        for name in ["desktop", "raspberry-pi", "old-kernel", "container/rootfs"] {
            let ticks = read(&fixture(name).join("proc/stat")).unwrap();
            assert!(ticks[IDLE[0]] > 0, "{name}: {ticks:?}");
        }
    }

    #[test]
    fn old_kernels_have_fewer_fields() {
        assert_eq!(parse(b"cpu  1 2 3 4\n").unwrap(), [1, 2, 3, 4, 0, 0, 0, 0]);
        assert_eq!(parse(b"cpu  1 2 3\n"), None);
    }

    #[test]
    fn newer_fields_are_ignored() {
        let text = b"cpu  1 2 3 4 5 6 7 8 9 10 11 12\ncpu0 1\n";
        assert_eq!(parse(text).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn cut_and_garbled_text_is_refused() {
        let whole = b"cpu  4705 150 1120 16250 520 30 45 7 0 0\n";
        assert!(parse(whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), None, "{end}");
            let mut broken = whole.to_vec();
            for byte in [0, b'-', b'x', 0xff] {
                broken[end] = byte;
                let _ = parse(&broken);
            }
        }
        for bad in [
            &b"cpu0 1 2 3 4 5\n"[..],
            b"cpu  1 2 3 99999999999999999999999\n",
            b"cpu  1 -2 3 4\n",
            b"intr 1 2 3 4\ncpu  1 2 3 4\n",
            b"\n\n",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_missing_file_is_an_error_without_a_wait() {
        let tree = Tree::new();
        let error = Cpu::new(&tree.0).sample().unwrap_err();
        assert!(error.to_string().contains("proc/stat"), "{error}");
        tree.write("proc/stat", "garbage\n");
        let error = Cpu::new(&tree.0).sample().unwrap_err();
        assert!(error.to_string().contains("`cpu` line"), "{error}");
    }
}
