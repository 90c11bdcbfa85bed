"""The report of compare_threads: tables, answer, plots and notes."""

from dataclasses import dataclass

import plot
from stats import cell, spread, table
from sweeps import CLOSED

TITLE = "The same load on more workers"
QUESTION = "What do more workers change: peak rate, rate within an objective, latency, CPU per request?"


# By the qualifier of a search's answer: its sign beside a rate, and what the sign means.
QUALIFIERS = {
    "at-least": ("≥", "the loader was the limit in a search, so the rate is a lower bound"),
    "not-confirmed": ("unconfirmed", "a search ended before it had confirmed its rate"),
}


@dataclass(frozen=True)
class Measured:
    """Everything the script measured."""

    workers: list
    peak: dict  # workers to the cell of the closed loop
    curves: dict  # workers to the cells at a rate, in the order of the rates
    searches: dict  # workers to answers, in round order
    objective: str
    server_cores: list
    loader_cores: list

    @property
    def has_too_few_cores(self):
        """Whether there are more workers than the server has cores."""
        return len(self.server_cores) < max(self.workers)

    @property
    def place(self):
        """The cores of server and loader, for a caption."""
        if set(self.server_cores) & set(self.loader_cores):
            return "CO-LOCATED"
        server, loader = (", ".join(map(str, cores)) for cores in (self.server_cores, self.loader_cores))
        return f"server on core {server}, loader on core {loader}"

    def cpu(self, count):
        """Server CPU per request in the closed loop, in µs."""
        return self.peak[count].spread("server_cpu_us_per_request")

    def found(self, count):
        """Median and range of the rates that the searches found; None if a search found no rate."""
        return spread(answer.rate_per_s for answer in self.searches[count])

    def qualifiers(self, count):
        """The signs that the rate of a worker count needs wherever it is shown, by QUALIFIERS."""
        found = {answer.qualifier for answer in self.searches[count]}
        return [sign for qualifier, (sign, _) in QUALIFIERS.items() if qualifier in found]

    def found_words(self, count):
        """The rate that the searches found, with its qualifiers: `12,300 (≥)`."""
        signs = self.qualifiers(count)
        return cell(self.found(count), 0) + (f" ({', '.join(signs)})" if signs else "")


def body(measured):
    """The tables with their headings, as Markdown."""
    return "\n\n".join([_peak_section(measured), _search_section(measured), _curve_section(measured)])


def answer(measured):
    """The answer, in one sentence."""
    parts = []
    for count in measured.workers:
        peak = cell(measured.peak[count].spread("achieved_per_s"), 0)
        parts.append(f"{count} worker{'s' if count > 1 else ''}: peak {peak} req/s, "
                     f"{measured.found_words(count)} req/s with {measured.objective}, "
                     f"{cell(measured.cpu(count))} µs CPU per request")
    claim = "; too few cores to say how the server scales" if measured.has_too_few_cores else ""
    return f"{'; '.join(parts)}{claim}."


def picture(measured):
    """Peak, rate within the objective, and CPU per request, by worker count."""
    def points(of):
        return [(str(count), found) for count in measured.workers if (found := of(count)) is not None]

    def labelled(label):
        return "\n".join([label, *measured.qualifiers(int(label))])

    peaks = {str(count): one.verdict for count, one in measured.peak.items() if one.verdict}
    answers = {str(count): "INVALID" for count, found in measured.searches.items() if any(one.verdict for one in found)}
    panels = [
        plot.Panel("Peak, closed loop", "requests per second", "workers",
                   points(lambda count: measured.peak[count].spread("achieved_per_s")), verdicts=peaks),
        plot.Panel(f"Largest rate with {measured.objective}", "requests per second", "workers",
                   [(labelled(label), found) for label, found in points(measured.found)],
                   verdicts={labelled(label): verdict for label, verdict in answers.items()}),
        plot.Panel("Server CPU per request", "CPU time per request, µs", "workers", points(measured.cpu),
                   verdicts=peaks),
    ]
    runs = measured.peak[measured.workers[0]].summary["runs"]
    caption = f"median and range of {runs} run(s), and of the searches; {measured.place}{_doubt(measured, answers)}"
    return plot.Drawing(TITLE, caption, [panel for panel in panels if panel.points])


