"""What every study of loader_truth gets: the programs, its time, a file for its records, and runs beside each other."""

import contextlib
import json
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import child
import loader
import plot
from child import Failure
from server import Server

SHARES = "share and its 95 % interval (Wilson)"  # the caption of a plot of shares
RUN_OVERHEAD_S = 30.0  # connecting, the drain, writing the record, and waiting for a processor


@dataclass(frozen=True)
class Section:
    """What a study found: its tables, plots, an answer of one sentence, and what a reader must know."""

    title: str
    answer: str
    body: str
    pictures: list
    notes: list


@dataclass
class Study:
    """The context of one study.

    `loaders` are the builds of loadgen by name. Each round measures every build, so that they are measured in turns.
    """

    name: str
    loaders: dict
    queue_server: str
    bare_server: str
    seed: int
    seconds: float
    rounds: int | None
    quick: bool
    server_core: int | None
    loader_core: int | None
    scratch: Path
    lines: Path
    comparisons: int
    search_service_s: float
    records: list = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def save(self, record):
        """Add a record, and append it to the file of this study."""
        self.records.append(record)
        with self.lines.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def save_failure(self, name, ran):
        """Add a run of a build of the loader that left no record. No study counts it, and the report names it."""
        self.progress(f"a run of {name} left no record: {ran.errors}")
        self.save({"failed": ran.errors, "loader": name, "status": ran.status})

    def random(self, *key):
        """The random generator of a key. It gives the seeds of a run.

        A key names a run, and not the build of the loader, so all builds have the same seeds.
        """
        return random.Random(f"{self.seed} {self.name} {key}")

    def each_round(self, seconds=None):
        """The numbers of the rounds: as many as asked for, or as fit into the time. At least one."""
        seconds = self.seconds if seconds is None else seconds
        started, number = time.monotonic(), 0
        while True:
            spent = time.monotonic() - started
            if self.rounds is None and number and spent + spent / number > seconds:
                return
            if self.rounds is not None and number >= self.rounds:
                return
            left = seconds - spent if self.rounds is None else spent / max(1, number) * (self.rounds - number)
            of = "" if self.rounds is None else f" of {self.rounds}"
            self.progress(f"round {number + 1}{of}" + (f", about {clock(left)} left" if left >= 1 else ""))
            yield number
            number += 1

    @property
    def is_over(self):
        """Whether the time of the study is over. It never is with a number of rounds."""
        return self.rounds is None and time.monotonic() - self.started > self.seconds

    def progress(self, text):
        """Print what the study does."""
        print(f"{self.name}: {text}", file=sys.stderr, flush=True)


def clock(seconds):
    """A time as minutes and seconds: `2:05`."""
    return f"{max(0, round(seconds)) // 60}:{max(0, round(seconds)) % 60:02}"


def seed_of(generator):
    """A seed for loadgen or queue_server."""
    return generator.getrandbits(31)


@dataclass(frozen=True)
class Job:
    """One run: a server, and a load on it. The loader writes its record to a file."""

    server: object  # a server.Subject
    load: loader.Load
    record: Path
    expected: tuple = (*loader.USABLE_STATUS, 1)


@dataclass(frozen=True)
class Ran:
    """A run that ended. `values` are those of the loader's record; None if the loader failed without one."""

    values: dict | None
    status: int
    errors: str
    server_output: str | None  # None if the server did not live until its end


def drawn(title, caption, panels):
    """A plot of the panels that have points; None if none has."""
    panels = [panel for panel in panels if panel.points]
    return plot.Drawing(title, caption, panels) if panels else None


def argv_of(job, address):
    """The loader's command line of a job."""
    return job.load.argv(address, "--quiet", "--json", str(job.record))


def run_beside(jobs):
    """Run jobs at the same time, each with a server of its own. Their loads begin when all servers listen."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(job.server)) for job in jobs]
        tasks = [stack.enter_context(child.Task(argv_of(job, server.address), "loadgen"))
                 for job, server in zip(jobs, servers, strict=True)]
        return [finish(job, server, task) for job, server, task in zip(jobs, servers, tasks, strict=True)]


def finish(job, server, task):
    """Wait for the end of a run, and stop its server."""
    task.finish(job.load.seconds + RUN_OVERHEAD_S, job.expected)
    try:
        output = server.stop()
    except Failure:
        output = None
    # A build of another age may leave an empty file where it could not connect.
    text = (job.record.read_text() if job.record.exists() else "") or None
    job.record.unlink(missing_ok=True)
    return Ran(None if text is None else parse(text), task.status, task.errors.strip(), output)


def parse(text):
    """The loader's record. One that lacks what the studies read is a Failure."""
    try:
        values = json.loads(text)
        _used = (values["validity"]["verdict"], values["rate"]["achieved_per_s"], values["latency_ns"]["response"],
                 values["latency_ns"]["service"], values["counters"]["completed"])
        return values
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"loadgen's record is not usable ({error!r}): {text[:200]!r}") from error


def distilled(values):
    """The part of a record that is kept: verdict, reasons and notes, rate, counters, headline latency."""
    latency = values["latency_ns"]
    headline = latency["response"] if latency["response"].get("count") else latency["service"]
    return {
        "verdict": values["validity"]["verdict"],
        "reasons": findings(values["validity"]["reasons"]),
        "notes": findings(values["validity"]["labels"]),
        "rate": values["rate"],
        "counters": values["counters"],
        "latency_ns": headline,
    }


def findings(found):
    """Codes and texts of reasons or notes."""
    return [{"code": one["code"], "text": one.get("text", "")} for one in found]

