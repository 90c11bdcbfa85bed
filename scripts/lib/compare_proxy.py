"""compare_proxy: what the example balancer costs per byte and per request, beside HAProxy in TCP mode."""

import contextlib
import functools
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import child
import cli
import loader
import machine
import measure
import plot
import procfs
import results
from child import Failure, run_main
from loader import Load
from other_servers import OtherServer
from programs import Programs, require, require_cores
from server import Server, Subject, evshard
from stats import cell, paired_ratios, spread, table, verdict

SCRIPT = "scripts/compare_proxy.sh"
OURS, REFERENCE = "balancer", "haproxy"
TARGET = 1.0
QUICK_CASES = [1, 4]

# The same work as the balancer does: one thread, no log, the fewest connections, a check by a connect every two seconds.
CONFIGURATION = """\
global
    nbthread 1
    maxconn 4096
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen echo
    bind 127.0.0.1:{port}
    balance leastconn
    server echo {backend} check inter 2s fall 3 rise 1
"""


@dataclass(frozen=True)
class Case:
    """One workload. With `per_byte` the figure is the CPU time of a MiB, and otherwise that of a request."""

    name: str
    label: str  # in a plot
    connections: int
    size: int
    pipeline: int = 1
    per_byte: bool = False


CASES = (
    Case("request, 50 conns, 64 B", "64 B", 50, 64),
    Case("request, 50 conns × 16 in flight, 64 B", "64 B\n× 16", 50, 64, 16),
    Case("request, 50 conns, 1 KiB", "1 KiB", 50, 1024),
    Case("bytes, 8 conns, 1 MiB", "1 MiB", 8, 1 << 20, per_byte=True),
    Case("bytes, 50 conns, 64 KiB", "64 KiB", 50, 1 << 16, per_byte=True),
)


@dataclass(frozen=True)
class Proxy:
    """A proxy. `start` takes the address of the backend; in its block it is an address and the process that proxies."""

    name: str
    role: str
    program: str
    start: Callable


def parse_arguments():
    """The command line of compare_proxy.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Runs the TCP proxy examples/balancer.rs and HAProxy in TCP mode in turns on one core, each with one thread and in\n"
        "front of the same echo server (`evshard serve`). loadgen is the client. It shares the other core with the echo\n"
        "server. Compares the CPU time of the proxies for each request and for each byte.",
        f"{SCRIPT} --rounds 9 --cases 1,4 --server-core 0 --loader-core 1",
    )
    numbered = "; ".join(f"{n}: {case.name}" for n, case in enumerate(CASES, 1))
    parser.add_argument("--cases", type=cli.counts, metavar="LIST",
                        help=f"numbers of cases: {numbered} (default: all; with --quick 1 and 4)")
    cli.add_core_flags(parser)
    cli.add_comparison_flags(parser, rounds=9, threads=1)
    args = cli.parse(parser)
    if args.cases is None:
        args.cases = QUICK_CASES if args.quick else list(range(1, len(CASES) + 1))
    if max(args.cases) > len(CASES):
        parser.error(f"--cases takes numbers from 1 to {len(CASES)}")
    return args


def proxies(args, programs):
    """HAProxy, which the other is compared with, and the balancer."""
    haproxy = shutil.which("haproxy")
    if haproxy is None:
        raise Failure("haproxy is missing: install the Debian package haproxy")
    balancer = programs.example("balancer")

    @contextlib.contextmanager
    def start_haproxy(backend):
        with OtherServer(functools.partial(configure_haproxy, haproxy, backend), args.server_core) as running:
            yield running.address, running.worker

    @contextlib.contextmanager
    def start_balancer(backend):
        # It drains at SIGINT only.
        subject = Subject(OURS, (balancer, "127.0.0.1:0", backend), args.server_core, ends_by_signal=True)
        with Server(subject) as running:
            yield running.address, running.pid
            running.stop()

    return [Proxy(REFERENCE, f"{version(haproxy)}, in TCP mode with one thread.", haproxy, start_haproxy),
            Proxy(OURS, "the example `balancer` with one worker.", balancer, start_balancer)]


def configure_haproxy(program, backend, folder, port):
    """Write HAProxy's file. Returns its command line."""
    path = folder / "haproxy.cfg"
    path.write_text(CONFIGURATION.format(port=port, backend=backend))
    return [program, "-db", "-f", str(path)]


def version(program):
    """The first line of what HAProxy prints about itself."""
    return child.run([program, "-v"], "haproxy -v").partition("\n")[0].strip()


def measure_one(args, proxy, backend, case, load):
    """One run on a fresh proxy and a fresh echo server: a JSON-ready record, and the loader's report."""
    with Server(backend) as echo, proxy.start(echo.address) as (address, pid):
        time.sleep(measure.SETTLE_S)
        before = procfs.sample(pid)
        report = loader.run(load, address)
        time.sleep(measure.SETTLE_S)
        threads = procfs.difference(before, procfs.sample(pid))
        echo.stop()
    measure.check_pinning(proxy.name, args.server_core, threads)
    cpu_ns = sum(thread["cpu_ns"] for thread in threads)
    # A request and its echo both pass through the proxy.
    mebibytes = 2 * report.completed * case.size / (1 << 20)
    return report, {
        "proxy": proxy.name,
        "case": case.name,
        "loader_command": load.measured_argv(address),
        "requests_completed": report.completed,
        "rate_per_s": report.rate_per_s,
        "cpu_ns": cpu_ns,
        "cpu_us_each": cpu_ns / 1000 / (mebibytes if case.per_byte else report.completed),
        "threads": threads,
    }