def _doubt(measured, answers):
    """The worst verdict with its first reason, for the caption of the plot; nothing if all is VALID."""
    for verdict in ("INVALID", "SUSPECT"):
        for found in measured.peak.values():
            if found.verdict == verdict:
                return f"; {verdict}: {_brief(found.reason)}"
        if verdict == "INVALID" and answers:
            return f"; INVALID above the rate of a search, workers {', '.join(answers)}: the loader was the limit"
    return ""


def _brief(reason):
    """A reason without its advice and its figures, which the tables have room for."""
    return ":".join(reason.split(":")[:2])


def notes(measured):
    """What a reader must know before a conclusion."""
    return [
        f"One machine, {measured.place}, over loopback. " + (
            "There are more workers than the server has cores, so more workers cannot go faster here. Rate and latency "
            "show the cost of too many workers, and not how the server scales." if measured.has_too_few_cores else
            "Where the loader's verdict is not VALID, the loader may have limited the rate."),
        "Every run has a fresh server. Each round measures worker counts and rates in a random order, which the seed "
        "determines. The searches take turns.",
        "The peak is that of a closed loop. Its latency is the service time, and rate and latency determine each other. "
        "The curves are those of open loops with Poisson arrivals. Their latency counts from when a request was due.",
        "At a rate that a search found, the upper end of the percentile's confidence interval met the objective, also "
        "on further fresh servers. " + "; ".join(f"'{sign}': {meaning}" for sign, meaning in QUALIFIERS.values()) + ".",
        "CPU per request is the CPU time of all threads of the server, divided by the requests it answered. \"CPU "
        "max/mean\" is the CPU time of the busiest worker, divided by the mean of all workers: 1.00 is even.",
        "The verdicts are those of loadgen on its own runs. A percentile is the median of the runs' percentiles.",
    ]


def _peak_section(measured):
    rows = []
    for count in measured.workers:
        found = measured.peak[count]
        rows.append([count, found.verdicts, found.summary["runs"], cell(found.spread("achieved_per_s"), 0),
                     *(cell(found.spread(name, 1e-3), 1) for name in ("p50_ns", "p99_ns", "p999_ns")),
                     cell(measured.cpu(count)), cell(found.spread("balance"))])
    header = ["workers", "verdicts", "n", "rate, req/s", "p50, µs", "p99, µs", "p99.9, µs", "server CPU, µs/req",
              "CPU max/mean"]
    return (f"## Peak: closed loop, service time\n\n{measured.place}. Median [lowest..highest] of n runs.\n\n"
            f"{table(header, rows, words=2)}")


def _search_section(measured):
    rows = [[count, len(answers), ", ".join(one.words for one in answers), measured.found_words(count),
             sum(one.probes for one in answers)] for count, answers in measured.searches.items()]
    header = ["workers", "searches", "found, req/s", "median", "probes"]
    return (f"## Largest rate with {measured.objective}\n\n{measured.place}. The rate that each search found, with its limit "
            f"in parentheses if that is not the objective.\n\n{table(header, rows)}")


def _curve_section(measured):
    rows = [[count, found.settings["rate"], found.verdicts, cell(found.spread("achieved_per_s"), 0),
             *(cell(found.spread(name, 1e-3), 1) for name in ("p50_ns", "p99_ns", "p999_ns")),
             cell(found.spread("server_cpu_us_per_request"))]
            for count, cells in measured.curves.items() for found in cells]
    header = ["workers", "rate asked for", "verdicts", "achieved, req/s", "p50, µs", "p99, µs", "p99.9, µs",
              "server CPU, µs/req"]
    return (f"## Latency against throughput: open loop, response time\n\n{measured.place}. Median [lowest..highest] of the "
            f"runs.\n\n{table(header, rows, words=3)}")


def split(cells, workers):
    """The cells of a sweep by worker count: the one of the closed loop, and those of the rates."""
    of = {count: [one for one in cells if one.settings["workers"] == str(count)] for count in workers}
    peak = {count: next(one for one in found if one.settings["rate"] == CLOSED) for count, found in of.items()}
    return peak, {count: [one for one in found if one.settings["rate"] != CLOSED] for count, found in of.items()}
