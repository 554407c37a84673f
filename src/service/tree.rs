//! The system that is installed into: its files, each written whole or not at all, and its commands.

use super::{Error, MARK, failed, step};
use crate::links;
use crate::sys::fs::read_up_to;
use crate::sys::spawn;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

/// The largest file that is read whole: more than a configuration or a table of users has.
const MAX_FILE: usize = 4 * 1024 * 1024;
/// The program that runs (proc_pid_exe(5)).
const OWN_PROGRAM: &str = "/proc/self/exe";
/// How much of a program is read at a time.
const PIECE: usize = 64 * 1024;
/// The most that is kept of what a command says.
const MAX_SAID: usize = 16 * 1024;
/// Where commands are, unless the environment says it (environ(7)).
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// How much of a file is searched for [`MARK`].
const BEGINNING: usize = 512;

/// The root directory of a system: `/` is this one, and commands are run; any other is an image's.
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The system whose root directory is `root`.
    pub fn new(root: PathBuf) -> Tree {
        Tree { root }
    }

    /// Whether this is the system that runs.
    pub fn is_own(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where the file is. Links to directories on the way are followed inside the root: an image's
    /// `/etc/init.d` may be one, and must not lead out of it. What is not there yet is as it is named.
    fn at(&self, path: &str) -> PathBuf {
        let path = Path::new(path);
        let mut above = path.ancestors().skip(1);
        let there = above.find_map(|directory| {
            let walked = links::walk(&self.root, directory, |_| {}).ok()?;
            Some(walked.join(path.strip_prefix(directory).ok()?))
        });
        there.unwrap_or_else(|| self.root.clone())
    }

    /// The file that is there, links in the place of the file itself included: they are an image's too.
    fn found(&self, path: &str) -> io::Result<PathBuf> {
        links::walk(&self.root, Path::new(path), |_| {})
    }

    /// Whether there is something.
    pub fn has(&self, path: &str) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    /// The whole file; none where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let read = || read_up_to(&File::open(self.found(path)?)?, MAX_FILE);
        match read() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => failed(text("read", &self.at(path), &error)),
        }
    }

    /// The same as text, empty where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_text(&self, path: &str) -> Result<String, Error> {
        let bytes = self.read(path)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether the file says that `install` wrote it.
    pub fn is_marked(&self, path: &str) -> bool {
        let read = || read_up_to(&File::open(self.found(path)?)?, BEGINNING);
        read().is_ok_and(|beginning| String::from_utf8_lossy(&beginning).contains(MARK))
    }

    /// Makes the file what it should be, with the directories above it; says whether it was not.
    ///
    /// # Errors
    /// It cannot be written; what was there before is there still.
    pub fn write(&self, path: &str, content: &[u8], mode: u32, group: u32) -> Result<bool, Error> {
        let place = self.at(path);
        let fits = |file: File| -> io::Result<bool> {
            let meta = file.metadata()?;
            let same = meta.is_file() && meta.mode() & 0o7777 == mode && meta.gid() == group;
            Ok(same && read_up_to(&file, content.len() + 1)? == content)
        };
        if File::open(&place).and_then(fits).unwrap_or(false) {
            return Ok(false);
        }
        let written = replace(&place, mode, group, |file| file.write_all(content));
        written.map_err(|error| Error(text("write", &place, &error)))?;
        Ok(true)
    }

    /// Makes the file the running program; says whether it was another.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_program(&self, path: &str) -> Result<bool, Error> {
        let place = self.at(path);
        let copied = || -> io::Result<bool> {
            let own = File::open(OWN_PROGRAM)?;
            if File::open(&place).is_ok_and(|there| is_same(&own, &there).unwrap_or(false)) {
                return Ok(false);
            }
            let own = File::open(OWN_PROGRAM)?;
            replace(&place, 0o755, 0, |file| copy(&own, file))?;
            Ok(true)
        };
        copied().map_err(|error| Error(text("write", &place, &error)))
    }

    /// Sets who may read a file; says whether that was another.
    ///
    /// # Errors
    /// `chown(2)`, `chmod(2)`.
    pub fn restrict(&self, path: &str, mode: u32, group: u32) -> Result<bool, Error> {
        let restricted = || -> io::Result<bool> {
            let place = self.found(path)?;
            let meta = fs::metadata(&place)?;
            if meta.mode() & 0o7777 == mode && meta.gid() == group {
                return Ok(false);
            }
            chown(&place, None, Some(group))?;
            fs::set_permissions(&place, fs::Permissions::from_mode(mode))?;
            Ok(true)
        };
        let what = "set the group and mode of";
        restricted().map_err(|error| Error(text(what, &self.at(path), &error)))
    }

    /// Makes a link, in a directory that may have to be made.
    ///
    /// # Errors
    /// Something else is there, or it cannot be made.
    pub fn link(&self, path: &str, target: &str) -> Result<(), Error> {
        let place = self.at(path);
        if fs::read_link(&place).is_ok_and(|there| there == Path::new(target)) {
            return Ok(());
        }
        let made = make_parents(&place).and_then(|()| symlink(target, &place));
        made.map_err(|error| Error(text("make the link", &place, &error)))?;
        step(format_args!("link: {path} -> {target}"));
        Ok(())
    }

    /// Removes a file or a link, if it is there, and says so.
    ///
    /// # Errors
    /// It is there and stays there.
    pub fn remove(&self, path: &str) -> Result<(), Error> {
        let place = self.at(path);
        // What was left of writing it.
        let _ = fs::remove_file(unfinished(&place));
        match fs::remove_file(&place) {
            Ok(()) => step(format_args!("removed: {path}")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return failed(text("remove", &place, &error)),
        }
        Ok(())
    }

    /// Removes a directory of ours if it is empty; else it is somebody else's as well.
    pub fn remove_directory(&self, path: &str) {
        let _ = fs::remove_dir(self.at(path));
    }

    /// Runs a command of this system and gives what it wrote.
    ///
    /// # Errors
    /// There is none of that name, or it failed, and what it said.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String, Error> {
        let line = format!("{program} {}", arguments.join(" "));
        let ran = spawn::run(program, arguments, MAX_SAID);
        let (success, said) =
            ran.map_err(|error| Error(format!("cannot run `{line}`: {error}")))?;
        let said = String::from_utf8_lossy(&said).into_owned();
        if success {
            return Ok(said);
        }
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        failed(format!("`{line}` failed: {said}"))
    }

    /// Whether this system has the command.
    pub fn has_command(&self, name: &str) -> bool {
        let path = std::env::var("PATH").unwrap_or_else(|_| PATH.to_owned());
        let mut directories = path.split(':').map(Path::new);
        self.is_own() && directories.any(|directory| directory.join(name).is_file())
    }
}

