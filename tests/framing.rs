//! The corpus of `tests/wire` through TLS, the sockets and an engine that records: what arrives there is what the
//! corpus says and not one byte more, however the client's bytes come.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

mod support;
#[path = "wire/format.rs"]
mod wire;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use support::agent::{Agent, PASSWORD, Setup, basic};
use support::client::{Client, End};
use support::{PATIENCE, TempDir, eventually};
use wire::{Conversation, Ending, Names, Step};

/// What is put behind the last bytes of a client.
const TRAILING: &[u8] = b"GET /next HTTP/1.1\r\nHo";

/// The agent asks these itself; they are in no conversation.
const OWN: [&[u8]; 2] = [b"GET /info ", b"GET /containers/json"];

/// Ours, to see that all connections before it were accepted.
const MARK: &[u8] = b"mark";

/// What the engine does on one connection.
#[derive(Clone, Debug)]
enum Act {
    /// Reads on until all of this has come, counted from the connection's first byte.
    Await(usize),
    Say(Vec<u8>),
    Close,
}

/// One connection of a conversation: what the engine does, and what it has to receive in all.
#[derive(Clone, Debug, Default)]
struct Part {
    acts: Vec<Act>,
    expected: Vec<u8>,
}

/// An engine that follows a script for each connection and records every byte.
struct Recorder {
    socket: TempDir,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    parts: Mutex<Vec<Part>>,
    /// What came, a connection each, the agent's own questions left out.
    got: Mutex<Vec<Vec<u8>>>,
    open: AtomicUsize,
}

impl Recorder {
    fn start() -> Recorder {
        let socket = TempDir::new("recorder");
        let listener = UnixListener::bind(socket.join("docker.sock")).unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), state) = (stream, Arc::clone(&shared)) else {
                    return;
                };
                state.open.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    serve(stream, &state);
                    state.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Recorder { socket, state }
    }

    fn begin(&self, parts: Vec<Part>) {
        *self.state.parts.lock().unwrap() = parts;
        self.state.got.lock().unwrap().clear();
    }

    /// Waits until so many bytes have come in all, where all of them have to.
    fn wait_for(&self, count: usize, told: &Conversation) {
        let received = || self.state.got.lock().unwrap().concat().len();
        assert!(told.partly || eventually(|| received() >= count));
    }

    /// What came on each connection, after all of them have ended.
    fn end(&self) -> Vec<Vec<u8>> {
        // Connections are accepted in their order: after this one there is none of the conversation's to come.
        let mut mark = UnixStream::connect(self.socket.join("docker.sock")).unwrap();
        mark.write_all(MARK).unwrap();
        assert_eq!(mark.read(&mut [0; 1]).unwrap_or(0), 0);
        assert!(
            eventually(|| self.state.open.load(Ordering::SeqCst) == 0),
            "the agent does not let go of the engine"
        );
        self.state.got.lock().unwrap().clone()
    }
}

fn serve(mut stream: UnixStream, state: &State) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut got = Vec::new();
    let mut own = false;
    let mut index = None;
    let mut acts = Vec::new().into_iter();
    let mut act = None;
    loop {
        match act.take() {
            Some(Act::Await(count)) if got.len() < count => act = Some(Act::Await(count)),
            Some(Act::Say(bytes)) => {
                let _ = stream.write_all(&bytes);
                act = acts.next();
                continue;
            }
            Some(Act::Close) => {
                let _ = stream.shutdown(Shutdown::Write);
                act = acts.next();
                continue;
            }
            Some(Act::Await(_)) => {
                act = acts.next();
                continue;
            }
            None => {}
        }
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).unwrap_or(0);
        if count == 0 {
            return;
        }
        got.extend_from_slice(&buffer[..count]);
        if got == MARK {
            return;
        }
        if own || (index.is_none() && OWN.iter().any(|own| got.starts_with(own))) {
            own = true;
            if got.ends_with(b"\r\n\r\n") {
                let nothing = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
                let _ = stream.write_all(nothing.as_bytes());
                return;
            }
            continue;
        }
        let mut all = state.got.lock().unwrap();
        let index = *index.get_or_insert_with(|| {
            all.push(Vec::new());
            let part = state.parts.lock().unwrap().get(all.len() - 1).cloned();
            acts = part.unwrap_or_default().acts.into_iter();
            act = acts.next();
            all.len() - 1
        });
        if let Some(record) = all.get_mut(index) {
            record.clone_from(&got);
        }
    }
}

