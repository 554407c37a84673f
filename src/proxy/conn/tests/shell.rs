//! What `session.rs` does around a [`Conn`], without sockets, clocks and TLS.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use super::{Close, Conn, Down, Sizes, Times, Up};
use crate::auth::Verdict;
use crate::buf::{Buf, CHUNK};
use crate::http::head::{HeadLimits, MAX_FIELDS, MAX_HEAD, RequestHead};
use crate::policy::Policies;
use crate::proxy::reply::Reply;

/// Turns that bring nothing to rest are a spin.
const MAX_TURNS: usize = 2_000_000;

/// What a buffer of the machine may hold at most.
const BOUND: usize = RequestHead::canonical_bound(MAX_HEAD) + CHUNK + JUDGED_BODY;

pub(super) const HEAD: Duration = Duration::from_secs(20);
pub(super) const BODY: Duration = Duration::from_secs(30);
pub(super) const IDLE: Duration = Duration::from_secs(60);
pub(super) const CONNECT: Duration = Duration::from_secs(5);
pub(super) const DOCKER_IDLE: Duration = Duration::from_secs(10);

const TIMES: Times = Times {
    head: HEAD,
    body: BODY,
    idle: IDLE,
    connect: CONNECT,
    docker_idle: DOCKER_IDLE,
};

/// More than the other cases make.
pub(super) const REQUESTS: u32 = 70;

/// The longest body that is judged.
pub(super) const JUDGED_BODY: usize = 600;

const SIZES: Sizes = Sizes {
    head: HeadLimits {
        bytes: MAX_HEAD,
        fields: MAX_FIELDS,
    },
    judged_body: JUDGED_BODY,
    requests: REQUESTS,
};

/// How many bytes one read and one write move.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) read: usize,
    pub(super) write: usize,
}

/// One connection to Docker.
#[derive(Default)]
pub(super) struct Link {
    /// What Docker has received.
    pub(super) got: Vec<u8>,
    /// Its input has been shut down.
    pub(super) shut: bool,
    /// The machine has closed it, or was told that it has ended.
    pub(super) dropped: bool,
    /// On its way from Docker.
    pub(super) wire: Vec<u8>,
    /// Behind `wire` comes the end of file.
    pub(super) ends: bool,
    /// It ends by a reset.
    pub(super) breaks: bool,
    /// Writes fail.
    pub(super) deaf: bool,
    /// How much Docker had received when the connection became a stream.
    pub(super) stream_at: Option<usize>,
    ended: bool,
}

/// How connections to Docker are made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dial {
    /// At once.
    AtOnce,
    /// When the test says so.
    ByHand,
}

/// What was asked of the judge.
#[derive(Default)]
pub(super) struct Judging {
    /// Method and target of each head.
    pub(super) asked: Vec<String>,
    /// Those of them, by their place, that somebody asks who may come in.
    pub(super) let_in: Vec<(usize, Arc<str>)>,
    /// A verdict is still out.
    pub(super) pending: bool,
}

impl Judging {
    /// `Authorization` itself says what the verdict is.
    fn judge(&mut self, head: &RequestHead<'_>) -> Option<Verdict> {
        assert!(!self.pending, "a request before the verdict on the last");
        self.asked.push(format!("{} {}", head.method, head.target));
        let verdict = self.known(head.authorization);
        self.note(verdict.as_ref());
        verdict
    }

    fn note(&mut self, verdict: Option<&Verdict>) {
        if let (Some(Verdict::Allowed(user)), Some(last)) =
            (verdict, self.asked.len().checked_sub(1))
        {
            self.let_in.push((last, Arc::clone(user)));
        }
    }

    fn known(&mut self, authorization: Option<&[u8]>) -> Option<Verdict> {
        match authorization {
            Some(b"good") => Some(allowed()),
            Some(b"reader") => Some(reader()),
            Some(b"maker") => Some(maker()),
            Some(b"wrong") => Some(Verdict::Wrong(Some(Arc::from("ann")))),
            Some(b"unknown") => Some(Verdict::Wrong(None)),
            Some(b"busy") => Some(Verdict::Overloaded),
            Some(b"guess") => Some(Verdict::Delayed(Duration::from_millis(1500))),
            Some(b"page") => Some(Verdict::Forbidden {
                user: Some(Arc::from("ann")),
                why: "from a page of another site",
            }),
            Some(b"slow") => {
                self.pending = true;
                None
            }
            _ => Some(Verdict::Refused),
        }
    }
}

