//! Several machines as one loader: a coordinator, and agents that drive parts of the connections.
//!
//! The schedule is a function of seed, connection and `k`. So the requests of all agents together
//! are those of one loader, bit for bit. The coordinator is an engine whose threads are elsewhere:
//! the messages of the threads come over streams, and go into the same collector.
//!
//! ```text
//! agent         carries out parts of plans, and reports over its stream
//!  └ dial_out     dials in to a coordinator
//! message       what goes over a stream
//! link          the stream to one agent, as the coordinator has it
//!  ├ process      agents that the coordinator starts, here or by ssh
//!  └ dial_in      agents that dial in
//! channel       the stream of an agent that dials in: plain, or over TLS
//! token         how both sides prove that they know the token
//! coordinator   one run: plan, connect, compare the clocks, start, collect
//!  ├ members      the agents of a run, and what is known of each
//!  └ clock_offset how the clock of an agent differs
//! ```

mod agent;
mod channel;
mod clock_offset;
mod coordinator;
mod dial_in;
mod dial_out;
mod link;
mod members;
mod message;
mod process;
mod token;

use std::collections::BTreeSet;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

pub(crate) use self::agent::{serve_dialled, serve_streams};
use self::channel::Channel;
use self::dial_in::{Caller, LateAgents};
use self::link::{Event, Link, News, Peer};
use self::message::{FromAgent, Hello};
use self::process::{AgentProcess, Streams};
use crate::clock::Clock;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::options::{AgentSource, DialInAgents};

/// How long an agent that the coordinator starts may take for its hello: ssh has to log in.
const HELLO_DELAY_MAX: Duration = Duration::from_secs(30);

/// Messages of all agents that wait for the coordinator. Then the agents wait.
const EVENTS_MAX: usize = 4_096;

/// Time between two checks for a signal, or whether an agent has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is said with words of a host that are no message.
const SSH_ADVICE: &str = "; does the shell of that host print something at each login? Its files \
                          (.bashrc, .zshenv) must print nothing unless the shell is interactive";

/// How long the agents may take to end after they were asked to.
const ENDING_MAX: Duration = Duration::from_secs(3);

/// The agents of a command, by rank. They stay for all its runs, and end with it.
#[derive(Debug)]
pub(crate) struct Fleet {
    links: Vec<Link>,
    hellos: Vec<Hello>,
    events: Receiver<Event>,
    clock: Clock,
    /// Whether the agents have the files of the plan.
    have_files: bool,
    /// What was said of the agents. It is not said again in each run.
    said: BTreeSet<String>,
    /// The agent that was lost in an earlier run, and why.
    lost: Option<(String, String)>,
    /// Refuses agents that dial in too late.
    _late: Option<LateAgents>,
}

impl Fleet {
    /// Starts or awaits the agents.
    pub(crate) fn assemble(source: &AgentSource, interrupt: &Interrupt) -> Result<Self, Error> {
        let (sender, events) = mpsc::sync_channel(EVENTS_MAX);
        let mut fleet = Self {
            links: Vec::new(),
            hellos: Vec::new(),
            events,
            clock: Clock::start(),
            have_files: false,
            said: BTreeSet::new(),
            lost: None,
            _late: None,
        };
        match source {
            AgentSource::Local(count) => {
                for number in 0..*count {
                    let started = AgentProcess::start_here();
                    fleet.add_process(format!("local {number}"), started, &sender)?;
                }
                fleet.await_hellos(interrupt, "")?;
            }
            AgentSource::Ssh(agents) => {
                for host in &agents.hosts {
                    let started = AgentProcess::start_by_ssh(agents, host);
                    fleet.add_process(host.clone(), started, &sender)?;
                }
                fleet.await_hellos(interrupt, SSH_ADVICE)?;
            }
            AgentSource::DialIn(agents) => fleet.await_dial_in(agents, &sender, interrupt)?,
        }
        Ok(fleet)
    }

    /// Fails if an agent was lost in an earlier run: the others are not the loader of the plan.
    pub(crate) fn expect_whole(&self) -> Result<(), Error> {
        match &self.lost {
            None => Ok(()),
            Some((name, why)) => Err(Error::LostAgent { name: name.clone(), why: why.clone() }),
        }
    }

    fn add_process(
        &mut self,
        name: String,
        started: io::Result<(AgentProcess, Streams)>,
        sender: &SyncSender<Event>,
    ) -> Result<(), Error> {
        let (process, (stdout, stdin)) =
            started.map_err(|source| Error::SpawnAgent { name: name.clone(), source })?;
        let (number, peer) = (self.links.len(), Peer::Process(process));
        self.links.push(Link::open(number, name, stdout, stdin, peer, sender, self.clock));
        Ok(())
    }

    fn await_dial_in(
        &mut self,
        agents: &DialInAgents,
        sender: &SyncSender<Event>,
        interrupt: &Interrupt,
    ) -> Result<(), Error> {
        let (callers, late) = dial_in::accept(agents, interrupt)?;
        for (number, Caller { name, hello, channel, .. }) in callers.into_iter().enumerate() {
            let Channel { reader, writer, socket, .. } = channel;
            let peer = Peer::Socket(socket);
            self.links.push(Link::open(number, name, reader, writer, peer, sender, self.clock));
            self.hellos.push(hello);
        }
        self._late = Some(late);
        Ok(())
    }

    /// Waits for the first message of each agent. `advice` is said with what is no message.
    fn await_hellos(&mut self, interrupt: &Interrupt, advice: &str) -> Result<(), Error> {
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
                    let why = match why {
                        Some(why) => format!("{why}{advice}"),
                        None => "it ended before its hello".to_owned(),
                    };
                    return Err(self.error(link, &why));
                }
                Ok(Event { link, .. }) => {
                    return Err(self.error(link, "it said something before its hello"));
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
        self.hellos = hellos.into_iter().flatten().collect();
        for (link, hello) in self.hellos.iter().enumerate() {
            hello.expect_this_version().map_err(|complaint| self.error(link, &complaint))?;
        }
        Ok(())
    }

    /// The error of an agent, with what its program has said last.
    fn error(&self, link: usize, complaint: &str) -> Error {
        let link = &self.links[link];
        let complaint = format!("{complaint}{}", link.last_words());
        Error::Agent { name: link.name.clone(), complaint }
    }
}

impl Drop for Fleet {
    /// Asks all agents to end, and waits until they have: what they send until then is read, so
    /// that no stream is reset before its agent has read that it should end.
    fn drop(&mut self) {
        self.links.iter_mut().for_each(Link::end);
        let begun = Instant::now();
        let are_ending = |fleet: &Self| !fleet.links.iter().all(Link::has_ended);
        while are_ending(self) && begun.elapsed() < ENDING_MAX {
            let _ = self.events.recv_timeout(LOOK_AGAIN);
        }
    }
}
