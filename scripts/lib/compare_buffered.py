"""compare_buffered: what buffered events cost, beside libevent's bufferevents and a bare sendfile loop."""

import sys

import cli
import connections
import echo_cases
import echo_report
import file_transfer
import instructions
import machine
import results
import syscalls
from child import run_main
from loader import Load
from programs import LIBEVENT, Programs, require, require_cores
from server import Subject

SCRIPT = "scripts/compare_buffered.sh"
LIBEVENT_BUFFERED = "libevent_buffered_echo"
OURS = "buffered_echo"
CONTEXT = "libevent_echo"  # the same library without buffers
FLOOR = "bare_epoll"
TARGET = 0.75
NO_LIMIT = str(10**12)  # bytes per second, which no machine reaches


def parse_arguments():
    """The command line of compare_buffered.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Runs the echo server on our buffered events (examples/buffered_echo.rs) in turns with the same server on\n"
        "libevent's bufferevents, a server on libevent's plain events, and a bare epoll loop (benches/peers/). They share\n"
        "one core, and the loader has another. Compares CPU per request, then system calls and instructions per echo, then\n"
        "user memory per idle connection. Then sends a large file by examples/download.rs and by a bare sendfile loop.",
        f"{SCRIPT} --rounds 7 --cases 1,2 --server-core 0 --loader-core 1",
    )
    echo_cases.add_cases_flag(parser)
    cli.add_core_flags(parser)
    cli.add_comparison_flags(parser, rounds=7, threads=1)
    return echo_cases.parse(parser)


def echo_servers(args, programs):
    """The servers that echo; the first is the one that the others are compared with."""
    commands = {
        LIBEVENT_BUFFERED: (programs.compile_peer(LIBEVENT_BUFFERED, LIBEVENT), "0"),
        OURS: (programs.example(OURS), "127.0.0.1:0"),
        CONTEXT: (programs.compile_peer(CONTEXT, LIBEVENT), "0"),
        FLOOR: (programs.compile_peer(FLOOR), "0"),
    }
    return [Subject(name, command, args.server_core, ends_by_signal=True) for name, command in commands.items()]


def file_servers(args, programs):
    """A function of the file's path that returns the servers which send it; the first is compared with."""
    bare, ours = programs.compile_peer("bare_sendfile"), programs.example("download")
    return lambda path: [
        Subject("bare_sendfile", (bare, path), args.server_core, ends_by_signal=True),
        Subject("download", (ours, path, NO_LIMIT, "127.0.0.1:0"), args.server_core, ends_by_signal=True),
    ]


def main():
    """Parse, build, measure, write."""
    args = parse_arguments()
    require("taskset", "cc")
    require_cores(args)
    connections.raise_descriptor_limit()
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    subjects, senders = echo_servers(args, programs), file_servers(args, programs)
    load = Load(programs.loadgen, duration=args.duration, warmup=args.warmup, threads=args.threads,
                core=args.loader_core)
    print(f"{args.rounds} round(s) of {len(args.cases)} case(s), about "
          f"{echo_cases.minutes(args, load, len(subjects)):.0f} min", file=sys.stderr)
    with results.ResultFolder("buffered", args.out, args.quick, programs.loadgen) as folder:
        measured = echo_report.Measured(
            reference=LIBEVENT_BUFFERED,
            servers=[OURS],
            target=TARGET,
            others=[CONTEXT, FLOOR],
            runs=echo_cases.measure_cpu(args, subjects, load, folder),
            traces=syscalls.measure_all(subjects, load, args.quick, folder.save),
            events_per_wait={},
            instructions=instructions.measure_all(subjects, load, folder.save),
            memory=echo_cases.measure_memory(args, subjects, folder),
        )
        files = file_transfer.measure_all(args, senders, folder)
        echo_report.publish(echo_report.Page(
            "Buffered events against libevent's",
            "What do buffered events cost, beside libevent's bufferevents and a bare sendfile loop?",
            SCRIPT,
            {"loadgen": programs.loadgen, **{subject.name: subject.command[0] for subject in subjects}},
            (file_transfer.answer(files),),
            (file_transfer.section(args, files),),
            ("The examples keep a table of their clients' addresses, which the C programs do not. It is in their memory.",),
        ), args, subjects, measured, facts, folder)


if __name__ == "__main__":
    run_main(main)
