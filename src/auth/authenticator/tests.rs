use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Weak, mpsc};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::auth::lockout;

/// `correct horse` and `password`, at the lowest cost.
const HORSE: &str = "$2a$04$3Y5aOLm1bq8C3qpX8CfP7ec36rP1Z1uzX84MZbBI8fCjGtMh/LkTG";
const PASSWORD: &str = "$2a$04$UuTkLRZZ6QofpDOlMz32MuuxEHA43WOemOYHPz6.SjsVsyO1tDU96";

/// Long enough for any machine: reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

fn basic(name: &str, password: &str) -> Vec<u8> {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))).into_bytes()
}

fn alice() -> Arc<Authenticator> {
    Authenticator::start(Users::with("alice", HORSE).unwrap()).unwrap()
}

/// An address that was not seen before.
fn anywhere() -> Source {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    Source::V4(NEXT.fetch_add(1, Ordering::Relaxed))
}

const HERE: Source = Source::V6(1);

impl Authenticator {
    /// Of a client that never had to wait.
    fn ask(&self, value: Option<&[u8]>, reply: impl FnOnce() -> Reply) -> Option<Verdict> {
        self.check(value, anywhere(), Instant::now(), reply)
    }
}

/// The verdict, waited for; and whether it came at once.
fn judged(authenticator: &Authenticator, value: &[u8]) -> (Verdict, bool) {
    judged_at(authenticator, value, anywhere(), Instant::now())
}

fn judged_at(
    authenticator: &Authenticator,
    value: &[u8],
    source: Source,
    now: Instant,
) -> (Verdict, bool) {
    let (sender, receiver) = mpsc::channel();
    let reply = || -> Reply { Box::new(move |verdict| sender.send(verdict).unwrap()) };
    match authenticator.check(Some(value), source, now, reply) {
        Some(verdict) => (verdict, true),
        None => (receiver.recv_timeout(PATIENCE).unwrap(), false),
    }
}

fn allowed(name: &str) -> Verdict {
    Verdict::Allowed(name.into())
}

/// Of alice's, or of nobody's.
fn wrong(known: bool) -> Verdict {
    Verdict::Wrong(known.then(|| "alice".into()))
}

fn never() -> Reply {
    panic!("a verdict was to be had at once")
}

/// Holds the thread `auth` inside a reply until the sender is dropped.
fn hold(authenticator: &Authenticator) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel();
    let later = authenticator.ask(Some(&basic("nobody", "hold")), || {
        Box::new(move |_| {
            entered.send(()).unwrap();
            let _ = released.recv();
        })
    });
    assert_eq!(later, None);
    inside.recv_timeout(PATIENCE).unwrap();
    release
}

