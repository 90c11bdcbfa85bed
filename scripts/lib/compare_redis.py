"""compare_redis: what a request costs the example resp_store, beside Redis."""

import contextlib
import itertools
import shutil
import sys
import time
from dataclasses import dataclass, replace

import cli
import loader
import machine
import measure
import other_loaders
import plot
import procfs
import results
from child import run_main
from loader import Load
from other_servers import OtherServer, redis
from programs import Programs, require, require_cores
from server import Server, Subject
from stats import cell, interval_cell, paired_ratios, spread, table, verdict

SCRIPT = "scripts/compare_redis.sh"
OURS, REFERENCE = "resp_store", "redis"
TARGET = 1.0
TITLE = "The example RESP store, and Redis"
QUESTION = "What does a request cost a RESP store whose keys belong to shards, beside Redis?"
CLIENTS = ("redis-benchmark", "loadgen")
COMMANDS = ("get", "set")
CONNECTIONS, VALUE_BYTES, KEYS = 50, 64, 100_000
# As redis-benchmark names its keys: this and twelve digits.
KEY_PREFIX = "key:"


@dataclass(frozen=True)
class Case:
    """One workload."""

    workers: int
    client: str
    command: str
    pipeline: int

    @property
    def name(self):
        """For tables."""
        return f"{self.command.upper()}, {self.pipeline} in flight, {self.client}"

    @property
    def file(self):
        """For names of records."""
        return f"{self.workers}-{self.client}-{self.command}-{self.pipeline}"


def parse_arguments():
    """The command line of compare_redis.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Runs the example resp_store and redis-server in turns. The clients are redis-benchmark and loadgen, with 50\n"
        "connections, GET and SET of 64 bytes, and 1 and 16 requests in flight on each. Compares the CPU time of the\n"
        "server for each request. With one worker each server has one core, and the client another. With two, which\n"
        "Redis does not have, servers and clients share all cores.",
        f"{SCRIPT} --rounds 9 --workers 1 --server-core 0 --loader-core 1",
    )
    parser.add_argument("--workers", type=cli.counts, default=[1, 2], metavar="LIST",
                        help="numbers of workers of resp_store (default 1,2)")
    parser.add_argument("--clients", type=cli.choices(*CLIENTS), default=list(CLIENTS), metavar="LIST",
                        help=f"clients, of {', '.join(CLIENTS)} (default: all)")
    parser.add_argument("--seconds", type=cli.count, default=2, metavar="S", help="seconds of each run (default 2)")
    cli.add_core_flags(parser)
    cli.add_rounds_flag(parser, rounds=7)
    cli.add_result_flags(parser)
    args = cli.parse(parser)
    args.seconds = 1 if args.quick else args.seconds
    return args


@contextlib.contextmanager
def running(name, program, case, core):
    """A fresh server of one kind: its address and its process id."""
    if name == REFERENCE:
        with OtherServer(redis, core) as server:
            yield server.address, server.worker
        return
    # It drains at SIGINT only.
    subject = Subject(OURS, (program, "127.0.0.1:0", str(case.workers)), core, ends_by_signal=True)
    with Server(subject) as server:
        yield server.address, server.pid
        server.stop()


def loadgen_load(programs, case, shape):
    """loadgen's load of a case. An earlier run has written the values, so they cannot be verified."""
    return Load(programs.loadgen, connections=shape.connections, size=VALUE_BYTES, pipeline=case.pipeline,
                duration=f"{shape.seconds}s", warmup="0s", core=shape.core, protocol="resp2",
                more=("--keys", str(KEYS), "--key-prefix", KEY_PREFIX, "--mix", f"{case.command}:1", "--verify", "none"))


def write_all_keys(programs, case, shape, address):
    """Give every key a value of the right length."""
    load = loadgen_load(programs, case, replace(shape, seconds=1))
    loader.run(replace(load, more=(*load.more, "--preload")), address)


def run_client(programs, case, shape, address, around):
    """Run the client on the server, with `around` entered for what is measured. Its run, as other_loaders has it."""
    if case.client == "redis-benchmark":
        flags = ("-t", case.command, "-d", str(VALUE_BYTES), "-r", str(KEYS), "-P", str(case.pipeline))
        return other_loaders.redis_benchmark(*flags, around=around)(shape, address)
    with around():
        return other_loaders.loadgen(loadgen_load(programs, case, shape))(shape, address)


def measure_one(programs, name, program, case, args):
    """One run on a fresh server: a JSON-ready record."""
    alone = case.workers == 1
    core = args.server_core if alone else None
    shape = other_loaders.Shape(CONNECTIONS, args.seconds, args.loader_core if alone else None)
    threads = []
    with running(name, program, case, core) as (address, pid):
        write_all_keys(programs, case, shape, address)

        @contextlib.contextmanager
        def counted():
            time.sleep(measure.SETTLE_S)
            before = procfs.sample(pid)
            yield
            time.sleep(measure.SETTLE_S)
            threads.extend(procfs.difference(before, procfs.sample(pid)))

        run = run_client(programs, case, shape, address, counted)
    measure.check_pinning(name, core, threads)
    cpu_ns = sum(thread["cpu_ns"] for thread in threads)
    return {"server": name, "case": case.file, "cpu_ns": cpu_ns, "cpu_us_each": cpu_ns / 1000 / run.summary.requests,
            "threads": threads, "client": run.record}


