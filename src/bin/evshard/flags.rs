//! The flags of `evshard serve`, and the configuration that they make.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use evshard::server::{
    AcceptMode, AdminConfig, ConnectionsPerSource, Drain, Error, Limits, ListenAddress, Measure,
    Overload, Placement, ProxyMode, ProxyProtocol, ServerConfig, Work, ranges,
};
use evshard::tls::TlsServer;
use evshard::{BackendKind, ChangelistPolicy, Config};
use ipnet::IpNet;
use log::LevelFilter;

use super::flag_values::{
    ListenAddresses, OrOff, accept, accept_rate, backend, backlog, buffer_bytes, bytes_per_second,
    changelist, count, deadline, duration, listen_addresses, log_level, memory_bytes, mode,
    network, or_off, overload, per_source, placement, proxy_mode,
};
use super::logger::{self, LogError, LogFormat, RunningLog};
use super::tls_flags::TlsFlags;

#[derive(Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) file: FileFlags,
    #[command(flatten)]
    listening: Listening,
    #[command(flatten)]
    tls: TlsFlags,
    #[command(flatten)]
    sharding: Sharding,
    #[command(flatten)]
    limits: LimitFlags,
    #[command(flatten)]
    shutdown: ShutdownFlags,
    #[command(flatten)]
    pub(crate) service: ServiceFlags,
    #[command(flatten)]
    observability: ObservabilityFlags,
    /// What the files of `tls` have, once they are read.
    #[arg(skip)]
    pub(crate) tls_server: Option<TlsServer>,
}

/// The configuration file.
#[derive(Args)]
#[command(next_help_heading = "Configuration file")]
pub(crate) struct FileFlags {
    /// Read the configuration from this TOML file. Its keys are the names of the flags below, such
    /// as max-connections = 1000. A flag that is given here, too, replaces the key.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Print the configuration that the file and the flags make, as a commented file for --config,
    /// and exit.
    #[arg(long)]
    pub(crate) print_config: bool,
}

#[derive(Args)]
#[command(next_help_heading = "Listening")]
struct Listening {
    /// Address to listen on, ADDR:PORT or unix:PATH; port 0 takes a free port. A host name means
    /// all its addresses. With tls: before it, connections begin with TLS. Repeat it for several
    /// addresses. It has no effect if a service manager passes sockets (LISTEN_FDS)
    /// [default: 127.0.0.1:5555].
    #[arg(long, value_name = "ADDR", value_parser = listen_addresses)]
    listen: Vec<ListenAddresses>,

    /// Permissions of unix sockets, octal.
    #[arg(long, value_name = "MODE", default_value = "0660", value_parser = mode)]
    unix_mode: u32,

    /// Connections the kernel may queue before they are accepted (it caps this at somaxconn).
    #[arg(long, value_name = "N", default_value_t = ServerConfig::BACKLOG, value_parser = backlog)]
    backlog: u32,

    /// Whether connections begin with a PROXY protocol header, version 1 or 2. `require` resets a
    /// connection without one, `optional` serves it, too. A header must be complete within 5
    /// seconds.
    #[arg(long, value_name = "WHEN", default_value = "off", value_parser = proxy_mode())]
    proxy_protocol: ProxyMode,

    /// Network or address whose PROXY headers are trusted, such as 10.0.0.0/8. Repeat it for
    /// several. On a unix socket every peer is trusted.
    #[arg(long, value_name = "CIDR", value_parser = network,
          required_if_eq_any([("proxy_protocol", "require"), ("proxy_protocol", "optional")]))]
    proxy_trust: Vec<IpNet>,
}

#[derive(Args)]
#[command(next_help_heading = "Sharding")]
struct Sharding {
    /// Worker threads [default: one per usable core, by affinity and cgroup quota; one less with an
    /// acceptor].
    #[arg(long, value_name = "N", value_parser = count(ranges::WORKERS))]
    workers: Option<NonZeroUsize>,

    /// Let workers move between cores instead of pinning each to one. Under a CPU quota below the
    /// number of cores, workers are never pinned.
    #[arg(long)]
    no_pin: bool,

    /// Which threads accept connections [default: acceptor with 4 or more usable cores, else
    /// acceptor-in-shard0].
    #[arg(long, value_name = "MODE", value_parser = accept())]
    accept: Option<AcceptMode>,

