//! The flags of the load and of the server; `run`, `search`, `sweep` and `ab` share them.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command};

use super::agents::AgentsArgs;
use super::http::HttpArgs;
use super::tls::TlsArgs;
use crate::destination::Destination;
use crate::error::Error;
use crate::options::{MetricsAddress, Pacing, Pins, ServerCommand};
use crate::schedule::{Arrival, RateProfile};
use crate::slo::Slo;
use crate::wire::{
    CommandFile, Credentials, KeyCount, KeyDistribution, KeyPrefix, Mix, Order, Protocol, Sizes,
    Verify,
};

/// The load and the server: typed flags, not yet checked against each other.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoadArgs {
    /// Server to load: HOST:PORT (an IPv6 address in brackets) or unix:/path. As a URL it names the
    /// protocol, too: http://HOST:PORT/PATH, ws://HOST:PORT/PATH (websocket), redis://HOST:PORT
    /// (resp-ping), memcached://HOST:PORT; tcp://HOST:PORT names none. https://, wss://, rediss://
    /// and tls:// are the same over TLS. The port of a known protocol may be left out, and the path
    #[arg(value_name = "TARGET", default_value = "127.0.0.1:5555")]
    pub(crate) target: String,

    #[command(flatten, next_help_heading = "Load")]
    pub(crate) shape: ShapeArgs,

    #[command(flatten, next_help_heading = "Traffic")]
    pub(crate) traffic: TrafficArgs,

    #[command(flatten, next_help_heading = "HTTP")]
    pub(crate) http: HttpArgs,

    #[command(flatten, next_help_heading = "Redis and memcached")]
    pub(crate) key_value: KeyValueArgs,

    #[command(flatten, next_help_heading = "Connections")]
    pub(crate) connections: ConnectionArgs,

    #[command(flatten, next_help_heading = "TLS")]
    pub(crate) tls: TlsArgs,

    #[command(flatten, next_help_heading = "Loader")]
    pub(crate) loader: LoaderArgs,

    #[command(flatten, next_help_heading = "Server process")]
    pub(crate) server: ServerArgs,

    #[command(flatten, next_help_heading = "Several machines")]
    pub(crate) agents: AgentsArgs,

    /// These flags as the command line of a run; agents read it.
    #[arg(skip)]
    pub(crate) words: LoadWords,
}

/// The flags of a load as they were given, by the command line or the environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct LoadWords(Vec<OsString>);

impl LoadWords {
    /// Those among what was given to a command. Where the server is goes on beside them.
    pub(super) fn of(given: &ArgMatches) -> Self {
        let mut words = Vec::new();
        for flag in LoadArgs::augment_args(Command::new("")).get_arguments() {
            let name = flag.get_id().as_str();
            let is_default = given.value_source(name) == Some(ValueSource::DefaultValue);
            let Some(long) = flag.get_long().filter(|long| !AgentsArgs::has_flag(long)) else {
                continue;
            };
            for value in given.get_raw(name).into_iter().flatten().filter(|_| !is_default) {
                let mut word = OsString::from(format!("--{long}"));
                if flag.get_action().takes_values() {
                    word.push("=");
                    word.push(value);
                }
                words.push(word);
            }
        }
        Self(words)
    }

    /// The words of a load of this target.
    pub(super) fn to(&self, target: &str) -> Result<Vec<String>, Error> {
        let texts = self.0.iter().map(|word| {
            word.to_str().map(str::to_owned).ok_or_else(|| {
                let word = word.display();
                Error::Usage(format!("--agents: '{word}' is no text in UTF-8"))
            })
        });
        [Ok(target.to_owned())].into_iter().chain(texts).collect()
    }
}

impl LoadArgs {
    /// Whether this is the long name of one of these flags that takes a value.
    pub(crate) fn has_flag(name: &str) -> bool {
        Self::flag(name).is_some()
    }

    /// Whether the flag with this long name, or its short form, is among the words.
    pub(crate) fn is_given(name: &str, words: &[OsString]) -> bool {
        let short = Self::flag(name).and_then(|flag| flag.get_short());
        let (long, short) = (format!("--{name}"), short.map(|short| format!("-{short}")));
        let is_it = |word: &str| {
            let rest = word.strip_prefix(&long);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
                || short.as_ref().is_some_and(|short| word.starts_with(short))
        };
        words.iter().filter_map(|word| word.to_str()).any(is_it)
    }

    fn flag(name: &str) -> Option<Arg> {
        let flags = Self::augment_args(Command::new(""));
        let mut named = flags.get_arguments().filter(|flag| flag.get_long() == Some(name));
        named.find(|flag| flag.get_action().takes_values()).cloned()
    }
}

