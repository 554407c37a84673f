//! The machine's Docker engine, its command lines, and what a test leaves with it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::agent::{Agent, authorization};
use super::process::{Outcome, Running, clean, run};
use super::{TempDir, eventually, skipped, unique};

/// The image that all containers of the tests are made from. It stays for the next run.
pub const IMAGE: &str = "haven-test-busybox";

/// The engine's socket, as the agent's default finds it.
pub fn socket() -> PathBuf {
    let usual = Path::new("/var/run/docker.sock");
    if usual.exists() {
        usual.into()
    } else {
        "/run/docker.sock".into()
    }
}

/// Says that a test was not run for want of Docker or a tool of its; a failure where
/// `HAVEN_TEST_REQUIRE_DOCKER=1` wants all of them.
#[track_caller]
pub fn missing(what: &str) {
    if std::env::var_os("HAVEN_TEST_REQUIRE_DOCKER").is_some_and(|value| value == "1") {
        panic!("HAVEN_TEST_REQUIRE_DOCKER=1, and there is {what}");
    }
    skipped(what);
}

/// A Docker engine with the busybox image, and the scope of what one test makes there.
/// `None` where there is none, see [`missing`].
pub fn docker() -> Option<Scope> {
    let problem = match engine() {
        Ok(()) => {
            return Some(Scope {
                prefix: unique("d"),
            });
        }
        Err(problem) => problem,
    };
    missing(&format!("no Docker: {problem}"));
    None
}

fn engine() -> Result<(), String> {
    let cli = clis()
        .into_iter()
        .next()
        .ok_or("no docker command on PATH")?;
    let direct = Cli::direct(&cli);
    let version = direct.run(&["version", "--format", "{{.Server.Version}}"]);
    if version.code != Some(0) {
        return Err(format!(
            "the engine does not answer: {}",
            version.err().trim()
        ));
    }
    import_image(&direct)
}

/// No registry is asked: the image is a static busybox with its applets as links.
fn import_image(direct: &Cli) -> Result<(), String> {
    // Serialises the tests of all processes; the loser finds the image made.
    let lock = lock_file("image");
    lock.lock().map_err(|error| error.to_string())?;
    if direct.run(&["image", "inspect", IMAGE]).code == Some(0) {
        return Ok(());
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let busybox = busybox.ok_or("no static busybox (apt-get install busybox-static)")?;
    let dir = TempDir::new("image");
    fs::create_dir_all(dir.join("bin")).map_err(|error| error.to_string())?;
    for empty in ["tmp", "etc", "root"] {
        fs::create_dir_all(dir.join(empty)).map_err(|error| error.to_string())?;
    }
    fs::copy(busybox, dir.join("bin/busybox")).map_err(|error| error.to_string())?;
    let applets = run(Command::new(busybox).arg("--list"), b"").ok();
    for applet in applets.lines().filter(|name| *name != "busybox") {
        let _ = std::os::unix::fs::symlink("busybox", dir.join("bin").join(applet));
    }
    let tar = run(
        Command::new("tar")
            .arg("-C")
            .arg(dir.path())
            .args(["-c", "."]),
        b"",
    );
    let made = run(
        &mut direct.command(&["import", "-c", "CMD [\"sh\"]", "-", IMAGE]),
        &tar.stdout,
    );
    if made.code == Some(0) {
        Ok(())
    } else {
        Err(format!("docker import: {}", made.err().trim()))
    }
}

/// The docker commands on `PATH`, each once: often a newer one before the distribution's.
pub fn clis() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = Vec::new();
    for dir in std::env::split_paths(&path) {
        if let Ok(real) = fs::canonicalize(dir.join("docker"))
            && !found.contains(&real)
        {
            found.push(real);
        }
    }
    found
}

/// One docker command with one engine address.
#[derive(Clone)]
pub struct Cli {
    program: PathBuf,
    config: std::sync::Arc<TempDir>,
    args: Vec<String>,
}

impl Cli {
    /// At the engine's own socket.
    pub fn direct(program: &Path) -> Self {
        Self::at(program, &format!("unix://{}", socket().display()))
    }

    pub fn at(program: &Path, host: &str) -> Self {
        Self::new(program, "{}", vec!["-H".into(), host.into()])
    }

    /// Through the agent: its root trusted, the credentials in the CLI's configuration, as the
    /// README tells a user.
    pub fn through(program: &Path, agent: &Agent) -> Self {
        Self::through_as(program, agent, &authorization())
    }

    /// The same with other credentials.
    pub fn through_as(program: &Path, agent: &Agent, authorization: &str) -> Self {
        let config = format!("{{\"HttpHeaders\": {{\"Authorization\": \"{authorization}\"}}}}");
        let root = agent.root.display().to_string();
        let host = format!("tcp://{}", agent.address());
        Self::new(
            program,
            &config,
            vec![
                "--tlsverify".into(),
                "--tlscacert".into(),
                root,
                "-H".into(),
                host,
            ],
        )
    }

    /// Through the agent by a client certificate, and without a password.
    pub fn certified(program: &Path, agent: &Agent, cert: &Path, key: &Path) -> Self {
        let mut args = vec!["--tlsverify".to_owned()];
        for (flag, path) in [
            ("--tlscacert", agent.root.as_path()),
            ("--tlscert", cert),
            ("--tlskey", key),
        ] {
            args.extend([flag.to_owned(), path.display().to_string()]);
        }
        args.extend(["-H".to_owned(), format!("tcp://{}", agent.address())]);
        Self::new(program, "{}", args)
    }

