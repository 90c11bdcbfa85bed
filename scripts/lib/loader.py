"""loadgen: its command line, and the fields of its JSON that the scripts use."""

import json
import re
from dataclasses import dataclass

import child
from child import Failure

# Connecting, draining and writing the report, on top of warm-up and duration.
OVERHEAD_S = 20.0
UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0}
SCHEMA = "loadgen/3"
# 0: done. 2: an objective was missed. 3: the measurement is INVALID. In each case the record is complete and has the
# reasons. The scripts publish the verdict beside the numbers.
USABLE_STATUS = (0, 2, 3)
QUANTILES = ("p50", "p99", "p999")


def seconds(text):
    """A duration such as 3s, 500ms or 1m, in seconds; ValueError for anything else."""
    match = re.fullmatch(r"(\d+)(ms|s|m)", text)
    if not match:
        raise ValueError(text)
    return float(match[1]) * UNITS_S[match[2]]


@dataclass(frozen=True)
class Load:
    """One workload. Durations are passed on as the user wrote them.

    Without a rate, the loop is closed. For a field that is None, the loader's default applies.
    """

    program: str
    connections: int = 64
    size: int | str | None = 64
    pipeline: int | None = 1
    duration: str = "3s"
    warmup: str = "1s"
    threads: int = 1
    core: int | None = None
    pin: str | None = None
    rate: str | int | None = None
    arrival: str | None = None
    pacing: str | None = None
    protocol: str | None = None
    interval: str | None = None
    churn: int | None = None
    timeout: str | None = None
    drain: str | None = None
    seed: int | None = None
    server_pid: int | None = None
    out: str | None = None
    more: tuple = ()  # flags that only one script needs

    @property
    def seconds(self):
        """Warm-up and measured time together."""
        return seconds(self.duration) + seconds(self.warmup)

    @property
    def flags(self):
        """The load, as flags of the loader."""
        shape = {
            "--connections": self.connections,
            "--threads": self.threads,
            "--size": self.size,
            "--pipeline": self.pipeline,
            "--rate": self.rate,
            "--arrival": self.arrival,
            "--pacing": self.pacing,
            "--pin": self.pin,
            "--protocol": self.protocol,
            "--churn": self.churn,
            "--timeout": self.timeout,
            "--drain": self.drain,
            "--seed": self.seed,
            "--duration": self.duration,
            "--warmup": self.warmup,
            "--interval": self.interval,
            "--server-pid": self.server_pid,
            "--out": self.out,
        }
        words = [str(word) for name, value in shape.items() if value is not None for word in (name, value)]
        return [*words, *self.more]

    def argv(self, address, *output):
        """The loader's command line; `output` are the flags that say what to print."""
        pinning = () if self.core is None else ("taskset", "-c", str(self.core))
        return [*pinning, self.program, "run", address, *self.flags, *output]

    def measured_argv(self, address):
        """The command line of a measured run, which prints only JSON, on stdout."""
        return self.argv(address, "--quiet", "--json", "-")


@dataclass(frozen=True)
class Report:
    """One measurement: the text that the loader printed, and the same text parsed."""

    text: str
    values: dict

    @property
    def verdict(self):
        """VALID, SUSPECT or INVALID."""
        return self.values["validity"]["verdict"]

    @property
    def reasons(self):
        """The codes of the reasons for the verdict; none for VALID."""
        return [reason["code"] for reason in self.values["validity"]["reasons"]]

    @property
    def rate_per_s(self):
        """Requests answered per second of the measured window."""
        return self.values["rate"]["achieved_per_s"]

    @property
    def completed(self):
        """Requests answered in the whole run, warm-up included. The server's CPU time is divided by this number."""
        return self.values["counters"]["completed"]

    @property
    def lost(self):
        """Requests without an answer: failed, timed out, or unanswered when the drain ended."""
        return sum(self.values["counters"][name] for name in ("failed", "timed_out", "censored"))

    @property
    def busiest_thread_share(self):
        """CPU share of the busiest loader thread. Near 1, the loader limits the rate."""
        return max(thread["cpu_share"] for run in self.values["runs"] for thread in run["threads"])

    @property
    def intervals(self):
        """The intervals of the first run."""
        return self.values["runs"][0]["intervals"]

    def ns(self, kind, quantile):
        """A percentile, maximum or mean of a distribution in ns; None if there are too few samples."""
        return self.values["latency_ns"][kind][quantile]

    def us(self, kind, quantile):
        """The same in µs."""
        nanoseconds = self.ns(kind, quantile)
        return None if nanoseconds is None else nanoseconds / 1000

    def service_us(self, quantile):
        """A service-time percentile in µs: the only latency that a closed loop has."""
        return self.us("service", quantile)


def start(load, address):
    """Start the loader in the background. Pass the task to `finish`."""
    return child.Task(load.measured_argv(address), "loadgen")


def finish(task, load):
    """Wait for the loader's report. A run that fails or loses requests is a Failure."""
    return parse(task.finish(load.seconds + OVERHEAD_S, USABLE_STATUS))


def run(load, address):
    """Run the load on the server at `address`, to its end."""
    with start(load, address) as task:
        return finish(task, load)


def parse(text):
    """Check that the loader's JSON has the fields that the scripts read."""
    try:
        report = Report(text, json.loads(text))
        schema = report.values["schema"]
        used = (report.rate_per_s, report.completed, report.busiest_thread_share, report.lost)
        used += (report.verdict, report.reasons, report.intervals)
        used += tuple(report.ns(kind, q) for kind in ("response", "service", "lateness") for q in (*QUANTILES, "max"))
    except json.JSONDecodeError as error:
        raise Failure(f"loadgen's report is not JSON ({error}): {text[:200]!r}") from error
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Failure(f"loadgen's JSON lacks what is needed: {error!r}") from error
    if schema != SCHEMA:
        raise Failure(f"loadgen's JSON has the schema {schema!r}, and these scripts read {SCHEMA!r}")
    if report.lost or not report.completed:
        raise Failure(f"loadgen's run lost requests or answered none: {report.values['counters']}")
    return report


def verdicts(reports):
    """The loader's verdicts in a few words: `5 VALID, 2 SUSPECT (loader-cpu)`."""
    found = {}
    for report in reports:
        found.setdefault(report.verdict, []).append(report)
    return ", ".join(f"{len(found[verdict])} {verdict}{_because(found[verdict])}"
                     for verdict in ("VALID", "SUSPECT", "INVALID") if verdict in found)


def _because(reports):
    codes = sorted({code for report in reports for code in report.reasons})
    return f" ({', '.join(codes)})" if codes else ""
