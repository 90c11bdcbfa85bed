"""compare_loaders: what loadgen costs per request beside other loaders, and whether both measure the same."""

import shutil
import sys
from dataclasses import dataclass

import cli
import loaders_report
import machine
import measure
import other_loaders
import results
from child import Failure, run_main
from loader import Load
from other_servers import OtherServer, nginx, redis
from programs import DEBIAN_PACKAGES, Programs, require, require_cores
from server import Server, Subject
from tls_servers import certify

SCRIPT = "scripts/compare_loaders.sh"
FLOOR = "bare_epoll"
CLIENT = "echo_client"
NEEDED = {"http": ("wrk", "nginx"), "https": ("h2load", "nginx", "openssl"), "echo": ("cc",),
          "ping": ("redis-server", "redis-benchmark"), "mix": ("redis-server", "memtier_benchmark")}
MIX_KEYS, MIX_BYTES = 10_000, 64


@dataclass(frozen=True)
class Case:
    """A server, loadgen's load for it, and the other loader."""

    name: str
    what: str
    server: object  # a function that returns a context manager with an address
    load: Load
    other: str
    run_other: object  # a function of other_loaders.Shape and the server's address


def parse_arguments():
    """The command line of compare_loaders.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Compares loadgen with other loaders: with wrk on nginx, with h2load on nginx over TLS, with a bare client in C\n"
        "on a bare epoll server, with redis-benchmark on Redis, and with memtier_benchmark on Redis. The two run in turns\n"
        "in a closed loop, each time with a fresh server. Compares the CPU time that each loader takes per request, and\n"
        "the rate and median that it reports.",
        f"{SCRIPT} --cases http,echo --rounds 9",
    )
    parser.add_argument("--cases", type=cli.choices(*NEEDED), default=list(NEEDED), metavar="LIST",
                        help=f"cases, of {', '.join(NEEDED)} (default: all)")
    parser.add_argument("--connections", type=cli.count, default=50, metavar="N", help="connections (default 50)")
    parser.add_argument("--seconds", type=cli.count, default=4, metavar="S",
                        help="seconds of each run (default 4)")
    cli.add_core_flags(parser)
    cli.add_rounds_flag(parser, rounds=7)
    cli.add_result_flags(parser)
    args = cli.parse(parser)
    args.seconds = 1 if args.quick else args.seconds
    return args


def available(names):
    """The cases whose programs are installed. Prints the cases that are omitted. A Failure if none is left."""
    found = []
    for name in names:
        missing = [DEBIAN_PACKAGES[tool] for tool in NEEDED[name] if shutil.which(tool) is None]
        if missing:
            print(f"case {name} is omitted: install the Debian packages {', '.join(missing)}", file=sys.stderr)
        else:
            found.append(name)
    if not found:
        raise Failure("all cases are omitted: their programs are missing")
    return found


def cases_of(args, programs, names):
    """The cases with these names. Compiles the programs that they need."""
    load = Load(programs.loadgen)
    made = {
        "http": lambda: Case(
            "http", "HTTP: nginx, a file of 64 bytes",
            lambda: OtherServer(nginx, args.server_core, has_master=True),
            Load(programs.loadgen, size=None, protocol="http"), "wrk", other_loaders.wrk),
        "https": lambda: Case(
            "https", "HTTP/1.1 over TLS 1.3: nginx, a file of 64 bytes",
            lambda: OtherServer(nginx_with_tls, args.server_core, has_master=True),
            Load(programs.loadgen, size=None, protocol="http", more=("--tls", "--tls-insecure")), "h2load",
            other_loaders.h2load),
        "mix": lambda: Case(
            "mix", f"Redis: nine GET for each SET of {MIX_BYTES} bytes, {MIX_KEYS:,} keys",
            lambda: OtherServer(redis, args.server_core),
            Load(programs.loadgen, size=MIX_BYTES, protocol="resp2",
                 more=("--keys", str(MIX_KEYS), "--mix", "get:9,set:1")), "memtier_benchmark",
            other_loaders.memtier(MIX_KEYS, MIX_BYTES)),
        "echo": lambda: Case(
            "echo", f"Raw echo of 64 bytes: {FLOOR}", echo_server(programs, args.server_core), load, CLIENT,
            other_loaders.echo_client(programs.compile_peer(CLIENT))),
        "ping": lambda: Case(
            "ping", "Redis: PING", lambda: OtherServer(redis, args.server_core),
            Load(programs.loadgen, size=None, protocol="resp-ping"), "redis-benchmark",
            other_loaders.redis_benchmark("-t", "ping_mbulk")),
    }
    return [made[name]() for name in names]


def nginx_with_tls(folder, port):
    """The command line of nginx with TLS. Makes a certificate for it."""
    return nginx(folder, port, certify(folder)["ecdsa"])


def echo_server(programs, core):
    """Compile the bare epoll server. Returns a function that makes a fresh one."""
    subject = Subject(FLOOR, (programs.compile_peer(FLOOR), "0"), core, ends_by_signal=True)
    return lambda: Server(subject)


def measure_all(args, cases, folder):
    """Every case in every round, loadgen and the other loader in turns: runs by case and program, in round order."""
    shape = other_loaders.Shape(args.connections, args.seconds, args.loader_core)
    runs = {case.name: {loaders_report.OURS: [], case.other: []} for case in cases}
    for round_index in range(args.rounds):
        for case in cases:
            programs = [(loaders_report.OURS, other_loaders.loadgen(case.load)), (case.other, case.run_other)]
            for name, run in measure.rotated(programs, round_index):
                print(f"round {round_index + 1}/{args.rounds}, {case.name}, {name} ...", end="", file=sys.stderr,
                      flush=True)
                with case.server() as server:
                    done = run(shape, server.address)
                folder.save(f"{case.name}-round-{round_index + 1:02}-{name}", done.record)
                runs[case.name][name].append(done)
                print(f" {done.summary.rate_per_s:,.0f} req/s, {done.cpu_us_per_request:.2f} µs/req", file=sys.stderr)
    return runs


def write_results(args, programs, measured, facts, folder):
    """Publish what was found."""
    command = (f"{SCRIPT} --cases {','.join(measured.runs)} --connections {args.connections} --seconds {args.seconds} "
               f"--rounds {args.rounds} --server-core {args.server_core} --loader-core {args.loader_core}")
    commands = [command, "", "# which runs, in turns,",
                *(results.unported(runs[0].argv) for of_case in measured.runs.values() for runs in of_case.values())]
    paths = {"loadgen": programs.loadgen}
    needed = {tool for case in measured.runs for tool in NEEDED[case]} - {"cc", "openssl"}
    paths |= {name: shutil.which(name) for name in sorted(needed)}
    folder.publish(results.Findings(
        loaders_report.TITLE, loaders_report.QUESTION, loaders_report.answer(measured), loaders_report.body(measured),
        [results.Picture("loaders", "ratios by case", loaders_report.picture(measured))],
        commands, loaders_report.notes(args, measured),
    ), facts, paths)


def main():
    """Parse, build, measure, write."""
    args = parse_arguments()
    require("taskset")
    require_cores(args)
    names = available(args.cases)
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    cases = cases_of(args, programs, names)
    minutes = args.rounds * len(cases) * 2 * (args.seconds + 1) / 60
    print(f"{args.rounds} round(s) of {len(cases)} case(s), about {minutes:.1f} min", file=sys.stderr)
    with results.ResultFolder("loaders", args.out, args.quick, programs.loadgen) as folder:
        runs = measure_all(args, cases, folder)
        measured = loaders_report.Measured({case.name: case.other for case in cases}, runs,
                                           {case.name: case.what for case in cases})
        write_results(args, programs, measured, facts, folder)


if __name__ == "__main__":
    run_main(main)
