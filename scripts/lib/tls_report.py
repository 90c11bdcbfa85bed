"""The tables and sentences of compare_tls.sh."""

from dataclasses import dataclass

import plot
from stats import MISSING, cell, interval_cell, median_cell, paired_ratios, spread, table, verdict
from tls_servers import OURS, REFERENCE

TARGET = 1.0
WITH, WITHOUT, ALONE = "with TLS", "without TLS", "TLS alone"
BEST = " (best)"
# What all servers must have in common for one kind of key; the rest of an agreement is only shown.
COMMON = ("version", "cipher", "key exchange", "signature", "resumes")


@dataclass(frozen=True)
class Cost:
    """What one run found, for each request: an echo, or a connection."""

    cpu_us: float
    sleeps: float  # how often the server waited for the client
    rate: float  # requests per second


@dataclass(frozen=True)
class Measured:
    """All that was measured."""

    servers: list
    missing: list  # a sentence for each server that is missing
    agreements: dict  # by server name and kind of key: what the client returned
    costs: dict  # by case, by (server name, WITH or WITHOUT): the costs in round order
    syscalls: dict | str  # by server name, by case name: calls per request by name; or the reason why there are none

    def cpu(self, case, name, what):
        """Microseconds of CPU time for each request, in round order. ALONE is the difference of the two others."""
        if what == ALONE:
            return [a - b for a, b in zip(self.cpu(case, name, WITH), self.cpu(case, name, WITHOUT), strict=True)]
        return [cost.cpu_us for cost in self.costs[case][name, what]]

    def ratios(self, case, name, other, what):
        """The ratios of two servers, one for each round; None if the other has a difference of zero or less."""
        denominators = self.cpu(case, other, what)
        return paired_ratios(self.cpu(case, name, what), denominators) if min(denominators) > 0 else None

    def best_other(self, case, what):
        """The name of the server of another project with the lowest median."""
        others = [server.name for server in self.servers if server.name not in OURS]
        return min(others, key=lambda name: spread(self.cpu(case, name, what)).median)

    def ours(self):
        """The names of our servers that were measured."""
        return [server.name for server in self.servers if server.name in OURS]


def differences(agreements):
    """A sentence for each agreement that differs from the first of the same kind of key, or that does not resume."""
    found, first = [], {}
    for (name, key), agreement in agreements.items():
        reference_name, reference = first.setdefault(key, (name, agreement))
        found += [f"{name} ({key}): {field} is {agreement[field]}, and that of {reference_name} is {reference[field]}"
                  for field in COMMON if agreement[field] != reference[field]]
        if not agreement["resumes"]:
            found.append(f"{name} ({key}) does not resume a session by a ticket")
    return found


def body(measured):
    """All sections."""
    parts = [_roles(measured), _agreements(measured), _costs(measured)]
    if measured.ours():
        parts.append(_targets(measured))
    return "\n\n".join([*parts, _syscalls(measured)])


def _roles(measured):
    lines = [f"- **{server.name}**: {server.role}" for server in measured.servers]
    return "\n".join(["## What each server does", "", *lines, *(f"- {sentence}." for sentence in measured.missing)])


def _agreements(measured):
    fields = list(next(iter(measured.agreements.values())))
    rows = [[name, key, *(_word(agreement[field]) for field in fields)]
            for (name, key), agreement in measured.agreements.items()]
    return ("## What client and server agree on\n\nThe script fails if a server differs in version, cipher, key exchange, "
            f"signature or resumption.\n\n{table(['server', 'key', *fields], rows, words=2 + len(fields))}")


def _word(value):
    return ("no", "yes")[value] if isinstance(value, bool) else value


def _costs(measured):
    sections = [f"### {case.name}\n\n{_costs_of(measured, case)}" for case in measured.costs]
    return ("## CPU time of the server for each request\n\nA request is an echo, or a connection with its echo of one byte. "
            "Median [lowest..highest] of n rounds. Each round has a ratio of its own, "
            f"and the ratios are to {REFERENCE}. \"TLS alone\" is the time with TLS minus the time without, in each round. "
            f"\"{BEST.strip()}\" is the lowest median among the servers of other projects. Rate and sleeps are medians with "
            "TLS.\n\n" + "\n\n".join(sections))


