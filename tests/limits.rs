//! A full house: as many clients as are allowed, no descriptors left, more loops than one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use support::agent::{Agent, Setup, authorization};
use support::client::{Client, End, client_config, head};
use support::eventually;
use support::process::{clean, run};
use support::upstream::Upstream;

fn engine() -> Upstream {
    Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}

fn serves(agent: &Agent) {
    let mut client = Client::connect(agent);
    client.send(head("GET", "/test", ""));
    assert_eq!(client.answer("GET").text(), "ok");
}

#[test]
fn one_client_too_many_waits_for_a_place() {
    let upstream = engine();
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--max-connections", "2"])
        .start();
    let first = Client::connect(&agent);
    let _second = Client::connect(&agent);
    thread::scope(|scope| {
        let third = scope.spawn(|| serves(&agent));
        // It is in the kernel's queue, and nobody asks it in.
        assert!(!third.is_finished());
        drop(first);
        third.join().unwrap();
    });
}

#[test]
fn without_descriptors_it_rests_and_recovers() {
    let upstream = engine();
    let agent = Setup::new().docker(&upstream.socket()).start();
    let mut client = Client::connect(&agent);
    assert_eq!(client.ask("GET", "/test", "").text(), "ok");
    let fds = format!("/proc/{}/fd", agent.id());
    let open = fs::read_dir(&fds).unwrap().count();
    if !limit_descriptors(&agent, open + 2) {
        support::skipped("prlimit is missing, or may not");
        return;
    }
    let held: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(agent.address()).unwrap())
        .collect();
    agent.wait_for_log("no client can be accepted");
    // Told once, however often it is tried: as long as this it is tried twice more.
    thread::sleep(Duration::from_millis(2500));
    let told = agent.log().matches("no client can be accepted").count();
    assert_eq!(told, 1, "{}", agent.log());
    // Who is there already is served.
    assert_eq!(client.ask("GET", "/test", "").text(), "ok");
    drop(held);
    assert!(limit_descriptors(&agent, 4096));
    serves(&agent);
}

/// Sets the soft limit on open descriptors of a running agent.
fn limit_descriptors(agent: &Agent, count: usize) -> bool {
    let limit = format!("--nofile={count}:");
    let pid = agent.id().to_string();
    run(clean("prlimit").args(["--pid", &pid, &limit]), b"").code == Some(0)
}

#[test]
fn several_loops_share_the_port() {
    let upstream = engine();
    let mut agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--workers", "3"])
        .start();
    let mut clients: Vec<_> = (0..30).map(|_| Client::connect(&agent)).collect();
    for client in &mut clients {
        client.send(format!(
            "GET /test HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\n\r\n",
            authorization()
        ));
    }
    for client in &mut clients {
        assert_eq!(client.answer("GET").text(), "ok");
    }
    agent.signal("TERM");
    let status = agent.exit_within(support::PATIENCE);
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}

#[test]
fn a_ca_file_of_no_use_is_an_error_at_the_start() {
    let (mut agent, _home) = Setup::new()
        .args(&["--ca", "/etc/hostname", "-m", "https://127.0.0.1:1"])
        .spawn();
    let status = agent.exit_within(support::PATIENCE);
    assert_eq!(status.and_then(|status| status.code()), Some(2));
    assert!(agent.err().contains("/etc/hostname"), "{}", agent.err());
    assert!(agent.err().contains("(set by --ca)"), "{}", agent.err());
    assert!(!agent.out().contains("listening on"), "{}", agent.out());
}

