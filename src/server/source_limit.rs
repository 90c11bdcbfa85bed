//! The limit of connections per source: one table for all acceptors and workers. It is locked only
//! when a connection opens and when it closes.
//!
//! The table has an entry for each source with an open connection, and its memory shrinks with
//! them. So an attacker with many addresses needs an open connection for each. The hash is keyed at
//! random, so no choice of addresses makes the table slow.
//!
//! A connection is counted when it is accepted. If its peer may send a PROXY header that is
//! trusted, the worker counts it once the header is read.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;

use super::config::{ConnectionsPerSource, ProxyMode, ProxyProtocol, ServerConfig};
use super::proxy_protocol::is_trusted;
use crate::base::log_interval::LogInterval;
use crate::sync::Mutex;

/// A table with fewer slots does not shrink: it needs some kilobytes.
const SHRINKING_SLOTS_MIN: usize = 256;

/// Counts the open connections of each source, and limits them.
#[derive(Debug)]
pub(super) struct SourceLimit {
    limit: ConnectionsPerSource,
    proxy: ProxyProtocol,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// The open connections of each source that has any.
    open: HashMap<IpNet, usize>,
    log: LogInterval,
}

/// One open connection of a source; its drop ends the count. Drop it after the socket is closed.
#[derive(Debug)]
pub(super) struct SourceSlot {
    limit: Arc<SourceLimit>,
    source: IpNet,
}

impl SourceLimit {
    /// The limit of a server with this configuration, if it has one.
    pub(super) fn of(config: &ServerConfig) -> Option<Arc<Self>> {
        let limit = config.connections_per_source?;
        let (proxy, table) = (config.proxy.clone(), Mutex::new(Table::default()));
        Some(Arc::new(Self { limit, proxy, table }))
    }

    /// Whether a PROXY header may still name the source of a connection with this peer.
    pub(super) fn awaits_header(&self, peer: IpAddr) -> bool {
        self.proxy.mode != ProxyMode::Off && is_trusted(Some(peer), &self.proxy)
    }

    /// Counts a connection from this address. `None` if its source has as many as it may: the
    /// connection must be reset. That is logged at most once a second.
    pub(super) fn try_acquire(self: &Arc<Self>, address: IpAddr) -> Option<Box<SourceSlot>> {
        let source = self.source_of(address);
        let suppressed = {
            let Table { open, log } = &mut *self.table.lock();
            // A refused source has connections, so this inserts nothing that would stay.
            let count = open.entry(source).or_default();
            if *count < self.limit.max.get() {
                *count += 1;
                return Some(Box::new(SourceSlot { limit: self.clone(), source }));
            }
            log.next(Instant::now())
        };
        if let Some(suppressed) = suppressed {
            log::warn!(
                target: "accept", source:%, max = self.limit.max.get(), suppressed;
                "a new connection was reset: its source has as many open as one may have"
            );
        }
        None
    }

    /// How many sources have open connections.
    pub(super) fn sources(&self) -> usize {
        self.table.lock().open.len()
    }

    fn source_of(&self, address: IpAddr) -> IpNet {
        let address = address.to_canonical();
        let prefix =
            if address.is_ipv4() { self.limit.ipv4_prefix } else { self.limit.ipv6_prefix };
        IpNet::new(address, prefix).expect("the configuration checked the prefix").trunc()
    }
}

impl Drop for SourceSlot {
    fn drop(&mut self) {
        let open = &mut self.limit.table.lock().open;
        let count = open.get_mut(&self.source).expect("it counts this connection");
        *count -= 1;
        if *count > 0 {
            return;
        }
        open.remove(&self.source);
        if open.capacity() > SHRINKING_SLOTS_MIN && open.len() < open.capacity() / 8 {
            open.shrink_to(open.len() * 2);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::num::NonZeroUsize;
    use std::thread;

    use super::*;

    fn limit(max: usize, ipv4_prefix: u8, ipv6_prefix: u8) -> Arc<SourceLimit> {
        let max = NonZeroUsize::new(max).unwrap();
        let connections_per_source = Some(ConnectionsPerSource { max, ipv4_prefix, ipv6_prefix });
        SourceLimit::of(&ServerConfig { connections_per_source, ..Default::default() }).unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_with_the_same_prefix_are_one_source() {
        for (prefixes, one, same, other) in [
            ((32, 64), "10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ((24, 64), "10.0.0.1", "10.0.0.255", "10.0.1.0"),
            ((32, 64), "2001:db8::1", "2001:db8:0:0:ffff::", "2001:db8:0:1::1"),
            ((32, 128), "2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ((8, 48), "2001:db8::1", "2001:db8:0:ffff::", "2001:db8:1::"),
            // A socket for both protocols reports IPv4 peers so.
            ((32, 64), "10.0.0.1", "::ffff:10.0.0.1", "::ffff:10.0.0.2"),
        ] {
            let limit = limit(1, prefixes.0, prefixes.1);
            let held = limit.try_acquire(address(one)).unwrap();
            assert!(limit.try_acquire(address(same)).is_none(), "{one} {same}");
            assert!(limit.try_acquire(address(other)).is_some(), "{one} {other}");
            assert_eq!(limit.sources(), 1, "{one}");
            drop(held);
            assert!(limit.try_acquire(address(same)).is_some(), "{one} {same}");
            assert_eq!(limit.sources(), 0, "{one}");
        }
    }

    #[test]
    fn a_table_with_many_sources_kept_their_memory() {
        let limit = limit(2, 32, 64);
        let sources = (0..100_000_u32).map(|number| IpAddr::V4(number.into()));
        let mut held: Vec<_> = sources.map(|source| limit.try_acquire(source).unwrap()).collect();
        assert_eq!(limit.sources(), held.len());
        held.truncate(10);
        assert_eq!(limit.sources(), 10);
        let slots = limit.table.lock().open.capacity();
        assert!(slots <= SHRINKING_SLOTS_MIN, "{slots} slots for ten sources");
    }

    #[test]
    fn the_limit_of_a_source_is_exact_however_many_threads_open_and_close() {
        let limit = limit(3, 32, 64);
        let acquire_all = |limit: &Arc<SourceLimit>| {
            let source = address("192.0.2.1");
            std::iter::from_fn(|| limit.try_acquire(source)).take(100).collect::<Vec<_>>()
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let held = acquire_all(&limit);
                        assert!(held.len() <= 3);
                        let open = limit.table.lock().open.values().sum::<usize>();
                        assert!(open <= 3, "{open}");
                    }
                });
            }
        });
        assert_eq!(limit.sources(), 0);
        assert_eq!(acquire_all(&limit).len(), 3);
        assert_eq!(limit.sources(), 0);
    }

    #[test]
    fn only_a_peer_whose_header_is_trusted_is_counted_after_its_header() {
        let trusted = vec!["10.0.0.0/8".parse().unwrap()];
        for (mode, of_trusted) in
            [(ProxyMode::Off, false), (ProxyMode::Optional, true), (ProxyMode::Require, true)]
        {
            let config = ServerConfig {
                connections_per_source: Some(ConnectionsPerSource::new(NonZeroUsize::MIN)),
                proxy: ProxyProtocol { mode, trusted: trusted.clone() },
                ..Default::default()
            };
            let limit = SourceLimit::of(&config).unwrap();
            assert_eq!(limit.awaits_header(address("10.1.2.3")), of_trusted, "{mode:?}");
            assert!(!limit.awaits_header(address("192.0.2.1")), "{mode:?}");
        }
    }
}
