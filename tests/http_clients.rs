//! curl, openssl's s_client and raw requests through the agent: what HTTP clients other than the
//! docker command do, and what none should.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod support;

use std::fs;

use support::agent::{Agent, PASSWORD, Setup, authorization, basic};
use support::client::{Client, End, client_config_for, head, status};
use support::docker::{IMAGE, docker};
use support::process::{Outcome, Running, clean, run};
use support::upstream::Upstream;
use support::{TempDir, noise, sha256, skipped};

/// An answer that any request may get from the scripted engine.
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn has(program: &str) -> bool {
    let found = clean("sh")
        .args(["-c", &format!("command -v {program}")])
        .output()
        .unwrap()
        .status
        .success();
    if !found {
        skipped(&format!("no {program}"));
    }
    found
}

/// curl with the agent's root and the tests' credentials.
fn curl(agent: &Agent, args: &[&str], path: &str) -> Outcome {
    let login = format!("admin:{PASSWORD}");
    plain_curl(agent, &[&["-u", &login], args].concat(), &[path])
}

fn plain_curl(agent: &Agent, args: &[&str], paths: &[&str]) -> Outcome {
    let mut command = clean("curl");
    command
        .args(["-sS", "--max-time", "100", "--cacert"])
        .arg(&agent.root)
        .args(args);
    command.args(paths.iter().map(|path| agent.url(path)));
    run(&mut command, b"")
}

/// `--no-alpn`: it goes on without having asked for HTTP/2. Nothing of it gets to the engine.
#[test]
fn http_2_is_refused_in_its_own_words() {
    let upstream = Upstream::answering(OK);
    let agent = Setup::new().docker(&upstream.socket()).start();
    if !has("curl") {
        return;
    }
    if !run(clean("curl").arg("-V"), b"").ok().contains("HTTP2") {
        return skipped("a curl without HTTP/2");
    }
    let seen = curl(
        &agent,
        &["-v", "--http2-prior-knowledge", "--no-alpn"],
        "/test",
    );
    assert_ne!(seen.code, Some(0));
    assert!(seen.err().contains("GOAWAY, error=13"), "{}", seen.err());
    // Who offers both gets HTTP/1.1.
    for offer in ["--http2", "--http2-prior-knowledge"] {
        let seen = curl(&agent, &[offer, "-w", " %{http_version}"], "/test");
        assert_eq!(seen.ok(), "ok 1.1", "{offer}");
    }
    assert_eq!(upstream.heads().len(), 2, "{:?}", upstream.heads());
}

#[test]
fn curl_needs_the_password() {
    let upstream = Upstream::answering(OK);
    let agent = Setup::new().docker(&upstream.socket()).start();
    if !has("curl") {
        return;
    }
    assert_eq!(curl(&agent, &[], "/test").ok(), "ok");
    let before = upstream.connections();
    let refused: &[&[&str]] = &[
        &[],
        &["-u", "admin:wrong"],
        &["-u", "admin:"],
        &["-u", &format!("root:{PASSWORD}")],
        &["-u", &format!("Admin:{PASSWORD}")],
        &["-H", "Authorization: Basic"],
        &["-H", "Authorization: Basic !!!"],
        &["-H", "Authorization: Bearer YWRtaW4="],
        &["-H", &format!("Authorization: {}", &authorization()[6..])],
    ];
    for args in refused {
        let seen = plain_curl(&agent, &[&["-i"], *args].concat(), &["/test"]).ok();
        assert_eq!(status(&seen), 401, "{args:?}: {seen}");
        assert!(
            seen.contains("WWW-Authenticate: Basic realm=\"Haven Agent\""),
            "{seen}"
        );
        assert!(seen.contains("{\"message\":"), "{seen}");
    }
    assert_eq!(
        upstream.connections(),
        before,
        "a request without the password got to Docker"
    );
    assert!(!agent.log().contains(PASSWORD));
}

