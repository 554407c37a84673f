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

/// A manager that cannot be told does not keep the agent from its work.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::warn!("the service manager cannot be told (NOTIFY_SOCKET): {error}");
    }
}
