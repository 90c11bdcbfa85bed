"""The report of compare_event_bases: tables, answer, plots and notes."""

from dataclasses import dataclass

import event_base_cases as cases
import plot
from results import Picture
from stats import cell, median_cell, paired_ratios, spread, table, verdict

TITLE = "evshard, libevent and libev in the well-known benchmarks"
QUESTION = "How does the event base compare with libevent and libev in their well-known benchmarks?"
HEADINGS = {
    "chain": "Chain: a byte that each socket pair passes to the next",
    "timeouts": "Chain with a timeout that every read sets again",
    "cascade": "Cascade: one-shot events with a timeout",
    "timers": "Timers",
    "changes": "Changes of interest",
    "memory": "User memory",
}
CALLS_SHOWN = ("epoll_ctl", "epoll_wait", "epoll_pwait2", "io_uring_enter", "timerfd_settime", "recvfrom", "sendto")
CALLS_AIMED_AT = (
    (cases.STABLE_DEL_ADD, 0), (cases.OUR_ADD, 0), (cases.PLAIN_DEL_ADD, 1),
)
CALLS_TOLERANCE = 0.01  # for a call at the start or the end of only one of the two runs


@dataclass(frozen=True)
class Judged:
    """A figure of one case and its target."""

    target: cases.Target
    case: str
    label: str
    figure: str
    value: object  # a Spread

    @property
    def met(self):
        """Whether the median meets the target."""
        return self.value.median <= self.target.limit


@dataclass(frozen=True)
class Measured:
    """Everything the script measured."""

    cases: list
    figures: dict  # case to subject name to figures, in round order
    # (workload, subject name) to calls per hop by name; or the reason why they were not counted; None without `counts`
    syscalls: dict | str | None
    instructions: dict | str | None  # the same for instructions
    missing: dict  # subject name to the reason why it did not run
    common_how: dict  # library to how it implements common timeouts

    def values(self, case, subject, figure):
        """A figure of each round; empty for a subject that did not run."""
        return [found[figure] for found in self.figures[case].get(subject.name, [])]

    def ratio(self, case, figure, subject, peer, peer_case=None):
        """Median and range of the ratios, one per round; None if one of the two subjects did not run."""
        ours, theirs = self.values(case, subject, figure), self.values(peer_case or case, peer, figure)
        return spread(paired_ratios(ours, theirs)) if ours and theirs else None

    def judged(self, target):
        """The target's figure in every case to which it applies."""
        found = []
        for case in filter(target.applies_to, self.cases):
            others = [c for c in self.cases if c.group == case.group and c.name == target.against]
            if target.against is not None and not others:
                continue
            for figure in target.figures:
                value = (spread(self.values(case, target.subject, figure)) if target.peer is None else
                         self.ratio(case, figure, target.subject, target.peer, others[0] if others else None))
                label = case.label if len(target.figures) == 1 else figure.partition(",")[0]
                found.append(Judged(target, case.name, label, figure, value))
        return found

    def judged_calls(self):
        """Subject, epoll_ctl calls per hop and target, for the chain with timeouts."""
        if not isinstance(self.syscalls, dict):
            return []
        return [(workload, subject, calls.get("epoll_ctl", 0), aim)
                for (workload, name), calls in self.syscalls.items() if workload.startswith("timeouts")
                for subject, aim in CALLS_AIMED_AT if subject.name == name]


def body(measured):
    """The sections with their tables, as Markdown."""
    groups = dict.fromkeys(case.group for case in measured.cases)
    return "\n\n".join(filter(None, [
        _target_section(measured),
        *(_group_section(measured, group) for group in groups),
        _count_section("System calls per hop", measured.syscalls, CALLS_SHOWN, 3),
        _count_section("Instructions per hop", measured.instructions, ("instructions",), 0),
    ]))


def answer(measured):
    """One clause for each target: the range of the medians, and in how many cases it was met."""
    clauses = []
    for target in cases.TARGETS:
        judged = measured.judged(target)
        if not judged:
            continue
        medians = [one.value.median for one in judged]
        times, digits = ("", 0) if target.peer is None else (" ×", 2)
        low, high = (f"{value:.{digits}f}{times}" for value in (min(medians), max(medians)))
        clauses.append(f"{target.text}: {low if low == high else f'{low} to {high}'} (target {target.limit:g} met in "
                       f"{sum(one.met for one in judged)} of {len(judged)})")
    for _, subject, calls, aim in measured.judged_calls():
        clauses.append(f"epoll_ctl per hop, {subject.name}: {calls:.2f} (target {aim} {_call_verdict(calls, aim)})")
    return "; ".join(clauses) + "." if clauses else "No target applies to what was measured."


def pictures(measured):
    """A plot for each group that has targets, with a panel for each target."""
    found = []
    for group in dict.fromkeys(case.group for case in measured.cases):
        panels = []
        for target in (t for t in cases.TARGETS if t.group == group):
            if judged := measured.judged(target):
                unit = "bytes" if target.peer is None else "ratio"
                points = [(one.label, one.value) for one in judged]
                panels.append(plot.Panel(target.text.removeprefix(f"{group}, "), unit, _axis(group, target), points,
                                         from_zero=target.peer is None, target=target.limit))
        if panels:
            drawing = plot.Drawing(HEADINGS[group], "median and range of the rounds", panels)
            found.append(Picture(group, HEADINGS[group], drawing))
    return found


