"""The report of compare_floor: tables, answer, plot and notes."""

from dataclasses import dataclass

import instructions
import plot
import raw
from stats import Spread, cell, paired_ratios, spread, table, verdict

TITLE = "The server against a bare epoll loop"
QUESTION = "How much more than a bare epoll loop in C does one worker cost?"
TARGET = 1.05


@dataclass(frozen=True)
class Measured:
    """Everything the script measured, by subject name."""

    floor: str
    servers: list
    null: str | None  # the bare loop measured a second time, as if it were a server
    runs: dict  # case name to subject name to runs, in round order
    traces: dict | str  # subject name to Trace, or why there is none
    events_per_wait: dict  # server name to Spread or None
    instructions: dict | str  # subject name to user-space instructions per echo, or why there is none
    memory: dict  # (subject name, touched) to records

    def cpu(self, case, subject):
        """CPU per request of each round."""
        return [run.cpu_us_per_request for run in self.runs[case][subject]]

    def ratio(self, case, server) -> Spread:
        """Median and range of the ratios to the bare loop, one ratio per round."""
        return spread(paired_ratios(self.cpu(case, server), self.cpu(case, self.floor)))

    def bytes_per_connection(self, subject, touched, kind):
        """Growth of memory per held connection, over the rounds."""
        return spread(record["bytes_per_connection"][kind] for record in self.memory[subject, touched])


def body(measured):
    """The tables with their headings, as Markdown."""
    return "\n\n".join([
        *(_cpu_section(measured, server) for server in measured.servers),
        *([_cpu_section(measured, measured.null)] if measured.null else []),
        _syscall_section(measured),
        instructions.section(measured.instructions),
        _memory_section(measured),
    ])


def answer(measured):
    """The answer, one sentence for each server."""
    sentences = []
    for server in measured.servers:
        ratios = [measured.ratio(case, server).median for case in measured.runs]
        met = sum(ratio <= TARGET for ratio in ratios)
        sentences.append(f"{server}: {min(ratios):.2f} to {max(ratios):.2f} times the bare loop's CPU per request, by case "
                         f"(target {TARGET} met in {met} of {len(ratios)} cases)")
        if isinstance(measured.traces, dict):
            calls, floor_calls = (measured.traces[name].calls_per_echo for name in (server, measured.floor))
            sentences[-1] += f", {calls:.2f} system calls per echo against {floor_calls:.2f}"
        grown = measured.bytes_per_connection(server, True, "pss_anon").median
        sentences[-1] += f", {grown:,.0f} B of user memory per idle connection."
    return " ".join(sentences)


def picture(measured):
    """The ratio by case, one panel for each changelist policy of the server."""
    rounds = len(next(iter(measured.runs.values()))[measured.floor])
    labels = {case: case.replace(", ", "\n").replace(" × ", "\n× ") for case in measured.runs}
    panels = [
        plot.Panel(server, "CPU per request, × bare loop", "", [(labels[c], measured.ratio(c, server)) for c in labels],
                   from_zero=False, target=TARGET)
        for server in (*measured.servers, *([measured.null] if measured.null else []))
    ]
    caption = f"median and range of {rounds} paired round(s)"
    return plot.svg("CPU per request against the bare epoll loop", caption, panels)


def notes(args):
    """What a reader must know before a conclusion."""
    return [
        f"Both servers run on core {args.server_core} alone, and the loader on core {args.loader_core}. The server "
        "does not pin its threads itself. After each run the script checks the allowed core of every thread.",
        "Each ratio is that of two runs that followed each other in one round. The order alternates. The tables show "
        "the median and range of the rounds' ratios, and no ratio of averages.",
        "CPU time is the first field of /proc/PID/task/TID/schedstat (ns), summed over the threads, after the load "
        "minus before it. utime + stime count in ticks of 10 ms, which is too coarse for a difference of a few per "
        f"cent. They are in {raw.NAME} as a cross-check. CPU time is divided by all requests answered. It includes "
        "the warm-up, and accepting and closing the connections.",
        "Absolute times are valid for this machine at this time. Ratios differ less from machine to machine, and system "
        "calls and bytes differ least.",
        "strace slows a server, so each wait returns more connections than without strace. Both servers then have fewer "
        "waits per echo. The column of untraced events per wait has the server's own count, without strace.",
        "Memory is user memory. Socket buffers and epoll entries in the kernel are the same for both, and not "
        "included.",
    ]


def _cpu_section(measured, server):
    rows = []
    for case in measured.runs:
        ratio = measured.ratio(case, server)
        costs = [cell(spread(measured.cpu(case, name)), 3) for name in (measured.floor, server)]
        rows.append([case, ratio.n, *costs, cell(ratio, 3), verdict(ratio, TARGET)])
    header = ["case", "n", f"{measured.floor}, µs/req", f"{server}, µs/req", "ratio", f"target {TARGET}"]
    is_null = server == measured.null
    null = (" This is the bare loop against itself: a ratio of the server that is as close to 1 shows no difference."
            if is_null else "")
    return (f"## CPU per request: {server}\n\nMedian [lowest..highest] of n rounds. Each round has a ratio of its own."
            f"{null}\n\n{table(header, rows)}")


def _syscall_section(measured):
    heading = "## System calls per echo\n\n"
    if isinstance(measured.traces, str):
        return heading + measured.traces
    rows = [
        [name, f"{trace.echoes:,}", f"{trace.calls_per_echo:.3f}", trace.listing(), trace.coordination(),
         cell(measured.events_per_wait.get(name))]
        for name, trace in measured.traces.items()
    ]
    header = ["server", "echoes seen", "calls/echo", "by name, per echo", "between threads", "untraced events/wait"]
    return (f"{heading}50 busy connections, 64 B, one message in flight on each; one trace, n = 1. System calls and "
            f"echoes (successful sends) are counted in the same time.\n\n{table(header, rows)}")


def _memory_section(measured):
    rows = []
    for (subject, touched), records in measured.memory.items():
        figures = [cell(measured.bytes_per_connection(subject, touched, kind), 0) for kind in ("pss_anon", "pss")]
        rows.append([subject, "after one echo each" if touched else "without a message", len(records), *figures])
    held = next(iter(measured.memory.values()))[0]["connections"]
    header = ["server", "connections", "n", "anonymous Pss, B/conn", "whole Pss, B/conn"]
    return (f"## User memory per idle connection\n\nGrowth of Pss over {held:,} held connections, median "
            f"[lowest..highest] of n.\n\n{table(header, rows)}")
