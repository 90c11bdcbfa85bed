"""memory: measures whether the loader's memory grows over a long run."""

import sys
import time

import cli
import loader
import machine
import plot
import procfs
import results
from child import Failure, run_main
from loader import Load
from programs import Programs
from server import Server, evshard
from stats import spread, table

SCRIPT = "scripts/memory.sh"
TITLE = "The loader's memory over time"
QUESTION = "Does the loader's resident memory grow over a long run?"
TARGET = 1.02
SETTLED_S = 60.0  # after this time every buffer has been used
SETTLED_SHARE = 0.3  # of the run, if that is earlier
SAMPLE_S = 5.0
PARTS = 6  # of the run, each a point of the plot


def parse_arguments():
    """The command line of memory.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Runs loadgen for a long time at a rate, with Poisson arrivals and random message sizes. Each connection is\n"
        "replaced after 500 requests. Reads loadgen's resident memory every few seconds. The exit status is 1 if it\n"
        "grows by more than 2 % after the first minute.",
        f"{SCRIPT} --duration 30m",
    )
    parser.add_argument("--duration", type=cli.duration, default="10m", metavar="D", help="length of the run (default 10m)")
    parser.add_argument("--rate", type=cli.count, default=5000, metavar="R", help="requests/s (default 5000)")
    parser.add_argument("--connections", type=cli.count, default=64, metavar="N", help="connections (default 64)")
    cli.add_result_flags(parser)
    args = cli.parse(parser)
    args.duration = "6s" if args.quick else args.duration
    return args


def watch(task, load, samples):
    """Add (seconds, resident bytes) of the loader to `samples`, until the end of the load or of the loader."""
    step_s = min(SAMPLE_S, load.seconds / 20)
    started = time.monotonic()
    while (at_s := time.monotonic() - started) < load.seconds and not task.ended():
        samples.append((at_s, procfs.resident_bytes(task.pid)))
        time.sleep(step_s)


def growth(samples, settled_s):
    """The memory at `settled_s`, the largest after that, and the ratio of the second to the first."""
    later = [size for at_s, size in samples if at_s >= settled_s]
    if len(later) < 2:
        raise Failure("the loader ended before its memory could be measured twice")
    return later[0], max(later), max(later) / later[0]


def answer(first, largest, ratio, settled_s, requests):
    """The numbers as one sentence."""
    return (f"{first / 2**20:.2f} MiB after {settled_s:.0f} s, at most {largest / 2**20:.2f} MiB later, over "
            f"{requests:,} requests: {ratio:.3f} × (target {TARGET} {'met' if ratio <= TARGET else 'not met'}).")


def parts(samples):
    """Median and range of the memory in MiB over equal parts of the run, by the second at which each begins."""
    edges = [part * len(samples) // PARTS for part in range(PARTS + 1)]
    return [(f"{samples[first][0]:.0f}", spread(size / 2**20 for _, size in samples[first:last]))
            for first, last in zip(edges, edges[1:], strict=False) if first < last]


def notes(report, settled_s):
    """What a reader must know before a conclusion."""
    counters = report.values["counters"]
    return [
        f"Memory is VmRSS of /proc/PID/status. The later values are compared with that after {settled_s:.0f} s.",
        f"{counters['completed']:,} requests over {counters['connects']:,} connections, each replaced after 500 "
        "requests.",
        "The memory of a loader that keeps every sample grows with every request. loadgen has histograms of fixed size.",
        f"The loader's verdict on its own run: {loader.verdicts([report])}. This script judges only its memory.",
    ]


def main():
    """Parse, build, watch, write. Memory that grows fails the script."""
    args = parse_arguments()
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    load = Load(programs.loadgen, args.connections, "64..4KiB", None, args.duration, rate=args.rate, arrival="poisson",
                churn=500)
    settled_s = min(SETTLED_S, load.seconds * SETTLED_SHARE)
    print(f"one run of {args.duration}", file=sys.stderr)
    with results.ResultFolder("memory", args.out, args.quick, programs.loadgen) as folder:
        samples = []
        try:
            with Server(evshard(programs.evshard, 1)) as server, loader.start(load, server.address) as task:
                watch(task, load, samples)
                report = loader.finish(task, load)
        finally:
            folder.save("memory", {"settled_s": settled_s, "samples": samples})
        folder.save("loadgen", report.values)
        first, largest, ratio = growth(samples, settled_s)
        rows = table(["resident memory", "MiB"], [[f"after {settled_s:.0f} s", f"{first / 2**20:.3f}"],
                                                  ["largest after that", f"{largest / 2**20:.3f}"]])
        panel = plot.Panel("Resident memory", "MiB", "seconds from the start", parts(samples))
        folder.publish(results.Findings(
            TITLE, QUESTION, answer(first, largest, ratio, settled_s, report.completed), rows,
            [results.Picture("memory", "resident memory over time",
                             plot.Drawing(TITLE, "median and range of parts of one run", [panel]))],
            [f"{SCRIPT} --duration {args.duration} --rate {args.rate} --connections {args.connections}", "",
             "# which runs", " ".join(load.measured_argv("127.0.0.1:PORT"))],
            notes(report, settled_s),
        ), facts, {"evshard": programs.evshard, "loadgen": programs.loadgen})
    if ratio > TARGET and not args.quick:
        raise Failure(f"the loader's memory grew by a factor of {ratio:.3f}, and {TARGET} is allowed")


if __name__ == "__main__":
    run_main(main)
