//! `haven-agent health` and `haven-agent reload`: what a running agent answers, and to whom.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use support::agent::{Agent, Setup, basic, binary};
use support::authority::Authority;
use support::client::Client;
use support::process::{Outcome, Running, clean, run};
use support::upstream::Upstream;
use support::{TempDir, eventually, skipped, within};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const HEALTHY: &str = "healthy: the event loops turn, Docker answers\n";
const LIVE: &str = "healthy: the event loops turn\n";

/// A user that is neither root nor the tests' own.
const SOMEBODY: &str = "65534";

fn engine() -> Upstream {
    Upstream::answering(OK)
}

fn setup(upstream: &Upstream) -> Setup {
    Setup::new().docker(&upstream.socket())
}

/// What the command says of this agent.
#[track_caller]
fn ask(agent: &Agent, words: &str) -> Outcome {
    ask_process(agent.id(), words)
}

#[track_caller]
fn ask_process(pid: u32, words: &str) -> Outcome {
    let mut command = clean(binary());
    command.args(words.split(' ')).arg(pid.to_string());
    run(&mut command, b"")
}

#[track_caller]
fn is_well(outcome: Outcome, line: &str) {
    assert_eq!((outcome.out().as_str(), outcome.code), (line, Some(0)));
}

/// Status 1, and one line with these words.
#[track_caller]
fn is_ill(outcome: Outcome, words: &[&str]) {
    let line = outcome.out();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(line.ends_with('\n') && line.lines().count() == 1, "{line}");
    for word in words {
        assert!(line.contains(word), "no {word:?} in {line}");
    }
}

fn is_root() -> bool {
    let mine = run(clean("id").arg("-u"), b"").ok();
    if mine.trim() != "0" {
        skipped("only root becomes somebody else");
    }
    mine.trim() == "0"
}

/// A copy of the agent's program that everybody may start, and the command that starts it as
/// somebody else.
fn as_somebody(dir: &TempDir) -> std::process::Command {
    let copy = dir.join("haven-agent");
    if !copy.exists() {
        // Not by this process: another test's child would inherit the open file, which then is busy.
        let mut install = clean("install");
        install.args(["-m", "755"]).arg(binary()).arg(&copy);
        run(&mut install, b"").ok();
    }
    let mut command = clean("setpriv");
    command.args(["--reuid", SOMEBODY, "--regid", SOMEBODY, "--clear-groups"]);
    command.arg(copy);
    command
}

#[test]
fn an_agent_with_docker_and_without_a_master_is_healthy() {
    let upstream = engine();
    let agent = setup(&upstream).start();
    is_well(ask(&agent, "health"), HEALTHY);
    is_well(ask(&agent, "health live"), LIVE);
    assert!(upstream.heads()[0].starts_with("GET /_ping HTTP/1.1\r\n"));
}

/// Whatever it was started with: many loops, no password, clients' certificates, or no proxy at all.
#[test]
fn no_setting_is_needed_to_ask() {
    let (upstream, authority) = (engine(), Authority::new());
    let setups = [
        setup(&upstream).args(&["--workers", "3", "-vv"]),
        authority.setup(&upstream),
        setup(&upstream).args(&["--sandbox", "off", "--listen", "[::1]:0"]),
    ];
    for setup in setups {
        is_well(ask(&setup.start(), "health"), HEALTHY);
    }
    let (mut running, _home) = setup(&upstream).listen("none").spawn();
    running.wait_for("sandbox", |out| out.contains("sandbox: "));
    let asked = || ask_process(running.id(), "health");
    assert!(eventually(|| asked().code == Some(0)), "{:?}", asked());
}

/// Nor are the settings around it read, which may be broken.
#[test]
fn settings_around_the_question_do_not_matter() {
    let upstream = engine();
    let agent = setup(&upstream).start();
    let mut command = clean(binary());
    command
        .args(["health", &agent.id().to_string()])
        .env("HAVEN_AGENT_MASTERS", "misspelt")
        .env("HAVEN_AGENT_LISTEN", "nonsense");
    is_well(run(&mut command, b""), HEALTHY);
}

#[test]
fn docker_that_does_not_answer_is_told_of() {
    let upstream = engine();
    let agent = setup(&upstream).start();
    upstream.remove_socket();
    let socket = upstream.socket().display().to_string();
    is_ill(
        ask(&agent, "health"),
        &["unhealthy: there is no Docker socket at ", &socket],
    );
    is_well(ask(&agent, "health live"), LIVE);
    // One that listens and says nothing.
    let deaf = UnixListener::bind(&socket).unwrap();
    is_ill(
        ask(&agent, "health"),
        &["unhealthy: Docker at ", " did not answer"],
    );
    drop(deaf);
    fs::remove_file(&socket).unwrap();
    upstream.listen_again();
    is_well(ask(&agent, "health"), HEALTHY);
}

