//! Your own protocol in one page: a key-value store over lines of text.
//!
//! `set KEY VALUE` returns `ok`, `get KEY` returns the value or `none`, and `quit` ends the
//! connection. Each shard has its own store. With one worker, all clients share one. Ctrl-C drains.
//!
//! ```sh
//! cargo run --example line_protocol            # listens on 127.0.0.1:5556
//! printf 'set a 1\nget a\nquit\n' | nc 127.0.0.1 5556
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::HashMap;
use std::num::NonZeroUsize;

use evshard::server::{Connection, Server, ServerConfig, Service};
use evshard::{Config, EventBase, EventSpec};

/// A store. It needs no lock, because only the thread of its shard uses it.
#[derive(Clone, Default)]
struct Store {
    values: HashMap<String, String>,
}

impl Store {
    /// The answer to a request; `None` closes the connection.
    fn answer(&mut self, request: &str) -> Option<String> {
        let mut words = request.splitn(3, ' ');
        let answer = match (words.next(), words.next(), words.next()) {
            (Some("set"), Some(key), Some(value)) => {
                self.values.insert(key.to_owned(), value.to_owned());
                "ok".to_owned()
            }
            (Some("get"), Some(key), None) => {
                self.values.get(key).cloned().unwrap_or_else(|| "none".to_owned())
            }
            (Some("quit"), None, None) => return None,
            _ => "error: write `set KEY VALUE`, `get KEY` or `quit`".to_owned(),
        };
        Some(answer)
    }
}

impl Service for Store {
    /// How many requests the connection made.
    type Session = u64;
    type Message = ();

    fn open(&mut self, _: &mut Connection<'_, Self>) -> u64 {
        0
    }

    fn receive(
        &mut self,
        requests: &mut u64,
        input: &[u8],
        connection: &mut Connection<'_, Self>,
    ) -> usize {
        // An incomplete line is not consumed; the next call gets it again with more data.
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return 0 };
        *requests += 1;
        match self.answer(String::from_utf8_lossy(&input[..end]).trim_end()) {
            Some(answer) => connection.send(format!("{answer}\n").as_bytes()),
            None => {
                connection.send(format!("bye after {requests} requests\n").as_bytes());
                connection.close();
            }
        }
        end + 1
    }

    fn drain(&mut self, _: &mut u64, connection: &mut Connection<'_, Self>) {
        connection.send(b"the server drains\n");
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5556".to_owned());
    let config = ServerConfig {
        listen: vec![address.parse()?],
        workers: NonZeroUsize::MIN,
        ..ServerConfig::default()
    };
    // This comes first, so that a Ctrl-C during the start is not lost.
    let mut base = EventBase::<()>::new(Config::default())?;
    let interrupt = base.registry().create(EventSpec::signal(libc::SIGINT), |_, (), _| {});
    base.registry().add(interrupt, None)?;
    let server = Server::start(&config, Store::default())?;
    println!("listening on {}", server.addresses()[0]);
    base.run(&mut ())?;
    print!("{}", server.drain()?);
    Ok(())
}
