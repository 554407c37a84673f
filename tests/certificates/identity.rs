//! The certificate follows the host's addresses; the operator's own is shown as it is.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use haven_agent::tls::{Identity, Settings, client_config, root_certificate};

use crate::support::{
    Scratch, Server, described, has, keytool_root, must, plain_settings, shell, shown_certificates,
    text,
};

/// A copy of a host's root directory, to be changed.
fn host(fixture: &str, dir: &Scratch) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/hosts")
        .join(fixture);
    for file in ["etc/hostname", "proc/1/net/fib_trie", "proc/1/net/if_inet6"] {
        dir.write(&format!("host/{file}"), fs::read(from.join(file)).unwrap());
    }
    dir.path("host")
}

/// The certificate that the server shows now, described.
fn shown(server: &Server, dir: &Scratch) -> String {
    let shown = shown_certificates(server.port(), dir);
    described(&dir.write("shown.pem", &shown[0]), dir)
}

#[test]
fn the_certificate_carries_the_hosts_name_and_addresses() {
    for (fixture, expected) in [
        (
            "server",
            [
                "DNS:server-7",
                "IP Address:192.0.2.2",
                "IP Address:FD00:0:0:0:0:0:0:2",
            ],
        ),
        (
            "board",
            [
                "DNS:raspberrypi",
                "IP Address:192.168.178.57",
                "IP Address:FE80:0:0:0:BA27:EBFF:FE65:4321",
            ],
        ),
    ] {
        let dir = Scratch::new();
        let settings = Settings {
            host_root: host(fixture, &dir),
            ..Settings::default()
        };
        let identity = Identity::new(&settings).unwrap();
        let server = Server::start(identity.server().config.clone(), "127.0.0.1:0");
        let text = shown(&server, &dir);
        for entry in expected {
            assert!(text.contains(entry), "{entry}\n{text}");
        }
        assert!(
            text.contains(&format!("CN = {}", &expected[0][4..])),
            "{text}"
        );
    }
}

#[test]
fn every_address_of_this_machine_is_in_its_certificate() {
    let dir = Scratch::new();
    let identity = Identity::new(&plain_settings()).unwrap();
    let server = Server::start(identity.server().config.clone(), "127.0.0.1:0");
    let leaf = dir.write("leaf.pem", &shown_certificates(server.port(), &dir)[0]);
    for address in must("hostname -I", &dir).split_whitespace() {
        let line = format!(
            "openssl x509 -noout -checkip {address} -in '{}'",
            leaf.display()
        );
        let verdict = must(&line, &dir);
        assert!(verdict.contains("does match"), "{verdict}");
    }
}

#[test]
fn a_change_of_addresses_is_signed_and_shown_without_a_restart() {
    let dir = Scratch::new();
    let settings = Settings {
        host_root: host("board", &dir),
        ..Settings::default()
    };
    let identity = Identity::new(&settings).unwrap();
    let server = Server::start(identity.server().config.clone(), "127.0.0.1:0");
    assert!(identity.refresh().unwrap().is_none(), "nothing has changed");
    let before = shown(&server, &dir);
    assert!(!before.contains("10.77.0.9"), "{before}");

    let table = dir.path("host/proc/1/net/fib_trie");
    let leased = "        |-- 10.77.0.9\n           /32 host LOCAL\n";
    let text = fs::read_to_string(&table).unwrap();
    fs::write(&table, text.clone() + leased).unwrap();
    assert!(
        identity.refresh().unwrap().is_some(),
        "an address was leased"
    );
    assert!(identity.refresh().unwrap().is_none(), "and nothing since");
    let after = shown(&server, &dir);
    assert!(after.contains("IP Address:10.77.0.9"), "{after}");
    let serial = |text: &str| text.split("Serial Number:").nth(1).unwrap()[..60].to_owned();
    assert_ne!(serial(&before), serial(&after));

    fs::write(&table, text).unwrap();
    assert!(identity.refresh().unwrap().is_some(), "the lease ran out");
    assert!(!shown(&server, &dir).contains("10.77.0.9"));

    dir.write("host/etc/hostname", "renamed\n");
    assert!(
        identity.refresh().unwrap().is_some(),
        "the host was renamed"
    );
    assert!(shown(&server, &dir).contains("DNS:renamed"));
}

/// Set where [`names_are_looked_up_here`] finds a name server's answers of its own.
const PREPARED: &str = "HAVEN_TEST_PREPARED_HOSTS";

