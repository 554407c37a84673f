//! Real clients, real validation: names and addresses, TLS 1.2 and 1.3, each kind of root.

use haven_agent::tls::{Identity, Settings, root_certificate};

use crate::support::{
    Scratch, Server, command, described, has, keytool_root, must, plain_settings, shell,
    shown_certificates, text,
};

/// A server that shows what these settings make, and the root in a file for clients to trust.
fn start(settings: &Settings, dir: &Scratch) -> Server {
    dir.write("trusted.pem", root_certificate(settings).unwrap().pem);
    let identity = Identity::new(settings).unwrap();
    Server::start(identity.server().config.clone(), "127.0.0.1:0")
}

/// `openssl s_client` against the port; `None` where openssl is missing.
fn s_client(options: &str, port: u16, dir: &Scratch) -> (bool, String) {
    let line = format!(
        "openssl s_client -connect 127.0.0.1:{port} -CAfile trusted.pem -no-CApath -no-CAstore \
         -verify_return_error -ign_eof {options}"
    );
    let request = "GET /_ping HTTP/1.1\r\nHost: node\r\n\r\n";
    let output = shell(&line, request, dir);
    let said = text(&output);
    (
        output.status.success() && said.contains("Verify return code: 0 (ok)"),
        said,
    )
}

fn openssl_accepts(settings: &Settings, dir: &Scratch) {
    let server = start(settings, dir);
    for version in ["-tls1_2", "-tls1_3"] {
        for name in [
            "-verify_ip 127.0.0.1",
            "-verify_ip ::1",
            "-verify_hostname localhost",
            "-verify_hostname node.example",
            "-verify_ip 10.20.30.40",
        ] {
            let (accepted, said) = s_client(&format!("{version} {name}"), server.port(), dir);
            assert!(accepted, "{version} {name}\n{said}");
        }
        for wrong in ["-verify_ip 10.20.30.41", "-verify_hostname other.example"] {
            let (accepted, said) = s_client(&format!("{version} {wrong}"), server.port(), dir);
            assert!(!accepted, "{version} {wrong}\n{said}");
        }
    }
}

fn curl_accepts(settings: &Settings, dir: &Scratch) {
    if !has("curl") {
        return;
    }
    let server = start(settings, dir);
    for version in ["--tlsv1.2 --tls-max 1.2", "--tlsv1.3"] {
        for host in ["localhost", "127.0.0.1"] {
            let url = format!("https://{host}:{}/_ping", server.port());
            let line = format!("curl -sS --ipv4 {version} --cacert trusted.pem {url}");
            assert_eq!(must(&line, dir), "OK", "{line}");
        }
    }
    let other = format!("curl -sS https://127.0.0.1:{}/_ping", server.port());
    assert!(
        !shell(&other, "", dir).status.success(),
        "trusted by nobody"
    );
}

fn docker_accepts(settings: &Settings, dir: &Scratch) {
    if !has("docker") {
        return;
    }
    let server = start(settings, dir);
    for host in ["127.0.0.1", "localhost"] {
        let output = command("docker", dir)
            .args(["--config", "docker-config", "--tlsverify"])
            .args(["--tlscacert", "trusted.pem"])
            .args(["--host", &format!("tcp://{host}:{}", server.port())])
            .args(["version", "--format", "{{.Server.Version}}"])
            .output()
            .unwrap();
        assert!(
            output.status.success() && text(&output).contains("9.8.7"),
            "{host}: {}",
            text(&output)
        );
    }
}

/// A manager's JDK: a path built from its trust store, and the host name checked.
const JAVA_CLIENT: &str = r#"
import java.io.InputStream;
import java.net.URL;
import javax.net.ssl.HttpsURLConnection;

public class Client {
    public static void main(String[] urls) throws Exception {
        for (String url : urls) {
            HttpsURLConnection connection = (HttpsURLConnection) new URL(url).openConnection();
            try (InputStream body = connection.getInputStream()) {
                System.out.println(connection.getCipherSuite() + " " + new String(body.readAllBytes()));
            }
        }
    }
}
"#;

