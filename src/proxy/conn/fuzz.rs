//! The harness of a whole connection (see `fuzzing`): whatever client, Docker, judge and clock do, in
//! any order, Docker gets nothing but what was judged and allowed, the client nothing but answers, no
//! buffer grows beyond its bound, and it comes to an end.
#![allow(clippy::unwrap_used, reason = "a harness fails by a panic")]

use std::time::Duration;

use super::shell::{Dial, Pace, Shell, allowed, reader};
use super::up::question;
use crate::auth::Verdict;
use crate::http::body::{ChunkDecoder, Framing, Part};
use crate::http::head::{HeadError, HeadFinder, HeadLimits, RequestHead, ResponseHead};
use crate::policy::Target;
use crate::proxy::reply::Reply;

/// Things that happen in one conversation.
const MAX_DEEDS: usize = 300;

/// Longer than any wait has a limit.
const AGES: Duration = Duration::from_secs(1000);

/// What is forwarded and answered may have a little more than what came.
const WRITTEN: HeadLimits = HeadLimits {
    bytes: usize::MAX,
    fields: usize::MAX,
};

/// What the client says in one piece, so that the interesting states are near.
const CLIENT: [&str; 16] = [
    "GET /a HTTP/1.1\r\nHost: n\r\nAuthorization: good\r\n\r\n",
    "GET /containers/json?all=1 HTTP/1.1\r\nHost: n\r\nAuthorization: reader\r\n\r\n",
    "POST /containers/x/stop HTTP/1.1\r\nHost: n\r\nAuthorization: reader\r\n\r\n",
    "GET /info HTTP/1.1\r\nHost: n\r\nAuthorization: slow\r\n\r\n",
    "DELETE /v1.41/x%2fy HTTP/1.1\r\nHost: n\r\nAuthorization: slow\r\nContent-Length: 5\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: n\r\n\r\n",
    "HEAD /a HTTP/1.0\r\nAuthorization: good\r\nConnection: keep-alive\r\n\r\n",
    "POST /b HTTP/1.1\r\nHost: n\r\nAuthorization: good\r\nContent-Length: 40\r\n\r\n",
    "PUT /c HTTP/1.1\r\nHost: n\r\nAuthorization: good\r\nTransfer-Encoding: chunked\r\n\r\n",
    "PUT /e HTTP/1.1\r\nHost: n\r\nAuthorization: good\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    "POST /exec/x/start HTTP/1.1\r\nHost: n\r\nAuthorization: good\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    "POST /containers/x/attach HTTP/1.1\r\nHost: n\r\nAuthorization: good\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: n\r\nAuthorization: good\r\nConnection: close\r\n\r\n",
    "3\r\nabc\r\n",
    "0\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: n\r\nAuthorization: good\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
];

/// What Docker says in one piece.
const DOCKER: [&str; 16] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n",
    "2\r\nhi\r\n",
    "0\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\nuntil the end",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    "HTTP/1.1 500 Oh\r\nContent-Length: 1\r\nConnection: close\r\n\r\n!",
    "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n",
    "HTTP/1.1 400 Bad Request\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
    "\r\n",
];

/// What happens, byte by byte.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> usize {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        (*first).into()
    }

    fn bytes(&mut self) -> &'a [u8] {
        let count = self.byte().min(self.0.len());
        let (now, later) = self.0.split_at(count);
        self.0 = later;
        now
    }

    fn one_of<T: Copy>(&mut self, these: &[T]) -> T {
        these[self.byte() % these.len()]
    }
}

/// A conversation.
pub fn conn(bytes: &[u8]) {
    let mut script = Script(bytes);
    let sizes = [usize::MAX, 1, 7, 1000];
    let pace = Pace {
        read: script.one_of(&sizes),
        write: script.one_of(&sizes),
    };
    let mut shell = Shell::new(pace, script.byte() < 128);
    shell.dial = script.one_of(&[Dial::AtOnce, Dial::ByHand]);
    for _ in 0..MAX_DEEDS {
        if script.0.is_empty() {
            break;
        }
        do_something(&mut shell, &mut script);
    }
    end(&mut shell);
    check_forwarded(&shell);
    check_answers(&shell);
}

fn do_something(shell: &mut Shell, script: &mut Script<'_>) {
    match script.byte() % 20 {
        0 => shell.client_wire.extend(script.bytes()),
        1 | 2 => shell.client_wire.extend(script.one_of(&CLIENT).as_bytes()),
        3 => docker_says(shell, script.bytes()),
        4 | 5 => docker_says(shell, script.one_of(&DOCKER).as_bytes()),
        6 => shell.client_wire.extend(bulk(shell.pace, script.byte())),
        7 => docker_says(shell, &bulk(shell.pace, script.byte())),
        8 => shell.client_notifies = true,
        9 => shell.client_ends = script.byte() < 64,
        10 => {
            let (how, first) = (script.byte(), shell.link());
            if let Some(link) = first {
                (link.ends, link.breaks, link.deaf) = (how & 1 == 0, how & 2 != 0, how & 4 != 0);
            }
        }
        11 if shell.judging.pending => {
            let verdicts = [
                allowed(),
                reader(),
                Verdict::Refused,
                Verdict::Overloaded,
                Verdict::Barred,
                Verdict::Delayed(Duration::from_secs(2)),
            ];
            shell.verdict(verdicts[script.byte() % verdicts.len()].clone());
        }
        12 if shell.connecting => {
            let fails = script.byte() < 80;
            shell.connected(fails.then(|| Reply::new(502, "no Docker")));
        }
        13 => shell.wait(Duration::from_secs(script.one_of(&[0, 1, 6, 25, 100]))),
        14 if script.byte() < 64 => shell.conn.drain(),
        15 => shell.client_room = script.one_of(&[0, 1, 500, usize::MAX]),
        16 => shell.docker_room = script.one_of(&[0, 1, 500, usize::MAX]),
        17 | 18 => {
            shell.act(script.byte());
        }
        _ => shell.settle(),
    }
}

