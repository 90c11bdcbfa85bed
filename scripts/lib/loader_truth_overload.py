"""overload: whether the reported rate of an overloaded server depends on how long the loader waits for last replies.

The server completes 1,000 requests/s and the loader sends 1,500. The rate counts what was completed in the measured
window, so it must be 1,000/s for any --drain.
"""

import plot
from loader import Load
from loader_truth_study import Job, Section, distilled, drawn, run_beside, seed_of
from queue_server import QueueServer
from stats import cell, spread, table

NAME = "overload"
WHAT = "rate of an overloaded server"
WEIGHT = 1
CAPACITY_PER_S, RATE_PER_S = 1_000, 1_500
DRAINS = ("100ms", "2s", "5s", "20s")
SECONDS = 4
CLOSE = 0.02


def run(study):
    """Run the load with each drain and loader at the same time, in each round."""
    for round_number in study.each_round():
        cases = [(name, drain) for name in study.loaders for drain in DRAINS]
        jobs = [job(study, name, drain, study.random(drain, round_number), study.scratch / f"overload-{number}.json")
                for number, (name, drain) in enumerate(cases)]
        for (name, drain), ran in zip(cases, run_beside(jobs), strict=True):
            if ran.values is None:
                study.save_failure(name, ran)
            else:
                study.save({"loader": name, "drain": drain, **distilled(ran.values)})


def job(study, name, drain, generator, record):
    """A run with one drain."""
    server = QueueServer(study.queue_server, f"constant:{1e9 / CAPACITY_PER_S:.0f}ns", seed=seed_of(generator))
    load = Load(study.loaders[name], connections=4, pipeline=None, rate=RATE_PER_S,
                duration=f"{1 if study.quick else SECONDS}s", warmup="500ms", drain=drain, pacing="sleep",
                seed=seed_of(generator))
    return Job(server.subject(), load, record)


def report(records):
    """The section of the study."""
    groups = {}
    for one in records:
        groups.setdefault((one["loader"], one["drain"]), []).append(one["rate"]["achieved_per_s"])
    found = {key: spread(rates) for key, rates in groups.items()}
    rows = [[loader, drain, one.n, cell(one, 1), f"{one.median / CAPACITY_PER_S:.3f}"]
            for (loader, drain), one in found.items()]
    parts = []
    for loader in dict.fromkeys(name for name, _ in found):
        rates = [one.median for (name, _), one in found.items() if name == loader]
        off = max(abs(rate / CAPACITY_PER_S - 1) for rate in rates)
        within = f"{'within' if off <= CLOSE else 'not within'} {100 * CLOSE:.0f} %"
        parts.append(f"{loader} {min(rates):,.0f} to {max(rates):,.0f}/s by drain, {within} of the {CAPACITY_PER_S:,} "
                     "that the server completes")
    panels = [plot.Panel(loader, "reported rate, /s", "--drain",
                         [(drain, one) for (name, drain), one in found.items() if name == loader],
                         target=CAPACITY_PER_S) for loader in dict.fromkeys(name for name, _ in found)]
    return Section(
        "The rate of an overloaded server",
        f"Overload: {'; '.join(parts)}.",
        f"{RATE_PER_S:,} requests/s are sent to a server that completes {CAPACITY_PER_S:,}.\n\n"
        + table(["loader", "--drain", "runs", "reported rate, /s", "by capacity"], rows, words=2),
        [("overload", "reported rate by drain", drawn("An overloaded server", "median and range", panels))],
        [],
    )
