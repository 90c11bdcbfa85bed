"""compare_overhead: what timings cost the server, and what deadlines cost beside idle connections."""

import sys
from dataclasses import dataclass, replace

import cli
import connections
import instructions
import machine
import measure
import overhead_report
import results
from child import run_main
from loader import Load
from programs import Programs, require, require_cores
from server import evshard

SCRIPT = "scripts/compare_overhead.sh"
ACTIVE_CONNECTIONS = 50
IDLE_CONNECTIONS = 10_000


@dataclass(frozen=True)
class Case:
    """A feature: the flags without it and with it, the number of idle connections, and the largest ratio allowed."""

    name: str
    without: tuple
    with_it: tuple
    idle: int
    target: float


CASES = (
    Case("timings", ("--no-timings",), (), 0, 1.02),
    Case("deadlines", (), ("--idle-timeout", "60s", "--first-byte-timeout", "10s"), IDLE_CONNECTIONS, 1.01),
)


def parse_arguments():
    """The command line of compare_overhead.sh."""
    names = [case.name for case in CASES]
    parser = cli.Parser(
        SCRIPT,
        "Runs evshard with one worker, with and without its timings. Then runs it with and without deadlines, beside\n"
        f"{IDLE_CONNECTIONS:,} idle connections. Server and loader have a core each, and each run has a fresh server.\n"
        "Each round measures the server without the feature twice, to show the ratio of two equal servers. Compares\n"
        "CPU per request, then instructions per echo (callgrind).",
        f"{SCRIPT} --cases timings --rounds 15 --server-core 0 --loader-core 1",
    )
    parser.add_argument("--cases", type=cli.choices(*names), default=names, metavar="LIST",
                        help=f"cases, of {', '.join(names)} (default: all)")
    cli.add_core_flags(parser)
    cli.add_comparison_flags(parser, rounds=15, threads=1)
    return cli.parse(parser)


def subjects_of(args, programs, case):
    """The server without the feature, with it, and without it again."""
    def server(name, flags):
        return evshard(programs.evshard, 1, name=name, core=args.server_core, flags=("--no-pin", *flags))

    without, with_it, again = overhead_report.names(case.name)
    return [server(without, case.without), server(with_it, case.with_it), server(again, case.without)]


def measure_all(args, programs, cases, load, folder):
    """All rounds; the runs by case and subject name, in round order."""
    runs = {case.name: {name: [] for name in overhead_report.names(case.name)} for case in cases}
    for round_index in range(args.rounds):
        for case in cases:
            idle = connections.affordable(case.idle // (20 if args.quick else 1))
            for subject in measure.rotated(subjects_of(args, programs, case), round_index):
                label = f"round {round_index + 1}/{args.rounds}, {subject.name} ..."
                print(label, end="", file=sys.stderr, flush=True)
                run = measure.run(subject, load, idle)
                run.save(folder.raw, f"{case.name}-round-{round_index + 1:02}-{subject.name.replace(' ', '-')}")
                runs[case.name][subject.name].append(run)
                print(f" {run.cpu_us_per_request:.3f} µs/req", file=sys.stderr)
    return runs


def count_instructions(args, programs, cases, load, folder):
    """Instructions per echo by subject name, or why there are none."""
    subjects = [subject for case in cases for subject in subjects_of(args, programs, case)[:2]]
    return instructions.measure_all(subjects, load, lambda name, record: folder.save(name.replace(" ", "-"), record))


def write_results(args, programs, measured, load, facts, folder):
    """Publish what was found."""
    command = (f"{SCRIPT} --cases {','.join(args.cases)} --rounds {args.rounds} --duration {args.duration} "
               f"--warmup {args.warmup} --threads {args.threads} --server-core {args.server_core} "
               f"--loader-core {args.loader_core}")
    commands = [command, "", "# which runs, in turns,",
                *(" ".join(subject.argv) for case in measured.cases for subject in subjects_of(args, programs, case)[:2]),
                " ".join(load.measured_argv("127.0.0.1:PORT"))]
    folder.publish(results.Findings(
        overhead_report.TITLE, overhead_report.QUESTION, overhead_report.answer(measured),
        overhead_report.body(measured), [results.Picture("overhead", "ratios", overhead_report.picture(measured))],
        commands, [*overhead_report.notes(args), measure.loader_note(
            run.report for of_case in measured.runs.values() for runs in of_case.values() for run in runs)],
    ), facts, {"evshard": programs.evshard, "loadgen": programs.loadgen})


def main():
    """Parse, build, measure, count, write."""
    args = parse_arguments()
    require("taskset")
    require_cores(args)
    connections.raise_descriptor_limit()
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    cases = [case for case in CASES if case.name in args.cases]
    load = replace(Load(programs.loadgen, connections=ACTIVE_CONNECTIONS), duration=args.duration, warmup=args.warmup,
                   threads=args.threads, core=args.loader_core)
    minutes = args.rounds * len(cases) * 3 * (load.seconds + 2) / 60
    print(f"{args.rounds} round(s) of {len(cases)} case(s), about {minutes:.0f} min", file=sys.stderr)
    with results.ResultFolder("overhead", args.out, args.quick, programs.loadgen) as folder:
        runs = measure_all(args, programs, cases, load, folder)
        counted = count_instructions(args, programs, cases[:1] if args.quick else cases, load, folder)
        write_results(args, programs, overhead_report.Measured(cases, runs, counted), load, facts, folder)


if __name__ == "__main__":
    run_main(main)
