//! What the service manager is told: `sd_notify(3)`. Without one, nothing is.

use sd_notify::NotifyState;
use std::time::Duration;

/// How much longer than the grace of running streams a service manager is asked to wait for the end.
const STOP_MARGIN: Duration = Duration::from_secs(10);
/// The longest status, in characters.
const MAX_STATUS: usize = 400;

/// Whether there is a service manager that wants to be told.
pub fn is_wanted() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// How long the service manager waits for [`turning`] before it starts the agent anew; none: for ever.
pub fn patience() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// The port is open and the loops are about to run.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(&line(status))]);
}

/// A signal has come: present requests are finished, and no new ones are taken, which may last for `grace`. systemd
/// would wait no longer than `TimeoutStopSec=`, 90 s.
pub fn stopping(grace: Duration) {
    let patience = (grace + STOP_MARGIN).as_micros();
    let patience = u32::try_from(patience).unwrap_or(u32::MAX);
    notify(&[
        NotifyState::Stopping,
        NotifyState::ExtendTimeoutUsec(patience),
    ]);
}

/// Settings and files are about to be read again (`Type=notify-reload`).
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => log::warn!("the monotonic clock cannot be read: {error}"),
    }
}

/// They were, whatever came of it.
pub fn reloaded() {
    notify(&[NotifyState::Ready]);
}

/// How it goes, in a line.
pub fn status(text: &str) {
    notify(&[NotifyState::Status(&line(text))]);
}

/// Each event loop turns.
pub fn turning() {
    notify(&[NotifyState::Watchdog]);
}

/// What cannot be taken for another message, which a line end would begin.
fn line(text: &str) -> String {
    let plain = |character: char| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    };
    text.chars().take(MAX_STATUS).map(plain).collect()
}

/// A manager that cannot be told does not keep the agent from its work.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::warn!("the service manager cannot be told (NOTIFY_SOCKET): {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_short_line() {
        assert_eq!(
            line("a master says\nSTOPPING=1\r"),
            "a master says STOPPING=1 "
        );
        assert_eq!(line(&"é".repeat(1000)).chars().count(), MAX_STATUS);
    }
}
