//! Streams: they live as long as their ends do, through timeouts that are much shorter, end when an
//! end goes, and are whole in both directions.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod support;

use std::time::Duration;

use support::agent::{Agent, Setup, authorization};
use support::client::{Client, End, field, head, status};
use support::docker::{Cli, IMAGE, clis, docker};
use support::upstream::{Connection, Upstream};
use support::{eventually, noise, sha256};

/// The shortest that can be configured.
const SHORT: [&str; 8] = [
    "--handshake-timeout",
    "1",
    "--head-timeout",
    "1",
    "--body-timeout",
    "1",
    "--idle-timeout",
    "1",
];

/// Well past all of `SHORT`.
const LONG: Duration = Duration::from_secs(4);

/// Sockets of an agent without clients: its listener, and where `health` asks. Its reporter has one more now and then.
const AT_REST: usize = 2;

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n";
const SWITCHED: &str = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
/// What dockerd answered before it knew upgrades, and does still without an offer.
const HIJACKED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\r\n";

fn short(upstream: &Upstream) -> Agent {
    Setup::new().docker(&upstream.socket()).args(&SHORT).start()
}

fn upgraded(agent: &Agent) -> Client {
    let mut client = Client::connect(agent);
    client.send(head("POST", "/exec/0123/start", UPGRADE));
    let head = client.answer_head();
    assert_eq!(status(&head), 101, "{head}");
    assert_eq!(field(&head, "upgrade"), Some("tcp"), "{head}");
    assert_eq!(
        field(&head, "connection").map(str::to_lowercase),
        Some("upgrade".into()),
        "{head}"
    );
    client
}

#[test]
fn silence_ends_no_stream() {
    let upstream =
        Upstream::start(
            |mut connection| match connection.head.split(' ').nth(1).unwrap() {
                "/wait" => {
                    std::thread::sleep(LONG);
                    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
                }
                "/logs" => {
                    connection.send(
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n",
                    );
                    std::thread::sleep(LONG);
                    connection.send("4\r\nlate\r\n0\r\n\r\n");
                }
                _ => {
                    connection.send(SWITCHED);
                    connection.send("early");
                    std::thread::sleep(LONG);
                    connection.send("late");
                }
            },
        );
    let agent = short(&upstream);
    std::thread::scope(|all| {
        all.spawn(|| {
            assert_eq!(
                Client::connect(&agent).ask("POST", "/wait", "").text(),
                "late"
            )
        });
        all.spawn(|| {
            assert_eq!(
                Client::connect(&agent).ask("GET", "/logs", "").text(),
                "earlylate"
            )
        });
        all.spawn(|| assert_eq!(upgraded(&agent).rest(), (b"earlylate".to_vec(), End::Clean)));
    });
}

#[test]
fn what_stalls_is_ended() {
    let upstream = Upstream::start(|mut connection| {
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        connection.rest();
    });
    let agent = short(&upstream);

    let mut idle = Client::connect(&agent);
    assert_eq!(idle.ask("GET", "/test", "").status, 200);
    assert_eq!(
        idle.rest(),
        (vec![], End::Clean),
        "a kept connection without a next request"
    );

    let mut slow = Client::connect(&agent);
    slow.send("GET /test HTTP/1.1\r\nHo");
    slow.answer("GET").is_error(408);
    assert_eq!(
        slow.rest(),
        (vec![], End::Clean),
        "a head that does not end"
    );

    // No handshake at all.
    let mut mute = std::net::TcpStream::connect(agent.address()).unwrap();
    mute.set_read_timeout(Some(support::PATIENCE)).unwrap();
    assert_eq!(std::io::Read::read(&mut mute, &mut [0; 16]).unwrap_or(0), 0);
}

#[test]
fn a_body_that_stalls_is_ended() {
    let upstream = Upstream::start(|mut connection| {
        connection.rest();
    });
    let agent = short(&upstream);
    let mut client = Client::connect(&agent);
    client.send(head("POST", "/test", "Content-Length: 10\r\n") + "half!");
    client.answer("POST").is_error(408);
    assert_eq!(client.rest(), (vec![], End::Clean));
    upstream.wait_until_idle();
}

/// Without a word, with the client's FIN alone, whatever the stream is waiting for.
#[test]
fn a_client_that_goes_away_ends_its_stream_at_docker() {
    let upstream = Upstream::start(|mut connection| {
        match connection.head.split(' ').nth(1).unwrap() {
            "/wait" => {}
            "/events" => drop(
                connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"),
            ),
            _ => drop(connection.send(SWITCHED)),
        }
        connection.rest();
    });
    let agent = Setup::new().docker(&upstream.socket()).start();
    let mut waiting = Client::connect(&agent);
    waiting.send(head("POST", "/wait", "Content-Length: 0\r\n"));
    let mut events = Client::connect(&agent);
    events.send(head("GET", "/events", ""));
    events.until("x\r\n");
    let tunnel = upgraded(&agent);
    assert!(eventually(|| upstream.open() == 3));
    drop((waiting, events, tunnel));
    upstream.wait_until_idle();
    assert!(
        eventually(|| agent.sockets() == AT_REST),
        "{} sockets, {AT_REST} at rest",
        agent.sockets()
    );
}

