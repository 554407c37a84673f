//! What is read again while the agent serves: by a signal, and when files change.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use support::TempDir;
use support::agent::{Agent, PASSWORD, Setup, basic};
use support::authority::Authority;
use support::client::Client;
use support::process::{clean, run};
use support::upstream::Upstream;

/// A request without a password.
const BARE: &str = "POST /containers/x/kill HTTP/1.1\r\nHost: x\r\n\r\n";

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const READ_AGAIN: &str = "were read again";

fn engine() -> Upstream {
    Upstream::answering(OK)
}

/// An engine whose every stream says what it hears.
fn echoing() -> Upstream {
    Upstream::start(|mut connection| {
        if !connection.head.contains("/exec/") {
            while connection.send(OK) && !connection.next_head().is_empty() {}
            return;
        }
        connection.send(
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
             Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        );
        loop {
            let heard = connection.exactly(4);
            connection.send(&heard);
            if heard == b"over" {
                return;
            }
        }
    })
}

/// Asks with a password.
fn asked(client: &mut Client, user: &str, password: &str) -> u16 {
    client.send(format!(
        "GET /info HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n",
        basic(user, password)
    ));
    client.answer("GET").status
}

/// Sends the signal and waits until the log has one more line of the outcome.
#[track_caller]
fn reload(agent: &Agent, outcome: &str) {
    let before = agent.log().matches(outcome).count();
    agent.signal("HUP");
    assert!(
        support::eventually(|| agent.log().matches(outcome).count() > before),
        "no {outcome:?}:\n{}",
        agent.log()
    );
}

#[test]
fn a_revoked_certificate_is_refused_on_the_next_request_and_its_stream_lives_on() {
    let (authority, upstream) = (Authority::new(), echoing());
    authority.client("bob");
    authority.client("alice");
    authority.list();
    let agent = authority
        .setup(&upstream)
        .args(&["--client-crl", &authority.text("crl.pem")])
        .start();
    for version in [&TLS13, &TLS12] {
        let bob = authority.config(&agent, "bob", version);
        let alice = authority.config(&agent, "alice", version);
        let mut stream = Client::with(&agent, bob.clone());
        stream.send(
            "POST /exec/x/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
             Content-Length: 0\r\n\r\n",
        );
        assert!(stream.answer_head().contains(" 101 "));
        let open = |config| {
            let mut client = Client::with(&agent, config);
            client.send(BARE);
            assert_eq!(client.answer("POST").status, 200);
            client
        };
        let (mut bobs, mut alices) = (open(bob.clone()), open(alice.clone()));
        authority.revoke("bob");
        reload(&agent, READ_AGAIN);

        stream.send("live");
        assert_eq!(stream.exactly(4), b"live");
        bobs.send(BARE);
        let refused = bobs.answer("POST");
        refused.is_error(401);
        assert_eq!(refused.field("connection"), Some("close"));
        bobs.rest();
        alices.send(BARE);
        assert_eq!(alices.answer("POST").status, 200);
        // Nor by the session that is still good at the client.
        let mut again = Client::with(&agent, bob);
        let sent = again.tls.write_all(BARE.as_bytes()).is_ok();
        assert!(!sent || std::io::Read::read(&mut again.tls, &mut [0; 64]).is_err());
        assert_ne!(
            again.tls.conn.handshake_kind(),
            Some(HandshakeKind::Resumed)
        );
        // Others have to show theirs again as well, and are let in.
        let mut again = open(alice.clone());
        assert_eq!(again.tls.conn.handshake_kind(), Some(HandshakeKind::Full));
        again.send(BARE);
        assert_eq!(again.answer("POST").status, 200);
        stream.send("over");
        assert_eq!(stream.exactly(4), b"over");

        authority.openssl("rm index && touch index");
        authority.list();
        reload(&agent, READ_AGAIN);
    }
    let log = agent.log();
    assert!(
        log.contains("127.0.0.1 cert:bob: refused: invalid peer certificate: Revoked"),
        "{log}"
    );
}

#[test]
fn a_session_is_resumed_over_a_reload_that_changes_nothing() {
    let (authority, upstream) = (Authority::new(), engine());
    authority.client("alice");
    let agent = authority.setup(&upstream).start();
    let config = authority.config(&agent, "alice", &TLS13);
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut client = Client::with(&agent, config.clone());
        client.send(BARE);
        assert_eq!(client.answer("POST").status, 200);
        assert_eq!(client.tls.conn.handshake_kind(), Some(expected));
        reload(&agent, READ_AGAIN);
    }
}

