//! `evshard serve`: starts, serves until the shutdown, drains, reports.

use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use evshard::server::stats::ServerStats;
use evshard::server::upgrade::{Abort, UpgradeSocket, take_over};
use evshard::server::{
    Chargen, Discard, Echo, ListenAddress, Listener, Server, ServerConfig, ThreadFailure, listener,
    prepare_for_address_limit, service_manager,
};
use evshard::{Config, EventBase, EventSpec, Fired, Handler, Registry, Remote};

use super::config_file::{Configuration, Settings};
use super::flags::{Serve, ServiceName};
use super::logger::RunningLog;
use super::output_queue::{OutputQueue, start_thread, write_text};
use super::reload::{Read, Reloader, Report};

/// A server with fewer descriptors than most systems give a process may soon lack one.
const DESCRIPTORS_FEW: u64 = 1024;

/// How long a successor retries to open the addresses of admin and agent, which the other server
/// releases once it is succeeded.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// The context of the program's own base, which handles signals and shutdown requests.
struct Program {
    phase: Phase,
    /// Whether a signal came too late to prevent a take-over. The server ends as soon as it serves.
    ends_at_once: bool,
    /// While it serves.
    server: Option<Server>,
    remote: Remote<Self>,
    /// Takes the server that is to be drained.
    drain: Sender<Server>,
    stdout: Arc<OutputQueue>,
    log: RunningLog,
    /// What the flags are set to; a reload changes some.
    settings: Settings,
    /// If there are files that can be read again: a configuration, or certificates.
    reloader: Option<Reloader>,
    report: Option<evshard::server::Result<ServerStats>>,
}

/// What the program does, and therefore what a signal means.
enum Phase {
    /// Nothing was accepted yet.
    Starting,
    /// The server accepts on sockets that another server has not handed over yet.
    TakingOver {
        abort: Abort,
        aborted_by: Option<i32>,
    },
    Serving,
    /// It is being drained. A successor or the admin may have caused it without a signal.
    Draining {
        signalled: bool,
    },
}

/// Runs `evshard serve` to its end.
pub(crate) fn run(configuration: Configuration) -> Result<(), Box<dyn Error>> {
    let Configuration { flags, settings, arguments } = configuration;
    prepare_for_address_limit();
    let mut base = EventBase::<Program>::new(Config::default())?;
    // Before anything else, so that a signal during the start is not lost.
    handle_signals(base.registry())?;
    let log = flags.start_logging()?;
    let stdout = OutputQueue::start("stdout", |batch| {
        // A closed output must not end the server.
        batch.texts.iter().for_each(|text| drop(write_text(io::stdout(), text, None)));
    })?;
    raise_descriptor_limit();
    let remote = base.remote();
    let drain = start_drain_thread(remote.clone())?;
    let has_files = flags.file.config.is_some() || flags.tls_server.is_some();
    let reloader = has_files.then(|| start_reloader(arguments, remote.clone())).transpose()?;
    let mut program = Program {
        phase: Phase::Starting,
        ends_at_once: false,
        server: None,
        remote,
        drain,
        stdout,
        log,
        settings,
        reloader,
        report: None,
    };
    let done = program.serve(&mut base, &flags);
    program.flush();
    // A dropped base no longer handles the signals, and one that comes now would change the exit
    // status.
    std::mem::forget(base);
    done
}

fn handle_signals(registry: &mut Registry<Program>) -> evshard::Result<()> {
    let mut handle = |number, handler: Handler<Program>| {
        let signal = registry.create(EventSpec::signal(number).persist(), handler);
        registry.add(signal, None)
    };
    for number in [libc::SIGINT, libc::SIGTERM, libc::SIGQUIT] {
        handle(number, on_end_signal)?;
    }
    handle(libc::SIGHUP, on_reload_signal)?;
    handle(libc::SIGUSR1, on_reopen_signal)?;
    handle(libc::SIGUSR2, |_, _, _| log::info!(target: "serve", "SIGUSR2 is ignored"))?;
    // A file at its maximum size is an error of the write, and not the end of the server.
    handle(libc::SIGXFSZ, |_, _, _| {})
}

