//! What is refused at the start.

use std::sync::mpsc;
use std::time::Duration;

use evshard::server::upgrade::{UpgradeSocket, take_over};
use evshard::server::{Echo, Error, Server, ServerConfig, listener, ranges};

use crate::clients::{Authority, Site, any_config, client_on, close, echo, socket_to, tcp_address};
use crate::common::{MS, TEST_TIMEOUT, read};

#[test]
fn a_listener_with_tls_needs_a_certificate() {
    let folder = test_needs::folder();
    let path = folder.path().join("socket");
    for listen in ["tls:127.0.0.1:0".to_owned(), format!("tls:unix:{}", path.display())] {
        // Beside a plain one, which needs none.
        let listen = vec!["127.0.0.1:0".parse().unwrap(), listen.parse().unwrap()];
        let config = ServerConfig { listen, ..any_config() };
        let error = Server::start(&config, Echo).unwrap_err();
        let Error::NoCertificate { address } = &error else { panic!("{error}") };
        let is_path = *address == format!("unix:{}", path.display());
        assert!(is_path || address.starts_with("127.0.0.1:"), "{address}");
        assert!(error.to_string().contains("--tls-cert"), "{error}");

        let listeners = listener::open(&ServerConfig {
            tls: Some(Authority::new().server().build().unwrap()),
            ..config.clone()
        });
        let error = Server::start_on(&config, listeners.unwrap(), Echo).unwrap_err();
        assert!(matches!(error, Error::NoCertificate { .. }), "{error}");
        assert!(!path.exists(), "nothing is left of it");
    }
}

#[test]
fn a_successor_without_a_certificate_does_not_start_and_the_old_server_goes_on() {
    let folder = test_needs::folder();
    let path = folder.path().join("upgrade");
    let mut site = Site::start(any_config(), Echo);
    let mut held = site.connect();
    let (sender, taken) = mpsc::channel();
    let socket = UpgradeSocket::open(&path).unwrap();
    site.server.offer(socket, move |process| sender.send(process).unwrap()).unwrap();

    let (listeners, take) = take_over(&path).unwrap();
    let without = ServerConfig { tls: None, ..any_config() };
    let error = Server::start_on(&without, listeners, Echo).unwrap_err();
    assert!(matches!(error, Error::NoCertificate { .. }), "{error}");
    drop(take);
    assert!(taken.try_recv().is_err());
    echo(&mut held, b"goes on");
    for _ in 0..10 {
        let mut new = site.connect();
        echo(&mut new, b"and serves new ones");
        close(new);
    }

    // One with a certificate serves TLS at the same address.
    let (listeners, take) = take_over(&path).unwrap();
    let authority = Authority::new();
    let tls = Some(authority.server().build().unwrap());
    let config = ServerConfig { listen: Vec::new(), tls, ..any_config() };
    let successor = Server::start_on(&config, listeners, Echo).unwrap();
    let _upgrade = take.ready().unwrap();
    taken.recv_timeout(TEST_TIMEOUT).unwrap();
    let report = site.server.drain().unwrap().total();
    assert_eq!((report.handshakes.done, report.errors.total()), (11, 0));
    assert_eq!(read(&mut held, &mut [0]).unwrap(), 0, "by close_notify");
    assert_eq!(tcp_address(&successor, 0), site.access.address);
    let tls = authority.client(&crate::clients::VERSIONS).into();
    let mut client = client_on(socket_to(site.access.address, None), &tls, "localhost");
    echo(&mut client, b"by the certificate of the successor");
}

#[test]
fn a_deadline_of_the_handshake_outside_its_range_is_refused() {
    let authority = Authority::new();
    let with = |timeout| {
        let tls = authority.server().handshake_timeout(timeout).build().unwrap();
        Server::start(&ServerConfig { tls: Some(tls), ..any_config() }, Echo)
    };
    let (least, most) = (*ranges::DEADLINE.start(), *ranges::DEADLINE.end());
    for bad in [Duration::ZERO, least / 2, most + least, Duration::MAX] {
        let error = with(Some(bad)).unwrap_err();
        assert!(matches!(error, Error::OutOfRange(_)), "{error}");
        assert!(error.to_string().contains("tls.handshake_timeout"), "{error}");
    }
    for good in [None, Some(least), Some(most)] {
        drop(with(good).unwrap());
    }
}

#[test]
fn a_running_server_keeps_its_settings_if_new_ones_are_refused_and_else_uses_the_new() {
    let mut site = Site::start(any_config(), Echo);
    let mut held = site.connect();
    let other = Authority::new();
    let bad = other.server().handshake_timeout(Some(Duration::ZERO)).build().unwrap();
    let bad = ServerConfig { tls: Some(bad), ..any_config() };
    assert!(matches!(site.server.reconfigure(&bad), Err(Error::OutOfRange(_))));
    echo(&mut site.connect(), b"by the old certificate");

    let tls = Some(other.server().build().unwrap());
    let config = ServerConfig { tls, ..any_config() };
    assert_eq!(site.server.reconfigure(&config).unwrap(), 0);
    let tls = other.client(&crate::clients::VERSIONS).into();
    echo(&mut site.connect_with(&tls), b"by the new certificate");
    echo(&mut held, b"an open connection stays");
}

/// Its TLS stays, and with it the deadline of its handshakes.
#[test]
fn a_running_server_that_gets_settings_without_tls_keeps_its_own() {
    let mut site =
        Site::start_with(any_config(), Echo, |server| server.handshake_timeout(Some(200 * MS)));
    assert_eq!(site.server.reconfigure(&any_config()).unwrap(), 0);
    echo(&mut site.connect(), b"by its certificate");
    let mut silent = site.socket();
    assert_eq!(read(&mut silent, &mut [0]).unwrap(), 0, "at the deadline");
    assert_eq!(site.server.stats().total().handshakes.errors.timeout, 1);
}
