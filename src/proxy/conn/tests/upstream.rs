//! The connection to Docker: opened, kept, found stale, opened again.

use super::case::*;
use super::shell::{BODY, CONNECT, DOCKER_IDLE, Pace, Shell};
use crate::http::head::MAX_HEAD;
use std::time::Duration;

fn get(path: &str) -> String {
    request(&format!("GET {path}"), "")
}

fn seen(path: &str) -> String {
    forwarded(&format!("GET {path}"), "")
}

fn no_docker(close: bool) -> String {
    local("502 Bad Gateway", "no Docker", close)
}

#[test]
fn docker_that_cannot_be_reached_is_a_502() {
    case()
        .dial_by_hand()
        .client(get("/a"))
        .fails()
        .client(get("/b"))
        .opens()
        .docker(HI)
        .trailing()
        .sees(seen("/b"))
        .answers(no_docker(false))
        .answers(HI)
        .logs(&["ann GET /a 502 0/0", "ann GET /b 200 0/2"])
        .check();
    case()
        .dial_by_hand()
        .client(request("POST /a", "Content-Length: 3\r\n") + "abc")
        .fails()
        .trailing()
        .answers(no_docker(true))
        .ends(End::Finished)
        .check();
}

#[test]
fn docker_that_does_not_accept_in_time_is_a_504() {
    case()
        .dial_by_hand()
        .client(get("/a"))
        .wait(CONNECT)
        .answers(local(
            "504 Gateway Timeout",
            "haven-agent: Docker did not accept the connection in time",
            true,
        ))
        .ends(End::Finished)
        .logs(&["ann GET /a 504 0/0"])
        .check();
    case()
        .dial_by_hand()
        .client(get("/a"))
        .wait(CONNECT - Duration::from_secs(1))
        .opens()
        .wait(CONNECT)
        .docker(HI)
        .sees(seen("/a"))
        .answers(HI)
        .check();
}

#[test]
fn it_is_dropped_when_idle_and_opened_again() {
    case()
        .client(get("/a"))
        .docker(HI)
        .wait(DOCKER_IDLE)
        .client(get("/b"))
        .docker(HI)
        .wait(DOCKER_IDLE - Duration::from_secs(1))
        .client(get("/c"))
        .docker(HI)
        .sees(seen("/a"))
        .sees(seen("/b") + &seen("/c"))
        .answers(HI)
        .answers(HI)
        .answers(HI)
        .check();
}

#[test]
fn docker_may_close_between_requests() {
    let close = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
    case()
        .client(get("/a"))
        .docker(close)
        .client(get("/b"))
        .docker(HI)
        .docker_ends()
        .client(get("/c"))
        .docker(HI)
        .trailing()
        .sees(seen("/a"))
        .sees(seen("/b"))
        .sees(seen("/c"))
        .answers(HI)
        .answers(HI)
        .answers(HI)
        .check();
}

#[test]
fn bytes_that_nobody_asked_for_end_a_connection() {
    case()
        .client(get("/a"))
        .docker(HI.to_owned() + "HTTP/1.1 200 OK\r\n\r\nforged")
        .client(get("/b"))
        .docker(HI)
        .docker("x")
        .client(get("/c"))
        .docker(HI)
        .trailing()
        .sees(seen("/a"))
        .sees(seen("/b"))
        .sees(seen("/c"))
        .answers(HI)
        .answers(HI)
        .answers(HI)
        .check();
}

