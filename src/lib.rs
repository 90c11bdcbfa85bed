//! A libevent-style event base in safe Rust, and a sharded TCP server on top of it.
//!
//! An [`EventBase`] waits for descriptors, signals and timeouts, and calls the handlers of the
//! events that fired. Events live in the base; an [`EventId`] identifies each. State lives in
//! a context of your own. Handlers are plain functions of both. An echo server on one thread:
//!
//! ```
//! use std::collections::HashMap;
//! use std::io::{Read, Write};
//! use std::net::{TcpListener, TcpStream};
//! use std::os::fd::AsRawFd;
//! use evshard::{Config, EventBase, EventSpec, Fired, Interest, Registry, Token};
//!
//! struct App { listener: TcpListener, clients: HashMap<u64, TcpStream> }
//!
//! fn on_accept(registry: &mut Registry<App>, app: &mut App, _: Fired) {
//!     let Ok((client, _)) = app.listener.accept() else { return };
//!     let token = Token(client.as_raw_fd() as u64);
//!     let readable = EventSpec::io(&client, Interest::READ).persist().token(token);
//!     let id = registry.create(readable, on_readable);
//!     registry.add(id, None).expect("a socket can be watched");
//!     app.clients.insert(token.0, client);
//! }
//!
//! fn on_readable(registry: &mut Registry<App>, app: &mut App, fired: Fired) {
//!     let Some(client) = app.clients.get_mut(&fired.token.0) else { return };
//!     let mut buffer = [0; 4096];
//!     let n = client.read(&mut buffer).unwrap_or(0);
//!     if n == 0 || client.write_all(&buffer[..n]).is_err() {
//!         registry.free(fired.id);
//!         app.clients.remove(&fired.token.0);
//! #       registry.loop_exit();
//!     }
//! }
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! # let address = listener.local_addr()?;
//! let mut app = App { listener, clients: HashMap::new() };
//! let mut base = EventBase::new(Config::default())?;
//! let listening = EventSpec::io(&app.listener, Interest::READ).persist();
//! let id = base.registry().create(listening, on_accept);
//! base.registry().add(id, None)?;
//! # let client = std::thread::spawn(move || {
//! #     let mut client = TcpStream::connect(address)?;
//! #     client.write_all(b"hello")?;
//! #     let mut echo = [0; 5];
//! #     client.read_exact(&mut echo).map(|()| echo)
//! # });
//! base.run(&mut app)?;
//! # assert_eq!(&client.join().unwrap()?, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! (A slow reader blocks this server in `write_all`; [`server`] has complete flow control.)
//!
//! # Buffers
//!
//! A [`Buffer`] holds the bytes that a socket has not taken yet, or that are not a whole message
//! yet. It does not need an event base.
//!
//! # Buffered events
//!
//! With the feature `bufferevent`, [`Bufferevents`] is a table of sockets, pairs and filters, each
//! with an input and an output buffer. Their handlers are called for input, and after output was
//! sent. They connect by address or by name. With the feature `tls` they also speak [`tls`].
//!
//! # Threads
//!
//! A base belongs to one thread and has no lock. Other threads wake it with a [`Notifier`] or act
//! on it with a [`Remote`]. To use several cores, use several bases, as [`server`] does.
//!
//! # Where the semantics come from
//!
//! They are libevent 2.x's: what fires when, in which order, and what a handler may do.
//! docs/CONFORMANCE.md lists its rules, each with its test, or with the difference and the reason.
//! docs/LIBEVENT.md maps the names. Each item's documentation names its libevent counterpart.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("evshard needs 64-bit Linux: its backends and wake-ups are that kernel's");

// A module imports only those above it (tests/tidy/layers.rs).
mod sync;

mod event;

mod error;

mod sys;

mod backend;

mod base;

mod buffer;

#[cfg(feature = "tls")]
pub mod tls;

#[cfg(feature = "bufferevent")]
mod transport;

#[cfg(feature = "bufferevent")]
mod accept;

#[cfg(feature = "bufferevent")]
mod connect;

#[cfg(feature = "bufferevent")]
mod rate_limit;

#[cfg(feature = "bufferevent")]
mod bufferevent;

#[cfg(feature = "server")]
pub mod server;

pub use backend::{BackendKind, ChangelistFlush, Features};
#[doc(hidden)]
pub use base::steps;
pub use base::{
    ChangelistPolicy, CheckWatcher, ClockKind, CommonTimeout, Config, DispatchLimit, Dump,
    Embedded, EventBase, EventCounts, EventInfo, Handler, Leniency, LoopEnd, LoopFlags, LoopStats,
    MembershipCounts, Notifier, PassedOver, PrepareWatcher, Registry, Remote, SignalMethod, Turn,
    Wake, WatcherId,
};
pub use buffer::{Buffer, BufferError, Changes, Eol, Reservation};
#[cfg(feature = "bufferevent")]
pub use bufferevent::{
    AcceptHandler, Accepted, BuffereventError, BuffereventHandlers, BuffereventId, BuffereventMut,
    BuffereventOptions, Bufferevents, DataHandler, Filter, FilterResult, FlushMode, GroupId,
    GroupMut, GroupTotals, HasBufferevents, ListenErrorHandler, ListenOptions, ListenerId,
    ListenerMut, Watermarks, What, WhatHandler,
};
#[cfg(feature = "bufferevent")]
pub use connect::ConnectError;
pub use error::{Error, Result};
pub use event::{EventId, EventSpec, Fired, Interest, Ready, Token};
#[cfg(feature = "bufferevent")]
pub use rate_limit::{RateLimit, RateLimitError};

/// The README's examples compile, too.
#[cfg(all(doctest, feature = "server"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// The code of the guides, too.
#[cfg(all(doctest, feature = "server"))]
#[doc = include_str!("../docs/GUIDE.md")]
#[doc = include_str!("../docs/SERVICE.md")]
#[doc = include_str!("../docs/LIBEVENT.md")]
struct Guides;
