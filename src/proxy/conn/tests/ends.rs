//! How connections end: clients that leave, idle ones, and an agent that stops.

use super::case::*;
use super::shell::{HEAD, IDLE, Pace, Shell};
use std::time::Duration;

fn get(path: &str) -> String {
    request(&format!("GET {path}"), "")
}

fn seen(path: &str) -> String {
    forwarded(&format!("GET {path}"), "")
}

const SOON: Duration = Duration::from_secs(1);

#[test]
fn a_client_that_asks_nothing_is_not_kept() {
    case().wait(HEAD - SOON).check();
    case().wait(HEAD).ends(End::Finished).logs(&[]).check();
    case()
        .client(get("/a"))
        .docker(HI)
        .wait(IDLE - SOON)
        .client(get("/b"))
        .docker(HI)
        .wait(IDLE)
        .sees(seen("/a"))
        .sees(seen("/b"))
        .answers(HI)
        .answers(HI)
        .ends(End::Finished)
        .logs(&["ann GET /a 200 0/2", "ann GET /b 200 0/2"])
        .check();
}

const NOBODY: &str = "GET /a HTTP/1.1\r\nHost: n\r\n\r\n";

/// Until a user has taken the answer, it is a stream like any other; then the wait begins.
#[test]
fn who_is_still_reading_is_not_idle() {
    case()
        .rooms(10, usize::MAX)
        .client(get("/a"))
        .docker(HI)
        .wait(2 * IDLE)
        .rooms(usize::MAX, usize::MAX)
        .wait(IDLE - SOON)
        .client(get("/b"))
        .docker(HI)
        .wait(IDLE)
        .sees(seen("/a"))
        .sees(seen("/b"))
        .answers(HI)
        .answers(HI)
        .ends(End::Finished)
        .check();
    // A next head that has begun has its own limit.
    case()
        .client(get("/a"))
        .docker(HI)
        .client("GET /b HT")
        .wait(HEAD)
        .sees(seen("/a"))
        .answers(HI)
        .answers(local(
            "408 Request Timeout",
            "haven-agent: the request's head did not arrive in time",
            true,
        ))
        .ends(End::Finished)
        .check();
}

#[test]
fn who_is_not_known_holds_no_connection_by_not_reading() {
    case()
        .rooms(10, usize::MAX)
        .client(NOBODY)
        .wait(IDLE)
        .rooms(usize::MAX, usize::MAX)
        .answers(unauthorized(false))
        .ends(End::Finished)
        .check();
}

#[test]
fn a_last_answer_is_owed_to_a_user_until_it_is_taken() {
    for (asked, answer, owed) in [
        (request("GET /a", "Connection: close\r\n"), HI, true),
        (
            NOBODY.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
            "",
            false,
        ),
        ("nonsense\r\n\r\n".to_owned(), "", false),
    ] {
        let whole = Pace {
            read: usize::MAX,
            write: usize::MAX,
        };
        let mut shell = Shell::new(whole, true);
        shell.client_room = 10;
        shell.client_wire.extend(asked.as_bytes());
        shell.settle();
        if let Some(link) = shell.link() {
            link.wire.extend(answer.as_bytes());
        }
        shell.settle();
        assert!(shell.conn.close_due().is_some(), "{asked}");
        assert_eq!(shell.conn.is_owed(), owed, "{asked}");
        shell.client_room = usize::MAX;
        shell.settle();
        assert!(!shell.conn.is_owed(), "{asked}");
        assert!(shell.closed.is_some(), "{asked}");
    }
    // Who has gone takes nothing more.
    let mut shell = Shell::new(Pace { read: 9, write: 9 }, true);
    shell.client_wire.extend(get("/a").as_bytes());
    shell.settle();
    shell.conn.abandon();
    assert!(!shell.conn.is_owed());
}

#[test]
fn a_close_notify_aborts_no_answer() {
    let asked = || {
        case()
            .client(get("/a"))
            .client_notifies()
            .sees(seen("/a"))
            .ends(End::Finished)
    };
    asked().docker(HI).answers(HI_LAST).check();
    asked()
        .docker_ends()
        .answers(bad_gateway(NO_ANSWER, true))
        .check();
    // It came while the verdict was out, or the connection was being made.
    case()
        .client("GET /a HTTP/1.1\r\nHost: n\r\nAuthorization: slow\r\n\r\n")
        .client_notifies()
        .verdict(Say::Refused)
        .answers(unauthorized(true))
        .ends(End::Finished)
        .check();
    case()
        .dial_by_hand()
        .client(get("/a"))
        .client_notifies()
        .opens()
        .docker(HI)
        .sees(seen("/a"))
        .answers(HI_LAST)
        .ends(End::Finished)
        .check();
    // It came in the midst of the answer.
    case()
        .client(get("/a"))
        .docker("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh")
        .client_notifies()
        .docker("i")
        .sees(seen("/a"))
        .answers(HI)
        .ends(End::Finished)
        .check();
    // What was asked before it is answered first.
    case()
        .client(get("/a") + &get("/b"))
        .client_notifies()
        .docker(HI)
        .docker(HI)
        .sees(seen("/a") + &seen("/b"))
        .answers(HI)
        .answers(HI_LAST)
        .ends(End::Finished)
        .check();
}

