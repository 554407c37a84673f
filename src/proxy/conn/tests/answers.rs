//! Answers: in every framing, for every client, whole or cut short.

use super::case::*;
use super::shell::{BODY, IDLE, Pace, Shell};
use std::time::Duration;

fn get(more: &str) -> String {
    request("GET /a", more)
}

fn seen() -> String {
    forwarded("GET /a", "")
}

#[test]
fn with_a_length() {
    case()
        .client(get(""))
        .docker("HTTP/1.1 404 Not Found\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\nabc")
        .trailing()
        .sees(seen())
        .answers("HTTP/1.1 404 Not Found\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\nabc")
        .logs(&["ann GET /a 404 0/3"])
        .check();
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// The data of a chunked answer, wherever it was split.
fn dechunk(answer: &[u8]) -> String {
    let text = std::str::from_utf8(answer).unwrap();
    let mut rest = text.strip_prefix(CHUNKED).expect("the head");
    let mut data = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        data.push_str(&after[..size]);
        rest = after[size..].strip_prefix("\r\n").unwrap();
        if size == 0 {
            assert_eq!(rest, "");
            return data;
        }
    }
}

#[test]
fn in_chunks() {
    let chunks = "3;ext=1\r\nabc\r\n4\r\ndefg\r\n0\r\nTrailer: x\r\n\r\n";
    case()
        .client(get(""))
        .docker(CHUNKED.to_owned() + chunks)
        .trailing()
        .sees(seen())
        .answers(CHUNKED.to_owned() + "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
        .logs(&["ann GET /a 200 0/7"])
        .check_long();
    for (read, write) in [(1, 1), (1, 100), (3, 2), (100, 1)] {
        let mut shell = Shell::new(Pace { read, write }, true);
        shell.client_wire.extend(get("").as_bytes());
        shell.settle();
        let link = shell.link().unwrap();
        link.wire.extend((CHUNKED.to_owned() + chunks).as_bytes());
        shell.settle();
        assert_eq!(dechunk(&shell.client_got), "abcdefg");
        assert_eq!(shell.records, ["ann GET /a 200 0/7"]);
    }
}

#[test]
fn until_the_connection_ends() {
    case()
        .client(get(""))
        .docker("HTTP/1.1 404 Not Found\r\n\r\nabc")
        .docker_ends()
        .trailing()
        .sees(seen())
        .answers("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nabc")
        .ends(End::Finished)
        .logs(&["ann GET /a 404 0/3"])
        .check();
    case()
        .client(get(""))
        .docker("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        .sees(seen())
        .answers(HI)
        .check();
}

#[test]
fn a_reset_cuts_what_only_the_close_would_have_ended() {
    case()
        .client(get(""))
        .docker("HTTP/1.1 200 OK\r\n\r\nabc")
        .docker_breaks()
        .sees(seen())
        .answers("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc")
        .ends(End::Cut)
        .check();
    // Docker resets as well when it has left a part of the request unread.
    case()
        .client(request("POST /a", "Content-Length: 2\r\n") + "{}")
        .docker("HTTP/1.1 404 Not Found\r\n\r\nabc")
        .docker_breaks()
        .sees(forwarded("POST /a", "Content-Length: 2\r\n") + "{}")
        .answers("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nabc")
        .ends(End::Finished)
        .logs(&["ann POST /a 404 2/3"])
        .check();
}

#[test]
fn http_1_0_clients_get_neither_chunks_nor_interim_answers() {
    let request = "GET /a HTTP/1.0\r\nAuthorization: good\r\nConnection: keep-alive\r\n\r\n";
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let answer = || {
        case()
            .client(request)
            .docker(interim)
            .docker(CHUNKED)
            .docker("3\r\nabc\r\n2\r\nde\r\n")
            .sees("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .answers("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde")
            .logs(&["ann GET /a 200 0/5"])
    };
    answer()
        .docker("0\r\n\r\n")
        .trailing()
        .ends(End::Finished)
        .check();
    answer().docker_ends().ends(End::Cut).check();
}

#[test]
fn without_a_body() {
    for (start, answer) in [
        ("HEAD /a", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
        ("HEAD /a", "HTTP/1.1 404 Not Found\r\n\r\n"),
        ("GET /a", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "GET /a",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
        ),
        (
            "POST /exec/1/start",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
    ] {
        case()
            .client(request(start, ""))
            .docker(answer)
            .client(get(""))
            .docker(HI)
            .trailing()
            .sees(forwarded(start, "") + &seen())
            .answers(answer)
            .answers(HI)
            .check();
    }
    case()
        .client(request("HEAD /a", ""))
        .docker("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .trailing()
        .sees(forwarded("HEAD /a", ""))
        .answers("HTTP/1.1 200 OK\r\n\r\n")
        .check();
}

const EXPECTING: &str = "Expect: 100-continue\r\nContent-Length: 4\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

#[test]
fn a_client_that_waits_for_100_gets_it() {
    case()
        .client(request("POST /a", EXPECTING))
        .docker(CONTINUE)
        .client("body")
        .docker(HI)
        .trailing()
        .sees(forwarded("POST /a", EXPECTING) + "body")
        .answers(CONTINUE)
        .answers(HI)
        .logs(&["ann POST /a 200 4/2"])
        .check();
    // It did not wait.
    case()
        .client(request("POST /a", EXPECTING) + "body")
        .docker(CONTINUE)
        .docker(HI)
        .trailing()
        .sees(forwarded("POST /a", EXPECTING) + "body")
        .answers(CONTINUE)
        .answers(HI)
        .check();
}

#[test]
fn a_final_answer_before_the_100_is_the_last() {
    case()
        .client(request("POST /a", EXPECTING))
        .docker(HI)
        .sees(forwarded("POST /a", EXPECTING))
        .answers(HI_LAST)
        .ends(End::Finished)
        .check();
    case()
        .client(request("POST /a", EXPECTING) + "body")
        .docker(HI)
        .trailing()
        .sees(forwarded("POST /a", EXPECTING) + "body")
        .answers(HI_LAST)
        .ends(End::Finished)
        .check();
    case()
        .client(request("POST /a", EXPECTING))
        .docker("HTTP/1.1 103 Early Hints\r\n\r\n")
        .docker(HI)
        .sees(forwarded("POST /a", EXPECTING))
        .answers("HTTP/1.1 103 Early Hints\r\n\r\n")
        .answers(HI_LAST)
        .ends(End::Finished)
        .check();
}

#[test]
fn docker_may_take_its_time_with_a_100() {
    case()
        .client(request("POST /a", EXPECTING))
        .wait(BODY * 3)
        .docker(CONTINUE)
        .wait(BODY / 2)
        .client("body")
        .docker(HI)
        .sees(forwarded("POST /a", EXPECTING) + "body")
        .answers(CONTINUE)
        .answers(HI)
        .check();
    // Then it is the client that is waited for.
    case()
        .client(request("POST /a", EXPECTING))
        .docker(CONTINUE)
        .wait(BODY)
        .sees(forwarded("POST /a", EXPECTING))
        .answers(CONTINUE)
        .answers(stalled())
        .ends(End::Finished)
        .check();
}

fn stalled() -> String {
    local(
        "408 Request Timeout",
        "haven-agent: the request's body stalled",
        true,
    )
}

#[test]
fn a_body_that_stalls_is_given_up() {
    let more = "Content-Length: 4\r\n";
    case()
        .client(request("POST /a", more))
        .wait(BODY - Duration::from_secs(1))
        .client("bo")
        .wait(BODY)
        .sees(forwarded("POST /a", more) + "bo")
        .answers(stalled())
        .ends(End::Finished)
        .logs(&["ann POST /a 408 2/0"])
        .check();
    // Docker has begun to answer, as it does to a `load`.
    case()
        .client(request("POST /a", more) + "bo")
        .docker("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .wait(BODY)
        .sees(forwarded("POST /a", more) + "bo")
        .answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        .ends(End::Cut)
        .check();
}

#[test]
fn an_answer_has_no_deadline() {
    let long = Duration::from_secs(30 * 24 * 3600);
    case()
        .client(request("POST /containers/a/wait", ""))
        .wait(long)
        .docker("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        .wait(long)
        .docker("hi")
        .wait(IDLE / 10)
        .sees(forwarded("POST /containers/a/wait", ""))
        .answers(HI)
        .check();
}

#[test]
fn an_answer_before_the_end_of_the_body_is_the_last() {
    let more = "Content-Length: 9\r\n";
    case()
        .client(request("POST /a", more) + "abc")
        .docker("HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nn")
        .client("def")
        .docker("o!")
        .sees(forwarded("POST /a", more) + "abcdef")
        .answers("HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")
        .ends(End::Finished)
        .logs(&["ann POST /a 400 6/3"])
        .check();
    // Docker takes no more of it: the rest is read and thrown away until the answer is through.
    case()
        .client(request("POST /a", more) + "abc")
        .docker("HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nn")
        .docker_deaf()
        .client("def")
        .client("ghi")
        .client("beyond the body")
        .docker("o!")
        .sees(forwarded("POST /a", more) + "abc")
        .answers("HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")
        .ends(End::Finished)
        .check();
}

#[test]
fn docker_that_takes_no_more_may_have_answered() {
    let more = "Content-Length: 9\r\n";
    case()
        .client(request("POST /a", more))
        .docker_deaf()
        .client("abc")
        .docker("HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nno!")
        .sees(forwarded("POST /a", more))
        .answers("HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")
        .ends(End::Finished)
        .check();
    case()
        .client(request("POST /a", more))
        .docker_deaf()
        .client("abc")
        .docker_ends()
        .sees(forwarded("POST /a", more))
        .answers(bad_gateway(MAYBE_DONE, true))
        .ends(End::Finished)
        .check();
}

#[test]
fn a_client_reads_on_while_the_rest_of_its_body_is_thrown_away() {
    let more = "Content-Length: 9\r\n";
    let discarding = || {
        case()
            .client(request("POST /a", more) + "abc")
            .docker("HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nn")
            .docker_deaf()
            .client("def")
            .sees(forwarded("POST /a", more) + "abc")
            .answers("HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\nConnection: close\r\n\r\nn")
    };
    // RFC 8446 §6.1: a close_notify ends one direction only.
    discarding()
        .client_notifies()
        .docker("o!")
        .answers("o!")
        .ends(End::Finished)
        .check();
    discarding().client_ends().ends(End::Gone).check();
}

#[test]
fn what_docker_cuts_short_is_cut_short() {
    case()
        .client(get(""))
        .docker("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        .docker_ends()
        .trailing()
        .sees(seen())
        .answers("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        .ends(End::Cut)
        .logs(&["ann GET /a 200 0/3"])
        .check();
    case()
        .client(get(""))
        .docker(CHUNKED)
        .docker("3\r\n")
        .docker_ends()
        .sees(seen())
        .answers(CHUNKED.to_owned() + "3\r\n")
        .ends(End::Cut)
        .check();
    // A broken coding is no different: no last chunk.
    case()
        .client(get(""))
        .docker(CHUNKED)
        .docker("zz\r\n")
        .sees(seen())
        .answers(CHUNKED)
        .ends(End::Cut)
        .check();
}

#[test]
fn an_answer_that_is_none_is_a_502() {
    for (answer, what) in [
        ("HTTP/1.1 abc\r\n\r\n", "bad start line"),
        ("HTTP/1.1 200 OK\n", "a line does not end in CRLF"),
        (
            "HTTP/2.0 200 OK\r\n\r\n",
            "only HTTP/1.0 and HTTP/1.1 are spoken here",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "more than one Content-Length",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "both Transfer-Encoding and Content-Length",
        ),
        (
            "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
            "an upgrade that was not asked for",
        ),
    ] {
        let what = format!("Docker's answer cannot be understood: {what}");
        case()
            .client(get(""))
            .docker(answer)
            .trailing()
            .sees(seen())
            .answers(bad_gateway(&what, false))
            .logs(&["ann GET /a 502 0/0"])
            .check();
        // The body that still comes would be taken for a request.
        case()
            .client(request("POST /a", "Content-Length: 3\r\n") + "a")
            .docker(answer)
            .sees(forwarded("POST /a", "Content-Length: 3\r\n") + "a")
            .answers(bad_gateway(&what, true))
            .ends(End::Finished)
            .check();
    }
    case()
        .client(get(""))
        .docker("HTTP/1.1 200 O")
        .docker_ends()
        .sees(seen())
        .answers(bad_gateway(NO_ANSWER, false))
        .check();
}

#[test]
fn a_failure_behind_an_interim_answer_is_still_told() {
    case()
        .client(request("POST /a", EXPECTING))
        .rooms(3, usize::MAX)
        .docker(CONTINUE)
        .wait(BODY)
        .rooms(usize::MAX, usize::MAX)
        .sees(forwarded("POST /a", EXPECTING))
        .answers(CONTINUE)
        .answers(stalled())
        .ends(End::Finished)
        .check();
}

#[test]
fn a_slow_reader_holds_docker_back() {
    let body = "x".repeat(1 << 20);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut shell = Shell::new(
        Pace {
            read: usize::MAX,
            write: usize::MAX,
        },
        true,
    );
    shell.client_room = 100;
    shell.client_wire.extend(get("").as_bytes());
    shell.settle();
    let link = shell.link().unwrap();
    link.wire.extend((head.clone() + &body).as_bytes());
    shell.settle();
    assert!(shell.link().unwrap().wire.len() > body.len() - 100_000);
    assert!(!shell.conn.wants(0).read_docker);
    shell.wait(Duration::from_secs(1_000_000));
    shell.client_room = usize::MAX;
    shell.settle();
    assert_eq!(shell.client_got.len(), head.len() + body.len());
}
