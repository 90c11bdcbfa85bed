//! An agent: it carries out its parts of plans, one after the other, and reports over a stream.

use std::io::{self, BufRead, BufReader, Write};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Serialize;

use super::channel::Channel;
use super::dial_out;
use super::message::{self, Connected, FromAgent, Hello, PartPlan, PartResult, ToAgent};
use crate::clock::Clock;
use crate::console;
use crate::engine::{self, Coordinator, Finished, IntervalReport, Part};
use crate::environment::{Environment, Steal};
use crate::error::Error;
use crate::exit;
use crate::interrupt::Interrupt;
use crate::options::{DialOut, Options};
use crate::plan_files;

/// Messages that wait for the agent. It takes one plan at a time, so there are few.
const INCOMING_MAX: usize = 64;

/// Time between two checks for a signal.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How the words of a plan become options.
type Parse = dyn Fn(&[String]) -> Result<Options, Error>;

/// Serves the coordinator that has started this process, over its standard input and output.
/// Returns the exit code.
pub(crate) fn serve_streams(interrupt: &Interrupt, parse: &Parse) -> Result<u8, Error> {
    let mut writer = io::stdout();
    let hello = FromAgent::Hello(Box::new(Hello::of_this_process(None)));
    // If the coordinator has gone, the reader finds out.
    let _ = message::write(&mut writer, &hello);
    let stream = Stream::open(BufReader::new(io::stdin()), writer, interrupt.clone());
    serve(&stream, interrupt, parse)
}

/// Dials in to a coordinator, and serves it. Returns the exit code.
pub(crate) fn serve_dialled(
    dial: &DialOut,
    interrupt: &Interrupt,
    parse: &Parse,
) -> Result<u8, Error> {
    let Channel { reader, writer, .. } = dial_out::dial(dial, interrupt)?;
    serve(&Stream::open(reader, writer, interrupt.clone()), interrupt, parse)
}

/// Carries out parts of plans until the coordinator ends the agent.
fn serve(stream: &Stream, interrupt: &Interrupt, parse: &Parse) -> Result<u8, Error> {
    loop {
        match stream.messages.recv_timeout(LOOK_AGAIN) {
            Ok(ToAgent::Plan(plan)) => {
                let result = carry_out(stream, *plan, interrupt, parse);
                let message = match result {
                    Ok(result) => FromAgent::Finished(Box::new(result)),
                    Err(error) => FromAgent::Failed(error.to_string()),
                };
                stream.write(&message);
                if stream.is_ended_by(interrupt) {
                    return Ok(exit::INTERRUPTED);
                }
            }
            Ok(ToAgent::Refused(why)) => return Err(Error::AgentRefused(why)),
            // The rest is left over from a part that has ended.
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) if stream.is_ended_by(interrupt) => {
                return Ok(exit::INTERRUPTED);
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The reader ends the process.
            Err(RecvTimeoutError::Disconnected) => thread::park(),
        }
    }
}

/// The stream to the coordinator. A thread of its own reads, and answers pings at once.
struct Stream {
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    messages: Receiver<ToAgent>,
    clock: Clock,
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
        let (clock, is_stopped) = (Clock::start(), Arc::<AtomicBool>::default());
        let stream = Self {
            writer: Arc::clone(&writer),
            messages,
            clock,
            is_stopped: Arc::clone(&is_stopped),
        };
        thread::spawn(move || {
            let end = loop {
                match message::read_of_coordinator(&mut reader) {
                    Ok(Some(ToAgent::Ping { sent_ns })) => {
                        let pong = FromAgent::Pong { sent_ns, agent_ns: clock.now_ns() };
                        write_to(&writer, &pong);
                    }
                    // No one reads what a load finds that goes on. Its sockets close with the
                    // process.
                    Ok(Some(ToAgent::End)) => process::exit(exit::OK.into()),
                    Ok(Some(message)) => {
                        if let ToAgent::Stop = message {
                            is_stopped.store(true, Ordering::SeqCst);
                            interrupt.request();
                        }
                        if sender.send(message).is_err() {
                            return;
                        }
                    }
                    Ok(None) => break "its stream has ended".to_owned(),
                    Err(error) => break error.to_string(),
                }
            };
            if is_ended_by(&interrupt, &is_stopped) {
                process::exit(exit::INTERRUPTED.into());
            }
            console::say(&format!("the coordinator has gone: {end}"));
            process::exit(exit::FAILED.into());
        });
        stream
    }

    /// Whether a signal to this process ends the agent, and not the coordinator.
    fn is_ended_by(&self, interrupt: &Interrupt) -> bool {
        is_ended_by(interrupt, &self.is_stopped)
    }

    fn write(&self, message: &FromAgent) {
        write_to(&self.writer, message);
    }
}

fn is_ended_by(interrupt: &Interrupt, is_stopped: &AtomicBool) -> bool {
    interrupt.is_requested() && !is_stopped.load(Ordering::SeqCst)
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
    let options = parse(&plan.words)?;
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
        interrupted: stream.is_ended_by(interrupt),
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
                Err(RecvTimeoutError::Timeout) if !self.stream.is_ended_by(self.interrupt) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
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
