//! Registration against a master on a real socket that behaves, and misbehaves.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod certificate;
mod daemon;
mod docker;
mod heads;
mod receiver;
#[path = "../support/mod.rs"]
mod support;

use haven_agent::config::{Master, TimeFormat};
use haven_agent::docker::Endpoint;
use haven_agent::report::{Reporter, Settings};
use haven_agent::secret::Secret;
use haven_agent::zone::Zone;
use miniserde::json::{self, Value};
use receiver::{Authority, Lines, Receiver, Stream, answer, in_turn, send};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;
use support::{TempDir, skipped};

fn settings(masters: &[&Receiver]) -> Settings {
    Settings {
        root_path: PathBuf::from("/"),
        docker: Endpoint::Unix(PathBuf::from("/nonexistent/docker.sock")),
        masters: masters.iter().map(|receiver| master(receiver)).collect(),
        secret: None,
        interval: Duration::from_millis(200),
        address: Some("https://localhost:8771".to_owned()),
        time_format: TimeFormat::Auto,
        ca: None,
    }
}

fn master(receiver: &Receiver) -> Master {
    Master {
        tls: false,
        host: receiver.address.ip().to_string(),
        port: receiver.address.port(),
        path: String::new(),
    }
}

fn https(receiver: &Receiver) -> Master {
    Master {
        tls: true,
        ..master(receiver)
    }
}

fn start(settings: &Settings) -> Reporter {
    Lines::keep();
    Reporter::spawn(settings.clone(), Arc::new(Zone::utc()), None).unwrap()
}

/// The URL as the log has it, which no other test's receiver shares.
fn url(receiver: &Receiver) -> String {
    format!("http://{}", receiver.address)
}

/// A master whose first answer is bad and whose later ones are good: the log tells why the first
/// was none, and that the node is registered again; everything recovers by itself.
fn first_fails(bad: fn(&mut dyn Stream), why: &str) {
    let receiver = Receiver::new(in_turn(vec![bad, |stream| answer(stream, "200 OK")]));
    recovers(&receiver, why);
}

fn recovers(receiver: &Receiver, why: &str) {
    let lines = Lines::keep();
    let reporter = start(&settings(&[receiver]));
    lines.wait_for(&[&url(receiver), "not registered", why]);
    lines.wait_for(&[&url(receiver), "registered again"]);
    assert_eq!(reporter.status().last_error(), None);
    reporter.stop();
}

#[test]
fn a_node_without_docker_registers_at_once() {
    let receiver = Receiver::new(|_, stream| answer(stream, "200 OK"));
    let mut settings = settings(&[&receiver]);
    settings.interval = Duration::from_secs(3600);
    settings.secret = Some(Secret::new("s3cret"));
    let reporter = start(&settings);
    let received = receiver.next();
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let name = name.trim();
    let line = format!("POST /discovery/nodes/{name}?ttl=7200 HTTP/1.1\r\n");
    assert!(received.head.starts_with(&line), "{}", received.head);
    assert_eq!(received.header("Content-Type"), Some("application/json"));
    assert_eq!(received.header("X-Auth-Node"), Some("s3cret"));
    assert_eq!(received.header("Connection"), Some("close"));
    assert_eq!(
        received.header("Host").unwrap(),
        receiver.address.to_string()
    );

    let Value::Object(body) = json::from_str(&received.body).unwrap() else {
        panic!("{}", received.body);
    };
    let text = |key| match body.get(key) {
        Some(Value::String(text)) => text.clone(),
        other => panic!("{key}: {other:?}"),
    };
    assert_eq!((text("id").as_str(), text("name").as_str()), (name, name));
    assert_eq!(text("address"), "https://localhost:8771");
    assert!(matches!(body.get("labels"), Some(Value::Object(labels)) if labels.is_empty()));
    assert!(body.get("containers").is_none(), "Docker was not asked");
    let Some(Value::Object(system)) = body.get("system") else {
        panic!("{}", received.body);
    };
    for key in ["cpuLoad", "memory", "disks", "net"] {
        assert!(system.get(key).is_some(), "{key}: {}", received.body);
    }

    let lines = Lines::keep();
    lines.wait_for(&[&url(&receiver), &format!("registered as {name}")]);
    assert!(
        !lines
            .all(&["do registration with", &received.body])
            .is_empty()
    );
    assert!(lines.all(&["s3cret"]).is_empty());
    assert!(reporter.status().last_success().is_some());
    reporter.stop();
}

