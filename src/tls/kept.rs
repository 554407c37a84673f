//! The one root of a checkout: a file in the target directory that all builds share.
//!
//! `OUT_DIR` differs by target and profile, and a root kept there would be another one in each:
//! an agent and the tests of the same checkout would not trust each other.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Certificate and key in one file, so that they can never belong to different roots.
const FILE: &str = "haven-root.pem";

/// Where the root of the build with this `OUT_DIR` is kept, for `host` and `target` as Cargo names
/// them: in the target directory itself, which is above the profile's directory and, with
/// `--target`, above the target's. (Cargo's `CACHEDIR.TAG` does not tell which one it is: a target
/// directory that was there before Cargo has none, and each target's own has one.)
pub fn place(out_dir: &Path, host: &str, target: &str) -> PathBuf {
    above_profile(out_dir)
        .map_or(out_dir, |dir| {
            above_target(dir, host, target).unwrap_or(dir)
        })
        .join(FILE)
}

/// The directory in which the profile's is: `OUT_DIR` is `PROFILE/build/PACKAGE/out`.
fn above_profile(out_dir: &Path) -> Option<&Path> {
    let builds = out_dir.ancestors().find(|dir| dir.ends_with("build"))?;
    builds.parent()?.parent()
}

/// The directory above, if `dir` is the one of `--target`. A target directory that happens to have
/// the target's name is not, which only a build for the host can be in doubt about.
fn above_target<'a>(dir: &'a Path, host: &str, target: &str) -> Option<&'a Path> {
    let above = dir.parent()?;
    (dir.ends_with(target) && (host != target || is_cargos(above))).then_some(above)
}

/// Whether Cargo made this directory (other programs tag their caches with the same file).
fn is_cargos(dir: &Path) -> bool {
    fs::read_to_string(dir.join("CACHEDIR.TAG")).is_ok_and(|tag| tag.contains("created by cargo"))
}

/// What the file at `path` holds; where there is none it is filled by `make` first, by exactly one
/// of the builds that come here at once.
///
/// # Errors
/// `make` failed, or a file cannot be locked, written or read.
pub fn read_or_make(
    path: &Path,
    make: impl FnOnce() -> Result<String, String>,
) -> io::Result<Vec<u8>> {
    let lock = private().open(path.with_extension("lock"))?;
    match lock.lock() {
        // A file system without locks: the rename below still lets no build read half a file.
        Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
        _ => {}
    }
    if !path.try_exists()? {
        let text = make().map_err(io::Error::other)?;
        let new = path.with_extension(format!("{}.new", std::process::id()));
        write_private(&new, text.as_bytes())?;
        age(&new)?;
        fs::rename(&new, path)?;
    }
    fs::read(path)
}

/// Sets the time of a file that was just made a moment back. Cargo runs a build script again when
/// a file that it watches is newer than the script's start: without this, the build after the
/// first would compile everything once more.
fn age(path: &Path) -> io::Result<()> {
    const MOMENT: Duration = Duration::from_secs(2);
    let time = SystemTime::now()
        .checked_sub(MOMENT)
        .unwrap_or(SystemTime::UNIX_EPOCH);
    File::options().write(true).open(path)?.set_modified(time)
}

/// Writes a file that none but its owner may read.
///
/// # Errors
/// The file cannot be replaced or written.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A file of an earlier build is replaced, not opened: it may have had another mode.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private().open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn private() -> OpenOptions {
    let mut options = File::options();
    options.write(true).create(true).truncate(false).mode(0o600);
    options
}
