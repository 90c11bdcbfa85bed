//! TLS that starts on a connection which was plain before ("STARTTLS").

use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use evshard::tls::TlsError;
use evshard::{
    BuffereventError, BuffereventHandlers, BuffereventId, BuffereventOptions, Interest, Registry,
    What,
};

use crate::app::{App, Bench, Seen, bench, logging, on_each_backend};
use crate::tls::{Authority, expect_input};

const PLAIN: BuffereventOptions = BuffereventOptions::empty();

/// A plain bufferevent that logs and reads.
fn plain(bench: &mut Bench, socket: UnixStream) -> BuffereventId {
    let id = bench.app.table.socket(bench.base.registry(), socket, PLAIN).unwrap();
    bench.get(id).set_handlers(logging());
    bench.get(id).enable(Interest::READ);
    id
}

fn pair(bench: &mut Bench) -> [BuffereventId; 2] {
    let (near, far) = UnixStream::pair().unwrap();
    [plain(bench, near), plain(bench, far)]
}

#[test]
fn tls_starts_after_plain_bytes_and_each_side_gets_both() {
    on_each_backend(|bench| {
        let authority = Authority::new();
        let [server, client] = pair(bench);
        bench.get(client).write(b"STARTTLS\r\n");
        expect_input(bench, server, b"STARTTLS\r\n");
        // The answer is not sent yet, and must not be encrypted.
        bench.get(server).write(b"220 go ahead\r\n");
        bench.get(server).start_tls_server(&authority.server()).unwrap();
        expect_input(bench, client, b"220 go ahead\r\n");
        bench.get(client).start_tls_client(&authority.client(), "localhost").unwrap();
        bench.get(client).write(b"secret");
        expect_input(bench, server, b"secret");
        for id in [server, client] {
            assert!(bench.app.seen.contains(&Seen::Event(id, What::CONNECTED)));
            assert!(bench.get(id).tls().is_some());
        }
    });
}

#[test]
fn much_plain_output_goes_out_before_tls_also_from_a_file() {
    on_each_backend(|bench| {
        let authority = Authority::new();
        let [server, client] = pair(bench);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[9; 400_000]).unwrap();
        bench.get(server).write(&[7; 700_000]);
        bench.get(server).output().append_file(file, 0..400_000).unwrap();
        bench.get(server).start_tls_server(&authority.server()).unwrap();
        bench.get(server).write(b"by TLS");
        let plain = [[7; 700_000].as_slice(), &[9; 400_000]].concat();
        expect_input(bench, client, &plain);
        bench.get(client).start_tls_client(&authority.client(), "localhost").unwrap();
        expect_input(bench, client, b"by TLS");
    });
}

/// Someone between the two puts a command behind the request for TLS. It must never be taken for
/// one that came by TLS.
#[test]
fn plain_input_behind_the_request_for_tls_is_an_error() {
    on_each_backend(|bench| {
        let authority = Authority::new();
        let [server, client] = pair(bench);
        bench.get(client).write(b"STARTTLS\r\nRCPT TO:<injected>\r\n");
        bench.run_until_seen(Seen::Read(server));
        bench.get(server).input().drain(10);
        let refused = bench.get(server).start_tls_server(&authority.server());
        let BuffereventError::PlainInput { bytes: 20, .. } = refused.unwrap_err() else {
            panic!("another error");
        };
        // Nothing has changed: it is still plain.
        assert_eq!(bench.get(server).input().len(), 20);
        bench.get(server).write(b"500 no\r\n");
        expect_input(bench, client, b"500 no\r\n");
    });
}

#[test]
fn plain_bytes_that_arrive_after_the_start_are_taken_for_tls_and_refused() {
    on_each_backend(|bench| {
        let authority = Authority::new();
        let (near, mut far) = UnixStream::pair().unwrap();
        let server = plain(bench, near);
        far.write_all(b"STARTTLS\r\n").unwrap();
        expect_input(bench, server, b"STARTTLS\r\n");
        // It is in the socket already when TLS starts.
        far.write_all(b"RCPT TO:<injected>\r\n").unwrap();
        bench.get(server).start_tls_server(&authority.server()).unwrap();
        let both = What::READING | What::WRITING;
        bench.run_until_seen(Seen::Event(server, What::ERROR | both));
        let error = bench.get(server).take_error().unwrap();
        assert!(error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<TlsError>), "{error}");
        assert!(bench.get(server).input().is_empty());
    });
}

#[test]
fn a_read_handler_may_start_tls() {
    fn on_read(registry: &mut Registry<App>, app: &mut App, id: BuffereventId) {
        let mut server = app.table.get(registry, id).unwrap();
        server.input().drain(usize::MAX);
        if server.tls().is_none() {
            server.start_tls_server(&Authority::new().server()).unwrap();
        }
    }
    on_each_backend(|bench| {
        let [server, client] = pair(bench);
        let handlers = BuffereventHandlers { read: Some(on_read), ..logging() };
        bench.get(server).set_handlers(handlers);
        bench.get(client).write(b"STARTTLS");
        bench.run_until("it", |bench| bench.get(client).output().is_empty());
        let trusting = evshard::tls::TlsClient::builder(Authority::new().roots())
            .dangerous_trust_every_server()
            .build()
            .unwrap();
        bench.turn();
        bench.get(client).start_tls_client(&trusting, "localhost").unwrap();
        bench.run_until_seen(Seen::Event(server, What::CONNECTED));
    });
}

#[test]
fn tls_starts_once_and_on_sockets_only() {
    let mut bench = bench();
    let authority = Authority::new();
    let [server, _] = pair(&mut bench);
    bench.get(server).start_tls_server(&authority.server()).unwrap();
    let again = bench.get(server).start_tls_server(&authority.server());
    assert!(matches!(again, Err(BuffereventError::HasTls(_))), "{again:?}");
    let unconnected = bench.app.table.unconnected(bench.base.registry(), PLAIN);
    let bad_name = bench.get(unconnected).start_tls_client(&authority.client(), "no name!");
    assert!(matches!(bad_name, Err(BuffereventError::Tls(TlsError::BadName { .. }))));
    bench.get(unconnected).start_tls_client(&authority.client(), "localhost").unwrap();
    let again = bench.get(unconnected).start_tls_client(&authority.client(), "localhost");
    assert!(matches!(again, Err(BuffereventError::HasTls(_))), "{again:?}");
    let (end, _) = bench.app.table.pair(bench.base.registry(), PLAIN);
    let no_socket = bench.get(end).start_tls_server(&authority.server());
    assert!(matches!(no_socket, Err(BuffereventError::NoSocket(_))), "{no_socket:?}");
    assert!(bench.get(end).set_allow_dirty_shutdown(true).is_err());
}

#[test]
fn a_bufferevent_without_tls_has_no_facts_and_closes_as_before() {
    let mut bench = bench();
    let (near, mut far) = UnixStream::pair().unwrap();
    let id = plain(&mut bench, near);
    assert_eq!(bench.get(id).tls(), None);
    bench.get(id).write(b"plain");
    bench.app.table.get(bench.base.registry(), id).unwrap().free_when_sent();
    bench.run_until("its end", |bench| bench.app.table.is_empty());
    let mut all = String::new();
    far.read_to_string(&mut all).unwrap();
    assert_eq!(all, "plain");
}
