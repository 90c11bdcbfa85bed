"""compare_placement: each placement with hot and cold connections, and with connections of equal rates."""

import sys
import time
from dataclasses import dataclass

import admin
import cli
import machine
import measure
import placement_report
import results
from child import run_main
from programs import Programs
from server import Server, evshard
from skewed_rates import PROGRAM, Report, SkewedRates
from stats import jain

SCRIPT = "scripts/compare_placement.sh"
PLACEMENTS = ("round-robin", "least-connections", "least-loaded", "two-choices", "source-hash", "incoming-cpu")
CONNECTIONS = 32
GAP_MS = 50  # between connects, so that a placement by load sees the load of the connections before


@dataclass(frozen=True)
class Run:
    """One load on a fresh server."""

    report: Report
    record: dict

    @property
    def jain_connections(self):
        """Jain's index of the connections that the shards got."""
        return jain(self.record["connections"])

    @property
    def jain_busy(self):
        """Jain's index of the CPU time that the shards used over the whole run."""
        return jain(self.record["cpu_ns"])


def parse_arguments():
    """The command line of compare_placement.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Runs evshard with two workers and `--service work`, with each placement in turns, each time with a fresh\n"
        f"server. An open-loop client (benches/peers/unequal.c) has {CONNECTIONS} long-lived connections. First, a few\n"
        "are hot, with a high rate, and the others are cold. Then all have the same rate. Compares response times and\n"
        "the balance of the workers.",
        f"{SCRIPT} --placements round-robin,least-loaded --rounds 7",
    )
    parser.add_argument("--placements", type=cli.choices(*PLACEMENTS), default=list(PLACEMENTS), metavar="LIST",
                        help=f"placements, of {', '.join(PLACEMENTS)} (default: all)")
    parser.add_argument("--work", default="spin:150us", metavar="TIME",
                        help="what a request costs, as the server's --work (default spin:150us)")
    parser.add_argument("--hot", type=cli.count, default=4, metavar="N",
                        help=f"hot connections, of {CONNECTIONS} (default 4)")
    parser.add_argument("--hot-rate", type=cli.count, default=800, metavar="PER_S",
                        help="requests/s of each hot connection (default 800)")
    parser.add_argument("--cold-rate", type=cli.count, default=20, metavar="PER_S",
                        help="requests/s of each cold connection (default 20)")
    parser.add_argument("--seconds", type=cli.count, default=5, metavar="S",
                        help="measured time of each run (default 5)")
    cli.add_rounds_flag(parser, 7)
    cli.add_result_flags(parser)
    args = cli.parse(parser)
    if args.hot >= CONNECTIONS:
        parser.error(f"--hot must be less than {CONNECTIONS}, so that some connections are cold")
    if args.quick:
        args.seconds, args.placements = 1, args.placements[:3]
    return args


def loads_of(args, program):
    """The loads by name. With equal rates, the sum of the rates is the same."""
    cold = CONNECTIONS - args.hot
    equal_rate = (args.hot * args.hot_rate + cold * args.cold_rate) // CONNECTIONS
    times = {"gap_ms": 5, "warmup_ms": 100} if args.quick else {"gap_ms": GAP_MS, "warmup_ms": 1000}
    return {
        "unequal": SkewedRates(program, args.hot, args.hot_rate, cold, args.cold_rate, seconds=args.seconds, **times),
        "equal": SkewedRates(program, 0, 1, CONNECTIONS, equal_rate, seconds=args.seconds, **times),
    }


def subjects_of(args, programs):
    """The server with each placement. The accept mode is given, because its default depends on the number of cores."""
    flags = ("--accept", "acceptor", "--service", "work", "--work", args.work, "--admin", "127.0.0.1:0")
    return [evshard(programs.evshard, 2, name=name, flags=(*flags, "--placement", name)) for name in args.placements]


def run(subject, load):
    """Start `subject`, run `load` on it, read the statistics of its shards, and stop it."""
    with Server(subject) as server:
        time.sleep(measure.SETTLE_S)
        before = admin.stats(server.admin)
        report = load.run(server.address)
        after = admin.stats(server.admin)
        command = load.argv(server.address)
        server.stop()
    return Run(report, {
        "subject": subject.name,
        "server_command": subject.argv,
        "client_command": command,
        "client": report.values,
        "connections": _growth(before, after, "connections"),
        "cpu_ns": _growth(before, after, "cpu_ns"),
        "stats": after,
    })


def _growth(before, after, name):
    pairs = zip(admin.per_shard(before, name), admin.per_shard(after, name), strict=True)
    return [now - was for was, now in pairs]


def measure_all(args, subjects, loads, folder):
    """All rounds; the runs by load name and placement, in round order."""
    runs = {name: {subject.name: [] for subject in subjects} for name in loads}
    for round_index in range(args.rounds):
        for name, load in loads.items():
            for subject in measure.rotated(subjects, round_index):
                label = f"round {round_index + 1}/{args.rounds}, {name} rates, {subject.name} ..."
                print(label, end="", file=sys.stderr, flush=True)
                done = run(subject, load)
                folder.save(f"{name}-round-{round_index + 1:02}-{subject.name}", done.record)
                runs[name][subject.name].append(done)
                print(f" p99 {done.report.response_ms('all', 'p99'):.2f} ms", file=sys.stderr)
    return runs


def write_results(args, programs, subjects, loads, measured, facts, folder):
    """Publish what was found."""
    command = (f"{SCRIPT} --placements {','.join(args.placements)} --work {args.work} --hot {args.hot} "
               f"--hot-rate {args.hot_rate} --cold-rate {args.cold_rate} --seconds {args.seconds} "
               f"--rounds {args.rounds}")
    commands = [command, "", "# which runs, in turns,", *(" ".join(subject.argv) for subject in subjects),
                *(" ".join(load.argv("127.0.0.1:PORT")) for load in loads.values())]
    paths = {"evshard": programs.evshard, PROGRAM: loads["equal"].program}
    folder.publish(results.Findings(
        placement_report.TITLE, placement_report.QUESTION, placement_report.answer(measured),
        placement_report.body(measured),
        [results.Picture("placement", "by placement", placement_report.picture(measured))],
        commands, placement_report.notes(machine.cores(), loads),
    ), facts, paths)


def main():
    """Parse, build, measure, write."""
    args = parse_arguments()
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    subjects, loads = subjects_of(args, programs), loads_of(args, programs.compile_peer(PROGRAM))
    minutes = args.rounds * len(subjects) * sum(load.total_s + 1 for load in loads.values()) / 60
    print(f"{args.rounds} round(s) of {len(subjects)} placements, about {minutes:.1f} min", file=sys.stderr)
    with results.ResultFolder("placement", args.out, args.quick, programs.loadgen) as folder:
        runs = measure_all(args, subjects, loads, folder)
        write_results(args, programs, subjects, loads, placement_report.Measured(args.placements, runs), facts, folder)


if __name__ == "__main__":
    run_main(main)
