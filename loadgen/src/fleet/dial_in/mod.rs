//! Agents that dial in: who may, and which rank each has.
//!
//! ```text
//! handshake   one agent, from its first byte to the proof that it knows the token
//! ranks       the agents that are accepted
//! ```

mod handshake;
mod ranks;

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use self::handshake::{Terms, refuse, shake_hands};
use self::ranks::Ranks;
use super::channel::{Certificate, Channel};
use super::message::{self, Hello, ToAgent};
use crate::console;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::options::DialInAgents;
use crate::units::counted;

/// How long the handshake of an agent may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Handshakes at once, each in a thread of its own. Others wait in the backlog.
const HANDSHAKES_MAX: usize = 256;

/// How long a handshake may take while others wait: then it is no agent, or one that is very far.
const CROWDED_HANDSHAKE_MAX: Duration = Duration::from_secs(1);

/// Complaints that are printed. Anyone who reaches the port can cause one.
const COMPLAINTS_MAX: usize = 100;

/// Time between two looks at the listen socket, and for a signal.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The same once all agents have dialled in.
const LOOK_FOR_LATE: Duration = Duration::from_millis(200);

/// An agent that has dialled in, and knows the token.
pub(super) struct Caller {
    pub(super) name: String,
    pub(super) hello: Hello,
    pub(super) channel: Channel,
    /// That the coordinator knows the token; the agent waits for it.
    proof: String,
}

/// Waits until as many agents as expected have dialled in. Returns them by rank, and what refuses
/// those that come later.
pub(super) fn accept(
    agents: &DialInAgents,
    interrupt: &Interrupt,
) -> Result<(Vec<Caller>, LateAgents), Error> {
    let mut handshakes = Handshakes::listen(agents)?;
    let begun = Instant::now();
    let mut ranks = Ranks::new(agents.expect);
    while !ranks.is_complete() {
        if interrupt.is_requested() || begun.elapsed() > agents.within {
            let found = ranks.count();
            for mut caller in ranks.into_callers() {
                // An agent that has gone need not know.
                let _ = message::write(&mut caller.channel.writer, &ToAgent::End);
            }
            let DialInAgents { expect: expected, within, .. } = *agents;
            return Err(match interrupt.is_requested() {
                true => Error::Interrupted,
                false => Error::AgentsMissing { found, expected, within },
            });
        }
        if let Some(caller) = handshakes.next(LOOK_AGAIN) {
            let refusal = ranks.refusal(caller.hello.rank);
            if let Some(caller) = handshakes.admit(caller, refusal) {
                ranks.add(caller);
            }
        }
        for caller in ranks.remove_gone() {
            let (found, name) = (ranks.count(), caller.name);
            let all = agents.expect;
            console::say(&format!("agent {name} has gone; {found} of {all} have dialled in"));
        }
    }
    Ok((ranks.into_callers(), LateAgents::refuse(handshakes, agents.expect)))
}

/// Refuses agents that dial in after all have, until it is dropped.
#[derive(Debug)]
pub(super) struct LateAgents(Arc<AtomicBool>);

impl LateAgents {
    fn refuse(mut handshakes: Handshakes, expected: u32) -> Self {
        let is_ended = Arc::<AtomicBool>::default();
        let late = Self(Arc::clone(&is_ended));
        let why = format!(
            "it is too late: all of {} (--expect) have dialled in, and the load has begun",
            counted(expected.into(), "agent")
        );
        thread::spawn(move || {
            while !is_ended.load(Ordering::Relaxed) {
                if let Some(caller) = handshakes.next(LOOK_FOR_LATE) {
                    handshakes.admit(caller, Some(why.clone()));
                }
            }
        });
        late
    }
}

