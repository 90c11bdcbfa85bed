//! What the machine does not allow, and the server can run without: logged once, at the start.
//!
//! Containers, seccomp profiles and ordinary users differ in what they may do. Each feature is
//! tested by trying it, and each log line names what is lost.

use std::{io, thread};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::thread::{sched_getaffinity, sched_setaffinity};

use crate::server::config::ServerConfig;

/// Logs what a server with this configuration loses here, and why.
pub(super) fn log_all(config: &ServerConfig) {
    // When a ring is closed, the kernel interrupts a later wait of the thread that opened it. So a
    // thread of its own opens this one.
    // If there is no thread for it, the start of the server reports that.
    let ring_refusal = thread::scope(|scope| {
        let ring = thread::Builder::new().spawn_scoped(scope, || config.base.ring_refusal());
        ring.ok()?.join().ok()?
    });
    if let Some(why) = ring_refusal {
        let lost = "epoll changes take one system call each, instead of one for many";
        log::info!(target: "machine", "{lost}: {why}");
    }
    log_lost(wait_a_nanosecond(), "timeouts are rounded up to milliseconds: epoll_pwait2(2)");
    if config.pin {
        log_lost(
            bind_to_own_cores(),
            "workers are not pinned, and the kernel may move them: sched_setaffinity(2)",
        );
    }
}

/// Without a free descriptor an attempt shows nothing; the start of the server reports that.
fn log_lost(attempt: io::Result<()>, lost: &str) {
    match attempt.map_err(|error| (error.raw_os_error(), error)) {
        Ok(()) | Err((Some(libc::EMFILE | libc::ENFILE), _)) => {}
        Err((_, error)) => log::warn!(target: "machine", "{lost}: {error}"),
    }
}

fn wait_a_nanosecond() -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let timeout = Timespec { tv_sec: 0, tv_nsec: 1 };
    epoll::wait(epoll, spare_capacity(&mut Vec::with_capacity(1)), Some(&timeout))?;
    Ok(())
}

/// Binds the thread to the cores that it already has, which changes nothing.
fn bind_to_own_cores() -> io::Result<()> {
    Ok(sched_setaffinity(None, &sched_getaffinity(None)?)?)
}
