//! Notifications to the service manager: the server is ready, its status, its shutdown.
//!
//! They are datagrams to the socket that `NOTIFY_SOCKET` names (sd_notify(3)). Without that
//! variable nothing happens. No service depends on them, so a failure is logged and is no error.

use log::warn;
use sd_notify::NotifyState;

/// Connections are served (`READY=1`).
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Another process serves in place of this one, which will end (`MAINPID=…`). The process that the
/// service manager knows must send it before it ends, so that the service never seems to have
/// ended.
pub fn succeeded_by(pid: u32) {
    notify(&[NotifyState::MainPid(pid)]);
}

/// The server drains and will end (`STOPPING=1`). Do not send it for a server that was succeeded:
/// the service continues.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// The status of the server in one line, for people (`STATUS=…`).
pub fn status(text: &str) {
    // A line break would begin another message.
    notify(&[NotifyState::Status(&text.replace('\n', " "))]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        warn!(target: "service_manager", "cannot notify the service manager: {states:?}: {error}");
    }
}