/// Starts the thread that drains the server, because draining blocks and the loop waits for a
/// second signal meanwhile. At the end the process may have no room for another thread.
fn start_drain_thread(remote: Remote<Program>) -> io::Result<Sender<Server>> {
    let (sender, servers) = mpsc::channel::<Server>();
    start_thread("drain", move || {
        let Ok(mut server) = servers.recv() else { return };
        if server.begin_drain().is_none() {
            service_manager::stopping();
        }
        let report = server.drain();
        // If the loop has ended, nothing waits for the report.
        let _ = remote.post(|registry, program| {
            program.report = Some(report);
            registry.loop_exit();
        });
    })?;
    Ok(sender)
}

/// Starts the thread that reads the configuration file and the certificates again.
fn start_reloader(arguments: Vec<OsString>, remote: Remote<Program>) -> io::Result<Reloader> {
    Reloader::start(arguments, move |read, request| {
        // If the loop has ended, the request is dropped, which answers it.
        let _ = remote.post(|_, program| {
            let answer = program.reload(read);
            if let Some(request) = request {
                request.answer(answer);
            }
        });
    })
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

/// Logs how many connections the process can have, and how much memory they can take.
fn log_limits(config: &ServerConfig) {
    if let Ok(limit) = rlimit::Resource::NOFILE.get_soft() {
        let advice = if limit < DESCRIPTORS_FEW { "; raise it (ulimit -n) for more" } else { "" };
        log::info!(target: "machine", "fewer than {limit} connections can be open{advice}");
    }
    let memory = ByteSize(config.memory_limit as u64);
    log::info!(target: "machine", "the buffers of all connections may hold {memory}");
}

impl Program {
    /// Serves until the shutdown, and prints the report.
    fn serve(&mut self, base: &mut EventBase<Self>, flags: &Serve) -> Result<(), Box<dyn Error>> {
        self.start(base, flags)?;
        base.run_until_exit(self)?;
        let report = self.report.take().expect("the report ends the loop")?;
        self.stdout.put(report.to_string());
        Ok(())
    }

    /// Waits until what was logged and printed is written, for at most a second each: a reader that
    /// stalls must not keep the program from ending.
    fn flush(&self) {
        self.stdout.flush();
        log::logger().flush();
    }

    /// Ends the program at once, with the status that a shell reports for a killed process.
    fn exit(&self, signal: i32) -> ! {
        self.flush();
        std::process::exit(128 + signal)
    }

    /// Starts the server, the admin and the offer to a successor, and reports that it is ready.
    fn start(&mut self, base: &mut EventBase<Self>, flags: &Serve) -> Result<(), Box<dyn Error>> {
        let (config, upgrade) = (flags.config(), flags.upgrade());
        let (mut server, upgrade_socket) = match &upgrade.from {
            Some(path) => {
                let (server, socket) = self.take_over(base, flags, &config, path)?;
                (server, Some(socket))
            }
            None => {
                let inherited = listener::inherited()?;
                let listeners = inherited.map_or_else(|| listener::open(&config), Ok)?;
                let server = serve(flags, &config, listeners)?;
                (server, upgrade.offer.as_deref().map(UpgradeSocket::open).transpose()?)
            }
        };
        let succeeds = upgrade.from.is_some();
        let admin = self.start_admin(flags, &mut server, succeeds)?;
        let agent = match flags.agent() {
            Some(address) => start_beside("agent", succeeds, || server.agent(address))?,
            None => None,
        };
        if let Some(socket) = upgrade_socket {
            let offered = server.offer(socket, self.succeeded());
            // One that has succeeded another serves rather than not at all.
            offered.or_else(|error| match upgrade.from {
                Some(_) => {
                    log::error!(target: "serve", error:%; "no server can take over from this one");
                    Ok(())
                }
                None => Err(error),
            })?;
        }
        for listen in server.listening() {
            self.stdout.put(format!("listening on {listen}\n"));
        }
        if flags.tls_server.is_some() && !server.listening().iter().any(|listen| listen.tls) {
            log::warn!(
                target: "serve", "no listener has TLS, so --tls-cert has no effect; write --listen \
                 tls:ADDR:PORT, or FileDescriptorName=tls for the socket of a service manager"
            );
        }
        for (name, address) in [("admin", admin), ("agent", agent)] {
            if let Some(address) = address {
                self.stdout.put(format!("{name} on {address}\n"));
            }
        }
        let failed = self.failed();
        self.server.insert(server).on_failure(failed);
        self.phase = Phase::Serving;
        service_manager::ready();
        log_limits(&config);
        if self.ends_at_once {
            self.begin_shutdown();
        }
        Ok(())
    }

    /// Takes the sockets from the server that offers them at `path`, and starts a server on them.
    ///
    /// A signal ends it before the other server has handed over: that one goes on, and also serves
    /// the kernel's backlog. Later the sockets are this process's, and a signal drains its server.
    fn take_over(
        &mut self,
        base: &mut EventBase<Self>,
        flags: &Serve,
        config: &ServerConfig,
        path: &Path,
    ) -> Result<(Server, UpgradeSocket), Box<dyn Error>> {
        let from = path.to_owned();
        let (listeners, taken) = self.wait_for(base, move || take_over(&from))??;
        let abort = taken.abort_handle()?;
        let server = serve(flags, config, listeners)?;
        self.phase = Phase::TakingOver { abort, aborted_by: None };
        let answer = self.wait_for(base, move || taken.ready());
        let answer = answer.and_then(|answer| Ok(answer?));
        let Phase::TakingOver { aborted_by, .. } =
            std::mem::replace(&mut self.phase, Phase::Starting)
        else {
            unreachable!("nothing else ends this phase");
        };
        match (answer, aborted_by) {
            (Ok(socket), aborted_by) => {
                self.ends_at_once = aborted_by.is_some();
                Ok((server, socket))
            }
            (Err(error), aborted_by) => {
                server.withdraw()?;
                match aborted_by {
                    Some(signal) => self.exit(signal),
                    None => Err(error),
                }
            }
        }
    }

    /// Makes a call that blocks, on a thread of its own, and runs the loop meanwhile, so that
    /// signals are handled.
    fn wait_for<T: Send + 'static>(
        &mut self,
        base: &mut EventBase<Self>,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Box<dyn Error>> {
        let (sender, result) = mpsc::channel();
        let remote = self.remote.clone();
        start_thread("take-over", move || {
            let _ = sender.send(call());
            let _ = remote.post(|registry, _| registry.loop_exit());
        })?;
        base.run_until_exit(self)?;
        Ok(result.recv()?)
    }

    /// Starts the admin if it is configured, and returns its address.
    fn start_admin(
        &self,
        flags: &Serve,
        server: &mut Server,
        succeeds: bool,
    ) -> evshard::server::Result<Option<ListenAddress>> {
        let Some(admin) = flags.admin() else { return Ok(None) };
        start_beside("admin", succeeds, || {
            if let Some(reloader) = self.reloader.clone() {
                server.on_reload(move |request| reloader.reload(Some(request)));
            }
            server.admin(&admin, self.shutdown_trigger())
        })
    }

    /// Returns a function for the moment at which another process has the sockets. The service
    /// manager must be notified by the process that it knows, before that one ends.
    fn succeeded(&self) -> impl FnOnce(u32) + Send + 'static + use<> {
        let mut shut_down = self.shutdown_trigger();
        move |process| {
            service_manager::succeeded_by(process);
            shut_down();
        }
    }

    /// Returns a function for the moment at which a thread of the server ends before its time. The
    /// program then ends with the error as its status: another process can serve, a server that
    /// lacks a thread cannot.
    fn failed(&self) -> impl FnOnce(ThreadFailure) + Send + 'static + use<> {
        let mut shut_down = self.shutdown_trigger();
        move |ThreadFailure { thread, reason }| {
            log::error!(
                target: "serve", thread, error = reason; "a thread ended; the server stops"
            );
            shut_down();
        }
    }

    /// Returns a function that starts the shutdown from any thread.
    fn shutdown_trigger(&self) -> impl FnMut() + Send + 'static + use<> {
        let remote = self.remote.clone();
        move || {
            // If the loop has ended, the shutdown is complete.
            let _ = remote.post(|_, program| program.begin_shutdown());
        }
    }

    /// Applies what can change of a configuration that was read, and logs it. Returns lines about
    /// each key, or why nothing has changed.
    fn reload(&mut self, read: Read) -> Result<String, String> {
        let reloaded = self.apply(read);
        match &reloaded {
            Ok(report) => {
                let Report { applied, read_again, need_restart, .. } = report;
                let [applied, read_again, need_restart] =
                    [applied, read_again, need_restart].map(|keys| list(keys));
                log::info!(
                    target: "reload", applied, read_again, need_restart;
                    "the configuration was read"
                );
            }
            Err(reason) => log::error!(
                target: "reload", error = reason.trim_end();
                "the configuration was not reloaded; the server keeps the one that it has"
            ),
        }
        reloaded.map(|report| report.to_string())
    }

    fn apply(&mut self, read: Read) -> Result<Report, String> {
        let Configuration { flags, settings, .. } = read.map_err(|refusal| refusal.in_lines())?;
        let Some(server) = &mut self.server else {
            return Err("the server has not started yet, or it drains\n".to_owned());
        };
        let silent = server.reconfigure(&flags.config()).map_err(|error| format!("{error}\n"))?;
        if silent > 0 {
            log::warn!(target: "reload", threads = silent; "busy threads apply the change later");
        }
        let (format, level) = flags.log_format_and_level();
        self.log.change(format, level);
        Ok(Report::update(&mut self.settings, settings))
    }

    /// Starts the shutdown, unless it has begun. The loop goes on meanwhile, for a second signal.
    fn begin_shutdown(&mut self) {
        let Some(server) = self.server.take() else { return };
        self.phase = Phase::Draining { signalled: false };
        log::info!(target: "serve", "draining; a second signal ends the server at once");
        self.drain.send(server).expect("its thread waits for the server");
    }
}