/// Sends a byte after the other for as long as the agent takes them, then reads what it said.
fn trickle(stream: &mut (impl Read + Write), bytes: impl Iterator<Item = u8>) -> Vec<u8> {
    for byte in bytes {
        if stream
            .write_all(&[byte])
            .and_then(|()| stream.flush())
            .is_err()
        {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    said
}

/// Time is up however steadily the bytes come. Meanwhile others are served.
#[test]
fn a_handshake_and_a_head_that_trickle_are_ended() {
    let upstream = engine();
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--handshake-timeout", "1", "--head-timeout", "1"])
        .start();
    let sockets = agent.sockets();
    // Two seconds of each; a ClientHello of 512 bytes, its first ones.
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let hello = hello.into_iter().chain(std::iter::repeat(0)).take(40);
    let request = head("GET", "/test", &format!("X: {}\r\n", "x".repeat(40)));
    thread::scope(|scope| {
        let handshakes = [0; 10].map(|_| {
            let (agent, hello) = (&agent, hello.clone());
            scope.spawn(move || {
                let mut tcp = TcpStream::connect(agent.address()).unwrap();
                tcp.set_read_timeout(Some(support::PATIENCE)).unwrap();
                trickle(&mut tcp, hello)
            })
        });
        let heads = [0; 10].map(|_| {
            let (agent, request) = (&agent, &request);
            scope.spawn(move || trickle(&mut Client::connect(agent).tls, request.bytes()))
        });
        serves(&agent);
        for handshake in handshakes {
            assert_eq!(handshake.join().unwrap(), b"", "closed without a word");
        }
        for head in heads {
            let said = String::from_utf8(head.join().unwrap()).unwrap();
            assert!(said.starts_with("HTTP/1.1 408 "), "{said:?}");
        }
    });
    assert_eq!(upstream.connections(), 1, "none of them got to Docker");
    assert!(eventually(|| agent.sockets() <= sockets));
}

/// Bodies that stand still hold nothing but their own connection.
#[test]
fn bodies_that_stand_still_are_ended_and_nobody_waits_for_them() {
    let upstream = Upstream::start(|mut connection| {
        if connection.head.starts_with("POST") {
            connection.rest();
        }
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--body-timeout", "1"])
        .start();
    let mut slow: Vec<_> = (0..20).map(|_| Client::connect(&agent)).collect();
    for (number, client) in slow.iter_mut().enumerate() {
        let (framing, part) = match number % 2 {
            0 => ("Content-Length: 9", "half"),
            _ => ("Transfer-Encoding: chunked", "9\r\nhalf"),
        };
        client.send(head("POST", "/test", &format!("{framing}\r\n")) + part);
    }
    serves(&agent);
    for client in &mut slow {
        client.answer("POST").is_error(408);
        assert_eq!(client.rest(), (vec![], End::Clean));
    }
    upstream.wait_until_idle();
}

/// A peer that ends its own direction, wherever it is, and never reads.
#[test]
fn half_open_peers_are_let_go() {
    let upstream = engine();
    let agent = Setup::new().docker(&upstream.socket()).start();
    let sockets = agent.sockets();
    let mut held = Vec::new();
    for sent in ["", "\x16\x03\x01", "\x16\x03\x01\x02\x00\x01\x00"] {
        let mut tcp = TcpStream::connect(agent.address()).unwrap();
        tcp.write_all(sent.as_bytes()).unwrap();
        tcp.shutdown(Shutdown::Write).unwrap();
        held.push(tcp);
    }
    for sent in ["", "GET /te", &head("GET", "/test", "")] {
        let mut client = Client::connect(&agent);
        client.send(sent);
        while client.tls.conn.is_handshaking() {
            client.tls.conn.complete_io(&mut client.tls.sock).unwrap();
        }
        client.tls.sock.shutdown(Shutdown::Write).unwrap();
        held.push(client.tls.sock);
    }
    assert!(
        eventually(|| agent.sockets() <= sockets),
        "{} sockets, {sockets} before",
        agent.sockets()
    );
    drop(held);
    serves(&agent);
}

/// Readers that stop hold a few buffers each, and nobody else back.
#[test]
fn readers_that_stop_cost_a_bounded_memory() {
    const READERS: usize = 20;
    let upstream = Upstream::start(|mut connection| {
        match connection.head.contains("/flood") {
            true => {
                connection.send("HTTP/1.1 200 OK\r\n\r\n");
                connection.send(support::noise(16 << 20));
            }
            false => {
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        };
    });
    let agent = Setup::new().docker(&upstream.socket()).start();
    serves(&agent);
    let before = agent.memory();
    let mut readers: Vec<_> = (0..READERS).map(|_| Client::connect(&agent)).collect();
    for reader in &mut readers {
        reader.send(head("GET", "/flood", ""));
        reader.answer_head();
    }
    // All have stopped once the kernel's queues are full.
    thread::sleep(Duration::from_secs(1));
    let ticks = agent.ticks();
    thread::sleep(Duration::from_secs(1));
    assert!(agent.ticks() - ticks < 20, "it spins");
    let grown = agent.memory().saturating_sub(before);
    assert!(
        grown < READERS as u64 * 300,
        "{grown} KiB for {READERS} readers"
    );
    serves(&agent);
}

#[test]
fn many_idle_connections_are_small_and_leave_room_for_others() {
    const IDLE: usize = 300;
    let upstream = engine();
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--max-connections", "400", "--idle-timeout", "600"])
        .start();
    let sockets = agent.sockets();
    serves(&agent);
    // Its place is one of its address's.
    assert!(eventually(|| agent.sockets() <= sockets));
    let before = agent.memory();
    let config = client_config(&agent);
    // Each is asked at once: on a busy machine the last one's handshake would else come too late.
    let connect = || {
        let mut client = Client::with(&agent, config.clone());
        assert_eq!(client.ask("GET", "/test", "").text(), "ok");
        client
    };
    let mut idle: Vec<_> = (0..IDLE).map(|_| connect()).collect();
    let grown = agent.memory().saturating_sub(before);
    assert!(
        grown < IDLE as u64 * 32,
        "{grown} KiB for {IDLE} connections"
    );
    // Three quarters of all are one address's: the rest is for others.
    let mut tcp = TcpStream::connect(agent.address()).unwrap();
    tcp.set_read_timeout(Some(support::PATIENCE)).unwrap();
    assert_eq!(tcp.read(&mut [0; 1]).unwrap_or(0), 0);
    for client in &mut idle {
        assert_eq!(client.ask("GET", "/test", "").text(), "ok");
    }
}

/// As many as fit in this process, which is the clients and the engine.
#[test]
#[ignore = "takes long: scripts/test --all"]
fn ten_thousand_idle_connections_are_small_and_others_are_served() {
    const IDLE: usize = 9_900;
    /// What a connection may hold, in KiB.
    const EACH: u64 = 8;
    /// What may be left of all of them, in KiB, once the event loop spares nothing more for its next clients.
    const KEPT: u64 = 512;
    let pid = std::process::id().to_string();
    let own = ["--pid", &pid, "--nofile=19800:"];
    if run(clean("prlimit").args(own), b"").code != Some(0) {
        return support::skipped("prlimit is missing, or the limit on open files is below 19,800");
    }
    let upstream = engine();
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--max-connections", "9950", "--idle-timeout", "3600"])
        .args(&["--max-connections-per-address", "9950"])
        .start();
    if agent.log().contains("max_connections = ") {
        return support::skipped("the limit on open files is below 20,000");
    }
    serves(&agent);
    let (before, sockets) = (agent.anonymous_memory(), agent.sockets());
    let config = client_config(&agent);
    let connect = || {
        let mut client = Client::with(&agent, config.clone());
        assert_eq!(client.ask("GET", "/test", "").text(), "ok");
        client
    };
    let mut idle: Vec<_> = (0..IDLE).map(|_| connect()).collect();
    // Connections to Docker are kept for a moment only.
    assert!(eventually(|| agent.sockets() <= sockets + IDLE));
    let grown = agent.anonymous_memory().saturating_sub(before);
    assert!(grown < IDLE as u64 * EACH, "{grown} KiB for {IDLE}");
    let ticks = agent.ticks();
    serves(&agent);
    for client in idle.iter_mut().step_by(99) {
        assert_eq!(client.ask("GET", "/test", "").text(), "ok");
    }
    let ticks = agent.ticks() - ticks;
    drop(idle);
    assert!(eventually(|| agent.sockets() <= sockets));
    serves(&agent);
    let kept = || agent.anonymous_memory().saturating_sub(before);
    // glibc's malloc gives only the end of its heap back, and one small block there holds all the rest.
    if agent.has_musl() {
        assert!(eventually(|| kept() < KEPT), "{} of {grown} KiB", kept());
    }
    println!(
        "{grown} KiB for {IDLE} connections, {ticks} ticks; {} KiB are kept",
        kept()
    );
}

/// A thousand clients over the limit, again and again: nothing is left behind by those who were turned away.
#[test]
fn clients_beyond_the_limit_of_their_address_leave_nothing_behind() {
    let upstream = engine();
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--max-connections-per-address", "3"])
        .start();
    let mut held: Vec<_> = (0..3).map(|_| Client::connect(&agent)).collect();
    for client in &mut held {
        assert_eq!(client.ask("GET", "/test", "").text(), "ok");
    }
    let turn_away = |count| {
        for _ in 0..count {
            let mut tcp = TcpStream::connect(agent.address()).unwrap();
            tcp.set_read_timeout(Some(support::PATIENCE)).unwrap();
            assert_eq!(tcp.read(&mut [0; 1]).unwrap_or(0), 0);
        }
    };
    turn_away(100);
    let (before, sockets) = (agent.anonymous_memory(), agent.sockets());
    turn_away(900);
    assert!(eventually(|| agent.sockets() <= sockets));
    let grown = agent.anonymous_memory().saturating_sub(before);
    assert!(grown < 1024, "{grown} KiB");
    for client in &mut held {
        assert_eq!(client.ask("GET", "/test", "").text(), "ok");
    }
}

/// Between two requests no longer than `idle_timeout`, and without a first one no longer than `head_timeout`.
#[test]
fn idle_connections_are_ended_and_let_go() {
    let upstream = engine();
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--idle-timeout", "1", "--head-timeout", "1"])
        .start();
    let sockets = agent.sockets();
    let mut idle: Vec<_> = (0..10).map(|_| Client::connect(&agent)).collect();
    for client in idle.iter_mut().take(5) {
        assert_eq!(client.ask("GET", "/test", "").text(), "ok");
    }
    for client in &mut idle {
        // Ended as HTTP ends a connection that is kept: no answer to what was not asked (RFC 9112 §9.5).
        assert_eq!(client.rest(), (vec![], End::Clean));
    }
    drop(idle);
    assert!(eventually(|| agent.sockets() <= sockets));
    upstream.wait_until_idle();
    serves(&agent);
}

#[test]
fn heads_and_requests_are_counted() {
    let upstream = engine();
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--max-head", "4096", "--max-fields", "16"])
        .args(&["--max-requests-per-connection", "3"])
        .start();
    let mut client = Client::connect(&agent);
    for number in 1..=3 {
        let answer = client.ask("GET", "/test", "");
        assert_eq!(answer.text(), "ok");
        let last = answer.field("connection") == Some("close");
        assert_eq!(last, number == 3, "{}", answer.head);
    }
    assert_eq!(client.rest(), (vec![], End::Clean));
    let long = format!("X: {}\r\n", "x".repeat(4096));
    for fields in ["A: b\r\n".repeat(15), long] {
        let answer = Client::connect(&agent).ask("GET", "/test", &fields);
        answer.is_error(431);
        assert!(
            answer.text().contains("more than 4096 bytes or 16 fields"),
            "{}",
            answer.text()
        );
    }
    let fields = "A: b\r\n".repeat(14);
    assert_eq!(
        Client::connect(&agent).ask("GET", "/test", &fields).text(),
        "ok"
    );
}

/// Each of the fields grows by a space on its way. What is lost at the end of such a head would be the length of its body,
/// and the body the next request, which nobody has judged.
#[test]
fn a_head_of_many_short_fields_keeps_its_length() {
    const BODY: &str = "DELETE /judged-by-nobody HTTP/1.1\r\nHost: a\r\n\r\n";
    let upstream = Upstream::start(|mut connection| {
        while !connection.head.is_empty() {
            if connection.head.contains("Content-Length: 46\r\n") {
                assert_eq!(connection.exactly(BODY.len()), BODY.as_bytes());
            }
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            connection.next_head();
        }
    });
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--max-fields", "1000"])
        .start();
    // The first waits for its password to be verified, the others do not.
    let counts = [150, 270, 280, 310, 320, 330, 990];
    for count in counts {
        let fields = "a:b\r\n".repeat(count) + "Content-Length: 46\r\n";
        let mut client = Client::connect(&agent);
        client.send(head("GET", "/test", &fields));
        client.send(BODY);
        assert_eq!(client.answer("GET").text(), "ok", "{count}");
    }
    let asked = upstream.heads();
    let own = asked.iter().filter(|head| head.starts_with("GET /test "));
    assert_eq!(own.count(), counts.len());
    assert!(!asked.concat().contains("judged-by-nobody"));
}

/// Whoever reaches the port may begin a handshake of 64 KiB and not end it.
#[test]
fn clients_whom_nobody_knows_have_only_so_much_held_together() {
    const STRANGERS: usize = 700;
    const SENT: usize = 60_000;
    let upstream = engine();
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--handshake-timeout", "600", "--max-connections", "1000"])
        .args(&["--max-connections-per-address", "1000"])
        .start();
    serves(&agent);
    let (before, sockets) = (agent.anonymous_memory(), agent.sockets());
    // Records of 16 KiB, and in the first the beginning of a ClientHello that is longer (RFC 8446 §4).
    let record = |begins: &[u8]| {
        let mut record = vec![0; 5 + (1 << 14)];
        record[..5].copy_from_slice(&[22, 3, 1, 1 << 6, 0]);
        record[5..5 + begins.len()].copy_from_slice(begins);
        record
    };
    let mut sent = record(&[1, 0, 0xff, 0xf0]);
    while sent.len() < SENT {
        sent.extend(record(&[]));
    }
    let strangers: Vec<_> = (0..STRANGERS)
        .filter_map(|_| {
            let mut tcp = TcpStream::connect(agent.address()).unwrap();
            tcp.write_all(&sent[..SENT]).ok().map(|()| tcp)
        })
        .collect();
    let fit = (32 << 20) / SENT;
    let held = || agent.sockets() - sockets;
    assert!(eventually(|| held() <= fit), "{} of {fit}", held());
    serves(&agent);
    assert!(held() > fit / 2, "{} of {fit}", held());
    let grown = agent.anonymous_memory().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB");
    drop(strangers);
    assert!(eventually(|| agent.sockets() <= sockets));
}
