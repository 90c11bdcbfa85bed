//! The flags of `loadgen import`.

use std::path::PathBuf;

use clap::Args;

use crate::destination::Destination;
use crate::import::Source;

/// Help below the flags.
pub(super) const IMPORT_HELP: &str = "\
Each line of the file is a request: its time, method, path, headers and body. 'loadgen run \
--requests FILE --order timed' sends them at these times.

An access log has neither bodies nor most headers, and only whole seconds: the requests of a \
second are spread evenly over it. Packets have everything. Passwords and cookies in them get into \
the file, too.

Examples:
  loadgen import nginx-log /var/log/nginx/access.log --out requests.jsonl
  timeout 60 tcpdump -i lo -w - port 8080 | loadgen import pcap - --port 8080 --out requests.jsonl
  loadgen run http://10.0.0.7 --requests requests.jsonl --order timed --speed 2";

/// The flags of `loadgen import`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ImportArgs {
    /// What kind of file it is
    #[arg(value_name = "KIND")]
    pub(crate) source: Source,

    /// The file; '-' is standard input
    #[arg(value_name = "FILE|-")]
    pub(crate) file: PathBuf,

    /// Where to write the requests; a file of this name is replaced
    #[arg(short, long, value_name = "FILE|-", default_value = "-")]
    pub(crate) out: Destination,

    /// Only the requests to this port of the server; for packets
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
}
