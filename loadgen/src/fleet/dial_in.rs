//! Agents that dial in: who may, and which rank each has.

use std::io::{self, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::message::{self, FromAgent, Hello, ToAgent};
use crate::console;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::options::DialInAgents;
use crate::units::counted;

/// How long an agent that has connected may take for its hello.
const HELLO_DELAY_MAX: Duration = Duration::from_secs(10);

/// Time between two checks for a signal.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Connections whose hello is awaited at once. Others wait in the backlog.
const PENDING_MAX: usize = 256;

/// An agent that has dialled in.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) name: String,
    pub(super) reader: BufReader<TcpStream>,
    pub(super) socket: TcpStream,
    pub(super) hello: Hello,
}

/// Waits until as many agents as expected have dialled in. Returns them by rank.
pub(super) fn accept(agents: &DialInAgents, interrupt: &Interrupt) -> Result<Vec<Caller>, Error> {
    let listener = TcpListener::bind(&agents.address)
        .map_err(|source| Error::ListenForAgents { address: agents.address.clone(), source })?;
    listener.set_nonblocking(true).map_err(Error::Start)?;
    if let Ok(address) = listener.local_addr() {
        let expect = agents.expect;
        let expect = counted(expect.into(), "agent");
        console::say(&format!("wait for {expect} at tcp://{address} (loadgen agent)"));
    }
    let (sender, callers) = mpsc::sync_channel(PENDING_MAX);
    let begun = Instant::now();
    let mut ranks = Ranks::new(agents.expect);
    while !ranks.is_complete() {
        if interrupt.is_requested() {
            return Err(Error::Interrupted);
        }
        if begun.elapsed() > agents.within {
            return Err(Error::AgentsMissing {
                found: ranks.count(),
                expected: agents.expect,
                within: agents.within,
            });
        }
        match listener.accept() {
            Ok((socket, address)) => {
                let sender = sender.clone();
                thread::spawn(move || _ = sender.try_send(greet(socket, address.to_string())));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => console::say(&format!("accept an agent: {error}")),
        }
        match callers.recv_timeout(LOOK_AGAIN) {
            Ok(Ok(caller)) => admit(caller, &agents.token, &mut ranks),
            Ok(Err(complaint)) => console::say(&complaint),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
    Ok(ranks.into_callers())
}

/// Reads the hello of an agent.
fn greet(socket: TcpStream, address: String) -> Result<Caller, String> {
    let failed = |error: io::Error| format!("agent {address}: no hello: {error}");
    socket.set_nonblocking(false).map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    socket.set_read_timeout(Some(HELLO_DELAY_MAX)).map_err(failed)?;
    let mut reader = BufReader::new(socket.try_clone().map_err(failed)?);
    let hello = match message::read_hello(&mut reader).map_err(failed)? {
        Some(FromAgent::Hello(hello)) => *hello,
        Some(_) => return Err(format!("agent {address}: it said something before its hello")),
        None => return Err(format!("agent {address}: it ended before its hello")),
    };
    socket.set_read_timeout(None).map_err(failed)?;
    // Anyone can send a hello.
    let name = format!("{} ({address})", hello.host.escape_debug());
    Ok(Caller { name, reader, socket, hello })
}

/// Gives a rank to an agent that may have one, and refuses the others.
fn admit(mut caller: Caller, token: &str, ranks: &mut Ranks) {
    let refusal = match &caller.hello.token {
        Some(given) if is_same(given, token) => None,
        Some(_) => Some("the token is wrong; give it the --token-file of the coordinator".into()),
        None => Some("it has no token; give it the --token-file of the coordinator".to_owned()),
    };
    let refusal = refusal.or_else(|| ranks.refusal(caller.hello.rank));
    match refusal {
        None => ranks.add(caller),
        Some(why) => {
            console::say(&format!("agent {} is refused: {why}", caller.name));
            // An agent that has gone need not know.
            let _ = message::write(&mut caller.socket, &ToAgent::Refused(why));
        }
    }
}

/// Whether two secrets are the same. The time that it takes does not depend on where they differ.
fn is_same(given: &str, token: &str) -> bool {
    let pairs = given.bytes().zip(token.bytes());
    let differences = pairs.fold(0, |differences, (given, wanted)| differences | (given ^ wanted));
    given.len() == token.len() && differences == 0
}

/// The ranks that are taken, and the agents that get one of the others.
#[derive(Debug)]
struct Ranks {
    places: Vec<Option<Caller>>,
    without_rank: Vec<Caller>,
}

impl Ranks {
    fn new(agents: u32) -> Self {
        Self { places: (0..agents).map(|_| None).collect(), without_rank: Vec::new() }
    }

    fn count(&self) -> u32 {
        (self.places.iter().flatten().count() + self.without_rank.len()) as u32
    }

    fn is_complete(&self) -> bool {
        self.count() as usize == self.places.len()
    }

    /// Why an agent that wants this rank cannot have it.
    fn refusal(&self, rank: Option<u32>) -> Option<String> {
        let rank = rank?;
        match self.places.get(rank as usize) {
            None => Some(format!(
                "rank {rank} is none of the ranks 0 to {} (--expect)",
                self.places.len().saturating_sub(1)
            )),
            Some(Some(other)) => Some(format!("{} has rank {rank} already", other.name)),
            Some(None) => None,
        }
    }

    fn add(&mut self, caller: Caller) {
        match caller.hello.rank {
            Some(rank) => self.places[rank as usize] = Some(caller),
            None => self.without_rank.push(caller),
        }
    }

    fn into_callers(self) -> Vec<Caller> {
        let mut others = self.without_rank.into_iter();
        self.places.into_iter().filter_map(|place| place.or_else(|| others.next())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(rank: Option<u32>) -> Caller {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let reader = BufReader::new(socket.try_clone().unwrap());
        let hello = Hello { rank, ..Hello::default() };
        Caller { name: format!("{rank:?}"), reader, socket, hello }
    }

    #[test]
    fn agents_without_a_rank_get_those_that_are_left() {
        let mut ranks = Ranks::new(3);
        assert_eq!(ranks.refusal(Some(1)), None);
        ranks.add(caller(Some(1)));
        assert!(ranks.refusal(Some(1)).unwrap().contains("has rank 1 already"));
        assert!(ranks.refusal(Some(3)).unwrap().contains("none of the ranks 0 to 2"));
        ranks.add(caller(None));
        assert!(!ranks.is_complete());
        ranks.add(caller(None));
        assert!(ranks.is_complete());
        let wanted: Vec<_> =
            ranks.into_callers().into_iter().map(|caller| caller.hello.rank).collect();
        assert_eq!(wanted, [None, Some(1), None]);
    }

    #[test]
    fn a_token_is_right_only_as_a_whole() {
        assert!(is_same("secret", "secret"));
        for wrong in ["", "secre", "secrets", "Secret"] {
            assert!(!is_same(wrong, "secret"), "{wrong}");
        }
    }
}
