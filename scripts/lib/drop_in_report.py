"""The report of compare_drop_in: the targets, tables, answer, plots and notes."""

import statistics
from dataclasses import dataclass
from types import SimpleNamespace

import drop_in_cases as cases
import drop_in_memcached
import drop_in_operations as operations
import drop_in_syscalls
import measure
import plot
from drop_in_cases import OURS, STOCK
from results import Picture
from stats import MISSING, cell, interval_cell, median_interval, paired_ratios, spread, table

TITLE = "Programs of libevent on evshard's event core"
QUESTION = "What do programs of libevent cost on evshard's event core, beside libevent's own?"
MEMCACHED = "memcached"
FUNCTIONS_SHOWN = 5
MET, MISSED, UNDECIDED = "met", "missed", "not decided"


@dataclass(frozen=True)
class Target:
    """What was measured for a target, and what limits it."""

    name: str
    figure: str
    ratios: list
    limit: float
    decision: str
    limited_by: str

    @property
    def row(self):
        """A row of the table of targets."""
        value = spread(self.ratios)
        return [self.name, self.figure, value.n, value.text(3), interval_cell(self.ratios), f"{self.limit:g}",
                self.decision, self.limited_by]


@dataclass(frozen=True)
class Measured:
    """Everything the script measured. Records are by core, in round order; a part that was not chosen is empty or None."""

    benchmarks: dict  # Benchmark to core's name to records
    memcached: dict  # core's name to records
    # (workload, core's name) to calls for an event by name, or the reason why they were not counted
    syscalls: dict | str | None
    # (operation, core's name) to Instructions, or the reason
    instructions: dict | str | None


def decision(ratios, limit):
    """Whether a target is met, by the interval of the median; with fewer than six rounds nothing is decided."""
    interval = median_interval(ratios)
    if interval is None or interval[0] <= limit < interval[1]:
        return UNDECIDED
    return MET if interval[1] <= limit else MISSED


def ratios(by_core, figure):
    """Ours over libevent's, round by round."""
    return paired_ratios(*([record[figure] for record in by_core[name]] for name in (OURS, STOCK)))


def targets(measured):
    """All targets of what was measured."""
    found = []
    for case, by_core in measured.benchmarks.items():
        found.append(_timed(case.name, "CPU time", ratios(by_core, "cpu_us_each"), case.limit, _kernel(by_core)))
        if case.program == "bench_cascade":
            found.append(_timed(case.name, "its own time", ratios(by_core, "own_us_each"), case.limit,
                                "without creating and closing the sockets"))
    if measured.memcached:
        found.append(_timed(f"{MEMCACHED} -t {drop_in_memcached.THREADS}", "CPU time",
                            ratios(measured.memcached, "cpu_us_each"), drop_in_memcached.LIMIT,
                            _kernel(measured.memcached)))
    if isinstance(measured.instructions, dict):
        found += [_counted(measured.instructions, name, limit) for name, limit in cases.OPERATION_LIMITS.items()]
    return found


def _timed(name, figure, found, limit, limited_by):
    return Target(name, figure, found, limit, decision(found, limit), limited_by)


def _counted(instructions, name, limit):
    ours, theirs = (instructions[name, core] for core in (OURS, STOCK))
    ratio = ours.total / theirs.total
    return Target(operations.OPERATIONS[name], "instructions", [ratio], limit, MET if ratio <= limit else MISSED,
                  ours.largest(2))


def _kernel(by_core):
    """The part of libevent's CPU time that the event core cannot change."""
    shares = [record["user_share"] for record in by_core[STOCK] if record["user_share"] is not None]
    return f"{100 * (1 - statistics.fmean(shares)):.0f} % of libevent's is the kernel's" if shares else MISSING


def answer(measured):
    """How many targets are met, one clause for each of them, and whether the system calls are equal."""
    found = targets(measured)
    clauses = [f"{target.name}, {target.figure}: {spread(target.ratios).median:.2f} × (target {target.limit:g} "
               f"{target.decision})" for target in found]
    if isinstance(measured.syscalls, dict):
        different = [workload for workload in _workloads(measured.syscalls) if _different(measured.syscalls, workload)]
        clauses.append(f"system calls differ in {', '.join(different)}" if different else "the same system calls")
    counts = [f"{sum(target.decision == word for target in found)} {word}" for word in (MET, MISSED, UNDECIDED)]
    return f"Of {len(found)} targets {', '.join(counts)}. {'; '.join(clauses)}{'.' if clauses else ''}".rstrip()


def body(measured):
    """The sections with their tables, as Markdown."""
    return "\n\n".join(filter(None, [
        _target_section(measured), _benchmark_section(measured.benchmarks), _memcached_section(measured.memcached),
        _syscall_section(measured.syscalls), _instruction_section(measured.instructions),
    ]))


def _target_section(measured):
    rows = [target.row for target in targets(measured)]
    if not rows:
        return None
    header = ["target", "figure", "n", "ratio to libevent", "95 % interval", "at most", "result", "what limits it"]
    return ("## Targets\n\nMedian [lowest..highest] of the ratios of n rounds. A target is met, or missed, if the whole "
            "interval of the median is on one side of it. A count does not vary, so one decides.\n\n"
            f"{table(header, rows, words=2)}")


def _timed_table(what, cases_by_name, figures):
    """A table of some figures of both cores and of their ratios. `figures` are names of fields and of columns."""
    rows = []
    for name, by_core in cases_by_name.items():
        for figure, label in figures:
            values = (spread(record[figure] for record in by_core[core]) for core in (STOCK, OURS))
            found = ratios(by_core, figure)
            rows.append([name, label, *(cell(value, 3) for value in values), cell(spread(found), 3), interval_cell(found)])
    return table([what, "figure", "libevent", "evshard", "ratio", "95 % interval"], rows, words=2)


