//! The messages between a coordinator and its agents: JSON, one message on a line.

use std::io::{self, BufRead, Read as _, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine::{Finished, IntervalReport};
use crate::environment::{Environment, Sharing, VERSION_WITH_COMMIT, boot_id};
use crate::plan_files::PlanFile;

/// Longest message of a coordinator: a plan whose files have gigabytes does not belong into one.
const PLAN_BYTES_MAX: u64 = 4 << 30;

/// Longest message of an agent. Its results have some 350 KB for each of its threads.
const RESULT_BYTES_MAX: u64 = 256 << 20;

/// Longest message until both sides have proved themselves. Anyone who reaches the port can send.
const STRANGER_BYTES_MAX: u64 = 64 << 10;

/// How much of a line that is no message an error shows.
const SHOWN_BYTES: usize = 200;

/// A message of a coordinator.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ToAgent {
    /// To an agent that has dialled in: prove that you know the token, by this nonce.
    Challenge {
        nonce: String,
    },
    /// The agent is accepted, and this proves that the coordinator knows the token.
    Accepted {
        proof: String,
    },
    /// The agent is not accepted, for this reason.
    Refused(String),
    Plan(Box<PartPlan>),
    /// A question for the agent's clock. The time is that of the coordinator.
    Ping {
        sent_ns: u64,
    },
    /// When the load begins, by the clock of the agent.
    Start {
        start_ns: u64,
    },
    /// End the load early, as after a signal.
    Stop,
    /// The command has ended. A stream that ends without it has failed.
    End,
}

/// A message of an agent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FromAgent {
    Hello(Box<Hello>),
    /// The answer to a challenge: the agent knows the token. The nonce is its own.
    Proof {
        nonce: String,
        proof: String,
    },
    /// The answer to a ping, with the time of the agent.
    Pong {
        sent_ns: u64,
        agent_ns: u64,
    },
    Connecting {
        connected: u64,
    },
    Connected(Box<Connected>),
    Interval(Box<IntervalReport>),
    Finished(Box<PartResult>),
    /// The part could not be carried out, for this reason.
    Failed(String),
}

/// The first message of an agent. It has nothing secret: an agent that dials in does not know yet
/// who reads it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Hello {
    pub(super) version: String,
    /// "debug" or "release".
    pub(super) profile: String,
    /// Name of its machine.
    pub(super) host: String,
    /// The kernel's number of this boot of the machine: agents that have the same share it.
    pub(super) boot_id: String,
    /// Processors that it may use.
    pub(super) cpus: Option<usize>,
    /// The rank that it was started with.
    pub(super) rank: Option<u32>,
}

impl Hello {
    /// That of this process.
    pub(super) fn of_this_process(rank: Option<u32>) -> Self {
        let env = Environment::of_machine();
        Self {
            version: VERSION_WITH_COMMIT.to_owned(),
            profile: env.loadgen_profile,
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            boot_id: boot_id().unwrap_or_default(),
            cpus: env.cpus,
            rank,
        }
    }

    /// Complains of another version: it may have another schedule.
    pub(super) fn expect_this_version(&self) -> Result<(), String> {
        if self.version == VERSION_WITH_COMMIT {
            return Ok(());
        }
        Err(format!(
            "it is loadgen {}, and the coordinator is loadgen {VERSION_WITH_COMMIT}; the versions \
             must be the same for one schedule, so install that one there",
            self.version.escape_debug()
        ))
    }
}

/// A part of a plan.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PartPlan {
    /// The command line after the program.
    pub(super) words: Vec<String>,
    /// The files that it names; nothing if the agent has them already.
    pub(super) files: Option<Vec<PlanFile>>,
    pub(super) rank: u32,
    pub(super) agents: u32,
}

/// All connections of an agent are open.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Connected {
    pub(super) threads: usize,
    /// Keys that it has written.
    pub(super) preloaded: u64,
    pub(super) pacing: String,
    pub(super) sharing: Option<Sharing>,
    /// What its machine refuses, in sentences.
    pub(super) notes: Vec<String>,
}

/// The results of an agent, apart from the intervals.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PartResult {
    pub(super) threads: Vec<Finished>,
    pub(super) steal_share: Option<f64>,
    /// Whether a signal to the agent itself has ended its load.
    pub(super) interrupted: bool,
}

/// Writes a message.
pub(super) fn write(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    stream.flush()
}

/// Reads a message of a coordinator; nothing at the end of the stream.
pub(super) fn read_of_coordinator(stream: &mut impl BufRead) -> io::Result<Option<ToAgent>> {
    read_at_most(stream, PLAN_BYTES_MAX)
}

/// Reads a message of an agent; nothing at the end of the stream.
pub(super) fn read_of_agent(stream: &mut impl BufRead) -> io::Result<Option<FromAgent>> {
    read_at_most(stream, RESULT_BYTES_MAX)
}

/// Reads a message of a side that has not proved itself: it must be short.
pub(super) fn read_of_stranger<M: DeserializeOwned>(
    stream: &mut impl BufRead,
) -> io::Result<Option<M>> {
    read_at_most(stream, STRANGER_BYTES_MAX)
}

fn read_at_most<M: DeserializeOwned>(
    stream: &mut impl BufRead,
    bytes_max: u64,
) -> io::Result<Option<M>> {
    let mut line = Vec::new();
    let count = stream.take(bytes_max).read_until(b'\n', &mut line)?;
    if count == 0 {
        return Ok(None);
    }
    serde_json::from_slice(&line).map(Some).map_err(|error| {
        let shown = String::from_utf8_lossy(&line[..count.min(SHOWN_BYTES)]);
        let text = format!("'{}' is no message of loadgen: {error}", shown.trim_end());
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written() {
        let mut stream = Vec::new();
        write(&mut stream, &ToAgent::Ping { sent_ns: u64::MAX }).unwrap();
        write(&mut stream, &ToAgent::Stop).unwrap();
        let mut stream = stream.as_slice();
        let first = read_of_coordinator(&mut stream).unwrap();
        assert!(matches!(first, Some(ToAgent::Ping { sent_ns: u64::MAX })), "{first:?}");
        assert!(matches!(read_of_coordinator(&mut stream).unwrap(), Some(ToAgent::Stop)));
        assert!(read_of_coordinator(&mut stream).unwrap().is_none());
    }

    #[test]
    fn what_is_no_message_is_quoted_and_a_message_that_is_cut_off_is_none() {
        let error = read_of_agent(&mut &b"Welcome to host a\n"[..]).unwrap_err().to_string();
        assert!(error.starts_with("'Welcome to host a' is no message of loadgen"), "{error}");
        assert!(read_of_agent(&mut &b"{\"pong\":{\"sent_ns\""[..]).is_err());
    }

    #[test]
    fn a_stranger_could_fill_the_memory_with_a_hello_without_an_end() {
        let mut endless = io::BufReader::new(io::repeat(b'x'));
        let error = read_of_stranger::<FromAgent>(&mut endless).unwrap_err().to_string();
        assert!(error.contains("is no message of loadgen"), "{error}");
    }

    #[test]
    fn the_hello_of_another_version_is_read_as_far_as_it_goes() {
        let line = br#"{"hello":{"version":"9.9","later":true}}"#;
        let Some(FromAgent::Hello(hello)) = read_of_agent(&mut &line[..]).unwrap() else {
            panic!("no hello");
        };
        assert_eq!((&*hello.version, hello.rank), ("9.9", None));
    }
}