#[test]
fn a_removed_user_is_refused_on_the_next_request() {
    let upstream = engine();
    let dir = TempDir::new("users");
    let users = dir.join("users");
    let hash = |password: &str| bcrypt::hash(password, 4).unwrap();
    let (alice, bob) = (hash("a"), hash("b"));
    fs::write(&users, format!("alice:{alice}\nbob:{bob}\n")).unwrap();
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--users", &users.display().to_string()])
        .start();
    let mut client = Client::connect(&agent);
    for (user, password) in [("alice", "a"), ("bob", "b"), ("admin", PASSWORD)] {
        assert_eq!(asked(&mut client, user, password), 200);
    }
    fs::write(&users, format!("bob:{alice}\ncarol:{bob}\n")).unwrap();
    reload(&agent, READ_AGAIN);
    for (user, password, status) in [
        ("alice", "a", 401),
        ("bob", "b", 401),
        ("bob", "a", 200),
        ("carol", "b", 200),
        ("admin", PASSWORD, 200),
    ] {
        assert_eq!(asked(&mut client, user, password), status, "{user}");
    }
    // All of it or nothing, and one line that says why.
    fs::write(&users, "dave:secret\n").unwrap();
    let kept = "; what was read before goes on";
    reload(&agent, kept);
    assert_eq!(asked(&mut client, "bob", "a"), 200);
    let log = agent.log();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(
        matches!(errors[..], [line] if line.contains("SIGHUP: --users: ") && line.contains(kept)),
        "{log}"
    );
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn a_removed_user_is_out_even_if_a_policy_still_names_them() {
    let upstream = engine();
    let dir = TempDir::new("users");
    let users = dir.join("users");
    let hash = bcrypt::hash("e", 4).unwrap();
    fs::write(&users, format!("alice:{hash}\neve:{hash}\n")).unwrap();
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--users", &users.display().to_string()])
        .args(&["--policy", "eve:full"])
        .start();
    let mut client = Client::connect(&agent);
    assert_eq!(asked(&mut client, "eve", "e"), 200);
    fs::write(&users, format!("alice:{hash}\n")).unwrap();
    reload(&agent, READ_AGAIN);
    assert_eq!(asked(&mut client, "eve", "e"), 401);
    assert_eq!(asked(&mut client, "alice", "e"), 200);
    agent.wait_for_log("WARNING - --policy: `eve` is no user");
    // And so it is at the next start.
    let agent = Setup::new()
        .docker(&upstream.socket())
        .args(&["--users", &users.display().to_string()])
        .args(&["--policy", "eve:full"])
        .start();
    assert_eq!(asked(&mut Client::connect(&agent), "eve", "e"), 401);
    agent.wait_for_log("WARNING - --policy: `eve` is no user");
}

#[test]
fn an_open_connection_follows_the_log_level() {
    let (upstream, dir) = (engine(), TempDir::new("level"));
    let settings = dir.join("haven-agent.ini");
    let write = |level: u8| fs::write(&settings, format!("[main]\nlog_level = {level}\n")).unwrap();
    write(1);
    let agent = Setup::new()
        .docker(&upstream.socket())
        .config(&settings)
        .start();
    let mut client = Client::connect(&agent);
    let mut asks = |path: &str| {
        client.send(format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n",
            basic("admin", PASSWORD)
        ));
        assert_eq!(client.answer("GET").status, 200);
    };
    asks("/before");
    write(2);
    reload(&agent, READ_AGAIN);
    // The first one after a reload is verified anew, and until then it may have to be told.
    asks("/verified");
    asks("/louder");
    agent.wait_for_log("admin \"GET /louder\" 200");
    assert!(!agent.log().contains("/before"), "{}", agent.log());
}

#[test]
fn a_user_s_new_policy_holds_from_the_next_request_on() {
    let (authority, upstream) = (Authority::new(), engine());
    authority.client("alice");
    let settings = authority.path("haven-agent.ini");
    let rules = authority.path("policies");
    let write = |policy: &str, rule: &str| {
        let (ca, rules_at) = (authority.text("ca.pem"), rules.display());
        let text = format!(
            "[main]\nclient_ca = {ca}\npolicies = {rules_at}\npolicy = cert:alice:{policy}\n"
        );
        fs::write(&settings, text).unwrap();
        fs::write(&rules, format!("[own]\n{rule} POST /containers/*/kill\n")).unwrap();
    };
    write("full", "allow");
    let agent = Setup::new()
        .docker(&upstream.socket())
        .config(&settings)
        .start();
    let mut alice = Client::with(&agent, authority.config(&agent, "alice", &TLS13));
    let mut asks = |status| {
        alice.send(BARE);
        assert_eq!(alice.answer("POST").status, status);
    };
    asks(200);
    for (policy, rule, status) in [
        ("read-only", "allow", 403),
        ("own", "allow", 200),
        ("own", "deny", 403),
    ] {
        write(policy, rule);
        reload(&agent, READ_AGAIN);
        asks(status);
    }
    // What is wrong changes nothing.
    write("own", "perhaps");
    reload(&agent, "; what was read before goes on");
    asks(403);
}

