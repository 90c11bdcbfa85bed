"""quickstart: builds both programs, starts the server, loads it, and prints both reports."""

import argparse

import child
import cli
import machine
from child import run_main
from loader import OVERHEAD_S, USABLE_STATUS, Load
from programs import Programs
from server import Server, evshard
from sweeps import CLOSED

SCRIPT = "scripts/quickstart.sh"
RATE = "10k"  # far below what a core can do, and enough requests for p99.99 in 4 s


def parse_arguments():
    """The command line of quickstart.sh. Every flag has a default that suits the machine."""
    workers = max(2, machine.cores() // 2)  # at least two, so that the table of shards shows the placement
    parser = cli.Parser(
        SCRIPT,
        "Builds evshard and loadgen, starts the server on a free port, and sends requests for about five seconds.\n"
        "Prints the loader's verdict and latency table, stops the server, and prints its table of shards.\n\n"
        "The loader has a core for each of its threads, and the server has the other cores. With two cores, the workers\n"
        "share one core. The table then shows how connections are placed, and not how the server scales. If the loader\n"
        "cannot have cores of its own, the first line gives the reason.",
        f"{SCRIPT} --rate 50k --workers 4 --threads 2",
    )
    parser.add_argument("--workers", type=cli.count, default=workers, metavar="N",
                        help=f"workers of the server (default {workers})")
    parser.add_argument("--connections", type=cli.count, default=64, metavar="N", help="connections (default 64)")
    parser.add_argument(
        "--rate", type=rate, metavar="R",
        help=f"requests per second, or '{CLOSED}' for a closed loop, which sends as fast as replies come and shows the "
        "highest rate of both together; the verdict is INVALID if the loader uses its whole core before the server does "
        f"(default: {RATE}, which leaves both idle time; on a machine of one core '{CLOSED}', because no schedule can be "
        "kept there)",
    )
    parser.add_argument(
        "--threads", type=cli.count, metavar="N",
        help=f"threads of the loader (default: 1; for '{CLOSED}', half the cores)",
    )
    parser.add_argument("--duration", type=cli.duration, default="4s", metavar="D",
                        help="measured time, after a warm-up of 1 s (default 4s)")
    return parser.parse_args()


def rate(text):
    """A rate, which the loader checks, or the word for a closed loop."""
    if text != CLOSED and not text[:1].isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not a rate such as 10k, and not '{CLOSED}'")
    return text


def step(text):
    """Print what happens next. Flush it, so that it precedes the output of a child."""
    print(f"==> {text}", flush=True)


def plan(args):
    """The cores of server and loader, and the settings of the load."""
    chosen = args.rate or (CLOSED if machine.cores() == 1 else RATE)
    threads = args.threads or (machine.default_loader_threads() if chosen == CLOSED else 1)
    threads = min(threads, args.connections)
    division = machine.division(threads)
    return division, {
        "connections": args.connections,
        "threads": threads,
        "duration": args.duration,
        "rate": None if chosen == CLOSED else chosen,
        "pipeline": None,
        "pin": division.loader and machine.listed(division.loader),
        "pacing": "hybrid" if division.may_spin else "sleep",
    }


def main():
    """Build, start the server, load it, stop it."""
    args = parse_arguments()
    division, settings = plan(args)
    if division.shared:
        step(f"server and loader share {division.shared}. Each takes time from the other, "
             "so the verdict may be SUSPECT or INVALID.")
    if args.bin_dir is None:
        step("building evshard and loadgen (release)")
    programs = Programs(args.bin_dir)
    step(f"starting the server with {args.workers} worker(s) on a free port{on(division.server)}")
    with Server(evshard(programs.evshard, args.workers), division.server) as server:
        step(f"listening on {server.address} (process {server.pid})")
        load = Load(programs.loadgen, server_pid=server.pid, **settings)
        step(f"driving it{on(division.loader)}: {load.connections} connections, {load.threads} loader thread(s), "
             f"{pace(load.rate)}, 1s warm-up + {load.duration}")
        child.run(load.argv(server.address), "loadgen", load.seconds + OVERHEAD_S, capture=False,
                  expected=USABLE_STATUS)
        step("stopping the server (SIGTERM)")
        print(server.stop().rstrip(), flush=True)
    step("done")


def on(cores):
    """The cores of a program, as words for the line that announces it."""
    if cores is None:
        return ""
    return f", on core{'s' if len(cores) > 1 else ''} {machine.listed(cores)}"


def pace(requests_per_s):
    """The pace of the requests, in words."""
    return f"{requests_per_s} requests/s" if requests_per_s else "as fast as replies come"


if __name__ == "__main__":
    run_main(main)
