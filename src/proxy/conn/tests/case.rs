//! A conversation, told step by step, and what has to come of it at any pace.

use std::time::Duration;

use super::super::Close;
use super::shell::{Dial, Pace, Shell};
use crate::auth::Verdict;
use crate::http::head::MAX_FIELDS;
use crate::proxy::reply::Reply;

/// The verdicts, as a case may say them more than once.
#[derive(Clone, Copy)]
pub(super) enum Say {
    Allowed,
    /// It is the one who may only read.
    Reader,
    /// It is the one whose bodies are judged.
    Maker,
    Refused,
    Overloaded,
}

#[derive(Clone)]
enum Step {
    Client(Vec<u8>),
    ClientNotifies,
    ClientEnds,
    Docker(Vec<u8>),
    DockerEnds,
    DockerBreaks,
    DockerDeaf,
    Opens,
    Fails,
    Verdict(Say),
    Wait(Duration),
    Drain,
    /// How much the client, and Docker, take from now on.
    Rooms(usize, usize),
}

/// How a conversation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Kept,
    Finished,
    Cut,
    Gone,
}

pub(super) struct Case {
    steps: Vec<Step>,
    by_hand: bool,
    log_reads: bool,
    max_fields: usize,
    trailing: Option<&'static [u8]>,
    links: Vec<Vec<u8>>,
    partly: bool,
    shut: bool,
    answer: Vec<u8>,
    end: End,
    records: Option<Vec<String>>,
}

/// A conversation in which nothing is said, and nothing comes of it.
pub(super) fn case() -> Case {
    Case {
        steps: Vec::new(),
        by_hand: false,
        log_reads: true,
        max_fields: MAX_FIELDS,
        trailing: None,
        links: Vec::new(),
        partly: false,
        shut: false,
        answer: Vec::new(),
        end: End::Kept,
        records: None,
    }
}

/// Whole, byte by byte, and with each side slow by itself.
const PACES: [(usize, Pace); 5] = [
    (usize::MAX, pace(usize::MAX, usize::MAX)),
    (1, pace(1, usize::MAX)),
    (1, pace(1, 1)),
    (usize::MAX, pace(7, 13)),
    (usize::MAX, pace(usize::MAX, 1)),
];

const fn pace(read: usize, write: usize) -> Pace {
    Pace { read, write }
}

impl Case {
    // ------------------------------------------------------------ what happens

    fn step(mut self, step: Step) -> Case {
        self.steps.push(step);
        self
    }

    pub(super) fn client(self, bytes: impl AsRef<[u8]>) -> Case {
        self.step(Step::Client(bytes.as_ref().to_vec()))
    }

    pub(super) fn client_notifies(self) -> Case {
        self.step(Step::ClientNotifies)
    }

    pub(super) fn client_ends(self) -> Case {
        self.step(Step::ClientEnds)
    }

    pub(super) fn docker(self, bytes: impl AsRef<[u8]>) -> Case {
        self.step(Step::Docker(bytes.as_ref().to_vec()))
    }

    pub(super) fn docker_ends(self) -> Case {
        self.step(Step::DockerEnds)
    }

    /// It ends by a reset.
    pub(super) fn docker_breaks(self) -> Case {
        self.step(Step::DockerBreaks)
    }

    /// From now on writes to Docker fail.
    pub(super) fn docker_deaf(self) -> Case {
        self.step(Step::DockerDeaf)
    }

    /// Connections to Docker are made by [`opens`](Case::opens) and [`fails`](Case::fails).
    pub(super) fn dial_by_hand(mut self) -> Case {
        self.by_hand = true;
        self
    }

    pub(super) fn opens(self) -> Case {
        self.step(Step::Opens)
    }

    pub(super) fn fails(self) -> Case {
        self.step(Step::Fails)
    }

    pub(super) fn verdict(self, say: Say) -> Case {
        self.step(Step::Verdict(say))
    }

    pub(super) fn wait(self, time: Duration) -> Case {
        self.step(Step::Wait(time))
    }

    pub(super) fn drain(self) -> Case {
        self.step(Step::Drain)
    }

    pub(super) fn rooms(self, client: usize, docker: usize) -> Case {
        self.step(Step::Rooms(client, docker))
    }

    pub(super) fn without_reads(mut self) -> Case {
        self.log_reads = false;
        self
    }

    pub(super) fn max_fields(mut self, count: usize) -> Case {
        self.max_fields = count;
        self
    }

