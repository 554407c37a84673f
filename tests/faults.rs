//! Faults of Docker's side, by a scripted engine: what the client is told, and what it is not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::agent::{Agent, Setup, has_mounts};
use support::client::{Client, End, field, head, status};
use support::upstream::Upstream;
use support::{TempDir, eventually, noise, sha256, within};

/// A complete small answer.
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The same of an engine that then closes.
const OK_LAST: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

fn before(upstream: &Upstream) -> Agent {
    Setup::new().docker(&upstream.socket()).start()
}

#[test]
fn nonsense_instead_of_an_answer_is_a_502() {
    for nonsense in [
        "",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    ] {
        // Shown with a failure.
        println!("--- {nonsense:?}");
        let upstream = Upstream::answering_once(nonsense);
        let agent = before(&upstream);
        let mut client = Client::connect(&agent);
        // The last one is an upgrade that was not asked for.
        client
            .ask("POST", "/test", "Content-Length: 0\r\n")
            .is_error(502);
        // The agent is as good as before.
        let mut client = Client::connect(&agent);
        client.ask("GET", "/test", "").is_error(502);
    }
}

#[test]
fn an_endless_head_is_a_502() {
    let upstream = Upstream::start(|mut connection| {
        connection.send("HTTP/1.1 200 OK\r\n");
        while connection.send("A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n") {}
    });
    let agent = before(&upstream);
    Client::connect(&agent)
        .ask("GET", "/test", "")
        .is_error(502);
    upstream.wait_until_idle();
}

#[test]
fn an_answer_cut_short_is_cut_short_for_the_client_too() {
    for cut in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfive!\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nfive!",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfive!\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfive!\r\nnonsense\r\n",
    ] {
        let upstream = Upstream::answering_once(cut);
        let agent = before(&upstream);
        let mut client = Client::connect(&agent);
        client.send(head("GET", "/test", ""));
        let head = client.answer_head();
        assert_eq!(status(&head), 200);
        let (body, end) = client.rest();
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains("five!"), "{cut:?}: {body:?}");
        assert!(
            !body.ends_with("0\r\n\r\n"),
            "{cut:?}: a last chunk was made up: {body:?}"
        );
        assert_ne!(
            end,
            End::Clean,
            "{cut:?}: the client cannot know that it was cut"
        );
    }
}

#[test]
fn an_answer_until_the_close_is_whole() {
    let upstream =
        Upstream::answering_once("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall there is");
    let agent = before(&upstream);
    let mut client = Client::connect(&agent);
    client.send(head("GET", "/test", ""));
    let answer = client.answer("GET");
    assert_eq!(answer.text(), "all there is");
}

#[test]
fn bytes_that_come_one_by_one() {
    let upstream = Upstream::start(|mut connection| {
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;ext=1\r\nfour\r\n3\r\n...\r\n0\r\nX-Trailer: 1\r\n\r\n" {
            connection.send([*byte]);
            std::thread::sleep(Duration::from_millis(1));
        }
        connection.next_head();
    });
    let agent = before(&upstream);
    let mut client = Client::connect(&agent);
    for byte in head("GET", "/test", "").bytes() {
        client.send([byte]);
    }
    let answer = client.answer("GET");
    assert_eq!(answer.text(), "four...");
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let upstream = Upstream::start(|mut connection| {
        // As dockerd does: it answers, reads no more, and closes.
        connection
            .send("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnone");
    });
    let agent = before(&upstream);
    for fields in [
        "Content-Length: 20971520\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        let mut client = Client::connect(&agent);
        client.send(head("POST", "/test", fields));
        let chunked = fields.starts_with('T');
        let piece = if chunked {
            format!("10000\r\n{}\r\n", "x".repeat(65_536))
        } else {
            "x".repeat(65_536)
        };
        for _ in 0..320 {
            client.send(&piece);
        }
        if chunked {
            client.send("0\r\n\r\n");
        }
        let answer = client.answer("POST");
        assert_eq!((answer.status, answer.text()), (404, "none".into()));
    }
}

