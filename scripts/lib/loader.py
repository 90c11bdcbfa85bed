"""The load generator: its command line, and what the scripts read from its JSON."""

import json
import re
from dataclasses import dataclass

import child
from child import Failure

# Connecting, draining and writing the report, on top of warm-up and duration.
OVERHEAD_S = 20.0
UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0}


def seconds(text):
    """A duration such as 3s, 500ms or 1m, in seconds; ValueError for anything else."""
    match = re.fullmatch(r"(\d+)(ms|s|m)", text)
    if not match:
        raise ValueError(text)
    return float(match[1]) * UNITS_S[match[2]]


@dataclass(frozen=True)
class Load:
    """One workload. Durations stay as the user wrote them: that is how they are passed on."""

    program: str
    connections: int = 64
    size: int = 64
    pipeline: int = 1
    duration: str = "3s"
    warmup: str = "1s"
    threads: int = 1
    core: int | None = None

    @property
    def seconds(self):
        """Warm-up and measured time together."""
        return seconds(self.duration) + seconds(self.warmup)

    def argv(self, address, *output):
        """The loader's command line; `output` are the flags that say what to print."""
        pinning = () if self.core is None else ("taskset", "-c", str(self.core))
        shape = {
            "--connections": self.connections,
            "--threads": self.threads,
            "--size": self.size,
            "--pipeline": self.pipeline,
            "--duration": self.duration,
            "--warmup": self.warmup,
        }
        flags = [str(word) for pair in shape.items() for word in pair]
        return [*pinning, self.program, "run", address, *flags, *output]

    def measured_argv(self, address):
        """The command line of a measured run: nothing but JSON, on stdout."""
        return self.argv(address, "--quiet", "--json", "-")


@dataclass(frozen=True)
class Report:
    """One run as the loader told it: the text untouched, and the same parsed."""

    text: str
    values: dict

    @property
    def rate_per_s(self):
        """Requests answered per second of the measured window."""
        return self.values["rate"]["achieved_per_s"]

    @property
    def completed(self):
        """Requests answered in the whole run, warm-up included: what the server's CPU time is divided by."""
        return self.values["counters"]["completed"]

    @property
    def busiest_thread_share(self):
        """CPU share of the busiest loader thread; near 1 the loader is what limits the rate."""
        return max(thread["cpu_share"] for thread in self.values["threads"])

    def service_us(self, quantile):
        """A service-time percentile in µs; None where the loader gave none."""
        nanoseconds = self.values["latency_ns"]["service"][quantile]
        return None if nanoseconds is None else nanoseconds / 1000


def start(load, address):
    """Start the loader against `address` in the background; give the task to `finish`."""
    return child.Task(load.measured_argv(address), "loadgen")


def finish(task, load):
    """Wait for the loader's report. A loader that failed, or one that lost requests, is a Failure."""
    return parse(task.finish(load.seconds + OVERHEAD_S))


def run(load, address):
    """Drive the server at `address` to the end of the load."""
    with start(load, address) as task:
        return finish(task, load)


def parse(text):
    """Check that the loader's JSON holds what the scripts read from it."""
    try:
        report = Report(text, json.loads(text))
        counters = report.values["counters"]
        used = (report.rate_per_s, report.completed, report.busiest_thread_share, counters["failed"])
        used += tuple(report.service_us(quantile) for quantile in ("p50", "p99", "p999"))
    except json.JSONDecodeError as error:
        raise Failure(f"loadgen's report is not JSON ({error}): {text[:200]!r}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise Failure(f"loadgen's JSON lacks what is needed: {error!r}") from error
    if counters["failed"] or not report.completed or report.rate_per_s is None or report.busiest_thread_share is None:
        raise Failure(f"loadgen ended well but its run is not usable: rate {used[0]}, counters {counters}")
    return report
