//! Exchanges against servers: a naive one in memory, and real ones where they are installed.

#[cfg(test)]
mod exchanges;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod http;
#[cfg(test)]
mod http_reader;
#[cfg(test)]
mod http_replies;
#[cfg(test)]
mod http_requests;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod servers;

#[cfg(test)]
pub(super) use self::fixture::spec;
#[cfg(test)]
pub(super) use self::peer::websocket_head;
