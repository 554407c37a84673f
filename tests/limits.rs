//! A full house: as many clients as are allowed, no descriptors left, more loops than one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod support;

use std::fs;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use support::agent::{Agent, Setup, authorization};
use support::client::{Client, head};
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
    serves(&agent);
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