    /// Which worker gets a connection.
    #[arg(long, value_name = "POLICY", default_value = Placement::LeastConnections.name(),
          value_parser = placement())]
    placement: Placement,

    /// Capacity of each worker's queue of accepted connections. Beyond it they wait in the kernel's
    /// backlog.
    #[arg(long, value_name = "N", default_value_t = ServerConfig::HANDOFF_CAPACITY,
          value_parser = count(ranges::HANDOFF_CAPACITY))]
    handoff_capacity: NonZeroUsize,

    /// Event backend: the system call that waits for readiness.
    #[arg(long, value_name = "NAME", default_value = BackendKind::ALL[0].name(),
          value_parser = backend())]
    backend: BackendKind,

    /// When changes of interest are passed to the kernel: at once, or merged before the next wait.
    #[arg(long, value_name = "POLICY", default_value = "deferred", value_parser = changelist())]
    changelist: ChangelistPolicy,
}

#[derive(Args)]
#[command(next_help_heading = "Limits")]
struct LimitFlags {
    /// Maximum of open connections [default: as many as the descriptors allow].
    #[arg(long, value_name = "N", value_parser = count(ranges::CONNECTIONS))]
    max_connections: Option<NonZeroUsize>,

    /// Maximum of open connections of one source; a further one is reset at once. The source is the
    /// client's address, by PROXY header if that is trusted. N alone means each IPv4 address and
    /// each IPv6 /64. N/24 counts the addresses of an IPv4 /24 together, and N/24,56 also those of
    /// an IPv6 /56. A connection without an address, over a unix socket, is not limited.
    #[arg(long, value_name = "N[/PREFIX[,PREFIX6]]", default_value = "off",
          value_parser = or_off(per_source))]
    max_connections_per_source: OrOff<ConnectionsPerSource>,

    /// Maximum of connections accepted in a second, plus a burst of a tenth of it. Beyond it they
    /// wait in the kernel's backlog. A shutdown does not wait for it.
    #[arg(long, value_name = "N", default_value = "off",
          value_parser = or_off(accept_rate))]
    accept_rate: OrOff<NonZeroU32>,

    /// Connections without room: let them wait in the kernel's backlog, or reset them.
    #[arg(long, value_name = "WHAT", default_value = "wait", value_parser = overload())]
    overload: Overload,

    /// Deadline for the first byte of a connection.
    #[arg(long, value_name = "DURATION", default_value = "off",
          value_parser = or_off(deadline))]
    first_byte_timeout: OrOff<Duration>,

    /// Maximum time without a byte in either direction. It also counts for the first byte, unless
    /// --first-byte-timeout is set.
    #[arg(long, value_name = "DURATION", default_value = "off",
          value_parser = or_off(deadline))]
    idle_timeout: OrOff<Duration>,

    /// Deadline from the first byte of a message to its last, for services with messages.
    #[arg(long, value_name = "DURATION", default_value = "10s",
          value_parser = or_off(deadline))]
    message_timeout: OrOff<Duration>,

    /// Maximum age of a connection, a tenth more or less, which each draws at random. Then the
    /// connection drains as at shutdown: it is closed after 50 ms without traffic, and reset after
    /// --drain-timeout.
    #[arg(long, value_name = "DURATION", default_value = "off",
          value_parser = or_off(deadline))]
    max_connection_age: OrOff<Duration>,

    /// Maximum of bytes that a connection receives in a second, and of bytes that it sends, in an
    /// even flow with bursts of a second. Beyond it, reading or sending waits, and no deadline runs
    /// meanwhile.
    #[arg(long, value_name = "SIZE", default_value = "off",
          value_parser = or_off(bytes_per_second))]
    bytes_per_second: OrOff<NonZeroU64>,

    /// The same for all connections together.
    #[arg(long, value_name = "SIZE", default_value = "off",
          value_parser = or_off(bytes_per_second))]
    total_bytes_per_second: OrOff<NonZeroU64>,

    /// Memory per connection in each direction: an incomplete message, unsent output.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = buffer_bytes)]
    buffer: usize,

    /// Memory of the buffers of all connections together. Over 7/8 of it, the connections with the
    /// largest buffers are reset, and new ones wait or are reset as --overload says [default: three
    /// quarters of what the machine, the cgroup and the resource limits allow].
    #[arg(long, value_name = "SIZE", value_parser = memory_bytes)]
    memory_limit: Option<usize>,
}

#[derive(Args)]
#[command(next_help_heading = "Shutdown and upgrade")]
struct ShutdownFlags {
    /// How long open connections may continue after the signal and --drain-delay.
    #[arg(long, value_name = "DURATION", default_value = "3s",
          value_parser = duration)]
    drain_timeout: Duration,

    /// How long the server still accepts after the signal, while /readyz reports 503. A load
    /// balancer can then take it out before a client is refused.
    #[arg(long, value_name = "DURATION", default_value = "0s",
          value_parser = duration)]
    drain_delay: Duration,

    /// Spread the closing of idle connections over this time, so that their clients do not all
    /// reconnect at once. At most --drain-timeout.
    #[arg(long, value_name = "DURATION", default_value = "0s",
          value_parser = duration)]
    drain_spread: Duration,

    /// Unix socket at which a successor can take over the listening sockets.
    #[arg(long, value_name = "PATH")]
    upgrade_socket: Option<PathBuf>,

    /// Take over the listening sockets that another server offers at this path (--upgrade-socket).
    /// The other server then drains, and this one offers the sockets there for the next upgrade.
    /// --listen has no effect.
    #[arg(long, value_name = "PATH", conflicts_with = "upgrade_socket")]
    upgrade_from: Option<PathBuf>,
}

