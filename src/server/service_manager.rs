//! Notifications to the service manager: the server is ready, its status, its shutdown.
//!
//! They are datagrams to the socket that `NOTIFY_SOCKET` names (sd_notify(3)). Without that
//! variable nothing happens. No service depends on them, so a failure is no error, and only the
//! first is logged. A service manager that reads no more is not waited for.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};

use log::warn;
use sd_notify::NotifyState;

/// Connections are served (`READY=1`).
pub fn ready() {
    notify(NotifyState::Ready);
}

/// Another process serves in place of this one, which will end (`MAINPID=…`). The process that the
/// service manager knows must send it before it ends, so that the service never seems to have
/// ended.
pub fn succeeded_by(pid: u32) {
    notify(NotifyState::MainPid(pid));
}

/// The server drains and will end (`STOPPING=1`). Do not send it for a server that was succeeded:
/// the service continues.
pub fn stopping() {
    notify(NotifyState::Stopping);
}

/// The status of the server in one line, for people (`STATUS=…`).
pub fn status(text: &str) {
    // A line break would begin another message.
    notify(NotifyState::Status(&text.replace('\n', " ")));
}

fn notify(state: NotifyState<'_>) {
    static IS_LOGGED: AtomicBool = AtomicBool::new(false);
    let Some(address) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&address, &format!("{state}\n"))
        && !IS_LOGGED.swap(true, Ordering::Relaxed)
    {
        warn!(
            target: "service_manager", error:%;
            "the service manager cannot be notified of {state}; look at NOTIFY_SOCKET"
        );
    }
}

/// Sends a message at once or not at all. The crate of the states would wait for room.
fn send(address: &OsStr, message: &str) -> io::Result<()> {
    // A name that begins with @ is in the abstract namespace (unix(7)).
    let address = match address.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(message.as_bytes(), &address).map(drop)
}