/// Starts what answers operators beside the server, and returns its address. The address may be the
/// other server's for a moment. A server that has succeeded another serves rather without this than
/// not at all.
fn start_beside(
    name: &str,
    succeeds: bool,
    mut start: impl FnMut() -> evshard::server::Result<ListenAddress>,
) -> evshard::server::Result<Option<ListenAddress>> {
    let deadline = Instant::now() + RELEASE_TIMEOUT;
    loop {
        match start() {
            Ok(address) => return Ok(Some(address)),
            Err(_) if succeeds && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) if succeeds => {
                log::error!(target: "serve", error:%; "serving without the {name}");
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
    }
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
        ServiceName::Work => {
            Server::start_on(config, listeners, flags.service.work.clone().unwrap_or_default())
        }
    }
}

/// The first signal starts the shutdown if nothing else has. The second ends the program at once.
/// So does the first if there is nothing to drain.
fn on_end_signal(_: &mut Registry<Program>, program: &mut Program, fired: Fired) {
    let number = fired.signal().unwrap_or_default();
    program.begin_shutdown();
    match &mut program.phase {
        Phase::Draining { signalled: signalled @ false } => *signalled = true,
        Phase::TakingOver { abort, aborted_by: aborted_by @ None } => {
            log::info!(target: "serve", "ending; the other server goes on if it still can");
            *aborted_by = Some(number);
            abort.abort();
        }
        _ => program.exit(number),
    }
}

/// A program that rotates the log sends this or SIGHUP, after it renamed the file.
fn on_reopen_signal(_: &mut Registry<Program>, program: &mut Program, _: Fired) {
    if !program.log.reopen() {
        log::info!(target: "serve", "SIGUSR1 is ignored, because there is no --log-file");
    }
}

/// An operator or a service manager sends this, after the configuration file or a certificate was
/// changed.
fn on_reload_signal(_: &mut Registry<Program>, program: &mut Program, _: Fired) {
    let reopens = program.log.reopen();
    match &program.reloader {
        Some(reloader) => reloader.reload(None),
        None if reopens => {}
        None => log::info!(
            target: "serve",
            "SIGHUP is ignored, because there is no --config, no --tls-cert and no --log-file"
        ),
    }
}

/// Names in a field of the log.
fn list(keys: &[String]) -> String {
    if keys.is_empty() { "none".to_owned() } else { keys.join(" ") }
}