#[test]
fn a_broken_file_keeps_all_that_was_read_before() {
    let (authority, upstream) = (Authority::new(), engine());
    authority.client("alice");
    let agent = authority
        .setup(&upstream)
        .args(&["--client-auth", "optional"])
        .start();
    let (config, mut open) = (
        authority.config(&agent, "alice", &TLS13),
        Client::connect(&agent),
    );
    assert_eq!(asked(&mut open, "admin", PASSWORD), 200);
    authority.openssl("cp ca.pem good.pem && echo broken >ca.pem");
    reload(&agent, "ERROR - SIGHUP: client_ca: ");
    let mut client = Client::with(&agent, config.clone());
    client.send(BARE);
    assert_eq!(client.answer("POST").status, 200);
    assert_eq!(asked(&mut open, "admin", PASSWORD), 200);
    // The same file is not complained about again, and it is taken when it is good again.
    authority.openssl("cp good.pem ca.pem");
    agent.wait_for_log(
        "files have changed: users, policies, certificates and log level were read again",
    );
    assert_eq!(agent.log().matches("ERROR").count(), 1, "{}", agent.log());
}

#[test]
fn a_connection_without_a_certificate_is_refused_once_one_is_required() {
    let (authority, upstream) = (Authority::new(), engine());
    authority.client("alice");
    let settings = authority.path("haven-agent.ini");
    let write = |auth: &str, level: u8| {
        let ca = authority.text("ca.pem");
        let text = format!(
            "[main]\nclient_ca = {ca}\nclient_auth = {auth}\nlog_level = {level}\n\
             policy = cert:alice:full\n"
        );
        fs::write(&settings, text).unwrap();
    };
    write("optional", 1);
    let agent = Setup::new()
        .docker(&upstream.socket())
        .config(&settings)
        .start();
    let mut password = Client::connect(&agent);
    let mut alice = Client::with(&agent, authority.config(&agent, "alice", &TLS13));
    let asks = |client: &mut Client, status| {
        client.send(BARE);
        assert_eq!(client.answer("POST").status, status);
    };
    assert_eq!(asked(&mut password, "admin", PASSWORD), 200);
    asks(&mut alice, 200);
    write("required", 2);
    reload(&agent, READ_AGAIN);
    assert_eq!(asked(&mut password, "admin", PASSWORD), 401);
    password.rest();
    asks(&mut alice, 200);
    agent.wait_for_log("- DEBUG - ");
    // Where certificates are asked for no more, one is of no use.
    write("off", 0);
    agent.signal("HUP");
    assert!(support::eventually(|| {
        alice.send(BARE);
        alice.answer("POST").status == 401
    }));
    let mut password = Client::connect(&agent);
    assert_eq!(asked(&mut password, "admin", PASSWORD), 200);
}

/// The common name of the certificate that the agent shows.
fn shown(agent: &Agent) -> String {
    let line = "openssl s_client -connect $0 </dev/null 2>/dev/null | openssl x509 -noout -subject";
    let mut shell = clean("sh");
    shell.args(["-c", line, &agent.address()]);
    let said = run(&mut shell, b"").out();
    said.rsplit("CN = ").next().unwrap().trim().to_owned()
}

#[track_caller]
fn shows(agent: &Agent, name: &str) {
    assert!(
        support::eventually(|| shown(agent) == name),
        "{} instead of {name}:\n{}",
        shown(agent),
        agent.log()
    );
}

/// An agent that shows `cert.pem` of a directory.
fn with_own(upstream: &Upstream, dir: &Path) -> Agent {
    let path = |name: &str| dir.join(name).display().to_string();
    Setup::new()
        .docker(&upstream.socket())
        .args(&[
            "--tls-cert",
            &path("cert.pem"),
            "--tls-key",
            &path("key.pem"),
        ])
        .start()
}