#[test]
fn names_of_the_addresses_are_looked_up_after_the_start() {
    let dir = Scratch::new();
    dir.write(
        "hosts",
        "127.0.0.1 localhost\n192.168.178.57 Board.Home.Example\n",
    );
    dir.write("nsswitch.conf", "hosts: files\n");
    let prepare = "mount --bind hosts /etc/hosts && mount --bind nsswitch.conf /etc/nsswitch.conf";
    let tried = shell(&format!("unshare --mount sh -c '{prepare}'"), "", &dir);
    if !tried.status.success() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no mounts of our own: {}",
            text(&tried)
        );
        return;
    }
    let test = std::env::current_exe().unwrap();
    must(
        &format!(
            "{PREPARED}=yes unshare --mount sh -c '{prepare} && \"$0\" --ignored --exact \
             identity::names_are_looked_up_here' '{}'",
            test.display()
        ),
        &dir,
    );
}

#[test]
#[ignore = "run by the test above in a mount namespace of its own"]
fn names_are_looked_up_here() {
    if std::env::var_os(PREPARED).is_none() {
        return;
    }
    let dir = Scratch::new();
    let settings = Settings {
        host_root: host("board", &dir),
        resolve: true,
        ..Settings::default()
    };
    let identity = Identity::new(&settings).unwrap();
    let server = Server::start(identity.server().config.clone(), "127.0.0.1:0");
    assert!(
        !shown(&server, &dir).contains("board.home.example"),
        "the start asks nobody"
    );
    assert!(identity.refresh().unwrap().is_some());
    assert!(shown(&server, &dir).contains("DNS:board.home.example"));
    assert!(identity.refresh().unwrap().is_none());
}

#[test]
fn a_host_name_that_dns_does_not_allow_or_that_is_long_does_no_harm() {
    let dir = Scratch::new();
    for name in ["host name", "-dash", &"long-".repeat(50), "ümlaut"] {
        dir.write("host/etc/hostname", name);
        let settings = Settings {
            host_root: dir.path("host"),
            ..Settings::default()
        };
        let identity = Identity::new(&settings).unwrap();
        let server = Server::start(identity.server().config.clone(), "127.0.0.1:0");
        assert!(shown(&server, &dir).contains("DNS:localhost"), "{name}");
    }
}

#[test]
fn serial_numbers_and_keys_are_fresh() {
    let dir = Scratch::new();
    let shown: Vec<String> = (0..2)
        .map(|_| {
            let identity = Identity::new(&plain_settings()).unwrap();
            let server = Server::start(identity.server().config.clone(), "127.0.0.1:0");
            shown_certificates(server.port(), &dir)[0].clone()
        })
        .collect();
    assert_ne!(shown[0], shown[1]);
}

/// Files of the operator's own: a leaf signed by an intermediate, in `chain.pem` and `leaf.key`.
fn operators_files(key_options: &str, dir: &Scratch) {
    must(
        &format!(
            "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=own-root -days 9 -keyout ca.key -out ca.pem && \
             openssl req {key_options} -nodes -subj /CN=own-leaf -keyout leaf.key -out leaf.csr && \
             printf 'subjectAltName=DNS:own.example' > ext && \
             openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -days 9 -extfile ext -out leaf.pem && \
             cat leaf.pem ca.pem > chain.pem"
        ),
        dir,
    );
}

#[test]
fn the_operators_own_certificate_is_shown_whatever_the_form_of_its_key() {
    for (options, convert) in [
        ("-newkey rsa:2048", "cp leaf.key used.key"),
        (
            "-newkey rsa:2048",
            "openssl rsa -traditional -in leaf.key -out used.key",
        ),
        (
            "-newkey ec -pkeyopt ec_paramgen_curve:P-256",
            "openssl ec -in leaf.key -out used.key",
        ),
    ] {
        let dir = Scratch::new();
        operators_files(options, &dir);
        must(convert, &dir);
        let settings = Settings {
            cert: Some(dir.path("chain.pem")),
            key: Some(dir.path("used.key")),
            ..plain_settings()
        };
        let identity = Identity::new(&settings).unwrap();
        let server = Server::start(identity.server().config.clone(), "127.0.0.1:0");
        let chain = shown_certificates(server.port(), &dir).concat();
        let strip = |text: String| text.replace(['\n', '\r'], "");
        assert_eq!(
            strip(chain),
            strip(fs::read_to_string(dir.path("chain.pem")).unwrap())
        );
        assert!(identity.refresh().unwrap().is_none());
    }
}

/// What is said of settings that cannot be.
fn refusal(settings: &Settings) -> String {
    Identity::new(settings).unwrap_err().to_string()
}

