"""coverage: how often the interval that loadgen prints beside a percentile holds the true percentile.

Many short runs with different seeds load a queue whose percentiles are known. An interval of 95 % must hold the true
value in 95 % of the runs.
"""

import itertools
from dataclasses import dataclass

import plot
import queue_server
from loader import Load
from loader_truth_study import SHARES, Job, Section, distilled, drawn, run_beside, seed_of
from queue_server import QueueServer
from queue_theory import M_D_1, M_M_1, Queue
from stats import MISSING, percent, share, table

NAME = "coverage"
WHAT = "how often the interval of a percentile holds the true one"
WEIGHT = 4  # its part of the time
TARGET = 0.95
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
MODELS = (M_M_1, M_D_1)
UTILISATIONS = (0.5, 0.8, 0.9)
CONNECTIONS = 4
# A queue that begins with a random backlog is in its steady state at once.
WARMUP = "500ms"


@dataclass(frozen=True)
class Shape:
    """A rate, the length of a run, and how many runs go on beside each other. A queue uses little processor time."""

    rate_per_s: int
    seconds: int
    beside: int

    @property
    def words(self):
        """`80/s × 12 s`."""
        return f"{self.rate_per_s:,}/s × {self.seconds} s"


SHAPES = (Shape(80, 12, 48), Shape(80, 48, 48), Shape(1_000, 4, 6), Shape(10_000, 4, 1))
QUICK_SHAPES = (Shape(200, 2, 12), Shape(1_000, 2, 4))


@dataclass(frozen=True)
class Cell:
    """A queue and a length of the run, measured by one build of the loader. The number decides the seeds."""

    loader: str
    model: str
    utilisation: float
    shape: Shape
    number: int

    @property
    def queue(self):
        """Its queue."""
        return Queue(self.model, self.shape.rate_per_s, self.utilisation)


