//! The built agent as a child process on a port of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::process::{Running, clean, run};
use super::{PATIENCE, TempDir, skipped, within};

/// The password of `admin` in the tests; never the default, which costs a bcrypt of its own.
pub const PASSWORD: &str = "correct horse";

/// The lowest cost that bcrypt has, so that the tests wait for the agent and not for bcrypt.
const BCRYPT_COST: u32 = 4;

/// What the agent logs when it serves; the port follows.
const LISTENING: &str = "proxy: listening on https://";

/// The agent under test: the one that cargo built, or (`HAVEN_TEST_BINARY`) a released binary.
pub fn binary() -> PathBuf {
    match std::env::var_os("HAVEN_TEST_BINARY") {
        Some(path) => path.into(),
        None => env!("CARGO_BIN_EXE_haven-agent").into(),
    }
}

/// In the place of the configuration files that this machine may have.
const NO_SETTINGS: [&str; 2] = ["--config", "/dev/null"];

/// How an agent is started.
pub struct Setup {
    docker: Option<PathBuf>,
    config: Option<PathBuf>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    listen: String,
    /// Another file in the place of one, for the agent alone.
    mount: Option<(PathBuf, PathBuf)>,
}

impl Setup {
    /// In front of the machine's Docker engine.
    pub fn new() -> Self {
        let hash = bcrypt::hash(PASSWORD, BCRYPT_COST).unwrap();
        Self {
            docker: None,
            config: None,
            args: Vec::new(),
            env: vec![("HAVEN_AGENT_ADMIN_PASSWORD".into(), hash)],
            listen: "127.0.0.1:0".into(),
            mount: None,
        }
    }

    /// In front of the engine that listens on this socket.
    pub fn docker(mut self, socket: &Path) -> Self {
        self.docker = Some(socket.to_owned());
        self
    }

    /// With settings from this INI file.
    pub fn config(mut self, path: &Path) -> Self {
        self.config = Some(path.to_owned());
        self
    }

    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(ToString::to_string));
        self
    }

    /// Sets a variable, or takes back one of `new`'s: the last wins.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub fn without_env(mut self, name: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self
    }

    pub fn listen(mut self, address: &str) -> Self {
        self.listen = address.into();
        self
    }

    /// With `file` in the place of `hidden`, in mounts of its own: see [`has_mounts`].
    pub fn mount(mut self, file: &Path, hidden: &Path) -> Self {
        self.mount = Some((file.to_owned(), hidden.to_owned()));
        self
    }

    /// Starts it without waiting for anything. It runs in an empty directory that is also its home,
    /// so that no configuration of the machine's is read.
    pub fn spawn(self) -> (Running, TempDir) {
        let home = TempDir::new("home");
        let mut command = match &self.mount {
            Some((file, hidden)) => mounted(file, hidden),
            None => clean(binary()),
        };
        match &self.config {
            Some(path) => command.arg("--config").arg(path),
            None => command.args(NO_SETTINGS),
        };
        command.arg("daemon").args(["--listen", &self.listen]);
        if let Some(socket) = &self.docker {
            command
                .arg("--docker")
                .arg(format!("unix://{}", socket.display()));
        }
        command
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("NOTIFY_SOCKET")
            .env("HOME", home.path());
        command
            .args(&self.args)
            .envs(self.env)
            .current_dir(home.path());
        let mut running = Running::start(&mut command);
        running.close_stdin();
        (running, home)
    }

    /// Starts it and waits until it listens.
    #[track_caller]
    pub fn start(self) -> Agent {
        let (mut running, home) = self.spawn();
        running.wait_for("line that it listens", |out| listening(out).is_some());
        let port = listening(&running.out()).unwrap();
        let root = home.join("ca.pem");
        fs::write(&root, root_pem()).unwrap();
        Agent {
            running,
            port,
            root,
            home,
        }
    }
}

/// The agent behind a bind mount.
fn mounted(file: &Path, hidden: &Path) -> Command {
    let script = "mount --bind \"$0\" \"$1\" && shift && exec \"$@\"";
    let mut command = clean("unshare");
    command.args(["-m", "sh", "-c", script]);
    command.arg(file).arg(hidden).arg(binary());
    command
}

/// Whether mounts of its own can be made for an agent; says that the test is skipped where not.
pub fn has_mounts() -> bool {
    let unshare = run(clean("unshare").args(["-m", "true"]), b"");
    if unshare.code != Some(0) {
        skipped("mount namespaces need root");
    }
    unshare.code == Some(0)
}

/// The root certificate that the agent prints.
#[track_caller]
pub fn root_pem() -> String {
    let mut command = clean(binary());
    run(command.args(NO_SETTINGS).arg("root-cert"), b"").ok()
}

/// A running agent; killed when dropped, its log shown when the test failed.
pub struct Agent {
    running: Running,
    pub port: u16,
    /// Its root certificate as PEM, in a directory where a docker CLI takes it for its CA.
    pub root: PathBuf,
    home: TempDir,
}

impl Agent {
    #[track_caller]
    pub fn start() -> Self {
        Setup::new().start()
    }

    pub fn id(&self) -> u32 {
        self.running.id()
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address())
    }

    pub fn log(&self) -> String {
        self.running.out() + &self.running.err()
    }

    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        assert!(
            within(PATIENCE, || self.log().contains(text)),
            "no {text:?} in the log:\n{}",
            self.log()
        );
    }

    pub fn signal(&self, name: &str) {
        self.running.signal(name);
    }

    /// Stops it where it is, until it gets the signal `CONT`.
    #[track_caller]
    pub fn pause(&self) {
        self.signal("STOP");
        let stopped = || self.stat().first().is_some_and(|state| state == "T");
        assert!(within(PATIENCE, stopped), "it runs on");
    }

    pub fn exit_within(&mut self, bound: Duration) -> Option<ExitStatus> {
        self.running.exit_within(bound)
    }

    /// Resident memory in KiB.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Memory that no other process has, in KiB (proc_pid_smaps(5)). The program's own pages are not counted: of
    /// them a part falls to each agent that runs at the time, and other tests start and end some.
    pub fn anonymous_memory(&self) -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.id())).unwrap();
        let line = rollup.lines().find(|line| line.starts_with("Anonymous:"));
        let kib = line.unwrap().split_whitespace().nth(1);
        kib.unwrap().parse().unwrap()
    }

    /// Whether it is a released binary, with musl's `malloc` inside.
    pub fn has_musl(&self) -> bool {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.id())).unwrap();
        !maps.contains("/libc.so")
    }

    /// Open sockets; what the metrics keep open is not counted.
    pub fn sockets(&self) -> usize {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap();
        let targets =
            descriptors.filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok());
        targets
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// CPU time used so far, in clock ticks (100 a second).
    pub fn ticks(&self) -> u64 {
        let fields = self.stat();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// The fields of `proc/PID/stat` behind the program's name, the state first (`proc(5)`).
    fn stat(&self) -> Vec<String> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let fields = stat.rsplit(')').next().unwrap();
        fields.split_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- log of the agent on port {}\n{}---",
                self.port,
                self.log()
            );
        }
    }
}

/// The value of an `Authorization` field.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The field that lets a request of the tests in.
pub fn authorization() -> String {
    basic("admin", PASSWORD)
}

fn listening(out: &str) -> Option<u16> {
    let line = out.lines().find(|line| line.contains(LISTENING))?;
    let address = line.split(LISTENING).nth(1)?.split_whitespace().next()?;
    address
        .rsplit(':')
        .next()?
        .trim_end_matches(|c: char| !c.is_ascii_digit())
        .parse()
        .ok()
}
