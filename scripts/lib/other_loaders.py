"""Load generators in a closed loop, ours and others: their command lines, and the figures that they print."""

import contextlib
import csv
import json
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import child
import loader
from child import Failure

OVERHEAD_S = 20.0
UNITS_US = {"us": 1.0, "ms": 1e3, "s": 1e6}
WRK_REQUESTS = re.compile(r"^\s*(\d+) requests in ", re.MULTILINE)
WRK_RATE = re.compile(r"^Requests/sec:\s+([\d.]+)", re.MULTILINE)
WRK_MEDIAN = re.compile(r"^\s*50%\s+([\d.]+)(us|ms|s)\b", re.MULTILINE)
WRK_MEAN = re.compile(r"^\s*Latency\s+([\d.]+)(us|ms|s)\b", re.MULTILINE)
WRK_TROUBLE = re.compile(r"^\s*(?:Socket errors|Non-2xx).*", re.MULTILINE)
H2LOAD_REQUESTS = re.compile(r"^requests: .* (\d+) done, (\d+) succeeded, .*$", re.MULTILINE)
H2LOAD_RATE = re.compile(r"^finished in .*, ([\d.]+) req/s", re.MULTILINE)
# Minimum, maximum, mean.
H2LOAD_MEAN = re.compile(r"^time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)\b", re.MULTILINE)
PROBE_REQUESTS = 20_000  # for the rate of redis-benchmark, which takes a number of requests and no time


@dataclass(frozen=True)
class Summary:
    """The figures of a run, as the program itself reports them."""

    requests: int
    rate_per_s: float
    p50_us: float | None
    mean_us: float
    report: loader.Report | None = None  # of our loader


@dataclass(frozen=True)
class Run:
    """A run: the summary, and the CPU time that the kernel counted for the program."""

    argv: list
    summary: Summary
    cpu_s: float
    output: str

    @property
    def cpu_us_per_request(self):
        """The loader's own CPU time per answered request."""
        return self.cpu_s * 1e6 / self.summary.requests

    @property
    def cpu_share(self):
        """The loader's share of one core. Near 1, the loader limits the rate."""
        return self.cpu_us_per_request * self.summary.rate_per_s / 1e6

    @property
    def in_flight(self):
        """Requests in flight by Little's law. The other connections waited inside the loader, which is in no latency."""
        return self.summary.rate_per_s * self.summary.mean_us / 1e6

    @property
    def record(self):
        """As a JSON-ready dictionary."""
        return {"command": self.argv, "requests": self.summary.requests, "rate_per_s": self.summary.rate_per_s,
                "p50_us": self.summary.p50_us, "mean_us": self.summary.mean_us, "cpu_s": self.cpu_s,
                "cpu_us_per_request": self.cpu_us_per_request, "output": self.output}


@dataclass(frozen=True)
class Shape:
    """The load of every program: connections, a time, and one core, or None for all."""

    connections: int
    seconds: int
    core: int | None

    @property
    def pinning(self):
        """The words before a command line that bind the program to the core."""
        return [] if self.core is None else ["taskset", "-c", str(self.core)]


def wrk(shape, address):
    """wrk, one thread."""
    argv = [*shape.pinning, "wrk", "--threads", "1", "--connections", str(shape.connections),
            "--duration", f"{shape.seconds}s", "--latency", f"http://{address}/"]
    return _run(argv, parse_wrk, shape)


def h2load(shape, address):
    """h2load with HTTP/1.1 over TLS, one thread."""
    argv = [*shape.pinning, "h2load", "--h1", "--threads", "1", "--clients", str(shape.connections),
            "--duration", str(shape.seconds), f"https://{address}/"]
    return _run(argv, parse_h2load, shape)


def memtier(keys, size):
    """The runner of memtier_benchmark, one thread: nine reads for each write, of random keys."""
    def run(shape, address):
        with tempfile.NamedTemporaryFile(suffix=".json") as report:
            argv = [*shape.pinning, "memtier_benchmark", "--server", "127.0.0.1", "--port", address.partition(":")[2],
                    "--threads", "1", "--clients", str(shape.connections), "--ratio", "1:9", "--data-size", str(size),
                    "--key-minimum", "1", "--key-maximum", str(keys), "--key-pattern", "R:R",
                    "--test-time", str(shape.seconds), "--hide-histogram", "--json-out-file", report.name]
            return _run(argv, lambda _: parse_memtier(Path(report.name).read_text()), shape)
    return run