#[test]
fn files_that_do_not_fit_are_named() {
    let dir = Scratch::new();
    operators_files("-newkey ec -pkeyopt ec_paramgen_curve:P-256", &dir);
    let own = |cert: &str, key: &str| Settings {
        cert: Some(dir.path(cert)),
        key: Some(dir.path(key)),
        ..plain_settings()
    };
    let said = refusal(&own("chain.pem", "ca.key"));
    assert!(
        said.contains("chain.pem") && said.contains("ca.key"),
        "{said}"
    );
    let said = refusal(&own("missing.pem", "ca.key"));
    assert!(
        said.contains("tls_cert") && said.contains("missing.pem"),
        "{said}"
    );
    let said = refusal(&own("leaf.key", "leaf.key"));
    assert!(said.contains("holds no certificate"), "{said}");
    let said = refusal(&own("leaf.pem", "leaf.pem"));
    assert!(
        said.contains("tls_key") && said.contains("no private key"),
        "{said}"
    );
    let said = refusal(&Settings {
        key: None,
        ..own("leaf.pem", "leaf.key")
    });
    assert!(
        said.contains("tls_cert is set and tls_key is not"),
        "{said}"
    );

    let root = |cert: &str, key: &str| Settings {
        root_cert: Some(dir.path(cert)),
        root_key: Some(dir.path(key)),
        ..plain_settings()
    };
    let said = refusal(&root("leaf.pem", "leaf.key"));
    assert!(
        said.contains("leaf.pem") && said.contains("CA:TRUE"),
        "{said}"
    );
    let said = refusal(&root("ca.pem", "leaf.key"));
    assert!(
        said.contains("ca.pem") && said.contains("leaf.key"),
        "{said}"
    );
    let said = refusal(&Settings {
        root_cert: None,
        ..root("ca.pem", "ca.key")
    });
    assert!(
        said.contains("root_key is set and root_cert is not"),
        "{said}"
    );
    let said = client_config(Some(&dir.path("leaf.key")))
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("ca: ") && said.contains("holds no certificate"),
        "{said}"
    );
    assert!(client_config(Some(&dir.path("ca.pem"))).is_ok());
    assert!(client_config(None).is_ok());
}

#[test]
fn a_root_that_may_not_sign_for_the_host_is_refused_at_the_start() {
    let dir = Scratch::new();
    let make = |name: &str, extension: &str| {
        must(
            &format!(
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
                 -subj /CN={name} -days 9 -addext '{extension}' -keyout {name}.key -out {name}.pem"
            ),
            &dir,
        );
        refusal(&Settings {
            root_cert: Some(dir.path(&format!("{name}.pem"))),
            root_key: Some(dir.path(&format!("{name}.key"))),
            ..plain_settings()
        })
    };
    let said = make(
        "elsewhere",
        "nameConstraints=critical,permitted;DNS:elsewhere.example",
    );
    assert!(
        said.contains("clients would refuse") && said.contains("elsewhere.pem"),
        "{said}"
    );
    let said = make("signless", "keyUsage=critical,digitalSignature");
    assert!(said.contains("keyCertSign"), "{said}");
}

#[test]
fn a_damaged_file_is_an_error_at_every_length() {
    let dir = Scratch::new();
    operators_files("-newkey ec -pkeyopt ec_paramgen_curve:P-256", &dir);
    let cert = fs::read(dir.path("ca.pem")).unwrap();
    let key = fs::read(dir.path("ca.key")).unwrap();
    for part in 0..20 {
        let cut = |bytes: &[u8]| bytes[..bytes.len() * part / 20].to_vec();
        let settings = Settings {
            root_cert: Some(dir.write("cut.pem", cut(&cert))),
            root_key: Some(dir.path("ca.key")),
            ..plain_settings()
        };
        assert!(Identity::new(&settings).is_err(), "{part}");
        assert!(root_certificate(&settings).is_err(), "{part}");
        let settings = Settings {
            root_cert: Some(dir.path("ca.pem")),
            root_key: Some(dir.write("cut.key", cut(&key))),
            ..plain_settings()
        };
        assert!(Identity::new(&settings).is_err(), "{part}");
    }
}

#[test]
fn a_root_given_at_run_time_is_the_one_that_is_printed() {
    if !has("keytool") {
        return;
    }
    let dir = Scratch::new();
    let settings = keytool_root("RSA", &dir);
    let given = root_certificate(&settings).unwrap();
    let pem = must("openssl x509 -in root_cert.pem", &dir);
    assert_eq!(given.pem, pem);
    assert_ne!(given, root_certificate(&plain_settings()).unwrap());
}