#[test]
fn a_close_notify_between_requests_ends_the_connection() {
    case().client_notifies().ends(End::Finished).check();
    case()
        .client(get("/a"))
        .docker(HI)
        .client_notifies()
        .sees(seen("/a"))
        .answers(HI)
        .ends(End::Finished)
        .check();
    case()
        .client("GET / HT")
        .client_notifies()
        .ends(End::Finished)
        .logs(&[])
        .check();
}

#[test]
fn a_body_that_ends_too_soon_is_no_request() {
    let more = "Content-Length: 9\r\n";
    case()
        .client(request("POST /a", more) + "abc")
        .client_notifies()
        .sees(forwarded("POST /a", more) + "abc")
        .answers(local(
            "400 Bad Request",
            "haven-agent: bad request: the body is shorter than announced",
            true,
        ))
        .ends(End::Finished)
        .logs(&["ann POST /a 400 3/0"])
        .check();
    // Docker has begun to answer, and may not need the rest.
    case()
        .client(request("POST /a", more) + "abc")
        .docker("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh")
        .client_notifies()
        .docker("i")
        .sees(forwarded("POST /a", more) + "abc")
        .answers(HI_LAST)
        .ends(End::Finished)
        .logs(&["ann POST /a 200 3/2"])
        .check();
}

#[test]
fn the_end_of_tcp_aborts() {
    case().client_ends().ends(End::Gone).logs(&[]).check();
    case()
        .client(get("/a"))
        .client_ends()
        .sees(seen("/a"))
        .ends(End::Gone)
        .logs(&["ann GET /a 0 0/0"])
        .check();
    case()
        .client(get("/a"))
        .client_notifies()
        .client_ends()
        .sees(seen("/a"))
        .ends(End::Gone)
        .check();
    case()
        .client("GET /a HTTP/1.1\r\nHost: n\r\nAuthorization: slow\r\n\r\n")
        .client_ends()
        .verdict(Say::Allowed)
        .ends(End::Gone)
        .logs(&["- GET /a 0 0/0"])
        .check();
    case()
        .client(request("POST /a", "Content-Length: 9\r\n") + "abc")
        .client_ends()
        .sees(forwarded("POST /a", "Content-Length: 9\r\n") + "abc")
        .ends(End::Gone)
        .check();
    // With a next request held, the end is seen as a hang-up.
    case()
        .client(get("/a") + &get("/b"))
        .client_ends()
        .sees(seen("/a"))
        .ends(End::Gone)
        .check();
    case()
        .client(get("/a"))
        .docker("HTTP/1.1 200 OK\r\n\r\nendless")
        .client_ends()
        .sees(seen("/a"))
        .answers("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nendless")
        .ends(End::Gone)
        .logs(&["ann GET /a 200 0/7"])
        .check();
}

#[test]
fn draining_ends_idle_connections_at_once() {
    case()
        .client(get("/a"))
        .docker(HI)
        .drain()
        .sees(seen("/a"))
        .answers(HI)
        .ends(End::Finished)
        .check();
}

#[test]
fn draining_lets_an_exchange_end() {
    case()
        .client(get("/a"))
        .drain()
        .docker(HI)
        .trailing()
        .sees(seen("/a"))
        .answers(HI_LAST)
        .ends(End::Finished)
        .check();
    // The head is out already: it closes all the same.
    case()
        .client(get("/a"))
        .docker("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh")
        .drain()
        .docker("i")
        .trailing()
        .sees(seen("/a"))
        .answers(HI)
        .ends(End::Finished)
        .check();
    let slow = "GET /a HTTP/1.1\r\nHost: n\r\nAuthorization: slow\r\n\r\n";
    let pending = || case().client(slow).drain().trailing().ends(End::Finished);
    pending()
        .verdict(Say::Refused)
        .answers(unauthorized(true))
        .check();
    pending()
        .verdict(Say::Allowed)
        .docker(HI)
        .sees(seen("/a"))
        .answers(HI_LAST)
        .check();
    // A head that has begun.
    case()
        .client(get("/a"))
        .docker(HI)
        .client("GET /b HTTP/1.1\r\nHost: n\r\n")
        .drain()
        .client("Authorization: good\r\n\r\n")
        .docker(HI)
        .trailing()
        .sees(seen("/a") + &seen("/b"))
        .answers(HI)
        .answers(HI_LAST)
        .ends(End::Finished)
        .check();
}

#[test]
fn a_client_that_has_just_come_may_ask_one_thing_of_an_agent_that_stops() {
    case()
        .drain()
        .client(get("/a"))
        .docker(HI)
        .trailing()
        .sees(seen("/a"))
        .answers(HI_LAST)
        .ends(End::Finished)
        .check();
    case().drain().wait(SOON).ends(End::Finished).check();
}

#[test]
fn an_abandoned_exchange_is_recorded() {
    let mut shell = Shell::new(Pace { read: 9, write: 9 }, true);
    shell.client_wire.extend(get("/a").as_bytes());
    shell.settle();
    shell.conn.abandon();
    shell.settle();
    assert_eq!(shell.records, ["ann GET /a 0 0/0"]);
}