fn java_accepts(settings: &Settings, dir: &Scratch) {
    if !has("keytool") || !has("java") {
        return;
    }
    let server = start(settings, dir);
    let store = "-keystore trust.p12 -storetype PKCS12 -storepass storepass -noprompt";
    must(
        &format!("keytool -importcert -alias root-cert -file trusted.pem {store}"),
        dir,
    );
    // Without a terminal keytool takes a certificate only when it can trust who signed it.
    dir.write("leaf.pem", &shown_certificates(server.port(), dir)[0]);
    let import = "keytool -importcert -trustcacerts -alias leaf -file leaf.pem \
                  -keystore trust.p12 -storepass storepass";
    let imported = shell(import, "", dir);
    assert!(imported.status.success(), "{}", text(&imported));
    must(
        "keytool -delete -alias leaf -keystore trust.p12 -storepass storepass",
        dir,
    );
    dir.write("Client.java", JAVA_CLIENT);
    for version in ["TLSv1.2", "TLSv1.3"] {
        let line = format!(
            "java -Djdk.tls.client.protocols={version} -Djava.net.preferIPv4Stack=true \
             -Djavax.net.ssl.trustStore=trust.p12 -Djavax.net.ssl.trustStorePassword=storepass \
             Client.java https://127.0.0.1:{port}/_ping https://localhost:{port}/_ping",
            port = server.port()
        );
        let said = must(&line, dir);
        assert_eq!(said.matches(" OK").count(), 2, "{version}: {said}");
    }
}

/// Everybody's verdict on what a root signs.
fn all_accept(settings: Settings, dir: &Scratch) {
    let settings = Settings {
        // An underscore is not DNS's but is found in host names: clients must get over it.
        names: ["node.example", "10.20.30.40", "my_board"]
            .map(str::to_owned)
            .to_vec(),
        ..settings
    };
    openssl_accepts(&settings, dir);
    curl_accepts(&settings, dir);
    docker_accepts(&settings, dir);
    java_accepts(&settings, dir);
}

#[test]
fn clients_accept_what_the_built_in_root_signs() {
    all_accept(plain_settings(), &Scratch::new());
}

#[test]
fn clients_accept_what_a_keytool_rsa_root_signs() {
    if has("keytool") {
        let dir = Scratch::new();
        all_accept(keytool_root("RSA", &dir), &dir);
    }
}

#[test]
fn clients_accept_what_a_keytool_ec_root_signs() {
    if has("keytool") {
        let dir = Scratch::new();
        all_accept(keytool_root("EC", &dir), &dir);
    }
}

#[test]
fn a_root_with_an_uncommon_name_signs_under_that_very_name() {
    let dir = Scratch::new();
    // Attributes that repeat, one RDN of two attributes, a T61String, a P-384 key.
    dir.write(
        "root.conf",
        "[req]\ndistinguished_name=dn\nx509_extensions=ca\nprompt=no\nstring_mask=pkix\n\
         [dn]\n0.DC=example\n1.DC=corp\n0.OU=one\n1.OU=two\nO=M\\xfcller\nCN=root\n+UID=7\n\
         [ca]\nbasicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=none\n",
    );
    must(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -config root.conf \
         -days 30 -keyout root_key.pem -out root_cert.pem",
        &dir,
    );
    let settings = Settings {
        root_cert: Some(dir.path("root_cert.pem")),
        root_key: Some(dir.path("root_key.pem")),
        ..plain_settings()
    };
    let server = start(&settings, &dir);
    let (accepted, said) = s_client("-verify_hostname localhost", server.port(), &dir);
    assert!(accepted, "{said}");
    docker_accepts(&settings, &dir);
}

#[test]
fn openssl_finds_no_fault_with_the_certificates_of_the_built_in_root() {
    let dir = Scratch::new();
    let server = start(&plain_settings(), &dir);
    let (accepted, said) = s_client(
        "-x509_strict -purpose sslserver -verify_hostname localhost",
        server.port(),
        &dir,
    );
    assert!(accepted, "{said}");
}

