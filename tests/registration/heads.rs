//! Answers whose head is not whole, too long, or without an end.

use super::master;
use super::receiver::{Receiver, Stream, send};
use haven_agent::config::Master;
use haven_agent::report::master::{Registration, register};
use std::time::Duration;

/// The most bytes of a head.
const MAX_HEAD: usize = 16 * 1024;
/// What a whole head begins with.
const STATUS_LINE: &str = "HTTP/1.1 200 OK\r\n";

fn registered(master: &Master) -> Result<(), String> {
    let node = Registration {
        name: "node",
        ttl: Duration::from_secs(120),
        secret: None,
        ca: None,
        json: "{}",
    };
    register(master, &node).map_err(|error| error.to_string())
}

/// What becomes of a registration that is answered so.
fn outcome(mut behave: impl FnMut(&mut dyn Stream) + Send + 'static) -> Result<(), String> {
    let receiver = Receiver::new(move |_, stream| behave(stream));
    registered(&master(&receiver))
}

fn outcome_of(answer: &str) -> Result<(), String> {
    let answer = answer.to_owned();
    outcome(move |stream| send(stream, &answer))
}

#[test]
fn an_answer_that_is_cut_anywhere_has_not_registered() {
    let head = format!("{STATUS_LINE}Content-Length: 5\r\nServer: x\r\nDate: y\r\n\r\n");
    let answer = head.clone() + "hello";
    let mut end = 0;
    let cut = answer.clone();
    let receiver = Receiver::new(move |_, stream| {
        send(stream, &cut[..end]);
        end += 1;
    });
    for end in 0..answer.len() {
        let error = registered(&master(&receiver)).expect_err(&answer[..end]);
        // Before that there is no status, and in that line no number yet.
        let told = end >= STATUS_LINE.len() && !answer[..end].ends_with("Length: ");
        let told = told && !answer[..end].ends_with("Length:");
        assert!(!told || error.contains("cut short"), "{end}: {error}");
    }
    assert_eq!(registered(&master(&receiver)), Ok(()));
}

#[test]
fn each_whole_form_of_an_answer_has_registered() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 201 Created\r\ncontent-length:2\r\n\r\nok",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n0\r\n\r\n",
        // Behind interim ones (RFC 9110 §15.2).
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 None\r\n\r\n",
        // Until the connection ends.
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nServer: x\r\n\r\nok",
    ] {
        assert_eq!(outcome_of(answer), Ok(()), "{answer:?}");
    }
}

#[test]
fn an_interim_answer_alone_has_not_registered() {
    for answer in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ] {
        assert!(outcome_of(answer).is_err(), "{answer:?}");
    }
    let refused = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n";
    let error = outcome_of(refused).unwrap_err();
    assert!(error.contains("401"), "{error}");
}

/// minreq counts two bytes for the end of each line that it takes off what is left for the head.
/// A line that ends in a bare LF, or in nothing, and just fits, takes off more than there is.
#[test]
fn a_line_that_just_fits_the_head_is_one_too_long() {
    let end = "Content-Length: 0\r\n\r\n";
    let long = |length: usize| format!("X: {}", "y".repeat(length - "X: ".len()));
    let one = format!("{STATUS_LINE}{}\n{end}", long(MAX_HEAD - 1));
    let two = format!("{STATUS_LINE}A: b\r\n{}\n{end}", long(MAX_HEAD - 1 - 6));
    for answer in [one, two] {
        let error = outcome_of(&answer).unwrap_err();
        assert!(error.contains("head is longer than 16384"), "{error}");
    }
    let cut = format!("{STATUS_LINE}Content-Length: 0\r\n{}", long(MAX_HEAD - 19));
    let error = outcome_of(&cut).unwrap_err();
    assert!(error.contains("head is longer than 16384"), "{error}");
}

#[test]
fn a_head_without_end_is_not_read_to_its_end() {
    for (start, more) in [
        ("", "x"),
        (STATUS_LINE, "x"),
        ("HTTP/1.1 200 OK\r\nX: ", "x"),
        (STATUS_LINE, "X: y\r\n"),
        (STATUS_LINE, "X: y\n"),
    ] {
        let error = outcome(move |stream| {
            send(stream, start);
            while stream.write_all(more.repeat(999).as_bytes()).is_ok() {}
        });
        let error = error.unwrap_err();
        assert!(error.contains("head is longer than"), "{start:?}: {error}");
    }
}
