//! From flags to a plan: the only place that checks them.

use std::net::IpAddr;
use std::time::Duration;

use super::RunArgs;
use super::live::LiveArgs;
use super::load::{ConnectionArgs, LoadArgs, OutputArgs, SloArgs, SourceRange};
use super::{agents, target, tls, traffic};
use crate::destination::Destination;
use crate::environment::CpuList;
use crate::error::Error;
use crate::options::{
    Churn, Load, MetricsOptions, OpenLoad, Options, OutputOptions, Pins, ServerSource,
};
use crate::schedule::{Arrival, RateProfile, Times};
use crate::wire::{Protocol, TrafficSpec};

/// Maximum number of requests outstanding per connection: with more, the run measures a queue, not
/// a server.
const PIPELINE_MAX: u32 = 65_536;

/// Default number of requests outstanding per connection. A closed loop has one at a time. An open
/// one sends when the schedule requires it.
const PIPELINE_CLOSED: u32 = 1;
const PIPELINE_OPEN: u32 = 1_024;

/// Maximum number of threads; each has its own histograms and buffers.
const THREADS_MAX: u32 = 1_024;

/// Maximum number of source addresses.
const SOURCES_MAX: usize = 65_536;

/// Maximum number of runs of one measurement.
const RUNS_MAX: u32 = 10_000;

/// Default durations of the measured window, and of the warm-up before it.
const DURATION: Duration = Duration::from_secs(10);
const WARMUP: Duration = Duration::from_secs(1);

/// Longest duration of anything; far beyond use, far below overflow.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Shortest measured window: a shorter one ends before a loader has sent much.
const DURATION_MIN: Duration = Duration::from_millis(1);

/// Shortest timeout: a shorter one would also count the loader's own wake-ups.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);

/// Shortest interval: the histograms of a shorter one would cost too much.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

impl TryFrom<RunArgs> for Options {
    type Error = Error;

    fn try_from(args: RunArgs) -> Result<Self, Error> {
        let mut options = Self::new(args.load, args.slo)?;
        options.runs = at_least_one("--runs", args.runs, RUNS_MAX)?;
        options.set_output(args.output)?;
        options.set_live(args.live)?;
        Ok(options)
    }
}

impl Options {
    /// One run of this load, with no output but the live line.
    pub(crate) fn new(args: LoadArgs, slo: SloArgs) -> Result<Self, Error> {
        let LoadArgs { target, shape, traffic, http, key_value, connections: over, .. } = args;
        let LoadArgs { tls, loader, server, agents, words, .. } = args;
        let agents = agents.agents(|| words.to(&target))?;
        let named = target::parse(&target).map_err(Error::Usage)?;
        let (requested_pipeline, speed) = (traffic.pipeline, traffic.speed);
        let connections = at_least_one("--connections", over.connections, u32::MAX)?;
        let traffic = traffic::traffic(traffic, http, key_value, &named, connections)?;
        agents::expect_possible(agents.as_ref(), connections, &traffic)?;
        let threads = at_least_one("--threads", loader.threads, THREADS_MAX)?;
        let timeout = duration("--timeout", *shape.timeout, TIMEOUT_MIN)?;
        let churn = churn(&over)?;
        let times = times(speed, &traffic)?;
        let load = load(shape.rate, shape.arrival, times.as_ref())?;
        let measured = times.as_ref().map_or(DURATION, Times::length);
        let warmup = warmup(shape.warmup.map(|warmup| *warmup), times.as_ref())?;
        let pipeline = pipeline(requested_pipeline, &load, traffic.protocol, churn)?;
        let command = server.server_cmd.map(ServerSource::Command);
        Ok(Self {
            load,
            traffic,
            tls: tls::tls(tls, &named)?,
            target: named.target,
            connections,
            threads: threads.min(connections),
            pipeline,
            churn,
            connect_rate: over.connect_rate.map(connect_rate).transpose()?,
            sources: sources(&over.source)?,
            duration: duration(
                "--duration",
                shape.duration.map_or(measured, |d| *d),
                DURATION_MIN,
            )?,
            warmup,
            timeout,
            drain: match shape.drain {
                Some(drain) => duration("--drain", *drain, Duration::ZERO)?,
                None => timeout,
            },
            interval: Duration::from_secs(1),
            seed: shape.seed,
            pacing: loader.pacing,
            pins: match &agents {
                None => loader.pin.map(usable).transpose()?,
                // They have processors of their own.
                Some(_) => loader.pin,
            },
            calibration: loader.calibration,
            slo: slo.slo,
            runs: 1,
            server: command.or(server.server_pid.map(ServerSource::Pid)),
            server_metrics: server.server_admin,
            output: OutputOptions { progress: true, ..OutputOptions::default() },
            agents,
        })
    }