/// Writes a file beside the old one and puts it in its place: nobody sees half of it, and a program
/// that runs from the old one goes on.
fn replace(
    place: &Path,
    mode: u32,
    group: u32,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    make_parents(place)?;
    let new = unfinished(place);
    // One that was left half made.
    let _ = fs::remove_file(&new);
    let mut options = OpenOptions::new();
    let written = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| {
            fill(&mut file)?;
            if group != 0 {
                chown(&new, None, Some(group))?;
            }
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.sync_all()?;
            fs::rename(&new, place)
        });
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

/// Where a file is written before it is put in its place.
fn unfinished(place: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(place.file_name().unwrap_or_default());
    name.push(".new");
    place.with_file_name(name)
}

fn make_parents(place: &Path) -> io::Result<()> {
    place.parent().map_or(Ok(()), fs::create_dir_all)
}

fn copy(mut from: &File, to: &mut File) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let count = from.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(piece.get(..count).unwrap_or_default())?;
    }
}

/// Whether two programs are the same to the byte, and executable.
fn is_same(one: &File, other: &File) -> io::Result<bool> {
    let (own, there) = (one.metadata()?, other.metadata()?);
    if there.mode() & 0o7777 != 0o755 || own.len() != there.len() {
        return Ok(false);
    }
    if (own.dev(), own.ino()) == (there.dev(), there.ino()) {
        return Ok(true);
    }
    let (mut one, mut other) = (one, other);
    let (mut ours, mut theirs) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let count = one.read(&mut ours)?;
        let (ours, theirs) = (ours.get(..count), theirs.get_mut(..count));
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            return Ok(false);
        };
        other.read_exact(theirs)?;
        if ours != theirs {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
    }
}

fn text(what: &str, place: &Path, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => ": become root (sudo)",
        io::ErrorKind::ReadOnlyFilesystem => {
            ": mount it writable, or install into another system by --root"
        }
        io::ErrorKind::StorageFull => ": make room there",
        _ => "",
    };
    format!("cannot {what} {}: {error}{remedy}", place.display())
}