/// The service to run.
#[derive(Args)]
#[command(next_help_heading = "Service")]
pub(crate) struct ServiceFlags {
    /// Service that handles the bytes.
    #[arg(long, value_name = "NAME", default_value = "echo")]
    pub(crate) service: ServiceName,

    /// With --service work, the time each request takes: spin:TIME, sleep:TIME, spin:exp:MEAN or
    /// sleep:exp:MEAN [default: spin:200us].
    #[arg(long, value_name = "WORK")]
    pub(crate) work: Option<Work>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServiceName {
    /// Send back every received byte.
    Echo,
    /// Receive bytes and send none.
    Discard,
    /// Send characters for as long as the client reads.
    Chargen,
    /// Echo after a time, see --work.
    Work,
}

#[derive(Args)]
#[command(next_help_heading = "Observability")]
struct ObservabilityFlags {
    /// Do not measure loop lag, callback times, handoff times and busy shares.
    #[arg(long)]
    no_timings: bool,

    /// Log callbacks that take longer, with the peer of their connection.
    #[arg(long, value_name = "DURATION", default_value = "25ms",
          value_parser = duration)]
    slow_callback: Duration,

    /// Address of the HTTP interface for operators, ADDR:PORT or unix:PATH: / is a live page for
    /// browsers; /metrics, /stats, /healthz, /readyz, POST /drain and POST /reload. `evshard top`
    /// and `evshard ctl` need it.
    #[arg(long, value_name = "ADDR")]
    admin: Option<ListenAddress>,

    /// Allow an --admin address that other machines can reach. There is no authentication.
    #[arg(long, requires = "admin")]
    admin_remote: bool,

    /// Name of this machine in requests to --admin, repeatable. Requests with another name (Host)
    /// than these and localhost are refused. An address is always accepted.
    #[arg(long, value_name = "NAME", requires = "admin")]
    admin_host: Vec<String>,

    /// Address that answers HAProxy's agent check (agent-check), ADDR:PORT or unix:PATH: `up NN%`
    /// with the share of time in which the workers were not busy, or `drain`.
    #[arg(long, value_name = "ADDR")]
    agent: Option<ListenAddress>,

    /// File to which the log is appended, instead of standard error. SIGHUP and SIGUSR1 open it
    /// again, after it was renamed or removed.
    #[arg(long, value_name = "PATH")]
    log_file: Option<PathBuf>,

    /// Format of log lines.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,

    /// Minimum severity to log: off, error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = log_level)]
    log_level: LevelFilter,
}

/// Where to take over listening sockets, and where to offer them.
pub(crate) struct Upgrade {
    pub(crate) from: Option<PathBuf>,
    pub(crate) offer: Option<PathBuf>,
}

impl Serve {
    /// Why a flag would have no effect, or another than it asks for.
    pub(crate) fn conflict(&self) -> Option<String> {
        let Self { listening, sharding, limits, service, observability, tls, .. } = self;
        if let Some(conflict) = tls.conflict() {
            return Some(conflict);
        }
        let mut listens = listening.listen.iter().flat_map(|addresses| &addresses.0);
        if let Some(listen) = listens.find(|listen| listen.tls && tls.tls_cert.is_empty()) {
            return Some(format!("--listen {listen} needs a certificate; give --tls-cert"));
        }
        let Drain { timeout, spread, .. } = self.drain();
        if spread > timeout {
            let [spread, timeout] = [spread, timeout].map(humantime::format_duration);
            return Some(format!(
                "--drain-spread {spread} is longer than --drain-timeout {timeout}, which ends it"
            ));
        }
        if let Some(all) = limits.memory_limit.filter(|all| *all < limits.buffer) {
            let [all, one] = [all, limits.buffer].map(|bytes| ByteSize(bytes as u64));
            return Some(format!("--memory-limit {all} is less than the --buffer {one} of one"));
        }
        let ServerConfig { handoff_capacity, workers, .. } = self.config();
        let of_all = handoff_capacity.get().saturating_mul(workers.get());
        let (least, most) = ranges::HANDOFF_CAPACITY_OF_ALL.into_inner();
        if of_all > most {
            return Some(format!(
                "--handoff-capacity times --workers is {of_all}; choose from {least} to {most}"
            ));
        }
        if let (Some(ListenAddress::Tcp(address)), false) =
            (&observability.admin, observability.admin_remote)
            && !address.ip().is_loopback()
        {
            return Some(Error::AdminRemote { address: *address }.to_string());
        }
        if let (Some(admin), Some(agent)) = (&observability.admin, &observability.agent)
            && admin == agent
            && !has_free_port(admin)
        {
            return Some(format!(
                "--admin and --agent are both {admin}; give each its own address"
            ));
        }
        let conflict =
            if !listening.proxy_trust.is_empty() && listening.proxy_protocol == ProxyMode::Off {
                "--proxy-trust has no effect without --proxy-protocol require or optional"
            } else if service.work.is_some() && service.service != ServiceName::Work {
                "--work has no effect without --service work"
            } else if observability.no_timings && sharding.placement == Placement::LeastLoaded {
                "--placement least-loaded needs the busy times that --no-timings leaves out"
            } else if observability.no_timings && observability.agent.is_some() {
                "--agent answers with the busy times that --no-timings leaves out"
            } else {
                return None;
            };
        Some(conflict.to_owned())
    }

