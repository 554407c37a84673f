//! Who guesses passwords, knocks from elsewhere, or sends what a browser was talked into.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod support;

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::agent::{Agent, PASSWORD, Setup, basic};
use support::client::{Answer, Client, client_config, head};
use support::upstream::Upstream;
use support::{PATIENCE, TempDir, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What an address may get wrong before it has to wait.
const FREE: usize = 5;

/// A hash that nobody's password has, at a cost that makes every refusal take long.
const SLOW: &str = "$2b$12$cL/R2v0a4se9KJTpnluOP.u74b2FNUkgo5piGx545HYjePPbdNLzO";

/// `correct horse` at the lowest cost.
const HORSE: &str = "$2a$04$3Y5aOLm1bq8C3qpX8CfP7ec36rP1Z1uzX84MZbBI8fCjGtMh/LkTG";

fn ask_as(client: &mut Client, user: &str, password: &str) -> Answer {
    client.send(format!(
        "GET /test HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\n\r\n",
        basic(user, password)
    ));
    client.answer("GET")
}

/// Waits until the log has that many lines with all of these parts; more is too many.
#[track_caller]
fn told(agent: &Agent, parts: &[&str], times: usize) {
    let has_all = |line: &&str| parts.iter().all(|part| line.contains(part));
    let count = || agent.log().lines().filter(has_all).count();
    eventually(|| count() >= times);
    assert_eq!(count(), times, "{parts:?} in\n{}", agent.log());
}

#[test]
fn hammering_delays_nobody_who_is_known_and_nobody_elsewhere() {
    // Where this test is kept from running, all guesses may be done with before who is known has asked:
    // that shows nothing, and is tried again.
    const TRIES: usize = 5;
    let upstream = Upstream::answering(OK);
    let files = TempDir::new("users");
    let users = files.join("users");
    fs::write(&users, format!("slow:{SLOW}\n")).unwrap();
    let shown = (0..TRIES).any(|_| {
        let agent = Setup::new()
            .docker(&upstream.socket())
            .listen("[::]:0")
            .args(&["--users", users.to_str().unwrap()])
            .start();
        let overtaken = hammer(&agent);
        // Another address is asked nothing of it: IPv4 as it comes to an IPv6 socket, and IPv6.
        match TcpStream::connect(("::1", agent.port)) {
            Ok(tcp) => {
                let mut elsewhere = Client::over(tcp, client_config(&agent));
                assert_eq!(ask_as(&mut elsewhere, "nobody", "x").status, 401);
            }
            Err(error) => support::skipped(&format!("no IPv6 here: {error}")),
        }
        told(&agent, &["127.0.0.1 - \"GET /test\" 4"], FREE);
        assert!(!agent.log().contains("guess "), "{}", agent.log());
        overtaken
    });
    assert!(shown, "who is known was always answered after all guesses");
}

/// Many guess at a time, and somebody known asks meanwhile: whether they were answered before the
/// last guess was.
fn hammer(agent: &Agent) -> bool {
    const GUESSERS: usize = 20;
    let mut known = Client::connect(agent);
    assert_eq!(known.ask("GET", "/test", "").text(), "ok");
    let guessers: Vec<_> = (0..GUESSERS)
        .map(|number| {
            let mut client = Client::connect(agent);
            // The handshake is done, so that all guess at a time.
            client.send("GET /test HTTP/1.1\r\n");
            (number, client)
        })
        .collect();
    let (wrong, delayed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // Guesses that were answered before those who are known.
    let seen = AtomicUsize::new(0);
    let began = Instant::now();
    thread::scope(|scope| {
        for (number, mut client) in guessers {
            let (wrong, delayed) = (&wrong, &delayed);
            scope.spawn(move || {
                let guess = basic("admin", &format!("guess {number}"));
                client.send(format!("Host: a\r\nAuthorization: {guess}\r\n\r\n"));
                let answer = client.answer("GET");
                match answer.status {
                    401 => wrong.fetch_add(1, Ordering::SeqCst),
                    429 => {
                        answer.is_error(429);
                        assert!(answer.field("retry-after").is_some(), "{}", answer.head);
                        delayed.fetch_add(1, Ordering::SeqCst)
                    }
                    _ => panic!("{}", answer.head),
                };
            });
        }
        // The first guesses wait for their verification, which takes long; others are sent away.
        assert!(eventually(|| delayed.load(Ordering::SeqCst) > 0));
        for _ in 0..20 {
            assert_eq!(known.ask("GET", "/test", "").text(), "ok");
        }
        // A connection of its own is as good.
        let mut another = Client::connect(agent);
        assert_eq!(another.ask("GET", "/test", "").text(), "ok");
        seen.store(wrong.load(Ordering::SeqCst), Ordering::SeqCst);
    });
    let (wrong, seen) = (wrong.into_inner(), seen.into_inner());
    // One less where all came before the first was taken out of the queue. One more has waited the
    // first second, another one two more, and so on: those who are kept from guessing are late.
    let late = (began.elapsed().as_secs() + 1).ilog2() as usize;
    assert!(
        (FREE - 1..=FREE + late).contains(&wrong),
        "{wrong} guesses, {late} of them late"
    );
    seen < wrong
}

#[test]
fn a_failed_login_names_whose_password_it_was_not_and_nothing_that_was_sent() {
    let upstream = Upstream::answering(OK);
    let agent = Setup::new().docker(&upstream.socket()).start();
    let mut client = Client::connect(&agent);
    let known = ask_as(&mut client, "admin", "hunter2");
    known.is_error(401);
    let unknown = ask_as(&mut client, "hunter2", "");
    assert_eq!((unknown.head, unknown.body), (known.head, known.body));
    client.send("GET /test HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer("GET").status, 401);
    for why in [
        "(not the password of admin)",
        "(no such user)",
        "(no credentials)",
    ] {
        told(&agent, &["127.0.0.1 - \"GET /test\" 401", why], 1);
    }
    assert!(!agent.log().contains("hunter2"), "{}", agent.log());
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn who_has_waited_may_try_again() {
    let upstream = Upstream::answering(OK);
    let agent = Setup::new().docker(&upstream.socket()).start();
    let mut client = Client::connect(&agent);
    for _ in 0..FREE {
        assert_eq!(ask_as(&mut client, "admin", "x").status, 401);
    }
    let answer = ask_as(&mut client, "admin", PASSWORD);
    answer.is_error(429);
    assert_eq!(answer.field("retry-after"), Some("1"), "{}", answer.head);
    thread::sleep(Duration::from_secs(1));
    // A connection that was sent away is as good as any.
    assert_eq!(ask_as(&mut client, "admin", PASSWORD).text(), "ok");
}

/// Connects, and waits until the agent has closed without a word.
fn is_closed_at_once(agent: &Agent) {
    let mut tcp = TcpStream::connect(agent.address()).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(tcp.read(&mut [0; 16]).unwrap_or(0), 0);
}

#[test]
fn who_is_not_in_allow_from_is_closed_before_tls() {
    let upstream = Upstream::answering(OK);
    let setup = || Setup::new().docker(&upstream.socket());
    let agent = setup().args(&["--allow-from", "10.0.0.0/8, ::1"]).start();
    let sockets = agent.sockets();
    for _ in 0..30 {
        is_closed_at_once(&agent);
    }
    agent.wait_for_log(
        "127.0.0.1: a connection was closed at once: its address is not in allow_from",
    );
    told(&agent, &["is not in allow_from"], 5);
    assert!(eventually(|| agent.sockets() == sockets));

    // An IPv4 client of an IPv6 socket is in an IPv4 network.
    let agent = setup()
        .listen("[::]:0")
        .args(&["--allow-from", "fd00::/8,127.0.0.0/8"])
        .start();
    assert_eq!(Client::connect(&agent).ask("GET", "/test", "").text(), "ok");
}

#[test]
fn one_address_has_only_so_many_connections() {
    let upstream = Upstream::answering(OK);
    let agent = Setup::new()
        .docker(&upstream.socket())
        .listen("[::]:0")
        .args(&["--max-connections-per-address", "2"])
        .start();
    let mut clients = [Client::connect(&agent), Client::connect(&agent)];
    for client in &mut clients {
        assert_eq!(client.ask("GET", "/test", "").text(), "ok");
    }
    for _ in 0..30 {
        is_closed_at_once(&agent);
    }
    told(
        &agent,
        &["127.0.0.1: ", "has max_connections_per_address already"],
        5,
    );
    if let Ok(tcp) = TcpStream::connect(("::1", agent.port)) {
        let mut elsewhere = Client::over(tcp, client_config(&agent));
        assert_eq!(elsewhere.ask("GET", "/test", "").text(), "ok");
    }
    let [first, mut second] = clients;
    drop(first);
    let mut answer = None;
    assert!(eventually(|| {
        let mut client = Client::connect(&agent);
        let sent = std::io::Write::write_all(&mut client.tls, head("GET", "/test", "").as_bytes());
        answer = sent.is_ok().then(|| client.answer("GET").text());
        answer.is_some()
    }));
    assert_eq!(answer.as_deref(), Some("ok"));
    assert_eq!(second.ask("GET", "/test", "").text(), "ok");
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let upstream = Upstream::answering(OK);
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--allow-origin", "https://ui.example"])
        .start();
    let mut client = Client::connect(&agent);
    let evil = "Origin: https://evil.example\r\n";
    let socket = format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{evil}");
    let cross = "Sec-Fetch-Site: cross-site\r\n";
    for (method, fields) in [("POST", evil), ("DELETE", cross), ("GET", &socket)] {
        let answer = client.ask(method, "/containers/x/attach/ws", fields);
        answer.is_error(403);
        assert!(answer.text().contains("allow_origin"), "{}", answer.text());
    }
    assert_eq!(upstream.connections(), 0, "nothing of it got to Docker");
    agent.wait_for_log("127.0.0.1 - \"POST /containers/x/attach/ws\" 403");
    // Reading, our own pages and those that are allowed.
    for (method, fields) in [
        ("GET", evil),
        ("POST", "Origin: https://localhost\r\n"),
        (
            "POST",
            "Origin: https://ui.example\r\nSec-Fetch-Site: cross-site\r\n",
        ),
        ("POST", "Sec-Fetch-Site: same-origin\r\n"),
    ] {
        assert_eq!(client.ask(method, "/test", fields).text(), "ok", "{fields}");
    }
}

#[test]
fn a_form_is_taken_from_admin_alone() {
    let upstream = Upstream::start(|mut connection| {
        connection.exactly(3);
        connection.send(OK);
    });
    let files = TempDir::new("users");
    let users = files.join("users");
    fs::write(&users, format!("bob:{HORSE}\n")).unwrap();
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--users", users.to_str().unwrap()])
        .start();
    let form = |user: &str| {
        let mut client = Client::connect(&agent);
        client.send(format!(
            "POST /test HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\nContent-Length: 3\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\nt=0",
            basic(user, PASSWORD)
        ));
        client.answer("POST")
    };
    // With a verdict that takes time, and with one that is remembered.
    for _ in 0..2 {
        form("bob").is_error(403);
    }
    agent.wait_for_log("127.0.0.1 bob \"POST /test\" 403");
    assert_eq!(upstream.connections(), 0);
    assert_eq!(form("admin").text(), "ok");
}
