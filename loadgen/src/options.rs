//! The validated plan of a run. Nothing below this file needs to check an option again.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::MIB;

use crate::cli::RunArgs;
use crate::error::Error;

/// Largest request; a bigger one would measure bandwidth, not latency.
const SIZE_BYTES_MAX: u64 = 64 * MIB;

/// Most requests outstanding per connection: beyond this a queue is measured, not a server.
const PIPELINE_MAX: u32 = 65_536;

/// Most threads; each has its own histograms and buffers.
const THREADS_MAX: u32 = 1_024;

/// Longest duration of anything; far beyond use, far below overflow.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Shortest timeout: below this the loader's own wake-ups would be taken for a silent server.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);

/// A host and a port, not yet resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target(String);

impl Target {
    /// The text of the target, `HOST:PORT` with brackets around an IPv6 address.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Where the JSON record goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RecordSink {
    Stdout,
    File(PathBuf),
}

/// One run, as asked for and possible.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) target: Target,
    pub(crate) connections: u32,
    /// Never more than there are connections.
    pub(crate) threads: u32,
    pub(crate) size_bytes: u64,
    pub(crate) pipeline: u32,
    pub(crate) duration: Duration,
    pub(crate) warmup: Duration,
    pub(crate) timeout: Duration,
    pub(crate) seed: u64,
    pub(crate) record: Option<RecordSink>,
    pub(crate) quiet: bool,
    pub(crate) progress: bool,
}

impl TryFrom<RunArgs> for Options {
    type Error = Error;

    fn try_from(args: RunArgs) -> Result<Self, Error> {
        let connections = at_least_one("--connections", args.connections, u32::MAX)?;
        let threads = at_least_one("--threads", args.threads, THREADS_MAX)?;
        let pipeline = at_least_one("--pipeline", args.pipeline, PIPELINE_MAX)?;
        Ok(Self {
            target: target(&args.target)?,
            connections,
            threads: threads.min(connections),
            size_bytes: size(args.size.as_u64())?,
            pipeline,
            duration: duration("--duration", *args.duration, Duration::from_nanos(1))?,
            warmup: duration("--warmup", *args.warmup, Duration::ZERO)?,
            timeout: duration("--timeout", *args.timeout, TIMEOUT_MIN)?,
            seed: args.seed,
            record: args.json.map(|path| match path.to_str() {
                Some("-") => RecordSink::Stdout,
                _ => RecordSink::File(path),
            }),
            quiet: args.quiet,
            progress: !args.quiet && !args.no_progress,
        })
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

fn size(bytes: u64) -> Result<u64, Error> {
    match bytes {
        0 => usage("--size must be at least 1 byte: an empty request has no reply"),
        _ if bytes > SIZE_BYTES_MAX => usage("--size must be at most 64MiB"),
        _ => Ok(bytes),
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

fn target(text: &str) -> Result<Target, Error> {
    let Some((host, port)) = text.rsplit_once(':') else {
        return usage(format!("target '{text}' has no port; write it as ADDR:PORT"));
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.contains(':') && !bracketed {
        return usage(format!(
            "target '{text}': put an IPv6 address in brackets, for example [::1]:5555"
        ));
    }
    if host.is_empty() || host == "[]" {
        return usage(format!("target '{text}' has no host; write it as ADDR:PORT"));
    }
    match port.parse::<u16>() {
        Ok(1..) => Ok(Target(text.to_owned())),
        _ => usage(format!("target '{text}': the port must be a number from 1 to 65535")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn options(flags: &str) -> Result<Options, Error> {
        let words = ["loadgen", "run"].into_iter().chain(flags.split_whitespace());
        match cli::parse(words)? {
            cli::Request::Run(args) => Options::try_from(*args),
            cli::Request::Print(text) => panic!("unexpected text: {text:?}"),
        }
    }

    #[track_caller]
    fn refusal(flags: &str) -> String {
        match options(flags) {
            Err(Error::Usage(text)) => text,
            other => panic!("expected a usage error, got {other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_help_text() {
        let options = options("").unwrap();
        assert_eq!(options.target.as_str(), "127.0.0.1:5555");
        assert_eq!((options.connections, options.threads), (64, 1));
        assert_eq!((options.size_bytes, options.pipeline, options.seed), (64, 1, 1));
        assert_eq!(options.duration, Duration::from_secs(10));
        assert_eq!(options.warmup, Duration::from_secs(1));
        assert_eq!(options.timeout, Duration::from_secs(5));
        assert_eq!(options.record, None);
    }

    #[test]
    fn quantities_have_human_units() {
        let options = options("--size 16KiB --duration 1m30s --warmup 0s --timeout 250ms").unwrap();
        assert_eq!(options.size_bytes, 16_384);
        assert_eq!(options.duration, Duration::from_secs(90));
        assert_eq!(options.warmup, Duration::ZERO);
        assert_eq!(options.timeout, Duration::from_millis(250));
    }

    #[test]
    fn threads_are_capped_to_the_connections() {
        assert_eq!(options("-c 3 -t 8").unwrap().threads, 3);
    }

    #[test]
    fn targets_are_addresses_or_names_with_a_port() {
        for good in ["localhost:80", "10.0.0.1:65535", "[::1]:5555", "example.org:1"] {
            assert_eq!(options(good).unwrap().target.as_str(), good);
        }
        assert!(refusal("localhost").contains("no port"));
        assert!(refusal("::1:5555").contains("brackets"));
        assert!(refusal(":5555").contains("no host"));
        for port in ["0", "65536", "http", ""] {
            assert!(refusal(&format!("localhost:{port}")).contains("1 to 65535"));
        }
    }

    #[test]
    fn impossible_quantities_are_refused_with_the_flag_and_the_bound() {
        for (flags, said) in [
            ("-c 0", "--connections must be at least 1"),
            ("-t 0", "--threads must be at least 1"),
            ("--pipeline 0", "--pipeline must be at least 1"),
            ("--pipeline 65537", "--pipeline must be at most 65536"),
            ("--size 0", "--size must be at least 1 byte"),
            ("--size 65MiB", "--size must be at most 64MiB"),
            ("--duration 0s", "--duration must be at least"),
            ("--timeout 1us", "--timeout must be at least 1ms"),
            ("--warmup 2years", "--warmup must be at most a year"),
        ] {
            assert!(refusal(flags).contains(said), "{flags}: {}", refusal(flags));
        }
    }

    #[test]
    fn a_dash_sends_the_record_to_stdout_and_quiet_silences_progress() {
        let options = options("--json - --quiet").unwrap();
        assert_eq!(options.record, Some(RecordSink::Stdout));
        assert!(options.quiet && !options.progress);
    }
}
