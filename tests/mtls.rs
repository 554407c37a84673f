//! Clients with certificates: who is let in, as whom, and until when.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod support;

use std::time::Duration;

use rustls::HandshakeKind;
use support::agent::{Agent, PASSWORD, Setup};
use support::authority::Authority;
use support::client::{Client, End};
use support::docker::{Cli, clis, docker};
use support::process::{Outcome, clean, run};
use support::upstream::Upstream;

fn engine() -> Upstream {
    Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}

/// `ok` where a request is answered, else what there is instead: a status, or none.
fn curl(agent: &Agent, args: &[&str], more: &[String]) -> String {
    let mut curl = clean("curl");
    curl.args(["-sS", "-m", "60", "-w", " %{http_code}", "--cacert"])
        .arg(&agent.root)
        .args(args)
        .args(more)
        .arg(agent.url("/containers/x/kill"));
    let Outcome { stdout, .. } = run(curl.args(["-X", "POST"]), b"");
    let said = String::from_utf8(stdout).unwrap();
    let (body, status) = said.rsplit_once(' ').unwrap();
    match status {
        "200" => body.to_owned(),
        status => status.to_owned(),
    }
}

fn password() -> [String; 2] {
    ["-u".to_owned(), format!("admin:{PASSWORD}")]
}

const WRONG: [&str; 2] = ["-u", "admin:wrong"];

#[test]
fn a_certificate_is_required_where_an_authority_is_given() {
    let (authority, upstream) = (Authority::new(), engine());
    authority.client("alice");
    let agent = authority.setup(&upstream).start();
    let alice = authority.shown("alice");
    for version in ["--tlsv1.3", "--tls-max=1.2"] {
        let version: Vec<&str> = version.split('=').collect();
        assert_eq!(curl(&agent, &version, &alice), "ok");
        assert_eq!(curl(&agent, &version, &[]), "000");
        assert_eq!(curl(&agent, &version, &password()), "000");
    }
    agent.wait_for_log("127.0.0.1 cert:alice \"POST /containers/x/kill\" 200");
    agent
        .wait_for_log("WARNING - 127.0.0.1 -: refused at the handshake: peer sent no certificates");
}

