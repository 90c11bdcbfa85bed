"""The report of servers that echo, beside one that they are compared with: tables, answer, plot and notes."""

from dataclasses import dataclass

import instructions
import measure
import plot
import raw
import results
from stats import Spread, cell, interval_cell, paired_ratios, spread, table, verdict


@dataclass(frozen=True)
class Measured:
    """Everything that was measured, by subject name. Ratios are to the reference."""

    reference: str
    servers: list
    target: float  # of the servers' ratios of CPU per request
    others: list  # measured beside them, and without a target
    runs: dict  # case name to subject name to runs, in round order
    traces: dict | str  # subject name to Trace, or why there is none
    events_per_wait: dict  # server name to Spread or None
    instructions: dict | str  # subject name to user-space instructions per echo, or why there is none
    memory: dict  # (subject name, touched) to records

    def cpu(self, case, subject):
        """CPU per request of each round."""
        return [run.cpu_us_per_request for run in self.runs[case][subject]]

    def ratios(self, case, server):
        """The ratios to the reference, one for each round."""
        return paired_ratios(self.cpu(case, server), self.cpu(case, self.reference))

    def ratio(self, case, server) -> Spread:
        """Median and range of the ratios to the reference."""
        return spread(self.ratios(case, server))

    def bytes_per_connection(self, subject, touched, kind):
        """Growth of memory per held connection, over the rounds."""
        return spread(record["bytes_per_connection"][kind] for record in self.memory[subject, touched])


@dataclass(frozen=True)
class Page:
    """What the page of a result says beside what was measured."""

    title: str
    question: str
    command: str  # the script with its own flags
    programs: dict  # paths by name, for their fingerprints
    answers: tuple = ()  # sentences, tables with their headings, and notes beside those of the echoes
    sections: tuple = ()
    notes: tuple = ()


def publish(page, args, subjects, measured, facts, folder):
    """Write the page, the tables and the plot."""
    command = (f"{page.command} --cases {','.join(map(str, args.cases))} --rounds {args.rounds} "
               f"--duration {args.duration} --warmup {args.warmup} --threads {args.threads} "
               f"--server-core {args.server_core} --loader-core {args.loader_core}")
    first = next(iter(measured.runs.values()))[measured.reference][-1].server
    commands = [command, "", "# which runs, for each case and in turns,", *(" ".join(s.argv) for s in subjects),
                results.unported(first["loader_command"])]
    loader_note = measure.loader_note(
        run.report for of_case in measured.runs.values() for runs in of_case.values() for run in runs)
    folder.publish(results.Findings(
        page.title, page.question, " ".join([answer(measured), *page.answers]),
        "\n\n".join([body(measured), *page.sections]),
        [results.Picture("ratios", "CPU ratio by case", picture(measured))], commands,
        [*notes(args), *page.notes, loader_note],
    ), facts, page.programs)


def body(measured):
    """The tables with their headings, as Markdown."""
    return "\n\n".join([
        *(_cpu_section(measured, server) for server in (*measured.servers, *measured.others)),
        _syscall_section(measured),
        instructions.section(measured.instructions),
        _memory_section(measured),
    ])


def answer(measured):
    """The answer, one sentence for each server."""
    sentences = []
    for server in measured.servers:
        ratios = [measured.ratio(case, server).median for case in measured.runs]
        met = sum(ratio <= measured.target for ratio in ratios)
        sentence = (f"{server}: {min(ratios):.2f} to {max(ratios):.2f} times the CPU per request of {measured.reference}, "
                    f"by case (target {measured.target} met in {met} of {len(ratios)} cases)")
        if isinstance(measured.traces, dict):
            calls, other_calls = (measured.traces[name].calls_per_echo for name in (server, measured.reference))
            sentence += f", {calls:.2f} system calls per echo against {other_calls:.2f}"
        if isinstance(measured.instructions, dict):
            count, other_count = (measured.instructions[name] for name in (server, measured.reference))
            sentence += f", {count:,.0f} instructions against {other_count:,.0f}"
        grown = measured.bytes_per_connection(server, True, "pss_anon").median
        sentences.append(f"{sentence}, {grown:,.0f} B of user memory per idle connection.")
    return " ".join(sentences)


def picture(measured):
    """The ratio by case, one panel for each server."""
    rounds = len(next(iter(measured.runs.values()))[measured.reference])
    labels = {case: case.replace(", ", "\n").replace(" × ", "\n× ") for case in measured.runs}
    panels = [
        plot.Panel(server, f"CPU per request, × {measured.reference}", "",
                   [(labels[c], measured.ratio(c, server)) for c in labels], from_zero=False, target=target)
        for server, target in _targets(measured).items()
    ]
    caption = f"median and range of {rounds} paired round(s)"
    return plot.Drawing(f"CPU per request against {measured.reference}", caption, panels)


def notes(args):
    """What a reader must know before a conclusion."""
    return [
        f"The servers run on core {args.server_core} alone, and the loader on core {args.loader_core}. No server "
        "pins its threads itself. After each run the script checks the allowed core of every thread.",
        "Each ratio is that of two runs of one round. The order rotates. The tables show the median and range of the "
        "rounds' ratios, and no ratio of averages. The interval of a median is distribution-free (order statistics).",
        "CPU time is the first field of /proc/PID/task/TID/schedstat (ns), summed over the threads, after the load "
        "minus before it. utime + stime count in ticks of 10 ms, which is too coarse for a difference of a few per "
        f"cent. They are in {raw.NAME} as a cross-check. CPU time is divided by all requests answered. It includes "
        "the warm-up, and accepting and closing the connections.",
        "Absolute times are valid for this machine at this time. Ratios differ less from machine to machine, and system "
        "calls and bytes differ least.",
        "strace slows a server, so each wait returns more connections than without strace. All servers then have fewer "
        "waits per echo. The column of untraced events per wait has evshard's own count, without strace.",
        "Memory is user memory. Socket buffers and epoll entries in the kernel are the same for all, and not "
        "included.",
    ]


def _targets(measured):
    """The target of each server, None for those without one."""
    return {**dict.fromkeys(measured.servers, measured.target), **dict.fromkeys(measured.others)}


def _cpu_section(measured, server):
    target = _targets(measured)[server]
    rows = []
    for case in measured.runs:
        ratio = measured.ratio(case, server)
        costs = [cell(spread(measured.cpu(case, name)), 3) for name in (measured.reference, server)]
        row = [case, ratio.n, *costs, cell(ratio, 3), interval_cell(measured.ratios(case, server))]
        rows.append(row if target is None else [*row, verdict(ratio, target)])
    header = ["case", "n", f"{measured.reference}, µs/req", f"{server}, µs/req", "ratio", "95 % of the median"]
    return (f"## CPU per request: {server}\n\nMedian [lowest..highest] of n rounds. Each round has a ratio of its own.\n\n"
            f"{table(header if target is None else [*header, f'target {target}'], rows)}")


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
