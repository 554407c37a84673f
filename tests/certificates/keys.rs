//! Keys in forms that cannot be read: each is named with a command, and the command works.

use haven_agent::tls::{Identity, Settings};

use crate::support::{Scratch, has, must, plain_settings, shell, text};

/// A root of `kind` in `root_cert.pem`, its key (PKCS#8) in `plain.pem`.
fn make_root(kind: &str, dir: &Scratch) {
    must(
        &format!(
            "openssl req -x509 -newkey {kind} -nodes -subj /CN=root -days 9 \
             -keyout plain.pem -out root_cert.pem"
        ),
        dir,
    );
}

fn settings(key: &str, dir: &Scratch) -> Settings {
    Settings {
        root_cert: Some(dir.path("root_cert.pem")),
        root_key: Some(dir.path(key)),
        ..plain_settings()
    }
}

/// Expects the key to be refused, runs the command of the refusal, giving it `answers` (a list for
/// each of the programs it runs), and expects what the command made to be taken.
fn convert(key: &str, answers: &[&str], dir: &Scratch) {
    let refusal = Identity::new(&settings(key, dir)).unwrap_err().to_string();
    let (_, command) = refusal
        .split_once("make: ")
        .or(refusal.split_once("makes: "))
        .expect(&refusal);
    let (command, _) = command
        .split_once(" (its certificate")
        .unwrap_or((command, ""));
    for (part, answers) in command.split(" && ").zip(answers) {
        let output = shell(part, answers, dir);
        assert!(output.status.success(), "{part}\n{}", text(&output));
    }
    let made = format!("{key}.pkcs8.pem");
    Identity::new(&settings(&made, dir)).unwrap_or_else(|error| panic!("{command}: {error}"));
}

const EC: &str = "ec -pkeyopt ec_paramgen_curve:P-256";
const RSA: &str = "rsa:2048";

#[test]
fn sec1_is_converted() {
    let dir = Scratch::new();
    make_root(EC, &dir);
    must("openssl ec -in plain.pem -out 'sec 1.key'", &dir);
    convert("sec 1.key", &[""], &dir);
}

#[test]
fn pkcs1_is_converted() {
    let dir = Scratch::new();
    make_root(RSA, &dir);
    must(
        "openssl rsa -traditional -in plain.pem -out pkcs1.key",
        &dir,
    );
    convert("pkcs1.key", &[""], &dir);
}

#[test]
fn der_is_converted() {
    let dir = Scratch::new();
    for kind in [EC, RSA] {
        make_root(kind, &dir);
        must("openssl pkey -in plain.pem -outform DER -out key.der", &dir);
        convert("key.der", &[""], &dir);
        must(
            "openssl pkey -traditional -in plain.pem -outform DER -out traditional.der",
            &dir,
        );
        convert("traditional.der", &[""], &dir);
    }
}

#[test]
fn an_encrypted_key_is_converted() {
    let dir = Scratch::new();
    make_root(EC, &dir);
    must(
        "openssl pkcs8 -topk8 -in plain.pem -passout pass:secret -out encrypted.key",
        &dir,
    );
    convert("encrypted.key", &["secret\n"], &dir);
}

#[test]
fn pkcs12_is_converted() {
    let dir = Scratch::new();
    make_root(RSA, &dir);
    must(
        "openssl pkcs12 -export -inkey plain.pem -in root_cert.pem -passout pass:secret -out root.p12",
        &dir,
    );
    convert("root.p12", &["secret\n"], &dir);
}

#[test]
fn a_java_keystore_is_converted() {
    if !has("keytool") {
        return;
    }
    let dir = Scratch::new();
    must(
        "keytool -genkeypair -alias root-cert -keyalg RSA -ext bc:c=ca:true -dname CN=root \
         -storetype JKS -storepass storepass -keypass keypass -keystore root.jks && \
         keytool -exportcert -rfc -alias root-cert -keystore root.jks -storepass storepass \
         -file root_cert.pem",
        &dir,
    );
    // New store's password twice, the old one's, the key's.
    let keytool = "secret1\nsecret1\nstorepass\nkeypass\n";
    convert("root.jks", &[keytool, "secret1\n"], &dir);
}

#[test]
fn a_keystore_in_the_certificates_place_is_named_with_a_command_as_well() {
    if !has("keytool") {
        return;
    }
    let dir = Scratch::new();
    make_root(RSA, &dir);
    must(
        "keytool -genkeypair -alias root-cert -keyalg RSA -ext bc:c=ca:true -dname CN=root \
         -storetype JKS -storepass storepass -keystore root.jks",
        &dir,
    );
    let wrong = Settings {
        root_cert: Some(dir.path("root.jks")),
        ..settings("plain.pem", &dir)
    };
    let refusal = Identity::new(&wrong).unwrap_err().to_string();
    let (_, command) = refusal.split_once("makes: ").expect(&refusal);
    let output = shell(command, "storepass\n", &dir);
    assert!(output.status.success(), "{command}\n{}", text(&output));
    must("openssl x509 -noout -in root.jks.pem", &dir);
}
