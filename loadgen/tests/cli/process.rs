//! Servers as processes of their own, for `--server-cmd`: this test program, started as a server.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// The command that has this very program echo at the target.
pub(crate) fn echo_command() -> String {
    let program = std::env::current_exe().unwrap();
    format!("'{}' --ignored --exact process::serves_as_an_echo {{addr}}", program.display())
}

/// No test: what [`echo_command`] runs. The words of its command line are names of tests, of which
/// the last one, the address, names none.
#[test]
#[ignore = "a server for other tests; it does not end"]
fn serves_as_an_echo() {
    let address = std::env::args().next_back().unwrap();
    let Ok(listener) = TcpListener::bind(&address) else { return };
    for client in listener.incoming() {
        let client = client.unwrap();
        let worker = thread::Builder::new().name("worker-0".to_owned());
        // A worker outlives its client, as those of a pool do.
        let work = || {
            echo(client);
            loop {
                thread::park();
            }
        };
        worker.spawn(work).unwrap();
    }
}

fn echo(mut client: TcpStream) {
    client.set_nodelay(true).unwrap();
    let mut buffer = [0; 64 * 1024];
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        if client.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}