    /// Played again with the beginning of a next request behind the client's last bytes.
    pub(super) fn trailing(mut self) -> Case {
        self.trailing = Some(b"GET /next HTTP/1.1\r\nHo");
        self
    }

    // ------------------------------------------------------------ what comes of it

    /// The bytes that Docker receives on a connection, one call for each connection.
    pub(super) fn sees(mut self, bytes: impl AsRef<[u8]>) -> Case {
        self.links.push(bytes.as_ref().to_vec());
        self
    }

    /// Docker sees no more than a part of that, depending on how the bytes come.
    pub(super) fn partly(mut self) -> Case {
        self.partly = true;
        self
    }

    /// Docker's input is shut down behind it.
    pub(super) fn shuts(mut self) -> Case {
        self.shut = true;
        self
    }

    pub(super) fn answers(mut self, bytes: impl AsRef<[u8]>) -> Case {
        self.answer.extend(bytes.as_ref());
        self
    }

    pub(super) fn ends(mut self, end: End) -> Case {
        self.end = end;
        self
    }

    pub(super) fn logs(mut self, records: &[&str]) -> Case {
        self.records = Some(records.iter().map(|&record| record.into()).collect());
        self
    }

    // ------------------------------------------------------------ playing

    #[track_caller]
    pub(super) fn check(self) {
        for (feed, pace) in PACES {
            self.compare(
                &self.play(feed, pace, &[]),
                &format!("feed {feed} {pace:?}"),
            );
            if let Some(trailing) = self.trailing {
                let name = format!("trailing, feed {feed} {pace:?}");
                self.compare(&self.play(feed, pace, trailing), &name);
            }
        }
    }

    /// For what is too long to be played byte by byte.
    #[track_caller]
    pub(super) fn check_long(self) {
        for pace in [PACES[0].1, pace(5000, 4999)] {
            self.compare(&self.play(usize::MAX, pace, &[]), &format!("{pace:?}"));
        }
    }

    /// Each side's bytes come in two parts, cut at each place of the `longest` there are.
    #[track_caller]
    pub(super) fn check_cuts(self, longest: usize) {
        for at in 1..longest {
            self.compare(
                &self.play(Feed::CutAt(at), PACES[0].1, &[]),
                &format!("cut at {at}"),
            );
        }
    }

    fn play(&self, feed: impl Into<Feed>, pace: Pace, trailing: &[u8]) -> Shell {
        let feed = feed.into();
        let mut shell = Shell::new(pace, self.log_reads);
        shell.conn.sizes.head.fields = self.max_fields;
        if self.by_hand {
            shell.dial = Dial::ByHand;
        }
        let last = self
            .steps
            .iter()
            .rposition(|step| matches!(step, Step::Client(_)));
        shell.settle();
        for (position, step) in self.steps.iter().enumerate() {
            match step {
                Step::Client(bytes) if Some(position) == last => {
                    feed_client(&mut shell, &[bytes, trailing].concat(), feed);
                }
                Step::Client(bytes) => feed_client(&mut shell, bytes, feed),
                Step::Docker(bytes) => feed_docker(&mut shell, bytes, feed),
                step => act(&mut shell, step),
            }
            shell.settle();
        }
        shell
    }

    #[track_caller]
    fn compare(&self, shell: &Shell, name: &str) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(
            text(&shell.client_got),
            text(&self.answer),
            "{name}: client"
        );
        let seen: Vec<String> = shell.links.iter().map(|link| text(&link.got)).collect();
        let expected: Vec<String> = self.links.iter().map(|link| text(link)).collect();
        if self.partly {
            let all = |(seen, expected): (&String, &String)| expected.starts_with(seen.as_str());
            assert!(seen.iter().zip(&expected).all(all), "{name}: {seen:?}");
        } else {
            assert_eq!(seen, expected, "{name}: Docker");
        }
        assert!(
            seen.iter().all(|seen| !seen.contains("Authorization")),
            "{name}: credentials at Docker"
        );
        let shut = shell.links.last().is_some_and(|link| link.shut);
        assert_eq!(shut, self.shut, "{name}: SHUT_WR");
        let end = match shell.closed {
            None => End::Kept,
            Some(Close::Finished(_)) => End::Finished,
            Some(Close::Cut(_)) => End::Cut,
            Some(Close::Gone(_)) => End::Gone,
        };
        assert_eq!(end, self.end, "{name}: {:?}", shell.closed);
        if let Some(records) = &self.records {
            assert_eq!(&shell.records, records, "{name}: records");
        }
    }
}

