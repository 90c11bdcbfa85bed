"""The programs of compare_event_bases: their command lines, a run, and the figures of their JSON."""

import json
import statistics
from dataclasses import dataclass

import child
from child import Failure

TIMEOUT_S = 300


@dataclass(frozen=True)
class Subject:
    """A library that is used in one way: its program, and the flags for this way."""

    name: str
    library: str
    flags: tuple = ()
    optional: bool = False  # the build or the kernel may lack what it needs


@dataclass(frozen=True)
class Case:
    """One workload for several subjects. With `every` = k, it runs only in every k-th round."""

    group: str
    name: str
    flags: tuple
    subjects: tuple
    every: int = 1

    @property
    def key(self):
        """A name for files."""
        words = f"{self.group} {self.name}".replace(",", "").replace("=", "-")
        return "-".join(words.split())

    @property
    def label(self):
        """A short name below an axis, with each number on a line of its own."""
        return "\n".join(word.rpartition("=")[2] for word in self.name.split(", "))


def command(programs, subject, case, core=None):
    """The command line, on one core if it is given. A tool that counts needs no core."""
    pinned = () if core is None else ("taskset", "-c", str(core))
    return [*pinned, programs[subject.library], *case.flags, *subject.flags]


def run(argv, what):
    """Run a program once and return what it measured."""
    return parse(child.run(argv, what, TIMEOUT_S), what)


def parse(text, what):
    """The record that a program printed."""
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise Failure(f"{what} printed no JSON: {error}") from error
    if not isinstance(record, dict) or "benchmark" not in record:
        raise Failure(f"{what} printed no record")
    if not record.get("backend", "epoll").startswith("epoll"):
        raise Failure(f"{what} uses the backend {record['backend']}, and the comparison needs epoll")
    return record


def figures(record):
    """The figures of a record by name. Each is the median of the runs that the process reported."""
    try:
        return _FIGURES[record["benchmark"]](record)
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise Failure(f"a record lacks a figure of its benchmark: {error!r} in {record}") from error


def _chain(record):
    loops, registering, hops = record["loop_ns"], record["register_ns"], record["hops"]
    totals = [a + b for a, b in zip(registering, loops, strict=True)]
    return {"loop, ns/hop": statistics.median(loops) / hops, "total, µs": statistics.median(totals) / 1000}


def _cascade(record):
    return {"elapsed, ns/event": statistics.median(record["elapsed_ns"]) / record["hops"]}


def _timers(record):
    timers = record["timers"]
    return {f"{phase}, ns": statistics.median(record[f"{phase}_ns"]) / timers
            for phase in ("add", "reset", "delete", "expire")}


def _changes(record):
    turns = zip(record["busy_ns"], record["idle_ns"], strict=True)
    return {"change, ns": statistics.median(busy - idle for busy, idle in turns) / record["turns"] / record["changes"]}


def _memory(record):
    return {"Pss, B/event": record["pss_bytes"] / record["events"],
            "private dirty, B/event": record["private_dirty_bytes"] / record["events"]}


_FIGURES = {"chain": _chain, "cascade": _cascade, "timers": _timers, "changes": _changes, "memory": _memory}
