//! The plan of a sweep: its variables, the cells that they make, and the order of their runs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::cli::load::LoadArgs;
use crate::cli::{self, AgentsArgs, Command, Invocation, SweepArgs};
use crate::error::Error;
use crate::options::Options;
use crate::record::ArgsRecord;
use crate::schedule::random;

/// Most cells, and most runs of each: beyond this a year would not suffice.
const CELLS_MAX: usize = 10_000;
const RUNS_MAX: u32 = 1_000;

/// A sweep, requested and checked.
#[derive(Debug, Clone)]
pub(super) struct SweepPlan {
    pub(super) text: PlanText,
    pub(super) cells: Vec<Cell>,
    pub(super) folder: PathBuf,
    /// Whether other results in the folder are replaced.
    pub(super) force: bool,
    pub(super) quiet: bool,
}

/// The plan as it is stored with the results; results of different plans must not be mixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PlanText {
    pub(super) loadgen_version: String,
    pub(super) variables: Vec<Variable>,
    /// Runs of each cell.
    pub(super) runs: u32,
    /// What all cells have in common, apart from the variables.
    pub(super) args: ArgsRecord,
}

/// Longest name made of a cell's settings; file systems have twice as much.
const NAME_CHARACTERS_MAX: usize = 120;

/// One combination of values.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    /// From 0.
    place: usize,
    pub(super) settings: Vec<Setting>,
    pub(super) options: Options,
}

impl SweepPlan {
    /// Checks the flags; `words` is the command line that they come from.
    pub(super) fn new(args: SweepArgs, words: &[OsString]) -> Result<Self, Error> {
        if args.runs == 0 || args.runs > RUNS_MAX {
            return usage(format!("--runs must lie between 1 and {RUNS_MAX}"));
        }
        let variables: Vec<Variable> = args
            .var
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()
            .map_err(Error::Usage)?;
        check(&variables, &args, words)?;
        let combinations_count = count(&variables);
        if combinations_count > CELLS_MAX {
            return usage(format!(
                "--var: {combinations_count} combinations; at most {CELLS_MAX} are possible"
            ));
        }
        let settings = combinations(&variables).into_iter().enumerate();
        let cells = settings.map(|(place, settings)| Cell::new(place, settings, words));
        let cells: Vec<Cell> = cells.collect::<Result<_, _>>()?;
        expect_distinct(&cells)?;
        let base = Options::new(args.load, args.slo)?;
        let text = PlanText {
            loadgen_version: env!("CARGO_PKG_VERSION").to_owned(),
            variables,
            runs: args.runs,
            args: ArgsRecord::from(&base),
        };
        Ok(Self { text, cells, folder: args.out, force: args.force, quiet: args.quiet })
    }
}

impl PlanText {
    /// Complains of a stored plan that no sweep can have had.
    pub(super) fn expect_possible(&self) -> Result<(), String> {
        if self.runs > RUNS_MAX || count(&self.variables) > CELLS_MAX {
            return Err("its plan has more runs than a sweep can have".to_owned());
        }
        Ok(())
    }

    /// The settings of each cell.
    pub(super) fn cells(&self) -> Vec<Vec<Setting>> {
        combinations(&self.variables)
    }

    /// Every run in the order of measurement, as round and place of the cell. Each round has all
    /// cells in a random order, which is the same for the same seed.
    pub(super) fn order(&self) -> impl Iterator<Item = (u32, usize)> + use<> {
        let cells = count(&self.variables);
        let seed = self.args.seed;
        (1..=self.runs).flat_map(move |round| {
            let mut order: Vec<usize> = (0..cells).collect();
            let mut state = random::key(seed, u64::from(round));
            // Fisher and Yates.
            for last in (1..order.len()).rev() {
                let chosen = random::unit(random::split_mix(&mut state)) * (last + 1) as f64;
                order.swap(last, chosen as usize);
            }
            order.into_iter().map(move |cell| (round, cell))
        })
    }

