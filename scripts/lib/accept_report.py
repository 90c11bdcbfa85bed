"""The report of compare_accept: tables, answer, plot and notes."""

from dataclasses import dataclass

import plot
from stats import MISSING, cell, median_cell, paired_ratios, spread, table, verdict

TITLE = "Accept modes under a connect flood"
QUESTION = "What does it cost to accept a connection, in each mode and in the way of memcached?"
WAKES_TARGET, RATE_TARGET = 0.25, 1.0
# The calls that accepting needs. The others belong to the echo and the close, which are the same for all.
ACCEPTING = ("accept4", "epoll_ctl", "epoll_wait", "epoll_pwait2", "write", "read", "setsockopt", "futex", "fcntl")


@dataclass(frozen=True)
class Measured:
    """Everything the script measured, by subject name."""

    peer: str
    modes: list
    runs: dict  # subject name to runs, in round order
    traces: dict | str  # subject name to Trace, or why there is none
    traced_connections: int

    def figures(self, name, figure):
        """A figure of each round."""
        return [getattr(run, figure) for run in self.runs[name]]

    def rates(self, name):
        """Connections per second of each round."""
        return [run.report.rate_per_s for run in self.runs[name]]

    def rate_ratio(self, mode):
        """The ratios of the rates to the peer's, one per round."""
        return spread(paired_ratios(self.rates(mode), self.rates(self.peer)))

    def cpu_ratio(self, mode):
        """The ratios of CPU per connection to the peer's, one per round."""
        ours, theirs = (self.figures(name, "cpu_us_per_connection") for name in (mode, self.peer))
        return spread(paired_ratios(ours, theirs))

    def wakes(self, mode):
        """Wakes per connection of each round, as the server counts them. The peer always needs 1."""
        return spread(self.figures(mode, "wakes_per_connection"))

    def traced_wakes(self, name):
        """Writes to an eventfd per connection under strace; None without a trace."""
        if isinstance(self.traces, str):
            return None
        return self.traces[name].eventfd["write"] / self.traced_connections


def body(measured):
    """The tables with their headings, as Markdown."""
    return "\n\n".join([_target_section(measured), _flood_section(measured), _syscall_section(measured)])


def answer(measured):
    """The answer, in one sentence."""
    parts = []
    for mode in measured.modes:
        wakes, ratio = measured.wakes(mode), measured.rate_ratio(mode)
        parts.append(f"{mode}: {cell(wakes and wakes.median)} wakes per connection against 1, {ratio.median:.2f} × the "
                     f"peer's connections per second, {measured.cpu_ratio(mode).median:.2f} × its CPU")
    met = [verdict(measured.rate_ratio(mode), RATE_TARGET, at_least=True).startswith("met") for mode in measured.modes]
    few = [wakes is not None and wakes.median <= WAKES_TARGET for wakes in map(measured.wakes, measured.modes)]
    return (f"{'; '.join(parts)}. Wakes at most {WAKES_TARGET}: met in {sum(few)} of {len(few)} modes; connections per "
            f"second at least {RATE_TARGET} ×: in {sum(met)} of {len(met)}.")


def picture(measured):
    """The ratios to the peer, and wakes, by mode."""
    rounds = len(measured.runs[measured.peer])
    labels = {mode: mode.replace("acceptor-in-", "acceptor\nin ") for mode in measured.modes}
    panels = [
        plot.Panel("Connections per second", "× memcached_accept", "", from_zero=False, target=RATE_TARGET,
                   points=[(labels[mode], measured.rate_ratio(mode)) for mode in measured.modes]),
        plot.Panel("Wakes", "per connection", "", target=WAKES_TARGET,
                   points=[(labels[mode], measured.wakes(mode)) for mode in measured.modes]),
    ]
    return plot.Drawing(TITLE, f"median and range of {rounds} paired round(s)", panels)


def notes(cores, workers):
    """What a reader must know before a conclusion."""
    return [
        f"{cores} cores carry the client's one thread, the acceptor and {workers} workers. No thread is pinned. "
        "Connections per second are the rate of server and client together, not the highest rate of the server.",
        "The load is a closed loop. With more connections at a time (--slots), accept batches are larger, and there are "
        "fewer wakes per connection.",
        "Each ratio is that of two runs that followed each other in one round. The order rotates.",
        "The server itself counts wakes, without strace. The count of strace is lower, because a traced server is "
        "slower, and finds more connections whenever it accepts.",
        "CPU per connection is the first field of schedstat, summed over the server's threads, divided by the "
        "connections served. It includes accept, one echo and the close. It includes the kernel's work for the "
        "handshake only if that ran in the server's threads.",
        "strace counts every system call of the server for a known number of connections, n = 1.",
        "memcached_accept.c is our own program and accepts as memcached does: one accept for each readiness, a list "
        "under a mutex, and a write to an eventfd for every connection.",
    ]


def _target_section(measured):
    rows = []
    for mode in measured.modes:
        wakes, ratio = measured.wakes(mode), measured.rate_ratio(mode)
        rows.append([f"{mode}: wakes per connection, × the peer's", f"≤ {WAKES_TARGET}", cell(wakes),
                     MISSING if wakes is None else verdict(wakes, WAKES_TARGET)])
        rows.append([f"{mode}: connections per second, × the peer's", f"≥ {RATE_TARGET}", cell(ratio),
                     verdict(ratio, RATE_TARGET, at_least=True)])
    return f"## Targets\n\n{table(['figure', 'target', 'found', 'verdict'], rows)}"


def _flood_section(measured):
    rows = []
    for name in (measured.peer, *measured.modes):
        runs = measured.runs[name]
        latencies = [median_cell((run.report.latency_us(q) for run in runs), 0) for q in ("p50", "p99", "p999")]
        compared = [MISSING] * 2 if name == measured.peer else [cell(measured.rate_ratio(name)),
                                                                 cell(measured.cpu_ratio(name))]
        rows.append([
            name, len(runs), cell(spread(measured.rates(name)), 0), compared[0],
            cell(spread(measured.figures(name, "cpu_us_per_connection"))), compared[1], *latencies,
            f"{median_cell((100 * run.report.cpu_share for run in runs), 0)} %",
        ])
    header = ["server", "n", "conns/s", "ratio", "server CPU, µs/conn", "ratio", "p50, µs", "p99, µs", "p99.9, µs",
              "client CPU"]
    return ("## The connect flood\n\nMedian [lowest..highest] of n rounds. Each round has its own ratio to the peer. "
            f"Latency is from connect to echo; it is the median over the runs.\n\n{table(header, rows)}")


def _syscall_section(measured):
    heading = "## System calls per connection\n\n"
    if isinstance(measured.traces, str):
        return heading + measured.traces
    names = [name for name in ACCEPTING if any(name in trace.calls for trace in measured.traces.values())]
    rows = []
    for subject, trace in measured.traces.items():
        counts = {name: call["calls"] / measured.traced_connections for name, call in trace.calls.items()}
        rows.append([subject, *(f"{counts.get(name, 0):.3f}" for name in names),
                     f"{sum(count for name, count in counts.items() if name not in names):.3f}",
                     f"{sum(counts.values()):.3f}", f"{measured.traced_wakes(subject):.3f}"])
    return (f"{heading}{measured.traced_connections:,} connections each, under strace. `write` and `read` are wakes "
            f"between threads; the echo and the close are not listed.\n\n"
            f"{table(['server', *names, 'others', 'all', 'eventfd writes'], rows)}")
