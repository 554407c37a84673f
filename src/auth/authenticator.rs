//! Verdicts: at once where the answer is known, else from the one thread that runs bcrypt.
//!
//! bcrypt is slow on purpose, so it runs on the thread `auth`, one verification at a time: a
//! flood of wrong passwords costs at most one core, and no event loop ever waits. Requests that
//! come with the credentials that are being verified, or wait for it, join them: a browser's
//! burst costs one verification.
//!
//! Only what needs bcrypt can be delayed or turned away: credentials that are remembered pass,
//! whatever else comes from their address.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::basic::Credentials;
use super::lockout::Lockout;
use super::remembered::{Key, Remembered, Tag};
use super::users::{self, Users};
use crate::source::Source;
use crate::sys::thread::start_thread;

/// The most distinct credentials that wait for their verification.
const MAX_QUEUED: usize = 32;

/// Those of one address.
const MAX_QUEUED_OF_ONE: usize = 4;

/// The most requests that wait, over all credentials.
const MAX_WAITING: usize = 1024;

/// Those of one address: many a manager's, right after its start.
const MAX_WAITING_OF_ONE: usize = 256;

/// After which who has too many waiting may try again.
const NEXT_TRY: Duration = Duration::from_secs(1);

/// The thread's stack: bcrypt keeps 4 KiB of state, and a reply hands a verdict on.
const STACK_SIZE: usize = 128 * 1024;

/// The name that a verdict carries where authentication is off, as access logs write nobody.
pub const NOBODY: &str = "-";

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go on; the user's name, or `-` where authentication is off.
    Allowed(Arc<str>),
    /// No credentials, or unreadable ones: 401.
    Refused,
    /// Wrong ones: 401. The user whose password it is not; none: there is no such user.
    Wrong(Option<Arc<str>>),
    /// Too many of this address have failed, or wait: 429. It may try again after that time.
    Delayed(Duration),
    /// What they ask is refused: 403.
    Forbidden {
        /// Who asks, if that was looked at.
        user: Option<Arc<str>>,
        /// Why, and what to do.
        why: &'static str,
    },
    /// The certificate that let the client in does so no more: 401, and the connection ends.
    Barred,
    /// Too many wait for their verification, or the agent is ending: 503.
    Overloaded,
}

/// How a verdict that took time is handed back. Called once, on the thread `auth` or on one that
/// checks other credentials, and must not block it.
pub type Reply = Box<dyn FnOnce(Verdict) + Send>;

/// Judges requests by their `Authorization` field. Shared by all workers; its thread ends when
/// it is dropped.
pub struct Authenticator {
    shared: Arc<Shared>,
    /// Who is named while authentication is off.
    nobody: Arc<str>,
}

struct Shared {
    users: RwLock<Arc<Users>>,
    key: Key,
    state: Mutex<State>,
    /// Told when `state.queue` or `state.stopping` changes.
    work: Condvar,
}

#[derive(Default)]
struct State {
    remembered: Remembered,
    lockout: Lockout,
    /// At most [`MAX_QUEUED`], each tag once.
    queue: VecDeque<Job>,
    /// What is being verified now and who waits for it.
    running: Option<Running>,
    stopping: bool,
    /// There is a thread: not before somebody may have to wait for it.
    staffed: bool,
}

struct Job {
    running: Running,
    credentials: Credentials,
}

struct Running {
    tag: Tag,
    /// Who came with these credentials first, and is charged if they are wrong.
    source: Source,
    /// Over all jobs at most [`MAX_WAITING`], and [`MAX_WAITING_OF_ONE`] of one address.
    waiters: Vec<Waiter>,
}

struct Waiter {
    source: Source,
    reply: Reply,
}

/// What becomes of those who need a verification.
enum Admission {
    Waits,
    /// In the place of these, who came from an address with more than its share.
    Displaces(Running),
    TurnedAway(Verdict),
}

