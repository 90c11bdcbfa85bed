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
RATE_UNIT = 1000  # the last rate is a multiple of it
# A server that answers each request after a random time, and needs no processor time for it. What the loader adds hardly
# counts then.
WORK = ("--service", "work", "--work", "sleep:exp:5ms")
WORK_RATE = 2000


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
class Case:
    """A server, and the rate at which it is loaded."""

    title: str
    server: object  # a Subject
    rate: int


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
        "and their verdicts: on a server that answers after 5 ms in the mean, and on an echo server, at a rate and at a\n"
        "share of the highest rate of one loader. The server is evshard with one worker on one core, fresh for every\n"
        "run. All processes of loadgen share another core.",
        f"{SCRIPT} --agents 2 --connections 100 --rate 5000",
    )
    parser.add_argument("--agents", type=cli.count, default=4, metavar="N", help="agents (default 4)")
    parser.add_argument("--connections", type=cli.count, default=2000, metavar="N",
                        help="connections of the one loader, and of all agents together (default 2000)")
    parser.add_argument("--rate", type=cli.count, default=20_000, metavar="R",
                        help="requests/s to the echo server (default 20000)")
    parser.add_argument("--share", type=cli.count, default=40, metavar="P",
                        help="the higher rate, in percent of the rate of one loader in a closed loop (default 40)")
    cli.add_core_flags(parser)
    cli.add_rounds_flag(parser, rounds=6)
    parser.add_argument("--duration", type=cli.duration, default="2s", metavar="D", help="measured time (default 2s)")
    cli.add_result_flags(parser)
    args = cli.parse(parser)
    if args.connections % args.agents:
        parser.error(f"--connections {args.connections} is not divisible by --agents {args.agents}")
    if args.quick:
        args.connections, args.rate, args.share = 40 * args.agents, min(args.rate, 2000), min(args.share, 30)
    else:
        args.warmup = "500ms"
    return args


def run_on(subject, load):
    """One run on a fresh server."""
    with Server(subject) as server:
        argv = load.measured_argv(server.address)
        output, usage = child.run_timed(argv, "loadgen", load.seconds + loader.OVERHEAD_S, loader.USABLE_STATUS)
        server.stop()
    return Run(loader.parse(output), usage.cpu_s)


def cases_of(args, load, program):
    """The cases. The rate of one loader in a closed loop is measured for the last one."""
    echo, work = (evshard(program, 1, core=args.server_core, flags=("--no-pin", *flags)) for flags in ((), WORK))
    print("one loader in a closed loop ...", end="", file=sys.stderr, flush=True)
    highest = run_on(echo, load).report.rate_per_s
    print(f" {highest:,.0f} req/s", file=sys.stderr)
    higher = max(1, int(highest * args.share / 100 / RATE_UNIT)) * RATE_UNIT
    return [
        Case(f"Replies after 5 ms in the mean, {WORK_RATE:,}/s", work, WORK_RATE),
        Case(f"Echo, {args.rate:,}/s", echo, args.rate),
        Case(f"Echo, {higher:,}/s ({args.share} % of one loader's highest rate)", echo, higher),
    ]


def measure_all(args, names, load, cases, folder):
    """All rounds. The runs by case and name of the subject, in round order."""
    subjects = [(names.one, load), (names.again, load), (names.fleet, agents(load, args))]
    found = {case: {name: [] for name, _ in subjects} for case in cases}
    for round_index in range(args.rounds):
        for number, case in enumerate(cases, 1):
            for name, shape in measure.rotated(subjects, round_index):
                print(f"round {round_index + 1}/{args.rounds}, {case.rate:,}/s, {name} ...", end="", file=sys.stderr,
                      flush=True)
                run = run_on(case.server, replace(shape, rate=case.rate, seed=round_index + 1))
                record = {"subject": name, "rate": case.rate, "cpu_s": run.cpu_s, "loadgen": run.report.values}
                folder.save(f"case-{number}-round-{round_index + 1:02}-{names.all.index(name)}", record)
                found[case][name].append(run)
                print(f" {run.report.verdict}, p99 {cell(us(run, 'p99'), 0)} µs", file=sys.stderr)
    return found


def agents(load, args):
    """The same load from agents."""
    return replace(load, more=("--agents", f"local:{args.agents}"))


def us(run, quantile):
    """A response percentile of a run in µs."""
    return run.report.us("response", quantile)


def differences(of_case, names):
    """What differs in the counts of a round, in words, for all rounds."""
    found = []
    for number, runs in enumerate(zip(*(of_case[name] for name in names.all), strict=True), 1):
        for count in COUNTS:
            values = [run.counts[count] for run in runs]
            if len(set(values)) > 1:
                found.append(f"round {number}: {count} {', '.join(f'{value:,}' for value in values)}")
    return found


def same_verdict(of_case, names, other):
    """In how many rounds a subject has the verdict of the one loader, in words."""
    pairs = list(zip(of_case[names.one], of_case[other], strict=True))
    same = sum(one.report.verdict == another.report.verdict for one, another in pairs)
    return f"{same} of {len(pairs)}"