/// In which parts a side's bytes come.
#[derive(Clone, Copy)]
enum Feed {
    Pieces(usize),
    CutAt(usize),
}

impl From<usize> for Feed {
    fn from(size: usize) -> Feed {
        Feed::Pieces(size)
    }
}

impl Feed {
    fn parts(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Feed::Pieces(size) => bytes.chunks(size.min(bytes.len()).max(1)).collect(),
            Feed::CutAt(at) => {
                let (first, second) = bytes.split_at(at.min(bytes.len()));
                vec![first, second]
            }
        }
    }
}

fn feed_client(shell: &mut Shell, bytes: &[u8], feed: Feed) {
    for piece in feed.parts(bytes) {
        shell.client_wire.extend(piece);
        shell.settle();
    }
}

/// Docker speaks on the connection that it has; bytes for one that is closed are lost.
fn feed_docker(shell: &mut Shell, bytes: &[u8], feed: Feed) {
    for piece in feed.parts(bytes) {
        if let Some(link) = shell.link() {
            link.wire.extend(piece);
        }
        shell.settle();
    }
}

fn act(shell: &mut Shell, step: &Step) {
    match step {
        Step::ClientNotifies => shell.client_notifies = true,
        Step::ClientEnds => shell.client_ends = true,
        Step::DockerEnds => shell.link().expect("no connection to end").ends = true,
        Step::DockerBreaks => {
            let link = shell.link().expect("no connection to break");
            (link.ends, link.breaks) = (true, true);
        }
        Step::DockerDeaf => shell.link().expect("no connection").deaf = true,
        Step::Opens => shell.connected(None),
        Step::Fails => shell.connected(Some(Reply::new(502, "no Docker"))),
        Step::Verdict(Say::Allowed) => shell.verdict(super::shell::allowed()),
        Step::Verdict(Say::Reader) => shell.verdict(super::shell::reader()),
        Step::Verdict(Say::Maker) => shell.verdict(super::shell::maker()),
        Step::Verdict(Say::Refused) => shell.verdict(Verdict::Refused),
        Step::Verdict(Say::Overloaded) => shell.verdict(Verdict::Overloaded),
        Step::Wait(time) => shell.wait(*time),
        Step::Drain => shell.conn.drain(),
        Step::Rooms(client, docker) => {
            shell.client_room = *client;
            shell.docker_room = *docker;
        }
        Step::Client(_) | Step::Docker(_) => {}
    }
}

// ---------------------------------------------------------------- texts

/// A request with good credentials; `more` are further lines, each with its CRLF.
pub(super) fn request(start: &str, more: &str) -> String {
    format!("{start} HTTP/1.1\r\nHost: n\r\nAuthorization: good\r\n{more}\r\n")
}

/// What Docker sees of it.
pub(super) fn forwarded(start: &str, more: &str) -> String {
    format!("{start} HTTP/1.1\r\nHost: n\r\n{more}\r\n")
}

/// An answer of two bytes.
pub(super) const HI: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// The same as the last on a connection.
pub(super) const HI_LAST: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";

/// An answer of the proxy's own.
pub(super) fn local(status: &str, message: &str, close: bool) -> String {
    let challenge = match status.starts_with("401") {
        true => "WWW-Authenticate: Basic realm=\"Haven Agent\"\r\n",
        false => "",
    };
    let body = format!("{{\"message\":\"{message}\"}}\n");
    format!(
        "HTTP/1.1 {status}\r\n{challenge}Content-Type: application/json\r\n\
         Content-Length: {}\r\n{}\r\n{body}",
        body.len(),
        if close { "Connection: close\r\n" } else { "" },
    )
}

pub(super) fn unauthorized(close: bool) -> String {
    local(
        "401 Unauthorized",
        "haven-agent: a user name and password are required (Basic authentication)",
        close,
    )
}

pub(super) fn overloaded(close: bool) -> String {
    local(
        "503 Service Unavailable",
        "haven-agent: too many passwords are waiting to be verified; try again in a moment",
        close,
    )
}

pub(super) fn bad_request(what: &str) -> String {
    local(
        "400 Bad Request",
        &format!("haven-agent: bad request: {what}"),
        true,
    )
}

pub(super) fn bad_gateway(what: &str, close: bool) -> String {
    local("502 Bad Gateway", &format!("haven-agent: {what}"), close)
}

/// Of a request that changes nothing, and of one that may.
pub(super) const NO_ANSWER: &str = "Docker closed the connection without an answer";
pub(super) const MAYBE_DONE: &str =
    "Docker closed the connection without an answer; it may have acted on the request";
