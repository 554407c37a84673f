//! Paths with symbolic links in them, walked by hand: inside another root directory, or to learn what
//! lies on the way.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The most symbolic links on the way to one file, as the kernel has it (path_resolution(7)).
pub const MAX_LINKS: usize = 40;

/// What a walk comes by.
pub struct Step<'a> {
    /// Where it is, without links on the way.
    pub at: &'a Path,
    /// What it names, if it is a link.
    pub link: Option<&'a Path>,
    /// Whether nothing comes after it, but for what the link names.
    pub last: bool,
}

/// The file that `path` names where `root` is the root directory: links are followed inside of it,
/// absolute ones begin at it, and `..` does not lead out. `seen` is told of each step that is there.
///
/// # Errors
/// `lstat(2)`, `readlink(2)`; more than [`MAX_LINKS`] links.
pub fn walk(root: &Path, path: &Path, mut seen: impl FnMut(&Step<'_>)) -> io::Result<PathBuf> {
    let mut links = 0;
    let mut inside: Vec<OsString> = Vec::new();
    // What is still to be walked, the next component last.
    let mut ahead = components(path);
    while let Some(next) = ahead.pop() {
        if next == ".." {
            inside.pop();
            continue;
        }
        inside.push(next);
        let here = root.join(inside.iter().collect::<PathBuf>());
        let link = match here.symlink_metadata()?.is_symlink() {
            true => Some(here.read_link()?),
            false => None,
        };
        seen(&Step {
            at: &here,
            link: link.as_deref(),
            last: ahead.is_empty(),
        });
        let Some(target) = link else { continue };
        links += 1;
        if links > MAX_LINKS {
            return Err(io::Error::other("too many symbolic links"));
        }
        inside.pop();
        if target.is_absolute() {
            inside.clear();
        }
        ahead.extend(components(&target));
    }
    Ok(root.join(inside.iter().collect::<PathBuf>()))
}

/// The parts of a path, the last first.
fn components(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    });
    parts.collect()
}