#[test]
fn why_dockers_socket_refuses_the_agent_is_told() {
    if !is_root() {
        return;
    }
    let (upstream, dir) = (engine(), TempDir::new("refused"));
    for (mode, advice) in [
        (0o600, "its mode 600 lets no group in; "),
        (0o660, "it belongs to the group 0; "),
    ] {
        fs::set_permissions(upstream.socket(), fs::Permissions::from_mode(mode)).unwrap();
        let mut command = as_somebody(&dir);
        command.args(["--config", "/dev/null", "check", "--docker"]);
        command.arg(format!("unix://{}", upstream.socket().display()));
        let outcome = run(command.current_dir(dir.path()), b"");
        assert!(outcome.out().contains(advice), "{outcome:?}");
    }
}

/// A master that takes reports for as long as it is wanted.
fn master() -> (String, std::sync::Arc<std::sync::atomic::AtomicBool>) {
    use std::sync::atomic::{AtomicBool, Ordering};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let wanted = std::sync::Arc::new(AtomicBool::new(true));
    let flag = wanted.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if !flag.load(Ordering::SeqCst) {
                return;
            }
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            let mut head = [0; 1 << 16];
            let _ = stream.read(&mut head);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read(&mut head);
        }
    });
    (address, wanted)
}

#[test]
fn the_age_of_the_last_report_counts() {
    let upstream = engine();
    let (address, wanted) = master();
    let agent = setup(&upstream).args(&["-m", &address, "-t", "1"]).start();
    agent.wait_for_log("registered as scripted");
    let outcome = ask(&agent, "health");
    let line = outcome.out();
    assert!(
        line.starts_with("healthy: the event loops turn, Docker answers, registered "),
        "{line}"
    );
    assert!(line.ends_with(" s ago\n"), "{line}");
    assert_eq!(outcome.code, Some(0));

    wanted.store(false, std::sync::atomic::Ordering::SeqCst);
    agent.wait_for_log("registration lost");
    assert!(eventually(|| ask(&agent, "health").code == Some(1)));
    let url = format!(" s: http://{address}: ");
    is_ill(
        ask(&agent, "health"),
        &["unhealthy: not registered for ", &url],
    );
    is_well(ask(&agent, "health live"), LIVE);
}

#[test]
fn a_loop_that_hangs_is_told_of_until_it_turns_again() {
    let upstream = engine();
    let agent = setup(&upstream).args(&["--workers", "2"]).start();
    let helper = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/frozen.py");
    for (number, name) in ["haven-agent", "worker 1"].into_iter().enumerate() {
        let thread = thread_named(&agent, name);
        let mut frozen = Running::start(clean("python3").arg(&helper).arg(thread));
        frozen.wait_for("word that it stands", |out| out.contains("frozen"));
        let expected = format!("unhealthy: event loop {number} has not turned for ");
        is_ill(ask(&agent, "health live"), &[&expected, " s\n"]);
        frozen.close_stdin();
        frozen.finish().ok();
        is_well(ask(&agent, "health"), HEALTHY);
    }
}

/// The thread of this name; the main one has the program's.
#[track_caller]
fn thread_named(agent: &Agent, name: &str) -> String {
    let tasks = fs::read_dir(format!("/proc/{}/task", agent.id())).unwrap();
    let found = tasks.map(|task| task.unwrap().path()).find(|task| {
        fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim().starts_with(name))
    });
    let found = found.unwrap_or_else(|| panic!("no thread {name}"));
    found.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn no_room_for_clients_is_told_of_after_a_while() {
    let upstream = engine();
    let agent = setup(&upstream).args(&["--max-connections", "1"]).start();
    let mut client = Client::connect(&agent);
    assert_eq!(client.ask("GET", "/info", "").status, 200);
    is_well(ask(&agent, "health"), HEALTHY);
    assert!(eventually(|| ask(&agent, "health").code == Some(1)));
    is_ill(
        ask(&agent, "health"),
        &["unhealthy: all 1 connections are taken for "],
    );
    is_well(ask(&agent, "health live"), LIVE);
    // It is still served.
    assert_eq!(client.ask("GET", "/info", "").status, 200);
    drop(client);
    assert!(eventually(|| ask(&agent, "health").code == Some(0)));
}

