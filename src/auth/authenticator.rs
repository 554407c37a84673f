//! Verdicts: at once where the answer is known, else from the one thread that runs bcrypt.
//!
//! bcrypt is slow on purpose, so it runs on the thread `auth`, one verification at a time: a
//! flood of wrong passwords costs at most one core, and no event loop ever waits. Requests that
//! come with the credentials that are being verified, or wait for it, join them: a browser's
//! burst costs one verification.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;

use super::basic::Credentials;
use super::remembered::{Key, Remembered, Tag};
use super::users::{self, Users};

/// The most distinct credentials that wait for their verification.
pub const MAX_QUEUED: usize = 32;

/// The most requests that wait, over all credentials.
pub const MAX_WAITING: usize = 1024;

/// The thread's stack: bcrypt keeps 4 KiB of state, and a reply hands a verdict on.
const STACK_SIZE: usize = 128 * 1024;

/// The name that a verdict carries where authentication is off, as access logs write nobody.
const NOBODY: &str = "-";

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go on; the user's name, or `-` where authentication is off.
    Allowed(Arc<str>),
    /// No credentials, unreadable ones, or wrong ones: 401.
    Refused,
    /// The certificate that let the client in does so no more: 401, and the connection ends.
    Barred,
    /// Too many wait for their verification, or the agent is ending: 503.
    Overloaded,
}

/// How a verdict that took time is handed back. Called once, on the thread `auth`, and must not
/// block it.
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
    /// At most [`MAX_QUEUED`], each tag once.
    queue: VecDeque<Job>,
    /// What is being verified now and who waits for it.
    running: Option<(Tag, Vec<Reply>)>,
    /// Replies in `queue` and `running` together, at most [`MAX_WAITING`].
    waiting: usize,
    stopping: bool,
    /// There is a thread: not before somebody may have to wait for it.
    staffed: bool,
}

struct Job {
    tag: Tag,
    credentials: Credentials,
    replies: Vec<Reply>,
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

    /// The verdict on an `Authorization` value, where it is known at once: authentication is
    /// off, the credentials are remembered, missing or unreadable, or too many wait.
    ///
    /// Else `None`: the closure that `reply` makes is called with it later, on another thread,
    /// exactly once.
    pub fn check(
        &self,
        authorization: Option<&[u8]>,
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
        if !state.admit(tag, credentials, reply) {
            return Some(Verdict::Overloaded);
        }
        self.shared.work.notify_one();
        None
    }

    /// The same for a client whose certificate is good and makes it `user`: it needs no password.
    /// One that it sends all the same has to be right, and makes nobody else of it.
    pub fn check_certified(
        &self,
        user: &Arc<str>,
        authorization: Option<&[u8]>,
        reply: impl FnOnce() -> Reply,
    ) -> Option<Verdict> {
        if authorization.is_none() {
            return Some(Verdict::Allowed(Arc::clone(user)));
        }
        let later = || -> Reply {
            let (reply, user) = (reply(), Arc::clone(user));
            Box::new(move |verdict| reply(verdict.of(&user)))
        };
        Some(self.check(authorization, later)?.of(user))
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
    /// Takes a request among those that wait; false where there is no room.
    fn admit(&mut self, tag: Tag, credentials: Credentials, reply: impl FnOnce() -> Reply) -> bool {
        if self.waiting >= MAX_WAITING {
            return false;
        }
        if let Some(replies) = self.same(&tag) {
            replies.push(reply());
        } else if self.queue.len() < MAX_QUEUED {
            self.queue.push_back(Job {
                tag,
                credentials,
                replies: vec![reply()],
            });
        } else {
            return false;
        }
        self.waiting += 1;
        true
    }

    /// Those who wait for the same credentials.
    fn same(&mut self, tag: &Tag) -> Option<&mut Vec<Reply>> {
        if let Some((running, replies)) = &mut self.running
            && running.same(tag)
        {
            return Some(replies);
        }
        let queued = self.queue.iter_mut().find(|job| job.tag.same(tag));
        queued.map(|job| &mut job.replies)
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
        thread::Builder::new()
            .name("auth".to_owned())
            .stack_size(STACK_SIZE)
            .spawn(move || shared.work())?;
        self.lock().staffed = true;
        Ok(())
    }

    /// The thread `auth`.
    fn work(&self) {
        while let Some((tag, credentials)) = self.next() {
            let (user, replies) = self.settle(&tag, &credentials);
            drop(credentials);
            let verdict = user.map_or(Verdict::Refused, Verdict::Allowed);
            for reply in replies {
                reply(verdict.clone());
            }
        }
        for reply in self.abandon() {
            reply(Verdict::Overloaded);
        }
    }

    /// Verifies, and once more where other users have come meanwhile.
    fn settle(&self, tag: &Tag, credentials: &Credentials) -> (Option<Arc<str>>, Vec<Reply>) {
        loop {
            let users = self.users();
            let user = verify(&users, credentials);
            if let Some(replies) = self.finish(tag, user.as_ref(), &users) {
                return (user, replies);
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
                state.running = Some((job.tag, job.replies));
                return Some((job.tag, job.credentials));
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
    /// `None` where they were verified with other `users` than there are now.
    fn finish(&self, tag: &Tag, user: Option<&Arc<str>>, users: &Arc<Users>) -> Option<Vec<Reply>> {
        let mut state = self.lock();
        if !Arc::ptr_eq(users, &self.users()) {
            return None;
        }
        if let Some(user) = user {
            state.remembered.insert(*tag, Arc::clone(user));
        }
        let (_, replies) = state.running.take().unwrap_or((*tag, Vec::new()));
        state.waiting = state.waiting.saturating_sub(replies.len());
        Some(replies)
    }

    /// All who still wait when the thread ends.
    fn abandon(&self) -> Vec<Reply> {
        let mut state = self.lock();
        state.waiting = 0;
        let jobs = mem::take(&mut state.queue);
        jobs.into_iter().flat_map(|job| job.replies).collect()
    }
}

/// The user, when the password is theirs.
fn verify(users: &Users, credentials: &Credentials) -> Option<Arc<str>> {
    let password = credentials.password();
    let user = users.find(credentials.name());
    if let Some((name, hash)) = user
        && bcrypt::verify(password, hash).unwrap_or(false)
    {
        return Some(Arc::clone(name));
    }
    spend(password, still_to_spend(users, user.map(|(_, hash)| hash)));
    None
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

/// Hashes once at each of the costs.
fn spend(password: &[u8], costs: Range<u32>) {
    const SALT: [u8; 16] = [0; 16];
    for cost in costs {
        // Nobody looks at the result; `black_box` keeps the work from being left out.
        let _ = std::hint::black_box(bcrypt::hash_with_salt(password, cost, SALT));
    }
}

#[cfg(test)]
mod tests;