def redis_benchmark(*flags, around=contextlib.nullcontext):
    """The runner of redis-benchmark with the flags of one test, such as `-t ping_mbulk`.

    A short run first finds how many requests take the wanted time. `around` is entered for the second, which counts.
    """
    def run(shape, address):
        def argv(requests):
            return [*shape.pinning, "redis-benchmark", "-h", "127.0.0.1", "-p", address.partition(":")[2], *flags,
                    "-c", str(shape.connections), "-n", str(requests), "--csv"]

        probed = parse_redis_benchmark(child.run(argv(PROBE_REQUESTS), "redis-benchmark", OVERHEAD_S), PROBE_REQUESTS)
        requests = max(PROBE_REQUESTS, round(probed.rate_per_s * shape.seconds))
        with around():
            return _run(argv(requests), lambda text: parse_redis_benchmark(text, requests), shape)
    return run


def echo_client(program):
    """The runner of benches/peers/echo_client.c, whose binary is `program`."""
    def run(shape, address):
        argv = [*shape.pinning, program, address, "--connections", str(shape.connections), "--size", "64",
                "--seconds", str(shape.seconds)]
        return _run(argv, lambda text: parse_echo_client(text, shape.seconds), shape)
    return run


def loadgen(load):
    """The runner of loadgen with the protocol of this load. There is no warm-up: the others have none."""
    def run(shape, address):
        asked = replace(load, connections=shape.connections, duration=f"{shape.seconds}s", warmup="0s", core=shape.core)
        return _run(asked.measured_argv(address), parse_loadgen, shape, loader.USABLE_STATUS)
    return run


def parse_wrk(text):
    """Read wrk's report. A report of errors is a Failure."""
    if trouble := WRK_TROUBLE.search(text):
        raise Failure(f"wrk's run is not usable: {trouble[0].strip()}")
    found = [pattern.search(text) for pattern in (WRK_REQUESTS, WRK_RATE, WRK_MEDIAN, WRK_MEAN)]
    if not all(found) or not int(found[0][1]):
        raise Failure(f"wrk's report is not usable: {text[-400:]!r}")
    requests, rate, *times = found
    median_us, mean_us = (float(time[1]) * UNITS_US[time[2]] for time in times)
    return Summary(int(requests[1]), float(rate[1]), median_us, mean_us)


def parse_h2load(text):
    """Read h2load's report, which has no percentiles. A request that failed is a Failure."""
    requests, rate, mean = (pattern.search(text) for pattern in (H2LOAD_REQUESTS, H2LOAD_RATE, H2LOAD_MEAN))
    if not (requests and rate and mean) or not int(requests[1]) or requests[1] != requests[2]:
        raise Failure(f"h2load's report is not usable: {text[-600:]!r}")
    return Summary(int(requests[1]), float(rate[1]), None, float(mean[1]) * UNITS_US[mean[2]])


def parse_memtier(text):
    """Read memtier_benchmark's JSON."""
    try:
        totals = json.loads(text)["ALL STATS"]["Totals"]
        median_ms = totals["Percentile Latencies"]["p50.00"]
        return Summary(totals["Count"], totals["Ops/sec"], median_ms * 1000, totals["Average Latency"] * 1000)
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"memtier_benchmark's report is not usable ({error!r}): {text[:200]!r}") from error


def parse_redis_benchmark(text, requests):
    """Read redis-benchmark's CSV of one test."""
    try:
        rows = list(csv.DictReader(text.splitlines()))
        median_us, mean_us = (float(rows[0][f"{name}_latency_ms"]) * 1000 for name in ("p50", "avg"))
        return Summary(requests, float(rows[0]["rps"]), median_us, mean_us)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise Failure(f"redis-benchmark's report is not usable ({error!r}): {text[:200]!r}") from error


def parse_echo_client(text, seconds):
    """Read the JSON of the bare client, which has no percentiles."""
    try:
        values = json.loads(text)
        return Summary(values["requests"], values["requests"] / seconds, None, values["service_mean_ns"] / 1000)
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"the bare client's report is not usable ({error!r}): {text[:200]!r}") from error


def parse_loadgen(text):
    """Read loadgen's JSON."""
    report = loader.parse(text)
    return Summary(report.completed, report.rate_per_s, report.service_us("p50"), report.service_us("mean"), report)


def _run(argv, parse, shape, expected=(0,)):
    program = argv[len(shape.pinning)]
    output, usage = child.run_timed(argv, program, shape.seconds + OVERHEAD_S, expected)
    return Run(argv, parse(output), usage.cpu_s, output)
