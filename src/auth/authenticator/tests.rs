use std::sync::{Weak, mpsc};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

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

/// The verdict, waited for; and whether it came at once.
fn judged(authenticator: &Authenticator, value: &[u8]) -> (Verdict, bool) {
    let (sender, receiver) = mpsc::channel();
    let reply = || -> Reply { Box::new(move |verdict| sender.send(verdict).unwrap()) };
    match authenticator.check(Some(value), reply) {
        Some(verdict) => (verdict, true),
        None => (receiver.recv_timeout(PATIENCE).unwrap(), false),
    }
}

fn allowed(name: &str) -> Verdict {
    Verdict::Allowed(name.into())
}

fn never() -> Reply {
    panic!("a verdict was to be had at once")
}

/// Holds the thread `auth` inside a reply until the sender is dropped.
fn hold(authenticator: &Authenticator) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel();
    let later = authenticator.check(Some(&basic("nobody", "hold")), || {
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
        assert_eq!(authenticator.check(value, never), Some(allowed("-")));
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
        assert_eq!(authenticator.check(value, never), Some(Verdict::Refused));
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
    let wrong = [
        basic("alice", "wrong"),
        basic("alice", ""),
        basic("Alice", "correct horse"),
        basic("bob", "correct horse"),
        basic("", ""),
    ];
    for value in wrong.iter().chain(&wrong) {
        assert_eq!(judged(&authenticator, value), (Verdict::Refused, false));
    }
    let remembered = authenticator
        .shared
        .lock()
        .remembered
        .find(&authenticator.shared.key.tag(&wrong[0]));
    assert_eq!(remembered, None);
}

#[test]
fn a_certificate_s_user_needs_no_password_and_may_send_no_wrong_one() {
    let authenticator = alice();
    let bob: Arc<str> = "cert:bob".into();
    let at_once = authenticator.check_certified(&bob, None, never);
    assert_eq!(at_once, Some(allowed("cert:bob")));
    let judged = |value: &[u8]| {
        let (sender, receiver) = mpsc::channel();
        let reply = || -> Reply { Box::new(move |verdict| sender.send(verdict).unwrap()) };
        let at_once = authenticator.check_certified(&bob, Some(value), reply);
        at_once.unwrap_or_else(|| receiver.recv_timeout(PATIENCE).unwrap())
    };
    for (value, verdict) in [
        (basic("alice", "correct horse"), allowed("cert:bob")),
        (basic("alice", "correct horse"), allowed("cert:bob")),
        (basic("alice", "wrong"), Verdict::Refused),
        (b"Bearer x".to_vec(), Verdict::Refused),
    ] {
        assert_eq!(judged(&value), verdict);
    }
}

#[test]
fn users_are_replaced_and_what_was_remembered_is_forgotten() {
    let authenticator = Authenticator::start(Users::open()).unwrap();
    assert_eq!(authenticator.check(None, never), Some(allowed("-")));
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
    assert_eq!(judged(&authenticator, &value), (Verdict::Refused, false));
    // What was verified with the users of before is neither told nor remembered.
    let tag = authenticator.shared.key.tag(&value);
    let late = authenticator
        .shared
        .finish(&tag, Some(&"alice".into()), &before);
    assert!(late.is_none());
    assert_eq!(judged(&authenticator, &value), (Verdict::Refused, false));
    let bob = basic("bob", "password");
    assert_eq!(judged(&authenticator, &bob), (allowed("bob"), false));
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
        let expected = if good {
            allowed(name)
        } else {
            Verdict::Refused
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
        let later = authenticator.check(Some(&value), || {
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
    assert_eq!(authenticator.shared.lock().waiting, 0);
}

#[test]
fn a_full_queue_is_overloaded_and_recovers() {
    let authenticator = alice();
    let release = hold(&authenticator);
    let (sender, receiver) = mpsc::channel();
    let ask = |number: usize| {
        let sender = sender.clone();
        authenticator.check(Some(&basic("alice", &number.to_string())), || {
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
        assert_eq!(verdict, Verdict::Refused);
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
        authenticator.check(Some(&value), || {
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

#[test]
fn every_refusal_takes_the_same_number_of_rounds() {
    let costly = |cost: u32| format!("$2a${cost:02}{}", &HORSE[6..]);
    let mut users = Users::with("four", &costly(4)).unwrap();
    users.add("nine", &costly(9)).unwrap();
    users.add("twelve", &costly(12)).unwrap();
    let rounds = |name: &str| -> u64 {
        let hash = users.find(name).map(|(_, hash)| hash);
        let verified = hash.map_or(0, |hash| 1 << users::cost(hash));
        let spent = still_to_spend(&users, hash).map(|cost| 1 << cost);
        verified + spent.sum::<u64>()
    };
    for name in ["four", "nine", "twelve", "nobody", ""] {
        assert_eq!(rounds(name), 1 << 12, "{name}");
    }
}

#[test]
fn the_thread_ends_with_its_owner_and_answers_who_waits() {
    let authenticator = alice();
    let shared = Arc::downgrade(&authenticator.shared);
    let release = hold(&authenticator);
    let (sender, receiver) = mpsc::channel();
    let later = authenticator.check(Some(&basic("alice", "x")), || {
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
    let later = authenticator.check(Some(&basic("alice", "x")), || {
        Box::new(move |verdict| {
            drop(own);
            sender.send(verdict).unwrap();
        })
    });
    assert_eq!(later, None);
    drop(authenticator);
    drop(release);
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), Verdict::Refused);
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
                    let (name, password) = match (number + round) % 3 {
                        0 => ("alice", "correct horse"),
                        1 => ("bob", "password"),
                        _ => ("bob", "correct horse"),
                    };
                    let (verdict, _) = judged(authenticator, &basic(name, password));
                    let good = (number + round) % 3 != 2;
                    let expected = if good {
                        allowed(name)
                    } else {
                        Verdict::Refused
                    };
                    assert_eq!(verdict, expected);
                }
            });
        }
    });
}