#[test]
fn without_a_secret_none_is_sent() {
    let receiver = Receiver::new(|_, stream| answer(stream, "200 OK"));
    let reporter = start(&settings(&[&receiver]));
    assert_eq!(receiver.next().header("X-Auth-Node"), None);
    reporter.stop();
}

#[test]
fn each_master_gets_the_form_of_time_that_it_reads() {
    // Reads local times for three requests, is then upgraded, and reads offsets from then on.
    let mut understood = 0;
    let receiver = Receiver::new(move |received, stream| {
        if received.has_offset() == (understood >= 3) {
            understood += 1;
            answer(stream, "200 OK");
        } else {
            answer(stream, "400 Bad Request");
        }
    });
    let reporter = start(&settings(&[&receiver]));
    let forms: Vec<_> = (0..8).map(|_| receiver.next().has_offset()).collect();
    let (offset, local) = (true, false);
    let expected = [offset, local, local, local, local, offset, offset, offset];
    assert_eq!(forms, expected);
    reporter.stop();
    let told = Lines::keep().told(&[&url(&receiver)]);
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn a_form_of_time_that_is_set_is_the_only_one_sent() {
    for (format, offset) in [(TimeFormat::Offset, true), (TimeFormat::Local, false)] {
        let receiver = Receiver::new(|_, stream| answer(stream, "400 Bad Request"));
        let mut settings = settings(&[&receiver]);
        settings.time_format = format;
        let reporter = start(&settings);
        for _ in 0..3 {
            assert_eq!(receiver.next().has_offset(), offset);
        }
        reporter.stop();
    }
}

#[test]
fn what_a_master_says_about_a_bad_report_is_told() {
    let receiver = Receiver::new(|_, stream| {
        let body = "{\"message\":\"bad\nname\"}";
        let length = body.len();
        let head = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {length}\r\n\r\n");
        send(stream, &(head + body));
    });
    let reporter = start(&settings(&[&receiver]));
    Lines::keep().wait_for(&[&url(&receiver), r#"report: {"message":"bad\nname"}"#]);
    reporter.stop();
}

#[test]
fn a_wrong_secret_is_told_once_and_so_is_the_return() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let receiver = Receiver::new(
        move |_, stream| match count.fetch_add(1, Ordering::SeqCst) {
            0..4 => answer(stream, "401 Unauthorized"),
            _ => answer(stream, "200 OK"),
        },
    );
    let lines = Lines::keep();
    let mut settings = settings(&[&receiver]);
    settings.secret = Some(Secret::new("wr0ng"));
    let reporter = start(&settings);
    lines.wait_for(&[&url(&receiver), "registered again"]);
    assert!(asked.load(Ordering::SeqCst) > 4);
    reporter.stop();
    let told = lines.told(&[&url(&receiver), "401: the secret is wrong", "`secret`"]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("dm.agent.notifier.secret"), "{told:?}");
    assert!(lines.all(&["wr0ng"]).is_empty());
}

#[test]
fn a_master_that_is_lost_is_told_with_the_reason() {
    let receiver = Receiver::new(in_turn(vec![
        |stream| answer(stream, "200 OK"),
        |stream| answer(stream, "503 Service Unavailable"),
        |stream| answer(stream, "503 Service Unavailable"),
        |stream| answer(stream, "404 Not Found"),
        |stream| answer(stream, "503 Service Unavailable"),
        |stream| answer(stream, "200 OK"),
    ]));
    let lines = Lines::keep();
    let reporter = start(&settings(&[&receiver]));
    lines.wait_for(&[&url(&receiver), "registered again"]);
    reporter.stop();
    let told = lines.told(&[&url(&receiver)]);
    let starts: Vec<_> = told
        .iter()
        .map(|l| l.split([' ']).nth(1).unwrap())
        .collect();
    assert_eq!(
        starts,
        ["registered", "registration", "still", "registered"],
        "{told:?}"
    );
    assert!(told[1].contains("registration lost") && told[1].contains("503"));
    assert!(told[2].contains("404: is it a Haven manager"));
}

#[test]
fn a_master_that_hangs_is_given_up() {
    first_fails(
        |stream| {
            // Until the agent gives up.
            let _ = std::io::copy(stream, &mut std::io::sink());
        },
        "no whole answer came in time",
    );
}

#[test]
fn a_master_that_trickles_is_given_up() {
    first_fails(
        |stream| {
            send(stream, "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n");
            while stream.write_all(b".").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        },
        "no whole answer came in time",
    );
}

#[test]
fn a_master_that_closes_without_an_answer_has_not_registered() {
    first_fails(|_| {}, "");
}

#[test]
fn a_master_that_closes_half_way_has_not_registered() {
    first_fails(
        |stream| send(stream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        "cut short",
    );
}

#[test]
fn what_is_no_http_has_not_registered() {
    first_fails(
        |stream| send(stream, "SSH-2.0-OpenSSH_9.2p1\r\nrubbish\r\n\r\n"),
        "not HTTP",
    );
}

#[test]
fn an_answer_without_end_is_not_read_to_its_end() {
    first_fails(
        |stream| {
            send(stream, "HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        },
        "longer than",
    );
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::new(|_, stream| answer(stream, "200 OK"));
    let target = url(&elsewhere);
    let mut asked = 0;
    let location = target.clone();
    let receiver = Receiver::new(move |_, stream| {
        asked += 1;
        let head = format!("HTTP/1.1 302 Found\r\nLocation: {location}/x\r\n");
        match asked {
            1 => send(stream, &format!("{head}Content-Length: 0\r\n\r\n")),
            _ => answer(stream, "200 OK"),
        }
    });
    recovers(&receiver, &format!("a redirect to {target}/x"));
    assert!(elsewhere.is_unasked());
}

#[test]
fn a_chunked_answer_is_read() {
    first_fails(
        |stream| {
            let head = "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n";
            send(stream, &format!("{head}3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"));
        },
        "it answered 500: abcdef",
    );
}

#[test]
fn the_next_master_is_tried_and_kept() {
    let dead = Receiver::new(|_, _| {});
    let alive = Receiver::new(|_, stream| answer(stream, "200 OK"));
    let settings = settings(&[&dead, &alive]);
    let reporter = start(&settings);
    for _ in 0..4 {
        alive.next();
    }
    reporter.stop();
    dead.next();
    assert!(dead.is_unasked(), "the one that works is kept");
    let told = Lines::keep().told(&[&url(&alive)]);
    assert_eq!(told.len(), 1, "{told:?}");
    let reason = format!("; not with {}: ", url(&dead));
    assert!(
        told[0].contains("registered as") && told[0].contains(&reason),
        "{told:?}"
    );
}

#[test]
fn docker_that_comes_and_goes_is_told_once_each_time() {
    let dir = TempDir::new("docker");
    let socket = dir.join("docker.sock");
    let receiver = Receiver::new(|_, stream| answer(stream, "200 OK"));
    let mut settings = settings(&[&receiver]);
    settings.docker = Endpoint::Unix(socket.clone());
    let lines = Lines::keep();
    let reporter = start(&settings);
    let path = socket.to_str().unwrap();
    lines.wait_for(&[path, "there is no Docker socket"]);
    receiver.next();

    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let docker = thread::spawn(move || {
        for answered in ["{\"Name\":\"from-docker\",\"Labels\":[\"a=b\"]}", "[]"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut block = [0; 4096];
            let _ = std::io::Read::read(&mut stream, &mut block).unwrap();
            let length = answered.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            send(&mut stream, &(head + answered));
        }
    });
    docker.join().unwrap();
    let named = loop {
        let received = receiver.next();
        if received.body.contains("from-docker") {
            break received;
        }
    };
    assert!(
        named.head.starts_with("POST /discovery/nodes/from-docker?"),
        "{}",
        named.head
    );
    assert!(
        named.body.contains(r#""labels":{"a":"b"},"containers":[]"#),
        "{}",
        named.body
    );
    lines.wait_for(&["reports have Docker again"]);
    // It is gone again: the name and the labels stay.
    let later = receiver.next();
    assert!(
        later.head.starts_with("POST /discovery/nodes/from-docker?"),
        "{}",
        later.head
    );
    assert!(
        later.body.contains(r#""labels":{"a":"b"},"system""#),
        "{}",
        later.body
    );
    lines.wait_for(&[path, "nobody listens"]);
    reporter.stop();
    assert_eq!(lines.told(&[path]).len(), 2, "{:?}", lines.told(&[path]));
}

#[test]
fn an_ipv6_address_is_reached() {
    let behave = |_: &receiver::Received, stream: &mut dyn Stream| answer(stream, "200 OK");
    let Ok(receiver) = Receiver::start("[::1]:0", None, behave) else {
        skipped("there is no ::1 here");
        return;
    };
    let mut settings = settings(&[&receiver]);
    settings.secret = Some(Secret::new("six"));
    let reporter = start(&settings);
    let received = receiver.next();
    assert_eq!(
        received.header("Host").unwrap(),
        receiver.address.to_string()
    );
    assert_eq!(received.header("X-Auth-Node"), Some("six"));
    Lines::keep().wait_for(&[&url(&receiver), "registered as"]);
    reporter.stop();
}

#[test]
fn an_https_master_is_trusted_by_its_ca_alone() {
    let ok = |_: &receiver::Received, stream: &mut dyn Stream| answer(stream, "200 OK");
    let authority = Authority::new();
    let tls = authority.server("127.0.0.1");
    let receiver = Receiver::start("127.0.0.1:0", Some(tls), ok).unwrap();
    let mut settings = settings(&[]);
    settings.masters = vec![https(&receiver)];
    let address = receiver.address.to_string();
    let lines = Lines::keep();

    let reporter = start(&settings);
    lines.wait_for(&[&address, "not trusted", "`ca`"]);
    reporter.stop();

    let dir = TempDir::new("ca");
    let file = dir.join("ca.pem");
    settings.ca = Some(file.clone());
    let reporter = start(&settings);
    lines.wait_for(&[&address, file.to_str().unwrap()]);
    std::fs::write(&file, Authority::new().pem).unwrap();
    lines.wait_for(&[&address, "still not registered", "not trusted"]);
    std::fs::write(&file, &authority.pem).unwrap();
    lines.wait_for(&[&address, "registered again"]);
    assert!(receiver.next().head.starts_with("POST /discovery/nodes/"));
    reporter.stop();
}

#[test]
fn an_https_master_with_anothers_name_is_refused() {
    let ok = |_: &receiver::Received, stream: &mut dyn Stream| answer(stream, "200 OK");
    let authority = Authority::new();
    let tls = authority.server("master.example");
    let receiver = Receiver::start("127.0.0.1:0", Some(tls), ok).unwrap();
    let dir = TempDir::new("ca");
    let file = dir.join("ca.pem");
    std::fs::write(&file, &authority.pem).unwrap();
    let mut settings = settings(&[]);
    settings.masters = vec![https(&receiver)];
    settings.ca = Some(file.clone());
    let reporter = start(&settings);
    Lines::keep().wait_for(&[&receiver.address.to_string(), "not trusted"]);
    reporter.stop();
    assert!(receiver.is_unasked());
}

#[test]
fn a_plain_master_asked_with_tls_is_told_as_such() {
    let receiver = Receiver::new(|_, _| {});
    let mut settings = settings(&[]);
    // What answers a client's hello in plain HTTP.
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut socket, _) = plain.accept().unwrap();
        send(&mut socket, "HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = std::io::copy(&mut socket, &mut std::io::sink());
    });
    let mut plain_master = https(&receiver);
    plain_master.port = address.port();
    settings.masters = vec![plain_master];
    settings.interval = Duration::from_secs(3600);
    let reporter = start(&settings);
    Lines::keep().wait_for(&[&address.to_string(), "TLS failed"]);
    reporter.stop();
    server.join().unwrap();
}

#[test]
fn without_a_master_the_log_gets_the_summary() {
    let lines = Lines::keep();
    let reporter = start(&settings(&[]));
    let line = lines.wait_for(&["CPU", "memory", "no answer from Docker"]);
    assert!(line.starts_with("INFO "), "{line}");
    reporter.stop();
}

#[test]
fn a_reporter_that_waits_for_an_answer_can_be_stopped() {
    let receiver = Receiver::new(|_, stream| {
        let _ = std::io::copy(stream, &mut std::io::sink());
    });
    let reporter = start(&settings(&[&receiver]));
    receiver.next();
    reporter.stop();
}

#[test]
fn a_reporter_that_is_stopped_reports_no_more() {
    let receiver = Receiver::new(|_, stream| answer(stream, "200 OK"));
    let mut settings = settings(&[&receiver]);
    settings.interval = Duration::from_secs(3600);
    let reporter = start(&settings);
    receiver.next();
    Lines::keep().wait_for(&[&url(&receiver), "registered as"]);
    reporter.stop();
    assert!(receiver.is_unasked());
}
