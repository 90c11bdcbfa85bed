"""User-space instructions of one operation of libevent's event core, counted by callgrind.

The program is benches/drop_in/operations.c. It runs on the library that `environment` makes it load.
"""

import tempfile
from pathlib import Path

import child
import instructions
from child import Failure
from programs import ROOT, require

SOURCE = ROOT / "benches" / "drop_in" / "operations.c"
# Operation, and what it is in a report.
OPERATIONS = {
    "read": "an event of a descriptor fires",
    "reads": "one of 16 events of descriptors fires in a turn",
    "timer": "a timer is added and deleted",
    "reset": "the timeout of a pending timer is set again",
    "expiry": "a timer of zero fires and is added again",
    "active": "an event activates itself",
    "assign": "an event is deleted, assigned and added, as memcached does it",
}
# Two runs of different length, whose counts are subtracted. So the costs of start and end cancel.
LENGTHS = (2_000, 12_000)


def build(program):
    """Compile the program, which is then linked with libevent_core by name only."""
    require("cc")
    child.run(["cc", "-O2", "-o", str(program), str(SOURCE), "-levent_core"], "compiling operations.c")


def count(program, operation, variables):
    """The instructions of one operation, with these environment variables, as LD_LIBRARY_PATH."""
    short, long = (_total(program, operation, length, variables) for length in LENGTHS)
    return (long - short) / (LENGTHS[1] - LENGTHS[0])


def _total(program, operation, length, variables):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind"
        settings = [f"{name}={value}" for name, value in variables.items()]
        valgrind = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}"]
        child.run(["env", *settings, *valgrind, str(program), operation, str(length)], f"operations {operation}")
        total = instructions.TOTAL.search(out.read_text())
    if total is None:
        raise Failure(f"callgrind wrote no total for operations {operation}")
    return int(total[1])
