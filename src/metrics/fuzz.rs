//! Harnesses for the kernel's tables (see `fuzzing`).

use super::{cpu, memory, mounts, network, source};

/// A mount table, behind an empty line the list of file systems: paths are absolute, devices come
/// together, and half a line at the end says nothing.
pub fn mountinfo(bytes: &[u8]) {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (table, filesystems) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
    let mut types = mounts::disk_types(filesystems);
    types.push(b"ext4");
    for prefix in [&b""[..], b"/rootfs", b"/"] {
        let disks = mounts::disks(table, &types, prefix);
        assert!(disks.iter().all(|mount| mount.path.starts_with(b"/")));
        let rank = |mount: &mounts::Mount| (mount.device, mount.path.len());
        assert!(disks.is_sorted_by_key(rank));
        let whole = table.iter().rposition(|&byte| byte == b'\n');
        let whole = table.get(..whole.map_or(0, |end| end + 1));
        assert_eq!(
            mounts::disks(whole.unwrap_or_default(), &types, prefix),
            disks
        );
    }
}

/// `/proc/stat`, `/proc/meminfo` and `/proc/net/dev`: figures are sound or not given.
pub fn proc(bytes: &[u8]) {
    let (before, after) = bytes.split_at(bytes.len() / 2);
    let readings = [cpu::parse(bytes), cpu::parse(before), cpu::parse(after)];
    for before in readings.iter().flatten() {
        for now in readings.iter().flatten() {
            let load = cpu::load(before, now).unwrap_or(0.0);
            assert!((0.0..=100.0).contains(&load), "{load}");
        }
    }
    if let Ok(memory) = memory::parse(bytes) {
        assert!(memory.total > 0 && memory.available <= memory.total);
        assert!(memory.used <= memory.total);
    }
    for line in source::whole_lines(bytes) {
        if let Some((name, _)) = network::parse_net_dev(line) {
            assert!(!name.is_empty() && name != "lo" && !name.contains('\n'));
        }
    }
}