/// A reset instead of a FIN, in the middle of a flood.
#[test]
fn a_client_that_goes_away_in_a_flood_ends_it_at_docker() {
    let upstream = Upstream::start(|mut connection| {
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(65_536));
        while connection.send(&chunk) {}
    });
    let agent = Setup::new().docker(&upstream.socket()).start();
    let mut client = Client::connect(&agent);
    client.send(head("GET", "/logs", ""));
    client.until("xxxx");
    drop(client);
    upstream.wait_until_idle();
}

/// RFC 8446 §6.1: the other direction stays open.
#[test]
fn a_close_notify_alone_aborts_no_answer() {
    let upstream = Upstream::start(|mut connection| {
        std::thread::sleep(Duration::from_millis(500));
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
        connection.rest();
    });
    let agent = Setup::new().docker(&upstream.socket()).start();
    let mut client = Client::connect(&agent);
    client.send(head("GET", "/test", ""));
    client.half_close();
    assert_eq!(client.answer("GET").text(), "late");
    assert_eq!(client.rest(), (vec![], End::Clean));
}

/// Reads to the end of the input, then answers with what it was: `wc`, `sha256sum`, `tar`.
fn digest(connection: &mut Connection) {
    let sum = sha256(&connection.rest());
    connection.send(sum);
}

#[test]
fn the_end_of_the_input_arrives_and_the_answer_to_it_returns() {
    for answer in [SWITCHED, HIJACKED] {
        let upstream = Upstream::start(move |mut connection| {
            connection.send(answer);
            digest(&mut connection);
        });
        let agent = Setup::new().docker(&upstream.socket()).start();
        let data = noise(5 << 20);
        let mut client = Client::connect(&agent);
        client.send(head(
            "POST",
            "/containers/0123/attach?stdin=1&stream=1",
            UPGRADE,
        ));
        let head = client.answer_head();
        assert!([101, 200].contains(&status(&head)));
        client.send(&data);
        client.half_close();
        assert_eq!(
            client.rest(),
            (sha256(&data).into_bytes(), End::Clean),
            "{answer}"
        );
        upstream.wait_until_idle();
    }
}

#[test]
fn a_flood_both_ways_at_once_is_whole() {
    const FLOOD: usize = 20 << 20;
    let upstream = Upstream::start(|mut connection| {
        connection.send(SWITCHED);
        let mut writer = connection.stream.try_clone().unwrap();
        let sender =
            std::thread::spawn(move || std::io::Write::write_all(&mut writer, &noise(FLOOD)));
        let sum = sha256(&connection.exactly(FLOOD));
        sender.join().unwrap().unwrap();
        connection.send(sum);
    });
    let agent = Setup::new().docker(&upstream.socket()).start();
    let mut client = upgraded(&agent);
    // Both in pieces by turns: a TLS client has one thread.
    let data = noise(FLOOD);
    let mut received = Vec::new();
    for piece in data.chunks(8 << 10) {
        client.send(piece);
        received.extend(client.exactly(piece.len()));
    }
    assert_eq!(sha256(&received), sha256(&data));
    assert_eq!(client.rest(), (sha256(&data).into_bytes(), End::Clean));
}

/// Docker ends an exec while its input is still being sent: its output is whole nevertheless.
#[test]
fn the_output_is_whole_although_the_input_is_still_sent() {
    let upstream = Upstream::start(|mut connection| {
        connection.send(SWITCHED);
        connection.send(noise(3 << 20));
    });
    let agent = Setup::new().docker(&upstream.socket()).start();
    for _ in 0..5 {
        let mut client = upgraded(&agent);
        client.send(noise(100 << 10));
        let (output, end) = client.rest();
        assert_eq!(
            (sha256(&output), end),
            (sha256(&noise(3 << 20)), End::Clean)
        );
    }
}

/// `exec -d` answers an offered upgrade with an ordinary, empty 200; an unknown container with a 404.
#[test]
fn an_upgrade_that_is_declined_is_an_ordinary_answer() {
    let upstream = Upstream::start(|mut connection| {
        while !connection.head.is_empty() {
            connection.send(match connection.head.contains("/start ") {
                true => "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\nContent-Length: 0\r\n\r\n",
                false => "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone",
            });
            connection.next_head();
        }
    });
    let agent = Setup::new().docker(&upstream.socket()).start();
    let mut client = Client::connect(&agent);
    let answer = client.ask("POST", "/exec/0123/start", UPGRADE);
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let answer = client.ask("POST", "/containers/none/attach", UPGRADE);
    assert_eq!((answer.status, answer.text()), (404, "none".into()));
}