def run(study):
    """Measure every cell once or more in each round."""
    for number in study.each_round():
        for shape in QUICK_SHAPES if study.quick else SHAPES:
            repeated = max(1, shape.beside // (len(MODELS) * len(UTILISATIONS) * len(study.loaders)))
            cells = [Cell(name, model, utilisation, shape, number * repeated + repetition)
                     for repetition, model, utilisation, name in
                     itertools.product(range(repeated), MODELS, UTILISATIONS, study.loaders)]
            study.progress(f"{len(cells)} runs of {shape.words}, {shape.beside} beside each other ...")
            for first in range(0, len(cells), shape.beside):
                measure(study, cells[first:first + shape.beside])


def measure(study, cells):
    """Run cells beside each other, and save a record of each."""
    logs = [study.scratch / f"times-{number}.txt" for number in range(len(cells))]
    jobs = [job(study, cell, log) for cell, log in zip(cells, logs, strict=True)]
    for cell, done, ran, log in zip(cells, jobs, run_beside(jobs), logs, strict=True):
        requests = queue_server.read_log(log.read_text())
        log.unlink()
        if ran.values is None:
            study.save_failure(cell.loader, ran)
        else:
            study.save(record(cell, done, ran, requests))


def job(study, cell, log):
    """A run of a cell."""
    generator = study.random(cell.model, cell.utilisation, cell.shape.words, cell.number)
    alone = cell.shape.beside == 1
    server = QueueServer(study.queue_server, cell.queue.service, seed=seed_of(generator), log=str(log),
                         backlog_s=cell.queue.backlog_s(generator.random()), spins=alone)
    load = Load(study.loaders[cell.loader], connections=CONNECTIONS, pipeline=None, rate=cell.shape.rate_per_s,
                duration=f"{cell.shape.seconds}s", warmup=WARMUP, seed=seed_of(generator),
                pacing=None if alone else "sleep", core=study.loader_core if alone else None)
    return Job(server.subject(study.server_core if alone else None), load, log.with_suffix(".json"))


def record(cell, done, ran, requests):
    """What is kept of a run. `overhead_ns` is what the sockets and the loader add to the mean response time."""
    kept = distilled(ran.values)
    latency = kept["latency_ns"]
    queue_mean_ns = queue_server.mean_response_ns(requests, latency["count"])
    mean_ns = latency["mean"]
    return {
        "loader": cell.loader, "model": cell.model, "utilisation": cell.utilisation,
        "rate_per_s": cell.shape.rate_per_s, "seconds": cell.shape.seconds, "seed": done.load.seed,
        "server": done.server.argv[1:], **kept,
        "true_ns": {name: round(1e9 * cell.queue.response_s(quantile)) for name, quantile in QUANTILES.items()
                    if not cell.queue.is_unqueued(quantile)},
        "overhead_ns": None if None in (mean_ns, queue_mean_ns) else round(mean_ns - queue_mean_ns),
        "server_report": None if ran.server_output is None else queue_server.parse_summary(ran.server_output),
    }


@dataclass
class Coverage:
    """Where the true percentile was, over runs. An interval is open if its upper end is not known: "at least"."""

    inside: int = 0
    below: int = 0  # the true value is below the interval
    above: int = 0
    missing: int = 0
    open: int = 0

    def add(self, interval, true_ns):
        """Count the interval of a run, [low, high or None]; None if the loader printed no interval."""
        if interval is None:
            self.missing += 1
            return
        low, high = interval
        self.open += high is None
        if true_ns < low:
            self.below += 1
        elif high is not None and true_ns > high:
            self.above += 1
        else:
            self.inside += 1

    @property
    def printed(self):
        """The number of intervals."""
        return self.inside + self.below + self.above

    @property
    def share(self):
        """The share of intervals that hold the true value, with its own interval; None without intervals."""
        return share(self.inside, self.printed)


def coverage_of(records, quantile, with_overhead=False):
    """The coverage of a percentile. With `with_overhead`, the true value has the overhead of the sockets added."""
    found = Coverage()
    for one in usable(records):
        if quantile not in one["true_ns"]:
            continue
        overhead_ns = (one["overhead_ns"] or 0) if with_overhead else 0
        found.add(one["latency_ns"].get("ci95", {}).get(quantile), one["true_ns"][quantile] + overhead_ns)
    return found


def usable(records):
    """The records without those that the loader itself calls INVALID."""
    return [one for one in records if one["verdict"] != "INVALID"]


def report(records):
    """The section of the study."""
    loaders = list(dict.fromkeys(one["loader"] for one in records))
    pooled = {(name, quantile): [coverage_of([one for one in records if one["loader"] == name], quantile, added)
                                 for added in (False, True)]
              for name in loaders for quantile in QUANTILES}
    rows = [[name, quantile, theory.printed, percent(theory.share), percent(added.share), theory.below, theory.above,
             theory.open, theory.missing] for (name, quantile), (theory, added) in pooled.items()]
    header = ["loader", "percentile", "intervals", "hold the true value", "with the overhead added", "too high",
              "too low", "open", "not printed"]
    answer = "; ".join(f"{name}: " + ", ".join(f"{quantile} {percent(pooled[name, quantile][1].share)}"
                                               for quantile in QUANTILES) for name in loaders)
    invalid = len(records) - len(usable(records))
    return Section(
        "Coverage of the intervals",
        f"The intervals of 95 % hold the true percentile in this share of the runs: {answer}.",
        f"{len(records):,} runs, of which {invalid:,} are INVALID and not counted. Shares have their 95 % interval.\n\n"
        f"{table(header, rows, words=2)}\n\n{cells_table(records)}",
        [("coverage", "share of the intervals that hold the true percentile", picture(pooled, records))],
        notes(),
    )


def cells_table(records):
    """A row for each queue and shape: how many of the intervals of each percentile hold the true value."""
    groups = {}
    for one in records:
        key = (one["loader"], one["model"], one["utilisation"], f"{one['rate_per_s']:,}/s × {one['seconds']} s")
        groups.setdefault(key, []).append(one)
    rows = []
    for key, found in groups.items():
        covered = [coverage_of(found, quantile, with_overhead=True) for quantile in QUANTILES]
        overheads = [one["overhead_ns"] for one in usable(found) if one["overhead_ns"] is not None]
        overhead = f"{sum(overheads) / len(overheads) / 1000:,.0f}" if overheads else MISSING
        rows.append([*map(str, key), len(usable(found)), overhead,
                     *(f"{one.inside} of {one.printed}" if one.printed else MISSING for one in covered)])
    header = ["loader", "queue", "utilisation", "run", "runs", "overhead, µs", *QUANTILES]
    return ("Intervals that hold the true value, with the overhead added, by queue and run:\n\n"
            f"{table(header, rows, words=4)}")


def picture(pooled, records):
    """A plot of the coverage by percentile, and of p99 by utilisation."""
    def points(pairs):
        return [(label, found.share) for label, found in pairs if found.share is not None]

    loaders = list(dict.fromkeys(name for name, _ in pooled))
    by_quantile = points((f"{quantile}\n{name}", added) for (name, quantile), (_, added) in pooled.items())
    by_load = points((f"{utilisation}\n{name}", coverage_of(
        [one for one in records if (one["loader"], one["utilisation"]) == (name, utilisation)], "p99", True))
        for utilisation in UTILISATIONS for name in loaders)
    panels = [plot.Panel(title, "share that holds the true value", "", found, from_zero=False, target=TARGET)
              for title, found in (("All queues", by_quantile), ("p99 by utilisation", by_load))]
    return drawn("Coverage of the intervals of 95 %", SHARES, panels)


def notes():
    """What a reader must know before a conclusion."""
    return [
        "coverage: the true percentiles are those of the steady state. M/M/1 has a closed form, and M/D/1 Erlang's. The "
        "server begins with a backlog that is drawn from the steady state, so no run measures the start of a queue.",
        "coverage: sockets, wake-ups and the loader add some time to each response. This overhead is the loader's mean "
        "minus the mean of the same requests in the server's log. \"With the overhead added\" adds it to the true value. "
        "It matters where service times are short.",
        "coverage: half of the requests of M/D/1 at a utilisation of 0.5 do not wait. Their response times are equal, so "
        "p50 is the overhead's. It is not counted.",
        "coverage: an open interval has no upper end, because the run was too short for one. It holds all values above "
        "its lower end.",
    ]