def measure_all(args, subjects, programs, folder):
    """Each case in each round, the proxies in turns. Records by case and name of the proxy, and all reports."""
    backend = evshard(programs.evshard, 1, "echo", args.loader_core, ("--no-pin",))
    cases = [CASES[number - 1] for number in args.cases]
    found, reports = {case: {proxy.name: [] for proxy in subjects} for case in cases}, []
    base = Load(programs.loadgen, duration=args.duration, warmup=args.warmup, threads=args.threads,
                core=args.loader_core)
    for round_index in range(args.rounds):
        for case in cases:
            load = replace(base, connections=case.connections, size=case.size, pipeline=case.pipeline)
            for proxy in measure.rotated(subjects, round_index):
                print(f"round {round_index + 1}/{args.rounds}, {case.name}, {proxy.name} ...", end="", file=sys.stderr,
                      flush=True)
                report, record = measure_one(args, proxy, backend, case, load)
                name = f"case-{CASES.index(case) + 1}-round-{round_index + 1:02}-{proxy.name}"
                folder.save(f"{name}.server", record)
                (folder.raw / f"{name}.loadgen.json").write_text(report.text)
                found[case][proxy.name].append(record)
                reports.append(report)
                print(f" {record['cpu_us_each']:.3f} µs", file=sys.stderr)
    return found, reports


def costs(records):
    """The CPU times of some runs."""
    return [record["cpu_us_each"] for record in records]


def ratios(of_case):
    """The balancer's CPU times over HAProxy's, round by round."""
    return paired_ratios(costs(of_case[OURS]), costs(of_case[REFERENCE]))


def body(found, subjects):
    """The tables."""
    roles = "\n".join(f"- **{proxy.name}**: {proxy.role}" for proxy in subjects)
    rows = []
    for case, of_case in found.items():
        for name, records in of_case.items():
            ratio = spread(ratios(of_case)) if name == OURS else None
            rows.append([
                case.name, name, "MiB" if case.per_byte else "request", cell(spread(costs(records)), 3),
                "1" if ratio is None else cell(ratio, 3), "" if ratio is None else verdict(ratio, TARGET),
                cell(spread(record["rate_per_s"] for record in records), 0),
            ])
    header = ["case", "proxy", "of each", "CPU, µs", "ratio", f"target {TARGET}", "requests/s"]
    return f"## The proxies\n\n{roles}\n\n## CPU time\n\n{table(header, rows, words=3)}"


def answer(found):
    """The answer in a sentence for each kind of figure."""
    sentences = []
    for per_byte, what in ((False, "request"), (True, "byte")):
        of_kind = [spread(ratios(of_case)) for case, of_case in found.items() if case.per_byte == per_byte]
        if of_kind:
            low, high = (limit(ratio.median for ratio in of_kind) for limit in (min, max))
            sentences.append(f"CPU time per {what}: {low:.2f} to {high:.2f} × HAProxy.")
    return " ".join(sentences)


def picture(found, rounds):
    """The ratios by case."""
    points = [(case.label, spread(ratios(of_case))) for case, of_case in found.items()]
    panel = plot.Panel("CPU time", "× HAProxy", "", points, from_zero=True, target=TARGET)
    return plot.Drawing("CPU time of the balancer against HAProxy", f"median and range of {rounds} round(s)", [panel])


def notes(args, reports):
    """What a reader must know before a conclusion."""
    return [
        f"The proxies run on core {args.server_core} alone. The client and the echo server share core {args.loader_core}.",
        "CPU time is the first field of /proc/PID/task/TID/schedstat (ns) of the proxy, over the whole run with its warm-up "
        "and the closing of its connections, divided by all requests that were answered. It includes the kernel's part.",
        "Each byte passes through the proxy twice, in the request and in its echo. A MiB counts the bytes of both.",
        "HAProxy checks its backend every two seconds by a connect, as the balancer does. It does not splice, which is its "
        "default.",
        measure.loader_note(reports),
    ]


def main():
    """Parse, build, measure, write."""
    args = parse_arguments()
    require("taskset")
    require_cores(args)
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    subjects = proxies(args, programs)
    per_run_s = loader.seconds(args.duration) + loader.seconds(args.warmup) + 1
    minutes = args.rounds * len(args.cases) * len(subjects) * per_run_s / 60
    print(f"{args.rounds} round(s) of {len(args.cases)} case(s), about {minutes:.0f} min", file=sys.stderr)
    command = (f"{SCRIPT} --cases {','.join(map(str, args.cases))} --rounds {args.rounds} --duration {args.duration} "
               f"--warmup {args.warmup} --threads {args.threads} --server-core {args.server_core} "
               f"--loader-core {args.loader_core}")
    with results.ResultFolder("proxy", args.out, args.quick, programs.loadgen) as folder:
        found, reports = measure_all(args, subjects, programs, folder)
        pictures = [results.Picture("ratio", "CPU ratio by case", picture(found, args.rounds))]
        folder.publish(results.Findings(
            "The example balancer against HAProxy in TCP mode",
            "What does a TCP proxy on the service interface cost, beside HAProxy?",
            answer(found), body(found, subjects), pictures, [command], notes(args, reports),
        ), facts, {"evshard": programs.evshard, "loadgen": programs.loadgen,
                   **{proxy.name: proxy.program for proxy in subjects}})


if __name__ == "__main__":
    run_main(main)