/// Certificates `one` to `three` with their keys, a directory each.
fn certificates() -> Authority {
    let authority = Authority::new();
    for name in ["one", "two", "three"] {
        authority.client(name);
        authority.openssl(&format!(
            "mkdir at-{name} && mv {name}.pem at-{name}/cert.pem && mv {name}.key at-{name}/key.pem"
        ));
    }
    authority
}

#[test]
fn certificates_are_rotated_by_renaming_files() {
    let (authority, upstream) = (certificates(), engine());
    authority.openssl("mkdir live && cp at-one/* live");
    let agent = with_own(&upstream, &authority.path("live"));
    shows(&agent, "one");
    for name in ["two", "three"] {
        // First the certificate, then its key: nothing is read in between, nor complained about.
        authority.openssl(&format!(
            "cd live && cp ../at-{name}/cert.pem new && mv new cert.pem && \
             cp ../at-{name}/key.pem new && mv new key.pem"
        ));
        shows(&agent, name);
    }
    assert!(!agent.log().contains("ERROR"), "{}", agent.log());
}

#[test]
fn certificates_are_rotated_by_turning_links_as_certbot_does() {
    let (authority, upstream) = (certificates(), engine());
    let live = authority.path("live");
    // All in one directory: that of a link's first target is what the sandbox leaves open.
    authority.openssl("mkdir live archive");
    for name in ["one", "two", "three"] {
        authority.openssl(&format!(
            "cd at-{name} && for file in *; do mv $file ../archive/{name}-$file; done"
        ));
    }
    let turn = |name: &str| {
        for file in ["cert.pem", "key.pem"] {
            let _ = fs::remove_file(live.join(file));
            symlink(format!("../archive/{name}-{file}"), live.join(file)).unwrap();
        }
    };
    turn("one");
    let agent = with_own(&upstream, &live);
    for name in ["one", "two", "three"] {
        turn(name);
        shows(&agent, name);
    }
}

#[test]
fn certificates_are_rotated_as_kubernetes_mounts_secrets() {
    let (authority, upstream) = (certificates(), engine());
    let live = authority.path("live");
    authority.openssl("mkdir live && mv at-* live");
    let turn = |name: &str| {
        symlink(format!("at-{name}"), live.join("..data_tmp")).unwrap();
        fs::rename(live.join("..data_tmp"), live.join("..data")).unwrap();
    };
    turn("one");
    for file in ["cert.pem", "key.pem"] {
        symlink(format!("..data/{file}"), live.join(file)).unwrap();
    }
    let agent = with_own(&upstream, &live);
    for name in ["one", "two", "three"] {
        turn(name);
        shows(&agent, name);
    }
}

#[test]
fn the_service_manager_is_told_of_a_reload_and_of_the_end() {
    let (upstream, dir) = (engine(), TempDir::new("notify"));
    let path = dir.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(support::PATIENCE)).unwrap();
    // How it goes is told in between.
    let heard = || {
        let mut told = std::iter::repeat_with(|| hear(&socket));
        told.find(|told| !told.starts_with("STATUS=")).unwrap()
    };
    let agent = Setup::new()
        .docker(&upstream.socket())
        .env("NOTIFY_SOCKET", &path.display().to_string())
        .args(&["--grace", "100"])
        .start();
    assert!(heard().contains("READY=1"));
    agent.signal("HUP");
    let reloading = heard();
    assert!(
        reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="),
        "{reloading}"
    );
    assert_eq!(heard().trim(), "READY=1");
    agent.signal("TERM");
    let stopping = heard();
    assert!(
        stopping.contains("STOPPING=1\n") && stopping.contains("EXTEND_TIMEOUT_USEC=110000000\n"),
        "{stopping}"
    );
}

#[test]
fn the_service_manager_s_watchdog_is_fed_and_it_learns_how_it_goes() {
    let (upstream, dir) = (engine(), TempDir::new("watchdog"));
    let path = dir.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let agent = Setup::new()
        .docker(&upstream.socket())
        .env("NOTIFY_SOCKET", &path.display().to_string())
        .env("WATCHDOG_USEC", "400000")
        .args(&["--workers", "2"])
        .start();
    let hears = |text: &str| (0..100).any(|_| hear(&socket).trim() == text);
    assert!(hears("STATUS=no master; 0 connections"));
    let _client = Client::connect(&agent);
    assert!(hears("STATUS=no master; 1 connections"));
    assert!(hears("WATCHDOG=1") && hears("WATCHDOG=1"));
}

fn hear(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 4096];
    let count = socket.recv(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}
