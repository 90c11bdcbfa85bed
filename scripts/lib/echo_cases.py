"""Echo loads of several shapes on servers in turns: CPU time per request, and memory per idle connection."""

import sys
from dataclasses import dataclass, replace

import cli
import connections
import idle_memory
import measure

IDLE_CONNECTIONS = 9000
MEMORY_ROUNDS = 3


@dataclass(frozen=True)
class Case:
    """One workload. Many connections, deep pipelines and large messages load different parts of a server."""

    name: str
    connections: int
    size: int
    pipeline: int = 1


CASES = (
    Case("50 conns, 64 B", 50, 64),
    Case("1,000 conns, 64 B", 1000, 64),
    Case("50 conns × 16 in flight, 64 B", 50, 64, 16),
    Case("50 conns, 16 KiB", 50, 16384),
    Case("50 conns × 16 in flight, 16 KiB", 50, 16384, 16),
    Case("8 conns, 1 MiB", 8, 1 << 20),
)
QUICK_CASES = [1, 6]


def add_cases_flag(parser):
    """The flag that chooses cases by number."""
    parser.add_argument("--cases", type=cli.counts, metavar="LIST",
                        help=f"numbers of cases: {'; '.join(f'{n}: {case.name}' for n, case in enumerate(CASES, 1))} "
                             "(default: all; with --quick 1 and 6)")


def parse(parser):
    """Parse the command line of a script with `add_cases_flag`."""
    args = cli.parse(parser)
    if args.cases is None:
        args.cases = QUICK_CASES if args.quick else list(range(1, len(CASES) + 1))
    if max(args.cases) > len(CASES):
        parser.error(f"--cases takes numbers from 1 to {len(CASES)}")
    return args


def minutes(args, load, servers):
    """About how long `measure_cpu` and the counts and memory of this number of servers take."""
    return (args.rounds * len(args.cases) * (load.seconds + 1) + 20) * servers / 60


def measure_cpu(args, subjects, load, folder):
    """Every case in every round, subjects side by side; runs by case name and subject name, in round order."""
    cases = [(number, CASES[number - 1]) for number in args.cases]
    runs = {case.name: {subject.name: [] for subject in subjects} for _, case in cases}
    total, done = args.rounds * len(cases) * len(subjects), 0
    for round_index in range(args.rounds):
        for number, case in cases:
            shape = replace(load, connections=case.connections, size=case.size, pipeline=case.pipeline)
            for subject in measure.rotated(subjects, round_index):
                done += 1
                label = f"[{done}/{total}] round {round_index + 1}, {case.name}, {subject.name} ..."
                print(label, end="", file=sys.stderr, flush=True)
                run = measure.run(subject, shape)
                run.save(folder.raw, f"case-{number}-round-{round_index + 1:02}-{subject.name}")
                runs[case.name][subject.name].append(run)
                print(f" {run.cpu_us_per_request:.3f} µs/req", file=sys.stderr)
    return runs


def measure_memory(args, subjects, folder):
    """Bytes per idle connection by (subject name, touched), and how many connections were held."""
    count = connections.affordable(500 if args.quick else IDLE_CONNECTIONS)
    records = {(subject.name, touched): [] for subject in subjects for touched in (False, True)}
    for round_index in range(1 if args.quick else MEMORY_ROUNDS):
        for touched in (False, True):
            state = "touched" if touched else "untouched"
            for subject in measure.rotated(subjects, round_index):
                print(f"memory of {count} {state} connections, {subject.name} ...", file=sys.stderr)
                record = idle_memory.measure(subject, count, touched)
                folder.save(f"memory-{state}-round-{round_index + 1:02}-{subject.name}", record)
                records[subject.name, touched].append(record)
    return records
