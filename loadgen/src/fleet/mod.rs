//! Several machines as one loader: a coordinator, and agents that drive parts of the connections.
//!
//! The schedule is a function of seed, connection and `k`. So the requests of all agents together
//! are those of one loader, bit for bit. The coordinator is an engine whose threads are elsewhere:
//! the messages of the threads come over streams, and go into the same collector.
//!
//! ```text
//! agent         carries out parts of plans, and reports over its stream
//! message       what goes over a stream
//! link          the stream to one agent, as the coordinator has it
//!  ├ process    agents that the coordinator starts, here or by ssh
//!  └ dial_in    agents that dial in
//! coordinator   one run: plan, connect, compare the clocks, start, collect
//!  ├ members    the agents of a run, and what is known of each
//!  └ clock_offset   how the clock of an agent differs
//! ```

mod agent;
mod clock_offset;
mod coordinator;
mod dial_in;
mod link;
mod members;
mod message;
mod process;

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

pub(crate) use self::agent::{Identity, serve};
use self::link::{Event, Link, News, Peer};
use self::message::{FromAgent, Hello};
use self::process::AgentProcess;
use crate::clock::Clock;
use crate::environment::VERSION_WITH_COMMIT;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::options::AgentSource;

/// How long an agent that the coordinator starts may take for its hello: ssh has to log in.
const HELLO_DELAY_MAX: Duration = Duration::from_secs(30);

/// Messages of all agents that wait for the coordinator. Then the agents wait.
const EVENTS_MAX: usize = 4_096;

/// Time between two checks for a signal.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The agents of a measurement, by rank. They stay for all its runs, and end with it.
#[derive(Debug)]
pub(crate) struct Fleet {
    links: Vec<Link>,
    hellos: Vec<Hello>,
    events: Receiver<Event>,
    clock: Clock,
    /// Whether the agents have the files of the plan.
    have_files: bool,
}

impl Fleet {
    /// Starts or awaits the agents.
    pub(crate) fn assemble(source: &AgentSource, interrupt: &Interrupt) -> Result<Self, Error> {
        let (sender, events) = mpsc::sync_channel(EVENTS_MAX);
        let clock = Clock::start();
        let mut fleet =
            Self { links: Vec::new(), hellos: Vec::new(), events, clock, have_files: false };
        let started = |number: usize, name: String, spawned: std::io::Result<_>| {
            let (process, (stdout, stdin)) =
                spawned.map_err(|source| Error::SpawnAgent { name: name.clone(), source })?;
            let peer = Peer::Process(process);
            Ok(Link::open(number, name, stdout, stdin, peer, &sender, clock))
        };
        match source {
            AgentSource::Local(count) => {
                for number in 0..*count as usize {
                    let name = format!("local {number}");
                    fleet.links.push(started(number, name, AgentProcess::start_here())?);
                }
                fleet.await_hellos(interrupt)?;
            }
            AgentSource::Ssh(agents) => {
                for (number, host) in agents.hosts.iter().enumerate() {
                    let spawned = AgentProcess::start_by_ssh(agents, host);
                    fleet.links.push(started(number, host.clone(), spawned)?);
                }
                fleet.await_hellos(interrupt)?;
            }
            AgentSource::DialIn(agents) => {
                for (number, caller) in dial_in::accept(agents, interrupt)?.into_iter().enumerate()
                {
                    let dial_in::Caller { name, reader, socket, hello } = caller;
                    let writer = socket.try_clone().map_err(Error::Start)?;
                    let peer = Peer::Socket(socket);
                    let link = Link::open(number, name, reader, writer, peer, &sender, clock);
                    fleet.links.push(link);
                    fleet.hellos.push(hello);
                }
            }
        }
        fleet.expect_this_version()?;
        Ok(fleet)
    }

    /// Waits for the first message of each agent.
    fn await_hellos(&mut self, interrupt: &Interrupt) -> Result<(), Error> {
        let begun = Instant::now();
        let mut hellos: Vec<Option<Hello>> = self.links.iter().map(|_| None).collect();
        while let Some(silent) = hellos.iter().position(Option::is_none) {
            if interrupt.is_requested() {
                return Err(Error::Interrupted);
            }
            if begun.elapsed() > HELLO_DELAY_MAX {
                let delay = humantime::format_duration(HELLO_DELAY_MAX);
                return Err(self.error(silent, &format!("no hello within {delay}")));
            }
            match self.events.recv_timeout(LOOK_AGAIN) {
                Ok(Event { link, news: News::Message(FromAgent::Hello(hello)), .. }) => {
                    hellos[link] = Some(*hello);
                }
                Ok(Event { link, news: News::Ended(why), .. }) => {
                    let why = why.unwrap_or_else(|| "it ended before its hello".to_owned());
                    return Err(self.error(link, &why));
                }
                Ok(Event { link, .. }) => {
                    return Err(self.error(link, "it said something before its hello"));
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
        self.hellos = hellos.into_iter().flatten().collect();
        Ok(())
    }

    /// Fails unless all agents are of this version: others may have another schedule.
    fn expect_this_version(&self) -> Result<(), Error> {
        match self.hellos.iter().position(|hello| hello.version != VERSION_WITH_COMMIT) {
            None => Ok(()),
            Some(link) => {
                let version = &self.hellos[link].version;
                let complaint = format!(
                    "it is loadgen {version}, and this is loadgen {VERSION_WITH_COMMIT}; the \
                     versions must be the same for one schedule, so install this one there"
                );
                Err(self.error(link, &complaint))
            }
        }
    }

    /// The error of an agent, with what its program has said last.
    fn error(&self, link: usize, complaint: &str) -> Error {
        let link = &self.links[link];
        let complaint = format!("{complaint}{}", link.last_words());
        Error::Agent { name: link.name.clone(), complaint }
    }
}