#[test]
fn a_stale_connection_is_tried_again_once() {
    // Docker closes each connection after one answer; the first byte of a second request may meet it.
    let upstream = Upstream::answering_once(OK);
    let agent = before(&upstream);
    let mut client = Client::connect(&agent);
    for number in 0..10 {
        assert_eq!(
            client.ask("GET", "/test", "").text(),
            "ok",
            "request {number}"
        );
        // What a connection takes may be acted on, and a POST is sent once only.
        upstream.wait_until_idle();
        client.send(head("POST", "/test", "Content-Length: 3\r\n") + "abc");
        assert_eq!(
            client.answer("POST").text(),
            "ok",
            "request {number} with a body"
        );
    }
}

#[test]
fn a_connection_that_goes_stale_just_when_it_is_used() {
    // The second request is read on the old connection, which then closes without a word.
    let upstream = Upstream::start(|mut connection| {
        connection.send(OK);
        connection.next_head();
    });
    let agent = before(&upstream);
    let mut client = Client::connect(&agent);
    assert_eq!(client.ask("GET", "/first", "").text(), "ok");
    assert_eq!(client.ask("GET", "/second", "").text(), "ok");
    assert_eq!(upstream.connections(), 2);
    // Docker has read it, and may have done it.
    client.send(head("POST", "/third", "Content-Length: 3\r\n") + "abc");
    let answer = client.answer("POST");
    answer.is_error(502);
    assert!(
        answer.text().contains("may have acted"),
        "{}",
        answer.text()
    );
    assert_eq!(upstream.connections(), 2, "a POST was sent twice");
}

#[test]
fn a_post_that_a_closed_connection_did_not_take_is_sent_on_another_one() {
    let closes = Arc::new(AtomicBool::new(false));
    let upstream = Upstream::start({
        let closes = Arc::clone(&closes);
        move |mut connection| {
            connection.send(OK);
            eventually(|| closes.load(Ordering::SeqCst));
        }
    });
    let agent = before(&upstream);
    let mut client = Client::connect(&agent);
    assert_eq!(client.ask("GET", "/test", "").text(), "ok");
    // Docker closes while the request is on its way to the agent.
    agent.pause();
    client.send(head("POST", "/test", "Content-Length: 3\r\n") + "abc");
    closes.store(true, Ordering::SeqCst);
    upstream.wait_until_idle();
    agent.signal("CONT");
    assert_eq!(client.answer("POST").text(), "ok");
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn a_first_connection_that_closes_is_not_tried_again() {
    let upstream = Upstream::answering_once("");
    let agent = before(&upstream);
    Client::connect(&agent)
        .ask("POST", "/containers/create", "Content-Length: 0\r\n")
        .is_error(502);
    assert_eq!(
        upstream.connections(),
        1,
        "what may have been done is not done twice"
    );
}

#[test]
fn interim_answers_and_expectations() {
    let upstream = Upstream::start(|mut connection| {
        let length = field(&connection.head, "content-length")
            .unwrap_or("0")
            .parse()
            .unwrap();
        connection.send("HTTP/1.1 100 Continue\r\n\r\n");
        let body = connection.exactly(length);
        connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        connection.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ));
        connection.send(body);
        connection.next_head();
    });
    let agent = before(&upstream);
    let mut client = Client::connect(&agent);
    client.send(head(
        "POST",
        "/test",
        "Expect: 100-continue\r\nContent-Length: 5\r\n",
    ));
    assert_eq!(status(&client.answer_head()), 100);
    client.send("hello");
    assert_eq!(status(&client.answer_head()), 103);
    assert_eq!(client.answer("POST").text(), "hello");

    // An HTTP/1.0 client knows no interim answers.
    let mut client = Client::connect(&agent);
    let old = head("POST", "/test", "Content-Length: 5\r\n").replace("HTTP/1.1", "HTTP/1.0");
    client.send(old + "hello");
    assert_eq!(status(&client.answer_head()), 200);
    assert_eq!(client.rest().0, b"hello");
}

#[test]
fn a_final_answer_instead_of_the_100_ends_the_connection() {
    let upstream = Upstream::start(|mut connection| {
        connection.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno");
        connection.next_head();
    });
    let agent = before(&upstream);
    let mut client = Client::connect(&agent);
    client.send(head(
        "POST",
        "/test",
        "Expect: 100-continue\r\nContent-Length: 5\r\n",
    ));
    let answer = client.answer("POST");
    assert_eq!((answer.status, answer.text()), (417, "no".into()));
    assert_eq!(client.rest(), (vec![], End::Clean));
}

