//! Physical memory, from `/proc/meminfo` by field name (proc_meminfo(5)).

use std::path::{Path, PathBuf};

use super::source::{self, SourceError};

/// The most that is read of `/proc/meminfo`; kernels write some 1.6 KB.
const MAX_MEMINFO: usize = 8 * 1024;

/// Physical memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What the kernel manages (`MemTotal`).
    pub total: u64,
    /// What new work could have without swapping.
    ///
    /// `MemAvailable`, the kernel's own estimate. Where that is missing (before Linux 3.14) or 0
    /// (seen in containers; `free` and psutil distrust it as well), `MemFree` + `Buffers` +
    /// `Cached` + `SReclaimable` − `Shmem`: the page cache can be dropped, but shared memory is
    /// counted in it and cannot.
    pub available: u64,
    /// `total` − `available`.
    pub used: u64,
}

pub(super) struct Source {
    path: PathBuf,
}

impl Source {
    pub(super) fn new(root: &Path) -> Source {
        Source {
            path: root.join("proc/meminfo"),
        }
    }

    pub(super) fn sample(&mut self) -> Result<Memory, SourceError> {
        let mut buffer = [0; MAX_MEMINFO];
        let text = source::read_once(&self.path, &mut buffer)
            .map_err(|error| SourceError::read(&self.path, error))?;
        parse(text).map_err(|missing| SourceError::content(&self.path, missing))
    }
}

/// The fields that are used, in kB (of 1024 bytes).
#[derive(Default)]
struct Fields {
    total: Option<u64>,
    available: Option<u64>,
    free: Option<u64>,
    buffers: Option<u64>,
    cached: Option<u64>,
    reclaimable: Option<u64>,
    shared: Option<u64>,
}

impl Fields {
    fn read(text: &[u8]) -> Fields {
        let mut fields = Fields::default();
        for line in source::whole_lines(text) {
            let Some(colon) = line.iter().position(|&b| b == b':') else {
                continue;
            };
            let (name, value) = line.split_at(colon);
            let field = match name {
                b"MemTotal" => &mut fields.total,
                b"MemAvailable" => &mut fields.available,
                b"MemFree" => &mut fields.free,
                b"Buffers" => &mut fields.buffers,
                b"Cached" => &mut fields.cached,
                b"SReclaimable" => &mut fields.reclaimable,
                b"Shmem" => &mut fields.shared,
                _ => continue,
            };
            *field = kilobytes(value);
        }
        fields
    }

    /// What can be had, for kernels that do not say it.
    fn estimate(&self) -> Option<u64> {
        let gains = [self.buffers, self.cached, self.reclaimable];
        let gained = gains.into_iter().flatten();
        let sum = gained.fold(self.free?, u64::saturating_add);
        Some(sum.saturating_sub(self.shared.unwrap_or(0)))
    }
}

/// The number in `:   16384 kB`.
fn kilobytes(value: &[u8]) -> Option<u64> {
    let mut fields = source::fields(value.strip_prefix(b":")?);
    let number = source::number(fields.next()?)?;
    (fields.next()? == b"kB").then_some(number)
}

/// # Errors
/// The field that is missing.
pub(super) fn parse(text: &[u8]) -> Result<Memory, &'static str> {
    let fields = Fields::read(text);
    let total = fields.total.filter(|&total| total > 0).ok_or("MemTotal")?;
    let said = fields.available.filter(|&available| available > 0);
    let available = said.or_else(|| fields.estimate());
    let available = available.ok_or("MemAvailable or MemFree")?.min(total);
    let bytes = |kilobytes: u64| kilobytes.saturating_mul(1024);
    Ok(Memory {
        total: bytes(total),
        available: bytes(available),
        used: bytes(total - available),
    })
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::{Tree, fixture};
    use super::*;

    fn memory(total: u64, available: u64) -> Memory {
        Memory {
            total: total * 1024,
            available: available * 1024,
            used: (total - available) * 1024,
        }
    }

    #[test]
    fn the_kernels_own_estimate_is_taken() {
        let sample = |name| Source::new(&fixture(name)).sample().unwrap();
        assert_eq!(sample("desktop"), memory(16_303_428, 10_518_820));
        assert_eq!(sample("raspberry-pi"), memory(440_408, 301_244));
        assert_eq!(sample("container/rootfs"), memory(8_134_420, 6_021_304));
    }

    #[test]
    fn an_old_kernel_is_estimated() {
        // 118,092 free + 57,316 buffers + 211,340 cached + 21,020 reclaimable − 3,228 shared
        let memory_of = Source::new(&fixture("old-kernel")).sample().unwrap();
        assert_eq!(memory_of, memory(509_860, 404_540));
    }

    #[test]
    fn an_estimate_of_nothing_is_not_believed() {
        let text = b"MemTotal: 1000 kB\nMemFree: 300 kB\nMemAvailable: 0 kB\nCached: 200 kB\n";
        assert_eq!(parse(text), Ok(memory(1000, 500)));
    }

    #[test]
    fn fields_go_by_name_in_any_order() {
        let text = b"SwapCached: 7 kB\nMemAvailable: 5 kB\nHugePages_Total: 3\nMemTotal:\t9 kB\n";
        assert_eq!(parse(text), Ok(memory(9, 5)));
    }

    #[test]
    fn more_available_than_there_is_makes_no_negative_use() {
        let text = b"MemTotal: 9 kB\nMemAvailable: 50 kB\n";
        assert_eq!(parse(text), Ok(memory(9, 9)));
        let text = b"MemTotal: 9 kB\nMemFree: 1 kB\nCached: 2 kB\nShmem: 50 kB\n";
        assert_eq!(parse(text), Ok(memory(9, 0)));
        let text = b"MemTotal: 18446744073709551615 kB\nMemAvailable: 1 kB\n";
        assert_eq!(parse(text).unwrap().total, u64::MAX);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(parse(b""), Err("MemTotal"));
        assert_eq!(parse(b"MemTotal: 0 kB\n"), Err("MemTotal"));
        assert_eq!(
            parse(b"MemTotal: 5 kB\nCached: 3 kB\n"),
            Err("MemAvailable or MemFree")
        );
        let tree = Tree::new();
        let error = Source::new(&tree.0).sample().unwrap_err();
        assert!(error.to_string().contains("proc/meminfo"), "{error}");
    }

    #[test]
    fn a_cut_never_makes_a_wrong_number() {
        let whole = std::fs::read(fixture("raspberry-pi").join("proc/meminfo")).unwrap();
        let right = parse(&whole).unwrap();
        for end in 0..whole.len() {
            if let Ok(memory) = parse(&whole[..end]) {
                assert_eq!(memory.total, right.total, "{end}");
                // Before MemAvailable's line, free memory alone is what is known.
                let free = 151_008 * 1024;
                assert!([right.available, free].contains(&memory.available), "{end}");
            }
        }
    }

    #[test]
    fn garbage_breaks_nothing() {
        let whole = std::fs::read(fixture("old-kernel").join("proc/meminfo")).unwrap();
        for place in 0..whole.len() {
            for byte in [0, b':', b'\n', b'9', 0xff] {
                let mut broken = whole.clone();
                broken[place] = byte;
                if let Ok(memory) = parse(&broken) {
                    assert!(memory.available <= memory.total);
                }
            }
        }
    }
}
