//! A listener while the process has no descriptor left. The limit is that of the whole process, so
//! this is a test program of its own, with one test.

mod common;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use evshard::{
    Accepted, Bufferevents, EventBase, HasBufferevents, ListenOptions, ListenerId, LoopFlags,
    Registry,
};
use rlimit::Resource;

#[derive(Default)]
struct App {
    table: Bufferevents<Self>,
    accepted: Vec<Accepted>,
    errors: Vec<std::io::Error>,
}

impl HasBufferevents for App {
    fn bufferevents(&mut self) -> &mut Bufferevents<Self> {
        &mut self.table
    }
}

fn on_accept(_: &mut Registry<App>, app: &mut App, _: ListenerId, accepted: Accepted) {
    app.accepted.push(accepted);
}

/// Runs with no descriptor free.
fn without_descriptors<T>(run: impl FnOnce() -> T) -> T {
    let (soft, hard) = Resource::NOFILE.get().unwrap();
    let lowest_free = File::open("/dev/null").unwrap().as_raw_fd() as u64;
    Resource::NOFILE.set(lowest_free, hard).unwrap();
    let result = run();
    Resource::NOFILE.set(soft, hard).unwrap();
    result
}

fn is_reset(mut client: &TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    client.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn out_of_descriptors_a_listener_resets_one_client_pauses_and_resumes_by_itself() {
    for config in common::all_configs() {
        let mut base = EventBase::new(config).unwrap();
        let mut app = App::default();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = ListenOptions::default();
        let id = app.table.listen(base.registry(), any, options, on_accept).unwrap();
        let mut listener = app.table.listener(base.registry(), id).unwrap();
        listener.set_error_handler(Some(|_, app, _, error| app.errors.push(error)));
        let address = listener.local_address().unwrap();
        for round in 1..=2 {
            let clients: Vec<_> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
            let waits = base.registry().stats().waits;
            without_descriptors(|| {
                base.registry().loop_exit_after(Duration::from_millis(40));
                base.run_until_exit(&mut app).unwrap();
            });
            let waits = base.registry().stats().waits - waits;
            assert!(waits < 12, "{waits} waits: it spins");
            assert_eq!(app.errors.len(), round, "one call for a failure that lasts");
            assert_eq!(app.errors[round - 1].raw_os_error(), Some(libc::EMFILE));
            assert!(app.table.listener(base.registry(), id).unwrap().is_enabled());
            // With descriptors, all that were not reset are accepted after the pause.
            let mut reset = 0;
            common::eventually("the others", || {
                base.run_with(&mut app, LoopFlags::NONBLOCK).unwrap();
                reset += clients.iter().filter(|client| is_reset(client)).count();
                app.accepted.len() + reset == clients.len()
            });
            assert!((1..=4).contains(&reset), "{reset} clients are reset");
            app.accepted.clear();
        }
    }
}
