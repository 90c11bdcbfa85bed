"""compare_fleet: several agents of loadgen beside one loader, on the same server at the same rates."""

import sys
from dataclasses import dataclass, replace

import child
import cli
import loader
import machine
import measure
import plot
import results
from child import Failure, run_main
from loader import Load
from programs import Programs, require, require_cores
from server import Server, evshard
from stats import cell, interval_cell, paired_ratios, spread, table

SCRIPT = "scripts/compare_fleet.sh"
TITLE = "Several agents beside one loader"
QUESTION = "Do several agents send and measure what one loader with all connections sends and measures?"
QUANTILES = ("p50", "p90", "p99", "p999")
# These counts follow from the plan alone, if the server answers all requests.
COUNTS = ("scheduled", "sent", "completed", "in_window", "measured", "bytes_sent", "bytes_received")
NS_PER_US = 1000
RATE_UNIT = 1000  # the second rate is a multiple of it


@dataclass(frozen=True)
class Run:
    """One run: loadgen's report, and the CPU time of all its processes."""

    report: loader.Report
    cpu_s: float

    @property
    def counts(self):
        """The counts that must be the same for every subject of a round."""
        return {name: self.report.values["counters"][name] for name in COUNTS}

    @property
    def cpu_us_per_request(self):
        """CPU time of coordinator and agents, or of the one loader, for each request."""
        return 1e6 * self.cpu_s / self.report.completed


@dataclass(frozen=True)
class Names:
    """How the subjects are called."""

    one: str
    again: str  # the same loader once more: the difference of two equal subjects
    fleet: str

    @classmethod
    def of(cls, args):
        """Those of this command line."""
        one = f"1 × {args.connections:,}"
        return cls(one, f"{one}, again", f"{args.agents} × {args.connections // args.agents:,}")

    @property
    def all(self):
        """All of them."""
        return [self.one, self.again, self.fleet]


