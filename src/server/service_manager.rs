//! What the service manager is told: that the server is ready, what it does, that it leaves.
//!
//! By datagrams to the socket that `NOTIFY_SOCKET` names (sd_notify(3)); without that variable
//! nothing happens. Nobody's service depends on it, so what cannot be told is logged and no error.

use log::warn;
use sd_notify::NotifyState;

/// Connections are served (`READY=1`).
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Connections are served, by this process instead of the one that the service manager knows
/// (`MAINPID=…`, `READY=1`): after an upgrade. It listens only with `NotifyAccess=all`, for this
/// process is not the one it started.
pub fn ready_in_its_place() {
    tell(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
}

/// The server drains and will end (`STOPPING=1`). Not for a server that was succeeded: the
/// service goes on.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// What the server does now, for people, on one line (`STATUS=…`).
pub fn status(text: &str) {
    // A line break would begin another message.
    tell(&[NotifyState::Status(&text.replace('\n', " "))]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        warn!("cannot tell the service manager {states:?}: {error}");
    }
}