def _costs_of(measured, case):
    rows = []
    for server in measured.servers:
        name, cells = server.name, {}
        for what in (WITH, ALONE):
            mark = BEST if name == measured.best_other(case, what) else ""
            cells[what] = [cell(spread(measured.cpu(case, name, what)), 1) + mark,
                           _ratio_cell(measured.ratios(case, name, REFERENCE, what))]
        runs = measured.costs[case][name, WITH]
        rows.append([name, len(runs), *cells[WITH], cell(spread(measured.cpu(case, name, WITHOUT)), 1), *cells[ALONE],
                     median_cell([run.rate for run in runs], 0), median_cell([run.sleeps for run in runs])])
    header = ["server", "n", f"{WITH}, µs", "ratio", f"{WITHOUT}, µs", f"{ALONE}, µs", "ratio", "rate, /s", "sleeps"]
    return table(header, rows)


def _ratio_cell(ratios):
    return MISSING if ratios is None else cell(spread(ratios))


def _targets(measured):
    rows = []
    for name in measured.ours():
        for case in measured.costs:
            for what in (WITH, ALONE):
                best = measured.best_other(case, what)
                ratios = measured.ratios(case, name, best, what)
                judged = [MISSING] * 3 if ratios is None else [
                    cell(spread(ratios), 3), interval_cell(ratios), verdict(spread(ratios), TARGET)]
                rows.append([name, case.name, what, best, *judged])
    header = ["server", "case", "CPU time", "best other server", "ratio", "95 % of the median", f"target {TARGET}"]
    return f"## Our servers against the best other one\n\n{table(header, rows, words=4)}"


def calls_per_request(shorter, longer):
    """System calls for each request by name, from two runs: (requests, calls by name). What both have cancels."""
    (requests, calls), (more_requests, more_calls) = shorter, longer
    return {name: (count - calls.get(name, 0)) / (more_requests - requests) for name, count in more_calls.items()}


def _syscalls(measured):
    heading = "## System calls for each request, with TLS\n\n"
    if isinstance(measured.syscalls, str):
        return heading + measured.syscalls
    rows = [[name, case, _listing(calls), cell(sum(calls.values()))]
            for name, cases in measured.syscalls.items() for case, calls in cases.items()]
    return (f"{heading}Counted by strace, in two runs of different length whose counts are subtracted. So connecting is not "
            f"in the counts of echoes. n = 1.\n\n{table(['server', 'case', 'which', 'calls'], rows, words=3)}")


def _listing(calls):
    most = sorted(calls.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {count:.2f}" for name, count in most if count >= 0.005)


def answer(measured):
    """The answer in one sentence for each of our servers."""
    sentences = []
    for name in measured.ours():
        parts = [" / ".join(_ratio_cell(measured.ratios(case, name, measured.best_other(case, what), what))
                            for what in (WITH, ALONE)) for case in measured.costs]
        cases = "; ".join(f"{case.name} {part}" for case, part in zip(measured.costs, parts, strict=True))
        sentences.append(f"{name} needs this share of the CPU time of the best other server, with TLS / for TLS alone: "
                         f"{cases}.")
    return " ".join(sentences) or "None of our servers was measured."


def picture(measured, name):
    """The ratios of one of our servers to the best other one, by case."""
    panels = []
    for what in (WITH, ALONE):
        ratios = {case.label: measured.ratios(case, name, measured.best_other(case, what), what) for case in measured.costs}
        points = [(label, spread(values)) for label, values in ratios.items() if values is not None]
        if points:
            panels.append(plot.Panel(what, "CPU time, × the best other", "", points, from_zero=False, target=TARGET))
    rounds = max(len(runs) for of_case in measured.costs.values() for runs in of_case.values())
    return plot.Drawing(f"CPU time of {name} against the best other server", f"median and range of {rounds} round(s)", panels)
