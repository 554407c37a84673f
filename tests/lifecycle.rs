//! From start to end: what is said at the start, stopping with and without work under way, a port that
//! is taken, and a Docker that comes and goes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use support::agent::{Agent, Setup, has_mounts};
use support::client::{Client, End, head, status};
use support::docker::{Cli, clis, docker};
use support::process::{Running, clean, run};
use support::upstream::Upstream;
use support::{PATIENCE, TempDir, eventually, skipped};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const HASH: &str = "HAVEN_AGENT_ADMIN_PASSWORD";

/// Answers `/slow` after a second, `/stream` never to the end, all else at once.
fn engine() -> Upstream {
    Upstream::start(|mut connection| {
        while let Some(target) = connection.head.split(' ').nth(1) {
            match target {
                "/slow" => {
                    std::thread::sleep(Duration::from_secs(1));
                    connection.send(OK);
                }
                "/stream" => {
                    connection.send(
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n",
                    );
                    connection.rest();
                }
                _ => drop(connection.send(OK)),
            }
            connection.next_head();
        }
    })
}

fn streaming(agent: &Agent) -> Client {
    let mut client = Client::connect(agent);
    client.send(head("GET", "/stream", ""));
    client.until("begun\r\n");
    client
}

/// Whether nothing listens any more. A refusal it has to be: a connection that hangs in the queue of a
/// listener that nobody serves is none.
fn refuses(agent: &Agent) -> bool {
    let address = agent.address().parse().unwrap();
    let tried = TcpStream::connect_timeout(&address, Duration::from_secs(1));
    tried.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[track_caller]
fn exits_with(agent: &mut Agent, code: i32) {
    let status = agent.exit_within(PATIENCE);
    assert_eq!(
        status.and_then(|status| status.code()),
        Some(code),
        "{status:?}\n{}",
        agent.log()
    );
}

#[test]
fn an_idle_agent_stops_at_once_with_0() {
    for signal in ["TERM", "INT"] {
        let upstream = engine();
        let mut agent = Setup::new()
            .docker(&upstream.socket())
            .args(&["--grace", "600"])
            .start();
        let mut idle = Client::connect(&agent);
        assert_eq!(idle.ask("GET", "/test", "").status, 200);
        agent.signal(signal);
        exits_with(&mut agent, 0);
        assert_eq!(idle.rest(), (vec![], End::Clean));
    }
}

#[test]
fn what_is_under_way_is_finished() {
    let upstream = engine();
    let mut agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--grace", "600"])
        .start();
    let mut client = Client::connect(&agent);
    client.send(head("GET", "/slow", ""));
    assert!(eventually(|| upstream.open() == 1));
    agent.signal("TERM");
    let answer = client.answer("GET");
    assert_eq!(answer.text(), "ok");
    assert_eq!(answer.field("connection"), Some("close"), "{}", answer.head);
    assert_eq!(client.rest(), (vec![], End::Clean));
    exits_with(&mut agent, 0);
}

#[test]
fn a_stopping_agent_takes_no_new_clients() {
    let upstream = engine();
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--grace", "600"])
        .start();
    let _stream = streaming(&agent);
    agent.signal("TERM");
    assert!(eventually(|| refuses(&agent)));
}

/// They believe to be connected: a reset is not what they are told.
#[test]
fn who_waits_in_the_queue_of_a_stopping_agent_is_let_in() {
    let upstream = engine();
    let mut agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--grace", "1"])
        .start();
    agent.pause();
    let queued: Vec<_> = (0..128)
        .map(|_| TcpStream::connect(agent.address()).unwrap())
        .collect();
    agent.signal("TERM");
    agent.signal("CONT");
    exits_with(&mut agent, 0);
    for (number, mut stream) in queued.iter().enumerate() {
        let read = stream.read(&mut [0; 1]);
        assert!(matches!(read, Ok(0)), "{number}: {read:?}");
    }
}

#[test]
fn a_stream_is_cut_at_the_end_of_the_grace_period() {
    let upstream = engine();
    let mut agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--grace", "1"])
        .start();
    let mut stream = streaming(&agent);
    agent.signal("TERM");
    exits_with(&mut agent, 0);
    let (rest, end) = stream.rest();
    assert!(rest.is_empty());
    assert_ne!(end, End::Clean, "a stream that was cut looks finished");
    upstream.wait_until_idle();
}

#[test]
fn a_second_signal_stops_at_once() {
    let upstream = engine();
    let mut agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--grace", "600"])
        .start();
    let _stream = streaming(&agent);
    agent.signal("TERM");
    assert!(eventually(|| refuses(&agent)));
    assert!(
        agent.exit_within(Duration::from_secs(1)).is_none(),
        "it did not wait for the stream\n{}",
        agent.log()
    );
    agent.signal("TERM");
    assert!(agent.exit_within(PATIENCE).is_some(), "{}", agent.log());
}

#[test]
fn a_taken_port_is_named() {
    let upstream = engine();
    let first = Setup::new().docker(&upstream.socket()).start();
    let (mut second, _home) = Setup::new()
        .docker(&upstream.socket())
        .listen(&first.address())
        .spawn();
    let status = second
        .exit_within(PATIENCE)
        .expect("a second agent runs on the same port");
    let said = second.out() + &second.err();
    assert_ne!(status.code(), Some(0), "{said}");
    let named = format!("{} is in use", first.address());
    assert!(said.contains(&named), "{said}");
    // The first one does not mind.
    assert_eq!(Client::connect(&first).ask("GET", "/test", "").status, 200);
}

#[test]
fn the_default_password_and_none_at_all_are_warned_of() {
    let upstream = engine();
    let agent = Setup::new()
        .docker(&upstream.socket())
        .without_env(HASH)
        .start();
    agent.wait_for_log(" - WARNING - ");
    assert!(warnings(&agent).contains("password"), "{}", agent.log());
    let mut client = Client::connect(&agent);
    let default = support::agent::basic("admin", "password");
    client.send(format!(
        "GET /test HTTP/1.1\r\nHost: a\r\nAuthorization: {default}\r\n\r\n"
    ));
    assert_eq!(client.answer("GET").text(), "ok");

    let agent = Setup::new()
        .docker(&upstream.socket())
        .without_env(HASH)
        .env(HASH, "")
        .start();
    assert!(
        warnings(&agent).to_lowercase().contains("authentication"),
        "{}",
        agent.log()
    );
    let mut client = Client::connect(&agent);
    client.send("GET /test HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer("GET").text(), "ok");

    let agent = Setup::new().docker(&upstream.socket()).start();
    assert!(
        !warnings(&agent).to_lowercase().contains("password"),
        "{}",
        agent.log()
    );
}

fn warnings(agent: &Agent) -> String {
    let log = agent.log();
    log.lines()
        .filter(|line| line.contains(" - WARNING - "))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The form that the Python agent's users grep: `2016-08-10 15:03:04,583 - INFO - …`.
#[test]
fn log_lines_have_the_documented_form() {
    let upstream = engine();
    let mut agent = Setup::new().docker(&upstream.socket()).start();
    assert_eq!(
        Client::connect(&agent)
            .ask(
                "POST",
                "/containers/create?name=one",
                "Content-Length: 0\r\n"
            )
            .status,
        200
    );
    assert_eq!(
        Client::connect(&agent)
            .ask("GET", "/test/of/reads", "")
            .status,
        200
    );
    agent.wait_for_log("/containers/create");
    agent.signal("TERM");
    exits_with(&mut agent, 0);
    let log = agent.log();
    for line in log.lines() {
        let form: String = line
            .chars()
            .take(26)
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(form, "0000-00-00 00:00:00,000 - ", "{line}");
        let level = line[26..].split(" - ").next().unwrap();
        assert!(
            ["INFO", "WARNING", "ERROR", "DEBUG"].contains(&level),
            "{line}"
        );
    }
    let line = log
        .lines()
        .find(|line| line.contains("/containers/create"))
        .unwrap();
    for part in [" - INFO - ", "admin", "POST", "200", "127.0.0.1"] {
        assert!(line.contains(part), "no {part:?} in {line}");
    }
    assert!(
        !log.contains("/test/of/reads"),
        "a read is logged at INFO:\n{log}"
    );

    let agent = Setup::new().docker(&upstream.socket()).arg("-vv").start();
    assert_eq!(
        Client::connect(&agent)
            .ask("GET", "/test/of/reads", "")
            .status,
        200
    );
    agent.wait_for_log("/test/of/reads");
}

#[test]
fn it_registers_and_serves() {
    let master = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = master.local_addr().unwrap().to_string();
    let upstream = engine();
    // The port is registered as it is configured: one that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--master", &address])
        .listen(&free.to_string())
        .start();
    let (mut stream, _) = master.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.ends_with(b"}") {
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "{}", String::from_utf8_lossy(&request));
        request.extend_from_slice(&buffer[..count]);
        // While the master makes it wait, the proxy serves.
        assert_eq!(Client::connect(&agent).ask("GET", "/test", "").status, 200);
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .unwrap();
    drop(stream);
    let request = String::from_utf8(request).unwrap();
    assert!(
        request.starts_with("POST /discovery/nodes/scripted?ttl=120 HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("\"name\":\"scripted\""), "{request}");
    assert!(
        request.contains(&format!(":{}\"", agent.port)),
        "it registers another port: {request}"
    );
    agent.wait_for_log("registered");
}

#[test]
fn it_starts_without_docker_and_finds_it_later() {
    let dir = TempDir::new("later");
    let agent = Setup::new().docker(&dir.join("docker.sock")).start();
    let answer = Client::connect(&agent).ask("GET", "/test", "");
    answer.is_error(502);
    assert!(answer.text().contains("docker.sock"), "{}", answer.text());
    let upstream = engine();
    std::os::unix::fs::symlink(upstream.socket(), dir.join("docker.sock")).unwrap();
    assert_eq!(Client::connect(&agent).ask("GET", "/test", "").status, 200);
}

/// A second dockerd with a network of its own, so that it leaves the machine's alone.
struct Engine {
    dir: TempDir,
    running: Option<Running>,
}

impl Engine {
    fn new() -> Option<Self> {
        let may = |command: &str| run(clean("sh").args(["-c", command]), b"").code == Some(0);
        if !may("command -v dockerd && [ $(id -u) = 0 ] && unshare -n true") {
            skipped("a second dockerd needs root, dockerd and unshare");
            return None;
        }
        let engine = Self {
            dir: TempDir::new("dockerd"),
            running: None,
        };
        std::fs::write(engine.dir.join("daemon.json"), "{}").unwrap();
        Some(engine)
    }

    fn socket(&self) -> std::path::PathBuf {
        self.dir.join("docker.sock")
    }

    #[track_caller]
    fn start(&mut self) {
        let path = |name: &str| self.dir.join(name).display().to_string();
        let mut command = clean("unshare");
        command.args([
            "-n",
            "dockerd",
            "--bridge",
            "none",
            "--iptables=false",
            "--ip-forward=false",
        ]);
        command.args([
            "--storage-driver",
            "vfs",
            "--data-root",
            &path("data"),
            "--exec-root",
            &path("exec"),
        ]);
        command.args([
            "--pidfile",
            &path("pid"),
            "--config-file",
            &path("daemon.json"),
        ]);
        command.args(["-H", &format!("unix://{}", self.socket().display())]);
        self.running = Some(Running::start(&mut command));
        let cli = Cli::at(&clis()[0], &format!("unix://{}", self.socket().display()));
        let up = eventually(|| cli.run(&["version"]).code == Some(0));
        assert!(
            up,
            "the second dockerd does not answer:\n{}",
            self.running.as_ref().unwrap().err()
        );
    }

    /// Ends it in the regular way: it takes its containerd with it.
    fn stop(&mut self) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        running.signal("TERM");
        running.exit_within(PATIENCE);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
        // Its namespaces' mounts, if it was killed.
        let _ = Command::new("sh")
            .args([
                "-c",
                "umount -R \"$0\" 2>/dev/null",
                &self.dir.join("exec").display().to_string(),
            ])
            .status();
    }
}

#[test]
fn a_real_dockerd_restarted_under_the_agent() {
    if docker().is_none() {
        return;
    }
    let Some(mut engine) = Engine::new() else {
        return;
    };
    engine.start();
    let agent = Setup::new().docker(&engine.socket()).start();
    let mut client = Client::connect(&agent);
    assert_eq!(client.ask("GET", "/version", "").status, 200);
    let mut events = Client::connect(&agent);
    events.send(head("GET", "/events", ""));
    assert_eq!(status(&events.answer_head()), 200);

    engine.stop();
    // The stream ends with its engine.
    events.rest();
    Client::connect(&agent)
        .ask("GET", "/version", "")
        .is_error(502);

    engine.start();
    assert_eq!(
        client.ask("GET", "/version", "").status,
        200,
        "on the connection from before"
    );
    let through = Cli::through(&clis()[0], &agent);
    assert_eq!(through.run(&["version"]).code, Some(0));
}

/// In a container with `-v /run/docker.sock:/run/docker.sock` a restarted dockerd is out of reach: the
/// mount keeps the dead socket. Made here with a mount namespace instead of a container.
#[test]
#[ignore = "takes more than a minute: scripts/test --all"]
fn a_mounted_socket_that_was_replaced_ends_the_agent() {
    if !has_mounts() {
        return;
    }
    let upstream = engine();
    let dir = TempDir::new("mounted");
    let mounted = dir.join("docker.sock");
    std::fs::write(&mounted, "").unwrap();
    let mut agent = Setup::new()
        .docker(&mounted)
        .mount(&upstream.socket(), &mounted)
        .args(&["--exit-on-stale-socket", "on", "--timeout", "5"])
        .start();
    upstream.remove_socket();
    upstream.listen_again();
    let status = agent.exit_within(Duration::from_secs(150));
    let said = agent.log();
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{said}");
    assert!(said.contains("-v /run:/run"), "{said}");
}

/// The last minute before the end is the one that is looked at.
#[test]
fn what_was_only_counted_is_told_at_the_end() {
    let upstream = Upstream::answering(OK);
    let mut agent = Setup::new().docker(&upstream.socket()).start();
    for _ in 0..9 {
        let mut client = Client::connect(&agent);
        client.send("GET /test HTTP/1.1\r\nHost: n\r\n\r\n");
        assert_eq!(client.answer("GET").status, 401);
    }
    agent.signal("TERM");
    assert!(agent.exit_within(PATIENCE).is_some());
    let log = agent.log();
    let rest = "127.0.0.1: 4 more requests without a login were refused";
    assert!(log.contains(rest), "{log}");
}
