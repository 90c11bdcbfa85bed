//! The context of these tests: a log of what fired, and the ids of events.

#![allow(unused_imports, reason = "each topic uses its own share")]

pub(crate) use std::io::{Read, Write};
pub(crate) use std::os::fd::AsRawFd;
pub(crate) use std::os::unix::net::UnixStream;
pub(crate) use std::time::{Duration, Instant};

pub(crate) use evshard::{
    ClockKind, Config, Error, EventBase, EventId, EventSpec, Features, Fired, Handler, Interest,
    LoopEnd, LoopFlags, Ready, Registry, Token,
};

pub(crate) const SHORT: Duration = Duration::from_millis(3);

/// A context: the log of what fired, and ids for handlers.
#[derive(Debug, Default)]
pub(crate) struct App {
    pub(crate) fired: Vec<(u64, Ready)>,
    pub(crate) ids: Vec<EventId>,
}

pub(crate) type Base = EventBase<App>;

pub(crate) fn log(_: &mut Registry<App>, app: &mut App, fired: Fired) {
    app.fired.push((fired.token.0, fired.ready));
}

pub(crate) fn pair() -> (UnixStream, UnixStream) {
    let (one, other) = UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    (one, other)
}

/// A pair whose first end is readable.
pub(crate) fn readable_pair() -> (UnixStream, UnixStream) {
    let (reader, mut writer) = pair();
    writer.write_all(b"x").unwrap();
    (reader, writer)
}

pub(crate) fn add(base: &mut Base, spec: EventSpec, handler: Handler<App>) -> EventId {
    let id = base.registry().create(spec, handler);
    base.registry().add(id, None).unwrap();
    id
}

/// One turn without waiting; what fired in it.
pub(crate) fn poll(base: &mut Base, app: &mut App) -> Vec<(u64, Ready)> {
    base.run_with(app, LoopFlags::ONCE | LoopFlags::NONBLOCK).unwrap();
    std::mem::take(&mut app.fired)
}
