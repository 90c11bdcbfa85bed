"""compare_floor: CPU time, system calls and memory of the server, beside those of a bare epoll loop."""

import sys
from dataclasses import replace

import cli
import connections
import echo_cases
import echo_report
import instructions
import machine
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
TARGET = 1.03
CHANGELISTS = ("default", "immediate", "deferred")  # default passes no flag, as most users do


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
    echo_cases.add_cases_flag(parser)
    cli.add_core_flags(parser)
    parser.add_argument("--null", action="store_true",
                        help="also measure the bare loop against itself, to show the ratio of two equal servers")
    cli.add_comparison_flags(parser, rounds=7, threads=1)
    return echo_cases.parse(parser)


def subjects_of(args, programs):
    """The bare loop, then the server with each policy. taskset pins both, so the server must not pin its threads."""
    floor = Subject(FLOOR, (programs.compile_peer(FLOOR), "0"), args.server_core, ends_by_signal=True)
    servers = []
    for mode in args.changelist:
        flags = () if mode == "default" else ("--changelist", mode)
        name = "evshard" if mode == "default" else f"evshard-{mode}"
        servers.append(evshard(programs.evshard, 1, name, args.server_core, ("--no-pin", *flags)))
    return [floor, *servers]


def events_per_wait(runs, servers):
    """What each server itself counted in the first case, without strace slowing it down; nothing if it was not run."""
    if echo_cases.CASES[0].name not in runs:
        return {}
    return {
        server.name: stats.spread(
            shards.mean_weighted(run.server["shard_table"], "events/wait", "waits")
            for run in runs[echo_cases.CASES[0].name][server.name]
        )
        for server in servers
    }


def write_results(args, programs, subjects, measured, facts, folder):
    """Publish what was found."""
    command = f"{SCRIPT} --changelist {','.join(args.changelist)}{' --null' if args.null else ''}"
    echo_report.publish(echo_report.Page(
        "The server against a bare epoll loop",
        "How much more than a bare epoll loop in C does one worker cost?",
        command,
        {"evshard": programs.evshard, "loadgen": programs.loadgen, FLOOR: subjects[0].command[0]},
    ), args, subjects, measured, facts, folder)


def main():
    """Parse, build, measure three things, write."""
    args = parse_arguments()
    require("taskset", "cc")
    require_cores(args)
    connections.raise_descriptor_limit()
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    floor, *servers = subjects = subjects_of(args, programs)
    again = [replace(floor, name=NULL)] if args.null else []
    load = Load(programs.loadgen, duration=args.duration, warmup=args.warmup, threads=args.threads,
                core=args.loader_core)
    minutes = echo_cases.minutes(args, load, len(subjects) + len(again))
    print(f"{args.rounds} round(s) of {len(args.cases)} case(s), about {minutes:.0f} min", file=sys.stderr)
    with results.ResultFolder("floor", args.out, args.quick, programs.loadgen) as folder:
        runs = echo_cases.measure_cpu(args, [*subjects, *again], load, folder)
        measured = echo_report.Measured(
            reference=FLOOR,
            servers=[server.name for server in servers],
            target=TARGET,
            others=[subject.name for subject in again],
            runs=runs,
            traces=syscalls.measure_all(subjects, load, args.quick, folder.save),
            events_per_wait=events_per_wait(runs, servers),
            instructions=instructions.measure_all(subjects, load, folder.save),
            memory=echo_cases.measure_memory(args, subjects, folder),
        )
        write_results(args, programs, subjects, measured, facts, folder)


if __name__ == "__main__":
    run_main(main)
