//! Requests: each judged by itself, none forwarded unjudged, heads and bodies strict.

use super::super::MAX_FINISHED;
use super::case::*;
use super::shell::{BODY, Dial, HEAD, Pace, REQUESTS, Shell};
use crate::http::head::{MAX_FIELDS, MAX_HEAD};

fn get(path: &str) -> String {
    request(&format!("GET {path}"), "")
}

fn seen(path: &str) -> String {
    forwarded(&format!("GET {path}"), "")
}

/// In the same words whether there is such a user or not.
#[test]
fn wrong_credentials_are_told_from_none() {
    for sent in ["wrong", "unknown"] {
        case()
            .client(format!(
                "GET /a HTTP/1.1\r\nHost: n\r\nAuthorization: {sent}\r\n\r\n"
            ))
            .trailing()
            .answers(local(
                "401 Unauthorized",
                "haven-agent: the user name or the password that was sent is wrong",
                false,
            ))
            .logs(&["- GET /a 401 0/0"])
            .check();
    }
}

#[test]
fn every_request_of_a_kept_connection_is_judged_anew() {
    case()
        .client(get("/a"))
        .docker(HI)
        .client("GET /b HTTP/1.1\r\nHost: n\r\n\r\n")
        .client(get("/c"))
        .docker(HI)
        .client("GET /d HTTP/1.1\r\nHost: n\r\nAuthorization: bad\r\n\r\n")
        .client("HEAD /e HTTP/1.1\r\nHost: n\r\nAuthorization: busy\r\n\r\n")
        .trailing()
        .sees(seen("/a") + &seen("/c"))
        .answers(HI)
        .answers(unauthorized(false))
        .answers(HI)
        .answers(unauthorized(false))
        .answers(
            overloaded(false)
                .split_inclusive("\r\n\r\n")
                .next()
                .unwrap(),
        )
        .logs(&[
            "ann GET /a 200 0/2",
            "- GET /b 401 0/0",
            "ann GET /c 200 0/2",
            "- GET /d 401 0/0",
            "- HEAD /e 503 0/0",
        ])
        .check();
}

#[test]
fn nothing_is_forwarded_before_its_verdict() {
    let slow = "POST /a HTTP/1.1\r\nHost: n\r\nAuthorization: slow\r\nContent-Length: 4\r\n\r\n";
    let sees = forwarded("POST /a", "Content-Length: 4\r\n") + "body";
    let pending = || case().client(slow).client("body");
    pending().check();
    pending().trailing().check();
    pending()
        .verdict(Say::Allowed)
        .docker(HI)
        .trailing()
        .sees(&sees)
        .answers(HI)
        .logs(&["ann POST /a 200 4/2"])
        .check();
    pending()
        .verdict(Say::Refused)
        .trailing()
        .answers(unauthorized(true))
        .ends(End::Finished)
        .logs(&["- POST /a 401 0/0"])
        .check();
    pending()
        .verdict(Say::Overloaded)
        .trailing()
        .answers(overloaded(true))
        .ends(End::Finished)
        .logs(&["- POST /a 503 0/0"])
        .check();
}

#[test]
fn who_may_not_yet_or_not_at_all_is_told_so() {
    let of = |who: &str| format!("GET /a HTTP/1.1\r\nHost: n\r\nAuthorization: {who}\r\n\r\n");
    let text = "haven-agent: too many passwords from this address were wrong, or wait: try again \
                in 2 s";
    let delayed = local("429 Too Many Requests", text, false)
        .replace("Content-Type", "Retry-After: 2\r\nContent-Type");
    let text = "haven-agent: from a page of another site";
    case()
        .client(of("guess"))
        .client(of("page"))
        .client(get("/b"))
        .docker(HI)
        .sees(seen("/b"))
        .answers(delayed)
        .answers(local("403 Forbidden", text, false))
        .answers(HI)
        .logs(&[
            "- GET /a 429 0/0",
            "ann GET /a 403 0/0",
            "ann GET /b 200 0/2",
        ])
        .check();
}