    /// Reads the certificates. An error names the flag.
    pub(crate) fn load_certificates(&mut self) -> Result<(), String> {
        self.tls_server = self.tls.load()?;
        Ok(())
    }

    fn drain(&self) -> Drain {
        let ShutdownFlags { drain_delay, drain_timeout, drain_spread, .. } = &self.shutdown;
        Drain { delay: *drain_delay, timeout: *drain_timeout, spread: *drain_spread }
    }

    pub(crate) fn start_logging(&self) -> Result<RunningLog, LogError> {
        let (format, level) = self.log_format_and_level();
        logger::start(format, level, self.observability.log_file.clone())
    }

    pub(crate) fn log_format_and_level(&self) -> (LogFormat, LevelFilter) {
        (self.observability.log_format, self.observability.log_level)
    }

    pub(crate) fn admin(&self) -> Option<AdminConfig> {
        let ObservabilityFlags { admin, admin_remote, admin_host, .. } = &self.observability;
        admin.clone().map(|address| AdminConfig {
            address,
            allow_remote: *admin_remote,
            hosts: admin_host.clone(),
        })
    }

    pub(crate) fn agent(&self) -> Option<&ListenAddress> {
        self.observability.agent.as_ref()
    }

    pub(crate) fn upgrade(&self) -> Upgrade {
        let ShutdownFlags { upgrade_from, upgrade_socket, .. } = &self.shutdown;
        let offer = upgrade_socket.clone().or_else(|| upgrade_from.clone());
        Upgrade { from: upgrade_from.clone(), offer }
    }

    pub(crate) fn config(&self) -> ServerConfig {
        let Self { listening, sharding, limits, observability, .. } = self;
        let defaults = ServerConfig::default();
        let accept = sharding.accept.unwrap_or(defaults.accept);
        ServerConfig {
            listen: if listening.listen.is_empty() {
                defaults.listen
            } else {
                listening.listen.iter().flat_map(|addresses| addresses.0.clone()).collect()
            },
            tls: self.tls_server.clone(),
            backlog: listening.backlog,
            unix_mode: listening.unix_mode,
            workers: sharding.workers.unwrap_or_else(|| ServerConfig::workers_for(accept)),
            pin: defaults.pin && !sharding.no_pin,
            base: Config::default().backend(sharding.backend).changelist(sharding.changelist),
            accept,
            placement: sharding.placement,
            handoff_capacity: sharding.handoff_capacity,
            connections_max: limits.max_connections,
            connections_per_source: limits.max_connections_per_source.0,
            accept_rate: limits.accept_rate.0,
            bytes_per_second: limits.total_bytes_per_second.0,
            memory_limit: limits.memory_limit.unwrap_or(defaults.memory_limit),
            overload: limits.overload,
            limits: Limits {
                first_byte: limits.first_byte_timeout.0,
                idle: limits.idle_timeout.0,
                message: limits.message_timeout.0,
                age: limits.max_connection_age.0,
                bytes_per_second: limits.bytes_per_second.0,
                buffer_bytes: limits.buffer,
            },
            proxy: ProxyProtocol {
                mode: listening.proxy_protocol,
                trusted: listening.proxy_trust.clone(),
            },
            drain: self.drain(),
            measure: Measure {
                timings: !observability.no_timings,
                slow_callback: observability.slow_callback,
            },
        }
    }
}

/// Whether the kernel chooses the port.
fn has_free_port(address: &ListenAddress) -> bool {
    matches!(address, ListenAddress::Tcp(address) if address.port() == 0)
}