    fn new(program: &Path, config: &str, args: Vec<String>) -> Self {
        let dir = TempDir::new("cli");
        fs::write(dir.join("config.json"), config).unwrap();
        Self {
            program: program.into(),
            config: std::sync::Arc::new(dir),
            args,
        }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = clean(&self.program);
        command
            .env("DOCKER_CONFIG", self.config.path())
            .env("DOCKER_CLI_HINTS", "false");
        command
            .env("DOCKER_BUILDKIT", "0")
            .args(&self.args)
            .args(args);
        command
    }

    /// The command and its arguments, for a program that starts it.
    pub fn words(&self, args: &[&str]) -> Vec<String> {
        let command = self.command(args);
        let program = command.get_program().to_string_lossy().into_owned();
        std::iter::once(program)
            .chain(
                command
                    .get_args()
                    .map(|arg| arg.to_string_lossy().into_owned()),
            )
            .collect()
    }

    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Outcome {
        run(&mut self.command(args), b"")
    }

    #[track_caller]
    pub fn feed(&self, args: &[&str], stdin: &[u8]) -> Outcome {
        run(&mut self.command(args), stdin)
    }

    #[track_caller]
    pub fn start(&self, args: &[&str]) -> Running {
        Running::start(&mut self.command(args))
    }

    /// Runs it in a pseudo-terminal by `tests/support/terminal.py`; `steps` are its lines.
    #[track_caller]
    pub fn terminal(&self, steps: &str, args: &[&str]) -> Outcome {
        let helper = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/terminal.py");
        let mut command = clean("python3");
        command.arg(helper).arg(steps).args(self.words(args));
        for (name, value) in self.command(args).get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        run(&mut command, b"")
    }

    /// Major version of the command.
    pub fn version(&self) -> u32 {
        let version = self.run(&["--version"]).ok();
        let number = version.split_whitespace().nth(2).unwrap();
        number.split('.').next().unwrap().parse().unwrap()
    }
}

/// What one test makes with the engine: every name starts with the prefix, and all is removed at
/// the end, also when the test failed.
pub struct Scope {
    prefix: String,
}

impl Scope {
    /// All that starts with a prefix, to be removed.
    pub fn of(prefix: &str) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.prefix)
    }

    /// A container that sleeps.
    #[track_caller]
    pub fn sleeper(&self, what: &str) -> String {
        let name = self.name(what);
        // Killed at once when removed: `sleep` as PID 1 would not hear SIGTERM.
        self.cli()
            .run(&[
                "run",
                "-d",
                "--name",
                &name,
                "--network",
                "none",
                IMAGE,
                "sleep",
                "600",
            ])
            .ok();
        name
    }

    /// The first docker command at the engine's own socket.
    pub fn cli(&self) -> Cli {
        Cli::direct(&clis()[0])
    }

    fn remove(&self, list: &[&str], remove: &[&str]) {
        let cli = self.cli();
        let listed = cli.run(list).out();
        let names: Vec<_> = listed.lines().filter(|line| !line.is_empty()).collect();
        if !names.is_empty() {
            cli.run(&[remove, &names].concat());
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let name = format!("name={}", self.prefix);
        let reference = format!("reference={}*", self.prefix);
        self.remove(&["ps", "-aq", "--filter", &name], &["rm", "-f", "-v"]);
        self.remove(
            &["volume", "ls", "-q", "--filter", &name],
            &["volume", "rm", "-f"],
        );
        self.remove(
            &["network", "ls", "-q", "--filter", &name],
            &["network", "rm"],
        );
        let format = "{{.Repository}}:{{.Tag}}";
        self.remove(
            &["images", "--filter", &reference, "--format", format],
            &["rmi", "-f"],
        );
    }
}

/// A swarm of this engine alone, which leaves it whatever becomes of the test.
pub struct Swarm {
    cli: Cli,
    /// Its bridge was there before: swarms leave it behind.
    bridged: bool,
}

/// The bridge that an engine makes for its first swarm.
const BRIDGE: &str = "docker_gwbridge";

impl Swarm {
    /// Begun by `starter`, in which no other host has a part. `None`, said visibly, where there is one.
    #[track_caller]
    pub fn begin(cli: &Cli, starter: &Cli) -> Option<Swarm> {
        let state = cli.run(&["info", "--format", "{{.Swarm.LocalNodeState}}"]);
        if state.ok().trim() != "inactive" {
            skipped("the engine is in a swarm already");
            return None;
        }
        let swarm = Swarm {
            cli: cli.clone(),
            bridged: cli.run(&["network", "inspect", BRIDGE]).code == Some(0),
        };
        let init = ["swarm", "init", "--advertise-addr", "127.0.0.1"];
        let listen = ["--listen-addr", "127.0.0.1:0"];
        let made = starter.run(&[&init[..], &listen].concat()).ok();
        assert!(made.contains("Swarm initialized"), "{made}");
        Some(swarm)
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.cli.run(&["swarm", "leave", "--force"]);
        // Its own end of the ingress network goes a moment later.
        let _ =
            self.bridged || eventually(|| self.cli.run(&["network", "rm", BRIDGE]).code == Some(0));
    }
}

/// Held by a test that changes the whole engine (swarm) or looks at the whole of it.
pub fn engine_lock(exclusive: bool) -> File {
    let file = lock_file("engine");
    if exclusive {
        file.lock().unwrap()
    } else {
        file.lock_shared().unwrap()
    }
    file
}

fn lock_file(what: &str) -> File {
    let path = std::env::temp_dir().join(format!("haven-test-{what}.lock"));
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .unwrap()
}