#[test]
fn the_certificate_says_what_it_is_for_and_lives_as_long_as_the_root() {
    let dir = Scratch::new();
    let settings = plain_settings();
    let server = start(&settings, &dir);
    let shown = shown_certificates(server.port(), &dir);
    assert_eq!(shown.len(), 2, "leaf and root");
    let leaf = described(&dir.write("leaf.pem", &shown[0]), &dir);
    let root = described(&dir.write("root.pem", &shown[1]), &dir);
    for line in [
        "Version: 3",
        "TLS Web Server Authentication",
        "CA:FALSE",
        "Digital Signature",
        "DNS:localhost",
        "IP Address:127.0.0.1",
        "IP Address:0:0:0:0:0:0:0:1",
        "Issuer: CN = codeabovelab.com, O = Code Above Lab LLC, C = US",
    ] {
        assert!(leaf.contains(line), "{line}\n{leaf}");
    }
    for line in [
        "CA:TRUE",
        "Certificate Sign, CRL Sign",
        "Subject: CN = codeabovelab.com, O = Code Above Lab LLC, C = US",
    ] {
        assert!(root.contains(line), "{line}\n{root}");
    }
    let line_with = |text: &str, start: &str| {
        let found = text.lines().find(|line| line.trim().starts_with(start));
        found.unwrap_or_default().trim().to_owned()
    };
    for bound in ["Not Before:", "Not After :"] {
        assert_eq!(line_with(&leaf, bound), line_with(&root, bound));
    }
    let told = root_certificate(&settings).unwrap();
    assert_eq!(told.pem, shown[1]);
    assert!(
        line_with(&root, "sha256 Fingerprint").ends_with(&told.sha256),
        "{root}"
    );
}

#[test]
fn a_root_made_here_is_valid_for_3560_days() {
    let dir = Scratch::new();
    let root = dir.write("root.pem", root_certificate(&plain_settings()).unwrap().pem);
    let date = |which: &str| {
        let line = must(
            &format!("openssl x509 -noout -{which} -in '{}'", root.display()),
            &dir,
        );
        let date = line.trim().split('=').nth(1).unwrap().to_owned();
        must(&format!("date -d '{date}' +%s"), &dir)
            .trim()
            .parse::<i64>()
            .unwrap()
    };
    if std::env::var_os("HAVEN_ROOT_CERT").is_none() {
        assert_eq!(date("enddate") - date("startdate"), 3560 * 24 * 60 * 60);
    }
}

#[test]
fn http_1_is_the_only_protocol_and_may_be_left_unsaid() {
    let dir = Scratch::new();
    let server = start(&plain_settings(), &dir);
    let (accepted, said) = s_client("-alpn h2,http/1.1", server.port(), &dir);
    assert!(
        accepted && said.contains("ALPN protocol: http/1.1"),
        "{said}"
    );
    let (accepted, said) = s_client("-alpn http/1.0", server.port(), &dir);
    assert!(
        accepted && said.contains("ALPN protocol: http/1.0"),
        "{said}"
    );
    let (accepted, said) = s_client("", server.port(), &dir);
    assert!(accepted && said.contains("No ALPN negotiated"), "{said}");
    let (accepted, said) = s_client("-alpn h2", server.port(), &dir);
    assert!(!accepted, "{said}");
}

#[test]
fn sessions_are_resumed_in_both_versions() {
    let dir = Scratch::new();
    let server = start(&plain_settings(), &dir);
    for version in ["-tls1_2", "-tls1_3"] {
        let (_, first) = s_client(&format!("{version} -sess_out session"), server.port(), &dir);
        assert!(first.contains("New, "), "{version}\n{first}");
        let (_, second) = s_client(&format!("{version} -sess_in session"), server.port(), &dir);
        assert!(second.contains("Reused, "), "{version}\n{second}");
    }
}
