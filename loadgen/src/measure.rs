//! A measurement from its plan to its record. It makes the runs, each with a new server if it
//! starts one, adds them up, and judges them.

use std::collections::BTreeMap;

use crate::console;
use crate::engine::{self, Interval, Observer, RunOutcome};
use crate::environment::{Environment, Steal};
use crate::error::Error;
use crate::exit;
use crate::fleet::Fleet;
use crate::interrupt::Interrupt;
use crate::latency::{Batches, Latencies, Samples};
use crate::options::Options;
use crate::record::{
    ArgsRecord, Counters, KeyValueRecord, LatenciesRecord, RateRecord, Record, RunRecord, SCHEMA,
    ServerMetricsRecord, ServerRecord, StatusesRecord, TextValue, TlsRecord, Validity, Verdict,
};
use crate::server::{MetricsReader, Server};
use crate::slo::Slo;
use crate::validity;

/// The result of a measurement.
#[derive(Debug, Clone)]
pub(crate) struct Measurement {
    /// The numbers.
    pub(crate) record: Record,
    /// The full distributions of all runs together.
    pub(crate) latencies: Latencies,
    /// The latencies of each run in batches.
    pub(crate) batches: Vec<Batches>,
}

impl Measurement {
    /// Adds up the runs of one plan, and checks the objectives.
    pub(crate) fn of(
        args: ArgsRecord,
        env: Environment,
        runs: Vec<RunRecord>,
        latencies: Latencies,
        batches: Vec<Batches>,
        objectives: &[Slo],
    ) -> Self {
        let samples = Samples { mode: args.mode, latencies: &latencies, runs: &batches };
        let mut record = combine(args, env, runs, &latencies, LatenciesRecord::new(&samples));
        record.slo = objectives.iter().map(|slo| slo.check(&record, &samples)).collect();
        Self { record, latencies, batches }
    }

    /// The exit code of a program that ends with this measurement.
    pub(crate) fn exit_code(&self) -> u8 {
        Self::exit_code_of(&self.record)
    }

    /// The exit code of a program that ends with a measurement of this record.
    pub(crate) fn exit_code_of(record: &Record) -> u8 {
        if record.interrupted {
            exit::INTERRUPTED
        } else if record.counters.has_errors() || record.counters.measured == 0 {
            exit::FAILED
        } else if record.validity.verdict == Verdict::Invalid {
            exit::INVALID
        } else if record.slo.iter().any(|slo| slo.met != Some(true)) {
            exit::MISSED
        } else {
            exit::OK
        }
    }
}

/// What loads the server: this process, or agents. These start with the first measurement of a
/// command, and stay for all of them.
#[derive(Debug, Default)]
pub(crate) struct Loader {
    fleet: Option<Fleet>,
}

impl Loader {
    /// The agents, if the options name some.
    fn fleet(
        &mut self,
        options: &Options,
        interrupt: &Interrupt,
    ) -> Result<Option<&mut Fleet>, Error> {
        if let (Some(agents), None) = (&options.agents, &self.fleet) {
            self.fleet = Some(Fleet::assemble(&agents.source, interrupt)?);
        }
        Ok(self.fleet.as_mut())
    }

    /// Fails if an agent was lost: then the load was not the requested one, and no further one is.
    pub(crate) fn expect_whole(&self) -> Result<(), Error> {
        self.fleet.as_ref().map_or(Ok(()), Fleet::expect_whole)
    }
}

/// The runs of a plan that were made.
#[derive(Debug)]
pub(crate) struct Measured {
    /// At least one run.
    pub(crate) measurement: Measurement,
    /// What prevented the next one.
    pub(crate) failure: Option<Error>,
}

