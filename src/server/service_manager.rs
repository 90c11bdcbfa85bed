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

/// Another process serves in the place of this one, which will end (`MAINPID=…`). Said by the one
/// that the service manager knows, and before it ends, so that the service never seems to have
/// ended.
pub fn succeeded_by(pid: u32) {
    tell(&[NotifyState::MainPid(pid)]);
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
        warn!(target: "service_manager", "cannot tell the service manager {states:?}: {error}");
    }
}
