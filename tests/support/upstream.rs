//! A scripted Docker engine on a Unix socket, for the answers that the real one gives once a year.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::{PATIENCE, TempDir, eventually};

/// The reporter asks these on its own; they are answered here, and no script sees them.
const OWN_REQUESTS: [&str; 2] = ["/info", "/containers/json"];

/// One connection whose first request head was read.
pub struct Connection {
    pub stream: UnixStream,
    /// The first request's head.
    pub head: String,
    /// Bytes that came with it.
    left: Vec<u8>,
    /// 0 for the first connection that carries a test's request.
    pub number: usize,
    shared: Arc<Shared>,
}

impl Connection {
    /// Reads the next request's head; empty when the agent closed instead.
    pub fn next_head(&mut self) -> String {
        let head = read_head(&mut self.stream, &mut self.left).unwrap_or_default();
        self.head.clone_from(&head);
        head
    }

    #[track_caller]
    pub fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.left.len() < length {
            assert_ne!(
                self.more(),
                0,
                "the agent closed after {} of {length} bytes",
                self.left.len()
            );
        }
        self.left.drain(..length).collect()
    }

    /// All that the agent sends until its end of file.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more() > 0 {}
        std::mem::take(&mut self.left)
    }

    /// Errors are the agent's right: it may have gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// `Upstream::replace_socket` ends this connection as well.
    pub fn close_when_replaced(&self) {
        self.shared
            .bound
            .lock()
            .unwrap()
            .push(self.stream.try_clone().unwrap());
    }

    /// Whether the agent has closed both directions. Nothing is sent to find out: the peer of a Unix socket
    /// that is gone altogether makes even an empty write fail.
    pub fn is_abandoned(&mut self) -> bool {
        self.stream.write(&[]).is_err()
    }

    pub fn half_close(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn more(&mut self) -> usize {
        let mut buffer = [0; 1 << 14];
        let count = self.stream.read(&mut buffer).unwrap_or(0);
        self.left.extend_from_slice(&buffer[..count]);
        count
    }
}

type Script = dyn Fn(Connection) + Send + Sync;

/// The listening engine; it stops when dropped.
pub struct Upstream {
    dir: TempDir,
    shared: Arc<Shared>,
}

struct Shared {
    script: Box<Script>,
    stopping: AtomicBool,
    connections: AtomicUsize,
    open: AtomicUsize,
    heads: Mutex<Vec<String>>,
    /// Connections that end with the socket.
    bound: Mutex<Vec<UnixStream>>,
}

impl Upstream {
    /// Runs `script` on a thread for each connection.
    pub fn start(script: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        let dir = TempDir::new("engine");
        let shared = Arc::new(Shared {
            script: Box::new(script),
            stopping: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            heads: Mutex::new(Vec::new()),
            bound: Mutex::new(Vec::new()),
        });
        listen(&dir.join("docker.sock"), &shared);
        Self { dir, shared }
    }

    /// Answers every request on every connection the same way; request bodies are not read.
    pub fn answering(answer: &'static str) -> Self {
        Self::start(
            move |mut connection| {
                while connection.send(answer) && !connection.next_head().is_empty() {}
            },
        )
    }

    /// Answers the first request of every connection, then closes.
    pub fn answering_once(answer: &'static str) -> Self {
        Self::start(move |mut connection| {
            connection.send(answer);
        })
    }

    /// As `answering`, and its connections end when the socket is replaced.
    pub fn answering_until_replaced(answer: &'static str) -> Self {
        Self::start(move |mut connection| {
            connection.close_when_replaced();
            while connection.send(answer) && !connection.next_head().is_empty() {}
        })
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("docker.sock")
    }

    /// Connections so far that carried a test's request.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Those whose script has not ended.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// The first heads of the connections so far.
    pub fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }

    /// Waits until no script runs: the agent let go of all its connections.
    #[track_caller]
    pub fn wait_until_idle(&self) {
        assert!(
            eventually(|| self.open() == 0),
            "{} connections are still open",
            self.open()
        );
    }

    /// As a restarted dockerd: the socket file is another one.
    pub fn replace_socket(&self) {
        std::fs::remove_file(self.socket()).unwrap();
        for stream in self.shared.bound.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        listen(&self.socket(), &self.shared);
    }

    /// As a stopped dockerd; what is open stays open.
    pub fn remove_socket(&self) {
        std::fs::remove_file(self.socket()).unwrap();
    }

    /// As a dockerd that was started again.
    pub fn listen_again(&self) {
        listen(&self.socket(), &self.shared);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the accept.
        let _ = UnixStream::connect(self.socket());
    }
}

fn listen(path: &Path, shared: &Arc<Shared>) {
    let listener = UnixListener::bind(path).unwrap();
    let shared = shared.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            if shared.stopping.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { return };
            let shared = shared.clone();
            thread::spawn(move || serve(stream, &shared));
        }
    });
}

fn serve(mut stream: UnixStream, shared: &Arc<Shared>) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut left = Vec::new();
    let Ok(head) = read_head(&mut stream, &mut left) else {
        return;
    };
    let target = head.split(' ').nth(1).unwrap_or_default();
    if OWN_REQUESTS.iter().any(|own| target.starts_with(own)) {
        let body = if target.starts_with("/info") {
            "{\"Name\":\"scripted\"}"
        } else {
            "[]"
        };
        let length = body.len();
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        return;
    }
    shared.open.fetch_add(1, Ordering::SeqCst);
    shared.heads.lock().unwrap().push(head.clone());
    let number = shared.connections.fetch_add(1, Ordering::SeqCst);
    (shared.script)(Connection {
        stream,
        head,
        left,
        number,
        shared: shared.clone(),
    });
    shared.open.fetch_sub(1, Ordering::SeqCst);
}

fn read_head(stream: &mut UnixStream, left: &mut Vec<u8>) -> io::Result<String> {
    let mut buffer = [0; 1 << 14];
    loop {
        if let Some(end) = left.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = left.drain(..end + 4).collect();
            return Ok(String::from_utf8(head).unwrap());
        }
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => left.extend_from_slice(&buffer[..count]),
        }
    }
}