/// Carries out the plan. An error is returned only if there is no run to report.
pub(crate) fn measure(
    options: &Options,
    loader: &mut Loader,
    interrupt: &Interrupt,
    observer: &mut dyn Observer,
) -> Result<Measured, Error> {
    let fleet = loader.fleet(options, interrupt)?;
    if fleet.is_none() {
        for note in engine::limits::provide(options, options.connections)? {
            if !options.output.quiet {
                console::say(&note);
            }
        }
    }
    let (target, pinned) = (options.target.clone(), options.pinned().map(Iterator::collect));
    // It resolves the name of the target.
    let captured = interrupt.or(move || Environment::capture(&target, pinned));
    let mut env = captured.ok_or(Error::Interrupted)?;
    if let Some(path) = &options.calibration {
        env.calibrate_by(path)?;
    }
    let mut runs = Runs::new(options, env, fleet);
    let mut failure = None;
    for number in 1..=options.runs {
        failure = runs.make(number, interrupt, observer).err();
        if failure.is_some() || runs.records.last().is_some_and(|run| run.interrupted) {
            break;
        }
    }
    if runs.records.is_empty()
        && let Some(error) = failure
    {
        return Err(error);
    }
    let measured = runs.records.len() as u32;
    let mut measurement = runs.measurement();
    let failure = match failure {
        Some(Error::Interrupted) => {
            measurement.record.interrupted = true;
            None
        }
        Some(source) if measured < options.runs => Some(Error::LaterRun {
            number: measured + 1,
            runs: options.runs,
            source: Box::new(source),
        }),
        failure => failure,
    };
    Ok(Measured { measurement, failure })
}

/// As [`measure`], without an observer; nothing if it was interrupted. One that has lost an agent
/// is an error: it was not the requested load, and the same command can make it again.
pub(crate) fn measure_whole(
    options: &Options,
    loader: &mut Loader,
    interrupt: &Interrupt,
) -> Result<Option<Measured>, Error> {
    if interrupt.is_requested() {
        return Ok(None);
    }
    let measured = match measure(options, loader, interrupt, &mut ()) {
        Err(Error::Interrupted) => return Ok(None),
        measured => measured?,
    };
    if measured.measurement.record.interrupted {
        return Ok(None);
    }
    loader.expect_whole()?;
    Ok(Some(measured))
}

/// The runs of one plan so far.
struct Runs<'a> {
    options: &'a Options,
    fleet: Option<&'a mut Fleet>,
    args: ArgsRecord,
    env: Environment,
    records: Vec<RunRecord>,
    latencies: Latencies,
    batches: Vec<Batches>,
}

impl<'a> Runs<'a> {
    fn new(options: &'a Options, env: Environment, fleet: Option<&'a mut Fleet>) -> Self {
        let args = ArgsRecord::from(options);
        let (records, latencies, batches) = (Vec::new(), Latencies::new(), Vec::new());
        Self { options, fleet, args, env, records, latencies, batches }
    }

    /// Makes one run. Starts its server, if it has one of its own, watches the server, and stops
    /// it. If the server cannot be stopped, the run is there all the same.
    fn make(
        &mut self,
        number: u32,
        interrupt: &Interrupt,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let options = self.options;
        let server = options.server.as_ref();
        let mut server =
            server.map(|source| Server::start(source, options, interrupt)).transpose()?;
        if let Some(cpus) = server.as_ref().and_then(Server::cpus_allowed) {
            self.env.server_may_use(&cpus);
        }
        let pacing = engine::choose_pacing(options, &self.env);
        self.args.pacing = TextValue::of(pacing);
        let seed = options.seed_of_run(number);
        let options = &Options { pacing, seed, ..options.clone() };
        let start = |address| MetricsReader::start(address, interrupt);
        let metrics = options.server_metrics.as_ref().map(start);
        let metrics = metrics.transpose().map_err(Error::Start)?;
        let mut observer = MetricsObserver { observer, metrics };
        let before = Steal::now();
        let outcome = match &mut self.fleet {
            Some(fleet) => fleet.run(options, interrupt, number, server.as_mut(), &mut observer),
            None => engine::run(options, interrupt, number, server.as_mut(), &mut observer),
        };
        let after = Steal::now();
        // Before the server ends.
        let server_metrics = observer.metrics.map(MetricsReader::finish);
        let stopped = server.map_or(Ok(()), Server::stop);
        let RunOutcome { record: mut run, latencies, batches } = outcome?;
        run.server_metrics = server_metrics;
        if self.fleet.is_some() {
            self.adopt_agents(&run);
        } else {
            let share = before.zip(after).and_then(|(before, after)| after.share_since(&before));
            run.steal_share = share;
        }
        run.validity = validity::judge(&run, &latencies, &self.args, &self.env);
        self.latencies.merge(&latencies);
        self.batches.push(batches);
        self.records.push(run);
        stopped
    }