impl Authenticator {
    /// Starts the thread `auth`, unless authentication is off.
    ///
    /// # Errors
    /// The system gave no randomness or no thread.
    pub fn start(users: Users) -> io::Result<Arc<Authenticator>> {
        let shared = Arc::new(Shared {
            users: RwLock::new(Arc::new(Users::open())),
            key: Key::random()?,
            state: Mutex::default(),
            work: Condvar::new(),
        });
        let authenticator = Authenticator {
            shared,
            nobody: NOBODY.into(),
        };
        authenticator.replace(users)?;
        Ok(Arc::new(authenticator))
    }

    /// From now on `users` are let in and nobody else; what was remembered is forgotten.
    ///
    /// # Errors
    /// The system gave no thread, and all is as before.
    pub fn replace(&self, users: Users) -> io::Result<()> {
        if !users.is_open() {
            self.shared.staff()?;
        }
        let present = self.shared.users.write();
        *present.unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
        // After the users: what a verification of those before finds out is not remembered.
        self.shared.lock().remembered = Remembered::default();
        Ok(())
    }

    /// The verdict on an `Authorization` value that came from `source`, where it is known at
    /// once: authentication is off, the credentials are remembered, missing or unreadable, the
    /// address has to wait, or too many wait.
    ///
    /// Else `None`: the closure that `reply` makes is called with it later, on another thread,
    /// exactly once.
    pub fn check(
        &self,
        authorization: Option<&[u8]>,
        source: Source,
        now: Instant,
        reply: impl FnOnce() -> Reply,
    ) -> Option<Verdict> {
        if self.shared.users().is_open() {
            return Some(Verdict::Allowed(Arc::clone(&self.nobody)));
        }
        let Some(value) = authorization.filter(|value| value.len() <= super::MAX_AUTHORIZATION)
        else {
            return Some(Verdict::Refused);
        };
        let tag = self.shared.key.tag(value);
        let mut state = self.shared.lock();
        if let Some(user) = state.remembered.find(&tag) {
            return Some(Verdict::Allowed(user));
        }
        let Some(credentials) = Credentials::parse(value) else {
            return Some(Verdict::Refused);
        };
        let admission = state.admit(tag, credentials, source, now, reply);
        drop(state);
        let displaced = match admission {
            Admission::TurnedAway(verdict) => return Some(verdict),
            Admission::Displaces(displaced) => displaced.waiters,
            Admission::Waits => Vec::new(),
        };
        self.shared.work.notify_one();
        for waiter in displaced {
            (waiter.reply)(Verdict::Overloaded);
        }
        None
    }

    /// The same for a client whose certificate is good and makes it `user`: it needs no password.
    /// One that it sends all the same has to be right, and makes nobody else of it.
    pub fn check_certified(
        &self,
        user: &Arc<str>,
        authorization: Option<&[u8]>,
        source: Source,
        now: Instant,
        reply: impl FnOnce() -> Reply,
    ) -> Option<Verdict> {
        if authorization.is_none() {
            return Some(Verdict::Allowed(Arc::clone(user)));
        }
        let later = || -> Reply {
            let (reply, user) = (reply(), Arc::clone(user));
            Box::new(move |verdict| reply(verdict.of(&user)))
        };
        Some(self.check(authorization, source, now, later)?.of(user))
    }
}

impl Verdict {
    /// The same, and who is allowed is `user`.
    fn of(self, user: &Arc<str>) -> Verdict {
        match self {
            Verdict::Allowed(_) => Verdict::Allowed(Arc::clone(user)),
            refusal => refusal,
        }
    }
}

impl Drop for Authenticator {
    /// Tells the thread to end, and does not wait for the bcrypt that may be running: the last
    /// handle may be dropped by a reply, on that very thread.
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.work.notify_one();
    }
}

