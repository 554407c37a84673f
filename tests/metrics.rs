//! The collector against psutil on this very machine.
//!
//! Skipped, visibly, where no Python has psutil: `HAVEN_TEST_PYTHON` names one that does, else
//! `python3` is tried. Numbers of a living machine move, so that each comparison lies between two
//! samples and is repeated a few times before it fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use haven_agent::metrics::{Collector, Snapshot};

/// How often a comparison may meet a machine that changes under it.
const ATTEMPTS: usize = 20;

const MEBIBYTE: u64 = 1024 * 1024;

/// Prints psutil's readings as lines of tab-separated fields.
const READINGS: &str = r#"
import os, psutil
best = {}
for part in psutil.disk_partitions():
    path = part.mountpoint
    try:
        device = os.stat(path).st_dev
    except OSError:
        continue
    if device not in best or len(path) < len(best[device]):
        best[device] = path
for path in best.values():
    usage = psutil.disk_usage(path)
    print("disk", path, usage.total, usage.used, sep="\t")
memory = psutil.virtual_memory()
print("memory", "-", memory.total, memory.available, sep="\t")
for name, traffic in psutil.net_io_counters(pernic=True, nowrap=False).items():
    if name != "lo":
        print("net", name, traffic.bytes_recv, traffic.bytes_sent, sep="\t")
"#;

/// Says when it starts to watch the CPU for a second, then what it saw.
const CPU_SECOND: &str = r#"
import psutil
psutil.cpu_percent()
print("go", flush=True)
print(psutil.cpu_percent(interval=1.0), flush=True)
"#;

/// Two numbers for each name of a kind of reading.
type Pairs = BTreeMap<String, (u64, u64)>;

fn python() -> Option<String> {
    let python = std::env::var("HAVEN_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let tried = Command::new(&python)
        .args(["-c", "import psutil"])
        .stderr(Stdio::null())
        .status();
    if tried.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: {python} has no psutil (set HAVEN_TEST_PYTHON to one that has)"
    );
    None
}