    /// Takes from the agents what the loader is: its threads, pacing, processors and build, and
    /// whether one of them shares processors with the server.
    fn adopt_agents(&mut self, run: &RunRecord) {
        let agents = &run.agents;
        self.args.threads = run.threads.len() as u32;
        let first = agents.first().map(|agent| agent.pacing.clone()).unwrap_or_default();
        if agents.iter().all(|agent| agent.pacing == first) {
            self.args.pacing = first.into();
        }
        let env = &mut self.env;
        let machines: BTreeMap<_, _> =
            agents.iter().map(|agent| (&agent.boot_id, agent.cpus)).collect();
        env.cpus = machines.into_values().sum();
        env.sharing = agents.iter().filter_map(|agent| agent.sharing).max();
        if let Some(agent) = agents.iter().find(|agent| agent.profile == "debug") {
            env.loadgen_profile.clone_from(&agent.profile);
        }
        // It is that of one loader on the coordinator's machine.
        env.calibration = None;
    }

    fn measurement(self) -> Measurement {
        let Self { options, args, env, records, latencies, batches, .. } = self;
        Measurement::of(args, env, records, latencies, batches, &options.slo)
    }
}

/// Has the server's metrics read with each interval, and passes on all that it receives.
struct MetricsObserver<'a> {
    observer: &'a mut dyn Observer,
    metrics: Option<MetricsReader>,
}

impl Observer for MetricsObserver<'_> {
    fn run_begins(&mut self, number: u32, started_unix_s: f64) -> Result<(), Error> {
        self.observer.run_begins(number, started_unix_s)
    }

    fn interval(&mut self, interval: &Interval<'_>) -> Result<(), Error> {
        if let Some(metrics) = &mut self.metrics {
            metrics.read();
        }
        self.observer.interval(interval)
    }
}

/// Adds up the runs of one plan.
pub(crate) fn combine(
    args: ArgsRecord,
    env: Environment,
    runs: Vec<RunRecord>,
    latencies: &Latencies,
    latency_ns: LatenciesRecord,
) -> Record {
    let mut counters = Counters::default();
    for run in &runs {
        counters.merge(&run.counters);
    }
    let measured_s = runs.iter().map(|run| run.rate.measured_s).sum();
    Record {
        schema: SCHEMA.to_owned(),
        validity: Validity {
            percentiles: validity::loader_parts(latencies, args.mode),
            ..validity::judge_all(&runs, &args)
        },
        slo: Vec::new(),
        rate: RateRecord::new(&counters, args.mode, measured_s),
        latency_ns,
        counters,
        statuses: StatusesRecord::sum(runs.iter().map(|run| &run.statuses), latencies),
        tls: TlsRecord::sum(runs.iter().map(|run| run.tls.as_ref())),
        key_value: KeyValueRecord::sum(runs.iter().map(|run| run.key_value.as_ref())),
        server: server(&runs),
        server_metrics: ServerMetricsRecord::sum(
            runs.iter().map(|run| run.server_metrics.as_ref()),
        ),
        interrupted: runs.iter().any(|run| run.interrupted),
        args,
        env,
        runs,
    }
}

/// The servers of all runs: times and switches added, memory the largest, threads of the last run.
fn server(runs: &[RunRecord]) -> Option<ServerRecord> {
    let mut servers = runs.iter().filter_map(|run| run.server.as_ref());
    let mut all = servers.next()?.clone();
    for server in servers {
        all.wall_s += server.wall_s;
        all.cpu_s += server.cpu_s;
        all.voluntary_switches += server.voluntary_switches;
        all.involuntary_switches += server.involuntary_switches;
        all.rss_bytes = all.rss_bytes.max(server.rss_bytes);
        all.pss_bytes = all.pss_bytes.max(server.pss_bytes);
        all.threads.clone_from(&server.threads);
        all.pid = server.pid;
    }
    let completed: u64 = runs.iter().map(|run| run.counters.completed).sum();
    all.cpu_us_per_request = (completed > 0).then(|| all.cpu_s * 1e6 / completed as f64);
    Some(all)
}
