//! The system that is installed into: its files, each written whole or not at all, and its commands.

use super::{Error, MARK, failed, step};
use crate::links;
use crate::sys::fs::{NO_FOLLOW, read_up_to};
use crate::sys::{process, spawn};
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

/// The most that is read of a file, in bytes: more than a configuration, a table of users or this program has.
const MAX_FILE: usize = 64 * 1024 * 1024;
/// The program that runs (proc_pid_exe(5)).
const OWN_PROGRAM: &str = "/proc/self/exe";
/// The most that is kept of what a command says.
const MAX_SAID: usize = 16 * 1024;
/// Where root's commands are. They come before what the environment says (environ(7)), which after `su` without `-` is
/// a user's: without these directories, and perhaps with some of that user's own.
const COMMANDS: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";
/// How much of a file is searched for [`MARK`].
const BEGINNING: usize = 512;
/// The file by which installations keep each other out, in `/run`, or in `/etc` of an image without that.
const LOCK: &str = "haven-agent.lock";

/// The root directory of a system: `/` is this one, and commands are run; any other is an image's.
pub struct Tree {
    root: PathBuf,
}

/// What [`Tree::lock`] holds.
pub struct Lock {
    place: PathBuf,
    _file: File,
}

impl Drop for Lock {
    /// Nothing is left in an image. Before it is unlocked, for then it may be another's.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.place);
    }
}

impl Tree {
    /// The system whose root directory is `root`.
    pub fn new(root: PathBuf) -> Tree {
        Tree { root }
    }

    /// Keeps other installations out of the system for as long as the answer lives, by a file that root alone can
    /// open (flock(2)): what others can open, as a directory, they could lock for ever.
    ///
    /// # Errors
    /// One is at work; the file cannot be opened.
    pub fn lock(&self) -> Result<Lock, Error> {
        let mut above = ["/run", "/etc", "/"].into_iter();
        let above = above.find_map(|above| self.found(above).ok());
        let place = above.unwrap_or_default().join(LOCK);
        let mut options = OpenOptions::new();
        options.write(true).create(true).mode(0o600);
        // An image's link must not lead out of it.
        let file = options.custom_flags(NO_FOLLOW).open(&place);
        let file = file.map_err(|error| Error::of_system(text("open", &place, &error)))?;
        let taken = file.try_lock();
        // The one that had it may have removed it since it was opened.
        if matches!(taken, Err(TryLockError::WouldBlock))
            || file.metadata().is_ok_and(|meta| meta.nlink() == 0)
        {
            return failed(format!(
                "another install or uninstall is at work in {}: wait for its end",
                self.root.display()
            ));
        }
        // A file system that knows no locks is no reason not to install.
        Ok(Lock { place, _file: file })
    }