fn start(python: &str, script: &str) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(python)
        .args(["-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

/// All of psutil's readings, by kind.
fn psutil(python: &str) -> BTreeMap<String, Pairs> {
    let (mut child, output) = start(python, READINGS);
    let mut readings: BTreeMap<String, Pairs> = BTreeMap::new();
    for line in output.lines() {
        let line = line.unwrap();
        let fields: Vec<&str> = line.split('\t').collect();
        let [kind, name, one, two] = fields[..] else {
            panic!("{line}");
        };
        let pair = (one.parse().unwrap(), two.parse().unwrap());
        let pairs = readings.entry(kind.to_owned()).or_default();
        pairs.insert(name.to_owned(), pair);
    }
    assert!(child.wait().unwrap().success());
    readings
}

fn disks(snapshot: &Snapshot) -> Pairs {
    let disks = snapshot.disks.as_ref().unwrap().iter();
    disks
        .map(|(path, disk)| (path.clone(), (disk.total, disk.used)))
        .collect()
}

fn net(snapshot: &Snapshot) -> Pairs {
    let interfaces = snapshot.net.as_ref().unwrap().iter();
    interfaces
        .map(|(name, traffic)| (name.clone(), (traffic.bytes_in, traffic.bytes_out)))
        .collect()
}

/// Between the two, or no further off than the slack.
fn between(one: u64, value: u64, two: u64, slack: u64) -> bool {
    let (low, high) = (one.min(two), one.max(two));
    value >= low.saturating_sub(slack) && value <= high.saturating_add(slack)
}

/// The same names, and each pair between those of the two samples.
fn same(one: &Pairs, theirs: &Pairs, two: &Pairs, slack: u64) -> bool {
    one.keys().eq(theirs.keys())
        && two.keys().eq(theirs.keys())
        && theirs.iter().all(|(name, their)| {
            let (one, two) = (one[name], two[name]);
            between(one.0, their.0, two.0, slack) && between(one.1, their.1, two.1, slack)
        })
}

/// Takes a sample, psutil's reading and another sample until the comparison holds.
fn agrees(
    root: &str,
    kind: &str,
    compare: impl Fn(&Snapshot, &Pairs, &Snapshot) -> Result<(), String>,
) {
    let Some(python) = python() else { return };
    let mut collector = Collector::new(Path::new(root));
    let mut difference = String::new();
    for _ in 0..ATTEMPTS {
        let one = collector.sample();
        let theirs = psutil(&python).remove(kind).unwrap_or_default();
        let two = collector.sample();
        match compare(&one, &theirs, &two) {
            Ok(()) => return,
            Err(why) => difference = why,
        }
    }
    panic!("{kind} under {root}: {difference}");
}

fn compare_disks(one: &Snapshot, theirs: &Pairs, two: &Snapshot) -> Result<(), String> {
    let (one, two) = (disks(one), disks(two));
    // What is in use moves; sizes do not.
    let totals = theirs
        .iter()
        .all(|(path, their)| one.get(path).is_some_and(|our| our.0 == their.0));
    let agree = totals && same(&one, theirs, &two, MEBIBYTE);
    agree
        .then_some(())
        .ok_or(format!("{one:?} {theirs:?} {two:?}"))
}

fn compare_net(one: &Snapshot, theirs: &Pairs, two: &Snapshot) -> Result<(), String> {
    let (one, two) = (net(one), net(two));
    let agree = same(&one, theirs, &two, 0);
    agree
        .then_some(())
        .ok_or(format!("{one:?} {theirs:?} {two:?}"))
}

#[test]
fn disks_are_those_of_psutil() {
    agrees("/", "disk", compare_disks);
}

#[test]
fn disks_under_another_root_are_the_same() {
    // The same file system by another path: the host's table is that of process 1 then.
    let namespace = |process| std::fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    if namespace("1").is_none() || namespace("1") != namespace("self") {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: process 1 has another mount table than this test, or hides it"
        );
        return;
    }
    agrees("/proc/self/root", "disk", compare_disks);
}

#[test]
fn memory_is_that_of_psutil() {
    agrees("/", "memory", |one, theirs, two| {
        let (one, two) = (one.memory.as_ref().unwrap(), two.memory.as_ref().unwrap());
        assert_eq!(one.used, one.total - one.available);
        let (total, available) = theirs["-"];
        let agree =
            one.total == total && between(one.available, available, two.available, 64 * MEBIBYTE);
        agree
            .then_some(())
            .ok_or(format!("{one:?} {theirs:?} {two:?}"))
    });
}

#[test]
fn interfaces_and_their_counters_are_those_of_psutil() {
    agrees("/", "net", compare_net);
}

#[test]
fn interfaces_under_another_root_are_the_same() {
    agrees("/proc/self/root", "net", compare_net);
}

#[test]
fn the_cpu_load_is_near_that_of_psutil() {
    let Some(python) = python() else { return };
    let mut collector = Collector::new(Path::new("/"));
    collector.sample();
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        let (mut child, mut output) = start(&python, CPU_SECOND);
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "go\n");
        collector.sample();
        line.clear();
        output.read_line(&mut line).unwrap();
        let ours = collector.sample().cpu_load.unwrap();
        assert!(child.wait().unwrap().success());
        assert!(ours.is_finite() && (0.0..=100.0).contains(&ours), "{ours}");
        let theirs: f32 = line.trim().parse().unwrap();
        if (ours - theirs).abs() <= 10.0 {
            return;
        }
        seen.push((ours, theirs));
    }
    panic!("ours and psutil's: {seen:?}");
}

#[test]
fn the_first_load_is_a_load() {
    let load = Collector::new(Path::new("/")).sample().cpu_load.unwrap();
    assert!(load.is_finite() && (0.0..=100.0).contains(&load), "{load}");
}

#[test]
fn every_source_fails_for_itself() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/weird");
    let snapshot = Collector::new(&fixture).sample();
    assert!(snapshot.cpu_load.is_err());
    assert!(snapshot.memory.is_err());
    assert!(snapshot.net.is_err());
    assert!(snapshot.disks.is_ok());
}