def parse_arguments():
    """The command line of compare_fleet.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Runs loadgen alone and as a coordinator with agents (--agents local:N) in turns, in an open loop with the same\n"
        "seed, so that both should send the same requests at the same times. Compares their counts, their response times\n"
        "and their verdicts, at a rate and at a share of the highest rate of one loader. The server is evshard with one\n"
        "worker on one core, fresh for every run. All processes of loadgen share another core.",
        f"{SCRIPT} --agents 2 --connections 100 --rate 5000",
    )
    parser.add_argument("--agents", type=cli.count, default=4, metavar="N", help="agents (default 4)")
    parser.add_argument("--connections", type=cli.count, default=2000, metavar="N",
                        help="connections of the one loader, and of all agents together (default 2000)")
    parser.add_argument("--rate", type=cli.count, default=20_000, metavar="R", help="requests/s (default 20000)")
    parser.add_argument("--share", type=cli.count, default=80, metavar="P",
                        help="the second rate, in percent of the rate of one loader in a closed loop (default 80)")
    cli.add_core_flags(parser)
    cli.add_rounds_flag(parser, rounds=7)
    parser.add_argument("--duration", type=cli.duration, default="4s", metavar="D", help="measured time (default 4s)")
    cli.add_result_flags(parser)
    args = cli.parse(parser)
    if args.connections % args.agents:
        parser.error(f"--connections {args.connections} is not divisible by --agents {args.agents}")
    if args.quick:
        args.connections, args.rate, args.share = 40 * args.agents, min(args.rate, 2000), min(args.share, 30)
    else:
        args.warmup = "1s"
    return args


def run_on(subject, load):
    """One run on a fresh server."""
    with Server(subject) as server:
        argv = load.measured_argv(server.address)
        output, usage = child.run_timed(argv, "loadgen", load.seconds + loader.OVERHEAD_S, loader.USABLE_STATUS)
        server.stop()
    return Run(loader.parse(output), usage.cpu_s)


def rates_of(args, load, server):
    """Both rates, by their names. The rate of one loader in a closed loop is measured for the second one."""
    print("one loader in a closed loop ...", end="", file=sys.stderr, flush=True)
    highest = run_on(server, load).report.rate_per_s
    print(f" {highest:,.0f} req/s", file=sys.stderr)
    second = max(1, int(highest * args.share / 100 / RATE_UNIT)) * RATE_UNIT
    return {f"{args.rate:,}/s": args.rate, f"{second:,}/s ({args.share} % of one loader's highest rate)": second}


def measure_all(args, names, load, server, rates, folder):
    """All rounds. The runs by rate and name of the subject, in round order."""
    fleet = replace(load, more=("--agents", f"local:{args.agents}"))
    subjects = [(names.one, load), (names.again, load), (names.fleet, fleet)]
    found = {title: {name: [] for name, _ in subjects} for title in rates}
    for round_index in range(args.rounds):
        for number, (title, rate) in enumerate(rates.items(), 1):
            for name, shape in measure.rotated(subjects, round_index):
                print(f"round {round_index + 1}/{args.rounds}, {rate:,}/s, {name} ...", end="", file=sys.stderr, flush=True)
                run = run_on(server, replace(shape, rate=rate, seed=round_index + 1))
                record = {"subject": name, "rate": rate, "cpu_s": run.cpu_s, "loadgen": run.report.values}
                folder.save(f"rate-{number}-round-{round_index + 1:02}-{names.all.index(name)}", record)
                found[title][name].append(run)
                print(f" {run.report.verdict}, p99 {us(run, 'p99'):,.0f} µs", file=sys.stderr)
    return found


def us(run, quantile):
    """A response percentile of a run in µs."""
    return run.report.us("response", quantile)


def differences(of_rate, names):
    """What differs in the counts of a round, in words, for all rounds."""
    found = []
    for number, runs in enumerate(zip(*(of_rate[name] for name in names.all), strict=True), 1):
        for count in COUNTS:
            values = [run.counts[count] for run in runs]
            if len(set(values)) > 1:
                found.append(f"round {number}: {count} {', '.join(f'{value:,}' for value in values)}")
    return found


def same_verdict(of_rate, names, other):
    """In how many rounds a subject has the verdict of the one loader, in words."""
    pairs = list(zip(of_rate[names.one], of_rate[other], strict=True))
    same = sum(one.report.verdict == another.report.verdict for one, another in pairs)
    return f"{same} of {len(pairs)}"


def ratios(of_rate, names, other, quantile):
    """A response percentile of a subject over that of the one loader, round by round; None if a run has too few samples."""
    ours, theirs = ([us(run, quantile) for run in of_rate[name]] for name in (other, names.one))
    return None if None in ours + theirs else paired_ratios(ours, theirs)


def times(of_rate, names):
    """The tables of a rate: response times, and their ratios to those of the one loader."""
    rows = [[name, *(cell(spread(us(run, quantile) for run in runs), 0) for quantile in QUANTILES),
             cell(spread(run.cpu_us_per_request for run in runs), 1), loader.verdicts([run.report for run in runs])]
            for name, runs in of_rate.items()]
    absolute = table(["subject", "p50, µs", "p90, µs", "p99, µs", "p99.9, µs", "loadgen's CPU, µs per request", "verdicts"],
                     rows)
    rows = []
    for name in (names.again, names.fleet):
        for quantile in QUANTILES:
            found = ratios(of_rate, names, name, quantile)
            rows.append([name, quantile.replace("p999", "p99.9"), cell(found and spread(found), 2),
                         interval_cell(found or [], 2)])
    relative = table(["subject", "percentile", f"× {names.one}", "95 % interval"], rows, words=2)
    return f"{absolute}\n\n{relative}"


def body(found, names):
    """All tables, as Markdown."""
    parts = []
    for title, of_rate in found.items():
        differing = differences(of_rate, names)
        counts = "; ".join(differing) if differing else "the same for all subjects in every round"
        verdicts = ", ".join(f"{name}: {same_verdict(of_rate, names, name)} rounds" for name in (names.again, names.fleet))
        parts.append(f"## {title}\n\nCounts ({', '.join(COUNTS)}): {counts}.\n\nThe verdict of {names.one} in the same round: "
                     f"{verdicts}.\n\nResponse times: median [lowest..highest] of the rounds.\n\n{times(of_rate, names)}")
    return "\n\n".join(parts)


def answer(found, names):
    """The answer in a sentence."""
    differing = [text for of_rate in found.values() for text in differences(of_rate, names)]
    counts = "The counts differ" if differing else "All counts are the same"
    medians = [f"{cell(spread(values).median)} × at {title.partition(' ')[0]}" for title, of_rate in found.items()
               if (values := ratios(of_rate, names, names.fleet, "p99"))]
    return f"{counts}; p99 of {names.fleet}: {', '.join(medians) or 'too few samples'}."


def picture(found, names, rounds):
    """The ratios of both other subjects by percentile, a panel for each rate."""
    panels = []
    for title, of_rate in found.items():
        points = [(f"{name}\n{quantile.replace('p999', 'p99.9')}", spread(values)) for quantile in QUANTILES
                  for name in (names.again, names.fleet) if (values := ratios(of_rate, names, name, quantile))]
        panels.append(plot.Panel(title, f"response time, × {names.one}", "", points, target=1.0))
    return plot.Drawing(TITLE, f"median and range of {rounds} round(s); CO-LOCATED", [panel for panel in panels if panel.points])


def notes(args, names):
    """What a reader must know before a conclusion."""
    return [
        f"CO-LOCATED: the server has core {args.server_core}. All processes of loadgen share core {args.loader_core}: the one "
        f"loader, or the coordinator and {args.agents} agents. Agents on machines of their own do not wait for each other. So "
        "the response times of the agents have the cost of sharing a core, which several machines do not have.",
        "The counts do not depend on that: they follow from seed and plan, if all requests are answered.",
        f"`{names.again}` is the same command as `{names.one}`. Its ratio shows how far from 1 two equal loaders can be here.",
        "All subjects sleep until the next request (`--pacing sleep`), because several processes that spin on one core "
        "would only delay each other.",
        "loadgen's CPU is that of all its processes from start to end, with connecting, divided by the answered requests.",
    ]


def main():
    """Parse, build, measure, write."""
    args = parse_arguments()
    require("taskset")
    require_cores(args)
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    names = Names.of(args)
    load = Load(programs.loadgen, connections=args.connections, duration=args.duration, warmup=args.warmup,
                core=args.loader_core)
    server = evshard(programs.evshard, 1, core=args.server_core, flags=("--no-pin",))
    runs = 2 * len(names.all) * args.rounds
    print(f"{args.rounds} round(s), {runs} runs, about {runs * (load.seconds + 1) / 60:.1f} min", file=sys.stderr)
    command = (f"{SCRIPT} --agents {args.agents} --connections {args.connections} --rate {args.rate} --share {args.share} "
               f"--duration {args.duration} --rounds {args.rounds} --server-core {args.server_core} "
               f"--loader-core {args.loader_core}")
    with results.ResultFolder("fleet", args.out, args.quick, programs.loadgen) as folder:
        rates = rates_of(args, load, server)
        open_loop = replace(load, pacing="sleep")
        found = measure_all(args, names, open_loop, server, rates, folder)
        first = replace(open_loop, rate=args.rate, seed=1)
        commands = [command, "", "# which runs, in turns,", " ".join(server.argv),
                    " ".join(first.measured_argv("127.0.0.1:PORT")),
                    " ".join(replace(first, more=("--agents", f"local:{args.agents}")).measured_argv("127.0.0.1:PORT"))]
        folder.publish(results.Findings(
            TITLE, QUESTION, answer(found, names), body(found, names),
            [results.Picture("fleet", "ratios of response times", picture(found, names, args.rounds))],
            commands, notes(args, names),
        ), facts, {"evshard": programs.evshard, "loadgen": programs.loadgen})
    for of_rate in found.values():
        if differing := differences(of_rate, names):
            raise Failure(f"the agents are not one loader: {'; '.join(differing)}")


if __name__ == "__main__":
    run_main(main)
