//! A raw TLS client: what curl and the docker command would never send.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned};

use super::PATIENCE;
use super::agent::{Agent, authorization};

/// The most that is read of one answer where a test sets no bound of its own.
const WHOLE: usize = 1 << 30;

/// A TLS connection to the agent with its root trusted.
pub struct Client {
    pub tls: StreamOwned<ClientConnection, TcpStream>,
    /// Bytes read past the last answer.
    left: Vec<u8>,
}

/// How the agent ended its side.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// By close_notify.
    Clean,
    /// By TCP's FIN alone: what was sent is not all.
    Cut,
    /// By a reset.
    Reset,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a field, by its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Fails unless this is an error of the agent's own, in Docker's form.
    #[track_caller]
    pub fn is_error(&self, status: u16) {
        assert_eq!(self.status, status, "{}{}", self.head, self.text());
        assert_eq!(
            self.field("content-type"),
            Some("application/json"),
            "{}",
            self.head
        );
        assert!(self.text().starts_with("{\"message\":"), "{}", self.text());
        assert!(self.text().trim_end().ends_with('}'), "{}", self.text());
    }
}

/// The value of a field of a head, by its name in lower case.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A request head with credentials; `fields` end in CRLF each.
pub fn head(method: &str, target: &str, fields: &str) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n{fields}\r\n",
        authorization()
    )
}

impl Client {
    #[track_caller]
    pub fn connect(agent: &Agent) -> Self {
        Self::with(agent, client_config(agent))
    }

    #[track_caller]
    pub fn with(agent: &Agent, config: ClientConfig) -> Self {
        Self::over(TcpStream::connect(agent.address()).unwrap(), config)
    }

    /// On a connection that there is already.
    #[track_caller]
    pub fn over(tcp: TcpStream, config: ClientConfig) -> Self {
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        Self {
            tls: StreamOwned::new(connection, tcp),
            left: Vec::new(),
        }
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.tls.write_all(bytes.as_ref()).unwrap();
        self.tls.flush().unwrap();
    }

    /// Sends one request with credentials and reads its answer.
    #[track_caller]
    pub fn ask(&mut self, method: &str, target: &str, fields: &str) -> Answer {
        self.send(head(method, target, fields));
        self.answer(method)
    }

    /// Reads until the head of an answer is whole.
    #[track_caller]
    pub fn answer_head(&mut self) -> String {
        loop {
            if let Some(end) = find(&self.left, b"\r\n\r\n") {
                let head = self.left.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            let more = self.more();
            let seen = String::from_utf8_lossy(&self.left);
            assert!(
                matches!(more, Ok(1..)),
                "{more:?} instead of an answer's head, after {seen:?}"
            );
        }
    }

    /// Reads one answer to a request of this method: 1xx heads are passed over.
    #[track_caller]
    pub fn answer(&mut self, method: &str) -> Answer {
        let mut head = self.answer_head();
        while status(&head) < 200 && status(&head) != 101 {
            head = self.answer_head();
        }
        let status = status(&head);
        let chunked = field(&head, "transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let length = field(&head, "content-length").map(|value| value.parse().unwrap());
        let body = match () {
            () if method == "HEAD" || status == 204 || status == 304 || status == 101 => Vec::new(),
            () if chunked => self.chunks(),
            () => match length {
                Some(length) => self.exactly(length),
                None => self.rest().0,
            },
        };
        Answer { status, head, body }
    }

    #[track_caller]
    pub fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.left.len() < length {
            let more = self.more();
            assert!(
                matches!(more, Ok(1..)),
                "{more:?} after {} of {length} bytes",
                self.left.len()
            );
        }
        self.left.drain(..length).collect()
    }

    /// Reads until the bytes are seen, which are returned with all before them.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> Vec<u8> {
        loop {
            if let Some(at) = find(&self.left, text.as_bytes()) {
                return self.left.drain(..at + text.len()).collect();
            }
            let more = self.more();
            let seen = String::from_utf8_lossy(&self.left);
            assert!(
                matches!(more, Ok(1..)),
                "{more:?} before {text:?}, after {seen:?}"
            );
        }
    }

    #[track_caller]
    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.until("\r\n")).unwrap();
            let length = usize::from_str_radix(line.trim(), 16).unwrap();
            body.extend(self.exactly(length));
            assert_eq!(self.exactly(2), b"\r\n");
            if length == 0 {
                return body;
            }
        }
    }

    /// All that still comes, and how it ends.
    #[track_caller]
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        self.rest_within(WHOLE)
    }

    #[track_caller]
    fn rest_within(&mut self, bound: usize) -> (Vec<u8>, End) {
        let end = loop {
            assert!(self.left.len() <= bound, "more than {bound} bytes");
            match self.more() {
                Ok(0) => break End::Clean,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break End::Cut,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break End::Reset,
                Err(error) => panic!("{error} after {} bytes", self.left.len()),
            }
        };
        (std::mem::take(&mut self.left), end)
    }

    /// Ends our direction by close_notify; the other stays open.
    #[track_caller]
    pub fn half_close(&mut self) {
        self.tls.conn.send_close_notify();
        self.tls.flush().unwrap();
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 1 << 14];
        let count = self.tls.read(&mut buffer)?;
        self.left.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

/// Trusts the agent's root and nothing else.
pub fn client_config(agent: &Agent) -> ClientConfig {
    client_config_for(agent, rustls::DEFAULT_VERSIONS)
}

pub fn client_config_for(
    agent: &Agent,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let pem = fs::read(&agent.root).unwrap();
    roots
        .add(CertificateDer::from_pem_slice(&pem).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Opens a connection and completes the handshake.
#[track_caller]
pub fn handshake(agent: &Agent, config: ClientConfig) -> Option<ProtocolVersion> {
    let mut client = Client::with(agent, config);
    while client.tls.conn.is_handshaking() {
        client.tls.conn.complete_io(&mut client.tls.sock).unwrap();
    }
    client.tls.conn.protocol_version()
}

/// The status code of a head.
#[track_caller]
pub fn status(head: &str) -> u16 {
    let code = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.trim().parse().ok());
    code.unwrap_or_else(|| panic!("no status in {head:?}"))
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}
