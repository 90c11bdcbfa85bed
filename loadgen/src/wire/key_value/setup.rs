//! The commands that a connection sends before its first request: who it is, which version of RESP
//! it speaks, which database it uses.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::super::mismatch::server_message;
use super::super::setup::Setup;
use super::super::spec::Protocol;
use super::reply_reader::{Piece, ReplyReader};
use super::template::Dialect;

/// A user and a password. Neither is shown anywhere.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    user: Option<String>,
    password: String,
}

impl FromStr for Credentials {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (user, password) = match text.split_once(':') {
            Some((user, password)) => (Some(user.to_owned()), password),
            None => (None, text),
        };
        if password.is_empty() {
            return Err("there is no password; write PASSWORD or USER:PASSWORD".to_owned());
        }
        Ok(Self { user, password: password.to_owned() })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials")
    }
}

/// The commands that each connection sends before its first request. They may contain a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct CommandSetup {
    is_memcached: bool,
    bytes: Vec<u8>,
    steps: Vec<Step>,
}

/// A command of the setup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    name: &'static str,
    remedy: &'static str,
}

const AUTHENTICATE: Step =
    Step { name: "log in", remedy: "are user and password of --authenticate right?" };
const HELLO: Step = Step {
    name: "HELLO 3",
    remedy: "does the server speak RESP3 (Redis 6 and later), and does it want --authenticate?",
};
const SELECT: Step =
    Step { name: "SELECT", remedy: "does the server have this database (--select-db)?" };

impl fmt::Debug for CommandSetup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.steps.iter().map(|step| step.name)).finish()
    }
}

/// Without a command there is nothing to say.
impl From<CommandSetup> for Setup {
    fn from(setup: CommandSetup) -> Self {
        if setup.steps.is_empty() { Self::Nothing } else { Self::Commands(Arc::new(setup)) }
    }
}

impl CommandSetup {
    /// The setup of connections with this protocol.
    pub(crate) fn new(
        protocol: Protocol,
        credentials: Option<&Credentials>,
        database: Option<u32>,
    ) -> Self {
        let is_memcached = protocol.is_memcached();
        let mut setup = Self { is_memcached, ..Self::default() };
        match credentials {
            Some(Credentials { user, password }) if is_memcached => {
                // memcached's text protocol takes them as the value of any key.
                let data = format!("{} {password}", user.as_deref().unwrap_or_default());
                let set = format!("set auth 0 0 {}\r\n{data}\r\n", data.len());
                setup.push(AUTHENTICATE, set.as_bytes());
            }
            Some(Credentials { user: Some(user), password }) => {
                setup.push(AUTHENTICATE, &resp(&["AUTH", user, password]));
            }
            Some(Credentials { user: None, password }) => {
                setup.push(AUTHENTICATE, &resp(&["AUTH", password]));
            }
            None => {}
        }
        if protocol == Protocol::Resp3 {
            setup.push(HELLO, &resp(&["HELLO", "3"]));
        }
        if let Some(database) = database {
            setup.push(SELECT, &resp(&["SELECT", &database.to_string()]));
        }
        setup
    }

    fn push(&mut self, step: Step, request: &[u8]) {
        self.steps.push(step);
        self.bytes.extend_from_slice(request);
    }
}

/// A command of RESP.
fn resp(words: &[&str]) -> Vec<u8> {
    let bulk = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
    let bulks: String = words.iter().map(bulk).collect();
    format!("*{}\r\n{bulks}", words.len()).into_bytes()
}

/// The commands of one stream, and the replies to them.
#[derive(Debug)]
pub(crate) struct CommandExchange {
    setup: Arc<CommandSetup>,
    sent: usize,
    answered: usize,
    reader: ReplyReader,
    /// The first line of the reply that is being received.
    line: Vec<u8>,
}

impl CommandExchange {
    /// Before its first byte.
    pub(in crate::wire) fn new(setup: &Arc<CommandSetup>) -> Self {
        let dialect = if setup.is_memcached { Dialect::Text } else { Dialect::Resp };
        Self {
            setup: Arc::clone(setup),
            sent: 0,
            answered: 0,
            reader: ReplyReader::new(dialect),
            line: Vec::new(),
        }
    }

    /// See [`crate::wire::SetupExchange::unsent`].
    pub(in crate::wire) fn unsent(&self) -> &[u8] {
        &self.setup.bytes[self.sent..]
    }

    /// The socket took so many of them.
    pub(in crate::wire) fn advance_sent(&mut self, sent: usize) {
        self.sent += sent;
    }