    /// Whether this is the system that runs.
    pub fn is_own(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where the file is. Links to directories on the way are followed inside the root: an image's
    /// `/etc/init.d` may be one, and must not lead out of it. What is not there yet is as it is named.
    fn at(&self, path: &str) -> PathBuf {
        let Some((above, name)) = path.rsplit_once('/') else {
            return self.root.join(path);
        };
        let above = self.found(above).unwrap_or_else(|_| self.at(above));
        above.join(name)
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

    /// Whether there is something that is not `install`'s.
    pub fn is_foreign(&self, path: &str) -> bool {
        self.has(path) && !self.is_marked(path)
    }

    /// Makes the file what it should be, with the directories above it; says whether it was not. It is written beside
    /// the old one and put in its place: nobody sees half of it, and a program that runs from the old one goes on.
    ///
    /// # Errors
    /// It cannot be written; what was there before is there still.
    pub fn write(&self, path: &str, content: &[u8], mode: u32, group: u32) -> Result<bool, Error> {
        let place = self.at(path);
        let same = || -> io::Result<bool> {
            Ok(is_as(&place.symlink_metadata()?, mode, group)
                && read_up_to(&File::open(&place)?, content.len() + 1)? == content)
        };
        if same().unwrap_or(false) {
            return Ok(false);
        }
        let new = self.at(&unfinished(path));
        let written = || -> io::Result<()> {
            make_parents(&place)?;
            // One that was left half made.
            let _ = fs::remove_file(&new);
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(content)?;
            give(&new, mode, group)?;
            file.sync_all()?;
            fs::rename(&new, &place)
        };
        written().map_err(|error| {
            let _ = fs::remove_file(&new);
            Error::of_system(text("write", &place, &error))
        })?;
        Ok(true)
    }

    /// Whether the file is the running program to the byte.
    pub fn is_program(&self, path: &str) -> bool {
        let there = self.read(path).ok().flatten();
        there.is_some_and(|there| own_program().is_ok_and(|own| own == there))
    }

    /// Sets whose a file is and who may read it; says whether that was another.
    ///
    /// # Errors
    /// `chown(2)`, `chmod(2)`.
    pub fn restrict(&self, path: &str, mode: u32, group: u32) -> Result<bool, Error> {
        let restricted = || -> io::Result<bool> {
            let place = self.found(path)?;
            if is_as(&fs::metadata(&place)?, mode, group) {
                return Ok(false);
            }
            give(&place, mode, group)?;
            Ok(true)
        };
        let what = "set the owner and mode of";
        restricted().map_err(|error| Error::of_system(text(what, &self.at(path), &error)))
    }

    /// Whether it is a link to `file`, which may be gone: by its path, or from where the link is (`../..`).
    pub fn is_link(&self, path: &str, file: &str) -> bool {
        let target = fs::read_link(self.at(path)).unwrap_or_default();
        let target = target.to_str().unwrap_or_default();
        let target = target.trim_start_matches(['.', '/']);
        !target.is_empty() && file.ends_with(target)
    }

    /// Makes a link, in a directory that may have to be made.
    ///
    /// # Errors
    /// Something else is there, or it cannot be made.
    pub fn link(&self, path: &str, target: &str) -> Result<(), Error> {
        let place = self.at(path);
        if fs::read_link(&place).is_ok_and(|there| there.as_os_str() == target) {
            return Ok(());
        }
        let made = make_parents(&place).and_then(|()| symlink(target, &place));
        made.map_err(|error| Error::of_system(text("make the link", &place, &error)))?;
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
        let _ = fs::remove_file(self.at(&unfinished(path)));
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
        let line = line(program, arguments);
        let Some(file) = self.command(program) else {
            return failed(format!("cannot run `{line}`: there is no {program}"));
        };
        let ran = spawn::run(&file, arguments, MAX_SAID);
        let (success, said) =
            ran.map_err(|error| Error::of_system(format!("cannot run `{line}`: {error}")))?;
        let said = String::from_utf8_lossy(&said).into_owned();
        if success {
            return Ok(said);
        }
        let said = said.trim().replace('\n', " ");
        failed(format!("`{line}` failed: {said}"))
    }

    /// The same, told as a step.
    ///
    /// # Errors
    /// As of [`Tree::run`].
    pub fn act(&self, program: &str, arguments: &[&str]) -> Result<(), Error> {
        self.run(program, arguments)?;
        step(format_args!("done: {}", line(program, arguments)));
        Ok(())
    }

    /// The same; that it failed is told as well, and is no error.
    pub fn attempt(&self, program: &str, arguments: &[&str]) {
        if let Err(error) = self.act(program, arguments) {
            step(format_args!("not done: {error}"));
        }
    }

    /// Whether this system has the command.
    pub fn has_command(&self, name: &str) -> bool {
        self.command(name).is_some()
    }

    /// The file of a command, which may be named by that.
    fn command(&self, name: &str) -> Option<String> {
        if !self.is_own() {
            return None;
        }
        if name.starts_with('/') {
            return Some(name.to_owned());
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let directories = format!("{COMMANDS}:{path}");
        let mut files = directories
            .split(':')
            .filter(|directory| directory.starts_with('/'))
            .map(|directory| format!("{directory}/{name}"));
        files.find(|file| Path::new(file).is_file())
    }
}

/// Whose a file is to be: root's, and that of the group. An ordinary user, who makes an image, keeps it, and cannot
/// make it root's group's.
fn owner(group: u32) -> (u32, Option<u32>) {
    let user = process::effective_uid();
    (user, (user == 0 || group != 0).then_some(group))
}

fn give(place: &Path, mode: u32, group: u32) -> io::Result<()> {
    let (user, group) = owner(group);
    chown(place, Some(user), group)?;
    fs::set_permissions(place, fs::Permissions::from_mode(mode))
}

/// Whether it is a file, and no link to one, that has this mode and owner.
fn is_as(meta: &Metadata, mode: u32, group: u32) -> bool {
    let (user, group) = owner(group);
    meta.is_file()
        && meta.mode() & 0o7777 == mode
        && meta.uid() == user
        && group.is_none_or(|group| meta.gid() == group)
}

fn line(program: &str, arguments: &[&str]) -> String {
    [&[program], arguments].concat().join(" ")
}

/// The program that runs.
///
/// # Errors
/// It cannot be read.
pub fn own_program() -> Result<Vec<u8>, Error> {
    let read = File::open(OWN_PROGRAM).and_then(|file| read_up_to(&file, MAX_FILE));
    read.map_err(|error| {
        Error::of_system(format!(
            "cannot read the program that runs, {OWN_PROGRAM}: {error}: is /proc mounted?"
        ))
    })
}

/// Where a file is written before it is put in its place.
fn unfinished(path: &str) -> String {
    let (directory, name) = path.rsplit_once('/').unwrap_or_default();
    format!("{directory}/.{name}.new")
}

fn make_parents(place: &Path) -> io::Result<()> {
    match place.parent() {
        Some(above) if !above.is_dir() => {
            make_parents(above)?;
            fs::create_dir(above)
        }
        _ => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::time::Duration;

    #[test]
    fn one_at_a_time_has_the_lock_though_its_file_comes_and_goes() {
        let root = std::env::temp_dir().join(format!("haven-lock-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let (inside, held) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let tree = Tree::new(root.clone());
                    for _ in 0..2000 {
                        let Ok(_alone) = tree.lock() else { continue };
                        assert!(!inside.swap(true, Ordering::SeqCst), "two at once");
                        held.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_micros(50));
                        inside.store(false, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(held.into_inner() > 0);
        // Nothing is left, and this fails where something is.
        fs::remove_dir(&root).unwrap();
    }
}