/// How much load, and for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShapeArgs {
    /// Requests per second over all connections: 50k, 10k..50k (a ramp over the run) or
    /// 10k,20k,40k@5s (steps of 5 s). Without it the loop is closed: the next request waits for a
    /// reply
    #[arg(long, value_name = "R")]
    pub(crate) rate: Option<RateProfile>,

    /// How the requests of a rate are spread in time: poisson or constant [default: poisson]
    #[arg(long, value_name = "A")]
    pub(crate) arrival: Option<Arrival>,

    /// How long to measure (units: 500ms, 10s, 2m) [default: 10s; with --order timed until one
    /// second after the last request]
    #[arg(long, value_name = "D")]
    pub(crate) duration: Option<humantime::Duration>,

    /// How long to load the server before measuring [default: 1s; with --order timed 0s]
    #[arg(long, value_name = "D")]
    pub(crate) warmup: Option<humantime::Duration>,

    /// Fail a connect, or a connection that awaits a reply, after this long without progress
    #[arg(long, value_name = "D", default_value = "5s")]
    pub(crate) timeout: humantime::Duration,

    /// How long to wait for the last replies [default: the value of --timeout]
    #[arg(long, value_name = "D")]
    pub(crate) drain: Option<humantime::Duration>,

    /// Seed of the schedule, the sizes and the payload. Each further run (--runs) has the next seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

/// What is sent.
#[derive(Debug, Clone, Args)]
pub(crate) struct TrafficArgs {
    /// raw (echo of bytes), len32 (length-prefixed echo), line (echo of lines), http,
    /// websocket (echo of messages), resp-ping, resp-echo (Redis), memcached (set); with keys:
    /// resp2, resp3 (Redis), memcached-text, memcached-meta [default: that of the target's URL,
    /// otherwise raw]
    #[arg(long, value_name = "P")]
    pub(crate) protocol: Option<Protocol>,

    /// Payload of a request, or value that is written: 64, 16KiB, a range 64..4KiB, weights
    /// 64:9,1KiB:1, or lognormal:MEDIAN,SIGMA; up to 64MiB; not with http and resp-ping, which have
    /// none [default: 64]
    #[arg(long, value_name = "BYTES")]
    pub(crate) size: Option<Sizes>,

    /// How connections choose among the requests of --requests or the commands of --commands:
    /// sequential (all together, one after the other), timed (the same, each at its time in the
    /// file, once), random, weighted, zipf:EXPONENT (the first ones most often) [default: weighted
    /// for commands, and for requests with weights; otherwise sequential]
    #[arg(long, value_name = "ORDER")]
    pub(crate) order: Option<Order>,

    /// How many times as fast --order timed is as the file [default: 1]
    #[arg(long, value_name = "FACTOR", value_parser = speed)]
    pub(crate) speed: Option<f64>,

    /// Send text messages over websocket, instead of binary ones
    #[arg(long)]
    pub(crate) ws_text: bool,

    /// Maximum number of requests outstanding per connection [default: 1 in a closed loop or with
    /// http, otherwise 1024]
    #[arg(long, value_name = "D")]
    pub(crate) pipeline: Option<u32>,

    /// Compare replies: full (every byte; over http the length and the first MiB of the body with
    /// those of the run's first reply of the same request and status, but no headers, and of the
    /// first replies perhaps only a part), length, none [default: full; none for http requests with
    /// placeholders]
    #[arg(long, value_name = "V")]
    pub(crate) verify: Option<Verify>,
}

/// A factor of `--speed`.
fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok().filter(|speed| (1e-3..=1e6).contains(speed));
    speed.ok_or(format!("'{text}' is no speed; write a factor from 0.001 to 1000000, such as 2"))
}

/// The keys and commands of Redis and memcached.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeyValueArgs {
    /// Commands and their weights: get, set and delete, such as get:9,set:1. Reads are verified:
    /// they must return a value that this run has written to that key, and that can be current
    /// [default: get:9,set:1]
    #[arg(long, value_name = "MIX")]
    pub(crate) mix: Option<Mix>,

    /// Any commands instead of a mix, one on each line of this file, with its weight before it:
    /// '9 HGET __key__ name'. __key__ and __data__ stand for a key and a value. Or as JSON, with
    /// the time for --order timed: {"at":0.25,"command":["SET","key","value"]}. Replies are read,
    /// and errors counted, but values are not verified
    #[arg(long, value_name = "FILE", value_parser = CommandFile::read_shared,
        conflicts_with = "mix")]
    pub(crate) commands: Option<Arc<CommandFile>>,

    /// Number of keys: 1000, 100k, 1M. Verified reads take 16 bytes of the loader's memory for each
    /// [default: 100k]
    #[arg(long, value_name = "N")]
    pub(crate) keys: Option<KeyCount>,

    /// How requests choose among the keys: uniform, zipf:EXPONENT (the first keys most often),
    /// normal (those in the middle), sequential [default: uniform]
    #[arg(long, value_name = "DIST")]
    pub(crate) key_dist: Option<KeyDistribution>,

    /// What every key begins with; twelve digits follow [default: lg:]
    #[arg(long, value_name = "TEXT")]
    pub(crate) key_prefix: Option<KeyPrefix>,

    /// Write every key once before the load of each run; --source does not apply to that
    #[arg(long)]
    pub(crate) preload: bool,

    /// Log in on each connection: PASSWORD or USER:PASSWORD. The record does not have it
    #[arg(long, value_name = "CREDENTIALS", env = "LOADGEN_AUTHENTICATE", hide_env_values = true)]
    pub(crate) authenticate: Option<Credentials>,

    /// Use this database of Redis
    #[arg(long, value_name = "N")]
    pub(crate) select_db: Option<u32>,
}

