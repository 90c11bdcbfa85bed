"""The report of compare_placement: tables, answer, plot and notes."""

from dataclasses import dataclass

import plot
from stats import MISSING, cell, median_cell, paired_ratios, spread, table, verdict

TITLE = "Placements with connections of unequal rates"
QUESTION = "What does each placement do to response times and to the balance of the workers?"
FIRST = "round-robin"  # what the others are compared with
JAIN_TARGET = 0.99
# The placements that distribute evenly. The others decide by a property of the connection.
EVEN_CONNECTIONS = ("round-robin", "least-connections")
EVEN_LOAD = ("round-robin", "least-connections", "least-loaded")  # for connections of equal rates


@dataclass(frozen=True)
class Measured:
    """Everything the script measured."""

    placements: list
    runs: dict  # load name to placement to runs, in round order

    def response(self, load, placement, group, quantile):
        """A percentile of each round, in ms."""
        return [run.report.response_ms(group, quantile) for run in self.runs[load][placement]]

    def p99(self, load, placement, group="all"):
        """Median and range of p99 over the rounds, in ms."""
        return spread(self.response(load, placement, group, "p99"))

    def ratio(self, load, placement):
        """The ratios of p99 to that of round robin, one per round; None if round robin was not measured."""
        if FIRST not in self.placements:
            return None
        ours, theirs = (self.response(load, name, "all", "p99") for name in (placement, FIRST))
        return spread(paired_ratios(ours, theirs))

    def jain(self, load, placement, figure):
        """Median and range of a fairness index: `jain_connections` or `jain_busy`."""
        return spread(getattr(run, figure) for run in self.runs[load][placement])

    def judged(self):
        """The targets for connections of equal rates: the name of each, and its Jain index."""
        targets = [("connections", "jain_connections", EVEN_CONNECTIONS), ("busy", "jain_busy", EVEN_LOAD)]
        return [(f"{placement}: Jain index of {name}", self.jain("equal", placement, figure))
                for name, figure, even in targets for placement in self.placements if placement in even]


def body(measured):
    """The tables with their headings, as Markdown."""
    headings = {"unequal": "A few hot connections among cold ones", "equal": "Connections of equal rates"}
    return "\n\n".join([*(f"## {headings[load]}\n\n{_load_table(measured, load)}" for load in measured.runs),
                        _target_section(measured)])


def answer(measured):
    """The answer, in one sentence."""
    parts = [f"{name} {measured.p99('unequal', name).median:.2f} ms (Jain index of busy "
             f"{median_cell((run.jain_busy for run in runs), 3)})" for name, runs in measured.runs["unequal"].items()]
    judged = [value for _, value in measured.judged()]
    met = sum(value is not None and value.median > JAIN_TARGET for value in judged)
    return (f"p99 with hot and cold connections: {', '.join(parts)}. With equal rates, a Jain index above {JAIN_TARGET}: "
            f"met in {met} of {len(judged)} targets.")


def picture(measured):
    """p99 and the fairness of busy time by placement, for the unequal connections."""
    labels = {name: name.replace("-", "\n") for name in measured.placements}
    rounds = len(measured.runs["unequal"][measured.placements[0]])
    panels = [
        plot.Panel("Response time", "p99, ms", "", [(labels[n], measured.p99("unequal", n)) for n in labels]),
        plot.Panel("Balance", "Jain index of busy", "", from_zero=False,
                   points=[(labels[n], measured.jain("unequal", n, "jain_busy")) for n in labels]),
    ]
    return plot.Drawing(TITLE, f"hot and cold connections; median and range of {rounds} round(s)", panels)


def notes(cores, loads):
    """What a reader must know before a conclusion."""
    shapes = "; ".join(f"{name}: {load.hot} connections at {load.hot_rate}/s, {load.cold} at {load.cold_rate}/s"
                       for name, load in loads.items())
    return [
        f"Requests per second of each connection ({shapes}). The gaps are exponential, and the same in every run.",
        "Response time counts from when a request was due to be sent. The client keeps all samples, so percentiles are "
        "exact. A connection has one request in flight. The next ones wait in the client, and that time counts.",
        "The client opens hot and cold connections in turn, a hot one first. With two workers, round robin then places "
        "all hot ones on one worker. This is the worst case for round robin, not an average one.",
        f"Two workers, the acceptor and the client share {cores} cores. The table has the client's own lateness. If it "
        "is as long as the difference between two placements, the difference means little.",
        "\"Busy\" is the CPU time of a worker's thread over the whole run. The server reports it, and the number of "
        "connections of each worker.",
        "Source hash decides by the client's address, and incoming CPU by the core that received its packets. Here "
        "each connection has an address of its own. On loopback, the core is that of the client.",
    ]


def _load_table(measured, load):
    rows = []
    for name in measured.placements:
        runs = measured.runs[load][name]
        figures = [cell(measured.p99(load, name)), cell(measured.ratio(load, name)),
                   cell(spread(measured.response(load, name, "all", "p50")), 3),
                   cell(spread(measured.response(load, name, "all", "p999")))]
        figures += [cell(measured.p99(load, name, "cold"))] if load == "unequal" else []
        rows.append([name, len(runs), *figures,
                     cell(measured.jain(load, name, "jain_connections"), 3),
                     cell(measured.jain(load, name, "jain_busy"), 3),
                     sum(run.report.unanswered for run in runs),
                     cell(spread(run.report.lateness_ms("p99") for run in runs))])
    header = ["placement", "n", "p99, ms", "× round-robin", "p50, ms", "p99.9, ms",
              *(["p99 of cold, ms"] if load == "unequal" else []),
              "Jain, connections", "Jain, busy", "unanswered", "client's lateness, p99, ms"]
    return f"Median [lowest..highest] of n rounds. Each round has a ratio of its own.\n\n{table(header, rows)}"


def _target_section(measured):
    rows = [[text, f"> {JAIN_TARGET}", cell(value, 4),
             MISSING if value is None else verdict(value, JAIN_TARGET, at_least=True)]
            for text, value in measured.judged()]
    return f"## Targets, for connections of equal rates\n\n{table(['figure', 'target', 'found', 'verdict'], rows)}"
