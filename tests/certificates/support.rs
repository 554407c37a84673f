//! A scratch directory, other programs, and a TLS server that answers like a very small Docker.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use haven_agent::tls::Settings;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A directory of its own for each test, gone with it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("haven-certificates-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A command in `dir` that trusts what it is told to and nothing of this machine's.
pub fn command(program: &str, dir: &Scratch) -> Command {
    let mut command = Command::new(program);
    command.current_dir(&dir.0).stdin(Stdio::null());
    for variable in [
        "CURL_CA_BUNDLE",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "JAVA_TOOL_OPTIONS",
        "DOCKER_HOST",
        "DOCKER_TLS_VERIFY",
        "DOCKER_CERT_PATH",
        "DOCKER_CONTEXT",
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ] {
        command.env_remove(variable);
    }
    command
}

/// A shell's command line in `dir`, with answers for what it asks. In a session of its own: with a
/// terminal openssl would ask there.
pub fn shell(line: &str, answers: &str, dir: &Scratch) -> Output {
    let mut child = command("setsid", dir)
        .args(["--wait", "sh", "-c", line])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that asks for nothing may have ended already.
    let _ = child.stdin.take().unwrap().write_all(answers.as_bytes());
    child.wait_with_output().unwrap()
}

/// Runs a command line that has to work.
pub fn must(line: &str, dir: &Scratch) -> String {
    let output = shell(line, "", dir);
    assert!(output.status.success(), "{line}\n{}", text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a program said, for messages and searches.
pub fn text(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&said).into_owned()
}

/// Whether a program is there; says that a test is skipped where it is not.
pub fn has(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        let _ = writeln!(std::io::stderr(), "SKIPPED: no {program} on this machine");
    }
    found
}

/// Settings outside a container, without names of the operator's.
pub fn plain_settings() -> Settings {
    Settings {
        host_root: PathBuf::from("/"),
        ..Settings::default()
    }
}

/// A root as the original's build makes it, by keytool, in PEM files.
pub fn keytool_root(kind: &str, dir: &Scratch) -> Settings {
    must(
        &format!(
            "keytool -genkeypair -alias root-cert -keyalg {kind} -ext bc:c=ca:true \
             -dname 'CN=codeabovelab.com, O=Code Above Lab LLC, C=US' -storetype JKS \
             -storepass storepass -keypass keypass -validity 3560 -keystore root.jks && \
             keytool -importkeystore -srckeystore root.jks -srcstorepass storepass \
             -srcalias root-cert -srckeypass keypass \
             -destkeystore root.p12 -deststoretype PKCS12 -deststorepass storepass && \
             openssl pkcs12 -in root.p12 -nodes -nokeys -passin pass:storepass -out root_cert.pem && \
             openssl pkcs12 -in root.p12 -nodes -nocerts -passin pass:storepass | \
             openssl pkcs8 -topk8 -nocrypt -out root_key.pem"
        ),
        dir,
    );
    Settings {
        root_cert: Some(dir.path("root_cert.pem")),
        root_key: Some(dir.path("root_key.pem")),
        ..plain_settings()
    }
}

/// Serves `/_ping`, `/version` and 404 over TLS until it is dropped.
pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(config: Arc<ServerConfig>, address: &str) -> Server {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let config = Arc::clone(&config);
                thread::spawn(move || serve(stream.unwrap(), config));
            }
        });
        Server {
            address,
            stop,
            thread: Some(thread),
        }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One connection, one request; a client that refuses us ends it early.
fn serve(stream: TcpStream, config: Arc<ServerConfig>) {
    const PATIENCE: Duration = Duration::from_secs(60);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut bytes = [0; 1024];
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(read) => head.extend_from_slice(&bytes[..read]),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match path {
        "/_ping" => ("200 OK", "OK"),
        path if path.ends_with("/version") => (
            "200 OK",
            r#"{"Version":"9.8.7","ApiVersion":"1.41","MinAPIVersion":"1.12","Os":"linux","Arch":"amd64"}"#,
        ),
        _ => ("404 Not Found", r#"{"message":"page not found"}"#),
    };
    let body = if head.starts_with("HEAD ") { "" } else { body };
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nApi-Version: 1.41\r\nOstype: linux\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

/// The certificates that a server on this port shows, in PEM, the server's own first.
pub fn shown_certificates(port: u16, dir: &Scratch) -> Vec<String> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let shown = text(&shell(
        &format!("openssl s_client -connect 127.0.0.1:{port} -showcerts"),
        "",
        dir,
    ));
    shown
        .split(BEGIN)
        .skip(1)
        .map(|part| format!("{BEGIN}{}{END}\n", part.split(END).next().unwrap()))
        .collect()
}

/// What `openssl x509` reads in the certificate at `path`.
pub fn described(path: &Path, dir: &Scratch) -> String {
    must(
        &format!(
            "openssl x509 -noout -text -fingerprint -sha256 -in '{}'",
            path.display()
        ),
        dir,
    )
}