def ratios(of_case, names, other, quantile):
    """A response percentile of a subject over that of the one loader, round by round; None if a run has too few samples."""
    ours, theirs = ([us(run, quantile) for run in of_case[name]] for name in (other, names.one))
    return None if None in ours + theirs else paired_ratios(ours, theirs)


def times(of_case, names):
    """The tables of a case: response times, and their ratios to those of the one loader."""
    rows = [[name, *(cell(spread(us(run, quantile) for run in runs), 0) for quantile in QUANTILES),
             cell(spread(run.cpu_us_per_request for run in runs), 1), loader.verdicts([run.report for run in runs])]
            for name, runs in of_case.items()]
    absolute = table(["subject", "p50, µs", "p90, µs", "p99, µs", "p99.9, µs", "loadgen's CPU, µs per request", "verdicts"],
                     rows)
    rows = []
    for name in (names.again, names.fleet):
        for quantile in QUANTILES:
            found = ratios(of_case, names, name, quantile)
            rows.append([name, quantile.replace("p999", "p99.9"), cell(found and spread(found), 2),
                         interval_cell(found or [], 2)])
    relative = table(["subject", "percentile", f"× {names.one}", "95 % interval"], rows, words=2)
    return f"{absolute}\n\n{relative}"


def body(found, names):
    """All tables, as Markdown."""
    parts = []
    for case, of_case in found.items():
        differing = differences(of_case, names)
        counts = "; ".join(differing) if differing else "the same for all subjects in every round"
        verdicts = ", ".join(f"{name}: {same_verdict(of_case, names, name)} rounds" for name in (names.again, names.fleet))
        parts.append(f"## {case.title}\n\nCounts ({', '.join(COUNTS)}): {counts}.\n\nThe verdict of {names.one} in the same round: "
                     f"{verdicts}.\n\nResponse times: median [lowest..highest] of the rounds.\n\n{times(of_case, names)}")
    return "\n\n".join(parts)


def answer(found, names):
    """The answer in a sentence."""
    differing = [text for of_case in found.values() for text in differences(of_case, names)]
    counts = "The counts differ" if differing else "All counts are the same"
    medians = [f"{cell(spread(values).median)} × at {case.rate:,}/s" for case, of_case in found.items()
               if (values := ratios(of_case, names, names.fleet, "p99"))]
    return f"{counts}; p99 of {names.fleet}: {', '.join(medians) or 'too few samples'}."


def picture(found, names, rounds):
    """The ratios of both other subjects by percentile, a panel for each case."""
    panels = []
    for case, of_case in found.items():
        points = [(f"{name}\n{quantile.replace('p999', 'p99.9')}", spread(values)) for quantile in QUANTILES
                  for name in (names.again, names.fleet) if (values := ratios(of_case, names, name, quantile))]
        panels.append(plot.Panel(case.title, f"response time, × {names.one}", "", points, target=1.0))
    return plot.Drawing(TITLE, f"median and range of {rounds} round(s); CO-LOCATED", [panel for panel in panels if panel.points])


def notes(args, names):
    """What a reader must know before a conclusion."""
    return [
        f"CO-LOCATED: the server has core {args.server_core}. All processes of loadgen share core {args.loader_core}: the one "
        f"loader, or the coordinator and {args.agents} agents. Agents on machines of their own do not wait for each other. So "
        "the response times of the agents have the cost of sharing a core, which several machines do not have.",
        "The counts do not depend on that: they follow from seed and plan, if all requests are answered.",
        "The server of the first case sleeps for an exponentially distributed time before each reply, so that response times are "
        "longer than what the loader adds. The server draws these times from the same seed in every run.",
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
    runs = 3 * len(names.all) * args.rounds
    print(f"{args.rounds} round(s), {runs} runs, about {runs * (load.seconds + 0.6) / 60:.1f} min", file=sys.stderr)
    command = (f"{SCRIPT} --agents {args.agents} --connections {args.connections} --rate {args.rate} --share {args.share} "
               f"--duration {args.duration} --rounds {args.rounds} --server-core {args.server_core} "
               f"--loader-core {args.loader_core}")
    with results.ResultFolder("fleet", args.out, args.quick, programs.loadgen) as folder:
        cases = cases_of(args, load, programs.evshard)
        open_loop = replace(load, pacing="sleep")
        found = measure_all(args, names, open_loop, cases, folder)
        servers = dict.fromkeys(" ".join(case.server.argv) for case in cases)
        first = replace(open_loop, rate=cases[0].rate, seed=1)
        loads = [" ".join(shape.measured_argv("127.0.0.1:PORT")) for shape in (first, agents(first, args))]
        commands = [command, "", "# which runs, in turns, and with other rates and seeds,", *servers, *loads]
        folder.publish(results.Findings(
            TITLE, QUESTION, answer(found, names), body(found, names),
            [results.Picture("fleet", "ratios of response times", picture(found, names, args.rounds))],
            commands, notes(args, names),
        ), facts, {"evshard": programs.evshard, "loadgen": programs.loadgen})
    for of_case in found.values():
        if differing := differences(of_case, names):
            raise Failure(f"the agents are not one loader: {'; '.join(differing)}")


if __name__ == "__main__":
    run_main(main)