#[test]
fn answers_without_a_body_keep_the_connection() {
    let upstream = Upstream::start(|mut connection| {
        loop {
            let answer = match connection.head.split(' ').nth(1) {
                Some("/204") => "HTTP/1.1 204 No Content\r\n\r\n",
                Some("/304") => "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
                Some("/head") => "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
                Some("/chunked-head") => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                Some(_) => OK,
                None => return,
            };
            connection.send(answer);
            connection.next_head();
        }
    });
    let agent = before(&upstream);
    let mut client = Client::connect(&agent);
    for (method, target, status) in [
        ("GET", "/204", 204),
        ("GET", "/304", 304),
        ("HEAD", "/head", 200),
        ("HEAD", "/chunked-head", 200),
        ("GET", "/test", 200),
    ] {
        let answer = client.ask(method, target, "");
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.head);
    }
    assert_eq!(client.ask("GET", "/test", "").text(), "ok");
    assert_eq!(upstream.connections(), 1);
}

/// A source is read only when its destination has room.
#[test]
fn a_reader_that_stops_holds_the_writer_back() {
    const SENT: usize = 64 << 20;
    let upstream = Upstream::start(|mut connection| {
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SENT}\r\n\r\n"));
        connection.send(noise(SENT));
        connection.next_head();
    });
    let agent = before(&upstream);
    let idle = agent.memory();
    let mut client = Client::connect(&agent);
    client.send(head("GET", "/test", ""));
    client.answer_head();
    std::thread::sleep(Duration::from_secs(1));
    let ticks = agent.ticks();
    std::thread::sleep(Duration::from_secs(1));
    assert!(
        agent.ticks() - ticks < 20,
        "it spins while the client does not read"
    );
    assert!(
        agent.memory() < idle + 4096,
        "{} KiB, {idle} before",
        agent.memory()
    );
    assert_eq!(sha256(&client.exactly(SENT)), sha256(&noise(SENT)));

    // The other way: an engine that does not read.
    let upstream = Upstream::start(|mut connection| {
        std::thread::sleep(Duration::from_secs(2));
        let body = connection.exactly(SENT);
        let sum = sha256(&body);
        connection.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{sum}",
            sum.len()
        ));
    });
    let agent = before(&upstream);
    let mut client = Client::connect(&agent);
    client.send(head(
        "POST",
        "/test",
        &format!("Content-Length: {SENT}\r\n"),
    ));
    client.send(noise(SENT));
    assert!(
        agent.memory() < idle + 4096,
        "{} KiB, {idle} before",
        agent.memory()
    );
    assert_eq!(client.answer("POST").text(), sha256(&noise(SENT)));
}

/// However long a client pauses, it gets the end of an answer that Docker has long finished.
#[test]
fn a_reader_that_pauses_gets_the_end() {
    let upstream = Upstream::start(|mut connection| {
        let length = connection.head.split(['/', ' ']).nth(3).unwrap();
        let length = length.parse().unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        connection.send(head);
        connection.send(noise(length));
        connection.next_head();
    });
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--idle-timeout", "1", "-vv"])
        .start();
    let mut readers = Vec::new();
    for (end, fields) in [("kept", ""), ("closed", "Connection: close\r\n")] {
        // Searches for the longest answer that Docker gets rid of while nobody reads it: of that the end
        // is in the agent's own buffers. More than 16 MiB the kernel's do not take.
        let (mut fits, mut too_long) = (0, 16 << 20);
        while too_long - fits > 32 << 10 {
            let length = usize::midpoint(fits, too_long);
            let target = format!("/{end}/{length}");
            let mut client = Client::connect(&agent);
            client.send(head("GET", &target, fields));
            let finished = || agent.log().contains(&format!("\"GET {target}\" 200 "));
            match within(Duration::from_millis(500), finished) {
                true => fits = length,
                false => too_long = length,
            }
            readers.push((client, length));
        }
    }
    // Beyond each limit on a connection that is idle or closing.
    std::thread::sleep(Duration::from_secs(8));
    for (client, length) in &mut readers {
        let answer = client.answer("GET");
        assert!(answer.body == noise(*length), "{}", answer.head);
    }
}