    /// In which fields another plan differs, as "runs: 5 there, 3 here", and in which variables,
    /// as "rate=1k,2k there, rate=1k,3k here".
    pub(super) fn differences(&self, stored: &Self) -> Vec<String> {
        let fields = |plan: &Self| {
            let value = serde_json::to_value(plan).unwrap_or_default();
            let mut fields = value.as_object().cloned().unwrap_or_default();
            fields.remove("variables");
            if let Some(serde_json::Value::Object(args)) = fields.remove("args") {
                // The runs of each measurement are not those of each cell.
                args.into_iter().for_each(|(name, value)| _ = fields.entry(name).or_insert(value));
            }
            fields
        };
        let (here, there) = (fields(self), fields(stored));
        let differing = here.iter().filter(|(name, value)| there.get(*name) != Some(*value));
        let differing = differing.map(|(name, value)| {
            let stored = there.get(name).unwrap_or(&serde_json::Value::Null);
            format!("{name}: {} there, {} here", plain(stored), plain(value))
        });
        let variables = |plan: &Self| {
            let texts: Vec<String> = plan.variables.iter().map(Variable::text).collect();
            texts.join(" ")
        };
        let (ours, theirs) = (variables(self), variables(stored));
        let of_variables = (ours != theirs).then(|| format!("{theirs} there, {ours} here"));
        of_variables.into_iter().chain(differing).collect()
    }
}

impl Cell {
    /// The command line with the settings' flags set, as if they had been written at its end.
    fn new(place: usize, settings: Vec<Setting>, words: &[OsString]) -> Result<Self, Error> {
        let (flags, names): (Vec<&Setting>, _) =
            settings.iter().partition(|setting| LoadArgs::has_flag(&setting.name));
        let mut words = words.to_vec();
        let open = flags.iter().filter(|setting| !setting.is_closed_loop());
        words.extend(open.map(|setting| format!("--{}={}", setting.name, setting.value).into()));
        let Invocation::Do(Command::Sweep(mut args)) = cli::parse(words)? else {
            return usage("--var: the command line cannot be read again with its values");
        };
        let command = args.load.server.server_cmd.take();
        args.load.server.server_cmd = command.map(|command| {
            let fill = |command: crate::options::ServerCommand, setting: &Setting| {
                command.with(&setting.name, &setting.value)
            };
            names.into_iter().fold(command, fill)
        });
        let mut options = Options::new(args.load, args.slo)?;
        options.output.quiet = args.quiet;
        options.output.progress = !args.quiet && !args.no_progress;
        Ok(Self { place, settings, options })
    }

    /// The name of its folder.
    pub(super) fn folder(&self) -> String {
        folder_name(self.place, &self.settings)
    }

    /// The options of a round. All cells have the same seed in a round, so that they are compared
    /// under the same schedules; each round has its own, so that the rounds are independent.
    pub(super) fn options_of(&self, round: u32) -> Options {
        Options { seed: self.options.seed_of_run(round), ..self.options.clone() }
    }
}

/// Settings as a person reads them: "workers=2 rate=10k".
pub(super) fn title(settings: &[Setting]) -> String {
    settings.iter().map(Setting::text).collect::<Vec<_>>().join(" ")
}

/// The name of a cell's folder: "workers=2,rate=10k", or its number where that would be too long.
pub(super) fn folder_name(place: usize, settings: &[Setting]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "=._+-".contains(c) { c } else { '-' };
    let words = settings.iter().map(|s| s.text().chars().map(plain).collect::<String>());
    let name = words.collect::<Vec<_>>().join(",");
    if name.len() > NAME_CHARACTERS_MAX { format!("cell-{}", place + 1) } else { name }
}

/// A value of a plan as a person reads it.
fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "none".to_owned(),
        serde_json::Value::Array(values) if values.is_empty() => "none".to_owned(),
        serde_json::Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A variable is a flag, or it appears in the server's command.
