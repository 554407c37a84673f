//! A master that behaves as a test tells it to, on a real socket.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long anything is waited for that is sure to come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub head: String,
    pub body: String,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Whether its time has an offset.
    pub fn has_offset(&self) -> bool {
        let time = self.body.split('"').nth(3).unwrap();
        time.contains('+') || time.matches('-').count() > 2
    }
}

/// A connection to the agent.
pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// Listens until it is dropped.
pub struct Receiver {
    pub address: SocketAddr,
    requests: mpsc::Receiver<Received>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Answers each request as `behave` does; it gets what was asked, and the connection.
    pub fn new(behave: impl FnMut(&Received, &mut dyn Stream) + Send + 'static) -> Receiver {
        Receiver::start("127.0.0.1:0", None, behave).unwrap()
    }

    /// On another address, or with TLS.
    pub fn start(
        bind: &str,
        tls: Option<Arc<ServerConfig>>,
        mut behave: impl FnMut(&Received, &mut dyn Stream) + Send + 'static,
    ) -> std::io::Result<Receiver> {
        let listener = TcpListener::bind(bind)?;
        let address = listener.local_addr()?;
        let (sender, requests) = mpsc::channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let thread = thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream: Box<dyn Stream> = match &tls {
                    None => Box::new(socket),
                    Some(config) => {
                        let session = ServerConnection::new(Arc::clone(config)).unwrap();
                        Box::new(StreamOwned::new(session, socket))
                    }
                };
                // A client that does not trust us sends nothing.
                if let Some(received) = read_request(&mut stream) {
                    let _ = sender.send(received.clone());
                    behave(&received, &mut stream);
                }
            }
        });
        Ok(Receiver {
            address,
            requests,
            stopping,
            thread: Some(thread),
        })
    }

    /// The next request.
    pub fn next(&self) -> Received {
        self.requests
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("no request came to {}", self.address))
    }

    /// Whether no request is waiting.
    pub fn is_unasked(&self) -> bool {
        matches!(
            self.requests.recv_timeout(Duration::ZERO),
            Err(RecvTimeoutError::Timeout)
        )
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read_request(stream: &mut impl Read) -> Option<Received> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let mut received = Received {
        head: String::from_utf8(head).ok()?,
        body: String::new(),
    };
    let length = received.header("Content-Length")?.parse().ok()?;
    stream
        .take(length)
        .read_to_string(&mut received.body)
        .ok()?;
    Some(received)
}

/// A whole answer without a body.
pub fn answer(stream: &mut dyn Stream, status: &str) {
    send(
        stream,
        &format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    );
}

/// These bytes, if they are still wanted.
pub fn send(stream: &mut dyn Stream, bytes: &str) {
    let _ = stream.write_all(bytes.as_bytes());
    let _ = stream.flush();
}

/// Plays one behaviour after the other, and the last one for ever.
pub fn in_turn(
    mut turns: Vec<fn(&mut dyn Stream)>,
) -> impl FnMut(&Received, &mut dyn Stream) + Send + 'static {
    move |_, stream| {
        let turn = turns[0];
        if turns.len() > 1 {
            turns.remove(0);
        }
        turn(stream);
    }
}

/// A certificate authority of a test's own.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A server with a certificate for `name`.
    pub fn server(&self, name: &str) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

/// Everything that is logged in this process.
pub struct Lines(Mutex<Vec<String>>);

impl Lines {
    /// Begins to keep what is logged.
    pub fn keep() -> &'static Lines {
        static LINES: Lines = Lines(Mutex::new(Vec::new()));
        if log::set_logger(&LINES).is_ok() {
            log::set_max_level(log::LevelFilter::Debug);
        }
        &LINES
    }

    /// Those that are not DEBUG and hold all of `parts`.
    pub fn told(&self, parts: &[&str]) -> Vec<String> {
        self.with(parts, |line| !line.starts_with("DEBUG"))
    }

    /// Those of any level that hold all of `parts`.
    pub fn all(&self, parts: &[&str]) -> Vec<String> {
        self.with(parts, |_| true)
    }

    fn with(&self, parts: &[&str], wanted: fn(&str) -> bool) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines
            .iter()
            .filter(|line| wanted(line) && parts.iter().all(|part| line.contains(part)))
            .cloned()
            .collect()
    }

    /// Waits for such a line.
    pub fn wait_for(&self, parts: &[&str]) -> String {
        let mut waited = Duration::ZERO;
        let pause = Duration::from_millis(20);
        loop {
            if let Some(line) = self.told(parts).pop() {
                return line;
            }
            assert!(waited < PATIENCE, "{parts:?} was never told");
            thread::sleep(pause);
            waited += pause;
        }
    }
}

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        self.0.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}
