//! Sessions that are resumed.

use evshard::Config;
use evshard::server::{AcceptMode, Echo, ServerConfig};
use rustls::HandshakeKind;

use crate::clients::{Client, Site, VERSIONS, config, echo};

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
            site.client = site.authority.client(&[version]).into();
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
    let plain = config(Config::default(), AcceptMode::Acceptor);
    for version in VERSIONS {
        let set = |server: evshard::tls::TlsServerBuilder| server.without_resumption();
        let mut site = Site::start_with(plain.clone(), Echo, set);
        site.client = site.authority.client(&[version]).into();
        for _ in 0..3 {
            assert_eq!(served(&site).conn.handshake_kind(), Some(HandshakeKind::Full));
        }
        assert_eq!(site.server.stats().total().handshakes.resumed, 0);
        // The tickets of one server mean nothing to another with the same certificate.
        let tls = |authority: &crate::clients::Authority| Some(authority.server().build().unwrap());
        let config = ServerConfig { tls: tls(&site.authority), ..plain.clone() };
        let mut first = Site::of(crate::clients::Authority::new(), config.clone(), Echo);
        let config = ServerConfig { tls: tls(&site.authority), ..config };
        let mut second = Site::of(crate::clients::Authority::new(), config, Echo);
        let client = std::sync::Arc::new(site.authority.client(&[version]));
        (first.client, second.client) = (client.clone(), client);
        served(&first);
        assert_eq!(served(&second).conn.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(served(&second).conn.handshake_kind(), Some(HandshakeKind::Resumed));
    }
}