fn check(variables: &[Variable], args: &SweepArgs, words: &[OsString]) -> Result<(), Error> {
    let command = args.load.server.server_cmd.as_ref();
    for (at, Variable { name, values }) in variables.iter().enumerate() {
        if variables[..at].iter().any(|other| other.name == *name) {
            return usage(format!(
                "--var: '{name}' is named twice; give all its values in one --var"
            ));
        }
        if AgentsArgs::has_flag(name) {
            return usage(format!(
                "--var: {name} is no variable, because the same agents load in all runs; use one \
                 sweep for each"
            ));
        }
        let is_flag = LoadArgs::has_flag(name);
        // A command that is varied itself may mention it in any of its forms.
        let commands = variables.iter().filter(|other| other.name == "server-cmd");
        let place = format!("{{{name}}}");
        let is_mentioned = command.is_some_and(|command| command.mentions(name))
            || commands.flat_map(|other| &other.values).any(|value| value.contains(&place));
        match (is_flag, is_mentioned) {
            (true, true) => {
                return usage(format!(
                    "--var: '{name}' is a flag of the loader and a name in --server-cmd; rename \
                     the latter"
                ));
            }
            (false, false) => {
                return usage(format!(
                    "--var: '{name}' is neither a flag of 'loadgen run' that takes a value nor \
                     {{{name}}} in --server-cmd"
                ));
            }
            _ => {}
        }
        if is_flag && LoadArgs::is_given(name, words) {
            return usage(format!(
                "--{name} and --var {name}=...: the variable sets the flag in every run; leave one \
                 of them out"
            ));
        }
        if name == "rate" && values.iter().any(|value| value.contains("..")) {
            return usage("--var: rate has a ramp; a sweep compares constant rates, such as 10k");
        }
    }
    Ok(())
}

fn expect_distinct(cells: &[Cell]) -> Result<(), Error> {
    let mut names: Vec<String> = cells.iter().map(Cell::folder).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            usage(format!("--var: two combinations would both be stored as '{}'", pair[0]))
        }
        None => Ok(()),
    }
}

fn usage<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::Usage(text.into()))
}

/// The value of the variable `rate` that means a closed loop.
const CLOSED: &str = "closed";

/// A name and the values it takes: `--var NAME=VALUE,VALUE,...`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) values: Vec<String>,
}

/// One value of one variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) value: String,
}

impl Setting {
    /// Whether it is the rate, which every chart treats apart.
    fn is_rate(&self) -> bool {
        self.name == "rate"
    }

    /// Whether it means a closed loop.
    pub(super) fn is_closed_loop(&self) -> bool {
        self.is_rate() && self.value == CLOSED
    }

    /// As a person writes it: "workers=2".
    pub(super) fn text(&self) -> String {
        format!("{}={}", self.name, self.value)
    }
}

impl Variable {
    /// As a person writes it: "workers=1,2".
    fn text(&self) -> String {
        format!("{}={}", self.name, self.values.join(","))
    }
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = |why: &str| format!("--var '{text}': {why}");
        let Some((name, values)) = text.split_once('=') else {
            return Err(invalid("write NAME=VALUE,VALUE,..."));
        };
        let is_name_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(is_name_part) {
            return Err(invalid("a name consists of letters, digits, '-' and '_'"));
        }
        let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
        if values.iter().any(String::is_empty) {
            return Err(invalid("a value is empty"));
        }
        for (at, value) in values.iter().enumerate() {
            if values[..at].contains(value) {
                return Err(invalid(&format!("it has the value {value} twice")));
            }
        }
        Ok(Self { name: name.to_owned(), values })
    }
}

/// How many combinations of values there are.
fn count(variables: &[Variable]) -> usize {
    variables.iter().map(|variable| variable.values.len()).fold(1, usize::saturating_mul)
}

