//! Which agent `haven-agent health` asks where more listen than one, or others have such names.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use support::agent::binary;
use support::process::{Outcome, Running, clean, run};
use support::upstream::Upstream;
use support::{TempDir, eventually, skipped};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const HEALTHY: &str = "healthy: the event loops turn, Docker answers\n";

/// Far less than what waits for a socket that takes nobody.
const QUICK: Duration = Duration::from_secs(5);

/// A user that is neither root nor the tests' own.
const SOMEBODY: &str = "65534";

/// A network of its own, which is what such names are unique in: other tests' agents are in none.
struct Network {
    holder: Running,
    /// With the agent's program, which everybody may start.
    dir: TempDir,
    engine: Upstream,
}

impl Network {
    /// None, said visibly, where this user may not make one.
    fn new() -> Option<Network> {
        let mine = run(clean("id").arg("-u"), b"").ok();
        if mine.trim() != "0" {
            skipped("only root makes networks and becomes somebody else");
            return None;
        }
        let mut command = clean("unshare");
        command.args(["--net", "sh", "-c", "echo made; exec sleep 600"]);
        let mut holder = Running::start(&mut command);
        holder.wait_for("network", |out| out.contains("made"));
        let (dir, engine) = (TempDir::new("which"), Upstream::answering(OK));
        // Not by this process: another test's child would inherit the open file, which then is busy.
        let mut install = clean("install");
        install.args(["-m", "755"]).arg(binary()).arg(dir.path());
        run(&mut install, b"").ok();
        fs::set_permissions(engine.socket(), fs::Permissions::from_mode(0o777)).unwrap();
        Some(Network {
            holder,
            dir,
            engine,
        })
    }

