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
    """A limit on the ratio of loadgen's figure to the other loader's.

    The ratio is at most `most`. Or it differs from 1 by at most `within`.
    """

    figure: str
    of: object  # a function that takes the figure from a run
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
    "https": [Target("CPU per request", _cpu, most=1.0)],
    "echo": [Target("CPU per request", _cpu, most=1.1)],
    "mix": [Target("CPU per request", _cpu, most=1.0)],
    "ping": [Target("rate", _rate, within=0.1), Target("p50", _median, within=0.1)],
}


@dataclass(frozen=True)
class Measured:
    """Everything the script measured."""

    others: dict  # case name to the name of the other loader
    runs: dict  # case name to program name to runs, in round order
    whats: dict  # case name to its heading

    def ratio(self, case, of):
        """loadgen's figure divided by the other loader's, of the pairs of each round; None where one has no figure."""
        ours, theirs = ([of(run) for run in self.runs[case][name]] for name in (OURS, self.others[case]))
        return None if None in ours + theirs else spread(paired_ratios(ours, theirs))

    def judged(self):
        """For every target: its case, the target, the ratio, and the verdict in words."""
        return [(case, target, self.ratio(case, target.of), self._verdict(case, target))
                for case in self.runs for target in TARGETS[case]]

    def _verdict(self, case, target):
        if target.most is not None:
            return verdict(self.ratio(case, target.of), target.most)
        ours, theirs = ([target.of(run) for run in self.runs[case][name]] for name in (OURS, self.others[case]))
        return verdict(spread(abs(ratio - 1) for ratio in paired_ratios(ours, theirs)), target.within)

    def reports(self):
        """What our loader reported of its runs."""
        return [run.summary.report for programs in self.runs.values() for run in programs[OURS]]


def body(measured):
    """The tables with their headings, as Markdown."""
    return "\n\n".join([*(_case_section(measured, case) for case in measured.runs), _target_section(measured)])


def answer(measured):
    """The answer, in one sentence."""
    parts = [f"{target.figure} {ratio.median:.2f} × {measured.others[case]}'s ({_wanted(target)}: {said})"
             for case, target, ratio, said in measured.judged()]
    return f"{'; '.join(parts)}."


def picture(measured):
    """A plot of the ratio of every target."""
    panels = [
        plot.Panel(f"{target.figure}, {case}", f"× {measured.others[case]}", "", [(OURS, ratio)], from_zero=False,
                   target=target.most or 1.0)
        for case, target, ratio, _ in measured.judged()
    ]
    rounds = max(len(programs[OURS]) for programs in measured.runs.values())
    return plot.Drawing(TITLE, f"median and range of {rounds} paired round(s); CO-LOCATED with the server", panels)


def notes(args, measured):
    """What a reader must know before a conclusion."""
    return [
        f"CO-LOCATED: every server runs on core {args.server_core} alone and every loader on core "
        f"{args.loader_core} of one machine, over loopback.",
        "Each loader runs in a closed loop with one thread and one request in flight per connection. A round runs all "
        "loaders in turn, each on a fresh server, and the order alternates. A ratio is of two runs of one round.",
        "CPU per request is the user and system time of the whole process, from its start to its end, as the kernel "
        "counted it (wait4). It is divided by the requests that the program reports.",
        "The faster a loader is, the fewer replies each wait returns, and the more waits it needs per reply. So the "
        "cost per request depends on which is slower, loader or server.",
        "loadgen compares every byte of every reply and keeps several histograms. wrk parses replies and keeps one. "
        "memtier_benchmark parses replies and keeps one for each command. h2load parses replies and keeps a sample of the "
        "times. The bare client does nothing of it.",
        "Over TLS, nginx allows one cipher and one key exchange, so both loaders do the same work. loadgen encrypts with "
        "rustls, h2load with OpenSSL.",
        "redis-benchmark prints the median in steps of 1 µs. Its flags take a number of requests and no time. A short "
        "run beforehand finds the number with which the run takes as long as the others.",
        "\"In flight\" is the rate times the mean service time that each loader reports (Little's law). The other "
        "connections wait inside the loader. Where a loader uses its whole core, that waiting limits the rate, and no "
        "latency includes it. The rates of two loaders agree only where the server is the limit.",
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
    rows = [[f"{target.figure} against {measured.others[case]}", _wanted(target), said, cell(ratio, 3)]
            for case, target, ratio, said in measured.judged()]
    return f"## Targets\n\n{table(['figure', 'target', 'verdict', 'ratio'], rows, words=3)}"
