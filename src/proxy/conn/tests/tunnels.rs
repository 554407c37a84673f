//! Streams: what opens one, what passes through it, how each direction ends.

use super::case::*;
use super::shell::{Pace, Shell};
use std::time::Duration;

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
const SWITCH: &str = "HTTP/1.1 101 UPGRADED\r\n\
    Content-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
const RAW: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n";

fn attach() -> Case {
    case().client(request("POST /v1.41/containers/a/attach?stream=1", UPGRADE))
}

fn attached() -> String {
    forwarded("POST /v1.41/containers/a/attach?stream=1", UPGRADE)
}

#[test]
fn an_offered_upgrade_opens_a_tunnel() {
    attach()
        .docker(SWITCH.to_owned() + "output at once")
        .client("in")
        .docker("more")
        .client("GET / HTTP/1.1\r\n\r\n") // bytes like any others
        .docker_ends()
        .sees(attached() + "inGET / HTTP/1.1\r\n\r\n")
        .answers(SWITCH)
        .answers("output at oncemore")
        .ends(End::Finished)
        .logs(&["ann POST /v1.41/containers/a/attach?... 101 20/18"])
        .check();
}

#[test]
fn what_was_sent_before_the_101_is_part_of_the_stream() {
    let early = "GET /x HTTP/1.1\r\nHost: n\r\n\r\n";
    attach()
        .client(early)
        .docker(SWITCH)
        .client("late")
        .sees(attached() + early + "late")
        .answers(SWITCH)
        .logs(&[])
        .check();
    // If the answer is no 101, it is the next request, judged as such.
    attach()
        .client(early)
        .docker("HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nno")
        .trailing()
        .sees(attached())
        .answers("HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nno")
        .answers(unauthorized(false))
        .logs(&[
            "ann POST /v1.41/containers/a/attach?... 409 0/2",
            "- GET /x 401 0/0",
        ])
        .check();
}

#[test]
fn other_protocols_are_passed_as_they_are() {
    for (start, protocol) in [
        ("POST /session", "h2c"),
        ("GET /containers/a/attach/ws?stream=1", "websocket"),
    ] {
        let more = format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n");
        let switch = format!("HTTP/1.1 101 Switching Protocols\r\n{more}\r\n");
        case()
            .client(request(start, &more))
            .docker(&switch)
            .client(b"\x00\xff\r\n")
            .docker(b"\x00\x01")
            .sees(
                forwarded(start, &more)
                    .into_bytes()
                    .into_iter()
                    .chain(*b"\x00\xff\r\n")
                    .collect::<Vec<u8>>(),
            )
            .answers(&switch)
            .answers(b"\x00\x01")
            .check();
    }
}

#[test]
fn a_200_is_a_tunnel_for_attach_and_exec_start_only() {
    for start in [
        "POST /containers/a/attach?logs=1",
        "POST /v1.41/exec/b/start",
    ] {
        for kind in ["raw", "multiplexed"] {
            let kind = format!("Content-Type: application/vnd.docker.{kind}-stream\r\n");
            case()
                .client(request(start, "Content-Length: 2\r\n") + "{}")
                .docker(format!("HTTP/1.1 200 OK\r\n{kind}\r\nout"))
                .client("in")
                .docker("put")
                .docker_ends()
                .sees(forwarded(start, "Content-Length: 2\r\n") + "{}in")
                .answers(format!(
                    "HTTP/1.1 200 OK\r\n{kind}Connection: close\r\n\r\noutput"
                ))
                .ends(End::Finished)
                .logs(&[&format!("ann {} 200 4/6", start.replace("?logs=1", "?..."))])
                .check();
        }
    }
}