pub(super) fn allowed() -> Verdict {
    Verdict::Allowed(Arc::from("ann"))
}

/// What `cid` may do: the bodies of that are judged.
const MAKE: &str = "[make]
allow POST /containers/create
allow POST /containers/*/exec
allow POST /exec/*/start
permit host-pid
";

pub(super) fn maker() -> Verdict {
    Verdict::Allowed(Arc::from("cid"))
}

/// `ann` may do anything, `bob` has the policy of all others.
static POLICIES: LazyLock<Policies> = LazyLock::new(|| {
    let mut policies = Policies::built_in();
    assert_eq!(policies.assign("ann", "full"), Ok(()));
    assert_eq!(policies.add(MAKE, "f"), Ok(()));
    assert_eq!(policies.assign("cid", "make"), Ok(()));
    policies
});

pub(super) fn reader() -> Verdict {
    Verdict::Allowed(Arc::from("bob"))
}

pub(super) struct Shell {
    pub(super) conn: Conn,
    pub(super) now: Instant,
    pub(super) pace: Pace,
    pub(super) dial: Dial,
    /// Sent by the client and not yet read.
    pub(super) client_wire: Vec<u8>,
    /// Behind `client_wire` comes a `close_notify`.
    pub(super) client_notifies: bool,
    /// Behind both comes TCP's end of file.
    pub(super) client_ends: bool,
    noticed: bool,
    told: bool,
    client_shut: bool,
    /// Read from the client and not yet taken.
    pub(super) held: Vec<u8>,
    docker_in: Buf,
    /// All connections to Docker, the present one last.
    pub(super) links: Vec<Link>,
    linked: bool,
    pub(super) connecting: bool,
    pub(super) client_got: Vec<u8>,
    /// How much more the client, and Docker, take.
    pub(super) client_room: usize,
    pub(super) docker_room: usize,
    pub(super) closed: Option<Close>,
    pub(super) records: Vec<String>,
    pub(super) judging: Judging,
    pub(super) policies: Policies,
}

impl Shell {
    pub(super) fn new(pace: Pace, log_reads: bool) -> Shell {
        let now = Instant::now();
        Shell {
            conn: Conn::new(TIMES, SIZES, log_reads, now),
            now,
            pace,
            dial: Dial::AtOnce,
            client_wire: Vec::new(),
            client_notifies: false,
            client_ends: false,
            noticed: false,
            told: false,
            client_shut: false,
            held: Vec::new(),
            docker_in: Buf::new(MAX_HEAD + CHUNK),
            links: Vec::new(),
            linked: false,
            connecting: false,
            client_got: Vec::new(),
            client_room: usize::MAX,
            docker_room: usize::MAX,
            closed: None,
            records: Vec::new(),
            judging: Judging::default(),
            policies: POLICIES.afresh(),
        }
    }

    /// The present connection to Docker.
    pub(super) fn link(&mut self) -> Option<&mut Link> {
        match self.linked {
            true => self.links.last_mut(),
            false => None,
        }
    }

    // ------------------------------------------------------------ what the world does

    pub(super) fn verdict(&mut self, verdict: Verdict) {
        self.judging.pending = false;
        self.judging.note(Some(&verdict));
        self.conn.verdict(verdict, &self.policies, self.now);
    }

    /// Ends a connection attempt that waits for it.
    pub(super) fn connected(&mut self, reply: Option<Reply>) {
        assert!(self.connecting, "no connection is wanted");
        self.connecting = false;
        match reply {
            Some(reply) => self.conn.docker_failed(reply, self.now),
            None => self.open_link(),
        }
    }

