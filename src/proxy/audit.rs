//! What the log tells of requests and of those who were turned away.

use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use crate::auth::Verdict;
use crate::proxy::conn::Access;
use crate::proxy::tally::{INTERVAL, Kind, Summary, Tally};
use crate::source::Source;

/// The lines of one event loop.
#[derive(Default)]
pub struct Audit {
    tally: Tally,
}

impl Audit {
    /// A request has ended. What changes state is told at INFO, reads at DEBUG, denials as
    /// warnings; behind it the rule by which it was let through or not. Of those whom nobody
    /// knows no more are told than [`Tally`] lets pass.
    pub fn access(&mut self, peer: IpAddr, access: &Access, now: Instant) {
        let level = match access.status {
            401 | 403 | 429 => ::log::Level::Warn,
            _ if access.denied => ::log::Level::Warn,
            _ if access.changes_state => ::log::Level::Info,
            _ => ::log::Level::Debug,
        };
        let limited = access.user.is_none() && level < ::log::Level::Debug;
        if limited && !self.tally.admits(Source::from(peer), Kind::Login, now) {
            return;
        }
        ::log::log!(
            level,
            "{peer} {} \"{}\" {} {}/{} bytes {} ms{}{}{}",
            access.user.as_deref().unwrap_or("-"),
            access.line,
            access.status,
            access.bytes_up,
            access.bytes_down,
            now.saturating_duration_since(access.started).as_millis(),
            Why(access.refusal.as_ref()),
            if access.by.is_some() { ", " } else { "" },
            access.by.as_deref().unwrap_or_default(),
        );
    }

    /// A connection was closed as soon as it was accepted.
    pub fn refused(&mut self, peer: IpAddr, kind: Kind, now: Instant) {
        if self.tally.admits(Source::from(peer), kind, now) {
            ::log::warn!("{peer}: a connection was closed at once: {}", cause(kind));
        }
    }

    /// When [`tell_due`](Audit::tell_due) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.tally.deadline()
    }

    /// Tells how much was not told, once an interval is over.
    pub fn tell_due(&mut self, now: Instant) {
        if self.deadline().is_some_and(|at| now >= at) {
            self.tally.take_due(now).iter().for_each(tell_rest);
        }
    }

    /// The same before it is over: nothing follows.
    pub fn tell_all(&mut self, now: Instant) {
        self.tally
            .take_due(now + INTERVAL)
            .iter()
            .for_each(tell_rest);
    }
}

/// Why a request was turned away, behind its line. Of what the client sent nothing is shown: the
/// name of a user that does not exist may be a password in the wrong place.
struct Why<'a>(Option<&'a Verdict>);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Verdict::Refused) => f.write_str(" (no credentials)"),
            Some(Verdict::Wrong(None)) => f.write_str(" (no such user)"),
            Some(Verdict::Wrong(Some(user))) => write!(f, " (not the password of {user})"),
            Some(Verdict::Delayed(_)) => f.write_str(" (this address has to wait)"),
            Some(Verdict::Forbidden { why, .. }) => write!(f, " ({why})"),
            Some(Verdict::Barred) => f.write_str(" (its certificate is not let in)"),
            Some(Verdict::Overloaded) => f.write_str(" (too many wait)"),
            Some(Verdict::Allowed(_)) | None => Ok(()),
        }
    }
}

fn cause(kind: Kind) -> &'static str {
    match kind {
        Kind::Login => "it has not logged in",
        Kind::Stranger => "its address is not in allow_from",
        Kind::Crowd => "its address has max_connections_per_address already",
    }
}

fn tell_rest(summary: &Summary) {
    let count = summary.count;
    let who = match summary.source {
        Some(source) => source.to_string(),
        None => "other addresses".to_owned(),
    };
    match summary.kind {
        Kind::Login => ::log::warn!("{who}: {count} more requests without a login were refused"),
        kind => ::log::warn!(
            "{who}: {count} more connections were closed: {}",
            cause(kind)
        ),
    }
}
