//! The plan of a comparison in pairs: both sides, the seed of each pair, and the order in it.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::AbArgs;
use crate::cli::load::{LoadArgs, ServerArgs, SloArgs};
use crate::comparison::ComparedMetric;
use crate::destination::{Destination, Output};
use crate::error::Error;
use crate::options::{Options, ServerCommand};
use crate::record::ArgsRecord;
use crate::schedule::random;
use crate::slo;

/// Most pairs; beyond this a day would not suffice.
const PAIRS_MAX: u32 = 1_000;

/// The target of a command line without one.
const DEFAULT_TARGET: &str = "127.0.0.1:5555";

/// Distinguishes the order in a pair from other uses of its seed.
const ORDER: u64 = 0xAB;

/// One of the two that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Name {
    A,
    B,
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// A comparison, requested and checked.
#[derive(Debug)]
pub(super) struct AbPlan {
    pub(super) text: PlanText,
    pub(super) a: Options,
    pub(super) b: Options,
    pub(super) folder: Option<PathBuf>,
    /// Whether other results in the folder are replaced.
    pub(super) force: bool,
    pub(super) outputs: Outputs,
    pub(super) quiet: bool,
}

/// The plan as it is stored with the results; results of different plans must not be mixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PlanText {
    pub(super) loadgen_version: String,
    /// The metrics that decide.
    pub(super) metrics: Vec<String>,
    /// A difference within this share counts as the same.
    pub(super) delta: f64,
    /// Most pairs of a comparison.
    pub(super) pairs: u32,
    /// How many pairs of A against itself are measured; null for A against B.
    pub(super) null_pairs: Option<u32>,
    pub(super) a: ArgsRecord,
    pub(super) b: ArgsRecord,
}

/// Where single texts go.
#[derive(Debug)]
pub(super) struct Outputs {
    pub(super) json: Option<Output>,
    pub(super) markdown: Option<Output>,
    pub(super) junit: Option<Output>,
}

impl Outputs {
    fn open(args: &AbArgs) -> Result<Self, Error> {
        let named = [&args.json, &args.md, &args.junit];
        if named.into_iter().flatten().filter(|&name| *name == Destination::Stdout).count() > 1 {
            return usage("--json, --md, --junit: only one of them can go to standard output");
        }
        let [json, markdown, junit] =
            named.map(|name| name.as_ref().map(Destination::open).transpose());
        Ok(Self { json: json?, markdown: markdown?, junit: junit? })
    }

    /// The one that is standard output, if any: then the report goes to stderr.
    pub(super) fn stdout(&self) -> Option<&Output> {
        let all = [&self.json, &self.markdown, &self.junit];
        all.into_iter().flatten().find(|output| matches!(output, Output::Stdout))
    }
}

/// How the server of a side is named.
#[derive(Debug, Clone)]
struct SideArgs {
    command: Option<ServerCommand>,
    target: Option<String>,
    pid: Option<u32>,
}

impl SideArgs {
    /// The options of one run of this side.
    fn options(self, load: &LoadArgs, quiet: bool, progress: bool) -> Result<Options, Error> {
        let mut load = load.clone();
        load.target = self.target.unwrap_or(load.target);
        load.server = ServerArgs { server_cmd: self.command, server_pid: self.pid, ..load.server };
        let mut options = Options::new(load, SloArgs { slo: Vec::new() })?;
        options.output.quiet = quiet;
        options.output.progress = progress;
        Ok(options)
    }

    fn is_named(&self) -> bool {
        self.command.is_some() || self.target.is_some() || self.pid.is_some()
    }
}

impl AbPlan {
    /// Checks the flags.
    pub(super) fn new(args: AbArgs) -> Result<Self, Error> {
        let delta = slo::share(&args.delta)
            .map_err(|complaint| Error::Usage(format!("--delta: {complaint}")))?;
        for (flag, pairs) in [("--pairs", Some(args.pairs)), ("--null", args.null)] {
            if pairs.is_some_and(|pairs| pairs == 0 || pairs > PAIRS_MAX) {
                return usage(format!("{flag} must lie between 1 and {PAIRS_MAX}"));
            }
        }
        if args.null.is_some_and(|pairs| pairs < args.pairs) {
            return usage(
                "--null: it needs at least as many pairs as one comparison may have; raise it, or \
                 lower --pairs",
            );
        }
        let (a, b) = sides(&args)?;
        let outputs = Outputs::open(&args)?;
        let progress = !args.quiet && !args.no_progress;
        let a = a.options(&args.load, args.quiet, progress)?;
        let b = b.options(&args.load, args.quiet, progress)?;
        let text = PlanText {
            loadgen_version: env!("CARGO_PKG_VERSION").to_owned(),
            metrics: args.metric.iter().map(|metric| metric.name.to_owned()).collect(),
            delta,
            pairs: args.pairs,
            null_pairs: args.null,
            a: ArgsRecord::from(&a),
            b: ArgsRecord::from(&b),
        };
        let (folder, force, quiet) = (args.out, args.force, args.quiet);
        Ok(Self { text, a, b, folder, force, outputs, quiet })
    }