    /// See [`crate::wire::SetupExchange::receive`]. The server says nothing by itself before a
    /// request.
    pub(in crate::wire) fn receive(&mut self, bytes: &[u8]) -> Result<Option<usize>, String> {
        let setup = &self.setup;
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let Some(step) = setup.steps.get(self.answered) else {
                return Err(format!("before any request, {}", server_message(rest)));
            };
            let line = &mut self.line;
            let read = self.reader.read(rest, |piece| {
                if let (Piece::Line(bytes), true) = (piece, line.is_empty()) {
                    line.extend_from_slice(bytes);
                }
                Ok(())
            });
            let (taken, is_whole) = read.map_err(|_| refused(step, rest))?;
            at += taken;
            if is_whole {
                let is_refused = match setup.is_memcached {
                    true => line != b"STORED",
                    false => line.starts_with(b"-") || line.starts_with(b"!"),
                };
                if is_refused {
                    return Err(refused(step, line));
                }
                line.clear();
                self.answered += 1;
            }
        }
        Ok((self.answered == setup.steps.len()).then_some(bytes.len()))
    }
}

fn refused(step: &Step, said: &[u8]) -> String {
    format!("{}: {}; {}", step.name, server_message(said), step.remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(
        protocol: Protocol,
        credentials: Option<&str>,
        database: Option<u32>,
    ) -> Arc<CommandSetup> {
        let credentials = credentials.map(|text| text.parse::<Credentials>().unwrap());
        Arc::new(CommandSetup::new(protocol, credentials.as_ref(), database))
    }

    fn sent(setup: &Arc<CommandSetup>) -> String {
        CommandExchange::new(setup).unsent().escape_ascii().to_string()
    }

    #[test]
    fn a_connection_logs_in_and_then_chooses_protocol_and_database() {
        assert_eq!(Setup::from(CommandSetup::new(Protocol::Resp2, None, None)), Setup::Nothing);
        assert_eq!(
            sent(&setup(Protocol::Resp3, Some("me:secret"), Some(5))),
            [
                r"*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$6\r\nsecret\r\n",
                r"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n",
                r"*2\r\n$6\r\nSELECT\r\n$1\r\n5\r\n",
            ]
            .concat()
        );
        assert_eq!(
            sent(&setup(Protocol::RespPing, Some("secret"), None)),
            r"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n"
        );
        assert_eq!(
            sent(&setup(Protocol::MemcachedMeta, Some("me:a:b"), None)),
            r"set auth 0 0 6\r\nme a:b\r\n"
        );
    }

    #[test]
    fn it_is_done_when_every_step_was_answered_however_the_bytes_are_cut() {
        let setup = setup(Protocol::Resp3, Some("secret"), Some(1));
        let replies = b"+OK\r\n%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n+OK\r\n";
        for pieces in [1, 3, 1_000] {
            let mut exchange = CommandExchange::new(&setup);
            let mut pieces = replies.chunks(pieces);
            let last = pieces.next_back().unwrap();
            assert!(pieces.all(|piece| exchange.receive(piece) == Ok(None)));
            assert_eq!(exchange.receive(last), Ok(Some(last.len())));
        }
    }

    #[test]
    fn a_refusal_names_the_step_the_servers_words_and_the_remedy() {
        let of = |setup: &Arc<CommandSetup>, bytes: &[u8]| {
            CommandExchange::new(setup).receive(bytes).unwrap_err()
        };
        let wrong = of(&setup(Protocol::Resp3, Some("x"), None), b"-WRONGPASS invalid\r\n");
        assert!(wrong.starts_with("log in: the server said '-WRONGPASS invalid'; are user"));
        let wrong = of(&setup(Protocol::Resp3, None, None), b"-ERR unknown command\r\n");
        assert!(wrong.starts_with("HELLO 3: the server said '-ERR unknown command'; does"));
        let wrong = of(&setup(Protocol::Resp2, None, Some(99)), b"-ERR DB index\r\n");
        assert!(wrong.contains("(--select-db)"));
        let wrong = of(&setup(Protocol::Resp2, None, Some(1)), b"+OK\r\n+OK\r\n");
        assert!(wrong.starts_with("before any request, the server said '+OK'"));
        let wrong = of(&setup(Protocol::Resp2, None, Some(1)), b"HTTP/1.1 400\r\n");
        assert!(wrong.contains("the server said 'HTTP/1.1 400'"));
    }

    #[test]
    fn memcached_answers_with_one_line() {
        let setup = setup(Protocol::MemcachedText, Some("a:b"), None);
        assert_eq!(CommandExchange::new(&setup).receive(b"STORED\r\n"), Ok(Some(8)));
        let said = CommandExchange::new(&setup).receive(b"CLIENT_ERROR authentication failure\r\n");
        assert!(said.unwrap_err().contains("'CLIENT_ERROR authentication failure'"));
    }

    #[test]
    fn credentials_are_never_shown() {
        let credentials: Credentials = "me:secret".parse().unwrap();
        assert_eq!(format!("{credentials:?}"), "Credentials");
        let setup = CommandSetup::new(Protocol::Resp3, Some(&credentials), None);
        assert_eq!(format!("{setup:?}"), r#"["log in", "HELLO 3"]"#);
        assert!("me:".parse::<Credentials>().unwrap_err().contains("no password"));
    }
}