    /// Lets time pass; a deadline that comes is told at its time.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.closed.is_none()
            && let Some(deadline) = self.conn.deadline().filter(|&deadline| deadline <= end)
        {
            self.now = self.now.max(deadline);
            self.conn.timeout(self.now);
            assert_ne!(self.conn.deadline(), Some(deadline), "a deadline stays");
            self.settle();
        }
        self.now = end;
    }

    /// Moves until nothing moves.
    pub(super) fn settle(&mut self) {
        for _ in 0..MAX_TURNS {
            let mut moved = false;
            for act in ACTS {
                moved |= act(self);
            }
            if !moved {
                return self.check_rest();
            }
        }
        panic!("it spins");
    }

    /// Does one of the things that a turn consists of; says whether anything moved.
    pub(super) fn act(&mut self, which: usize) -> bool {
        ACTS[which % ACTS.len()](self)
    }

    // ------------------------------------------------------------ what the shell does

    fn read_client(&mut self) -> bool {
        if self.closed.is_some() || self.client_shut {
            return false;
        }
        let wants = self.conn.wants(self.held.len());
        let reads = wants.read_client || (self.noticed && !self.told && self.held.is_empty());
        // A body is wanted however much is held: what bounds that is the session's buffer.
        let room = (MAX_HEAD + CHUNK).saturating_sub(self.held.len());
        if reads && !self.client_wire.is_empty() && room > 0 {
            let most = self.pace.read.min(CHUNK).min(room);
            let count = self.client_wire.len().min(most);
            self.held.extend(self.client_wire.drain(..count));
            return true;
        }
        if reads && self.client_notifies && !self.noticed {
            self.noticed = true;
            return true;
        }
        let hangs_up = !reads && !self.conn.is_tunnel();
        if self.client_ends && (reads || hangs_up) {
            self.client_shut = true;
            let notice_on_its_way = self.noticed && !self.told && self.conn.is_tunnel();
            if !notice_on_its_way {
                self.conn.client_eof(false);
            }
            return true;
        }
        false
    }

    fn offer_client(&mut self) -> bool {
        let judging = &mut self.judging;
        let mut judge = |head: &RequestHead<'_>| judging.judge(head);
        let taken = self
            .conn
            .client_data(&self.held, &mut judge, &self.policies, self.now);
        self.held.drain(..taken);
        // What is left and not taken, though more is wanted, is half a head.
        let all_offered = self.held.is_empty() || self.conn.wants(self.held.len()).read_client;
        if self.noticed && !self.told && all_offered {
            self.told = true;
            self.conn.client_eof(true);
            return true;
        }
        taken > 0
    }

    fn look_after_docker(&mut self) -> bool {
        let wants = self.conn.wants(self.held.len());
        if wants.drop_docker && self.linked {
            self.drop_link();
            return true;
        }
        self.connecting &= wants.connect;
        if wants.connect && !self.linked && !self.connecting {
            match self.dial {
                Dial::AtOnce => self.open_link(),
                Dial::ByHand => self.connecting = true,
            }
            return true;
        }
        false
    }

    fn open_link(&mut self) {
        assert!(!self.linked, "a second connection");
        self.links.push(Link::default());
        self.linked = true;
        self.conn.docker_open(self.now);
    }

    fn drop_link(&mut self) {
        if let Some(link) = self.link() {
            link.dropped = true;
        }
        self.linked = false;
        self.docker_in.clear();
    }

    fn read_docker(&mut self) -> bool {
        let (most, wants) = (self.pace.read, self.conn.wants(self.held.len()));
        let Some(link) = self.links.last_mut().filter(|_| self.linked) else {
            return false;
        };
        // As with the client: the session reads at rest only, when no more than half a head is held.
        let room = (MAX_HEAD + CHUNK).saturating_sub(self.docker_in.len());
        if !wants.read_docker || link.ended || room == 0 {
            return false;
        }
        let count = link.wire.len().min(most).min(1 << 14).min(room);
        let part: Vec<u8> = link.wire.drain(..count).collect();
        assert_eq!(self.docker_in.put(&part), count);
        link.ended = count == 0 && link.ends;
        count > 0 || link.ended
    }

    fn offer_docker(&mut self) -> bool {
        if !self.docker_in.is_empty() && self.conn.docker_data(&mut self.docker_in, self.now) {
            return true;
        }
        // What is left at the end and not taken, though more is wanted, is half a head.
        let all_offered = self.docker_in.is_empty() || self.conn.wants(0).read_docker;
        if all_offered && self.link().is_some_and(|link| link.ended) {
            let breaks = self.link().is_some_and(|link| link.breaks);
            self.drop_link();
            match breaks {
                true => self.conn.docker_broke(self.now),
                false => self.conn.docker_eof(self.now),
            }
            return true;
        }
        false
    }

    fn write_docker(&mut self) -> bool {
        let pending = self.conn.to_docker();
        let Some(link) = self.links.last_mut().filter(|_| self.linked) else {
            return false;
        };
        let count = pending.len().min(self.pace.write).min(self.docker_room);
        let mut moved = count > 0;
        if link.deaf && !pending.is_empty() {
            self.conn.docker_deaf();
            moved = true;
        } else if count > 0 {
            assert!(!self.judging.pending, "forwarded before its verdict");
            if self.conn.is_tunnel() {
                link.stream_at.get_or_insert(link.got.len());
            }
            link.got.extend(&pending[..count]);
            self.docker_room -= count;
            self.conn.docker_sent(count, self.now);
        }
        if self.conn.take_docker_shutdown() {
            link.shut = true;
            moved = true;
        }
        moved
    }

    fn write_client(&mut self) -> bool {
        let plain = self.conn.to_client();
        let count = plain.len().min(self.pace.write).min(self.client_room);
        self.client_got.extend(&plain.data()[..count]);
        plain.consume(count);
        self.client_room -= count;
        if plain.is_empty() {
            self.conn.client_flushed(self.now);
        }
        count > 0
    }

    fn finish(&mut self) -> bool {
        while let Some(access) = self.conn.take_access() {
            let mut record = format!(
                "{} {} {} {}/{}",
                access.user.as_deref().unwrap_or("-"),
                access.line,
                access.status,
                access.bytes_up,
                access.bytes_down
            );
            if access.denied {
                record += " denied by ";
                record += access.by.as_deref().unwrap_or("its form");
            }
            self.records.push(record);
        }
        self.check_bounds();
        match self.conn.close_due() {
            Some(close) if self.closed.is_none() => {
                if !matches!(close, Close::Gone(_)) && !self.conn.to_client().is_empty() {
                    return false;
                }
                self.closed = Some(close);
                self.drop_link();
                true
            }
            _ => false,
        }
    }

    // ------------------------------------------------------------ what always holds

    fn check_bounds(&mut self) {
        assert!(self.conn.to_client().len() <= BOUND, "to_client");
        assert!(self.conn.to_docker().len() <= BOUND, "to_docker");
        assert!(self.held.len() <= MAX_HEAD + CHUNK, "held");
        assert!(self.docker_in.len() <= MAX_HEAD + CHUNK, "docker_in");
        assert!(
            self.linked || self.conn.to_docker().is_empty(),
            "bytes for nobody"
        );
    }

    /// At rest: what is wanted can be taken, and somebody will wake the machine.
    fn check_rest(&mut self) {
        let wants = self.conn.wants(self.held.len());
        if self.closed.is_some() {
            assert!(!wants.read_client && !wants.read_docker && !wants.connect);
            assert_eq!(self.conn.deadline(), None);
            return;
        }
        if wants.read_client && !self.held.is_empty() {
            assert!(matches!(self.conn.up, Up::Head(_)), "client not taken");
        }
        if wants.read_docker && !self.docker_in.is_empty() {
            assert!(matches!(self.conn.down, Down::Head(_)), "Docker not taken");
        }
        assert!(
            wants.read_client
                || wants.read_docker
                || wants.connect
                || self.conn.close_due().is_some()
                || !self.conn.to_client().is_empty()
                || !self.conn.to_docker().is_empty()
                || self.conn.deadline().is_some()
                || matches!(self.conn.up, Up::Auth(_)),
            "nobody will wake it"
        );
    }
}

const ACTS: [fn(&mut Shell) -> bool; 8] = [
    Shell::read_client,
    Shell::offer_client,
    Shell::look_after_docker,
    Shell::read_docker,
    Shell::offer_docker,
    Shell::write_docker,
    Shell::write_client,
    Shell::finish,
];
