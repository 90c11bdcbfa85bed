"""The open-loop client with hot and cold connections, benches/peers/unequal.c: its command line, its JSON."""

import json
from dataclasses import dataclass

import child
from child import Failure

PROGRAM = "unequal"
OVERHEAD_S = 30.0  # to connect, to wait for the last replies, and to sort the samples
GROUPS = ("all", "hot", "cold")


@dataclass(frozen=True)
class SkewedRates:
    """A few hot connections among cold ones. The rates are requests per second of each connection."""

    program: str
    hot: int
    hot_rate: int
    cold: int
    cold_rate: int
    gap_ms: int
    warmup_ms: int
    seconds: int

    @property
    def total_s(self):
        """From the first connect to the end of the measured time."""
        return (self.gap_ms * (self.hot + self.cold) + self.warmup_ms) / 1000 + self.seconds

    @property
    def rate_per_s(self):
        """Requests per second of all connections."""
        return self.hot * self.hot_rate + self.cold * self.cold_rate

    def argv(self, address):
        """The client's command line."""
        shape = {"--hot": self.hot, "--hot-rate": self.hot_rate, "--cold": self.cold, "--cold-rate": self.cold_rate,
                 "--gap-ms": self.gap_ms, "--warmup-ms": self.warmup_ms, "--seconds": self.seconds}
        return [self.program, address, *(str(word) for pair in shape.items() for word in pair)]

    def run(self, address):
        """Send the load to `address`. A connection that the server ends is a Failure."""
        return parse(child.run(self.argv(address), PROGRAM, timeout_s=self.total_s + OVERHEAD_S))


@dataclass(frozen=True)
class Report:
    """What the client measured."""

    values: dict

    @property
    def unanswered(self):
        """Requests of the measured time that had no reply when the client stopped waiting. No percentile has them."""
        return self.values["unanswered"]

    def response_ms(self, group, quantile):
        """A response-time percentile, from when requests were due; None for a group without requests."""
        nanoseconds = self.values["response_ns"][group][quantile]
        return None if nanoseconds is None else nanoseconds / 1e6

    def lateness_ms(self, quantile):
        """How late the client sent requests whose connection was free."""
        return self.values["lateness_ns"][quantile] / 1e6


def parse(text):
    """Check that the client's JSON has the fields that the scripts read."""
    try:
        report = Report(json.loads(text))
        _used = [report.response_ms(group, quantile) for group in GROUPS for quantile in ("p50", "p99", "p999", "max")]
        _used = (report.unanswered, report.lateness_ms("p99"), report.values["requests"])
        ended = report.values["ended_by_server"]
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"the open-loop client's report is not usable ({error!r}): {text[:200]!r}") from error
    if ended:
        raise Failure(f"the server ended {ended} of the client's connections: {text[:200]!r}")
    return report
