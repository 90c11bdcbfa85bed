"""compare_broadcast: what a delivery of a broadcast costs, beside a bare loop of send(2)."""

import sys

import broadcast_client
import cli
import connections
import machine
import measure
import plot
import results
from child import Failure, run_main
from programs import Programs, require, require_cores
from server import Server, Subject
from stats import cell, interval_cell, paired_ratios, spread, table, verdict

SCRIPT = "scripts/compare_broadcast.sh"
OURS, BARE = "broker", "bare_send"
TARGET = 1.1
TITLE = "A broadcast, and a bare loop of send"
QUESTION = "What does a delivery of a broadcast cost, beside a bare loop of send(2)?"
QUICK_CONNECTIONS, QUICK_BROADCASTS = 500, 5


def parse_arguments():
    """The command line of compare_broadcast.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Runs the example broker with one worker in turns with a loop that only calls send(2) (benches/peers/bare_send.c).\n"
        "They share one core, and the client, which reads all, has another. Compares the CPU time of a delivery.",
        f"{SCRIPT} --rounds 9 --connections 10000 --server-core 0 --loader-core 1",
    )
    parser.add_argument("--connections", type=cli.count, default=10_000, metavar="N",
                        help="number of subscribers (default 10000; --quick 500)")
    parser.add_argument("--broadcasts", type=cli.count, default=100, metavar="N",
                        help="broadcasts of each run (default 100; --quick 5)")
    parser.add_argument("--size", type=cli.count, default=1024, metavar="BYTES",
                        help="bytes of a message, from 64 to 4000 (default 1024)")
    cli.add_core_flags(parser)
    cli.add_rounds_flag(parser, rounds=9)
    cli.add_result_flags(parser)
    args = cli.parse(parser)
    if not 64 <= args.size <= 4000:
        parser.error(f"--size {args.size} is not from 64 to 4000")
    if args.quick:
        args.connections, args.broadcasts = min(args.connections, QUICK_CONNECTIONS), QUICK_BROADCASTS
    return args


def measure_all(args, subjects, folder):
    """The nanoseconds of CPU time of a delivery by subject name, in round order."""
    found = {subject.name: [] for subject in subjects}
    for round_index in range(args.rounds):
        for subject in measure.rotated(subjects, round_index):
            print(f"[{round_index + 1}/{args.rounds}] {subject.name} ...", end="", file=sys.stderr, flush=True)
            with Server(subject) as server:
                cpu_ns = broadcast_client.measure(server, args.loader_core, args.connections, args.broadcasts, args.size)
                server.stop()
            folder.save(f"round-{round_index + 1:02}-{subject.name}", {
                "subject": subject.name, "round": round_index + 1, "connections": args.connections,
                "broadcasts": args.broadcasts, "bytes": args.size, "cpu_ns_per_delivery": cpu_ns,
            })
            found[subject.name].append(cpu_ns)
            print(f" {cpu_ns:,.0f} ns", file=sys.stderr)
    return found


def findings(args, found, subjects):
    """What the runs show."""
    ratios = paired_ratios(found[OURS], found[BARE])
    ratio = spread(ratios)
    rows = [[BARE, cell(spread(found[BARE]), 0), "1", "", ""],
            [OURS, cell(spread(found[OURS]), 0), cell(ratio, 3), interval_cell(ratios), verdict(ratio, TARGET)]]
    body = (f"## {args.size:,} B to {args.connections:,} connections\n\nCPU time of the server for a delivery, median "
            f"[lowest..highest] of {args.rounds} round(s) of {args.broadcasts} broadcasts.\n\n"
            + table(["server", "CPU, ns", "ratio", "95 % interval", f"target {TARGET}"], rows))
    answer = (f"A delivery of {args.size:,} B to {args.connections:,} connections uses {cell(ratio, 2)} times the CPU time "
              f"of a bare send (target {TARGET}).")
    panel = plot.Panel("CPU time of a delivery", "ns", "server",
                       [(name, spread(values)) for name, values in found.items()])
    commands = [f"{SCRIPT} --rounds {args.rounds} --connections {args.connections} --broadcasts {args.broadcasts} "
                f"--size {args.size}", "", "# which runs", *(" ".join(subject.argv) for subject in subjects)]
    return results.Findings(TITLE, QUESTION, answer, body,
                            [results.Picture("delivery", "CPU time of a delivery by server",
                                             plot.Drawing(TITLE, f"{args.connections:,} connections", [panel]))],
                            commands, [
        "The CPU time is that of all threads of the server. On loopback, it has the kernel's work for the receiver, too.",
        "The client reads while the server sends, and no socket is ever full. A broadcast begins when all have the last one.",
        "The bare loop visits its subscribers in the order of accepting, which the broker's order resembles.",
    ])


def main():
    """Parse, build, measure, write."""
    args = parse_arguments()
    require("taskset", "cc")
    require_cores(args)
    if connections.affordable(args.connections + 1) <= args.connections:
        raise Failure(f"{args.connections} connections need more open files than `ulimit -Hn` allows: choose fewer with "
                      "--connections")
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    bare, ours = programs.compile_peer(BARE), programs.example(OURS)
    subjects = [
        Subject(BARE, (bare,), args.server_core, ends_by_signal=True),
        Subject(OURS, (ours, "127.0.0.1:0", "--workers", "1"), args.server_core, ends_by_signal=True),
    ]
    with results.ResultFolder("broadcast", args.out, args.quick, programs.loadgen) as folder:
        found = measure_all(args, subjects, folder)
        programs_by_name = {subject.name: subject.command[0] for subject in subjects}
        folder.publish(findings(args, found, subjects), facts, programs_by_name)


if __name__ == "__main__":
    run_main(main)