    /// A command in it, by `words` in front (`setpriv …`).
    fn command(&self, words: &[&str]) -> Command {
        let mut command = clean("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.id()));
        command.arg("--").args(words);
        command
    }

    fn program(&self) -> PathBuf {
        self.dir
            .join(binary().file_name().unwrap().to_str().unwrap())
    }

    /// An agent that can be asked.
    #[track_caller]
    fn agent(&self, words: &[&str]) -> Running {
        let mut command = self.command(words);
        command
            .arg(self.program())
            .args(["--config", "/dev/null", "--listen", "127.0.0.1:0"])
            .arg("--docker")
            .arg(format!("unix://{}", self.engine.socket().display()))
            .current_dir(self.dir.path());
        let agent = Running::start(&mut command);
        assert!(
            eventually(|| self.name_of(agent.id()).is_some()),
            "{}",
            agent.out()
        );
        agent
    }

    /// The name of the socket of the agent that is this process.
    fn name_of(&self, pid: u32) -> Option<String> {
        let table = format!("/proc/{}/net/unix", self.holder.id());
        let table = fs::read_to_string(table).unwrap();
        let mut names = table.lines().filter_map(|line| line.split_once('@'));
        let found = names.find(|(_, name)| name.contains(&format!("/{pid}/")));
        found.map(|(_, name)| name.to_owned())
    }

    /// What `health` says, by `words` in front.
    #[track_caller]
    fn health(&self, words: &[&str], operands: &[&str]) -> Outcome {
        let mut command = self.command(words);
        command.arg(self.program()).arg("health").args(operands);
        run(&mut command, b"")
    }

    /// `tests/support/impostor.py` at work, as somebody.
    #[track_caller]
    fn impostor(&self, mode: &str, names: &[String]) -> Running {
        let helper = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/impostor.py");
        let mut command = self.command(&["python3"]);
        command.arg(helper).args([SOMEBODY, mode]).args(names);
        let mut impostor = Running::start(&mut command);
        impostor.wait_for("word that it is ready", |out| out.contains("ready"));
        impostor
    }
}

/// In front of a command that somebody starts.
fn as_somebody() -> [&'static str; 6] {
    [
        "setpriv",
        "--reuid",
        SOMEBODY,
        "--regid",
        SOMEBODY,
        "--clear-groups",
    ]
}

/// A name that an agent of this PID and mount namespace may have.
fn name(pid: &str, nonce: &str) -> String {
    let namespace = |kind| fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
    let (pids, mounts) = (namespace("pid"), namespace("mnt"));
    let (pids, mounts) = (pids.display(), mounts.display());
    format!("haven-agent/{pids}/{mounts}/{pid}/{nonce}")
}

#[track_caller]
fn is_well(outcome: Outcome) {
    assert_eq!((outcome.out().as_str(), outcome.code), (HEALTHY, Some(0)));
}

/// Status 1, and these words.
#[track_caller]
fn is_ill(outcome: Outcome, words: &str) {
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let line = outcome.out();
    assert!(line.contains(words), "no {words:?} in {line}");
}

#[test]
fn other_sockets_of_such_names_keep_nobody_from_asking() {
    let Some(network) = Network::new() else {
        return;
    };
    let agent = network.agent(&[]);
    let pid = agent.id().to_string();
    let names = |nonce: &str| -> Vec<String> {
        let others = (0..200).map(|pid| name(&pid.to_string(), nonce));
        let broken = "0 0 0 00010000 1 1 7 @haven-agent\n@haven-agent/\u{fffd}".to_owned();
        let own = [name(&pid, nonce), format!("{broken}{nonce}")];
        others.chain(own).collect()
    };
    let _full = network.impostor("full", &names("a"));
    let _lies = network.impostor("lies", &names("b"));
    for operands in [&[][..], &["live"], &[&pid]] {
        let began = Instant::now();
        let outcome = network.health(&[], operands);
        assert!(outcome.out().starts_with("healthy: the"), "{outcome:?}");
        assert!(began.elapsed() < QUICK, "{:?}", began.elapsed());
    }
}

#[test]
fn whom_this_user_has_no_reason_to_trust_is_believed_only_if_named() {
    let Some(network) = Network::new() else {
        return;
    };
    let liar = network.impostor("lies", &[name("%d", "a")]);
    let pid = liar.id().to_string();
    is_ill(
        network.health(&[], &[]),
        &format!(
            "unhealthy: no agent of this user or root runs here; if {pid} of user {SOMEBODY} is \
             meant, name the process behind the command\n"
        ),
    );
    let named = network.health(&[], &[&pid]);
    assert_eq!(named.out(), "healthy: all is well, trust me\n");

    let agent = network.agent(&[]);
    is_well(network.health(&[], &[]));
    // To the liar's own user it is no stranger.
    let (one, two) = (
        format!("{pid} of user {SOMEBODY}"),
        format!("{} of user 0", agent.id()),
    );
    let several = network.health(&as_somebody(), &[]);
    is_ill(several.clone(), &one);
    is_ill(several, &two);
}

#[test]
fn an_agent_is_found_by_its_user_and_the_service_s_by_root() {
    let Some(network) = Network::new() else {
        return;
    };
    let agent = network.agent(&as_somebody());
    is_well(network.health(&as_somebody(), &[]));
    is_well(network.health(&[], &[&agent.id().to_string()]));
    is_ill(network.health(&[], &[]), "no agent of this user or root");
    // The same machine with the service's user, whose number is the agent's.
    let users = network.dir.join("passwd");
    fs::write(
        &users,
        format!("haven-agent:x:{SOMEBODY}:1::/:/bin/false\n"),
    )
    .unwrap();
    let script = "mount --bind \"$0\" /etc/passwd; exec \"$@\"";
    let users = users.display().to_string();
    is_well(network.health(&["unshare", "--mount", "sh", "-c", script, &users], &[]));
}

/// As containers with the host's network and processes have it (`--network host --pid host`).
#[test]
fn an_agent_of_the_same_mounts_comes_first() {
    let Some(network) = Network::new() else {
        return;
    };
    let own = ["unshare", "--mount"];
    let agents = [network.agent(&own), network.agent(&own)];
    let _hosts = network.agent(&[]);
    for agent in &agents {
        let pid = agent.id();
        let mounts = format!("--mount=/proc/{pid}/ns/mnt");
        let ask = || network.health(&["nsenter", &mounts], &["live"]);
        agent.signal("STOP");
        let hangs = format!("unhealthy: the agent, process {pid}, does not answer");
        is_ill(ask(), &hangs);
        agent.signal("CONT");
        assert_eq!(ask().out(), "healthy: the event loops turn\n");
    }
}

/// On a host, whose process 1 has the same mounts, that says nothing: a service has its own.
#[test]
fn the_mounts_of_process_1_do_not_count() {
    let Some(network) = Network::new() else {
        return;
    };
    let script = r#"
        agent() { "$@" --config /dev/null --listen 127.0.0.1:0 --docker "$docker" >&2 & }
        program=$0 docker=$1
        agent "$program"; one=$!
        agent unshare --mount "$program"; two=$!
        until "$program" health $one && "$program" health $two; do sleep 0.1; done >&2
        "$program" health
        kill -STOP $one
        nsenter --mount=/proc/$two/ns/mnt "$program" health live
    "#;
    let inside = [
        "unshare",
        "--pid",
        "--fork",
        "--mount-proc",
        "sh",
        "-c",
        script,
    ];
    let mut command = network.command(&inside);
    let docker = format!("unix://{}", network.engine.socket().display());
    command.arg(network.program()).arg(docker);
    let said = run(&mut command, b"").ok();
    let (first, second) = said.split_once('\n').unwrap();
    assert!(
        first.starts_with("unhealthy: several agents run here: "),
        "{said}"
    );
    assert_eq!(second, "healthy: the event loops turn\n");
}

#[test]
fn an_agent_that_hangs_is_found_when_it_takes_no_more_connections() {
    let Some(network) = Network::new() else {
        return;
    };
    let agent = network.agent(&as_somebody());
    let pid = agent.id().to_string();
    agent.signal("STOP");
    let crowd = network.impostor("fill", &[network.name_of(agent.id()).unwrap()]);
    let hangs = format!("unhealthy: the agent, process {pid}, does not answer: it hangs");
    is_ill(network.health(&[], &[&pid]), &hangs);
    is_ill(network.health(&as_somebody(), &[]), &hangs);
    drop(crowd);
    agent.signal("CONT");
    assert!(eventually(|| network.health(&[], &[&pid]).code == Some(0)));
}