#[test]
fn after_so_many_requests_a_connection_is_closed() {
    let mut case = case();
    for number in 1..=REQUESTS {
        let last = number == REQUESTS;
        case = case
            .client(get("/a"))
            .docker(HI)
            .answers(if last { HI_LAST } else { HI });
    }
    let all = seen("/a").repeat(REQUESTS as usize);
    case.sees(all).ends(End::Finished).check();
}

#[test]
fn a_verdict_is_for_the_request_that_asked() {
    let slow = "GET /a HTTP/1.1\r\nHost: n\r\nAuthorization: slow\r\n\r\n";
    case()
        .client(slow)
        .client(get("/b"))
        .verdict(Say::Refused)
        .docker(HI)
        .sees(seen("/b"))
        .answers(unauthorized(false))
        .answers(HI)
        .check();
    // A verdict that nobody waits for changes nothing.
    case()
        .client(get("/a"))
        .verdict(Say::Refused)
        .docker(HI)
        .verdict(Say::Allowed)
        .client("GET /b HTTP/1.1\r\nHost: n\r\n\r\n")
        .sees(seen("/a"))
        .answers(HI)
        .answers(unauthorized(false))
        .check();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let none = "GET /none HTTP/1.1\r\nHost: n\r\n\r\n";
    let post = request("POST /b", "Content-Length: 3\r\n") + "xyz";
    case()
        .client(get("/a") + &post + none + &get("/c") + none)
        .docker(HI)
        .docker(HI)
        .docker(HI)
        .trailing()
        .sees(seen("/a") + &forwarded("POST /b", "Content-Length: 3\r\n") + "xyz" + &seen("/c"))
        .answers(HI)
        .answers(HI)
        .answers(unauthorized(false))
        .answers(HI)
        .answers(unauthorized(false))
        .logs(&[
            "ann GET /a 200 0/2",
            "ann POST /b 200 3/2",
            "- GET /none 401 0/0",
            "ann GET /c 200 0/2",
            "- GET /none 401 0/0",
        ])
        .check();
}

#[test]
fn a_client_that_does_not_read_is_not_served_on() {
    let mut shell = Shell::new(
        Pace {
            read: 50,
            write: 50,
        },
        true,
    );
    let none = "GET / HTTP/1.1\r\nHost: n\r\n\r\n";
    shell.client_room = 100;
    shell.client_wire.extend(none.repeat(5).as_bytes());
    shell.settle();
    assert_eq!(shell.judging.asked.len(), 1);
    assert!(!shell.conn.wants(shell.held.len()).read_client);
    shell.client_room = usize::MAX;
    shell.settle();
    assert_eq!(shell.judging.asked.len(), 5);
}

#[test]
fn every_refusal_is_recorded_however_fast_they_come() {
    let mut shell = Shell::new(
        Pace {
            read: usize::MAX,
            write: usize::MAX,
        },
        true,
    );
    let none = "GET / HTTP/1.1\r\nHost: n\r\n\r\n";
    shell.client_wire.extend(none.repeat(100).as_bytes());
    // The shell may go round several times before it looks for records.
    for _ in 0..300 {
        for which in 0..7 {
            shell.act(which);
        }
    }
    shell.settle();
    assert_eq!(shell.records, vec!["- GET / 401 0/0"; MAX_FINISHED]);
    let answers = unauthorized(false).repeat(MAX_FINISHED - 1) + &unauthorized(true);
    assert_eq!(String::from_utf8_lossy(&shell.client_got), answers);
    assert!(shell.closed.is_some());
}

#[test]
fn reads_are_recorded_only_where_somebody_wants_to_know() {
    case()
        .without_reads()
        .client(get("/a"))
        .docker(HI)
        .client(request("POST /b", ""))
        .docker(HI)
        .client("GET /c HTTP/1.1\r\nHost: n\r\n\r\n")
        .sees(seen("/a") + &forwarded("POST /b", ""))
        .answers(HI)
        .answers(HI)
        .answers(unauthorized(false))
        .logs(&["ann POST /b 200 0/2", "- GET /c 401 0/0"])
        .check();
}