    /// Sends the results where the flags say.
    pub(crate) fn set_output(&mut self, args: OutputArgs) -> Result<(), Error> {
        self.interval = duration("--interval", *args.interval, INTERVAL_MIN)?;
        self.output = OutputOptions {
            directory: args.out,
            force: args.force,
            record: args.json,
            quiet: args.quiet,
            progress: !args.quiet && !args.no_progress,
            ..OutputOptions::default()
        };
        Ok(())
    }

    /// Sends what a run finds while it lasts where the flags say.
    fn set_live(&mut self, args: LiveArgs) -> Result<(), Error> {
        let linger = duration("--metrics-linger", *args.metrics_linger, Duration::ZERO)?;
        let output = &mut self.output;
        if let Some(place) = &args.json_stream
            && output.record.as_ref() == Some(place)
        {
            return match place {
                Destination::Stdout => {
                    usage("--json, --json-stream: only one of them can go to standard output")
                }
                Destination::File(_) => usage("--json, --json-stream: name two files"),
            };
        }
        output.stream = args.json_stream;
        output.metrics = args.metrics.map(|address| MetricsOptions { address, linger });
        Ok(())
    }
}

/// When requests are sent: by their times, by a rate, or when replies come.
fn load(
    rate: Option<RateProfile>,
    arrival: Option<Arrival>,
    times: Option<&Times>,
) -> Result<Load, Error> {
    match (rate, times) {
        (None, None) => Ok(Load::Closed),
        (Some(profile), None) => {
            Ok(Load::Open(OpenLoad { profile, arrival: arrival.unwrap_or_default() }))
        }
        (Some(_), Some(_)) => usage(
            "--order timed: the requests have times, and so no rate; change their speed with \
             --speed, or choose another order",
        ),
        (None, Some(_)) if arrival.is_some() => usage(
            "--arrival has no effect with --order timed: each request has its time in the file; \
             leave it out, or choose another order",
        ),
        (None, Some(times)) => {
            let profile = RateProfile::Timed(times.clone());
            Ok(Load::Open(OpenLoad { profile, arrival: Arrival::Timed }))
        }
    }
}

/// The length of the warm-up, after which a request must be left to measure.
fn warmup(requested: Option<Duration>, times: Option<&Times>) -> Result<Duration, Error> {
    let usual = times.map_or(WARMUP, |_| Duration::ZERO);
    let warmup = duration("--warmup", requested.unwrap_or(usual), Duration::ZERO)?;
    match times.map(Times::last).filter(|last| *last < warmup) {
        None => Ok(warmup),
        Some(last) => usage(format!(
            "--warmup {} is longer than the requests take, the last of which is due after {}, so \
             none would be measured; use a shorter --warmup",
            humantime::format_duration(warmup),
            humantime::format_duration(last)
        )),
    }
}

/// The times of the requests, if they have some, at this speed.
fn times(speed: Option<f64>, traffic: &TrafficSpec) -> Result<Option<Times>, Error> {
    let speed_up = speed.unwrap_or(1.0);
    let of_requests = traffic.http.as_ref().and_then(|http| http.times_ns());
    let of_commands = traffic.key_value.as_ref().and_then(|key_value| key_value.times_ns());
    match (of_requests, of_commands) {
        (Some(times_ns), _) => Ok(Some(Times::new(times_ns, speed_up))),
        (None, Some(times_ns)) => Ok(Some(Times::new(times_ns, speed_up))),
        (None, None) if speed.is_some() => {
            usage("--speed has no effect without --order timed; leave it out, or use --rate")
        }
        (None, None) => Ok(None),
    }
}

