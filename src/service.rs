//! What the service manager is told: `sd_notify(3)`. Without one, nothing is.

use sd_notify::NotifyState;

/// The port is open and the loops are about to run.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A signal has come: present requests are finished, and no new ones are taken.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
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

/// A manager that cannot be told does not keep the agent from its work.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::warn!("the service manager cannot be told (NOTIFY_SOCKET): {error}");
    }
}
