use super::*;

const A: Source = Source::V4(1);
const B: Source = Source::V6(1);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Fails as soon as it may; gives how long that took each time.
fn failing(lockout: &mut Lockout, source: Source, now: &mut Instant, times: u32) -> Vec<u64> {
    let mut waits = Vec::new();
    for _ in 0..times {
        let wait = lockout.wait(source, *now).unwrap_or_default();
        *now += wait;
        assert_eq!(lockout.wait(source, *now), None);
        lockout.charge(source, *now);
        waits.push(wait.as_secs());
    }
    waits
}

#[test]
fn waits_grow_to_a_cap_and_are_forgotten_in_time() {
    let (mut lockout, mut now) = (Lockout::default(), Instant::now());
    assert_eq!(
        failing(&mut lockout, A, &mut now, 14),
        [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    );
    assert_eq!(lockout.wait(A, now), Some(LONGEST));
    assert_eq!(lockout.wait(B, now), None, "nobody else waits");
    now += FORGET;
    assert_eq!(failing(&mut lockout, A, &mut now, 6), [0, 0, 0, 0, 0, 1]);
}

#[test]
fn a_failure_without_end_has_an_end() {
    let (mut lockout, now) = (Lockout::default(), Instant::now());
    for _ in 0..200 {
        lockout.charge(A, now);
    }
    assert_eq!(lockout.wait(A, now), Some(LONGEST));
}

#[test]
fn what_was_good_is_taken_back_and_forgives_nothing_else() {
    let (mut lockout, mut now) = (Lockout::default(), Instant::now());
    lockout.charge(A, now);
    lockout.refund(A);
    assert!(lockout.entries.is_empty());
    failing(&mut lockout, A, &mut now, 8);
    now += seconds(8);
    lockout.charge(A, now);
    lockout.refund(A);
    assert_eq!(lockout.wait(A, now), Some(seconds(8)));
    lockout.refund(B);
}

#[test]
#[cfg_attr(miri, ignore = "tens of millions of steps")]
fn a_full_table_takes_newcomers_and_keeps_who_failed_most() {
    let (mut lockout, mut now) = (Lockout::default(), Instant::now());
    failing(&mut lockout, A, &mut now, 12);
    // Twice the table's size of addresses with two failures each; one of them stays quiet.
    for number in 10..10 + 2 * MAX_SOURCES as u32 {
        let source = Source::V4(number);
        assert_eq!(lockout.wait(source, now), None);
        lockout.charge(source, now);
        lockout.charge(source, now);
        now += Duration::from_millis(1);
    }
    assert_eq!(lockout.entries.len(), MAX_SOURCES);
    assert!(lockout.wait(A, now).is_some(), "A was not pushed out");
    // They are in order, so that each is found.
    assert!(lockout.entries.is_sorted_by_key(|entry| entry.source));
    now += FORGET;
    lockout.charge(B, now);
    assert_eq!(
        lockout.entries.len(),
        1,
        "what is over goes with the next newcomer"
    );
}