/// The processors of `--pin`, if this process may use them.
fn usable(pins: Pins) -> Result<Pins, Error> {
    if let Some(allowed) = CpuList::of_this_process()
        && let Some(cpu) = pins.iter().find(|cpu| !allowed.contains(*cpu))
    {
        return usage(format!("--pin: no processor {cpu}; this process may use {allowed}"));
    }
    Ok(pins)
}

fn churn(args: &ConnectionArgs) -> Result<Churn, Error> {
    match (args.connect_per_request, args.churn, args.lifetime) {
        (true, ..) => Ok(Churn::EachRequest),
        (_, Some(0), _) => usage("--churn must be at least 1 request"),
        (_, Some(_), Some(_)) => usage("--churn and --lifetime exclude each other; choose one"),
        (_, Some(requests), None) => Ok(Churn::Requests(requests)),
        (_, None, Some(lifetime)) => {
            duration("--lifetime", *lifetime, TIMEOUT_MIN).map(Churn::Lifetime)
        }
        (_, None, None) => Ok(Churn::None),
    }
}

fn pipeline(
    requested: Option<u32>,
    load: &Load,
    protocol: Protocol,
    churn: Churn,
) -> Result<u32, Error> {
    if churn == Churn::EachRequest {
        return match requested {
            None | Some(1) => Ok(1),
            Some(_) => usage("--pipeline: with --connect-per-request there is one at a time"),
        };
    }
    match (requested, load, protocol) {
        (Some(requested), ..) => at_least_one("--pipeline", requested, PIPELINE_MAX),
        // Many servers and most proxies do not support pipelined HTTP.
        (None, _, Protocol::Http) | (None, Load::Closed, _) => Ok(PIPELINE_CLOSED),
        (None, Load::Open(_), _) => Ok(PIPELINE_OPEN),
    }
}

fn connect_rate(rate: f64) -> Result<f64, Error> {
    if (0.001..=1e6).contains(&rate) {
        Ok(rate)
    } else {
        usage("--connect-rate must lie between 0.001 and 1000000 per second")
    }
}

fn sources(ranges: &[SourceRange]) -> Result<Vec<IpAddr>, Error> {
    let mut sources = Vec::new();
    for range in ranges {
        let mut next = range.first;
        while sources.len() < SOURCES_MAX {
            sources.push(next);
            if next >= range.last {
                break;
            }
            next = successor(next);
        }
        if sources.last() != Some(&range.last) {
            return usage(format!("--source: at most {SOURCES_MAX} addresses"));
        }
    }
    Ok(sources)
}

fn successor(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4((u32::from(address).wrapping_add(1)).into()),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address).wrapping_add(1)).into()),
    }
}

fn usage<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::Usage(text.into()))
}

fn at_least_one(flag: &str, value: u32, most: u32) -> Result<u32, Error> {
    match value {
        0 => usage(format!("{flag} must be at least 1")),
        _ if value > most => usage(format!("{flag} must be at most {most}")),
        _ => Ok(value),
    }
}