#[test]
fn what_only_looks_like_a_hijack_is_an_answer() {
    // Logs have the media type of a stream, and are none.
    case()
        .client(request("GET /containers/a/logs", ""))
        .docker(RAW.to_owned() + "\r\nlog")
        .client("GET /x HTTP/1.1\r\nHost: n\r\n\r\n")
        .docker_ends()
        .sees(forwarded("GET /containers/a/logs", ""))
        .answers(RAW.to_owned() + "Connection: close\r\n\r\nlog")
        .ends(End::Finished)
        .check();
    // Detached: a length of 0 even to an upgrade.
    let start = "POST /exec/b/start";
    case()
        .client(request(start, UPGRADE))
        .docker(RAW.to_owned() + "Content-Length: 0\r\n\r\n")
        .trailing()
        .sees(forwarded(start, UPGRADE))
        .answers(RAW.to_owned() + "Content-Length: 0\r\n\r\n")
        .check();
    case()
        .client(request(start, ""))
        .docker(RAW.to_owned() + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        .sees(forwarded(start, ""))
        .answers(RAW.to_owned() + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        .check();
    // An unknown container: no framing, and no stream.
    attach()
        .docker("HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n\r\n{}")
        .client("stdin")
        .docker_ends()
        .sees(attached())
        .answers("HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{}")
        .ends(End::Finished)
        .check();
}

fn tunnel() -> Case {
    attach().docker(SWITCH).answers(SWITCH)
}

#[test]
fn the_clients_close_notify_ends_stdin_only() {
    tunnel()
        .client("stdin")
        .client_notifies()
        .docker("the rest")
        .docker_ends()
        .sees(attached() + "stdin")
        .shuts()
        .answers("the rest")
        .ends(End::Finished)
        .check();
    // Behind it comes TCP's end of file, which says nothing new.
    tunnel()
        .client("stdin")
        .client_notifies()
        .client_ends()
        .docker("the rest")
        .docker_ends()
        .sees(attached() + "stdin")
        .shuts()
        .answers("the rest")
        .ends(End::Finished)
        .check();
    // It had come before the 101: so had its stdin.
    attach()
        .client("stdin")
        .client_notifies()
        .docker(SWITCH)
        .docker("out")
        .docker_ends()
        .sees(attached() + "stdin")
        .shuts()
        .answers(SWITCH)
        .answers("out")
        .ends(End::Finished)
        .check();
}

#[test]
fn stdin_ends_only_when_all_of_it_is_delivered() {
    let mut shell = Shell::new(Pace { read: 5, write: 3 }, true);
    shell
        .client_wire
        .extend(request("POST /exec/1/start", UPGRADE).as_bytes());
    shell.settle();
    shell.link().unwrap().wire.extend(SWITCH.as_bytes());
    shell.settle();
    shell.docker_room = 4;
    shell
        .client_wire
        .extend("0123456789".repeat(10_000).as_bytes());
    shell.client_notifies = true;
    shell.client_ends = true;
    shell.settle();
    assert!(!shell.links[0].shut);
    assert!(!shell.client_wire.is_empty(), "all was read");
    shell.docker_room = usize::MAX;
    shell.settle();
    assert!(shell.links[0].shut);
    let head = forwarded("POST /exec/1/start", UPGRADE).len();
    assert_eq!(shell.links[0].got.len(), head + 100_000);
    assert_eq!(shell.closed, None);
}

#[test]
fn a_client_that_vanishes_ends_the_stream() {
    tunnel()
        .client("stdin")
        .client_ends()
        .sees(attached() + "stdin")
        .ends(End::Gone)
        .logs(&["ann POST /v1.41/containers/a/attach?... 101 5/0"])
        .check();
}

#[test]
fn dockers_end_comes_after_its_last_byte() {
    tunnel()
        .rooms(4, usize::MAX)
        .docker("the last words")
        .docker_ends()
        .client("still stdin")
        .rooms(usize::MAX, usize::MAX)
        .sees(attached() + "still stdin")
        .partly()
        .answers("the last words")
        .ends(End::Finished)
        .check();
}

#[test]
fn a_client_that_writes_before_it_reads_gets_to_the_end() {
    let mut shell = Shell::new(
        Pace {
            read: 99,
            write: 99,
        },
        true,
    );
    let request = request("POST /exec/1/start", UPGRADE);
    shell.client_wire.extend(request.as_bytes());
    shell.settle();
    shell.link().unwrap().wire.extend(SWITCH.as_bytes());
    shell.settle();
    // Docker has ended, and its last bytes are sealed, but the client does not read them yet.
    shell.conn.docker_eof(shell.now);
    let stdin = vec![b'x'; 1 << 20];
    let taken = shell
        .conn
        .client_data(&stdin, &mut |_| None, &shell.policies, shell.now);
    assert_eq!(taken, stdin.len());
    assert!(shell.conn.wants(0).read_client);
    shell.conn.client_flushed(shell.now);
    assert!(shell.conn.close_due().is_some());
}

#[test]
fn output_goes_on_when_stdin_is_not_taken() {
    tunnel()
        .client("a")
        .docker_deaf()
        .client("b")
        .docker("out")
        .client("c")
        .client_notifies()
        .docker("put")
        .docker_ends()
        .sees(attached() + "a")
        .answers("output")
        .ends(End::Finished)
        .check();
    tunnel()
        .docker_deaf()
        .client("b")
        .client_ends()
        .sees(attached())
        .ends(End::Gone)
        .check();
    // It was deaf already when it answered.
    attach()
        .client_notifies()
        .docker_deaf()
        .docker(SWITCH.to_owned() + "out")
        .docker_ends()
        .sees(attached())
        .shuts()
        .answers(SWITCH)
        .answers("out")
        .ends(End::Finished)
        .check();
    let more = format!("{UPGRADE}Content-Length: 3\r\n");
    let body = "x".repeat(100_000);
    case()
        .client(request("POST /containers/a/attach", &more))
        .docker_deaf()
        .client("{}\n")
        .docker(SWITCH)
        .client(&body)
        .docker("out")
        .docker_ends()
        .sees(forwarded(
            "POST /containers/a/attach",
            &format!("Content-Length: 3\r\n{UPGRADE}"),
        ))
        .answers(SWITCH)
        .answers("out")
        .ends(End::Finished)
        .check_long();
}

#[test]
fn a_stream_lives_as_long_as_it_wants() {
    tunnel()
        .wait(Duration::from_secs(100 * 24 * 3600))
        .client("in")
        .docker("out")
        .drain()
        .wait(Duration::from_secs(3600))
        .docker("put")
        .sees(attached() + "in")
        .answers("output")
        .check();
}

#[test]
fn both_directions_are_held_back() {
    let mut shell = Shell::new(
        Pace {
            read: usize::MAX,
            write: usize::MAX,
        },
        true,
    );
    shell
        .client_wire
        .extend(request("POST /exec/1/start", UPGRADE).as_bytes());
    shell.settle();
    shell.link().unwrap().wire.extend(SWITCH.as_bytes());
    shell.settle();
    shell.docker_room = 0;
    shell.client_room = 0;
    let much = vec![b'x'; 1 << 20];
    shell.client_wire.extend(&much);
    shell.link().unwrap().wire.extend(&much);
    shell.settle();
    assert!(shell.client_wire.len() > much.len() - 100_000);
    assert!(shell.link().unwrap().wire.len() > much.len() - 100_000);
    let (got, sent) = (shell.client_got.len(), shell.links[0].got.len());
    shell.client_room = usize::MAX;
    shell.settle();
    assert_eq!(shell.client_got.len(), got + much.len());
    shell.docker_room = usize::MAX;
    shell.settle();
    assert_eq!(shell.links[0].got.len(), sent + much.len());
}
