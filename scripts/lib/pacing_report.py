"""The report of compare_pacing: tables, answer, plot and notes."""

from dataclasses import dataclass

import loader
import plot
from stats import MISSING, cell, paired_ratios, spread, table, verdict
from tokio_timer import PROGRAM as PEER
from tokio_timer import QUANTILES

TITLE = "How late the loader sends"
QUESTION = "How late does the loader send at a given rate, with each pacing, and beside a loop on tokio's timers?"
TARGET_US = 50.0


@dataclass(frozen=True)
class Run:
    """One run: the lateness in µs by quantile, the client's share of a core, and loadgen's report if it is loadgen."""

    lateness_us: dict
    cpu_share: float
    report: loader.Report | None = None


@dataclass(frozen=True)
class Measured:
    """Everything the script measured: runs by subject name, in round order."""

    runs: dict
    rate: int

    @property
    def ours(self):
        """The names of the subjects that are loadgen."""
        return [name for name in self.runs if name != PEER]

    def lateness(self, name, quantile):
        """Median and range of a percentile over the rounds; None if a run had too few samples for it."""
        return spread(run.lateness_us[quantile] for run in self.runs[name])

    def ratio(self, name):
        """The ratios of p99.9 to the peer's, one per round."""
        ours, theirs = ([run.lateness_us["p999"] for run in self.runs[one]] for one in (name, PEER))
        return None if None in ours + theirs else spread(paired_ratios(ours, theirs))

    def reports(self):
        """loadgen's reports of its runs."""
        return [run.report for name in self.ours for run in self.runs[name]]


def body(measured):
    """The table with its heading, as Markdown."""
    rows = []
    for name, runs in measured.runs.items():
        found = measured.lateness(name, "p999")
        judged = MISSING if found is None or name == PEER else verdict(found, TARGET_US)
        reports = [run.report for run in runs if run.report is not None]
        rows.append([name, judged, loader.verdicts(reports) or MISSING, len(runs),
                     *(cell(measured.lateness(name, quantile), 1) for quantile in QUANTILES),
                     MISSING if name == PEER else cell(measured.ratio(name), 3),
                     f"{spread(100 * run.cpu_share for run in runs).median:.0f} %"])
    header = ["client", f"p99.9 ≤ {TARGET_US:g} µs", "its own verdict", "n", "p50, µs", "p99, µs", "p99.9, µs",
              "max, µs", f"p99.9, × {PEER}", "its CPU"]
    return (f"## Lateness at {measured.rate:,} requests/s\n\nCO-LOCATED: client and server have a core each. Lateness is "
            "the time from when a request was due to its send: median [lowest..highest] of n rounds.\n\n"
            f"{table(header, rows, words=3)}")


def answer(measured):
    """The answer, in one sentence."""
    parts = []
    for name in measured.ours:
        found = measured.lateness(name, "p999")
        met = MISSING if found is None else verdict(found, TARGET_US)
        parts.append(f"{name} {cell(found, 1)} µs ({met})")
    return (f"p99.9 of the lateness at {measured.rate:,}/s, target {TARGET_US:g} µs: {'; '.join(parts)}; "
            f"{PEER} {cell(measured.lateness(PEER, 'p999'), 1)} µs.")


def picture(measured):
    """A plot of p99.9: of loadgen alone, and beside the peer, whose lateness is much larger."""
    def points(names):
        return [(name.replace(", ", "\n").replace("_", "\n"), found) for name in names
                if (found := measured.lateness(name, "p999")) is not None]

    panels = [
        plot.Panel("loadgen", "lateness p99.9, µs", "", points(measured.ours), target=TARGET_US),
        plot.Panel(f"Beside {PEER}", "lateness p99.9, µs", "", points([measured.ours[0], measured.ours[-1], PEER])),
    ]
    rounds = len(measured.runs[PEER])
    return plot.Drawing(TITLE, f"{measured.rate:,} requests/s; median and range of {rounds} round(s); CO-LOCATED",
                    [panel for panel in panels if panel.points])


def notes(args):
    """What a reader must know before a conclusion."""
    return [
        f"CO-LOCATED: the server runs on core {args.server_core}, and each client on core {args.loader_core}. Other "
        "programs may run on these cores, too.",
        "Lateness is the actual send time minus the intended send time, for every request of the measured window. It "
        "includes every cause, also a connection that was not free.",
        f"{PEER} has one thread, with a task for each connection. Each task sleeps until its next request is due. The "
        "timers of tokio have a resolution of 1 ms, as its documentation says. They are not made for load generators.",
        "Poisson arrivals can be closer together than constant ones. A request that is due while the client sends or "
        "receives another one waits.",
        "`spin` uses the whole core. `hybrid` and `sleep` use a part of it. The CPU column is the client's share of a "
        "core.",
    ]