#[test]
fn the_managers_way_of_asking() {
    case()
        .client(
            "GET https://10.0.0.5:8771/containers/json?all=1 HTTP/1.1\r\nHost: 10.0.0.5\r\n\
             Authorization: good\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        )
        .docker(HI)
        .trailing()
        .sees(
            "GET /containers/json?all=1 HTTP/1.1\r\nHost: 10.0.0.5:8771\r\n\
             Content-Length: 0\r\n\r\n",
        )
        .answers(HI_LAST)
        .ends(End::Finished)
        .logs(&["ann GET /containers/json?... 200 0/2"])
        .check();
}

#[test]
fn hop_by_hop_fields_stay_behind() {
    case()
        .client(request(
            "GET /a",
            "Connection: keep-alive, X-Hop\r\nKeep-Alive: 5\r\nX-Hop: 1\r\nTE: trailers\r\n\
             Trailer: x\r\nProxy-Authorization: y\r\nProxy-Connection: z\r\nUpgrade: h2c\r\n\
             X-Registry-Auth: e30=\r\n",
        ))
        .docker(
            "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 3\r\n\
             Api-Version: 1.41\r\nTrailer: x\r\nContent-Length: 0\r\n\r\n",
        )
        .sees(forwarded("GET /a", "X-Registry-Auth: e30=\r\n"))
        .answers("HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 0\r\n\r\n")
        .check();
}

#[test]
fn a_bad_head_is_refused_and_the_connection_closed() {
    let refusals = [
        (
            "GET / HTTP/1.1\r\nHost: n\n",
            bad_request("a line does not end in CRLF"),
        ),
        ("GET / HTTP/1.1\r\n\r\n", bad_request("no Host")),
        ("GET /\r\n\r\n", bad_request("bad start line")),
        (
            "GET / HTTP/1.1\r\nHost : n\r\n\r\n",
            bad_request("bad field name"),
        ),
        (
            "GET / HTTP/1.1\r\nHost: n\r\n folded\r\n\r\n",
            bad_request("bad field name"),
        ),
        (
            "POST / HTTP/1.1\r\nHost: n\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            bad_request("more than one Content-Length"),
        ),
        (
            "POST / HTTP/1.1\r\nHost: n\r\nContent-Length: +1\r\n\r\n",
            bad_request("bad Content-Length"),
        ),
        (
            "POST / HTTP/1.1\r\nHost: n\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            bad_request("both Transfer-Encoding and Content-Length"),
        ),
        (
            "POST / HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            bad_request("a Transfer-Encoding other than chunked"),
        ),
        (
            "POST / HTTP/1.0\r\nHost: n\r\nTransfer-Encoding: chunked\r\n\r\n",
            bad_request("Transfer-Encoding with HTTP/1.0"),
        ),
        (
            "GET / HTTP/2.0\r\nHost: n\r\n\r\n",
            local(
                "505 HTTP Version Not Supported",
                "haven-agent: bad request: only HTTP/1.0 and HTTP/1.1 are spoken here",
                true,
            ),
        ),
        (
            "GET / HTTP/1.1\r\nHost: n\r\nExpect: miracles\r\n\r\n",
            local(
                "417 Expectation Failed",
                "haven-agent: bad request: the only expectation is 100-continue",
                true,
            ),
        ),
    ];
    for (head, answer) in refusals {
        case()
            .client(head)
            .trailing()
            .answers(&answer)
            .ends(End::Finished)
            .logs(&[&format!("- - {} 0/0", &answer[9..12])])
            .check();
        // No less so behind a good one.
        case()
            .client(get("/a"))
            .docker(HI)
            .client(head)
            .sees(seen("/a"))
            .answers(HI)
            .answers(&answer)
            .ends(End::Finished)
            .check();
    }
}

fn too_large() -> String {
    local(
        "431 Request Header Fields Too Large",
        "haven-agent: bad request: the head has more than 65536 bytes or 100 fields",
        true,
    )
}

#[test]
fn a_head_has_64_kib_and_not_more() {
    let plain = request("GET /a", "X-Registry-Config: \r\n").len();
    let long = "x".repeat(MAX_HEAD - plain);
    let field = format!("X-Registry-Config: {long}\r\n");
    let fits = request("GET /a", &field);
    assert_eq!(fits.len(), MAX_HEAD);
    case()
        .client(&fits)
        .docker(HI)
        .sees(forwarded("GET /a", &field))
        .answers(HI)
        .check_long();
    case()
        .client(request(
            "GET /a",
            &format!("X: {}\r\n", "x".repeat(MAX_HEAD)),
        ))
        .answers(too_large())
        .ends(End::Finished)
        .check_long();
    case()
        .client(request("GET /a", &"a: b\r\n".repeat(MAX_FIELDS - 1)))
        .answers(too_large())
        .ends(End::Finished)
        .check();
}

/// A head that lost its last fields on the way would have Docker take the body for the next request, which nobody has judged.
#[test]
fn many_short_fields_that_grow_do_not_push_out_the_framing() {
    const MOST: usize = 1000;
    for count in (0..MOST - 3).step_by(4) {
        let head = |authorization: &str, space: &str| {
            let many = format!("a:{space}b\r\n").repeat(count);
            format!("POST /b HTTP/1.1\r\nHost: n\r\n{authorization}{many}Content-Length: 4\r\n\r\n")
        };
        let expected = head("", " ") + "body";
        let played = |authorization: &str| {
            let authorization = format!("Authorization: {authorization}\r\n");
            let asked = head(&authorization, "") + "body";
            case().max_fields(MOST).client(asked)
        };
        played("good")
            .docker(HI)
            .sees(&expected)
            .answers(HI)
            .check_long();
        // Judged later, by what was written.
        let later = played("slow").verdict(Say::Allowed);
        later.docker(HI).sees(&expected).answers(HI).check_long();
    }
}

/// Docker gets the expectation, and the client its `100`; a body that comes without one and stalls is not waited for.
#[test]
fn an_expectation_is_docker_s_whatever_connection_names() {
    let fields = "Expect: 100-continue\r\nConnection: expect\r\nContent-Length: 4\r\n";
    let seen = forwarded("POST /a", "Expect: 100-continue\r\nContent-Length: 4\r\n");
    let stalled = local(
        "408 Request Timeout",
        "haven-agent: the request's body stalled",
        true,
    );
    let asked = || case().client(request("POST /a", fields));
    asked().wait(BODY * 2).sees(&seen).check();
    asked()
        .docker("HTTP/1.1 100 Continue\r\n\r\n")
        .client("body")
        .docker(HI)
        .sees(seen.clone() + "body")
        .answers(String::from("HTTP/1.1 100 Continue\r\n\r\n") + HI)
        .check();
    asked()
        .client("bo")
        .wait(BODY * 2)
        .sees(seen + "bo")
        .answers(stalled)
        .ends(End::Finished)
        .check();
}

#[test]
fn a_late_head_is_told_so() {
    let late = local(
        "408 Request Timeout",
        "haven-agent: the request's head did not arrive in time",
        true,
    );
    case()
        .client("GET / HTTP/1.1\r\n")
        .wait(HEAD)
        .answers(late)
        .ends(End::Finished)
        .logs(&["- - 408 0/0"])
        .check();
    // It counts from the first byte, however many follow.
    let mut slow = case();
    for byte in ["G", "E", "T", " ", "/"] {
        slow = slow.client(byte).wait(HEAD / 4);
    }
    slow.answers(local(
        "408 Request Timeout",
        "haven-agent: the request's head did not arrive in time",
        true,
    ))
    .ends(End::Finished)
    .check();
}

#[test]
fn bodies_are_forwarded_in_canonical_form() {
    case()
        .client(
            request("PUT /a", "transfer-encoding: Chunked\r\n")
                + "5;name=value\r\nhello\r\n006\r\n world\r\n0;x\r\nTrailer: y\r\n\r\n",
        )
        .docker(HI)
        .sees(
            forwarded("PUT /a", "Transfer-Encoding: chunked\r\n")
                + "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        )
        .answers(HI)
        .logs(&["ann PUT /a 200 11/2"])
        .check_long();
    case()
        .client(request("PUT /a", "Content-Length: 0011\r\n") + "hello world")
        .docker(HI)
        .trailing()
        .sees(forwarded("PUT /a", "Content-Length: 11\r\n") + "hello world")
        .answers(HI)
        .logs(&["ann PUT /a 200 11/2"])
        .check();
}

#[test]
fn chunks_in_pieces_are_the_same_chunks() {
    let mut shell = Shell::new(Pace { read: 1, write: 1 }, true);
    shell.client_wire.extend(
        (request("PUT /a", "Transfer-Encoding: chunked\r\n")
            + "5;x=y\r\nhello\r\n0\r\nTrailer: z\r\n\r\n")
            .as_bytes(),
    );
    shell.settle();
    assert_eq!(
        String::from_utf8(shell.links[0].got.clone()).unwrap(),
        forwarded("PUT /a", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n"
    );
}

#[test]
fn a_malformed_body_ends_the_request() {
    let head = request("PUT /a", "Transfer-Encoding: chunked\r\n");
    let sees = forwarded("PUT /a", "Transfer-Encoding: chunked\r\n") + "1\r\na\r\n1\r\nb\r\n";
    for (body, what) in [
        ("1\r\na\r\n1\r\nb\r\nz\r\n", "bad chunk size"),
        ("1\r\na\r\n1\r\nb\n", "bad line in chunked body"),
        ("-2\r\nab", "bad chunk size"),
    ] {
        case()
            .client(head.clone() + body)
            .trailing()
            .sees(&sees)
            .partly()
            .answers(bad_request(what))
            .ends(End::Finished)
            .check();
    }
    // Docker has begun to answer: the answer is cut.
    case()
        .client(head.clone() + "1\r\na\r\n")
        .docker("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        .client("z\r\n")
        .sees(forwarded("PUT /a", "Transfer-Encoding: chunked\r\n") + "1\r\na\r\n")
        .answers("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nabc")
        .ends(End::Cut)
        .check();
}

#[test]
fn a_refused_request_with_a_body_closes() {
    for more in ["Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n"] {
        case()
            .client(format!("POST /a HTTP/1.1\r\nHost: n\r\n{more}\r\nxyz"))
            .trailing()
            .answers(unauthorized(true))
            .ends(End::Finished)
            .check();
    }
    case()
        .client("POST /a HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n")
        .trailing()
        .answers(unauthorized(true))
        .ends(End::Finished)
        .check();
}

#[test]
fn an_http_1_0_client_is_told_whether_the_connection_stays() {
    let get = |more: &str| format!("GET /a HTTP/1.0\r\nAuthorization: good\r\n{more}\r\n");
    let sees = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    case()
        .client(get(""))
        .docker(HI)
        .sees(sees)
        .answers(HI_LAST)
        .ends(End::Finished)
        .check();
    case()
        .client(get("Connection: keep-alive\r\n"))
        .docker(HI)
        .trailing()
        .sees(sees)
        .answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi")
        .check();
    // An answer of our own does not say that it stays (RFC 9112 §9.3): it closes, and says so.
    case()
        .client("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        .trailing()
        .answers(unauthorized(true))
        .ends(End::Finished)
        .check();
}

#[test]
fn a_long_body_goes_through_small_buffers() {
    let body = "0123456789abcdef".repeat(100_000);
    let more = format!("Content-Length: {}\r\n", body.len());
    case()
        .client(request("POST /load", &more) + &body)
        .docker(HI)
        .sees(forwarded("POST /load", &more) + &body)
        .answers(HI)
        .logs(&[&format!("ann POST /load 200 {}/2", body.len())])
        .check_long();
    // Docker stops reading: the client is not read either, and is waited for no longer.
    let mut shell = Shell::new(
        Pace {
            read: usize::MAX,
            write: usize::MAX,
        },
        true,
    );
    shell.dial = Dial::AtOnce;
    shell.docker_room = 1000;
    shell
        .client_wire
        .extend((request("POST /load", &more) + &body).as_bytes());
    shell.settle();
    assert!(shell.client_wire.len() > body.len() / 2, "read on");
    assert_eq!(shell.conn.deadline(), None);
    assert!(!shell.conn.wants(shell.held.len()).read_client);
    shell.docker_room = usize::MAX;
    shell.settle();
    assert_eq!(
        shell.links[0].got.len(),
        forwarded("POST /load", &more).len() + body.len()
    );
}
