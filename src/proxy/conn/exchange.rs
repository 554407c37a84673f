//! What is known of one request and its answer.

use std::sync::Arc;
use std::time::Instant;

use super::judged::Watch;
use crate::auth::Verdict;
use crate::held::Share;
use crate::http::head::{RequestHead, Version};
use crate::policy::Target;

/// One finished exchange, for the access log.
#[derive(Debug)]
pub struct Access {
    /// Who asked, once known.
    pub user: Option<Arc<str>>,
    /// Why it was turned away, if it was.
    pub refusal: Option<Verdict>,
    /// Method and target; `-` where no head could be read.
    pub line: Box<str>,
    /// What decided that it may pass or not, once that was decided: policy, rule and place.
    pub by: Option<Arc<str>>,
    /// Whether it was refused, by its form or its user's policy.
    pub denied: bool,
    /// Whether the method changes state (RFC 9110 §9.2.1: it is not a safe one).
    pub changes_state: bool,
    /// The answer's status, 0 where none came.
    pub status: u16,
    /// Body or stream bytes from the client.
    pub bytes_up: u64,
    /// Body or stream bytes from Docker.
    pub bytes_down: u64,
    /// When the head was complete.
    pub started: Instant,
}

/// What is known of the request at hand, as its answer needs it.
pub(super) struct Exchange {
    pub(super) user: Option<Arc<str>>,
    pub(super) refusal: Option<Verdict>,
    pub(super) line: Option<Box<str>>,
    pub(super) by: Option<Arc<str>>,
    pub(super) denied: bool,
    pub(super) changes_state: bool,
    pub(super) is_idempotent: bool,
    pub(super) is_head: bool,
    pub(super) version: Version,
    pub(super) keep_alive: bool,
    /// The client waits for a `100` that has not come yet.
    pub(super) awaits_continue: bool,
    /// It has been sent one that is not Docker's.
    pub(super) continued: bool,
    /// The answer is to be read along.
    pub(super) watch: Option<Box<Watch>>,
    /// Room for the body that was judged, until Docker has answered.
    pub(super) share: Option<Share>,
    pub(super) offers_upgrade: bool,
    pub(super) hijacks: bool,
    pub(super) status: u16,
    pub(super) bytes_up: u64,
    pub(super) bytes_down: u64,
    pub(super) started: Instant,
}

impl Exchange {
    pub(super) fn new(head: &RequestHead<'_>, target: &Target<'_>, now: Instant) -> Exchange {
        Exchange {
            changes_state: head.changes_state(),
            is_idempotent: head.is_idempotent(),
            is_head: head.method == "HEAD",
            version: head.version,
            keep_alive: head.keep_alive,
            awaits_continue: head.expects_continue,
            offers_upgrade: head.upgrade.is_some(),
            hijacks: head.method == "POST" && is_stream_endpoint(target),
            ..Exchange::unread(now)
        }
    }

    /// For a head that could not be read.
    pub(super) fn unread(now: Instant) -> Exchange {
        Exchange {
            user: None,
            refusal: None,
            line: None,
            by: None,
            denied: false,
            changes_state: false,
            is_idempotent: false,
            is_head: false,
            version: Version::Http11,
            keep_alive: false,
            awaits_continue: false,
            continued: false,
            watch: None,
            share: None,
            offers_upgrade: false,
            hijacks: false,
            status: 0,
            bytes_up: 0,
            bytes_down: 0,
            started: now,
        }
    }

    /// For a head whose target is refused.
    pub(super) fn unfit(head: &RequestHead<'_>, now: Instant) -> Exchange {
        Exchange {
            line: Some(access_line(head.method, head.target)),
            denied: true,
            changes_state: head.changes_state(),
            is_head: head.method == "HEAD",
            ..Exchange::unread(now)
        }
    }

    /// `None` for a read that nobody wants logged.
    pub(super) fn into_access(self) -> Option<Access> {
        if self.line.is_none() && self.user.is_some() {
            return None;
        }
        Some(Access {
            user: self.user,
            refusal: self.refusal,
            line: self.line.unwrap_or_else(|| "-".into()),
            by: self.by,
            denied: self.denied,
            changes_state: self.changes_state,
            status: self.status,
            bytes_up: self.bytes_up,
            bytes_down: self.bytes_down,
            started: self.started,
        })
    }
}

/// Method and path. A query may carry secrets (`buildargs` of a build): it is shown to be there, no
/// more.
pub(super) fn access_line(method: &str, target: &str) -> Box<str> {
    let (path, query) = match target.split_once('?') {
        Some((path, _)) => (path, "?..."),
        None => (target, ""),
    };
    [method, " ", path, query].concat().into()
}

/// `POST /containers/{id}/attach` and `POST /exec/{id}/start`, with or without a version prefix:
/// the endpoints that Docker answers with a raw stream on the same connection.
fn is_stream_endpoint(target: &Target<'_>) -> bool {
    let mut segments = target.segments();
    let words = (
        segments.next(),
        segments.next(),
        segments.next(),
        segments.next(),
    );
    matches!(
        words,
        (Some("containers"), Some(_), Some("attach"), None)
            | (Some("exec"), Some(_), Some("start"), None)
    )
}
