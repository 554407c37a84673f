//! Which mounts are disks, from `mountinfo` (proc_pid_mountinfo(5)) and `/proc/filesystems`
//! (proc_filesystems(5)): what `psutil.disk_partitions()` lists, grouped by device.

use super::source;
use crate::sys::fs::Device;

/// A mount of a disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// What the file system is on, as the table says.
    pub(super) device: Device,
    /// Where it is mounted, octal escapes decoded; absolute.
    pub(super) path: Vec<u8>,
    /// Its files may have other devices than the table says: each subvolume of a btrfs has its
    /// own.
    pub(super) many_devices: bool,
    /// Its size may be long in coming: a server in user space or on a network is asked for it,
    /// or passed on the way to it.
    pub(super) may_hang: bool,
}

impl Mount {
    /// Whether a file with this device can be on the mount. A btrfs' files have anonymous
    /// devices, of major number 0, and the table does not tell which.
    pub(super) fn may_hold(&self, found: Device) -> bool {
        found == self.device || (self.many_devices && found.major == 0)
    }
}

/// Disks that answer for their size from elsewhere than the kernel's memory: user-space servers
/// (ntfs-3g, exfat-fuse) and cluster file systems.
const SLOW_DISKS: [&[u8]; 4] = [b"fuseblk", b"gfs2", b"ocfs2", b"vboxsf"];

/// No disks themselves, but a disk may be mounted below one.
const SLOW_ANCESTORS: [&[u8]; 13] = [
    b"nfs",
    b"nfs4",
    b"cifs",
    b"smb3",
    b"smbfs",
    b"9p",
    b"ceph",
    b"afs",
    b"coda",
    b"lustre",
    b"glusterfs",
    b"ncpfs",
    b"virtiofs",
];

/// The names of the file systems that live on disks: those without `nodev`, and zfs, which says
/// `nodev` since it brings its own devices (psutil counts it as well).
pub(super) fn disk_types(filesystems: &[u8]) -> Vec<&[u8]> {
    let lines = source::whole_lines(filesystems);
    let types = lines.filter_map(|line| {
        let mut fields = source::fields(line);
        match fields.next()? {
            b"nodev" => fields.next().filter(|name| name == b"zfs"),
            name => Some(name),
        }
    });
    types.collect()
}

/// The mounts of disks in a `mountinfo` table, sorted by device, and the mounts of one device by
/// preference: `/`, then the shorter path, then the earlier line.
///
/// `prefix`, where it is given, is where the table's reader sees the root: paths are told from
/// there, and what is mounted elsewhere is left out.
pub(super) fn disks(table: &[u8], types: &[&[u8]], prefix: &[u8]) -> Vec<Mount> {
    let mut slow = Vec::new();
    let mut disks = Vec::new();
    for line in source::whole_lines(table).filter_map(Line::parse) {
        if is_slow(line.kind) {
            slow.push(line.path);
        }
        if types.contains(&line.kind) && line.source != b"none" {
            disks.push(line);
        }
    }
    let mounts = disks.into_iter().filter_map(|line| {
        Some(Mount {
            device: line.device,
            path: below(&decoded(line.path), prefix)?,
            many_devices: line.kind == b"btrfs",
            may_hang: SLOW_DISKS.contains(&line.kind)
                || slow.iter().any(|above| is_below(line.path, above)),
        })
    });
    let mut sorted = Vec::new();
    for mount in mounts {
        let at = sorted.partition_point(|other| rank(other) <= rank(&mount));
        sorted.insert(at, mount);
    }
    sorted
}

/// `/` is the shortest path there is.
fn rank(mount: &Mount) -> (Device, usize) {
    (mount.device, mount.path.len())
}

fn is_slow(kind: &[u8]) -> bool {
    kind.starts_with(b"fuse") || SLOW_ANCESTORS.contains(&kind) || SLOW_DISKS.contains(&kind)
}

/// Truly below, not the same place.
fn is_below(path: &[u8], above: &[u8]) -> bool {
    let rest = path.strip_prefix(above);
    rest.is_some_and(|rest| rest.starts_with(b"/") || (above == b"/" && !rest.is_empty()))
}