/// Every combination of values, the last variable varying fastest.
fn combinations(variables: &[Variable]) -> Vec<Vec<Setting>> {
    let mut all = vec![Vec::new()];
    for Variable { name, values } in variables {
        let setting = |value: &String| Setting { name: name.clone(), value: value.clone() };
        let extended = all.iter().flat_map(|settings| {
            values.iter().map(move |value| [settings.as_slice(), &[setting(value)]].concat())
        });
        all = extended.collect();
    }
    all
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The plan of `loadgen sweep --out sweep` with these flags; quotes keep words together.
    pub(in crate::commands::sweep) fn plan(flags: &str) -> Result<SweepPlan, Error> {
        let flags = shlex::split(flags).unwrap();
        let words = ["loadgen", "sweep", "--out", "sweep"].map(OsString::from).into_iter();
        let words: Vec<OsString> = words.chain(flags.into_iter().map(OsString::from)).collect();
        match cli::parse(words.clone())? {
            Invocation::Do(Command::Sweep(args)) => SweepPlan::new(*args, &words),
            other => panic!("unexpected: {other:?}"),
        }
    }

    #[test]
    fn the_live_line_of_a_sweep_can_be_left_out() {
        let progress = |flags: &str| {
            let plan = plan(&format!("--var size=16 {flags}")).unwrap();
            plan.cells[0].options.output.progress
        };
        assert!(progress("") && !progress("--no-progress") && !progress("--quiet"));
    }

    #[test]
    fn variables_set_flags_or_fill_the_server_s_command() {
        let plan = plan(
            "--var workers=1,2 --var rate=closed,5k --var connections=7 \
             --server-cmd 's --workers {workers} {addr}'",
        );
        let cells = plan.unwrap().cells;
        assert_eq!(cells.len(), 4);
        assert_eq!(title(&cells[3].settings), "workers=2 rate=5k connections=7");
        assert_eq!(cells[3].folder(), "workers=2,rate=5k,connections=7");
        assert_eq!(cells[3].options.connections, 7);
        assert_eq!(cells[3].options.load.open().unwrap().profile.to_string(), "5000");
        let command = cells[3].options.server.as_ref().unwrap().command().unwrap();
        assert_eq!(command, "s --workers 2 {addr}");
        assert!(cells[2].options.load.open().is_none());
    }

    #[test]
    fn a_closed_loop_is_not_pipelined() {
        let cells = plan("--var rate=closed,1k").unwrap().cells;
        assert!(cells[0].options.load.open().is_none());
        assert_eq!((cells[0].options.pipeline, cells[1].options.pipeline), (1, 1_024));
    }

    #[test]
    fn a_variable_that_changes_nothing_or_two_things_is_refused() {
        for (flags, said) in [
            ("--var wrkers=1 --server-cmd 's {workers}'", "'wrkers' is neither"),
            ("--var threads=1 --server-cmd 's {threads}'", "'threads' is a flag of the loader and"),
            ("--var size=1 --var size=2", "twice"),
            ("--var size=0", "at least 1 byte"),
            ("--var rate=1k..2k", "ramp"),
            ("--var connect-per-request=1", "takes a value"),
            ("--var size=1 --runs 0", "--runs must lie"),
            ("--var rate=1k,2k --rate 500", "--rate and --var rate=...: the variable sets"),
            ("--var connections=1,2 -c9", "--connections and --var connections=..."),
            ("--var size=1,2 --size=3", "--size and --var size=..."),
            ("--var source=::1,--1", "--source"),
            ("--var agents=local:1,local:2", "agents is no variable"),
            ("--agents local:3 --var connections=4,2", "3 agents for 2 connections"),
        ] {
            let text = plan(flags).unwrap_err().to_string();
            assert!(text.contains(said), "{flags}: {text}");
        }
    }

    #[test]
    fn the_servers_themselves_can_be_compared() {
        let plan = plan("--var 'server-cmd=a {n},b {n}' --var n=1,2").unwrap();
        let command = plan.cells[3].options.server.as_ref().unwrap().command().unwrap();
        assert_eq!(command, "b 2");
        assert_eq!(plan.cells[3].folder(), "server-cmd=b--n-,n=2");
    }

    #[test]
    fn a_cell_with_a_long_name_is_stored_under_its_number() {
        let plan = plan(&format!("--var server-cmd={} --var size=1,2", "s".repeat(200))).unwrap();
        assert_eq!(plan.cells[1].folder(), "cell-2");
    }

    #[test]
    fn every_round_has_every_cell_once_in_an_order_of_its_own() {
        let orders = |seed: u32| {
            let plan =
                plan(&format!("--var size=1,2,3,4,5,6,7,8 --runs 20 --seed {seed}")).unwrap();
            let runs: Vec<(u32, usize)> = plan.text.order().collect();
            let rounds = runs.chunk_by(|one, next| one.0 == next.0);
            rounds.map(|round| round.iter().map(|run| run.1).collect()).collect::<Vec<Vec<_>>>()
        };
        let of_one = orders(1);
        for order in &of_one {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..8).collect::<Vec<_>>());
        }
        let firsts: std::collections::BTreeSet<usize> = of_one.iter().map(|o| o[0]).collect();
        assert!(firsts.len() > 3, "{of_one:?}");
        assert_eq!(of_one, orders(1));
        assert_ne!(of_one, orders(2));
    }

    #[test]
    fn every_round_has_a_schedule_of_its_own() {
        let cell = &plan("--var size=1 --seed 10").unwrap().cells[0];
        assert_eq!((cell.options_of(1).seed, cell.options_of(3).seed), (10, 12));
        let cell = &plan(&format!("--var size=1 --seed {}", u64::MAX)).unwrap().cells[0];
        assert_eq!((cell.options_of(1).seed, cell.options_of(2).seed), (u64::MAX, 0));
    }

    #[test]
    fn cells_of_one_round_are_measured_under_the_same_schedules() {
        let cells = &plan("--var rate=1k,2k --var size=1,2 --seed 10").unwrap().cells;
        assert!(cells.iter().all(|cell| cell.options_of(4).seed == 13));
    }

    #[test]
    fn differences_of_plans_are_listed_by_field() {
        let text = |flags: &str| plan(flags).unwrap().text;
        let (stored, requested) =
            (text("--var size=1 --runs 5"), text("--var size=1 -c 9 --runs 3"));
        let differences = requested.differences(&stored);
        assert_eq!(differences, ["connections: 64 there, 9 here", "runs: 5 there, 3 here"]);
        assert!(stored.differences(&stored).is_empty());
        let (stored, requested) =
            (text("--var rate=200,400"), text("--var rate=200,500 --verify length"));
        let said = ["rate=200,400 there, rate=200,500 here", "verify: full there, length here"];
        assert_eq!(requested.differences(&stored), said);
    }

    #[test]
    fn every_combination_occurs_once() {
        let variables = ["a=1,2".parse().unwrap(), "b=x,y,z".parse().unwrap()];
        let texts: Vec<String> = combinations(&variables)
            .iter()
            .map(|settings| settings.iter().map(Setting::text).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(texts, ["a=1 b=x", "a=1 b=y", "a=1 b=z", "a=2 b=x", "a=2 b=y", "a=2 b=z"]);
    }

    #[test]
    fn what_is_no_variable_is_refused_with_the_reason() {
        for (text, said) in [
            ("workers", "NAME=VALUE"),
            ("=1", "a name consists"),
            ("a b=1", "a name consists"),
            ("a=1,,2", "empty"),
            ("a=1,2,1", "twice"),
        ] {
            assert!(text.parse::<Variable>().unwrap_err().contains(said), "{text}");
        }
    }

    #[test]
    fn the_closed_loop_is_a_value_of_the_rate_alone() {
        let setting =
            |name: &str, value: &str| Setting { name: name.to_owned(), value: value.to_owned() };
        assert!(setting("rate", "closed").is_closed_loop());
        assert!(!setting("rate", "5k").is_closed_loop());
        assert!(!setting("size", "closed").is_closed_loop());
    }
}