/// Waits until the thread `auth` has let go of what it shares.
fn ended(shared: &Weak<Shared>) -> bool {
    for _ in 0..6000 {
        if shared.strong_count() == 0 {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}

#[test]
fn everybody_is_let_in_where_authentication_is_off() {
    let authenticator = Authenticator::start(Users::open()).unwrap();
    let values = [None, Some(&b"garbage"[..]), Some(b"Basic YTpi")];
    for value in values {
        assert_eq!(authenticator.ask(value, never), Some(allowed("-")));
    }
}

#[test]
fn missing_and_unreadable_credentials_are_refused_at_once() {
    let authenticator = alice();
    let long = vec![b'A'; super::super::MAX_AUTHORIZATION + 1];
    for value in [
        None,
        Some(&b""[..]),
        Some(b"Bearer x"),
        Some(b"Basic !"),
        Some(&long),
    ] {
        assert_eq!(authenticator.ask(value, never), Some(Verdict::Refused));
    }
}

#[test]
fn good_credentials_are_verified_once_and_then_remembered() {
    let authenticator = alice();
    let value = basic("alice", "correct horse");
    assert_eq!(judged(&authenticator, &value), (allowed("alice"), false));
    for _ in 0..3 {
        assert_eq!(judged(&authenticator, &value), (allowed("alice"), true));
    }
}

#[test]
fn wrong_ones_are_refused_and_verified_each_time() {
    let authenticator = alice();
    let guesses = [
        (basic("alice", "wrong"), true),
        (basic("alice", ""), true),
        (basic("Alice", "correct horse"), false),
        (basic("bob", "correct horse"), false),
        (basic("", ""), false),
    ];
    for (value, known) in guesses.iter().chain(&guesses) {
        assert_eq!(judged(&authenticator, value), (wrong(*known), false));
    }
    let remembered = authenticator
        .shared
        .lock()
        .remembered
        .find(&authenticator.shared.key.tag(&guesses[0].0));
    assert_eq!(remembered, None);
}

#[test]
fn a_certificate_s_user_needs_no_password_and_may_send_no_wrong_one() {
    let authenticator = alice();
    let bob: Arc<str> = "cert:bob".into();
    let at_once = authenticator.check_certified(&bob, None, HERE, Instant::now(), never);
    assert_eq!(at_once, Some(allowed("cert:bob")));
    let judged = |value: &[u8]| {
        let (sender, receiver) = mpsc::channel();
        let reply = || -> Reply { Box::new(move |verdict| sender.send(verdict).unwrap()) };
        let at_once = authenticator.check_certified(&bob, Some(value), HERE, Instant::now(), reply);
        at_once.unwrap_or_else(|| receiver.recv_timeout(PATIENCE).unwrap())
    };
    for (value, verdict) in [
        (basic("alice", "correct horse"), allowed("cert:bob")),
        (basic("alice", "correct horse"), allowed("cert:bob")),
        (basic("alice", "wrong"), wrong(true)),
        (b"Bearer x".to_vec(), Verdict::Refused),
    ] {
        assert_eq!(judged(&value), verdict);
    }
}

#[test]
fn users_are_replaced_and_what_was_remembered_is_forgotten() {
    let authenticator = Authenticator::start(Users::open()).unwrap();
    assert_eq!(authenticator.ask(None, never), Some(allowed("-")));
    let value = basic("alice", "correct horse");
    for _ in 0..2 {
        let users = Users::with("alice", HORSE).unwrap();
        authenticator.replace(users).unwrap();
        assert_eq!(judged(&authenticator, &value), (allowed("alice"), false));
        assert_eq!(judged(&authenticator, &value), (allowed("alice"), true));
    }
    let before = authenticator.shared.users();
    let users = Users::with("bob", PASSWORD).unwrap();
    authenticator.replace(users).unwrap();
    assert_eq!(judged(&authenticator, &value), (wrong(false), false));
    // What was verified with the users of before is neither told nor remembered.
    let tag = authenticator.shared.key.tag(&value);
    let late = authenticator
        .shared
        .finish(&tag, Some(&"alice".into()), &before);
    assert!(late.is_none());
    assert_eq!(judged(&authenticator, &value), (wrong(false), false));
    let bob = basic("bob", "password");
    assert_eq!(judged(&authenticator, &bob), (allowed("bob"), false));
}

#[test]
fn a_verification_with_the_users_of_before_takes_nothing_back_and_all_wait_on() {
    let (authenticator, now) = (alice(), Instant::now());
    let shared = &authenticator.shared;
    let before = shared.users();
    authenticator
        .replace(Users::with("bob", PASSWORD).unwrap())
        .unwrap();
    let tag = shared.key.tag(b"x");
    let source = HERE;
    for _ in 0..lockout::FREE {
        shared.lock().lockout.charge(source, now);
    }
    let reply: Reply = Box::new(|_| {});
    let waiters = vec![Waiter { source, reply }];
    shared.lock().running = Some(Running {
        tag,
        source,
        waiters,
    });
    assert!(shared.finish(&tag, Some(&"bob".into()), &before).is_none());
    assert_eq!(shared.lock().waiting(HERE), (1, 1));
    assert!(shared.lock().lockout.wait(HERE, now).is_some());
    let waiters = shared.finish(&tag, Some(&"bob".into()), &shared.users());
    assert_eq!(waiters.map(|waiters| waiters.len()), Some(1));
    assert_eq!(shared.lock().waiting(HERE), (0, 0));
    assert_eq!(shared.lock().lockout.wait(HERE, now), None);
}

#[test]
fn every_user_has_their_own_password() {
    let mut users = Users::built_in();
    users.add("alice", HORSE).unwrap();
    users.add("bob", PASSWORD).unwrap();
    let authenticator = Authenticator::start(users).unwrap();
    for (name, password, good) in [
        ("admin", "password", true),
        ("alice", "correct horse", true),
        ("bob", "password", true),
        ("admin", "correct horse", false),
        ("alice", "password", false),
    ] {
        let (verdict, _) = judged(&authenticator, &basic(name, password));
        let expected = match good {
            true => allowed(name),
            false => Verdict::Wrong(Some(name.into())),
        };
        assert_eq!(verdict, expected, "{name} {password}");
    }
}

#[test]
fn a_burst_with_the_same_credentials_is_one_verification() {
    let authenticator = alice();
    let release = hold(&authenticator);
    let (sender, receiver) = mpsc::channel();
    let value = basic("alice", "correct horse");
    for number in 0..50 {
        let sender = sender.clone();
        let later = authenticator.ask(Some(&value), || {
            Box::new(move |verdict| sender.send((number, verdict)).unwrap())
        });
        assert_eq!(later, None);
    }
    assert_eq!(authenticator.shared.lock().queue.len(), 1);
    drop(release);
    for expected in 0..50 {
        let (number, verdict) = receiver.recv_timeout(PATIENCE).unwrap();
        assert_eq!((number, verdict), (expected, allowed("alice")));
    }
    assert_eq!(authenticator.shared.lock().waiting(HERE), (0, 0));
}

#[test]
fn a_full_queue_is_overloaded_and_recovers() {
    let authenticator = alice();
    let release = hold(&authenticator);
    let (sender, receiver) = mpsc::channel();
    let ask = |number: usize| {
        let sender = sender.clone();
        authenticator.ask(Some(&basic("alice", &number.to_string())), || {
            Box::new(move |verdict| sender.send(verdict).unwrap())
        })
    };
    for number in 0..MAX_QUEUED {
        assert_eq!(ask(number), None);
    }
    assert_eq!(ask(MAX_QUEUED), Some(Verdict::Overloaded));
    assert_eq!(ask(0), None, "who brings nothing new still finds room");
    drop(release);
    for _ in 0..=MAX_QUEUED {
        let verdict = receiver.recv_timeout(PATIENCE).unwrap();
        assert_eq!(verdict, wrong(true));
    }
    let value = basic("alice", "correct horse");
    assert_eq!(judged(&authenticator, &value).0, allowed("alice"));
}

#[test]
fn those_who_wait_together_are_bounded_too() {
    let authenticator = alice();
    let release = hold(&authenticator);
    let (sender, receiver) = mpsc::channel();
    let value = basic("alice", "correct horse");
    let ask = || {
        let sender = sender.clone();
        authenticator.ask(Some(&value), || {
            Box::new(move |verdict| sender.send(verdict).unwrap())
        })
    };
    for _ in 0..MAX_WAITING {
        assert_eq!(ask(), None);
    }
    assert_eq!(ask(), Some(Verdict::Overloaded));
    drop(release);
    for _ in 0..MAX_WAITING {
        let verdict = receiver.recv_timeout(PATIENCE).unwrap();
        assert_eq!(verdict, allowed("alice"));
    }
}

/// Counts rounds instead of doing them: every password is wrong.
#[derive(Default)]
struct Rounds(u64);

impl Hasher for Rounds {
    fn verify(&mut self, _: &[u8], hash: &str) -> bool {
        self.0 += 1 << users::cost(hash);
        false
    }

    fn hash(&mut self, _: &[u8], cost: u32) {
        self.0 += 1 << cost;
    }
}

#[test]
fn every_refusal_takes_the_same_number_of_rounds() {
    let costly = |cost: u32| format!("$2a${cost:02}{}", &HORSE[6..]);
    let mut users = Users::with("four", &costly(4)).unwrap();
    users.add("nine", &costly(9)).unwrap();
    users.add("twelve", &costly(12)).unwrap();
    for name in ["four", "nine", "twelve", "nobody", ""] {
        let mut rounds = Rounds::default();
        let credentials = Credentials::parse(&basic(name, "x")).unwrap();
        let outcome = verify(&users, &credentials, &mut rounds);
        let known = users.find(name).map(|(name, _)| Arc::clone(name));
        assert_eq!((outcome, rounds.0), (Err(known), 1 << 12), "{name}");
    }
}

#[test]
fn who_has_failed_waits_and_what_is_remembered_does_not() {
    let (authenticator, now) = (alice(), Instant::now());
    let (good, other) = (basic("alice", "correct horse"), basic("alice", "x"));
    assert_eq!(judged(&authenticator, &good).0, allowed("alice"));
    for _ in 0..lockout::FREE {
        let verdict = judged_at(&authenticator, &other, HERE, now);
        assert_eq!(verdict, (wrong(true), false));
    }
    let wait = Verdict::Delayed(Duration::from_secs(1));
    for value in [&other, &basic("nobody", "x")] {
        assert_eq!(
            judged_at(&authenticator, value, HERE, now),
            (wait.clone(), true)
        );
    }
    // From the same address, and never kept waiting.
    assert_eq!(
        judged_at(&authenticator, &good, HERE, now),
        (allowed("alice"), true)
    );
    // Another address is asked nothing of it.
    assert_eq!(
        judged_at(&authenticator, &other, Source::V6(2), now),
        (wrong(true), false)
    );
    let later = now + Duration::from_secs(1);
    assert_eq!(
        judged_at(&authenticator, &other, HERE, later),
        (wrong(true), false)
    );
    let wait = Verdict::Delayed(Duration::from_secs(2));
    assert_eq!(judged_at(&authenticator, &other, HERE, later), (wait, true));
}

#[test]
fn good_passwords_cost_an_address_nothing() {
    let (authenticator, now) = (alice(), Instant::now());
    // Spelled so that none is remembered.
    for spaces in 1..20 {
        let value = basic("alice", "correct horse");
        let value = [b"Basic", " ".repeat(spaces).as_bytes(), &value[6..]].concat();
        assert_eq!(
            judged_at(&authenticator, &value, HERE, now),
            (allowed("alice"), false)
        );
    }
}

#[test]
fn guesses_at_a_time_are_charged_before_they_are_verified() {
    let (authenticator, now) = (alice(), Instant::now());
    let release = hold(&authenticator);
    let ask = |number: usize| {
        let value = basic("alice", &number.to_string());
        authenticator.check(Some(&value), HERE, now, || Box::new(|_| {}))
    };
    for number in 0..MAX_QUEUED_OF_ONE {
        assert_eq!(ask(number), None);
    }
    let wait = Verdict::Delayed(NEXT_TRY);
    assert_eq!(ask(MAX_QUEUED_OF_ONE), Some(wait));
    assert_eq!(authenticator.shared.lock().queued(HERE), MAX_QUEUED_OF_ONE);
    drop(release);
}

#[test]
fn one_address_does_not_fill_the_queue_for_another() {
    let (authenticator, now) = (alice(), Instant::now());
    let release = hold(&authenticator);
    let (sender, receiver) = mpsc::channel();
    let ask = |source: u64, number: usize| {
        let sender = sender.clone();
        let value = basic("alice", &format!("{source} {number}"));
        authenticator.check(Some(&value), Source::V6(source), now, || {
            Box::new(move |verdict| sender.send((source, number, verdict)).unwrap())
        })
    };
    // Each of eight addresses has its share, and the queue is full.
    for source in 0..(MAX_QUEUED / MAX_QUEUED_OF_ONE) as u64 {
        for number in 0..MAX_QUEUED_OF_ONE {
            assert_eq!(ask(source, number), None);
        }
    }
    // Newcomers find a place all the same; the newest of those with most make room.
    for source in 100..124 {
        assert_eq!(ask(source, 0), None, "{source}");
        let (_, number, verdict) = receiver.recv_timeout(PATIENCE).unwrap();
        assert_eq!(verdict, Verdict::Overloaded);
        assert_ne!(number, 0, "nobody lost their only one");
    }
    // Now 32 addresses wait with one each: that is full.
    assert_eq!(ask(200, 0), Some(Verdict::Overloaded));
    assert_eq!(authenticator.shared.lock().queue.len(), MAX_QUEUED);
    drop(release);
}

#[test]
fn one_address_does_not_wait_with_everybodys_places() {
    let (authenticator, now) = (alice(), Instant::now());
    let release = hold(&authenticator);
    let value = basic("alice", "correct horse");
    let ask = |source| authenticator.check(Some(&value), source, now, || Box::new(|_| {}));
    for _ in 0..MAX_WAITING_OF_ONE {
        assert_eq!(ask(HERE), None);
    }
    assert_eq!(ask(HERE), Some(Verdict::Delayed(NEXT_TRY)));
    assert_eq!(ask(anywhere()), None);
    drop(release);
}

#[test]
fn the_thread_ends_with_its_owner_and_answers_who_waits() {
    let authenticator = alice();
    let shared = Arc::downgrade(&authenticator.shared);
    let release = hold(&authenticator);
    let (sender, receiver) = mpsc::channel();
    let later = authenticator.ask(Some(&basic("alice", "x")), || {
        Box::new(move |verdict| sender.send(verdict).unwrap())
    });
    assert_eq!(later, None);
    drop(authenticator);
    drop(release);
    assert_eq!(
        receiver.recv_timeout(PATIENCE).unwrap(),
        Verdict::Overloaded
    );
    assert!(ended(&shared));
}

#[test]
fn a_reply_may_drop_the_last_handle() {
    let authenticator = alice();
    let shared = Arc::downgrade(&authenticator.shared);
    let release = hold(&authenticator);
    let (sender, receiver) = mpsc::channel();
    let own = Arc::clone(&authenticator);
    let later = authenticator.ask(Some(&basic("alice", "x")), || {
        Box::new(move |verdict| {
            drop(own);
            sender.send(verdict).unwrap();
        })
    });
    assert_eq!(later, None);
    drop(authenticator);
    drop(release);
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), wrong(true));
    assert!(ended(&shared));
}

#[test]
fn many_threads_get_each_their_own_verdict() {
    let mut users = Users::with("alice", HORSE).unwrap();
    users.add("bob", PASSWORD).unwrap();
    let authenticator = Authenticator::start(users).unwrap();
    thread::scope(|scope| {
        for number in 0..8 {
            let authenticator = &authenticator;
            scope.spawn(move || {
                for round in 0..20 {
                    let (name, password, expected) = match (number + round) % 3 {
                        0 => ("alice", "correct horse", allowed("alice")),
                        1 => ("bob", "password", allowed("bob")),
                        _ => ("bob", "correct horse", Verdict::Wrong(Some("bob".into()))),
                    };
                    let (verdict, _) = judged(authenticator, &basic(name, password));
                    assert_eq!(verdict, expected);
                }
            });
        }
    });
}