impl Drop for LateAgents {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A handshake that goes on.
struct Pending {
    socket: TcpStream,
    begun: Instant,
}

/// A handshake that has ended: its number, and the agent or a complaint.
type Shaken = (u64, Result<Caller, String>);

/// The listen socket, and the handshakes with those that have connected.
struct Handshakes {
    listener: TcpListener,
    terms: Arc<Terms>,
    /// By number, so the first is the oldest.
    pending: BTreeMap<u64, Pending>,
    next: u64,
    sender: Sender<Shaken>,
    shaken: Receiver<Shaken>,
    complaints: usize,
}

impl Handshakes {
    fn listen(agents: &DialInAgents) -> Result<Self, Error> {
        let DialInAgents { address, over_tls, token, .. } = agents;
        let listener = TcpListener::bind(address)
            .map_err(|source| Error::ListenForAgents { address: address.clone(), source })?;
        listener.set_nonblocking(true).map_err(Error::Start)?;
        let certificate = over_tls.then(Certificate::make).transpose().map_err(Error::Start)?;
        if let Ok(address) = listener.local_addr() {
            let expect = counted(agents.expect.into(), "agent");
            let scheme = if *over_tls { "tls" } else { "tcp" };
            console::say(&format!("wait for {expect} at {scheme}://{address} (loadgen agent)"));
        }
        let (sender, shaken) = mpsc::channel();
        let terms = Arc::new(Terms { token: token.clone(), certificate });
        let pending = BTreeMap::new();
        Ok(Self { listener, terms, pending, next: 0, sender, shaken, complaints: 0 })
    }

    /// Goes on with all handshakes, for a while at most. Returns an agent that knows the token.
    fn next(&mut self, for_a_while: Duration) -> Option<Caller> {
        self.accept();
        self.end_overdue();
        let (number, shaken) = self.shaken.recv_timeout(for_a_while).ok()?;
        self.pending.remove(&number);
        shaken.map_err(|complaint| self.complain(&complaint)).ok()
    }

    /// Accepts an agent, or refuses it. Returns it if it is accepted.
    fn admit(&mut self, mut caller: Caller, refusal: Option<String>) -> Option<Caller> {
        if let Some(why) = refusal {
            refuse(&mut caller.channel, &why);
            self.complain(&format!("agent {} is refused: {why}", caller.name));
            return None;
        }
        let accepted = ToAgent::Accepted { proof: caller.proof.clone() };
        match message::write(&mut caller.channel.writer, &accepted) {
            Ok(()) => Some(caller),
            Err(error) => {
                self.complain(&format!("agent {}: accept it: {error}", caller.name));
                None
            }
        }
    }

    /// Begins a handshake with each that has connected.
    fn accept(&mut self) {
        while self.pending.len() < HANDSHAKES_MAX {
            let accepted = self.listener.accept().and_then(|(socket, address)| {
                Ok((socket.try_clone()?, socket, address.to_string()))
            });
            match accepted {
                Ok((pending, socket, address)) => {
                    let (number, sender) = (self.next, self.sender.clone());
                    self.next += 1;
                    let terms = Arc::clone(&self.terms);
                    self.pending.insert(number, Pending { socket: pending, begun: Instant::now() });
                    thread::spawn(move || {
                        let shaken = shake_hands(socket, &address, &terms, HANDSHAKE_MAX);
                        // No one waits for it once the command has ended.
                        let _ = sender.send((number, shaken));
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.complain(&format!("accept an agent: {error}"));
                    return;
                }
            }
        }
    }

    /// Ends the handshakes that take too long. Their threads notice, and complain.
    fn end_overdue(&mut self) {
        let most = match self.pending.len() < HANDSHAKES_MAX {
            true => HANDSHAKE_MAX,
            false => CROWDED_HANDSHAKE_MAX,
        };
        for pending in self.pending.values().filter(|pending| pending.begun.elapsed() > most) {
            // It may have ended by itself.
            let _ = pending.socket.shutdown(Shutdown::Both);
        }
    }

    fn complain(&mut self, complaint: &str) {
        self.complaints += 1;
        if self.complaints <= COMPLAINTS_MAX {
            console::say(complaint);
        }
        if self.complaints == COMPLAINTS_MAX {
            console::say("further agents that are not accepted are not listed");
        }
    }
}
