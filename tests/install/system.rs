//! A system below a temporary directory, in which no command is run.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;
use std::process::Command;

use super::support::TempDir;
use super::support::agent::binary;
use super::support::process::{Outcome, clean, run};

/// Another system's root directory, with systemd, Docker's group and the agent's user.
pub struct System(pub TempDir);

impl System {
    pub fn new() -> System {
        let system = System(TempDir::new("root"));
        system.write("lib/systemd/systemd", "");
        system.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        system.write("etc/group", "root:x:0:\ndocker:x:998:\n");
        system
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.at(path)).unwrap().mode() & 0o7777
    }

    /// The mode, user and group of the file itself.
    pub fn ownership(&self, path: &str) -> (u32, u32, u32) {
        let meta = self.at(path).symlink_metadata().unwrap();
        (meta.mode() & 0o7777, meta.uid(), meta.gid())
    }

    pub fn give(&self, path: &str, user: u32, group: u32) {
        chown(self.at(path), Some(user), Some(group)).unwrap();
    }

    pub fn has(&self, path: &str) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = clean(binary());
        command.args(arguments).arg("--root").arg(self.0.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Outcome {
        run(&mut self.command(arguments), b"")
    }

    #[track_caller]
    pub fn install(&self, arguments: &[&str]) -> String {
        self.run(&[&["install"], arguments].concat()).ok()
    }

    #[track_caller]
    pub fn uninstall(&self, arguments: &[&str]) -> String {
        self.run(&[&["uninstall"], arguments].concat()).ok()
    }

    /// What standard error says to a command that must fail and change nothing.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str], code: i32) -> String {
        let before = self.snapshot();
        let outcome = self.run(arguments);
        assert_eq!(
            outcome.code,
            Some(code),
            "{}{}",
            outcome.out(),
            outcome.err()
        );
        assert_eq!(self.snapshot(), before);
        outcome.err()
    }

    /// Each file and link: its mode, its inode, and what it holds.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, (u32, u64, Vec<u8>)> {
        let mut all = BTreeMap::new();
        let mut ahead = vec![self.0.path().to_owned()];
        while let Some(directory) = ahead.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let meta = path.symlink_metadata().unwrap();
                let content = if meta.is_dir() {
                    ahead.push(path);
                    continue;
                } else if meta.is_symlink() {
                    fs::read_link(&path)
                        .unwrap()
                        .into_os_string()
                        .into_encoded_bytes()
                } else {
                    fs::read(&path).unwrap()
                };
                all.insert(path, (meta.mode(), meta.ino(), content));
            }
        }
        all
    }
}
