"""compare_floor: CPU time, system calls and memory of the server, beside those of a bare epoll loop."""

import sys
from dataclasses import dataclass, replace

import cli
import connections
import floor_report
import idle_memory
import instructions
import machine
import measure
import results
import shards
import stats
import syscalls
from child import run_main
from loader import Load
from programs import Programs, require, require_cores
from server import Subject, evshard

SCRIPT = "scripts/compare_floor.sh"
FLOOR = "bare_epoll"
NULL = "bare_epoll-again"
CHANGELISTS = ("default", "immediate", "deferred")  # default passes no flag, as most users do
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
)


def parse_arguments():
    """The command line of compare_floor.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Runs evshard with one worker and a bare epoll loop in C (benches/peers/bare_epoll.c), in turns on one core,\n"
        "each time with a fresh server. The loader has another core. Compares CPU per request, then system calls and\n"
        "instructions per echo, then user memory per idle connection.",
        f"{SCRIPT} --rounds 7 --changelist immediate,deferred --server-core 0 --loader-core 1",
    )
    parser.add_argument("--changelist", type=cli.choices(*CHANGELISTS), default=["default"], metavar="LIST",
                        help="changelist policies of the server: default, immediate, deferred; `default` is the policy "
                             "that the server uses without a flag (default: default)")
    parser.add_argument("--cases", type=cli.counts, default=list(range(1, len(CASES) + 1)), metavar="LIST",
                        help=f"numbers of cases: {'; '.join(f'{n}: {case.name}' for n, case in enumerate(CASES, 1))} "
                             "(default: all)")
    cli.add_core_flags(parser)
    parser.add_argument("--null", action="store_true",
                        help="also measure the bare loop against itself, to show the ratio of two equal servers")
    cli.add_comparison_flags(parser, rounds=7, threads=1)
    args = cli.parse(parser)
    if max(args.cases) > len(CASES):
        parser.error(f"--cases takes numbers from 1 to {len(CASES)}")
    return args


def subjects_of(args, programs):
    """The bare loop, then the server with each policy. taskset pins both, so the server must not pin its threads."""
    floor = Subject(FLOOR, (programs.compile_peer(FLOOR), "0"), args.server_core, ends_by_signal=True)
    servers = []
    for mode in args.changelist:
        flags = () if mode == "default" else ("--changelist", mode)
        name = "evshard" if mode == "default" else f"evshard-{mode}"
        servers.append(evshard(programs.evshard, 1, name, args.server_core, ("--no-pin", *flags)))
    return [floor, *servers]


def measure_cpu(args, subjects, load, folder):
    """Every case in every round, subjects side by side; runs by case name and subject name, in round order."""
    if args.null:
        subjects = [*subjects, replace(subjects[0], name=NULL)]
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


def events_per_wait(runs, subjects):
    """What each server itself counted in the first case, without strace slowing it down; nothing if it was not run."""
    if CASES[0].name not in runs:
        return {}
    return {
        subject.name: stats.spread(
            shards.mean_weighted(run.server["shard_table"], "events/wait", "waits")
            for run in runs[CASES[0].name][subject.name]
        )
        for subject in subjects[1:]
    }


def write_results(args, programs, subjects, measured, facts, folder):
    """Publish what was found."""
    first = next(iter(measured.runs.values()))[subjects[-1].name][-1].server
    command = (f"{SCRIPT} --changelist {','.join(args.changelist)} --cases {','.join(map(str, args.cases))} "
               f"--rounds {args.rounds} --duration {args.duration} "
               f"--warmup {args.warmup} --threads {args.threads} --server-core {args.server_core} "
               f"--loader-core {args.loader_core}{' --null' if args.null else ''}")
    commands = [command, "", "# which runs, for each case and in turns,", *(" ".join(s.argv) for s in subjects),
                results.unported(first["loader_command"])]
    paths = {"evshard": programs.evshard, "loadgen": programs.loadgen, FLOOR: subjects[0].command[0]}
    folder.publish(results.Findings(
        floor_report.TITLE, floor_report.QUESTION, floor_report.answer(measured), floor_report.body(measured),
        [results.Picture("floor", "CPU ratio by case", floor_report.picture(measured))],
        commands, [*floor_report.notes(args), measure.loader_note(
            run.report for of_case in measured.runs.values() for runs in of_case.values() for run in runs)],
    ), facts, paths)


def main():
    """Parse, build, measure three things, write."""
    args = parse_arguments()
    require("taskset", "cc")
    require_cores(args)
    connections.raise_descriptor_limit()
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    subjects = subjects_of(args, programs)
    load = Load(programs.loadgen, duration=args.duration, warmup=args.warmup, threads=args.threads,
                core=args.loader_core)
    minutes = (args.rounds * len(args.cases) * (load.seconds + 1) + 20) * (len(subjects) + args.null) / 60
    print(f"{args.rounds} round(s) of {len(args.cases)} case(s), about {minutes:.0f} min", file=sys.stderr)
    with results.ResultFolder("floor", args.out, args.quick) as folder:
        runs = measure_cpu(args, subjects, load, folder)
        measured = floor_report.Measured(
            floor=FLOOR,
            servers=[subject.name for subject in subjects[1:]],
            null=NULL if args.null else None,
            runs=runs,
            traces=syscalls.measure_all(subjects, load, args.quick, folder.save),
            events_per_wait=events_per_wait(runs, subjects),
            instructions=instructions.measure_all(subjects, load, folder.save),
            memory=measure_memory(args, subjects, folder),
        )
        write_results(args, programs, subjects, measured, facts, folder)


if __name__ == "__main__":
    run_main(main)
