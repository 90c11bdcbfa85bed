//! `evshard serve`: starts, serves until the shutdown, drains, reports.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use evshard::server::stats::ServerStats;
use evshard::server::upgrade::{Offer, TakeOver, UpgradeSocket, take_over};
use evshard::server::{
    Chargen, Discard, Echo, ListenAddress, Listener, Server, ServerConfig, listener,
    service_manager,
};
use evshard::{Config, EventBase, EventSpec, Fired, Registry, Remote};

use super::flags::{Serve, ServiceName};
use super::print;

/// How long a successor retries to open the admin's address, which the other server releases once
/// it is succeeded.
const ADMIN_ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);

/// The context of the program's own base, which handles signals and shutdown requests.
struct Program {
    server: Option<Server>,
    offer: Option<Offer>,
    remote: Remote<Self>,
    report: Option<evshard::server::Result<ServerStats>>,
}

/// Why the server shuts down.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ShutdownReason {
    /// A signal or the admin requested it.
    Requested,
    /// Another process has the listening sockets.
    Succeeded,
}

/// Runs `evshard serve` to its end.
pub(crate) fn run(flags: &Serve) -> Result<(), Box<dyn Error>> {
    let mut base = EventBase::<Program>::new(Config::default())?;
    // Before anything else, so that a signal during the start is not lost.
    for number in [libc::SIGINT, libc::SIGTERM] {
        let signal = base.registry().create(EventSpec::signal(number).persist(), on_signal);
        base.registry().add(signal, None)?;
    }
    flags.start_logging();
    raise_descriptor_limit();
    let remote = base.remote();
    let mut program = Program { server: None, offer: None, remote, report: None };
    program.start(flags)?;
    base.run_until_exit(&mut program)?;
    let report = program.report.take().expect("the report ends the loop")?;
    print(io::stdout(), format_args!("{report}"));
    Ok(())
}

/// Every connection needs a descriptor, and the soft limit is often far below the hard one. The
/// server also runs if it cannot raise the limit.
fn raise_descriptor_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        let effect = match rlimit::Resource::NOFILE.get_soft() {
            Ok(limit) => format!("fewer than {limit} connections can be open"),
            Err(_) => "it limits how many connections can be open".to_owned(),
        };
        log::warn!(
            target: "machine", error:%; "the limit of open files cannot be raised: {effect}"
        );
    }
}

impl Program {
    /// Starts the server, the admin and the offer to a successor, and reports that it is ready.
    fn start(&mut self, flags: &Serve) -> Result<(), Box<dyn Error>> {
        let (config, upgrade) = (flags.config(), flags.upgrade());
        let (listeners, taken) = listeners(&config, upgrade.from.as_deref())?;
        let copies = match &upgrade.offer {
            Some(_) => listeners.iter().map(Listener::duplicate).collect::<Result<Vec<_>, _>>()?,
            None => Vec::new(),
        };
        let mut server = serve(flags, &config, listeners)?;
        let succeeds = taken.is_some();
        let upgrade_socket = match taken.map(TakeOver::ready) {
            Some(Ok(socket)) => Some(socket),
            Some(Err(error)) => {
                // The other server goes on, and also serves the kernel's backlog.
                server.hand_over()?;
                return Err(error.into());
            }
            None => upgrade.offer.as_deref().map(UpgradeSocket::open).transpose()?,
        };
        let admin = self.start_admin(flags, &mut server, succeeds)?;
        self.offer = upgrade_socket
            .map(|socket| Offer::start(socket, copies, self.succeeded()))
            .transpose()?;
        for address in server.addresses() {
            print(io::stdout(), format_args!("listening on {address}\n"));
        }
        if let Some(address) = admin {
            print(io::stdout(), format_args!("admin on {address}\n"));
        }
        self.server = Some(server);
        service_manager::ready();
        Ok(())
    }

    /// Starts the admin if it is configured, and returns its address. A server that has succeeded
    /// another serves without an admin rather than not at all.
    fn start_admin(
        &self,
        flags: &Serve,
        server: &mut Server,
        succeeds: bool,
    ) -> evshard::server::Result<Option<ListenAddress>> {
        let Some(admin) = flags.admin() else { return Ok(None) };
        let deadline = Instant::now() + ADMIN_ADDRESS_TIMEOUT;
        loop {
            match server.admin(&admin, self.shutdown_trigger(ShutdownReason::Requested)) {
                Ok(address) => return Ok(Some(address)),
                Err(_) if succeeds && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) if succeeds => {
                    log::error!(target: "serve", error:%; "serving without the admin");
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns a function that shuts down in favour of another process, on any thread. The service
    /// manager must be notified by the process that it knows, before that one ends.
    fn succeeded(&self) -> impl FnOnce(u32) + Send + 'static + use<> {
        let mut shut_down = self.shutdown_trigger(ShutdownReason::Succeeded);
        move |process| {
            service_manager::succeeded_by(process);
            shut_down();
        }
    }

    /// Returns a function that starts the shutdown from any thread.
    fn shutdown_trigger(&self, why: ShutdownReason) -> impl FnMut() + Send + 'static + use<> {
        let remote = self.remote.clone();
        move || {
            // If the loop has ended, the shutdown is complete.
            let _ = remote.post(move |_, program| program.begin_shutdown(why));
        }
    }

    /// Starts the shutdown. The loop goes on meanwhile, for a second signal.
    fn begin_shutdown(&mut self, why: ShutdownReason) {
        let Some(server) = self.server.take() else { return };
        log::info!(target: "serve", "draining; a second signal ends the server at once");
        // Its duplicates would keep the kernel queueing connections that no process accepts.
        self.offer = None;
        let remote = self.remote.clone();
        std::thread::spawn(move || {
            let report = match why {
                ShutdownReason::Requested => {
                    service_manager::stopping();
                    server.drain()
                }
                ShutdownReason::Succeeded => server.hand_over(),
            };
            remote.post(|registry, program| {
                program.report = Some(report);
                registry.loop_exit();
            })
        });
    }
}

/// The listeners: taken over from another server, inherited from a service manager, or opened now.
fn listeners(
    config: &ServerConfig,
    from: Option<&std::path::Path>,
) -> evshard::server::Result<(Vec<Listener>, Option<TakeOver>)> {
    if let Some(path) = from {
        return take_over(path).map(|(listeners, taken)| (listeners, Some(taken)));
    }
    let listeners = match listener::inherited()? {
        Some(inherited) => inherited,
        None => listener::open(config)?,
    };
    Ok((listeners, None))
}

fn serve(
    flags: &Serve,
    config: &ServerConfig,
    listeners: Vec<Listener>,
) -> evshard::server::Result<Server> {
    match flags.service.service {
        ServiceName::Echo => Server::start_on(config, listeners, Echo),
        ServiceName::Discard => Server::start_on(config, listeners, Discard),
        ServiceName::Chargen => Server::start_on(config, listeners, Chargen),
        ServiceName::Work => Server::start_on(config, listeners, flags.service.work.clone()),
    }
}

/// The first signal starts the shutdown. The second exits at once, with the status that a shell
/// reports for a killed process.
fn on_signal(_: &mut Registry<Program>, program: &mut Program, fired: Fired) {
    if program.server.is_none() {
        std::process::exit(128 + fired.signal().unwrap_or_default());
    }
    program.begin_shutdown(ShutdownReason::Requested);
}