fn duration(flag: &str, value: Duration, least: Duration) -> Result<Duration, Error> {
    if value < least {
        let least = humantime::format_duration(least);
        return usage(format!("{flag} must be at least {least}"));
    }
    if value > DURATION_MAX {
        return usage(format!("{flag} must be at most a year"));
    }
    Ok(value)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cli::{self, Command, Invocation};
    use crate::options::Target;
    use crate::wire::Sizes;

    /// The options of `loadgen run` with these flags.
    pub(crate) fn options(flags: &str) -> Result<Options, Error> {
        let words = ["loadgen", "run"].into_iter().chain(flags.split_whitespace());
        match cli::parse(words)? {
            Invocation::Do(Command::Run(args)) => Options::try_from(*args),
            other => panic!("unexpected: {other:?}"),
        }
    }

    /// What is said of flags that are refused.
    #[track_caller]
    pub(crate) fn refusal(flags: &str) -> String {
        match options(flags) {
            Err(Error::Usage(text)) => text,
            other => panic!("expected a usage error, got {other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_help_text() {
        let options = options("").unwrap();
        assert_eq!(options.target, Target::Tcp("127.0.0.1:5555".to_owned()));
        assert_eq!((options.connections, options.threads), (64, 1));
        assert_eq!(
            (options.traffic.sizes, options.pipeline, options.seed),
            (Sizes::default(), 1, 1)
        );
        assert_eq!(options.load, Load::Closed);
        assert_eq!(options.duration, Duration::from_secs(10));
        assert_eq!(options.warmup, Duration::from_secs(1));
        assert_eq!((options.timeout, options.drain), (Duration::from_secs(5), options.timeout));
        assert_eq!(options.output.record, None);
    }

    #[test]
    fn quantities_have_human_units() {
        let options = options("--rate 20k --duration 1m30s --warmup 0s --timeout 250ms").unwrap();
        assert_eq!(options.load.open().unwrap().profile.to_string(), "20k");
        assert_eq!(options.duration, Duration::from_secs(90));
        assert_eq!(options.warmup, Duration::ZERO);
        assert_eq!((options.timeout, options.drain), (Duration::from_millis(250), options.timeout));
    }

    #[test]
    fn the_pipeline_is_deep_only_where_a_schedule_may_need_it() {
        let pipeline = |flags: &str| options(flags).unwrap().pipeline;
        assert_eq!(pipeline("--rate 1k"), 1_024);
        assert_eq!(pipeline("--rate 1k --protocol http"), 1);
        assert_eq!(pipeline("--rate 1k --connect-per-request"), 1);
        assert_eq!(pipeline("--rate 1k --pipeline 3"), 3);
    }

    #[test]
    fn threads_are_capped_to_the_connections() {
        assert_eq!(options("-c 3 -t 8").unwrap().threads, 3);
    }

    #[test]
    fn source_addresses_are_single_ones_and_ranges() {
        let sources = options("--source 127.0.0.2,127.0.0.9-127.0.0.11").unwrap().sources;
        let last: Vec<String> = sources.iter().map(ToString::to_string).collect();
        assert_eq!(last, ["127.0.0.2", "127.0.0.9", "127.0.0.10", "127.0.0.11"]);
        assert!(refusal("--source 0.0.0.1-9.0.0.0").contains("at most 65536"));
        assert!(refusal("--source 10.0.0.2-10.0.0.1").contains("must not come before"));
    }

    #[test]
    fn impossible_quantities_are_refused_with_the_flag_and_the_bound() {
        for (flags, said) in [
            ("-c 0", "--connections must be at least 1"),
            ("-t 0", "--threads must be at least 1"),
            ("--pipeline 0", "--pipeline must be at least 1"),
            ("--pipeline 65537", "--pipeline must be at most 65536"),
            ("--size 0", "at least 1 byte"),
            ("--size 65MiB", "at most 64MiB"),
            ("--duration 0s", "--duration must be at least 1ms"),
            ("--pin 0,1023", "--pin: no processor 1023; this process may use "),
            ("--timeout 1us", "--timeout must be at least 1ms"),
            ("--warmup 2years", "--warmup must be at most a year"),
            ("--churn 0", "--churn must be at least 1"),
            ("--churn 5 --lifetime 1s", "exclude each other"),
            ("--connect-per-request --pipeline 2", "one at a time"),
            ("--connect-rate 0", "--connect-rate must lie"),
            ("--runs 0", "--runs must be at least 1"),
        ] {
            assert!(refusal(flags).contains(said), "{flags}: {}", refusal(flags));
        }
    }
}
