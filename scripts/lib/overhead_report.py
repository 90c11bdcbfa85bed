"""The report of compare_overhead: tables, answer, plot and notes."""

from dataclasses import dataclass

import instructions
import plot
from stats import cell, paired_ratios, spread, table, verdict

TITLE = "What timings and deadlines cost"
QUESTION = "How much CPU per request do the server's timings cost, and how much do deadlines cost?"


def names(case):
    """The names of the three servers of a case: without the feature, with it, and without it again."""
    return f"no {case}", case, f"no {case}, again"


@dataclass(frozen=True)
class Measured:
    """Everything the script measured."""

    cases: list
    runs: dict  # case name to subject name to runs, in round order
    instructions: dict | str  # subject name to user-space instructions per echo, or why there is none

    def cpu(self, case, subject):
        """CPU per request of each round."""
        return [run.cpu_us_per_request for run in self.runs[case.name][subject]]

    def ratio(self, case, subject):
        """The ratios to the server without the feature, one per round."""
        return spread(paired_ratios(self.cpu(case, subject), self.cpu(case, names(case.name)[0])))

    def more_instructions(self, case):
        """The instructions that the feature adds to an echo, and those of an echo without it; None if not counted."""
        without, with_it, _ = names(case.name)
        if isinstance(self.instructions, str) or with_it not in self.instructions:
            return None
        return self.instructions[with_it] - self.instructions[without], self.instructions[without]


def body(measured):
    """The tables with their headings, as Markdown."""
    return f"{_cpu_section(measured)}\n\n{instructions.section(measured.instructions)}"


def answer(measured):
    """The answer, in one sentence."""
    parts = []
    for case in measured.cases:
        _, with_it, again = names(case.name)
        part = (f"{case.name}: {measured.ratio(case, with_it).median:.3f} × the CPU per request (target {case.target}; "
                f"two equal servers: {measured.ratio(case, again).text(3)})")
        if (more := measured.more_instructions(case)) is not None:
            part += f", {more[0]:+,.0f} instructions per echo, from {more[1]:,.0f}"
        parts.append(part)
    return "; ".join(parts) + "."


def picture(measured):
    """A plot of the ratio of each case, beside that of two equal servers."""
    panels = []
    for case in measured.cases:
        _, with_it, again = names(case.name)
        points = [("with", measured.ratio(case, with_it)), ("without, again", measured.ratio(case, again))]
        panels.append(plot.Panel(case.name, "CPU per request, × without", "", points, from_zero=False,
                                 target=case.target))
    rounds = len(next(iter(measured.runs[measured.cases[0].name].values())))
    return plot.Drawing(TITLE, f"median and range of {rounds} paired round(s)", panels)


def notes(args):
    """What a reader must know before a conclusion."""
    return [
        f"The server has one worker, on core {args.server_core} alone. The loader runs on core {args.loader_core}. "
        "The load is 50 busy connections, 64 B, one message in flight each.",
        "Each idle connection has echoed one message, so its idle deadline runs. None ends during a run.",
        "Each ratio is that of two runs of one round. The order rotates. Every round measures the server without the "
        "feature twice. The ratio of these two is the column `without, again`. A ratio within its range shows no cost.",
        "CPU time is the first field of /proc/PID/task/TID/schedstat (ns), summed over the threads and divided by all "
        "requests answered. The kernel uses most of it, and user space a small part.",
        "Instructions are those of user space, counted by callgrind without the idle connections. They are the best "
        "evidence, because they do not depend on other load of the machine.",
    ]


def _cpu_section(measured):
    rows = []
    for case in measured.cases:
        without, with_it, again = names(case.name)
        ratio = measured.ratio(case, with_it)
        rows.append([case.name, f"{case.idle:,}", ratio.n, cell(spread(measured.cpu(case, without)), 3),
                     cell(spread(measured.cpu(case, with_it)), 3), cell(ratio, 3), cell(measured.ratio(case, again), 3),
                     case.target, verdict(ratio, case.target)])
    header = ["case", "idle connections", "n", "without, µs/req", "with, µs/req", "ratio", "without, again", "target",
              "verdict"]
    return (f"## CPU per request\n\nMedian [lowest..highest] of n rounds. Each round has ratios of its own.\n\n"
            f"{table(header, rows)}")