def measure_all(args, programs, subjects, folder):
    """Each case in each round, the servers in turns. Records by case and name of the server."""
    cases = [Case(*parts) for parts in itertools.product(args.workers, args.clients, COMMANDS, (1, 16))]
    found = {case: {name: [] for name, _ in subjects} for case in cases}
    for round_index, case in itertools.product(range(args.rounds), cases):
        for name, program in measure.rotated(subjects, round_index):
            print(f"round {round_index + 1}/{args.rounds}, {case.workers} worker(s), {case.name}, {name} ...", end="",
                  file=sys.stderr, flush=True)
            record = measure_one(programs, name, program, case, args)
            folder.save(f"{case.file}-round-{round_index + 1:02}-{name}", record)
            found[case][name].append(record)
            print(f" {record['cpu_us_each']:.3f} µs, {record['client']['rate_per_s']:,.0f} req/s", file=sys.stderr)
    return found


def costs(records):
    """The CPU times of some runs."""
    return [record["cpu_us_each"] for record in records]


def ratios(of_case):
    """The store's CPU times over those of Redis, round by round."""
    return paired_ratios(costs(of_case[OURS]), costs(of_case[REFERENCE]))


def body(found):
    """The tables, one for each number of workers."""
    header = ["case", "Redis, µs", "resp_store, µs", "ratio", "95 % interval", f"target {TARGET}", "Redis, requests/s",
              "resp_store, requests/s"]
    parts = []
    for workers, cases in itertools.groupby(found, key=lambda case: case.workers):
        rows = []
        for case in cases:
            of_case = found[case]
            # The target is one for equal servers: each with one thread.
            judged = verdict(spread(ratios(of_case)), TARGET) if workers == 1 else ""
            rows.append([case.name, *(cell(spread(costs(of_case[name])), 3) for name in (REFERENCE, OURS)),
                         cell(spread(ratios(of_case)), 3), interval_cell(ratios(of_case)), judged,
                         *(cell(spread(record["client"]["rate_per_s"] for record in of_case[name]), 0)
                           for name in (REFERENCE, OURS))])
        parts.append(f"## {workers} worker(s): CPU time of a request\n\n{table(header, rows)}")
    return "\n\n".join(parts)


def answer(found):
    """The answer in a sentence for each number of workers."""
    sentences = []
    for workers in dict.fromkeys(case.workers for case in found):
        medians = [spread(ratios(of_case)).median for case, of_case in found.items() if case.workers == workers]
        sentences.append(f"{workers} worker(s): {min(medians):.2f} to {max(medians):.2f} × the CPU time of Redis.")
    return " ".join(sentences)


def picture(found, rounds):
    """The ratios by case, a panel for each number of workers."""
    panels = []
    for workers in dict.fromkeys(case.workers for case in found):
        points = [(f"{case.command.upper()} × {case.pipeline}\n{case.client}", spread(ratios(of_case)))
                  for case, of_case in found.items() if case.workers == workers]
        panels.append(plot.Panel(f"CPU time of a request, {workers} worker(s)", "× Redis", "", points, from_zero=True,
                                 target=TARGET))
    return plot.Drawing("CPU time of resp_store against Redis", f"median and range of {rounds} round(s)", panels)


def notes(args):
    """What a reader must know before a conclusion."""
    return [
        f"With one worker, the server runs on core {args.server_core} alone and the client on core {args.loader_core}. With "
        "more, server and client share all cores, and Redis still has one thread. So rates of different numbers of workers "
        "cannot be compared.",
        "CPU time is the first field of /proc/PID/task/TID/schedstat (ns), summed over the threads of the server, with the "
        "kernel's part, divided by the requests that were answered.",
        f"All {KEYS:,} keys have a value of {VALUE_BYTES} bytes before the run. Redis runs without persistence.",
        "Both do not do the same: Redis has expiry, eviction, data types and statistics for each command, which cost it "
        "something here. The store has a few commands and no eviction.",
        "Neither client compares the values that it reads: they are those of an earlier run.",
    ]


def main():
    """Parse, build, measure, write."""
    args = parse_arguments()
    require("taskset", "redis-server", *(["redis-benchmark"] if "redis-benchmark" in args.clients else []))
    require_cores(args)
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    subjects = [(REFERENCE, "redis-server"), (OURS, programs.example(OURS))]
    count = len(args.workers) * len(args.clients) * len(COMMANDS) * 2 * len(subjects)
    print(f"{args.rounds} round(s) of {count} runs, about {args.rounds * count * (args.seconds + 2.5) / 60:.0f} min",
          file=sys.stderr)
    command = (f"{SCRIPT} --workers {','.join(map(str, args.workers))} --clients {','.join(args.clients)} "
               f"--rounds {args.rounds} --seconds {args.seconds} --server-core {args.server_core} "
               f"--loader-core {args.loader_core}")
    with results.ResultFolder("redis", args.out, args.quick, programs.loadgen) as folder:
        found = measure_all(args, programs, subjects, folder)
        commands = [command, "", "# the clients of which ran", *dict.fromkeys(
            results.unported(of_case[OURS][0]["client"]["command"]) for of_case in found.values())]
        folder.publish(results.Findings(
            TITLE, QUESTION, answer(found), body(found),
            [results.Picture("ratio", "CPU ratio by case", picture(found, args.rounds))], commands, notes(args),
        ), facts, {"resp_store": subjects[1][1], "redis-server": shutil.which("redis-server"), "loadgen": programs.loadgen})


if __name__ == "__main__":
    run_main(main)