/// Who asks takes one as a client does.
#[test]
fn descriptors_that_have_run_out_are_told_of() {
    let upstream = engine();
    let agent = setup(&upstream).start();
    let limit = |most: &str| {
        let process = agent.id().to_string();
        let soft = format!("--nofile={most}:");
        run(clean("prlimit").args(["--pid", &process, &soft]), b"").ok()
    };
    limit("3");
    // On some kernels the agent, which waits for who asks, has one for the first already.
    is_ill(ask(&agent, "health"), &["unhealthy: "]);
    for words in ["health", "health live"] {
        is_ill(ask(&agent, words), &["does not answer: it hangs, or "]);
    }
    limit("1024");
    assert!(eventually(|| ask(&agent, "health").code == Some(0)));
}

#[test]
fn live_waits_for_no_other_question() {
    let upstream = engine();
    let agent = setup(&upstream).start();
    upstream.remove_socket();
    let _deaf = UnixListener::bind(upstream.socket()).unwrap();
    let pid = agent.id().to_string();
    let health = || Running::start(clean(binary()).args(["health", &pid]));
    let busy = |health: &Running| health.out().ends_with(": ask again\n");
    // On a busy machine the first may have their answers before the last have asked.
    assert!(eventually(|| {
        let mut asked: Vec<_> = (0..8).map(|_| health()).collect();
        within(Duration::from_secs(3), || asked.iter().any(busy));
        is_well(ask(&agent, "health live"), LIVE);
        let waits = |health: &mut Running| health.exit_within(Duration::ZERO).is_none();
        let wait = asked.iter_mut().any(waits);
        let outcomes = asked.into_iter().map(Running::finish);
        let busy = outcomes.fold(false, |busy, outcome| {
            let words = [
                " questions wait for their answers: ask again\n",
                " did not answer",
            ];
            let line = outcome.out();
            assert!(
                words.iter().any(|words| line.contains(words)),
                "{outcome:?}"
            );
            busy || line.contains(words[0])
        });
        wait && busy
    }));
}

#[test]
fn an_agent_that_stands_is_not_waited_for_for_ever() {
    let upstream = engine();
    let agent = setup(&upstream).start();
    agent.signal("STOP");
    let stands = format!(
        "unhealthy: the agent, process {}, does not answer: it hangs, or its descriptors have run out\n",
        agent.id()
    );
    is_ill(ask(&agent, "health"), &[&stands]);
    agent.signal("CONT");
    is_well(ask(&agent, "health"), HEALTHY);
}

#[test]
fn two_agents_of_one_network_are_asked_each_for_itself() {
    let (here, gone) = (engine(), engine());
    let (one, two) = (setup(&here).start(), setup(&gone).start());
    gone.remove_socket();
    is_well(ask(&one, "health"), HEALTHY);
    is_ill(ask(&two, "health"), &["there is no Docker socket"]);
    // Other tests' agents run here as well.
    let unnamed = run(clean(binary()).arg("health"), b"");
    let (one, two) = (one.id().to_string(), two.id().to_string());
    is_ill(
        unnamed,
        &["unhealthy: several agents run here: ", &one, &two],
    );
}

#[test]
fn an_agent_that_is_gone_is_not_there() {
    let upstream = engine();
    let mut agent = setup(&upstream).start();
    agent.signal("TERM");
    agent.exit_within(support::PATIENCE).unwrap();
    let line = format!("unhealthy: process {} is no agent that runs\n", agent.id());
    is_ill(ask(&agent, "health"), &[&line]);
    let line = format!(
        "not reloaded: process {} is no agent that runs\n",
        agent.id()
    );
    is_ill(ask(&agent, "reload"), &[&line]);
}

#[test]
fn wrong_words_are_wrong_usage() {
    for words in [
        "health 1 2",
        "health well",
        "health live live",
        "reload 0x1",
        "reload live",
    ] {
        let outcome = run(clean(binary()).args(words.split(' ')), b"");
        assert_eq!(outcome.code, Some(2), "{words}: {outcome:?}");
        assert!(
            outcome
                .err()
                .contains("`health [live] [PID]` or `reload [PID]`"),
            "{outcome:?}"
        );
    }
}

// ---------------------------------------------------------------- who asks, and whom