#[test]
fn a_stale_connection_is_tried_once_more() {
    let more = "Content-Length: 4\r\n";
    case()
        .client(get("/a"))
        .docker(HI)
        .client(request("PUT /b", more) + "body")
        .docker_ends()
        .docker(HI)
        .trailing()
        .sees(seen("/a") + &forwarded("PUT /b", more) + "body")
        .sees(forwarded("PUT /b", more) + "body")
        .answers(HI)
        .answers(HI)
        .logs(&["ann GET /a 200 0/2", "ann PUT /b 200 4/2"])
        .check();
    // It broke while the body was coming.
    case()
        .client(get("/a"))
        .docker(HI)
        .client(request("PUT /b", more) + "bo")
        .docker_deaf()
        .client("d")
        .docker_ends()
        .client("y")
        .docker(HI)
        .trailing()
        .sees(seen("/a") + &forwarded("PUT /b", more) + "bo")
        .sees(forwarded("PUT /b", more) + "body")
        .answers(HI)
        .answers(HI)
        .check();
    // Not a third time.
    case()
        .client(get("/a"))
        .docker(HI)
        .client(request("PUT /b", more) + "body")
        .docker_ends()
        .docker_ends()
        .sees(seen("/a") + &forwarded("PUT /b", more) + "body")
        .sees(forwarded("PUT /b", more) + "body")
        .answers(HI)
        .answers(bad_gateway(MAYBE_DONE, false))
        .check();
}

/// RFC 9110 §9.2.2: Docker may have done what it was asked.
#[test]
fn what_may_have_been_done_is_not_asked_twice() {
    let more = "Content-Length: 4\r\n";
    for method in ["POST", "PATCH", "LOCK"] {
        let start = &format!("{method} /b");
        let ends = |case: Case| {
            case.docker_ends()
                .sees(seen("/a") + &forwarded(start, more) + "body")
                .answers(HI)
                .answers(bad_gateway(MAYBE_DONE, false))
        };
        let sent = || {
            case()
                .client(get("/a"))
                .docker(HI)
                .client(request(start, more) + "body")
        };
        ends(sent()).trailing().check();
        ends(sent().docker_deaf()).check();
        // By a reset, as of a Docker that was killed.
        sent()
            .docker_breaks()
            .sees(seen("/a") + &forwarded(start, more) + "body")
            .answers(HI)
            .answers(bad_gateway(MAYBE_DONE, false))
            .check();
    }
    // One byte of it was taken.
    let room = seen("/a").len() + 1;
    case()
        .rooms(usize::MAX, room)
        .client(get("/a"))
        .docker(HI)
        .client(request("POST /b", more) + "body")
        .docker_deaf()
        .docker_ends()
        .sees(seen("/a") + "P")
        .answers(HI)
        .answers(bad_gateway(MAYBE_DONE, false))
        .check();
}

/// Nothing of it was taken, so nothing was done: a connection that had gone before.
#[test]
fn what_was_not_sent_is_sent_on_another_connection() {
    let more = "Content-Length: 4\r\n";
    for method in ["POST", "PUT"] {
        let start = &format!("{method} /b");
        case()
            .client(get("/a"))
            .docker(HI)
            .docker_deaf()
            .client(request(start, more) + "body")
            .docker_ends()
            .docker(HI)
            .sees(seen("/a"))
            .sees(forwarded(start, more) + "body")
            .answers(HI)
            .answers(HI)
            .check();
    }
}

#[test]
fn the_second_try_may_fail() {
    let used = || {
        case()
            .dial_by_hand()
            .client(get("/a"))
            .opens()
            .docker(HI)
            .client(get("/b"))
            .docker_ends()
            .sees(seen("/a") + &seen("/b"))
            .answers(HI)
    };
    used().fails().answers(no_docker(false)).check();
    used()
        .wait(CONNECT)
        .answers(local(
            "504 Gateway Timeout",
            "haven-agent: Docker did not accept the connection in time",
            true,
        ))
        .ends(End::Finished)
        .check();
    used()
        .client_ends()
        .ends(End::Gone)
        .logs(&["ann GET /a 200 0/2", "ann GET /b 0 0/0"])
        .check();
}

#[test]
fn a_new_connection_is_not_tried_again() {
    case()
        .client(get("/a"))
        .docker_ends()
        .trailing()
        .sees(seen("/a"))
        .answers(bad_gateway(NO_ANSWER, false))
        .logs(&["ann GET /a 502 0/0"])
        .check();
    case()
        .client(request("POST /a", "Content-Length: 9\r\n") + "abc")
        .docker_ends()
        .sees(forwarded("POST /a", "Content-Length: 9\r\n") + "abc")
        .answers(bad_gateway(MAYBE_DONE, true))
        .ends(End::Finished)
        .check();
}