    /// The options of one side in a pair.
    pub(super) fn options(&self, side: Name, pair: u32) -> Options {
        let options = match side {
            Name::A => &self.a,
            Name::B => &self.b,
        };
        Options { seed: options.seed_of_run(pair), ..options.clone() }
    }
}

impl PlanText {
    /// How many pairs are measured if nothing is decided before.
    pub(super) fn pairs_to_measure(&self) -> u32 {
        self.null_pairs.unwrap_or(self.pairs)
    }

    /// The sides of a pair, numbered from 1, in the order of their runs. Each pair has an order of
    /// its own, drawn independently of all others: then equal sides are as likely to differ to one
    /// side as to the other, whatever the first run of a pair does to the second.
    pub(super) fn order(&self, pair: u32) -> [Name; 2] {
        let number = random::at(random::key(self.a.seed, ORDER), u64::from(pair));
        if random::unit(number) < 0.5 { [Name::A, Name::B] } else { [Name::B, Name::A] }
    }

    /// The metrics that decide.
    pub(super) fn deciding(&self) -> impl Fn(&ComparedMetric) -> bool {
        |metric| self.metrics.iter().any(|name| name == metric.name)
    }

    /// In which fields another plan differs, as "a.connections: 64 there, 9 here". The numbers of
    /// pairs may differ: a measurement goes on with more of them.
    pub(super) fn differences(&self, stored: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        // A plan is plain data, whose conversion cannot fail.
        let value = |plan: &Self| {
            let plan = Self { pairs: 0, null_pairs: plan.null_pairs.map(|_| 0), ..plan.clone() };
            serde_json::to_value(plan).unwrap_or_default()
        };
        find_differences("", &value(self), &value(stored), &mut differences);
        differences
    }
}

fn find_differences(path: &str, here: &Value, there: &Value, found: &mut Vec<String>) {
    match (here, there) {
        (Value::Object(here), Value::Object(there)) => {
            for (name, value) in here {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                find_differences(&path, value, there.get(name).unwrap_or(&Value::Null), found);
            }
        }
        _ if here != there => found.push(format!("{path}: {there} there, {here} here")),
        _ => {}
    }
}

/// The servers of A and of B.
fn sides(args: &AbArgs) -> Result<(SideArgs, SideArgs), Error> {
    let server = &args.load.server;
    if server.server_cmd.is_some() || server.server_pid.is_some() {
        return usage(
            "--server-cmd, --server-pid: name the servers of both sides, with --a and --b, or with \
             --a-pid and --b-pid",
        );
    }
    let (target, pid) = (args.a_target.clone(), args.a_pid);
    let a = SideArgs { command: args.a.clone(), target, pid };
    let (target, pid) = (args.b_target.clone(), args.b_pid);
    let b = SideArgs { command: args.b.clone(), target, pid };
    let need = |name: &str, flag: &str| {
        usage(format!(
            "{name} needs a server: --{flag} CMD starts one, --{flag}-target TARGET names one that \
             runs already"
        ))
    };
    if !a.is_named() {
        return need("A", "a");
    }
    if args.null.is_some() {
        return match b.is_named() {
            true => usage("--null measures A against itself; leave out the flags of B"),
            false => Ok((a.clone(), a)),
        };
    }
    if !b.is_named() {
        return need("B", "b");
    }
    let is_default = args.load.target == DEFAULT_TARGET;
    match (&a.target, &b.target) {
        (Some(_), Some(_)) if !is_default => usage(format!(
            "TARGET {}: both sides have targets of their own; leave it out",
            args.load.target
        )),
        (a_target, b_target)
            if a.command.is_none() && b.command.is_none() && a_target == b_target =>
        {
            usage("A and B are the same server; name another one, or measure it with --null")
        }
        _ => Ok((a, b)),
    }
}

