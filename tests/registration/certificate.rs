//! The reporter follows the host's addresses with the proxy's certificate.

use super::receiver::Lines;
use super::settings;
use super::support::TempDir;
use haven_agent::report::Reporter;
use haven_agent::tls::{Identity, Settings};
use haven_agent::zone::Zone;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// An address that no other test has.
const LEASED: &str = "10.77.0.41";

#[test]
fn a_certificate_that_is_signed_anew_is_told_with_what_changed() {
    let dir = TempDir::new("host");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hosts/board");
    fs::create_dir_all(dir.join("etc")).unwrap();
    fs::create_dir_all(dir.join("proc/1/net")).unwrap();
    for file in ["etc/hostname", "proc/1/net/fib_trie", "proc/1/net/if_inet6"] {
        fs::copy(fixture.join(file), dir.join(file)).unwrap();
    }
    let identity = Identity::new(&Settings {
        host_root: dir.path().to_owned(),
        ..Settings::default()
    });
    let lines = Lines::keep();
    let zone = Arc::new(Zone::utc());
    let reporter = Reporter::spawn(settings(&[]), zone, Some(identity.unwrap())).unwrap();

    let table = dir.join("proc/1/net/fib_trie");
    let text = fs::read_to_string(&table).unwrap();
    let leaf = format!("        |-- {LEASED}\n           /32 host LOCAL\n");
    // In one step, for the reporter reads it at any time.
    let replace = |text: &str| {
        fs::write(dir.join("new"), text).unwrap();
        fs::rename(dir.join("new"), &table).unwrap();
    };
    replace(&(text.clone() + &leaf));
    let told = lines.wait_for(&["the certificate was signed anew, with", LEASED]);
    assert_eq!(
        told,
        format!("INFO the certificate was signed anew, with {LEASED}")
    );
    replace(&text);
    lines.wait_for(&[&format!("signed anew, without {LEASED}")]);
    reporter.stop();
    assert_eq!(lines.told(&[LEASED]).len(), 2, "once for each change");
}