#[test]
fn another_user_is_refused() {
    if !is_root() {
        return;
    }
    let (upstream, dir) = (engine(), TempDir::new("other"));
    let agent = setup(&upstream).start();
    for words in ["health", "health live", "reload"] {
        let mut command = as_somebody(&dir);
        command.args(words.split(' ')).arg(agent.id().to_string());
        let refused = "the agent is of user 0: ask as that user, or as root\n";
        is_ill(run(&mut command, b""), &[refused]);
    }
    assert!(!agent.log().contains("read again"), "{}", agent.log());
    is_well(ask(&agent, "health"), HEALTHY);
}

#[test]
fn an_agent_without_rights_is_asked_by_its_user_and_by_root() {
    if !is_root() {
        return;
    }
    let (upstream, dir) = (engine(), TempDir::new("other"));
    fs::set_permissions(upstream.socket(), fs::Permissions::from_mode(0o777)).unwrap();
    let mut command = as_somebody(&dir);
    command
        .args([
            "--config",
            "/dev/null",
            "--listen",
            "127.0.0.1:0",
            "--docker",
        ])
        .arg(format!("unix://{}", upstream.socket().display()))
        .current_dir(dir.path());
    let mut running = Running::start(&mut command);
    running.wait_for("line that it listens", |out| out.contains("listening on"));
    is_well(ask_process(running.id(), "health"), HEALTHY);
    let mut command = as_somebody(&dir);
    let own = run(command.args(["health", &running.id().to_string()]), b"");
    is_well(own, HEALTHY);
}

/// The name alone makes no agent of who has it.
#[test]
fn a_socket_of_that_name_in_other_hands_is_not_believed() {
    let upstream = engine();
    let mut agent = setup(&upstream).start();
    let address = address(agent.id());
    agent.signal("TERM");
    agent.exit_within(support::PATIENCE).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(b"+all is well\n");
        }
    });
    let line = format!("unhealthy: process {} is no agent that runs\n", agent.id());
    is_ill(ask(&agent, "health"), &[&line]);
}

/// Of the agent that is this process.
#[track_caller]
fn address(pid: u32) -> SocketAddr {
    let table = fs::read_to_string("/proc/net/unix").unwrap();
    let mut names = table.lines().filter_map(|line| line.split_once('@'));
    let found = names
        .find(|(_, name)| name.starts_with("haven-agent/") && name.contains(&format!("/{pid}/")));
    SocketAddr::from_abstract_name(found.unwrap().1).unwrap()
}

#[test]
fn one_who_asks_nothing_or_nonsense_keeps_nobody_from_asking() {
    let upstream = engine();
    let agent = setup(&upstream).start();
    let silent = UnixStream::connect_addr(&address(agent.id())).unwrap();
    is_well(ask(&agent, "health"), HEALTHY);
    drop(silent);
    let expected = "-that is no question to this agent: is it of another version?\n";
    let long = "health".repeat(1000);
    for nonsense in ["health", "HEALTH\n", "health \n", "\n", "reload\0\n", &long] {
        let mut stream = UnixStream::connect_addr(&address(agent.id())).unwrap();
        stream.write_all(nonsense.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        // What was not read makes the end a reset.
        let _ = stream.read_to_string(&mut answer);
        assert_eq!(answer, expected, "{nonsense:.20}");
    }
    is_well(ask(&agent, "health"), HEALTHY);
}

// ---------------------------------------------------------------- reload

#[test]
fn a_reload_says_what_came_of_it() {
    let (upstream, dir) = (engine(), TempDir::new("reload"));
    let users = dir.join("users");
    let write = |name: &str| {
        let hash = bcrypt::hash("secret", 4).unwrap();
        fs::write(dir.join("new"), format!("{name}:{hash}\n")).unwrap();
        fs::rename(dir.join("new"), &users).unwrap();
    };
    write("alice");
    let agent = setup(&upstream)
        .args(&["--users", &users.display().to_string()])
        .start();
    let status = |user: &str| {
        let mut client = Client::connect(&agent);
        client.send(format!(
            "GET /info HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n",
            basic(user, "secret")
        ));
        client.answer("GET").status
    };
    assert_eq!((status("alice"), status("bob")), (200, 401));

    write("bob");
    let line = "reloaded: users, policies, certificates and log level were read again\n";
    is_well(ask(&agent, "reload"), line);
    assert_eq!((status("alice"), status("bob")), (401, 200));

    fs::write(&users, "bob:nonsense\n").unwrap();
    let refused = ask(&agent, "reload");
    let path = users.display().to_string();
    is_ill(
        refused,
        &["not reloaded: ", &path, "; what was read before goes on\n"],
    );
    assert_eq!(status("bob"), 200);
    agent.wait_for_log("ERROR - reload: ");
}