def notes(core):
    """What a reader must know before a conclusion."""
    return [
        f"Every program runs on core {core} alone. Each run is a fresh process. Each round runs the subjects of a "
        "case one after the other, and the order rotates. A ratio is that of two runs of one round. The tables show the "
        "median and range over the rounds.",
        "A process makes one run that it does not report, and then those that it reports, each with a base of its own. "
        "Its figure is the median. Before the measured loop of a chain, a shorter loop lets the event array grow. *total* "
        "is the registration of all n events and the loop after it, without opening the sockets.",
        "All programs use the same kind of sockets, the same random numbers and flags, and the same system calls on the "
        "sockets (recvfrom and sendto of one byte). The peers are the packaged libraries of Debian (-O2, shared). Their "
        "programs are compiled with -O2, so the compiler can inline all code but the library's. evshard is built in "
        "release mode with thin LTO, as users build it.",
        "libevent runs without thread support. Its default clock is coarse (a few ms). *precise* is its "
        "EVENT_BASE_FLAG_PRECISE_TIMER, as fine as the clocks of evshard and libev, at the cost of a timerfd_settime for "
        "each wait. The targets compare with the default, which is faster and less precise.",
        "The program on libev uses ev_io, ev_timer and ev_timer_again. Its backend is epoll. libev leaves the descriptor "
        "of a stopped watcher in the epoll set until the kernel reports it. That saves an epoll_ctl for each event of the "
        "cascade. In return, the kernel reports descriptors for which no event waits.",
        "Handlers add, reset and delete the timers, so every library uses its cached time. *expire* is one pass over "
        "timers that are all due, common timeouts included.",
        "A change adds or deletes an event for writing, while an event for reading stays on the same descriptor. That is "
        "one EPOLL_CTL_MOD in every library. The time of a turn without changes is subtracted.",
        "Memory is user memory: the growth of the process while it creates the events. It includes the array or list in "
        "which the program holds them. It does not include the kernel's memory for a descriptor, which is the same for "
        "all.",
        "A hop is one event dispatched: its share of the wait, a read and, except for the last hop, a write. Most of the "
        "time is the kernel's, so user code cannot move a ratio far from 1. Instructions are those of user space, the C "
        "library included. System calls and instructions are those of one run, because a count varies little.",
    ]


def _axis(group, target):
    if len(target.figures) > 1:
        return ""
    return {"chain": "n over a", "timeouts": "n over a", "cascade": "n"}.get(group, "")


def _target_section(measured):
    rows = []
    for one in (one for target in cases.TARGETS for one in measured.judged(target)):
        digits = 1 if one.target.peer is None else 3
        rows.append([one.target.text, one.case, one.figure, one.value.n, cell(one.value, digits),
                     f"{one.target.limit:g}", verdict(one.value, one.target.limit)])
    for workload, subject, calls, aim in measured.judged_calls():
        rows.append([f"epoll_ctl per hop, {subject.name}", workload.partition(", ")[2], "calls", 1, f"{calls:.3f}",
                     aim, _call_verdict(calls, aim)])
    if not rows:
        return None
    header = ["target", "case", "figure", "n", "measured", "at most", "verdict"]
    return ("## Targets\n\nA measured value is the ratio to the peer of the same round, or the figure itself if there is "
            f"no peer: median [lowest..highest] of n rounds.\n\n{table(header, rows)}")


def _call_verdict(calls, aim):
    return "met" if calls <= aim + CALLS_TOLERANCE else "not met"


def _group_section(measured, group):
    group_cases = [case for case in measured.cases if case.group == group]
    subjects = [s for s in group_cases[0].subjects if s.name not in measured.missing]
    ratios = [pair for pair in cases.RATIOS[group] if not {one.name for one in pair} & set(measured.missing)]
    parts = [f"## {HEADINGS[group]}"]
    parts += [f"{name}: not measured, {why}" for name, why in measured.missing.items()
              if name in {subject.name for subject in group_cases[0].subjects}]
    if group == "timers":
        parts.append("*common* means that all timers have the same duration. " + "; ".join(
            f"{library}: {how}" for library, how in measured.common_how.items()) + ".")
    for figure in next(iter(measured.figures[group_cases[0]].values()))[0]:
        rows = [[case.name, len(measured.values(case, subjects[0], figure)),
                 *(cell(spread(measured.values(case, subject, figure)), 1) for subject in subjects)]
                for case in group_cases]
        parts.append(f"**{figure}**\n\n{table(['case', 'n', *(subject.name for subject in subjects)], rows)}")
        rows = [[case.name, *(cell(measured.ratio(case, figure, *pair)) for pair in ratios)] for case in group_cases]
        parts.append(table([f"ratio of {figure}", *(f"{a.name} / {b.name}" for a, b in ratios)], rows))
    return "\n\n".join(parts)


def _count_section(title, counts, names, digits):
    if counts is None:
        return None
    if isinstance(counts, str):
        return f"## {title}\n\n{counts}"
    names = [name for name in names if any(name in found for found in counts.values())]
    rows = [[workload, subject, *(median_cell([found.get(name, 0)], digits) for name in names)]
            for (workload, subject), found in counts.items()]
    return f"## {title}\n\n{table(['workload', 'subject', *names], rows)}"