def _benchmark_section(benchmarks):
    if not benchmarks:
        return None
    by_name = {f"{case.program} {' '.join(case.flags)}": by_core for case, by_core in benchmarks.items()}
    return "## libevent's benchmarks: time of an event\n\n" + _timed_table("benchmark", by_name, (
        ("cpu_us_each", "CPU time, µs"), ("own_us_each", "its own time, µs")))


def _memcached_section(memcached):
    if not memcached:
        return None
    requests = memcached[STOCK][0]["requests"]
    return ("## memcached: CPU time of an operation\n\n" + _timed_table("program", {
        f"memcached -t {drop_in_memcached.THREADS}": memcached}, (("cpu_us_each", "CPU time, µs"),))
        + f"\n\n{requests:,} requests in each run, by the same schedule.")


def _workloads(counts):
    return list(dict.fromkeys(workload for workload, _ in counts))


def _different(counts, workload):
    return drop_in_syscalls.differences(counts[workload, STOCK], counts[workload, OURS])


def _syscall_section(counts):
    heading = "## System calls of an event, or of an operation of memcached\n\n"
    if not isinstance(counts, dict):
        return counts and heading + counts
    rows = []
    for workload in _workloads(counts):
        different = _different(counts, workload)
        calls = sorted(counts[workload, STOCK].items(), key=lambda item: -item[1])
        rows.append([workload, *(f"{drop_in_syscalls.in_all(counts[workload, core]):.3f}" for core in (STOCK, OURS)),
                     ", ".join(f"{name} {count:.3f}" for name, count in calls if count >= 0.0005),
                     ", ".join(f"{name} {ours:.3f}" for name, _, ours in different) or "equal"])
    return heading + table(["workload", "libevent", "evshard", "libevent's by name", "evshard's that differ"], rows)


def _instruction_section(counts):
    heading = "## User instructions of an operation\n\n"
    if not isinstance(counts, dict):
        return counts and heading + counts
    names = list(dict.fromkeys(name for name, _ in counts))
    rows, parts = [], []
    for name in names:
        theirs, ours = (counts[name, core] for core in (STOCK, OURS))
        rows.append([operations.OPERATIONS[name], f"{theirs.total:,.0f}", f"{ours.total:,.0f}",
                     f"{ours.total / theirs.total:.2f}"])
        parts.append([operations.OPERATIONS[name], ours.largest(FUNCTIONS_SHOWN)])
    return (f"{heading}{table(['operation', 'libevent', 'evshard', 'ratio'], rows)}\n\nEvshard's functions with the most "
            "instructions, without those that they call; a function contains those that were inlined.\n\n"
            f"{table(['operation', 'instructions'], parts, words=2)}")


def pictures(measured):
    """The ratios, with a panel for each target that several cases have, and one for the operations."""
    panels = []
    for program in dict.fromkeys(case.program for case in measured.benchmarks):
        of_program = {case: by_core for case, by_core in measured.benchmarks.items() if case.program == program}
        points = [(case.name.partition(" ")[2], spread(ratios(by_core, "cpu_us_each")))
                  for case, by_core in of_program.items()]
        panels.append(plot.Panel(f"{program}: CPU time of an event", "× libevent", "", points,
                                 target=next(iter(of_program)).limit))
    if measured.memcached:
        points = [(f"-t {drop_in_memcached.THREADS}", spread(ratios(measured.memcached, "cpu_us_each")))]
        panels.append(plot.Panel("memcached: CPU time of an operation", "× libevent", "", points,
                                 target=drop_in_memcached.LIMIT))
    if isinstance(measured.instructions, dict):
        names = dict.fromkeys(name for name, _ in measured.instructions)
        points = [(name, spread([measured.instructions[name, OURS].total / measured.instructions[name, STOCK].total]))
                  for name in names]
        panels.append(plot.Panel("user instructions of an operation", "× libevent", "", points))
    if not panels:
        return []
    return [Picture("ratios", "ratios to libevent", plot.Drawing("evshard's event core beside libevent's",
                                                                 "median and range of the rounds", panels))]


def notes(args, measured):
    """What a reader must know before a conclusion."""
    return [
        "Both cores run the same programs. The dynamic linker chooses the core by the variables in the commands, and the "
        "script checks with it which one a program loads. The packaged libevent of Debian is one side.",
        f"The programs run on core {args.server_core} alone, and memcached's client on core {args.loader_core}. Each run is a "
        "fresh process. The two cores take turns, and the order changes in each round. A ratio is that of two runs of one "
        "round.",
        "CPU time of a benchmark is user and system time of the whole process (getrusage), divided by the events that it "
        "dispatched. It includes the start of the program, with about 1 ms more for our core, and creating and closing the "
        "sockets. A run of bench also deletes, assigns and adds all events once. *Its own time* is the sum of the times that "
        "the program prints, which are elapsed times of its measured parts.",
        "CPU time of memcached is the first field of /proc/PID/task/TID/schedstat (ns), summed over its threads. The part "
        "outside the kernel is from ticks of 10 ms, and coarse. The client sends requests by a schedule; both cores "
        "get the same, and answer the same number, or the script fails. Nine of ten read, of values of "
        f"{drop_in_memcached.VALUE_BYTES} bytes.",
        "System calls are counted once. Those of memcached are from one trace of a closed loop, without the sleeps of its "
        "maintenance threads. epoll_wait and epoll_pwait2 count as one: the timeout of the second is in ns.",
        "Instructions are those of user space, the C library included. n = 1, because a count varies little.",
        *([measure.loader_note([SimpleNamespace(**run) for runs in measured.memcached.values() for run in runs])]
          if measured.memcached else []),
    ]