#[test]
fn curl_keeps_its_connection_and_every_request_is_authenticated() {
    let upstream = Upstream::answering(OK);
    let agent = Setup::new().docker(&upstream.socket()).start();
    if !has("curl") {
        return;
    }
    let login = format!("admin:{PASSWORD}");
    let args = ["-v", "-u", &login];
    let seen = plain_curl(&agent, &args, &["/a", "/b", "/c"]);
    assert_eq!((seen.code, seen.out().as_str()), (Some(0), "okokok"));
    let reused = seen
        .err()
        .to_lowercase()
        .matches("re-using existing connection")
        .count();
    assert_eq!(reused, 2, "{}", seen.err());

    // On a connection that was let in once the next request needs the password again.
    let mut client = Client::connect(&agent);
    assert_eq!(client.ask("GET", "/a", "").status, 200);
    client.send("GET /b HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.answer("GET").is_error(401);
}

#[test]
fn curl_uploads_and_heads() {
    let Some(scope) = docker() else { return };
    let agent = Agent::start();
    if !has("curl") {
        return;
    }
    let dir = TempDir::new("curl");
    let up = scope.sleeper("curl");
    let data = noise(20 << 20);
    fs::create_dir(dir.join("tree")).unwrap();
    fs::write(dir.join("tree/data"), &data).unwrap();
    let tar = dir.join("data.tar").display().to_string();
    let made = run(
        clean("tar")
            .arg("-C")
            .arg(dir.join("tree"))
            .args(["-cf", &tar, "data"]),
        b"",
    );
    assert_eq!(made.code, Some(0), "{made:?}");

    let path = format!("/containers/{up}/archive?path=/tmp");
    let put = ["-X", "PUT", "-T", &tar, "-w", "%{http_code}"];
    for fields in [
        &["-H", "Transfer-Encoding: chunked"][..],
        &["-H", "Expect: 100-continue"],
        &["-H", "Expect:"],
        &[
            "-H",
            "Transfer-Encoding: chunked",
            "-H",
            "Expect: 100-continue",
        ],
        &["--http1.0"],
    ] {
        assert_eq!(
            curl(&agent, &[&put, fields].concat(), &path).ok(),
            "200",
            "{fields:?}"
        );
        let sum = scope
            .cli()
            .run(&[
                "exec",
                &up,
                "sh",
                "-c",
                "sha256sum < /tmp/data; rm /tmp/data",
            ])
            .ok();
        assert_eq!(sum, format!("{}  -\n", sha256(&data)), "{fields:?}");
    }

    let seen = curl(&agent, &["-I"], "/_ping").ok();
    assert_eq!(status(&seen), 200);
    assert!(seen.contains("Api-Version: "), "{seen}");
    assert!(seen.contains("Server: Docker"), "{seen}");

    // A body for an HTTP/1.0 client is never chunked.
    let seen = curl(&agent, &["-i", "--http1.0"], "/images/json").ok();
    assert_eq!(status(&seen), 200);
    assert!(!seen.to_lowercase().contains("transfer-encoding"), "{seen}");
    assert!(seen.contains(IMAGE), "{seen}");

    let seen = curl(&agent, &["-i"], "/no/such/path").ok();
    assert_eq!(status(&seen), 404);
    assert!(seen.contains("{\"message\":\"page not found\"}"), "{seen}");
}

#[test]
fn the_answer_to_a_refused_upload_arrives() {
    let Some(scope) = docker() else { return };
    let agent = Agent::start();
    if !has("curl") {
        return;
    }
    let dir = TempDir::new("refused");
    let file = dir.join("large").display().to_string();
    fs::write(&file, noise(50 << 20)).unwrap();
    let path = format!("/containers/{}/archive?path=/tmp", scope.name("none"));
    // Docker answers 404 before it has read the body; curl is slow enough to be still sending it.
    for fields in [
        &["-H", "Expect:"][..],
        &["-H", "Expect:", "-H", "Transfer-Encoding: chunked"],
        &["-H", "Expect: 100-continue"],
    ] {
        let put = ["-i", "-X", "PUT", "-T", &file, "--limit-rate", "40M"];
        let seen = curl(&agent, &[&put, fields].concat(), &path).ok();
        assert!(seen.contains(" 404 Not Found"), "{fields:?}: {seen}");
        assert!(seen.contains("No such container"), "{fields:?}: {seen}");
    }
    let wrong = [
        "-i",
        "-X",
        "PUT",
        "-T",
        &file,
        "-H",
        "Expect:",
        "-u",
        "admin:wrong",
    ];
    let seen = plain_curl(&agent, &wrong, &[&path]).ok();
    assert!(seen.contains(" 401 Unauthorized"), "{seen}");
}

/// Sends raw bytes with openssl, which stays until the agent closes.
fn s_client(agent: &Agent, options: &[&str], request: &str) -> String {
    let mut command = clean("openssl");
    command.args([
        "s_client",
        "-quiet",
        "-verify_quiet",
        "-verify_return_error",
        "-ign_eof",
    ]);
    command
        .args(["-connect", &agent.address(), "-CAfile"])
        .arg(&agent.root)
        .args(options);
    let mut client = Running::start(&mut command);
    client.write(request.as_bytes());
    let closed = client.exit_within(support::PATIENCE).is_some();
    assert!(
        closed,
        "the agent did not close\n{}\n{}",
        client.out(),
        client.err()
    );
    client.finish().out()
}

/// As Netty with the TLS of Java 8 asks.
#[test]
fn the_managers_own_way_of_asking() {
    let Some(_scope) = docker() else { return };
    let agent = Agent::start();
    if !has("openssl") {
        return;
    }
    for path in [
        "/info",
        "/containers/json?all=1",
        "/version",
        "/images/json",
    ] {
        let request = format!(
            "GET https://{}{path} HTTP/1.1\r\nAuthorization: {}\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            agent.address(),
            authorization(),
        );
        let seen = s_client(&agent, &["-tls1_2"], &request);
        assert_eq!(status(&seen), 200, "{seen}");
        assert!(seen.to_lowercase().contains("connection: close"), "{seen}");
        assert!(seen.contains("\r\n\r\n"), "{seen}");
    }
    // Whatever authority it believes the agent to have, and an endless answer until it has had enough.
    let request = format!(
        "GET https://node.example:8771/events HTTP/1.1\r\nauthorization: {}\r\nhost: node.example\r\nconnection: close\r\n\r\n",
        authorization(),
    );
    let mut client = Client::with(
        &agent,
        client_config_for(&agent, &[&rustls::version::TLS12]),
    );
    client.send(&request);
    let head = client.answer_head();
    assert_eq!(status(&head), 200, "{head}");
    let scope = docker().unwrap();
    let name = scope.sleeper("event");
    client.until(&name);
}

/// What must not get to Docker in any reading, and the answer to it.
#[test]
fn malformed_requests_are_refused_in_dockers_form() {
    let upstream = Upstream::answering(OK);
    let agent = Setup::new().docker(&upstream.socket()).start();
    let auth = format!("Host: localhost\r\nAuthorization: {}\r\n", authorization());
    let cases: &[(&str, String)] = &[
        ("bare LF", format!("GET /test HTTP/1.1\n{auth}\r\n")),
        (
            "bare LF in a field",
            format!("GET /test HTTP/1.1\r\nA: b\n{auth}\r\n"),
        ),
        ("no version", format!("GET /test\r\n{auth}\r\n")),
        ("HTTP/2.0", format!("GET /test HTTP/2.0\r\n{auth}\r\n")),
        (
            "space before the colon",
            format!("GET /test HTTP/1.1\r\n{auth}A : b\r\n\r\n"),
        ),
        (
            "folded field",
            format!("GET /test HTTP/1.1\r\n{auth}A: b\r\n c\r\n\r\n"),
        ),
        (
            "NUL in a field",
            format!("GET /test HTTP/1.1\r\n{auth}A: b\0\r\n\r\n"),
        ),
        (
            "two lengths",
            format!(
                "POST /test HTTP/1.1\r\n{auth}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"
            ),
        ),
        (
            "signed length",
            format!("POST /test HTTP/1.1\r\n{auth}Content-Length: +1\r\n\r\na"),
        ),
        (
            "length not a number",
            format!("POST /test HTTP/1.1\r\n{auth}Content-Length: 0x1\r\n\r\na"),
        ),
        (
            "length past 64 bits",
            format!("POST /test HTTP/1.1\r\n{auth}Content-Length: 18446744073709551616\r\n\r\n"),
        ),
        (
            "length and coding",
            format!(
                "POST /test HTTP/1.1\r\n{auth}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
        ),
        (
            "another coding",
            format!(
                "POST /test HTTP/1.1\r\n{auth}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
            ),
        ),
        (
            "a hidden coding",
            format!("POST /test HTTP/1.1\r\n{auth}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "two codings",
            format!(
                "POST /test HTTP/1.1\r\n{auth}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
        ),
        (
            "coding on 1.0",
            format!("POST /test HTTP/1.0\r\n{auth}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "space in the target",
            format!("GET /te st HTTP/1.1\r\n{auth}\r\n"),
        ),
        (
            "fragment of a target",
            format!("GET test HTTP/1.1\r\n{auth}\r\n"),
        ),
        (
            "CONNECT",
            format!("CONNECT localhost:22 HTTP/1.1\r\n{auth}\r\n"),
        ),
        ("not HTTP", "\x16\x03\x01 nonsense\r\n\r\n".to_owned()),
    ];
    for (what, request) in cases {
        // Shown with a failure.
        println!("--- {what}");
        let mut client = Client::connect(&agent);
        client.send(request);
        let answer = client.answer("GET");
        assert!(
            [400, 501, 505].contains(&answer.status),
            "{what}: {}",
            answer.head
        );
        answer.is_error(answer.status);
        assert_eq!(
            answer.field("connection"),
            Some("close"),
            "{what}: {}",
            answer.head
        );
        assert_eq!(client.rest(), (vec![], End::Clean), "{what}");
    }
    assert_eq!(upstream.connections(), 0, "{:?}", upstream.heads());

    // The chunks of a body are as strict: the request fails, nothing of it is a next request.
    for (what, body) in [
        ("no size", "\r\n\r\n"),
        ("not hex", "g\r\n\r\n"),
        ("signed", "-1\r\n\r\n"),
        ("prefixed", "0x1\r\na\r\n0\r\n\r\n"),
        ("bare LF", "1\na\r\n0\r\n\r\n"),
        ("longer than it says", "1\r\nab\r\n0\r\n\r\n"),
        ("too large", "fffffffffffffffff\r\n"),
    ] {
        println!("--- {what}");
        let mut client = Client::connect(&agent);
        client.send(
            head("POST", "/test", "Transfer-Encoding: chunked\r\n")
                + body
                + "GET /smuggled HTTP/1.1\r\n\r\n",
        );
        let (bytes, _) = client.rest();
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            text.is_empty() || [200, 400].contains(&status(&text)),
            "{what}: {text}"
        );
    }
    assert!(
        !upstream
            .heads()
            .iter()
            .any(|head| head.contains("smuggled"))
    );
}

#[test]
fn large_heads_pass_and_larger_ones_are_refused() {
    let upstream = Upstream::answering(OK);
    let agent = Setup::new().docker(&upstream.socket()).start();
    let mut client = Client::connect(&agent);
    let config = format!("X-Registry-Config: {}\r\n", "e".repeat(60_000));
    assert_eq!(client.ask("POST", "/build", &config).status, 200);
    assert!(
        upstream.heads()[0].contains(&config),
        "a long field was changed"
    );

    let mut client = Client::connect(&agent);
    client.send(head(
        "GET",
        "/test",
        &format!("A: {}\r\n", "a".repeat(66_000)),
    ));
    client.answer("GET").is_error(431);
    assert_eq!(client.rest(), (vec![], End::Clean));

    let mut client = Client::connect(&agent);
    client.send(head("GET", "/test", &"A: b\r\n".repeat(5_000)));
    client.answer("GET").is_error(431);
}

/// Docker sees requests in one form, without what is between the client and the agent alone.
#[test]
fn docker_gets_the_canonical_form() {
    let upstream = Upstream::answering(OK);
    let agent = Setup::new().docker(&upstream.socket()).start();
    let fields = "Connection: close, X-Hop\r\nX-Hop: 1\r\nX-Kept: a, b\r\nX-Kept: c\r\nKeep-Alive: 5\r\nTE: trailers\r\n\
        Proxy-Authorization: Basic YTpi\r\nProxy-Connection: keep-alive\r\nTrailer: X\r\n";
    let mut client = Client::connect(&agent);
    assert_eq!(
        client
            .ask("GET", "https://elsewhere:8771/v1.41/test?a=b%20c&d", fields)
            .status,
        200
    );
    let head = upstream.heads().remove(0);
    assert!(
        head.starts_with("GET /v1.41/test?a=b%20c&d HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(head.contains("X-Kept: a, b\r\nX-Kept: c\r\n"), "{head}");
    let lower = head.to_lowercase();
    for dropped in [
        "authorization:",
        "x-hop:",
        "keep-alive",
        "proxy-",
        "\r\nte:",
        "trailer",
        "basic ",
    ] {
        assert!(!lower.contains(dropped), "{dropped} is in {head}");
    }
    assert_eq!(lower.matches("\r\nhost:").count(), 1, "{head}");
}

#[test]
fn requests_in_a_row_are_answered_in_a_row() {
    let upstream = Upstream::start(|mut connection| {
        loop {
            let target = connection
                .head
                .split(' ')
                .nth(1)
                .unwrap_or_default()
                .to_owned();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}",
                target.len()
            );
            if target.is_empty() || !connection.send(answer) {
                return;
            }
            connection.next_head();
        }
    });
    let agent = Setup::new().docker(&upstream.socket()).start();
    let mut client = Client::connect(&agent);
    let targets: Vec<_> = (0..50).map(|number| format!("/test/{number}")).collect();
    client.send(
        targets
            .iter()
            .map(|target| head("GET", target, ""))
            .collect::<String>(),
    );
    for target in &targets {
        assert_eq!(client.answer("GET").text(), *target);
    }
    assert_eq!(
        upstream.connections(),
        1,
        "one connection to Docker serves a kept-alive client"
    );
}

#[test]
fn more_users_come_from_a_file() {
    let upstream = Upstream::answering(OK);
    let dir = TempDir::new("users");
    let users = dir.join("users");
    let hash = bcrypt::hash("second", 4).unwrap();
    fs::write(
        &users,
        format!(
            "# more\nother:{hash}\nthird:{}\n",
            hash.replacen("$2b$", "$2y$", 1)
        ),
    )
    .unwrap();
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--users", users.to_str().unwrap()])
        .start();
    for (user, password, expected) in [
        ("other", "second", 200),
        ("third", "second", 200),
        ("admin", PASSWORD, 200),
        ("other", PASSWORD, 401),
        ("admin", "second", 401),
    ] {
        let mut client = Client::connect(&agent);
        client.send(format!(
            "GET /version HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\n\r\n",
            basic(user, password)
        ));
        assert_eq!(client.answer("GET").status, expected, "{user}");
    }
}
