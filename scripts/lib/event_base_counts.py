"""System calls and user-space instructions per hop of an event base. They do not depend on other load of the machine.

Both are counted in two runs of different length, and the counts are subtracted. So the costs of start, registration and
end cancel.
"""

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import event_base
import event_base_cases as cases
import instructions
import syscalls
from child import Failure
from event_base import Case

NOT_OF_THE_LOOP = ("socketpair", "close", "fcntl", "ioctl")  # they create and close sockets, as the cascade does in a run


@dataclass(frozen=True)
class Workload:
    """Two cases that differ only in length."""

    name: str
    short: Case
    long: Case
    subjects: tuple


def _chain(name, pipes, active, subjects, writes):
    short, long = (Case("counts", f"w={w}", cases.chain_flags(pipes, active, w), subjects) for w in writes)
    return Workload(name, short, long, subjects)


def _cascade(name, subjects, pipes):
    short, long = (Case("counts", f"n={n}", ("cascade", "--pipes", str(n)), subjects) for n in pipes)
    return Workload(name, short, long, subjects)


def workloads(quick):
    """The workloads with their subjects."""
    pipes, active, writes = (100, 10, (400, 1200)) if quick else (1000, 100, (2000, 6000))
    one = _chain(f"chain, n={pipes}, a=1", pipes, 1, cases.CHAIN, writes)
    chain = _chain(f"chain, n={pipes}, a={active}", pipes, active, cases.CHAIN, writes)
    timeouts = _chain(f"timeouts, n={pipes}, a={active}", pipes, active, cases.TIMEOUTS, writes)
    cascade = _cascade(f"cascade, n={pipes} to {2 * pipes}", cases.CASCADE, (pipes, 2 * pipes))
    return (chain, timeouts) if quick else (one, chain, timeouts, cascade)


def count_syscalls(programs, quick, save):
    """System calls per hop by (workload, subject) and name, or the reason why they are not counted."""
    return _count("strace", "system calls", _syscalls, programs, quick, save)


def count_instructions(programs, quick, save):
    """Instructions per hop by (workload, subject), or the reason why they are not counted."""
    return _count("valgrind", "instructions", _instructions, programs, quick, save)


def per_hop(short, long):
    """The difference of two counts, divided by the difference of their hops. Each argument is (hops, count)."""
    hops = long[0] - short[0]
    if hops <= 0:
        raise Failure(f"the longer run made no more hops than the shorter: {long[0]} and {short[0]}")
    return (long[1] - short[1]) / hops


def _count(tool, what, count, programs, quick, save):
    if shutil.which(tool) is None:
        return f"Not measured: {tool} is not installed (Debian package {tool})."
    found = {}
    for workload in workloads(quick):
        for subject in workload.subjects:
            print(f"{what} of {subject.name}: {workload.name} ...", file=sys.stderr)
            pair = [count(programs, subject, case) for case in (workload.short, workload.long)]
            names = sorted({name for _, counts in pair for name in counts})
            found[workload.name, subject.name] = {
                name: per_hop(*((hops, counts.get(name, 0)) for hops, counts in pair)) for name in names
            }
            save(what.replace(" ", "-"), [{"workload": workload, "subject": subject, "per_hop": counts}
                                          for (workload, subject), counts in found.items()])
    return found


def _syscalls(programs, subject, case):
    record, log = _run_under(("strace", "-f", "-c", "-o", "OUT"), programs, subject, case)
    calls = syscalls.parse(log).calls
    return record["all_hops"], {name: call["calls"] for name, call in calls.items() if name not in NOT_OF_THE_LOOP}


def _instructions(programs, subject, case):
    tool = ("valgrind", "--quiet", "--tool=callgrind", "--callgrind-out-file=OUT")
    record, log = _run_under(tool, programs, subject, case)
    total = instructions.TOTAL.search(log)
    if total is None:
        raise Failure(f"callgrind wrote no total for {subject.name}")
    return record["all_hops"], {"instructions": int(total[1])}


def _run_under(tool, programs, subject, case):
    """Run a program under a tool that writes to OUT. Returns the program's record, and what the tool wrote."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        argv = [word.replace("OUT", str(out)) for word in tool]
        record = event_base.run([*argv, *event_base.command(programs, subject, case)], f"{tool[0]} of {subject.name}")
        return record, out.read_text(errors="replace")
