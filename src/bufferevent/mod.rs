//! Buffered events (libevent: bufferevent): sockets, pairs and filters, each with an input and an
//! output buffer, and handlers for what happens to them.

mod connecting;
mod direction;
mod error;
mod filter;
mod handle;
mod handlers;
mod limit_groups;
mod limits;
mod listener;
#[cfg(not(feature = "tls"))]
mod no_tls;
mod pair;
mod rate_limit;
mod serve;
mod slots;
mod socket;
mod state;
mod table;
#[cfg(feature = "tls")]
mod tls;
mod what;

pub use direction::Watermarks;
pub use error::BuffereventError;
pub use filter::{Filter, FilterResult, FlushMode};
pub use handle::BuffereventMut;
pub use handlers::{BuffereventHandlers, DataHandler, WhatHandler};
pub use limit_groups::{GroupId, GroupMut};
pub use listener::{
    AcceptHandler, Accepted, ListenErrorHandler, ListenOptions, ListenerId, ListenerMut,
};
pub use rate_limit::GroupTotals;
pub use state::BuffereventOptions;
pub use table::{BuffereventId, Bufferevents, HasBufferevents};
pub use what::What;
