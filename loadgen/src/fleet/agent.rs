//! An agent: it carries out its parts of plans, one after the other, and reports over a stream.

use std::io::{self, BufRead, Write};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Serialize;

use super::message::{self, Connected, FromAgent, Hello, PartPlan, PartResult, ToAgent};
use crate::clock::Clock;
use crate::console;
use crate::engine::{self, Coordinator, Finished, IntervalReport, Part};
use crate::environment::{Environment, Steal, VERSION_WITH_COMMIT, boot_id};
use crate::error::Error;
use crate::exit;
use crate::interrupt::Interrupt;
use crate::options::Options;
use crate::plan_files;

/// Messages that wait for the agent. It takes one plan at a time, so there are few.
const INCOMING_MAX: usize = 64;

/// Time between two checks for a signal.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What an agent says of itself to be accepted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    pub(crate) rank: Option<u32>,
    pub(crate) token: Option<String>,
}

/// How the words of a plan become options.
pub(crate) type Parse = dyn Fn(&[String]) -> Result<Options, Error>;

/// Serves a coordinator until the stream ends. Returns the exit code.
pub(crate) fn serve(
    reader: impl BufRead + Send + 'static,
    writer: impl Write + Send + 'static,
    identity: Identity,
    interrupt: &Interrupt,
    parse: &Parse,
) -> Result<u8, Error> {
    let stream = Stream::open(reader, writer, interrupt.clone());
    let env = Environment::of_machine();
    stream.write(&FromAgent::Hello(Box::new(Hello {
        version: VERSION_WITH_COMMIT.to_owned(),
        profile: env.loadgen_profile,
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        boot_id: boot_id().unwrap_or_default(),
        cpus: env.cpus,
        rank: identity.rank,
        token: identity.token,
    })));
    loop {
        match stream.messages.recv_timeout(LOOK_AGAIN) {
            Ok(ToAgent::Plan(plan)) => {
                let result = carry_out(&stream, *plan, interrupt, parse);
                let message = match result {
                    Ok(result) => FromAgent::Finished(Box::new(result)),
                    Err(error) => FromAgent::Failed(error.to_string()),
                };
                stream.is_busy.store(false, Ordering::SeqCst);
                stream.write(&message);
            }
            Ok(ToAgent::Refused(why)) => return Err(Error::AgentRefused(why)),
            // Left over from a part that has ended.
            Ok(ToAgent::Start { .. } | ToAgent::Stop | ToAgent::Ping { .. }) => {}
            Err(RecvTimeoutError::Timeout) if interrupt.is_requested() => {
                return Ok(exit::INTERRUPTED);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(exit::OK),
        }
    }
}

/// The stream to the coordinator. A thread of its own reads, and answers pings at once.
struct Stream {
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    messages: Receiver<ToAgent>,
    clock: Clock,
    /// Whether a part is carried out. If the stream ends then, the process ends at once.
    is_busy: Arc<AtomicBool>,
    /// Whether the coordinator wants the load to end early.
    is_stopped: Arc<AtomicBool>,
}

impl Stream {
    fn open(
        mut reader: impl BufRead + Send + 'static,
        writer: impl Write + Send + 'static,
        interrupt: Interrupt,
    ) -> Self {
        let (sender, messages) = mpsc::sync_channel(INCOMING_MAX);
        let writer: Arc<Mutex<Box<dyn Write + Send>>> = Arc::new(Mutex::new(Box::new(writer)));
        let stream = Self {
            writer: Arc::clone(&writer),
            messages,
            clock: Clock::start(),
            is_busy: Arc::default(),
            is_stopped: Arc::default(),
        };
        let (is_busy, is_stopped) = (Arc::clone(&stream.is_busy), Arc::clone(&stream.is_stopped));
        let clock = stream.clock;
        thread::spawn(move || {
            let mut read = || message::read_of_coordinator(&mut reader);
            let end = loop {
                match read() {
                    Ok(Some(ToAgent::Ping { sent_ns })) => {
                        let pong = FromAgent::Pong { sent_ns, agent_ns: clock.now_ns() };
                        write_to(&writer, &pong);
                    }
                    Ok(Some(message)) => {
                        match message {
                            ToAgent::Plan(_) => is_busy.store(true, Ordering::SeqCst),
                            ToAgent::Stop => {
                                is_stopped.store(true, Ordering::SeqCst);
                                interrupt.request();
                            }
                            _ => {}
                        }
                        if sender.send(message).is_err() {
                            return;
                        }
                    }
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            // No one reads what the load finds. Its sockets close with the process.
            if is_busy.load(Ordering::SeqCst) || end.is_some() {
                let why = end.map_or_else(String::new, |error: io::Error| format!(": {error}"));
                console::say(&format!("the coordinator has gone{why}"));
                process::exit(exit::FAILED.into());
            }
        });
        stream
    }

    fn write(&self, message: &FromAgent) {
        write_to(&self.writer, message);
    }
}

/// Writes a message. If the coordinator has gone, the reader finds out.
fn write_to(writer: &Mutex<Box<dyn Write + Send>>, message: &impl Serialize) {
    let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = message::write(&mut *writer, message);
}

/// Carries out a part of a plan.
fn carry_out(
    stream: &Stream,
    plan: PartPlan,
    interrupt: &Interrupt,
    parse: &Parse,
) -> Result<PartResult, Error> {
    if let Some(files) = &plan.files {
        plan_files::receive(files).map_err(Error::Start)?;
    }
    let part = Part { rank: plan.rank, agents: plan.agents };
    let options = Options { seed: plan.seed, ..parse(&plan.words)? };
    let notes = engine::limits::provide(&options, part.connections_of(options.connections))?;
    let pinned = options.pinned().map(Iterator::collect);
    let env = Environment::capture(&options.target, pinned);
    let pacing = engine::choose_pacing(&options, &env);
    let options = Options { pacing, ..options };
    let before = Steal::now();
    let mut reports = Reports {
        stream,
        interrupt,
        connected: Connected {
            threads: 0,
            preloaded: 0,
            pacing: pacing.to_string(),
            sharing: env.sharing,
            notes,
        },
    };
    let threads: Vec<Finished> =
        engine::run_part(&options, interrupt, part, stream.clock, &mut reports)?;
    let after = Steal::now();
    Ok(PartResult {
        threads,
        steal_share: before.zip(after).and_then(|(before, after)| after.share_since(&before)),
        interrupted: interrupt.is_requested() && !stream.is_stopped.load(Ordering::SeqCst),
    })
}

/// Reports of the threads, on their way to the coordinator.
struct Reports<'a> {
    stream: &'a Stream,
    interrupt: &'a Interrupt,
    connected: Connected,
}

impl Coordinator for Reports<'_> {
    fn connected(&mut self, threads: usize, preloaded: u64) -> Option<u64> {
        let connected = Connected { threads, preloaded, ..self.connected.clone() };
        self.stream.write(&FromAgent::Connected(Box::new(connected)));
        loop {
            match self.stream.messages.recv_timeout(LOOK_AGAIN) {
                Ok(ToAgent::Start { start_ns }) => return Some(start_ns),
                // A coordinator that stops gives the signal all the same.
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    let is_stopped = self.stream.is_stopped.load(Ordering::SeqCst);
                    if self.interrupt.is_requested() && !is_stopped {
                        return None;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn interval(&mut self, report: &IntervalReport) {
        // As `FromAgent::Interval`, without a copy of the histograms.
        #[derive(Serialize)]
        struct Interval<'a> {
            interval: &'a IntervalReport,
        }
        write_to(&self.stream.writer, &Interval { interval: report });
    }

    fn connecting(&mut self, connected: u64) {
        self.stream.write(&FromAgent::Connecting { connected });
    }
}