impl State {
    /// Takes a request among those that wait, where there is room.
    fn admit(
        &mut self,
        tag: Tag,
        credentials: Credentials,
        source: Source,
        now: Instant,
        reply: impl FnOnce() -> Reply,
    ) -> Admission {
        let (all, own) = self.waiting(source);
        if own >= MAX_WAITING_OF_ONE {
            return Admission::TurnedAway(Verdict::Delayed(NEXT_TRY));
        }
        if all >= MAX_WAITING {
            return Admission::TurnedAway(Verdict::Overloaded);
        }
        if let Some(waiters) = self.same(&tag) {
            let reply = reply();
            waiters.push(Waiter { source, reply });
            return Admission::Waits;
        }
        if let Some(wait) = self.lockout.wait(source, now) {
            return Admission::TurnedAway(Verdict::Delayed(wait));
        }
        let own = self.queued(source);
        if own >= MAX_QUEUED_OF_ONE {
            return Admission::TurnedAway(Verdict::Delayed(NEXT_TRY));
        }
        let mut admission = Admission::Waits;
        if self.queue.len() >= MAX_QUEUED {
            match self.displace(own) {
                Some(job) => admission = Admission::Displaces(job.running),
                None => return Admission::TurnedAway(Verdict::Overloaded),
            }
        }
        self.lockout.charge(source, now);
        let reply = reply();
        self.queue.push_back(Job {
            running: Running {
                tag,
                source,
                waiters: vec![Waiter { source, reply }],
            },
            credentials,
        });
        admission
    }

    /// How many requests wait, and how many of them came from `source`.
    fn waiting(&self, source: Source) -> (usize, usize) {
        let queued = self.queue.iter().map(|job| &job.running);
        let waiters = queued.chain(&self.running).flat_map(|job| &job.waiters);
        waiters.fold((0, 0), |(all, own), waiter| {
            (all + 1, own + usize::from(waiter.source == source))
        })
    }

    /// How many credentials that `source` brought wait for their verification.
    fn queued(&self, source: Source) -> usize {
        let own = |job: &&Job| job.running.source == source;
        self.queue.iter().filter(own).count()
    }

    /// Takes the newest job of the address that has most of them out of a full queue, for one of an
    /// address that has only `own` and will still have no more than that one.
    fn displace(&mut self, own: usize) -> Option<Job> {
        let jobs = self.queue.iter().enumerate();
        let counted = jobs.map(|(at, job)| (at, self.queued(job.running.source)));
        let (newest, most) = counted.max_by_key(|&(at, count)| (count, at))?;
        if most <= own + 1 {
            return None;
        }
        let job = self.queue.remove(newest)?;
        self.lockout.refund(job.running.source);
        Some(job)
    }

    /// Those who wait for the same credentials.
    fn same(&mut self, tag: &Tag) -> Option<&mut Vec<Waiter>> {
        let queued = self.queue.iter_mut().map(|job| &mut job.running);
        let mut jobs = queued.chain(&mut self.running);
        let same = jobs.find(|job| job.tag.same(tag));
        same.map(|job| &mut job.waiters)
    }
}

