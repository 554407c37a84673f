//! Who the client is: what its certificate says, judged again when that may have changed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Context, Phase, Session};
use crate::tls::Client;

/// A certificate of a connection that stays open is looked at again after so long: it may have
/// expired since, or the list that said that it holds.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl Session {
    /// The handshake has ended, maybe by resuming a session of a certificate that holds no more.
    pub(super) fn identify(&mut self, cx: &Context<'_>) {
        let Some(server) = cx.server else {
            return;
        };
        let client = server.clients.judge(self.tls.peer_certificates());
        if let Client::Refused(why) = &client
            && self.client_is != client
        {
            let was = match &self.client_is {
                Client::Certified(user) => &**user,
                _ => "-",
            };
            ::log::warn!("{} {was}: refused: {why}", self.peer);
        }
        self.client_is = client;
        self.judged_by = Arc::clone(server);
        self.judged_at = cx.now;
    }

    /// Judges the certificate again where others are let in now than before, or time has passed.
    /// A stream that runs is left alone: the verdict is on the next request.
    pub(super) fn identify_again(&mut self, cx: &Context<'_>) {
        let others = cx
            .server
            .is_some_and(|server| !Arc::ptr_eq(server, &self.judged_by));
        let aged = has_aged(&self.client_is, self.judged_at, cx.now);
        if matches!(self.phase, Phase::Open) && (others || aged) {
            self.identify(cx);
        }
    }
}

/// Whether the verdict on a certificate, of `judged_at`, is too old to stand.
fn has_aged(client: &Client, judged_at: Instant, now: Instant) -> bool {
    matches!(client, Client::Certified(_)) && now.saturating_duration_since(judged_at) >= LOOK_AGAIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_judged_again_each_minute_and_nothing_else_is() {
        let start = Instant::now();
        let alice = Client::Certified("cert:alice".into());
        for (client, seconds, expected) in [
            (&alice, 0, false),
            (&alice, 59, false),
            (&alice, 60, true),
            (&alice, 86_400, true),
            (&Client::Unknown, 86_400, false),
            (&Client::Refused("expired".to_owned()), 86_400, false),
        ] {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(
                has_aged(client, start, now),
                expected,
                "{client:?} after {seconds} s"
            );
        }
        // A clock that two loops read in another order.
        assert!(!has_aged(&alice, start + Duration::from_secs(1), start));
    }
}
