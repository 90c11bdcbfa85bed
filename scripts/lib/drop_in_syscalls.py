"""System calls of upstream's benchmarks for each event, which do not depend on other load of the machine.

They are counted in two runs of different length, and the counts are subtracted. So the costs of start and end cancel.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import child
import drop_in_cases as cases
import syscalls
from event_base_counts import NOT_OF_THE_LOOP, per_hop

TIMEOUT_S = 120
FAILED = " that failed"
# The same wait, with a timeout in ms or in ns.
WAITS = ("epoll_wait", "epoll_pwait2")
EQUAL_WITHIN = 0.005  # calls for an event: a call more at the start or end of one run is no difference


def count_all(programs, cores, quick, save):
    """System calls for each event by name, by (benchmark, core), or the reason why they are not counted."""
    if shutil.which("strace") is None:
        return "Not measured: strace is not installed (Debian package strace)."
    found = {}
    for short, long in cases.counted_pairs(quick):
        for core in cores:
            print(f"system calls of {core.name}: {short.name} ...", file=sys.stderr)
            pair = [(one.events, _traced(core.argv(programs[one.program], *one.flags))) for one in (short, long)]
            names = sorted({name for _, calls in pair for name in calls})
            found[short.name, core.name] = {
                name: per_hop(*((events, calls.get(name, 0)) for events, calls in pair)) for name in names
            }
            save(f"syscalls-{short.name.replace('/', '-').replace(' ', '-')}-{core.name}", {
                "benchmark": short.name, "core": core.name, "flags": [short.flags, long.flags],
                "events": [events for events, _ in pair], "calls": [calls for _, calls in pair],
            })
    return found


def _traced(argv):
    with tempfile.NamedTemporaryFile() as log:
        child.run(["strace", "-f", "-c", "-o", log.name, *argv], "strace", TIMEOUT_S)
        calls = syscalls.parse(Path(log.name).read_text(errors="replace")).calls
    return by_name({name: call for name, call in calls.items() if name not in NOT_OF_THE_LOOP})


def by_name(calls):
    """The number of calls by name, and of those that failed, from those that `syscalls` counted."""
    failed = {f"{name}{FAILED}": call["errors"] for name, call in calls.items() if call["errors"]}
    return {name: call["calls"] for name, call in calls.items()} | failed


def in_all(calls):
    """The number of all calls."""
    return sum(count for name, count in calls.items() if not name.endswith(FAILED))


def differences(theirs, ours):
    """The system calls of which one core makes more, as name, theirs and ours. Both kinds of a wait are one."""
    theirs, ours = _with_one_wait(theirs), _with_one_wait(ours)
    pairs = [(name, theirs.get(name, 0), ours.get(name, 0)) for name in sorted({*theirs, *ours})]
    return [(name, one, other) for name, one, other in pairs if abs(one - other) > EQUAL_WITHIN]


def _with_one_wait(calls):
    waits = sum(calls.get(name, 0) for name in WAITS)
    return {name: count for name, count in calls.items() if name not in WAITS} | {WAITS[0]: waits}