/// Many bytes, up to more than a buffer holds; fewer where they are moved one by one.
fn bulk(pace: Pace, size: usize) -> Vec<u8> {
    let unit = if pace.read.min(pace.write) < 1000 {
        4
    } else {
        400
    };
    vec![b'x'; size * unit]
}

/// Docker speaks on the connection that it has.
fn docker_says(shell: &mut Shell, bytes: &[u8]) {
    if let Some(link) = shell.link() {
        link.wire.extend(bytes);
    }
}

/// All that is waited for comes, then both sides hang up, then time passes.
fn end(shell: &mut Shell) {
    (shell.client_room, shell.docker_room) = (usize::MAX, usize::MAX);
    shell.settle();
    shell.client_ends = true;
    loop {
        shell.settle();
        if let Some(link) = shell.link() {
            link.ends = true;
        }
        if shell.judging.pending {
            shell.verdict(allowed());
        } else if shell.connecting {
            shell.connected(None);
        } else {
            break;
        }
    }
    shell.settle();
    shell.wait(AGES);
    assert!(shell.closed.is_some(), "it does not come to an end");
}

/// What Docker got is a row of canonical requests, each of which was asked by somebody who was let in
/// and whose policy allows just that; behind them, where Docker agreed to it, a stream.
fn check_forwarded(shell: &Shell) {
    // The first in `let_in` that may come next on another connection.
    let mut next = 0;
    for link in &shell.links {
        let mut rest = &link.got[..link.stream_at.unwrap_or(link.got.len())];
        let mut from = next;
        while !rest.is_empty() {
            let Some(length) = HeadFinder::within(WRITTEN).find(rest).unwrap() else {
                break;
            };
            let (head, behind) = rest.split_at(length);
            let head = RequestHead::parse(head, WRITTEN).unwrap();
            let target = Target::parse(head.target).unwrap();
            assert_eq!([target.path(), target.query()].concat(), head.target);
            assert!(head.authorization.is_none(), "credentials at Docker");
            let is_this = |(asked, user): &(usize, std::sync::Arc<str>)| {
                let ruling = shell.policies.judge(user, &question(&head, &target));
                ruling.allowed && canonical(&shell.judging.asked[*asked]) == start(&head)
            };
            let found = shell.judging.let_in[from..].iter().position(is_this);
            let found = found.unwrap_or_else(|| panic!("nobody may ask {:?}", start(&head)));
            from += found + 1;
            // One that met a stale connection comes once more there, if that is no harm.
            next = from - usize::from(head.is_idempotent());
            let Some(behind) = behind_body(head.framing, behind) else {
                break;
            };
            rest = behind;
        }
    }
}

fn start(head: &RequestHead<'_>) -> String {
    format!("{} {}", head.method, head.target)
}

/// Method and target as they would be forwarded.
fn canonical(asked: &str) -> String {
    let (method, target) = asked.split_once(' ').unwrap();
    let target = Target::parse(target).unwrap();
    format!("{method} {}{}", target.path(), target.query())
}

/// What follows a body; `None` if it is not there whole.
fn behind_body(framing: Framing, bytes: &[u8]) -> Option<&[u8]> {
    match framing {
        Framing::None => Some(bytes),
        Framing::UntilClose => None,
        Framing::Length(length) => bytes.get(usize::try_from(length).ok()?..),
        Framing::Chunked => {
            let (mut decoder, mut at) = (ChunkDecoder::new(), 0);
            loop {
                let piece = decoder.decode(&bytes[at..]).unwrap();
                at += piece.consumed;
                match piece.part {
                    Part::Last => return bytes.get(at..),
                    Part::Incomplete => return None,
                    _ => {}
                }
            }
        }
    }
}

/// What the client got is a row of answers, no more than it asked, then perhaps a stream.
fn check_answers(shell: &Shell) {
    let mut rest = &shell.client_got[..];
    let mut asked = shell.judging.asked.iter();
    let mut is_last = false;
    while !rest.is_empty() {
        assert!(!is_last, "an answer that nobody asked for");
        let Some(length) = HeadFinder::within(WRITTEN).find(rest).unwrap() else {
            return;
        };
        let (head, behind) = rest.split_at(length);
        let is_interim = head.starts_with(b"HTTP/1.1 1") && !head.starts_with(b"HTTP/1.1 101");
        // What could not be read was not asked, and is answered last.
        let request = if is_interim { None } else { asked.next() };
        is_last = request.is_none() && !is_interim;
        let to_head = request.is_some_and(|request| request.starts_with("HEAD "));
        let answer = match ResponseHead::parse(head, to_head) {
            // With 100 of Docker's the proxy's own are too many for this reader.
            Err(HeadError::TooLarge(_)) => return,
            answer => answer.unwrap(),
        };
        if is_last || answer.status == 101 {
            return;
        }
        let Some(behind) = behind_body(answer.framing, behind) else {
            return;
        };
        rest = behind;
    }
}