#[test]
fn once_docker_has_begun_to_answer_there_is_no_second_try() {
    for begun in ["H", "HTTP/1.1 200 OK\r\nConte"] {
        case()
            .client(get("/a"))
            .docker(HI)
            .client(get("/b"))
            .docker(begun)
            .docker_ends()
            .sees(seen("/a") + &seen("/b"))
            .answers(HI)
            .answers(bad_gateway(NO_ANSWER, false))
            .check();
    }
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n";
    case()
        .client(get("/a"))
        .docker(HI)
        .client(get("/b"))
        .docker(interim)
        .docker_ends()
        .sees(seen("/a") + &seen("/b"))
        .answers(HI)
        .answers(interim)
        .answers(bad_gateway(NO_ANSWER, false))
        .check();
}

#[test]
fn a_body_too_long_to_be_held_is_not_sent_twice() {
    let body = "x".repeat(2 * MAX_HEAD);
    let more = format!("Content-Length: {}\r\n", body.len());
    case()
        .client(get("/a"))
        .docker(HI)
        .client(request("PUT /b", &more) + &body)
        .docker_ends()
        .sees(seen("/a") + &forwarded("PUT /b", &more) + &body)
        .answers(HI)
        .answers(bad_gateway(MAYBE_DONE, false))
        .check_long();
}

#[test]
fn a_body_still_coming_goes_on_after_the_second_try() {
    let more = "Transfer-Encoding: chunked\r\n";
    let head = forwarded("PUT /b", more);
    case()
        .client(get("/a"))
        .docker(HI)
        .client(request("PUT /b", more) + "2\r\nab\r\n")
        .docker_ends()
        .wait(BODY - Duration::from_secs(1))
        .client("1\r\nc\r\n0\r\n\r\n")
        .docker(HI)
        .sees(seen("/a") + &head + "2\r\nab\r\n")
        .sees(head + "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
        .answers(HI)
        .answers(HI)
        .check_long();
}

/// Docker answers a request that it had not read to its end, and closes: the connection must not
/// carry the request that is already waiting.
#[test]
fn a_connection_that_takes_no_more_carries_no_further_request() {
    let mut shell = Shell::new(
        Pace {
            read: usize::MAX,
            write: usize::MAX,
        },
        true,
    );
    let post = request("POST /a", "Content-Length: 3\r\n");
    shell
        .client_wire
        .extend((post + "abc" + &get("/b")).as_bytes());
    shell.docker_room = 10;
    shell.settle();
    shell.link().unwrap().deaf = true;
    shell.settle();
    // Its end of file is still on its way.
    shell.link().unwrap().wire.extend(HI.as_bytes());
    shell.docker_room = usize::MAX;
    shell.settle();
    assert_eq!(shell.links.len(), 2);
    assert_eq!(String::from_utf8_lossy(&shell.links[1].got), seen("/b"));
}

/// Docker answers before it has read the body, which the client has sent to its end: what is left of
/// it would take the next request for its own.
#[test]
fn a_connection_with_a_body_that_is_not_sent_carries_no_further_request() {
    let mut shell = Shell::new(
        Pace {
            read: usize::MAX,
            write: usize::MAX,
        },
        true,
    );
    let more = "Content-Length: 3\r\n";
    let post = request("POST /a", more) + "abc";
    shell.client_wire.extend((post + &get("/b")).as_bytes());
    shell.docker_room = forwarded("POST /a", more).len() + 1;
    shell.settle();
    shell.link().unwrap().wire.extend(HI.as_bytes());
    shell.settle();
    shell.docker_room = usize::MAX;
    shell.settle();
    let got: Vec<_> = shell.links.iter().map(|link| link.got.clone()).collect();
    assert_eq!(
        String::from_utf8_lossy(&got[0]),
        forwarded("POST /a", more) + "a"
    );
    assert_eq!(got.get(1).map(Vec::as_slice), Some(seen("/b").as_bytes()));
}
