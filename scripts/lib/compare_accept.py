"""compare_accept: the cost of accepting a connection, in each accept mode and in the way of memcached."""

import sys
import time
from dataclasses import dataclass, replace

import accept_report
import cli
import connect_flood
import machine
import measure
import procfs
import results
import shards
import syscalls
from child import run_main
from programs import Programs
from server import Server, Subject, evshard

SCRIPT = "scripts/compare_accept.sh"
PEER = "memcached_accept"
MODES = ("acceptor", "acceptor-in-shard0", "reuseport", "hybrid")
TRACED_CONNECTIONS = 5000


@dataclass(frozen=True)
class Run:
    """One run of the client on a fresh server."""

    report: connect_flood.Report
    server: dict

    @property
    def cpu_us_per_connection(self):
        """The server's CPU time for accepting, serving one byte and closing."""
        return self.server["cpu_ns"] / self.report.connections / 1000

    @property
    def wakes_per_connection(self):
        """The wakes that the server's table reports; None for a server without a table."""
        rows = shards.rows(self.server["shard_table"])
        return sum(int(row["wakes-sent"]) for row in rows) / self.report.connections if rows else None


def parse_arguments():
    """The command line of compare_accept.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Measures what it costs to accept a connection. Clients connect, send one byte, read its echo and close\n"
        "(benches/peers/storm.c). They do so on evshard in each accept mode, in turns with\n"
        "benches/peers/memcached_accept.c, which wakes a worker for every connection. Each server has two workers, and\n"
        "each run has a fresh server. Compares connections per second, and CPU and wakes per connection. Then strace\n"
        "counts system calls per connection.",
        f"{SCRIPT} --modes acceptor,reuseport --rounds 7",
    )
    parser.add_argument("--modes", type=cli.choices(*MODES), default=list(MODES), metavar="LIST",
                        help=f"accept modes, of {', '.join(MODES)} (default: all)")
    parser.add_argument("--workers", type=cli.count, default=2, metavar="N", help="workers (default 2)")
    parser.add_argument("--slots", type=cli.count, default=64, metavar="N",
                        help="open connections at any time (default 64)")
    parser.add_argument("--seconds", type=cli.count, default=3, metavar="S",
                        help="seconds of each run (default 3)")
    cli.add_rounds_flag(parser, 7)
    cli.add_result_flags(parser)
    args = cli.parse(parser)
    if args.quick:
        args.seconds = 1
    return args


def subjects_of(args, programs):
    """The peer, then the server in each mode. No thread is pinned, because the peer cannot pin its threads."""
    peer = Subject(PEER, (programs.compile_peer(PEER), "0", str(args.workers)), ends_by_signal=True)
    return [peer, *(evshard(programs.evshard, args.workers, name=mode, flags=("--no-pin", "--accept", mode))
                    for mode in args.modes)]


def run(subject, load):
    """Start `subject`, run the client on it, stop it."""
    with Server(subject) as server:
        time.sleep(measure.SETTLE_S)
        before = procfs.sample(server.pid)
        report = load.run(server.address)
        time.sleep(measure.SETTLE_S)
        threads = procfs.difference(before, procfs.sample(server.pid))
        command = load.argv(server.address)
        shard_table = server.stop()
    return Run(report, {
        "subject": subject.name,
        "server_command": subject.argv,
        "storm_command": command,
        "storm": report.values,
        "cpu_ns": sum(thread["cpu_ns"] for thread in threads),
        "threads": threads,
        "shard_table": shard_table,
    })


def measure_all(args, subjects, load, folder):
    """All rounds; the runs by subject name, in round order."""
    runs = {subject.name: [] for subject in subjects}
    for round_index in range(args.rounds):
        for subject in measure.rotated(subjects, round_index):
            label = f"round {round_index + 1}/{args.rounds}, {subject.name} ..."
            print(label, end="", file=sys.stderr, flush=True)
            done = run(subject, load)
            folder.save(f"round-{round_index + 1:02}-{subject.name}", done.server)
            runs[subject.name].append(done)
            print(f" {done.report.rate_per_s:,.0f} conns/s, {done.cpu_us_per_connection:.1f} µs/conn", file=sys.stderr)
    return runs


def trace(subject, load):
    """The system calls of a fresh `subject` for a known number of connections."""
    with Server(subject) as server:
        seen = syscalls.watch(server.pid, lambda: load.run(server.address))
        server.stop()
    return seen


def count_calls(subjects, load, folder):
    """The system calls of each subject by name, or the reason why they cannot be counted here."""
    records = {}

    def count(subject):
        seen = trace(subject, load)
        records[subject.name] = {"connections": load.count, "calls": seen.calls, "eventfd": seen.eventfd}
        folder.save("syscalls", records)
        return seen

    return syscalls.of_each(subjects, count)


def write_results(args, programs, subjects, measured, load, facts, folder):
    """Publish what was found."""
    command = (f"{SCRIPT} --modes {','.join(args.modes)} --workers {args.workers} --slots {args.slots} "
               f"--seconds {args.seconds} --rounds {args.rounds}")
    commands = [command, "", "# which runs, in turns,", *(" ".join(subject.argv) for subject in subjects),
                " ".join(load.argv("127.0.0.1:PORT"))]
    paths = {"evshard": programs.evshard, PEER: subjects[0].command[0], connect_flood.PROGRAM: load.program}
    folder.publish(results.Findings(
        accept_report.TITLE, accept_report.QUESTION, accept_report.answer(measured), accept_report.body(measured),
        [results.Picture("accept", "by accept mode", accept_report.picture(measured))],
        commands, accept_report.notes(machine.cores(), args.workers),
    ), facts, paths)


def main():
    """Parse, build, measure, count, write."""
    args = parse_arguments()
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    subjects = subjects_of(args, programs)
    load = connect_flood.ConnectFlood(programs.compile_peer(connect_flood.PROGRAM), args.slots, args.seconds)
    counted = replace(load, seconds=60, count=TRACED_CONNECTIONS // (10 if args.quick else 1))
    minutes = args.rounds * len(subjects) * (args.seconds + 1) / 60
    print(f"{args.rounds} round(s) of {len(subjects)} servers, about {minutes:.1f} min", file=sys.stderr)
    with results.ResultFolder("accept", args.out, args.quick, programs.loadgen) as folder:
        runs = measure_all(args, subjects, load, folder)
        traces = count_calls(subjects, counted, folder)
        measured = accept_report.Measured(PEER, args.modes, runs, traces, counted.count)
        write_results(args, programs, subjects, measured, load, facts, folder)


if __name__ == "__main__":
    run_main(main)