fn usage<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::Usage(text.into()))
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cli::{self, Command, Invocation};

    /// The plan of `loadgen ab` with these flags; quotes keep words together.
    pub(in crate::commands::ab) fn plan(flags: &str) -> Result<AbPlan, Error> {
        let words = shlex::split(&format!("loadgen ab {flags}")).unwrap();
        match cli::parse(words)? {
            Invocation::Do(Command::Ab(args)) => AbPlan::new(*args),
            other => panic!("unexpected: {other:?}"),
        }
    }

    #[test]
    fn sides_have_commands_targets_or_both() {
        let started = plan("--a 'old {addr}' --b 'new {addr}' 127.0.0.1:7000 --rate 1k").unwrap();
        let b = started.options(Name::B, 1);
        assert_eq!(b.target.to_string(), "127.0.0.1:7000");
        assert_eq!(b.server.unwrap().command().unwrap(), "new {addr}");
        let running = plan("--a-target http://h:1/x --b-target http://h:2/y --b-pid 7").unwrap();
        let (a, b) = (running.options(Name::A, 1), running.options(Name::B, 1));
        assert_eq!((a.target.to_string(), b.target.to_string()), ("h:1".into(), "h:2".into()));
        let path = |options: &Options| {
            options.traffic.http.as_ref().and_then(|http| http.path()).map(str::to_owned)
        };
        assert_eq!((path(&a).as_deref(), path(&b).as_deref()), (Some("/x"), Some("/y")));
        assert!(a.server.is_none() && b.server.is_some());
        let null = plan("--null --a old").unwrap();
        assert_eq!(null.text.null_pairs, Some(200));
        assert_eq!(null.options(Name::A, 3), null.options(Name::B, 3));
        assert_eq!(plan("--null=50 h:1 --a old").unwrap().text.pairs_to_measure(), 50);
    }

    #[test]
    fn flags_that_name_no_two_servers_are_refused_with_the_remedy() {
        for (flags, said) in [
            ("", "A needs a server: --a CMD starts one, --a-target TARGET names one"),
            ("--a old", "B needs a server: --b CMD starts one"),
            ("--a old --b new --server-cmd x", "with --a and --b"),
            ("--a old --b new --a-pid 7", "cannot be used with"),
            ("--a 'old --b new", "a quote"),
            ("--null --a old --b new", "leave out the flags of B"),
            ("--null=30 --a old", "at least as many pairs as one comparison"),
            ("--null=0 --a old --pairs 0", "--pairs must lie between 1 and 1000"),
            ("--a old --b new --pairs 1001", "--pairs must lie between 1 and 1000"),
            ("--a old --b new --metric p50,p95", "there is no metric 'p95'; choose among rate"),
            ("--a old --b new --delta 200%", "--delta: "),
            ("--a old --b new --size 0", "at least 1 byte"),
            ("--a-target h:1 --b-target h:1", "A and B are the same server"),
            ("--a-pid 1 --b-pid 2", "A and B are the same server"),
            ("h:3 --a-target h:1 --b-target h:2", "TARGET h:3: both sides have targets"),
            ("--a old --b new --json - --md -", "only one of them"),
        ] {
            // The flags of the second last case but one end within a quote.
            let flags = if flags.contains("'old") { "--a \"'old\" --b new" } else { flags };
            let text = plan(flags).unwrap_err().to_string();
            assert!(text.contains(said), "{flags}: {text}");
        }
    }

    #[test]
    fn both_runs_of_a_pair_have_the_same_seed_and_each_pair_has_another() {
        let plan = plan("--a old --b new --seed 10").unwrap();
        let seeds = |side| (1..=9).map(|pair| plan.options(side, pair).seed).collect::<Vec<_>>();
        assert_eq!(seeds(Name::A), (10..19).collect::<Vec<_>>());
        assert_eq!(seeds(Name::A), seeds(Name::B));
    }

    #[test]
    fn the_order_of_a_pair_is_a_function_of_the_seed_and_as_often_this_as_that() {
        let orders = |seed: u32| {
            let text = plan(&format!("--a old --b new --seed {seed}")).unwrap().text;
            (1..=400).map(|pair| text.order(pair)[0] == Name::A).collect::<Vec<bool>>()
        };
        let one = orders(1);
        assert_eq!(one, orders(1));
        assert_ne!(one, orders(2));
        let first_a = one.iter().filter(|&&is_a| is_a).count();
        // Four standard deviations of a fair coin.
        assert!((160..=240).contains(&first_a), "{first_a} of 400");
        let turns = one.windows(2).filter(|two| two[0] != two[1]).count();
        assert!((160..=240).contains(&turns), "{turns} of 399");
        let starts: BTreeSet<bool> = (1..=30).map(|seed| orders(seed)[0]).collect();
        assert_eq!(starts.len(), 2);
    }

    #[test]
    fn plans_differ_in_everything_but_the_numbers_of_pairs() {
        let text = |flags: &str| plan(flags).unwrap().text;
        let stored = text("--a old --b new");
        assert!(text("--a old --b new --pairs 90").differences(&stored).is_empty());
        let differences = text("--a old --b newer --metric p50").differences(&stored);
        let all = differences.join("; ");
        assert!(all.contains("b.server_command: \"new\" there, \"newer\" here"), "{all}");
        assert!(all.contains("metrics: "), "{all}");
        assert!(!text("--a old --null").differences(&text("--a old --b old")).is_empty());
    }
}
