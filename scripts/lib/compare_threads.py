"""compare_threads: what more workers change: CPU per request, balance, rate and latency."""

import sys

import cli
import machine
import measure
import plot
import results
import syscalls
from child import run_main
from loader import Load
from programs import Programs
from server import evshard
from stats import cell, median_cell, spread, table

SCRIPT = "scripts/compare_threads.sh"
TITLE = "The same load on more workers"
QUESTION = "Does the server's CPU time per request stay flat as workers are added?"


def parse_arguments():
    """The command line of compare_threads.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Runs the server with several worker counts under the same load, in interleaved rounds with a fresh server\n"
        "for every run, and compares CPU per request, shard balance, rate and latency.",
        f"{SCRIPT} --workers 1,2,4 --rounds 5 --connections 64 --duration 3s",
    )
    parser.add_argument("--workers", type=cli.counts, default=[1, 2, 4], metavar="LIST", help="default 1,2,4")
    parser.add_argument("--connections", type=cli.count, default=64, metavar="N", help="default 64")
    parser.add_argument("--size", type=cli.count, default=64, metavar="BYTES", help="message size (default 64)")
    parser.add_argument("--pipeline", type=cli.count, default=1, metavar="N", help="in flight each (default 1)")
    cli.add_comparison_flags(parser, rounds=5, threads=machine.default_loader_threads())
    return cli.parse(parser)


def subject(programs, workers):
    """The server with that many workers."""
    return evshard(programs.evshard, workers, name=f"workers-{workers}")


def measure_all(args, programs, load, folder):
    """All rounds; returns the runs by worker count, in round order."""
    runs = {workers: [] for workers in args.workers}
    total = args.rounds * len(args.workers)
    done = 0
    for round_index in range(args.rounds):
        for workers in measure.rotated(args.workers, round_index):
            done += 1
            label = f"[{done}/{total}] round {round_index + 1}, workers {workers} ..."
            print(label, end="", file=sys.stderr, flush=True)
            run = measure.run(subject(programs, workers), load)
            run.save(folder.raw, f"round-{round_index + 1:02}-workers-{workers}")
            runs[workers].append(run)
            print(f" {run.report.rate_per_s:,.0f} req/s, {run.cpu_us_per_request:.2f} µs/req", file=sys.stderr)
    return runs


def summary_table(runs):
    """One row per worker count."""
    header = [
        "workers", "n", "rate, req/s", "p50, µs", "p99, µs", "p99.9, µs", "server CPU, µs/req", "switches/1,000 req",
        "conns max/mean", "reads max/mean", "busiest loader thread",
    ]
    rows = []
    for workers, of_count in runs.items():
        latencies = [median_cell((r.report.service_us(q) for r in of_count), 1) for q in ("p50", "p99", "p999")]
        switches = (1000 * (r.server["voluntary_switches"] + r.server["involuntary_switches"]) / r.report.completed
                    for r in of_count)
        rows.append([
            workers,
            len(of_count),
            cell(spread(r.report.rate_per_s for r in of_count), 0),
            *latencies,
            cell(cpu(of_count)),
            median_cell(switches, 1),
            median_cell(r.balance("connections") for r in of_count),
            median_cell(r.balance("reads") for r in of_count),
            f"{median_cell((100 * r.report.busiest_thread_share for r in of_count), 0)} % CPU",
        ])
    return table(header, rows)


def syscall_table(traces):
    """System calls per echo by worker count: what stays flat whatever the cores are busy with."""
    if isinstance(traces, str):
        return traces
    rows = [[name, f"{trace.echoes:,}", f"{trace.calls_per_echo:.3f}", trace.listing(), trace.coordination()]
            for name, trace in traces.items()]
    return table(["server", "echoes seen", "calls/echo", "by name, per echo", "between threads"], rows)


def cpu(of_count):
    """Server CPU per request over the rounds."""
    return spread(run.cpu_us_per_request for run in of_count)


def answer(runs):
    """The numbers as one sentence."""
    medians = {workers: cpu(of_count).median for workers, of_count in runs.items()}
    counts = ", ".join(f"{median:.2f} with {workers}" for workers, median in medians.items())
    rounds = len(next(iter(runs.values())))
    if len(medians) == 1:
        return f"Median server CPU per request in µs by worker count: {counts} (n = {rounds})."
    ratio = max(medians.values()) / min(medians.values())
    return (f"Median server CPU per request in µs by worker count: {counts} (n = {rounds} each); "
            f"the highest is {ratio:.2f} times the lowest.")


def picture(runs, load):
    """CPU per request and rate by worker count, side by side."""
    rounds = len(next(iter(runs.values())))
    caption = (f"median and range of {rounds} run(s); {load.connections} connections, {load.size} B, "
               f"{load.pipeline} in flight; loader on the same machine")
    rates = [(str(workers), spread(r.report.rate_per_s for r in of_count)) for workers, of_count in runs.items()]
    costs = [(str(workers), cpu(of_count)) for workers, of_count in runs.items()]
    return plot.svg(TITLE, caption, [
        plot.Panel("Server CPU per request", "CPU time per request, µs", "workers", costs),
        plot.Panel("Rate", "requests per second", "workers", rates),
    ])


def notes(workers):
    """What a reader must know before drawing a conclusion."""
    cores = machine.cores()
    shared = (f"{cores} cores carry the loader, the acceptor and up to {max(workers)} workers together, so neither "
              "the rate nor the latency says how the server scales: more workers cannot go faster here.")
    roomy = (f"{cores} cores carry the loader, the acceptor and the workers on one machine; where the busiest loader "
             "thread is near 100 % CPU the rate is the loader's, not the server's.")
    return [
        shared if cores < max(workers) + 2 else roomy,
        "What can be shown is the cost. System calls per echo without futex or eventfd mean that workers do not get in "
        "each other's way; CPU per request that grows with them means that threads outnumber cores and are switched.",
        "CPU time is the sum over the server's threads of the first field of /proc/PID/task/TID/schedstat (ns), read "
        "before and after the load, over all requests answered, warm-up and connecting included.",
        "Latency is the closed loop's service time, from the actual send: it and the rate determine each other.",
        "Percentiles are medians over runs of each run's percentile; percentiles are never averaged.",
    ]


def write_results(args, programs, load, runs, traces, facts, folder):
    """Publish what was found."""
    command = (f"{SCRIPT} --workers {','.join(map(str, args.workers))} --rounds {args.rounds} "
               f"--connections {load.connections} --size {load.size} --pipeline {load.pipeline} "
               f"--duration {load.duration} --warmup {load.warmup} --threads {load.threads}")
    last = runs[args.workers[-1]][-1].server
    commands = [command, "", "# which runs, for each worker count,",
                " ".join(last["server_command"]), results.unported(last["loader_command"])]
    body = (f"Median [lowest..highest] of n runs.\n\n{summary_table(runs)}\n\n"
            f"System calls per echo at 50 busy connections, one window of strace each:\n\n{syscall_table(traces)}\n\n"
            f"The last run's shards:\n\n```\n{last['shard_table'].strip()}\n```")
    folder.publish(results.Findings(
        TITLE, QUESTION, answer(runs), body,
        [results.Picture("threads", "CPU per request and rate by worker count", picture(runs, load))],
        commands, notes(args.workers),
    ), facts, {"evshard": programs.evshard, "loadgen": programs.loadgen})


def main():
    """Parse, build, measure, write."""
    args = parse_arguments()
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    load = Load(programs.loadgen, args.connections, args.size, args.pipeline, args.duration, args.warmup,
                args.threads)
    minutes = args.rounds * len(args.workers) * (load.seconds + 1) / 60
    print(f"{args.rounds} round(s) of {len(args.workers)} worker counts, about {minutes:.1f} min", file=sys.stderr)
    with results.ResultFolder("threads", args.out, args.quick) as folder:
        runs = measure_all(args, programs, load, folder)
        traces = syscalls.measure_all([subject(programs, w) for w in args.workers], load, args.quick, folder.save)
        write_results(args, programs, load, runs, traces, facts, folder)


if __name__ == "__main__":
    run_main(main)