/// The path as seen from `prefix`; `None` when it is not there.
fn below(path: &[u8], prefix: &[u8]) -> Option<Vec<u8>> {
    let rest = path.strip_prefix(prefix)?;
    match rest.first() {
        None => Some(b"/".to_vec()),
        Some(b'/') => Some(rest.to_vec()),
        Some(_) => None,
    }
}

/// The fields of a line that matter:
///
/// ```text
/// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
/// id parent device root path options optional… - kind source options
/// ```
struct Line<'a> {
    device: Device,
    /// Still escaped.
    path: &'a [u8],
    kind: &'a [u8],
    source: &'a [u8],
}

impl<'a> Line<'a> {
    /// `None` for what is not the kernel's form.
    fn parse(line: &'a [u8]) -> Option<Line<'a>> {
        let mut fields = source::fields(line);
        let device = parse_device(fields.nth(2)?)?;
        let path = fields.nth(1)?;
        if !path.starts_with(b"/") {
            return None;
        }
        fields.next()?;
        fields.find(|&field| field == b"-")?;
        Some(Line {
            device,
            path,
            kind: fields.next()?,
            source: fields.next()?,
        })
    }
}

/// `98:0`.
fn parse_device(field: &[u8]) -> Option<Device> {
    let colon = field.iter().position(|&b| b == b':')?;
    let (major, minor) = field.split_at(colon);
    let number = |digits: &[u8]| u32::try_from(source::number(digits)?).ok();
    Some(Device {
        major: number(major)?,
        minor: number(minor.strip_prefix(b":")?)?,
    })
}

/// A path with the kernel's octal escapes (space, tab, line end, backslash, `#`) decoded. A
/// backslash that starts no escape is itself.
fn decoded(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        match escape(rest) {
            Some((byte, after)) => {
                plain.push(byte);
                rest = after;
            }
            None => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    plain
}

/// The byte that `\ooo` stands for, and what follows it.
fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = text.strip_prefix(b"\\")?.split_at_checked(3)?;
    let value = digits.iter().try_fold(0_u32, |value, &digit| {
        matches!(digit, b'0'..=b'7').then(|| value * 8 + u32::from(digit - b'0'))
    })?;
    Some((u8::try_from(value).ok()?, after))
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::fixture;
    use super::*;

    /// Device, path and, where they apply, `btrfs` and `slow`.
    fn listed(name: &str) -> Vec<String> {
        let root = fixture(name);
        let read = |path: &str| std::fs::read(root.join(path)).unwrap();
        let (types, table) = (read("proc/filesystems"), read("proc/1/mountinfo"));
        let mounts = disks(&table, &disk_types(&types), b"");
        mounts.iter().map(described).collect()
    }

    fn described(mount: &Mount) -> String {
        format!(
            "{}:{} {}{}{}",
            mount.device.major,
            mount.device.minor,
            String::from_utf8_lossy(&mount.path),
            if mount.many_devices { " btrfs" } else { "" },
            if mount.may_hang { " slow" } else { "" },
        )
    }

    #[test]
    fn a_desktop_has_its_disks_and_snaps() {
        assert_eq!(
            listed("desktop"),
            [
                "7:0 /snap/core22/1122",
                "7:1 /snap/firefox/3836",
                "8:17 /media/anna/Windows slow",
                "259:1 /boot/efi",
                "259:2 /",
                "259:2 /var/lib/docker",
            ]
        );
    }

    #[test]
    fn a_raspberry_pi_has_its_card() {
        assert_eq!(listed("raspberry-pi"), ["179:1 /boot/firmware", "179:2 /"]);
    }

    #[test]
    fn an_old_kernel_s_table_is_read() {
        assert_eq!(listed("old-kernel"), ["8:1 /boot", "253:0 /"]);
    }

    #[test]
    fn a_container_sees_its_host_s_table() {
        assert_eq!(
            listed("container/rootfs"),
            ["8:1 /", "8:16 /var/lib/docker", "8:16 /srv/volumes/pg"]
        );
    }

    #[test]
    fn escapes_subvolumes_binds_and_network_mounts() {
        assert_eq!(
            listed("weird"),
            [
                "0:41 /pool",
                "0:47 / btrfs",
                "0:47 /home btrfs",
                "8:33 /mnt/with space",
                "8:34 /mnt/tab\tnew\nline",
                "8:35 /mnt/back\\slash#hash",
                "8:36 /srv/nfs/below/disk slow",
                "8:37 /a",
                "8:37 /b",
                "8:37 /longer/bind",
                "8:38 /media/ntfs slow",
                "8:39 /media/ntfs-neighbour",
            ]
        );
    }

    #[test]
    fn a_btrfs_has_more_devices_than_its_own_but_no_other_disk_s() {
        let device = |major, minor| Device { major, minor };
        let mut mount = Mount {
            device: device(0, 47),
            path: b"/home".to_vec(),
            many_devices: true,
            may_hang: false,
        };
        assert!(mount.may_hold(device(0, 47)) && mount.may_hold(device(0, 52)));
        assert!(!mount.may_hold(device(8, 1)));
        mount.many_devices = false;
        assert!(mount.may_hold(device(0, 47)) && !mount.may_hold(device(0, 52)));
    }

    #[test]
    fn types_are_those_of_psutil() {
        let text =
            b"nodev\tsysfs\n\text4\nnodev\tzfs\nnodev\tzfsx\n\tfuseblk\nnodev\nnodev\tfuse\n\n\tcu";
        assert_eq!(disk_types(text), [&b"ext4"[..], b"zfs", b"fuseblk"]);
    }

    #[test]
    fn one_s_own_table_is_told_from_the_root() {
        let table = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
            2 1 8:2 / /rootfs rw - ext4 /dev/sda2 rw\n\
            3 2 8:3 / /rootfs/home rw - ext4 /dev/sda3 rw\n\
            4 1 8:4 / /rootfsx rw - ext4 /dev/sda4 rw\n";
        let mounts = disks(table, &[b"ext4"], b"/rootfs");
        let rows: Vec<String> = mounts.iter().map(described).collect();
        assert_eq!(rows, ["8:2 /", "8:3 /home"]);
    }

    #[test]
    fn escapes_are_decoded_and_other_backslashes_stay() {
        for (escaped, plain) in [
            (&b"/a\\040b"[..], &b"/a b"[..]),
            (b"/\\134040", b"/\\040"),
            (b"/\\303\\244", "/ä".as_bytes()),
            (b"/a\\", b"/a\\"),
            (b"/a\\04", b"/a\\04"),
            (b"/a\\048", b"/a\\048"),
            (b"/a\\777", b"/a\\777"),
            (b"/plain", b"/plain"),
        ] {
            assert_eq!(decoded(escaped), plain);
        }
    }

    #[test]
    fn below_is_not_beside() {
        assert!(is_below(b"/a/b", b"/a") && is_below(b"/a", b"/"));
        for (path, above) in [("/ab", "/a"), ("/a", "/a"), ("/", "/"), ("/a", "/a/b")] {
            assert!(
                !is_below(path.as_bytes(), above.as_bytes()),
                "{path} {above}"
            );
        }
    }

    #[test]
    fn cut_and_garbled_tables_break_nothing() {
        for name in ["weird", "desktop"] {
            let table = std::fs::read(fixture(name).join("proc/1/mountinfo")).unwrap();
            let types: [&[u8]; 3] = [b"ext4", b"btrfs", b"fuseblk"];
            let all = disks(&table, &types, b"").len();
            for end in 0..table.len() {
                assert!(disks(&table[..end], &types, b"").len() <= all);
            }
            for place in (0..table.len()).step_by(3) {
                for byte in [0, b' ', b'\n', b'\\', b'-', 0xff] {
                    let mut broken = table.clone();
                    broken[place] = byte;
                    disks(&broken, &types, b"/srv");
                }
            }
        }
        for line in [
            "",
            "-",
            "1 2",
            "1 2 3:4 / /",
            "1 2 3:4 / / rw - ext4",
            "1 2 3 / / rw - a b c",
            "1 2 3:4 / rel rw - ext4 /dev/sda rw",
            "1 2 99999999999:4 / / rw - ext4 a b",
        ] {
            assert!(Line::parse(line.as_bytes()).is_none(), "{line}");
        }
    }
}