/// The connections that carry it.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectionArgs {
    /// Connections, spread over the threads as evenly as possible
    #[arg(short, long, value_name = "N", default_value_t = 64)]
    pub(crate) connections: u32,

    /// Close and replace a connection after this number of requests
    #[arg(long, value_name = "K")]
    pub(crate) churn: Option<u64>,

    /// Close and replace a connection after this time, once all its requests are answered
    #[arg(long, value_name = "D")]
    pub(crate) lifetime: Option<humantime::Duration>,

    /// Connect, request, close: every request on a connection of its own, the connect included in
    /// its times
    #[arg(long, conflicts_with_all = ["churn", "lifetime"])]
    pub(crate) connect_per_request: bool,

    /// Maximum number of new connections per second
    #[arg(long, value_name = "R")]
    pub(crate) connect_rate: Option<f64>,

    /// Connect from these addresses in turn, repeatable: ADDR or FIRST-LAST
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    pub(crate) source: Vec<SourceRange>,
}

/// One or several consecutive source addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceRange {
    pub(crate) first: IpAddr,
    pub(crate) last: IpAddr,
}

impl std::str::FromStr for SourceRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = |text: &str| {
            text.parse::<IpAddr>().map_err(|_| format!("'{text}' is not an IP address"))
        };
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (address(first)?, address(last)?),
            None => (address(text)?, address(text)?),
        };
        if first > last || first.is_ipv4() != last.is_ipv4() {
            return Err(format!("'{text}': the last address must not come before the first"));
        }
        Ok(Self { first, last })
    }
}

/// How the loader itself works.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoaderArgs {
    /// Threads of the loader, at most one per connection
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    pub(crate) threads: u32,

    /// How to wait for the next request's time: sleep, hybrid (sleep, then spin for the last
    /// stretch), spin, or auto (hybrid where the loader has processors of its own)
    #[arg(long, value_name = "P", default_value_t)]
    pub(crate) pacing: Pacing,

    /// Processors for the loader's threads in turn, such as 1,3 or 2-5
    #[arg(long, value_name = "CPUS")]
    pub(crate) pin: Option<Pins>,

    /// Compare the rate with the loader's maximum in this file of 'loadgen calibrate' [default:
    /// loadgen/calibration.json in the user's cache directory, if it is there and of this machine]
    #[arg(long, value_name = "FILE", env = "LOADGEN_CALIBRATION")]
    pub(crate) calibration: Option<PathBuf>,
}

/// The server process, if it is to be started or watched.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// Start this command before each run; {addr} is replaced by the target. The run begins when
    /// the target accepts. The command stays in the foreground; it is watched, and stopped after
    /// the run
    #[arg(long, value_name = "CMD", conflicts_with = "server_pid")]
    pub(crate) server_cmd: Option<ServerCommand>,

    /// Watch the running server with this process id: processor time, switches, memory
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,

    /// Read the server's own metrics before, during and after each run, for a section of the
    /// report: the --admin of 'evshard serve', or any endpoint for Prometheus; HOST:PORT,
    /// http://HOST:PORT/PATH or unix:/path
    #[arg(long, value_name = "ADDR")]
    pub(crate) server_admin: Option<MetricsAddress>,
}

/// The objectives of the run.
#[derive(Debug, Clone, Args)]
pub(crate) struct SloArgs {
    /// Objective, repeatable: p99<1ms, p99.9<5ms, max<50ms, mean<1ms, err<0.1%, achieved>=0.99,
    /// rate>=10k; the exit code is 2 if one is missed
    #[arg(long, value_name = "EXPR")]
    pub(crate) slo: Vec<Slo>,
}

/// Where results go.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputArgs {
    /// Write everything into this directory: result.json, .hlog, .hgrm, CSV, plots, index.html
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Replace the results that the directory of --out already contains
    #[arg(long)]
    pub(crate) force: bool,

    /// Write the result as JSON to FILE, and replace a file of this name; '-' writes to stdout, and
    /// the report goes to stderr
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<Destination>,

    /// Print no report and no progress, only why the exit code is not 0 or the verdict not VALID
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Show no live progress line
    #[arg(long)]
    pub(crate) no_progress: bool,

    /// Length of an interval (.hlog, CSV, plots)
    #[arg(long, value_name = "D", default_value = "1s")]
    pub(crate) interval: humantime::Duration,
}
