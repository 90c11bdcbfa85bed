"""quickstart: build, serve, drive, report: the whole project in one command."""

import child
import cli
import machine
from child import run_main
from loader import OVERHEAD_S, USABLE_STATUS, Load
from programs import Programs
from server import Server, evshard

SCRIPT = "scripts/quickstart.sh"


def parse_arguments():
    """The command line of quickstart.sh; every flag has a default that suits the machine."""
    workers = max(2, machine.cores() // 2)  # at least two, or there are no shards to see
    parser = cli.Parser(
        SCRIPT,
        "Builds evshard and loadgen, starts the server on a free port, drives it for about five seconds, prints the\n"
        "latency table, stops the server and prints its per-shard table.",
        SCRIPT,
    )
    parser.add_argument("--workers", type=cli.count, default=workers, metavar="N", help=f"default {workers}")
    parser.add_argument("--connections", type=cli.count, default=64, metavar="N", help="default 64")
    parser.add_argument(
        "--threads", type=cli.count, default=machine.default_loader_threads(), metavar="N",
        help="loader threads (default: half the cores)",
    )
    parser.add_argument("--duration", type=cli.duration, default="4s", metavar="D", help="after 1s warm-up; default 4s")
    return parser.parse_args()


def step(text):
    """Say what happens next; flushed, so that it stands above what the child prints."""
    print(f"==> {text}", flush=True)


def main():
    """Build, serve, drive, stop; the first thing that fails ends it with its own words."""
    args = parse_arguments()
    if args.bin_dir is None:
        step("building evshard and loadgen (release)")
    programs = Programs(args.bin_dir)
    threads = min(args.threads, args.connections)
    load = Load(programs.loadgen, connections=args.connections, threads=threads, duration=args.duration)
    step(f"starting the server with {args.workers} worker(s) on a free port")
    with Server(evshard(programs.evshard, args.workers)) as server:
        step(f"listening on {server.address} (process {server.pid})")
        step(f"driving it: {args.connections} connections, {threads} loader thread(s), 1s warm-up + {args.duration}")
        child.run(load.argv(server.address), "loadgen", load.seconds + OVERHEAD_S, capture=False,
                  expected=USABLE_STATUS)
        step("stopping the server (SIGTERM)")
        print(server.stop().rstrip(), flush=True)
    step("done")


if __name__ == "__main__":
    run_main(main)
