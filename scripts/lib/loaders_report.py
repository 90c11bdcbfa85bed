"""The report of compare_loaders: tables, answer, plot and notes."""

from dataclasses import dataclass

import loader
import plot
from stats import cell, median_cell, paired_ratios, spread, table, verdict

TITLE = "The loader against other loaders"
QUESTION = "Does the loader cost no more per request than others, and does it measure the same rate and median?"
OURS = "loadgen"


@dataclass(frozen=True)
class Target:
    """A figure of ours as a multiple of the rival's. `within` is how far from 1 it may be; otherwise `most` is."""

    figure: str
    of: object  # a run's figure
    most: float | None = None
    within: float | None = None


def _cpu(run):
    return run.cpu_us_per_request


def _rate(run):
    return run.summary.rate_per_s


def _median(run):
    return run.summary.p50_us


TARGETS = {
    "http": [Target("CPU per request", _cpu, most=1.0)],
    "echo": [Target("CPU per request", _cpu, most=1.1)],
    "ping": [Target("rate", _rate, within=0.1), Target("p50", _median, within=0.1)],
}


@dataclass(frozen=True)
class Measured:
    """Everything the script measured: by case, the rival's name, and the runs of each in round order."""

    rivals: dict
    runs: dict  # case name to program name to runs
    whats: dict  # case name to what it is, in words

    def ratio(self, case, of):
        """loadgen's figure over the other loader's, of the pairs of each round; None where one has no figure."""
        ours, theirs = ([of(run) for run in self.runs[case][name]] for name in (OURS, self.rivals[case]))
        return None if None in ours + theirs else spread(paired_ratios(ours, theirs))

    def judged(self):
        """Every target with the ratio and the verdict on it, in words."""
        return [(case, target, self.ratio(case, target.of), self._verdict(case, target))
                for case in self.runs for target in TARGETS[case]]

    def _verdict(self, case, target):
        if target.most is not None:
            return verdict(self.ratio(case, target.of), target.most)
        ours, theirs = ([target.of(run) for run in self.runs[case][name]] for name in (OURS, self.rivals[case]))
        return verdict(spread(abs(ratio - 1) for ratio in paired_ratios(ours, theirs)), target.within)

    def reports(self):
        """What our loader reported of its runs."""
        return [run.summary.report for programs in self.runs.values() for run in programs[OURS]]


def body(measured):
    """The tables with their headings, as Markdown."""
    return "\n\n".join([*(_case_section(measured, case) for case in measured.runs), _target_section(measured)])


def answer(measured):
    """The answer, in one sentence."""
    parts = [f"{target.figure} {ratio.median:.2f} × {measured.rivals[case]}'s ({_wanted(target)}: {said})"
             for case, target, ratio, said in measured.judged()]
    return f"{'; '.join(parts)}."


def picture(measured):
    """The ratios of each case beside each other."""
    panels = [
        plot.Panel(f"{target.figure}, {case}", f"× {measured.rivals[case]}", "", [(OURS, ratio)], from_zero=False,
                   target=target.most or 1.0)
        for case, target, ratio, _ in measured.judged()
    ]
    rounds = max(len(programs[OURS]) for programs in measured.runs.values())
    return plot.svg(TITLE, f"median and range of {rounds} paired round(s); CO-LOCATED with the server", panels)


def notes(args, measured):
    """What a reader must know before a conclusion."""
    return [
        f"CO-LOCATED: every server runs on core {args.server_core} alone and every loader on core "
        f"{args.loader_core} of one machine, over loopback.",
        "Each runs in a closed loop with one thread and one request in flight per connection. Every round runs all of "
        "them one after the other, with a fresh server each, and the order alternates. A ratio is of one round.",
        "CPU per request is the user and system time of the whole process, from its start to its end, as the kernel "
        "counted it (wait4). It is divided by the requests that the program reports.",
        "A loader that finds replies faster finds fewer of them at a time, and waits more often for each. So the "
        "cost per request depends on which is slower, loader or server.",
        "loadgen compares every byte of every reply and keeps several histograms. wrk parses replies and keeps one. "
        "The bare client does neither.",
        "redis-benchmark prints the median in steps of 1 µs. It takes a number of requests instead of a time. A "
        "short run beforehand chooses the number so that the run takes as long as the others.",
        "In flight is Little's law with the rate and mean time that each loader reports. Other connections, unless "
        "they are idle on purpose, wait inside the loader. Where a loader uses its whole core, that waiting limits "
        "the rate and is in no latency. The rates of two loaders agree only where the server is the limit.",
        f"The loader's verdicts on its own runs: {loader.verdicts(measured.reports())}.",
    ]


def _wanted(target):
    return f"target {target.most}" if target.most is not None else f"within {target.within:.0%}"


def _case_section(measured, case):
    rows = []
    for name, runs in measured.runs[case].items():
        medians = [_median(run) for run in runs]
        rows.append([name, len(runs), cell(spread(map(_cpu, runs)), 3), cell(spread(map(_rate, runs)), 0),
                     cell(spread(medians), 1), median_cell(run.cpu_share for run in runs),
                     median_cell((run.in_flight for run in runs), 1)])
    header = ["loader", "n", "its CPU, µs/req", "rate, req/s", "p50 of service, µs", "its share of a core",
              "in flight (rate × mean)"]
    return (f"## {measured.whats[case]}\n\nCO-LOCATED, closed loop. Median [lowest..highest] of n rounds.\n\n"
            f"{table(header, rows)}")


def _target_section(measured):
    rows = [[f"{target.figure} against {measured.rivals[case]}", _wanted(target), said, cell(ratio, 3)]
            for case, target, ratio, said in measured.judged()]
    return f"## Targets\n\n{table(['figure', 'target', 'verdict', 'ratio'], rows, words=3)}"