/// A reader that has stopped, behind it an engine that has closed: nothing to do, so nothing is done.
#[test]
fn a_closed_engine_behind_a_reader_that_stopped_costs_nothing() {
    let upstream = Upstream::start(|mut connection| {
        connection.send("HTTP/1.1 200 OK\r\n\r\n");
        connection.send(noise(32 << 20));
    });
    let agent = before(&upstream);
    let mut client = Client::connect(&agent);
    client.send(head("GET", "/test", ""));
    client.answer_head();
    std::thread::sleep(Duration::from_secs(1));
    let ticks = agent.ticks();
    std::thread::sleep(Duration::from_secs(1));
    assert!(agent.ticks() - ticks < 20, "it spins");
    assert_eq!(client.rest().0.len(), 32 << 20);
}

#[test]
fn no_engine_is_a_502_and_recovers_by_itself() {
    let upstream = Upstream::answering(OK);
    let agent = before(&upstream);
    let mut client = Client::connect(&agent);
    assert_eq!(client.ask("GET", "/test", "").status, 200);
    upstream.remove_socket();
    // A kept connection may live on in the script; a new client finds no engine.
    let answer = Client::connect(&agent).ask("GET", "/test", "");
    answer.is_error(502);
    assert!(
        answer.text().contains("docker.sock"),
        "the message does not name the socket: {}",
        answer.text()
    );
    upstream.listen_again();
    assert!(eventually(|| Client::connect(&agent)
        .ask("GET", "/test", "")
        .status
        == 200));
}

#[test]
fn a_restarted_engine_is_used_by_the_next_request() {
    let upstream = Upstream::answering_until_replaced(OK);
    let agent = before(&upstream);
    let mut client = Client::connect(&agent);
    assert_eq!(client.ask("GET", "/test", "").status, 200);
    upstream.replace_socket();
    // The same client, on the same connection.
    assert_eq!(client.ask("GET", "/test", "").status, 200);
    assert_eq!(upstream.connections(), 2);
}

/// Of a name with two addresses, one of which does not answer: a next client is served by the other.
#[test]
fn an_address_that_does_not_answer_is_passed_by() {
    if !has_mounts() {
        return;
    }
    // Which of them the C library puts first is its own affair.
    let (first, second) = on_one_port();
    the_engine_is_found_beside(&first, second);
    let (first, second) = on_one_port();
    the_engine_is_found_beside(&second, first);
}

fn the_engine_is_found_beside(silent: &TcpListener, engine: TcpListener) {
    // A listener with a full queue says as little as a host that is gone.
    let mut queue = Vec::new();
    let address = silent.local_addr().unwrap();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
        queue.push(stream);
    }
    std::thread::spawn(move || {
        for stream in engine.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1 << 14]);
            let _ = stream.write_all(OK_LAST.as_bytes());
        }
    });
    let dir = TempDir::new("hosts");
    let hosts = dir.join("hosts");
    std::fs::write(&hosts, "127.0.0.1 engine.test\n127.0.0.2 engine.test\n").unwrap();
    let agent = Setup::new()
        .mount(&hosts, Path::new("/etc/hosts"))
        .args(&["--docker", &format!("tcp://engine.test:{}", address.port())])
        .start();
    let is_served = || {
        let mut client = Client::connect(&agent);
        client.send(head("GET", "/test", ""));
        // Gone before the agent gives up.
        let patience = Some(Duration::from_secs(1));
        client.tls.sock.set_read_timeout(patience).unwrap();
        let mut answer = [0; 12];
        client.tls.read_exact(&mut answer).is_ok() && answer == *b"HTTP/1.1 200"
    };
    assert!(eventually(is_served));
}

/// Two listeners at different addresses with the same port.
fn on_one_port() -> (TcpListener, TcpListener) {
    loop {
        let first = TcpListener::bind("127.0.0.2:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if let Ok(second) = TcpListener::bind(("127.0.0.1", port)) {
            return (first, second);
        }
    }
}
