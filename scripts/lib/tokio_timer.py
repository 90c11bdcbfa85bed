"""The client that waits on tokio's timers, benches/peers/tokio_timer: its command line, and the figures it prints."""

import json
from dataclasses import dataclass

import child
from child import Failure

PROGRAM = "tokio_timer"
WARMUP_S = 1  # the program's own
OVERHEAD_S = 20.0
QUANTILES = ("p50", "p99", "p999", "max")


@dataclass(frozen=True)
class TokioTimer:
    """One load at a constant rate."""

    program: str
    rate: int
    connections: int
    seconds: int
    core: int

    def argv(self, address):
        """The client's command line."""
        return ["taskset", "-c", str(self.core), self.program, address, "--rate", str(self.rate),
                "--connections", str(self.connections), "--seconds", str(self.seconds)]

    def run(self, address):
        """Load the server at `address`. Returns the lateness of the sends in µs by quantile, and the CPU time."""
        text, usage = child.run_timed(self.argv(address), PROGRAM, WARMUP_S + self.seconds + OVERHEAD_S)
        return parse(text), usage.cpu_s


def parse(text):
    """Read the client's JSON. A run with unanswered requests is a Failure."""
    try:
        values = json.loads(text)
        lateness_us = {quantile: values["lateness_ns"][quantile] / 1000 for quantile in QUANTILES}
        requests, answered = values["requests"], values["answered"]
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"{PROGRAM}'s report is not usable ({error!r}): {text[:200]!r}") from error
    if not requests or answered < requests:
        raise Failure(f"requests of {PROGRAM} were not answered: {text[:200]!r}")
    return lateness_us
