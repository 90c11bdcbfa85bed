//! Sessions that are resumed.

use std::sync::Arc;

use evshard::Config;
use evshard::server::{AcceptMode, Echo, ServerConfig};
use evshard::tls::TlsServerBuilder;
use rustls::HandshakeKind;

use crate::clients::{Authority, Client, Site, VERSIONS, any_config, config, echo};

/// How many handshakes each shard has resumed.
fn resumed_by_shard(site: &Site) -> Vec<u64> {
    site.server.stats().shards.iter().map(|shard| shard.handshakes.resumed).collect()
}

/// A client that has the tickets of its session.
fn served(site: &Site) -> Client {
    let mut client = site.connect();
    echo(&mut client, b"so that its tickets have come");
    client
}

#[test]
fn a_session_is_resumed_on_whichever_shard_the_next_connection_lands() {
    for mode in AcceptMode::ALL {
        for version in VERSIONS {
            let mut site = Site::start(config(Config::default(), mode), Echo);
            site.access.client = site.authority.client(&[version]).into();
            let first = served(&site);
            assert_eq!(first.conn.handshake_kind(), Some(HandshakeKind::Full));
            let mut held = vec![first];
            // Both shards: the one that made the session, and the other.
            while resumed_by_shard(&site).contains(&0) {
                assert!(held.len() < 200, "{mode}: {:?}", resumed_by_shard(&site));
                let next = served(&site);
                assert_eq!(next.conn.handshake_kind(), Some(HandshakeKind::Resumed), "{mode}");
                held.push(next);
            }
            let total = site.server.stats().total();
            let count = held.len() as u64;
            assert_eq!((total.handshakes.done, total.handshakes.resumed), (count, count - 1));
            assert_eq!(total.handshakes.errors, Default::default());
        }
    }
}

#[test]
fn a_server_without_resumption_and_another_server_do_the_whole_handshake() {
    let config = any_config();
    for version in VERSIONS {
        let mut site = Site::start_with(config.clone(), Echo, TlsServerBuilder::without_resumption);
        site.access.client = site.authority.client(&[version]).into();
        for _ in 0..3 {
            assert_eq!(served(&site).conn.handshake_kind(), Some(HandshakeKind::Full));
        }
        assert_eq!(site.server.stats().total().handshakes.resumed, 0);

        // The tickets of one server mean nothing to another of the same name.
        let authority = Authority::new();
        let client = Arc::new(authority.client(&[version]));
        for _ in 0..2 {
            let tls = Some(authority.server().build().unwrap());
            let config = ServerConfig { tls, ..config.clone() };
            let mut site = Site::of(Authority::new(), config, Echo);
            site.access.client = client.clone();
            assert_eq!(served(&site).conn.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(served(&site).conn.handshake_kind(), Some(HandshakeKind::Resumed));
        }
    }
}