#[test]
fn a_certificate_s_user_may_look_unless_a_policy_says_more() {
    let (authority, upstream) = (Authority::new(), engine());
    authority.client("dora");
    let agent = authority.setup(&upstream).start();
    let mut dora = Client::with(
        &agent,
        authority.config(&agent, "dora", &rustls::version::TLS13),
    );
    dora.send("GET /info HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(dora.answer("GET").status, 200);
    dora.send("POST /containers/x/kill HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(dora.answer("POST").status, 403);
    agent.wait_for_log("127.0.0.1 cert:dora \"POST /containers/x/kill\" 403");
}

#[test]
fn a_certificate_or_a_password_where_it_is_optional() {
    let (authority, upstream) = (Authority::new(), engine());
    authority.client("admin");
    let agent = authority
        .setup(&upstream)
        .args(&["--client-auth", "optional"])
        .start();
    let admin = authority.shown("admin");
    assert_eq!(curl(&agent, &[], &[]), "401");
    assert_eq!(curl(&agent, &[], &password()), "ok");
    agent.wait_for_log("127.0.0.1 admin \"POST");
    assert_eq!(curl(&agent, &[], &admin), "ok");
    // A password that is sent as well has to be right, and makes nobody else of the client.
    assert_eq!(curl(&agent, &WRONG, &admin), "401");
    let before = agent.log().matches("cert:admin \"POST").count();
    for _ in 0..2 {
        assert_eq!(curl(&agent, &[], &[&admin[..], &password()].concat()), "ok");
    }
    agent.wait_for_log("cert:admin \"POST");
    assert!(support::eventually(|| {
        agent.log().matches("cert:admin \"POST").count() == before + 2
    }));
    assert_eq!(agent.log().matches("127.0.0.1 admin \"POST").count(), 1);
}

#[test]
fn nobody_is_asked_where_it_is_off() {
    let (authority, upstream) = (Authority::new(), engine());
    authority.client("alice");
    let agent = authority
        .setup(&upstream)
        .args(&["--client-auth", "off"])
        .start();
    assert_eq!(curl(&agent, &[], &authority.shown("alice")), "401");
    assert_eq!(curl(&agent, &[], &password()), "ok");
}

#[test]
fn what_is_not_a_good_certificate_lets_nobody_in() {
    let (authority, other, upstream) = (Authority::new(), Authority::new(), engine());
    authority.sign("old", "/CN=old", "", "-days -1");
    authority.sign("server", "/CN=server", "", "-days 30 -clrext");
    authority.openssl(
        "sed -i s/clientAuth/serverAuth/ server.ext && openssl x509 -req -in server.csr -CA ca.pem \
         -CAkey ca.key -extfile server.ext -days 30 -out server.pem",
    );
    authority.sign("nobody", "/O=nobody", "", "-days 30");
    other.client("alice");
    for mode in ["optional", "required"] {
        let agent = authority
            .setup(&upstream)
            .args(&["--client-auth", mode])
            .start();
        for name in ["old", "server"] {
            // Not even with a password.
            let shown = [&authority.shown(name)[..], &password()].concat();
            assert_eq!(curl(&agent, &[], &shown), "000", "{name}");
        }
        // openssl keeps a certificate to itself that none of the server's authorities has signed.
        let shown = [&other.shown("alice")[..], &password()].concat();
        let said = curl(&agent, &[], &shown);
        assert!(said == "000", "{mode}: {said}");
        let shown = [&authority.shown("nobody")[..], &password()].concat();
        assert_eq!(curl(&agent, &[], &shown), "401");
        agent.wait_for_log("refused: its certificate names nobody");
        agent.wait_for_log("refused at the handshake: invalid peer certificate");
    }
    assert!(upstream.heads().is_empty());
}

#[test]
fn a_certificate_is_named_by_its_address_or_host_before_its_common_name() {
    let (authority, upstream) = (Authority::new(), engine());
    authority.sign(
        "mail",
        "/CN=Alice Doe",
        "subjectAltName=URI:urn:x,email:alice@example.org,DNS:a.example",
        "-days 30",
    );
    authority.sign("name", "/CN=Alice \"Doe", "", "-days 30");
    let agent = authority.setup(&upstream).start();
    assert_eq!(curl(&agent, &[], &authority.shown("mail")), "ok");
    assert_eq!(curl(&agent, &[], &authority.shown("name")), "ok");
    agent.wait_for_log("127.0.0.1 cert:alice@example.org \"POST");
    agent.wait_for_log("127.0.0.1 cert:Alice%20%22Doe \"POST");
}

#[test]
fn a_revoked_certificate_is_refused_and_so_is_one_of_which_the_list_does_not_speak() {
    let (authority, upstream) = (Authority::new(), engine());
    authority.client("alice");
    authority.client("bob");
    authority.revoke("bob");
    // An authority below, whose own list is missing.
    authority.sign(
        "below",
        "/CN=Below",
        "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign",
        "-days 30",
    );
    authority.client("carol");
    authority.openssl(
        "openssl x509 -req -in carol.csr -CA below.pem -CAkey below.key -CAcreateserial \
         -extfile carol.ext -days 30 -out carol.leaf && cat carol.leaf below.pem >carol.pem",
    );
    let agent = authority.setup(&upstream).start();
    for name in ["alice", "bob", "carol"] {
        assert_eq!(curl(&agent, &[], &authority.shown(name)), "ok", "{name}");
    }
    let agent = authority
        .setup(&upstream)
        .args(&["--client-crl", &authority.text("crl.pem")])
        .start();
    assert_eq!(curl(&agent, &[], &authority.shown("alice")), "ok");
    for name in ["bob", "carol"] {
        assert_eq!(curl(&agent, &[], &authority.shown(name)), "000", "{name}");
    }
    agent.wait_for_log("refused at the handshake: invalid peer certificate: Revoked");
    // A list that is past its time says nothing any more.
    authority.openssl(
        "openssl ca -config conf -gencrl -crl_lastupdate 20200101000000Z \
         -crl_nextupdate 20200201000000Z -cert ca.pem -keyfile ca.key -out crl.pem",
    );
    let agent = authority
        .setup(&upstream)
        .args(&["--client-crl", &authority.text("crl.pem")])
        .start();
    assert_eq!(curl(&agent, &[], &authority.shown("alice")), "000");
}

#[test]
fn a_session_of_a_long_chain_is_resumed_as_the_same_user() {
    let (authority, upstream) = (Authority::new(), engine());
    authority.client("alice");
    // As many bytes as a long chain of RSA has.
    authority.openssl("cp alice.key long.key; cp alice.pem long.pem");
    authority.openssl("for _ in $(seq 20); do cat ca.pem >>long.pem; done");
    let agent = authority.setup(&upstream).start();
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let config = authority.config(&agent, "long", version);
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = Client::with(&agent, config.clone());
            client.send("POST /containers/x/kill HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(client.answer("POST").text(), "ok");
            assert_eq!(client.tls.conn.handshake_kind(), Some(expected));
        }
    }
    assert!(support::eventually(|| {
        agent.log().matches("cert:alice \"POST").count() == 4
    }));
}

#[test]
fn a_session_of_a_certificate_that_has_expired_lets_nobody_in() {
    const LIFE: u32 = 5;
    let (authority, upstream) = (Authority::new(), engine());
    let agent = authority.setup(&upstream).start();
    authority.short_lived_client("alice", LIFE);
    let config = authority.config(&agent, "alice", &rustls::version::TLS13);
    let asks = |client: &mut Client| {
        client.send("POST /containers/x/kill HTTP/1.1\r\nHost: x\r\n\r\n");
        client.answer("POST").status
    };
    let mut client = Client::with(&agent, config.clone());
    assert_eq!(asks(&mut client), 200);
    std::thread::sleep(Duration::from_secs(u64::from(LIFE) + 1));
    let mut client = Client::with(&agent, config);
    assert_eq!(asks(&mut client), 401);
    let kind = client.tls.conn.handshake_kind();
    assert_eq!(kind, Some(HandshakeKind::Resumed));
    client.rest();
    agent.wait_for_log("127.0.0.1 -: refused: invalid peer certificate: certificate expired");
}

/// It is judged again each minute: the last answer before that may be after its time.
#[test]
#[ignore = "takes more than a minute: scripts/test --all"]
fn a_certificate_that_expires_on_an_open_connection_lets_nobody_in() {
    const LIFE: u32 = 10;
    let (authority, upstream) = (Authority::new(), engine());
    let agent = authority.setup(&upstream).start();
    authority.short_lived_client("alice", LIFE);
    let config = authority.config(&agent, "alice", &rustls::version::TLS13);
    let mut client = Client::with(&agent, config);
    let mut asks = || {
        client.send("POST /containers/x/kill HTTP/1.1\r\nHost: x\r\n\r\n");
        client.answer("POST").status
    };
    assert_eq!(asks(), 200);
    // As often as it is asked meanwhile.
    assert!(support::within(2 * support::PATIENCE, || asks() == 401));
    agent.wait_for_log("cert:alice: refused: invalid peer certificate: certificate expired");
    assert_eq!(client.rest(), (vec![], End::Clean));
}

#[test]
fn settings_of_certificates_go_together() {
    let authority = Authority::new();
    let ca = authority.text("ca.pem");
    let crl = authority.text("ca.key");
    for (args, said) in [
        (
            &["--client-auth", "required"][..],
            "needs client_ca as well",
        ),
        (&["--client-crl", &ca], "needs client_ca as well"),
        (
            &["--client-ca", &ca, "--client-auth", "maybe"],
            "`maybe` is neither off nor optional nor required",
        ),
        (
            &["--client-ca", &ca, "--client-crl", &crl],
            "holds no certificate revocation list in PEM",
        ),
        (&["--client-ca", &crl], "client_ca: "),
    ] {
        let (running, _home) = Setup::new().args(args).spawn();
        let outcome = running.finish();
        assert_eq!(outcome.code, Some(2), "{args:?} {outcome:?}");
        assert!(outcome.err().contains(said), "{args:?} {outcome:?}");
    }
}

#[test]
fn the_docker_command_works_by_certificate() {
    let Some(scope) = docker() else { return };
    let authority = Authority::new();
    authority.client("alice");
    let agent = Setup::new()
        .args(&["--client-ca", &authority.text("ca.pem")])
        .args(&["--policy", "cert:alice:full"])
        .start();
    for program in clis() {
        let cli = Cli::certified(
            &program,
            &agent,
            &authority.path("alice.pem"),
            &authority.path("alice.key"),
        );
        let name = scope.name("echo");
        let run = [
            "run",
            "--rm",
            "-i",
            "--network",
            "none",
            "--name",
            &name,
            support::docker::IMAGE,
            "cat",
        ];
        assert_eq!(cli.feed(&run, b"through and back").ok(), "through and back");
    }
    agent.wait_for_log("cert:alice \"POST");
}
