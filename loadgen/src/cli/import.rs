//! The flags of `loadgen import`.

use std::path::PathBuf;

use clap::Args;

use crate::destination::Destination;
use crate::import::Source;
use crate::wire::REQUESTS_MAX;

/// Help below the flags.
pub(super) const IMPORT_HELP: &str = "\
Each line of the file is a request: its time, method, path, headers and body. 'loadgen run \
--requests FILE --order timed' sends them at these times. For Redis it is a command with its time, \
for 'loadgen run --commands FILE --order timed'.

An access log has neither bodies nor most headers, and only whole seconds: the requests of a \
second are spread evenly over it. Packets have everything. Passwords and cookies in them get into \
the file, too.

MONITOR shows what was executed. Commands of scripts, of replication and about connections, those \
that block, and MULTI and EXEC are left out and counted. Passwords are not in it, values are.

Examples:
  loadgen import nginx-log /var/log/nginx/access.log --out requests.jsonl
  timeout 60 tcpdump -i lo -w - port 8080 | loadgen import pcap - --port 8080 --out requests.jsonl
  loadgen run http://10.0.0.7 --requests requests.jsonl --order timed --speed 2
  timeout 60 redis-cli MONITOR | loadgen import redis-monitor - --out commands.jsonl
  loadgen run redis://10.0.0.7 --commands commands.jsonl --order timed";

/// The flags of `loadgen import`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ImportArgs {
    /// What kind of file it is
    #[arg(value_name = "KIND")]
    pub(crate) source: Source,

    /// The file; '-' is standard input
    #[arg(value_name = "FILE|-")]
    pub(crate) file: PathBuf,

    /// Where to write the requests or commands; a file of this name is replaced
    #[arg(short, long, value_name = "FILE|-", default_value = "-")]
    pub(crate) out: Destination,

    /// Only the requests to this port of the server; for packets
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,

    /// Only the commands on this database of Redis [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) select_db: Option<u32>,

    /// Only the first requests or commands of the file; without it, more than 1000000 are refused,
    /// because a run can send no more
    #[arg(long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=REQUESTS_MAX as i64))]
    pub(crate) first: Option<u32>,
}
