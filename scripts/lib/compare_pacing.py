"""compare_pacing: the lateness of loadgen's sends with each pacing, beside that of a loop on tokio's timers."""

import sys
from dataclasses import replace

import cli
import loader
import machine
import measure
import pacing_report
import results
import tokio_timer
from child import run_main
from loader import Load, seconds
from programs import Programs, require, require_cores
from server import Server, evshard

SCRIPT = "scripts/compare_pacing.sh"
PACINGS = ("sleep", "hybrid", "spin")
ARRIVALS = ("constant", "poisson")


def parse_arguments():
    """The command line of compare_pacing.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Measures how late loadgen sends at a rate, with each pacing and each arrival process. A loop on tokio's timers\n"
        "(benches/peers/tokio_timer) runs in turns with it, at the same rate. The server is evshard with one worker,\n"
        "fresh for every run. Client and server have a core each.",
        f"{SCRIPT} --rate 50000 --rounds 7",
    )
    parser.add_argument("--rate", type=cli.count, default=20_000, metavar="R", help="requests/s (default 20000)")
    parser.add_argument("--connections", type=cli.count, default=64, metavar="N", help="connections (default 64)")
    cli.add_core_flags(parser)
    cli.add_rounds_flag(parser, rounds=5)
    parser.add_argument("--duration", type=cli.duration, default="5s", metavar="D", help="measured time (default 5s)")
    cli.add_result_flags(parser)
    args = cli.parse(parser)
    if not args.quick:
        args.warmup = "1s"
    return args


def subjects_of(args, programs, peer):
    """The subjects: pairs of a name and a load, of loadgen or of the peer."""
    ours = Load(programs.loadgen, args.connections, pipeline=None, duration=args.duration, warmup=args.warmup,
                core=args.loader_core, rate=args.rate)
    loads = [(f"{pacing}, {arrival}", replace(ours, pacing=pacing, arrival=arrival))
             for arrival in ARRIVALS[:1 if args.quick else None] for pacing in PACINGS]
    length_s = max(1, round(seconds(args.duration)))
    return [*loads, (tokio_timer.PROGRAM,
                     tokio_timer.TokioTimer(peer, args.rate, args.connections, length_s, args.loader_core))]


def run_ours(load, address):
    """Run loadgen. Returns the lateness, and the record."""
    report = loader.run(load, address)
    lateness_us = {quantile: report.us("lateness", quantile) for quantile in tokio_timer.QUANTILES}
    return pacing_report.Run(lateness_us, report.busiest_thread_share, report), report.values


def run_peer(load, address):
    """Run the peer. Returns the lateness, and the record."""
    lateness_us, cpu_s = load.run(address)
    cpu_share = cpu_s / (tokio_timer.WARMUP_S + load.seconds)
    return pacing_report.Run(lateness_us, cpu_share), {"lateness_us": lateness_us, "cpu_s": cpu_s}


def measure_all(args, subjects, server, folder):
    """All rounds; the runs by subject name, in round order."""
    runs = {name: [] for name, _ in subjects}
    for round_index in range(args.rounds):
        for name, load in measure.rotated(subjects, round_index):
            print(f"round {round_index + 1}/{args.rounds}, {name} ...", end="", file=sys.stderr, flush=True)
            with Server(server) as running:
                drive = run_ours if isinstance(load, Load) else run_peer
                run, record = drive(load, running.address)
                running.stop()
            folder.save(f"round-{round_index + 1:02}-{name.replace(', ', '-')}", record)
            runs[name].append(run)
            print(f" p50 {run.lateness_us['p50']:.1f} µs, max {run.lateness_us['max']:,.0f} µs", file=sys.stderr)
    return runs


def write_results(args, programs, peer, subjects, server, measured, facts, folder):
    """Publish what was found."""
    command = (f"{SCRIPT} --rate {args.rate} --connections {args.connections} --duration {args.duration} "
               f"--rounds {args.rounds} --server-core {args.server_core} --loader-core {args.loader_core}")
    commands = [command, "", "# which runs, in turns,", " ".join(server.argv)]
    for _, load in subjects:
        argv = load.measured_argv if isinstance(load, Load) else load.argv
        commands.append(" ".join(argv("127.0.0.1:PORT")))
    folder.publish(results.Findings(
        pacing_report.TITLE, pacing_report.QUESTION, pacing_report.answer(measured), pacing_report.body(measured),
        [results.Picture("pacing", "p99.9 of the lateness", pacing_report.picture(measured))],
        commands, pacing_report.notes(args),
    ), facts, {"evshard": programs.evshard, "loadgen": programs.loadgen, tokio_timer.PROGRAM: peer})


def main():
    """Parse, build, measure, write."""
    args = parse_arguments()
    require("taskset")
    require_cores(args)
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    peer = programs.cargo_peer(tokio_timer.PROGRAM)
    subjects = subjects_of(args, programs, peer)
    server = evshard(programs.evshard, 1, core=args.server_core, flags=("--no-pin",))
    minutes = args.rounds * len(subjects) * (seconds(args.duration) + seconds(args.warmup) + 1) / 60
    print(f"{args.rounds} round(s) of {len(subjects)} clients, about {minutes:.1f} min", file=sys.stderr)
    with results.ResultFolder("pacing", args.out, args.quick, programs.loadgen) as folder:
        runs = measure_all(args, subjects, server, folder)
        write_results(args, programs, peer, subjects, server, pacing_report.Measured(runs, args.rate), facts, folder)


if __name__ == "__main__":
    run_main(main)
