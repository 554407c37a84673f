//! Child processes that cannot outlive or outwait their test.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{PATIENCE, within};

/// A command without what the developer's own environment would do to it.
pub fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        // CA bundles override a client's own `--cacert`; the agent reads dm_* in any case.
        let upper = text.to_ascii_uppercase();
        let ours = ["DOCKER_", "HAVEN_", "DM_", "BUILDKIT_", "SERVER_"]
            .iter()
            .any(|start| upper.starts_with(start));
        if ours
            || upper.ends_with("CA_BUNDLE")
            || upper.ends_with("_PROXY")
            || upper.starts_with("SSL_CERT")
        {
            command.env_remove(&name);
        }
    }
    command
}

/// What a command did.
#[derive(Clone, PartialEq, Eq)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Outcome {
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The standard output of a command that has to succeed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out()
    }
}

impl std::fmt::Debug for Outcome {
    /// Short output is shown, long output told by its length and hash.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |bytes: &[u8]| match bytes.len() {
            0..=4096 => String::from_utf8_lossy(bytes).into_owned(),
            len => format!("{len} bytes, sha256 {}", super::sha256(bytes)),
        };
        write!(
            f,
            "exit {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.code,
            show(&self.stdout),
            show(&self.stderr)
        )
    }
}

/// Runs a command to its end with `stdin` as its whole input.
#[track_caller]
pub fn run(command: &mut Command, stdin: &[u8]) -> Outcome {
    let mut running = Running::start(command);
    running.write(stdin);
    running.close_stdin();
    running.finish()
}

/// A command under way; killed when dropped.
pub struct Running {
    what: String,
    child: Child,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    readers: Vec<thread::JoinHandle<()>>,
    writers: Vec<thread::JoinHandle<()>>,
}

impl Running {
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let what = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let stdout = Arc::new(Mutex::new(Vec::new()));
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let readers = vec![
            collect(child.stdout.take().unwrap(), stdout.clone()),
            collect(child.stderr.take().unwrap(), stderr.clone()),
        ];
        Self {
            what,
            child,
            stdout,
            stderr,
            readers,
            writers: Vec::new(),
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes to the child's input; a child that no longer reads it is no error of the test's.
    pub fn write(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let Some(mut stdin) = self.child.stdin.take() else {
            panic!("{}: its input is closed", self.what)
        };
        if bytes.len() <= 4096 {
            let _ = stdin.write_all(bytes).and_then(|()| stdin.flush());
            self.child.stdin = Some(stdin);
            return;
        }
        // A large input is written beside the test: the child may answer before it has read all.
        let bytes = bytes.to_vec();
        self.writers.push(thread::spawn(move || {
            let _ = stdin.write_all(&bytes);
        }));
    }

    pub fn close_stdin(&mut self) {
        self.child.stdin = None;
    }

    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout.lock().unwrap()).into_owned()
    }

    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    /// Waits until the child has printed what `seen` looks for.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, seen: impl Fn(&str) -> bool) {
        let found = within(PATIENCE, || {
            seen(&self.out()) || matches!(self.child.try_wait(), Ok(Some(_)))
        });
        // The readers may lag behind the child's end.
        let found = found && within(Duration::from_secs(5), || seen(&self.out()));
        assert!(
            found,
            "{}: no {what} in\n{}\n--- stderr\n{}",
            self.what,
            self.out(),
            self.err()
        );
    }

    /// The exit status, once there is one within `bound`. The child's input stays as it is.
    pub fn exit_within(&mut self, bound: Duration) -> Option<ExitStatus> {
        let mut status = None;
        within(bound, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        // What it said last is still on its way.
        let all_read = || self.readers.iter().all(thread::JoinHandle::is_finished);
        if status.is_some() {
            within(Duration::from_secs(5), all_read);
        }
        status
    }

    /// Waits for the end of the child and of its output.
    #[track_caller]
    pub fn finish(mut self) -> Outcome {
        let status = self.exit_within(PATIENCE * 2);
        let Some(status) = status else {
            panic!(
                "{}: still running after {:?}\n{}\n{}",
                self.what,
                PATIENCE * 2,
                self.out(),
                self.err()
            )
        };
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        Outcome {
            code: status.code(),
            stdout: std::mem::take(&mut self.stdout.lock().unwrap()),
            stderr: std::mem::take(&mut self.stderr.lock().unwrap()),
        }
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal by its name (`TERM`); the tests hold no `unsafe`, hence the command.
#[track_caller]
pub fn signal(pid: u32, name: &str) {
    // The shell's own: a bare Debian has no such program.
    let status = Command::new("sh")
        .args(["-c", "kill -\"$0\" \"$1\"", name, &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "kill -{name} {pid}");
}

fn collect(
    mut from: impl Read + Send + 'static,
    into: Arc<Mutex<Vec<u8>>>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            into.lock().unwrap().extend_from_slice(&buffer[..count]);
        }
    })
}
