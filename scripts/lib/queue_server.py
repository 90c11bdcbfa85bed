"""The server with a known queue, benches/peers/queue_server.c: its command line, its log, and the figures it prints."""

import json
import statistics
from dataclasses import dataclass

from child import Failure
from server import Subject

PROGRAM = "queue_server"
LOG_COLUMNS = ["request", "connection", "arrival_ns", "begin_ns", "completion_ns", "sent_ns", "outcome"]


@dataclass(frozen=True)
class QueueServer:
    """One server. Durations are passed on as text; `flags` are those of faults."""

    program: str
    service: str
    servers: int = 1
    seed: int = 1
    backlog_s: float = 0.0
    spins: bool = False
    log: str | None = None
    flags: tuple = ()

    @property
    def argv(self):
        """Its command line without an address."""
        argv = [self.program, "--service", self.service, "--servers", str(self.servers), "--seed", str(self.seed)]
        if self.backlog_s:
            argv += ["--backlog", f"{self.backlog_s * 1e9:.0f}ns"]
        if self.log is not None:
            argv += ["--log", str(self.log)]
        return [*argv, *(["--spin"] if self.spins else []), *self.flags]

    def subject(self, core=None):
        """The server as a subject of `server.Server`."""
        return Subject(PROGRAM, tuple(self.argv), core)


@dataclass(frozen=True)
class Request:
    """The times of a request in ns, as the server saw them. `sent_ns` is 0 if no reply was sent."""

    arrival_ns: int
    completion_ns: int
    sent_ns: int
    outcome: str

    @property
    def response_ns(self):
        """From its arrival to the end of its service."""
        return self.completion_ns - self.arrival_ns


def read_log(text):
    """The requests of a log in the order of their arrival."""
    head, *lines = text.splitlines() or [""]
    if head.split() != LOG_COLUMNS:
        raise Failure(f"the log of {PROGRAM} begins with {head[:80]!r}")
    found = []
    for line in lines:
        words = line.split()
        if len(words) != len(LOG_COLUMNS):
            raise Failure(f"the log of {PROGRAM} has a line that cannot be read: {line[:80]!r}")
        found.append((int(words[0]), Request(int(words[2]), int(words[4]), int(words[5]), words[6])))
    return [request for _, request in sorted(found, key=lambda pair: pair[0])]


def mean_response_ns(requests, last):
    """The mean response time of the last requests: those of the loader's measured window. None if there are none."""
    chosen = [request.response_ns for request in requests[-last:] if request.sent_ns] if last else []
    return statistics.fmean(chosen) if chosen else None


def parse_summary(text):
    """What the server counted, from what it printed at its end."""
    try:
        values = json.loads(text)
        return {name: values[name] for name in ("connections", "requests", "replies", "faults", "dropped",
                                                "late_mean_ns", "late_max_ns")}
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"the report of {PROGRAM} is not usable ({error!r}): {text[:200]!r}") from error