/// The engine's part of a conversation, by connections.
fn engines_part(told: &Conversation) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut is_new = true;
    for step in &told.steps {
        if matches!(step, Step::NewConnection) {
            is_new = true;
        }
        if matches!(step, Step::DockerGets(_)) && is_new {
            parts.push(Part::default());
            is_new = false;
        }
        let Some(part) = parts.last_mut() else {
            continue;
        };
        match step {
            Step::DockerGets(bytes) => {
                part.expected.extend(bytes);
                // Of a request that is given up nobody knows how much arrives.
                if !told.partly {
                    part.acts.push(Act::Await(part.expected.len()));
                }
            }
            Step::Docker(bytes) => part.acts.push(Act::Say(bytes.clone())),
            Step::DockerCloses => part.acts.push(Act::Close),
            _ => {}
        }
    }
    parts
}

/// How a client's bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Whole,
    ByteByByte,
    WithMoreBehind,
}

struct Stage {
    recorder: Recorder,
    agent: Agent,
    _users: TempDir,
}

impl Stage {
    fn new() -> Stage {
        let recorder = Recorder::start();
        let users = TempDir::new("users");
        let hash = bcrypt::hash(PASSWORD, 4).unwrap();
        std::fs::write(users.join("users"), format!("bob:{hash}\n")).unwrap();
        let agent = Setup::new()
            .docker(&recorder.socket.join("docker.sock"))
            .args(&["--users", &users.join("users").display().to_string()])
            .start();
        Stage {
            recorder,
            agent,
            _users: users,
        }
    }

    fn play(&self, told: &Conversation, manner: Manner) {
        // Shown with a failure.
        println!("--- {} ({manner:?})", told.name);
        let parts = engines_part(told);
        let expected: Vec<Vec<u8>> = parts.iter().map(|part| part.expected.clone()).collect();
        self.recorder.begin(parts);
        let mut client = Client::connect(&self.agent);
        let last = told
            .steps
            .iter()
            .rposition(|step| matches!(step, Step::Client(_)));
        let mut received = 0;
        for (at, step) in told.steps.iter().enumerate() {
            match step {
                Step::Client(bytes) if Some(at) == last && manner == Manner::WithMoreBehind => {
                    say(&mut client, &[bytes, TRAILING].concat(), manner);
                }
                Step::Client(bytes) => say(&mut client, bytes, manner),
                Step::ClientGets(bytes) => {
                    assert_eq!(
                        text(&client.exactly(bytes.len())),
                        text(bytes),
                        "the client"
                    );
                }
                Step::ClientCloses => {
                    self.recorder.wait_for(received, told);
                    client.half_close();
                }
                Step::DockerGets(bytes) => received += bytes.len(),
                _ => {}
            }
        }
        self.see_the_end(&mut client, told);
        drop(client);
        let got = self.recorder.end();
        let got: Vec<String> = got.iter().map(|bytes| text(bytes)).collect();
        let expected: Vec<String> = expected.iter().map(|bytes| text(bytes)).collect();
        if told.partly {
            let beginning = |(got, whole): (&String, &String)| whole.starts_with(got.as_str());
            assert!(got.len() <= expected.len(), "{got:?}");
            assert!(got.iter().zip(&expected).all(beginning), "{got:?}");
        } else {
            assert_eq!(got, expected, "the engine");
        }
    }

    /// Nothing more comes, and the connection ends as it should.
    fn see_the_end(&self, client: &mut Client, told: &Conversation) {
        if told.ending == Ending::Kept {
            client.half_close();
        }
        let (more, end) = client.rest();
        assert_eq!(text(&more), "", "behind the answers");
        match told.ending {
            Ending::Cut => assert_ne!(end, End::Clean, "the client cannot know of the cut"),
            _ => assert_eq!(end, End::Clean),
        }
    }
}

/// The agent may have closed meanwhile: that a part cannot be sent is no failure.
fn say(client: &mut Client, bytes: &[u8], manner: Manner) {
    let size = match manner {
        Manner::ByteByByte => 1,
        _ => bytes.len().max(1),
    };
    for piece in bytes.chunks(size) {
        let sent = client
            .tls
            .write_all(piece)
            .and_then(|()| client.tls.flush());
        if sent.is_err() {
            return;
        }
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn conversations() -> Vec<Conversation> {
    wire::all(&Names {
        admin: &basic("admin", PASSWORD),
        reader: &basic("bob", PASSWORD),
    })
}

#[test]
fn what_arrives_is_what_was_judged() {
    let stage = Stage::new();
    for told in conversations() {
        stage.play(&told, Manner::Whole);
    }
}

#[test]
fn what_arrives_byte_by_byte_is_the_same() {
    /// Each byte is a record of TLS.
    const SHORT: usize = 1000;
    let stage = Stage::new();
    for told in conversations() {
        let is_short = |step: &Step| !matches!(step, Step::Client(bytes) if bytes.len() > SHORT);
        if told.steps.iter().all(is_short) {
            stage.play(&told, Manner::ByteByByte);
        }
    }
}

#[test]
fn what_comes_behind_changes_nothing() {
    let stage = Stage::new();
    for told in conversations().iter().filter(|told| !told.alone) {
        stage.play(told, Manner::WithMoreBehind);
    }
}
