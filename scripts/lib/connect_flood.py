"""The client that connects over and over, benches/peers/storm.c: its command line, and the fields of its JSON."""

import json
from dataclasses import dataclass

import child
from child import Failure

PROGRAM = "storm"
OVERHEAD_S = 20.0  # for the connections that are open at the end; the program's own timeout bounds each


@dataclass(frozen=True)
class ConnectFlood:
    """One run: `slots` connections at a time, and when it ends. `flags` are other flags of the program."""

    program: str
    slots: int = 64
    seconds: int = 3
    count: int = 0  # of connections; 0 for as many as the time allows
    flags: tuple = ()

    def argv(self, address):
        """The client's command line."""
        shape = {"--slots": self.slots, "--seconds": self.seconds, "--count": self.count}
        return [self.program, address, *(str(word) for pair in shape.items() for word in pair), *self.flags]

    def start(self, address):
        """Start the client in the background. Pass the task to `finish`."""
        return child.Task(self.argv(address), PROGRAM)

    def finish(self, task):
        """Wait for the client's end and return what it counted."""
        return Report(parse(task.finish(self.seconds + OVERHEAD_S)))

    def run(self, address):
        """Run the client to its end. A connection that fails is a Failure."""
        with self.start(address) as task:
            report = self.finish(task)
        if report.failed or not report.connections:
            raise Failure(f"connections to {address} failed: {report.values}")
        return report


@dataclass(frozen=True)
class Report:
    """The outcome of the connections."""

    values: dict

    @property
    def connections(self):
        """The number of connections that got their echo."""
        return self.values["connections"]

    @property
    def failures(self):
        """The number of the others by kind: refused, timeout, and once established, reset, closed, wrong (echo)."""
        return self.values["failures"]

    @property
    def failed(self):
        """The number of connections that got no echo."""
        return sum(self.failures.values())

    @property
    def rate_per_s(self):
        """Connections served a second."""
        return self.values["connections_per_s"]

    @property
    def cpu_share(self):
        """The client's share of one core. Near 1, the client limits the rate."""
        return self.values["cpu_s"] / self.values["seconds"]

    def latency_us(self, quantile):
        """From connect to echo, in µs; None where nothing was served."""
        nanoseconds = self.values["latency_ns"][quantile]
        return None if nanoseconds is None else nanoseconds / 1000

    @property
    def longest_gap_ms(self):
        """The longest time in which no client was served."""
        return self.values["longest_gap_ns"] / 1e6

    def failures_listing(self):
        """`2 refused, 1 reset`, or `none`."""
        return ", ".join(f"{count:,} {kind}" for kind, count in self.failures.items() if count) or "none"


def parse(text):
    """Check that the client's JSON has the fields that the scripts read."""
    try:
        values = json.loads(text)
        report = Report(values)
        _used = (report.connections, report.failed, report.rate_per_s, report.cpu_share, report.longest_gap_ms,
                 report.latency_us("p50"), report.latency_us("p99"))
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"the report of {PROGRAM} is not usable ({error!r}): {text[:200]!r}") from error
    return values
