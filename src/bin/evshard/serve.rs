//! `evshard serve`: start, serve until told to leave, drain, report.

use std::error::Error;
use std::io;

use evshard::server::stats::ServerStats;
use evshard::server::{Chargen, Discard, Echo, Server, ServerConfig, Service};
use evshard::{Config, EventBase, EventSpec, Fired, Registry, Remote};

use crate::flags::{Serve, ServiceName};
use crate::say;

/// The context of the program's own base: signals, and whoever else asks it to leave.
struct Program {
    server: Option<Server>,
    remote: Remote<Self>,
    report: Option<evshard::Result<ServerStats>>,
}

/// See the module's documentation.
pub(crate) fn run(flags: &Serve) -> Result<(), Box<dyn Error>> {
    let mut base = EventBase::<Program>::new(Config::default())?;
    // Before anything else, so that a signal during the start is not lost.
    for number in [libc::SIGINT, libc::SIGTERM] {
        let told = base.registry().create(EventSpec::signal(number).persist(), on_signal);
        base.registry().add(told, None)?;
    }
    // Every connection is a descriptor; the soft limit is often far below the hard one. Failing
    // to raise it is no reason not to serve.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    flags.start_logging();
    let mut server = start(flags)?;
    for address in server.addresses() {
        say(io::stdout(), format_args!("listening on {address}\n"));
    }
    let remote = base.remote();
    if let Some(admin) = flags.admin() {
        let remote = remote.clone();
        let address = server.admin(&admin, move || {
            // If the program has left its loop, it is leaving.
            let _ = remote.post(|_, program| program.leave());
        })?;
        say(io::stdout(), format_args!("admin on {address}\n"));
    }
    let mut program = Program { server: Some(server), remote, report: None };
    base.run_until_exit(&mut program)?;
    let report = program.report.take().expect("it is the report that ends the loop")?;
    say(io::stdout(), format_args!("{report}"));
    Ok(())
}

fn start(flags: &Serve) -> evshard::Result<Server> {
    fn with(config: &ServerConfig, service: impl Service) -> evshard::Result<Server> {
        Server::start(config, service)
    }
    let config = flags.config();
    match flags.service.service {
        ServiceName::Echo => with(&config, Echo),
        ServiceName::Discard => with(&config, Discard),
        ServiceName::Chargen => with(&config, Chargen),
        ServiceName::Work => with(&config, flags.service.work.clone()),
    }
}

impl Program {
    /// Begins to leave. The loop goes on meanwhile, for a second signal.
    fn leave(&mut self) {
        let Some(server) = self.server.take() else { return };
        log::info!(target: "serve", "the server drains and leaves; a second signal ends it at once");
        let remote = self.remote.clone();
        std::thread::spawn(move || {
            let report = server.drain();
            remote.post(|registry, program| {
                program.report = Some(report);
                registry.loop_exit();
            })
        });
    }
}

/// The first asks, the second means now, with the status a shell gives a process it killed.
fn on_signal(_: &mut Registry<Program>, program: &mut Program, fired: Fired) {
    if program.server.is_none() {
        std::process::exit(128 + fired.signal().unwrap_or_default());
    }
    program.leave();
}