/// dockerd frames its 404 to an attach by nothing but the end of the connection.
#[test]
fn a_refused_attach_of_the_real_engine_is_no_tunnel() {
    let Some(scope) = docker() else { return };
    let agent = Agent::start();
    let mut client = Client::connect(&agent);
    let target = format!(
        "/containers/{}/attach?stream=1&stdout=1",
        scope.name("none")
    );
    let answer = client.ask("POST", &target, UPGRADE);
    assert_eq!(answer.status, 404, "{}", answer.head);
    assert!(
        answer.text().contains("No such container"),
        "{}",
        answer.text()
    );
}

#[test]
fn logs_of_the_real_engine_outlive_the_timeouts() {
    let Some(scope) = docker() else { return };
    let agent = Setup::new().args(&SHORT).start();
    let name = scope.name("silent");
    let script = "echo early; sleep 5; echo late";
    scope
        .cli()
        .run(&[
            "run",
            "-d",
            "--name",
            &name,
            "--network",
            "none",
            IMAGE,
            "sh",
            "-c",
            script,
        ])
        .ok();
    let through = Cli::through(&clis()[0], &agent);
    let logs = through.start(&["logs", "-f", &name]);
    let exec = through.start(&["exec", "-i", &scope.sleeper("exec"), "sh", "-c", script]);
    assert_eq!(through.run(&["wait", &name]).ok(), "0\n");
    assert_eq!(logs.finish().ok(), "early\nlate\n");
    assert_eq!(exec.finish().ok(), "early\nlate\n");
}

#[test]
fn clients_of_the_real_engine_that_are_killed_leave_nothing() {
    let Some(scope) = docker() else { return };
    let agent = Setup::new().arg("-vv").start();
    let name = scope.name("left");
    let run = ["run", "-di", "--name", &name, "--network", "none", IMAGE];
    scope
        .cli()
        .run(&[&run[..], &["sleep", "600"]].concat())
        .ok();
    let through = Cli::through(&clis()[0], &agent);
    let mut running: Vec<_> = [
        &["events"][..],
        &["logs", "-f", &name],
        &["stats", &name],
        // With their input open; what follows on one that is closed is shown below.
        &["attach", &name],
        &["exec", "-i", &name, "sleep", "500"],
        &["wait", &name],
    ]
    .iter()
    .map(|args| through.start(args))
    .collect();
    // Each has its stream to Docker: one socket there and one here.
    assert!(
        eventually(|| agent.sockets() >= AT_REST + 2 * running.len()),
        "{}",
        agent.sockets()
    );
    // By the signal first: reaping closes their input.
    for client in &running {
        client.signal("KILL");
    }
    assert!(
        running
            .iter_mut()
            .all(|client| client.exit_within(support::PATIENCE).is_some())
    );
    assert!(
        eventually(|| agent.sockets() == AT_REST),
        "{} sockets, {AT_REST} at rest",
        agent.sockets()
    );
}

/// A client that closed its input and then dies looks like one that waits for its answer: TCP keepalive
/// tells them apart once the dead one's kernel has forgotten it (a minute on Linux).
#[test]
#[ignore = "takes more than a minute: scripts/test --all"]
fn a_client_that_dies_behind_its_closed_input_is_found_by_keepalive() {
    let upstream = Upstream::start(|mut connection| {
        connection.send(SWITCHED);
        connection.rest();
        // Silent until the agent lets go: a write would find out at once.
        support::within(support::PATIENCE * 3, || connection.is_abandoned());
    });
    let agent = Setup::new().docker(&upstream.socket()).start();
    let mut client = upgraded(&agent);
    client.half_close();
    drop(client);
    assert!(support::within(support::PATIENCE * 3, || agent.sockets() == AT_REST));
    upstream.wait_until_idle();
}

#[test]
fn many_clients_come_and_go() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let agent = Setup::new().docker(&upstream.socket()).start();
    let mut clients: Vec<_> = (0..100).map(|_| Client::connect(&agent)).collect();
    for client in &mut clients {
        client.send(format!(
            "GET /test HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\n\r\n",
            authorization()
        ));
    }
    for client in &mut clients {
        assert_eq!(client.answer("GET").text(), "ok");
    }
    drop(clients);
    assert!(
        eventually(|| agent.sockets() == AT_REST),
        "{} sockets, {AT_REST} at rest",
        agent.sockets()
    );
    upstream.wait_until_idle();
}