impl Shared {
    /// A thread that panicked while it held the lock left no half-made state: each change is
    /// one push or one take.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn users(&self) -> Arc<Users> {
        Arc::clone(&self.users.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sees to it that there is a thread.
    fn staff(self: &Arc<Self>) -> io::Result<()> {
        if self.lock().staffed {
            return Ok(());
        }
        let shared = Arc::clone(self);
        start_thread("auth", STACK_SIZE, move || shared.work())?;
        self.lock().staffed = true;
        Ok(())
    }

    /// The thread `auth`.
    fn work(&self) {
        while let Some((tag, credentials)) = self.next() {
            let (outcome, waiters) = self.settle(&tag, &credentials);
            drop(credentials);
            let verdict = match outcome {
                Ok(user) => Verdict::Allowed(user),
                Err(user) => Verdict::Wrong(user),
            };
            for waiter in waiters {
                (waiter.reply)(verdict.clone());
            }
        }
        for waiter in self.abandon() {
            (waiter.reply)(Verdict::Overloaded);
        }
    }

    /// Verifies, and once more where other users have come meanwhile.
    fn settle(&self, tag: &Tag, credentials: &Credentials) -> (Outcome, Vec<Waiter>) {
        loop {
            let users = self.users();
            let outcome = verify(&users, credentials, &mut Bcrypt);
            if let Some(waiters) = self.finish(tag, outcome.as_ref().ok(), &users) {
                return (outcome, waiters);
            }
        }
    }

    /// Waits for the next credentials to verify; `None` at the end.
    fn next(&self) -> Option<(Tag, Credentials)> {
        let mut state = self.lock();
        loop {
            if state.stopping {
                return None;
            }
            if let Some(job) = state.queue.pop_front() {
                let tag = job.running.tag;
                state.running = Some(job.running);
                return Some((tag, job.credentials));
            }
            let waited = self.work.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Remembers good credentials and takes those who waited. Both at once: who comes after it
    /// finds the memory, who came before it is among the replies.
    ///
    /// Bad credentials are not remembered: there is no end to them, so they would push out the
    /// good ones, and a guess that was answered without bcrypt would be a cheap guess.
    ///
    /// `None` where they were verified with other `users` than there are now: then all wait on.
    fn finish(
        &self,
        tag: &Tag,
        user: Option<&Arc<str>>,
        users: &Arc<Users>,
    ) -> Option<Vec<Waiter>> {
        let mut state = self.lock();
        if !Arc::ptr_eq(users, &self.users()) {
            return None;
        }
        let finished = state.running.take();
        if let Some(user) = user {
            state.remembered.insert(*tag, Arc::clone(user));
            if let Some(job) = &finished {
                state.lockout.refund(job.source);
            }
        }
        Some(finished.map(|job| job.waiters).unwrap_or_default())
    }

    /// All who still wait when the thread ends.
    fn abandon(&self) -> Vec<Waiter> {
        let mut state = self.lock();
        let jobs = mem::take(&mut state.queue);
        jobs.into_iter()
            .flat_map(|job| job.running.waiters)
            .collect()
    }
}

/// The work that takes time, so that tests can count it.
trait Hasher {
    fn verify(&mut self, password: &[u8], hash: &str) -> bool;
    fn hash(&mut self, password: &[u8], cost: u32);
}

struct Bcrypt;

impl Hasher for Bcrypt {
    fn verify(&mut self, password: &[u8], hash: &str) -> bool {
        bcrypt::verify(password, hash).unwrap_or(false)
    }

    fn hash(&mut self, password: &[u8], cost: u32) {
        const SALT: [u8; 16] = [0; 16];
        // Nobody looks at the result; `black_box` keeps the work from being left out.
        let _ = std::hint::black_box(bcrypt::hash_with_salt(password, cost, SALT));
    }
}

/// The user, when the password is theirs; else whose it is not, if there is such a user.
type Outcome = Result<Arc<str>, Option<Arc<str>>>;

fn verify(users: &Users, credentials: &Credentials, hasher: &mut impl Hasher) -> Outcome {
    let password = credentials.password();
    let user = users.find(credentials.name());
    if let Some((name, hash)) = user
        && hasher.verify(password, hash)
    {
        return Ok(Arc::clone(name));
    }
    for cost in still_to_spend(users, user.map(|(_, hash)| hash)) {
        hasher.hash(password, cost);
    }
    Err(user.map(|(name, _)| Arc::clone(name)))
}

/// The costs at which to hash once more after a refusal, so that each takes the time of the
/// costliest hash there is and tells neither whether the user exists nor how their hash was made.
///
/// Each cost doubles the rounds: one verification at cost `a` and one hash at each of `a..b`
/// take the time of one at `b`.
fn still_to_spend(users: &Users, verified: Option<&str>) -> Range<u32> {
    let highest = users.highest_cost();
    match verified {
        Some(hash) => users::cost(hash)..highest,
        None => highest..highest + 1,
    }
}

#[cfg(test)]
mod tests;
