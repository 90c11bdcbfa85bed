"""User-space instructions of one operation of libevent's event core, counted by callgrind.

The program is benches/drop_in/operations.c. It runs on the library that an environment makes it load.
"""

import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import child
import instructions
from child import Failure
from event_base_counts import per_hop

SOURCE = Path("benches/drop_in/operations.c")
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
TIMEOUT_S = 120
# The name of a function is written once, where it runs or where it is called, and is a number after that.
FUNCTION = re.compile(r"(c?)fn=(\(\d+\))(?: (.*))?")
ANGLE_BRACKETS = re.compile(r"<([^<>]*)>")
COST = re.compile(r"[+\-*\d]\S* (\d+)")


@dataclass(frozen=True)
class Instructions:
    """Instructions in all, and those of each function, without those of the functions that it calls."""

    total: float
    functions: dict

    def largest(self, count):
        """The functions with the most instructions, as text. A closure counts for the function that contains it."""
        by_name = {}
        for function, instructions in self.functions.items():
            name = short_name(function)
            by_name[name] = by_name.get(name, 0) + instructions
        ordered = sorted(by_name.items(), key=lambda item: -item[1])
        return ", ".join(f"{name} {instructions:,.0f}" for name, instructions in ordered[:count])


def short_name(function):
    """The name of a function, for one of Rust with its type and without modules and type parameters."""
    def of_brackets(found):
        inner = found[1]
        if inner.startswith("impl "):
            return inner.removeprefix("impl ").rpartition(" for ")[2]
        return inner.partition(" as ")[0] if " as " in inner else ""

    while (shorter := ANGLE_BRACKETS.sub(of_brackets, function)) != function:
        function = shorter
    return "::".join(function.replace("::{{closure}}", "").split("::")[-2:])


def count_all(program, cores, operations, save):
    """The instructions of each operation by (operation, core's name), or the reason why they are not counted."""
    if shutil.which("valgrind") is None:
        return "Not measured: valgrind is not installed (Debian package valgrind)."
    found = {}
    for operation in operations:
        for core in cores:
            print(f"instructions of {core.name}: {operation} ...", file=sys.stderr)
            found[operation, core.name] = counted = count(program, operation, core)
            save(f"instructions-{operation}-{core.name}", {
                "operation": operation, "core": core.name, "lengths": LENGTHS, "instructions_each": counted.total,
                "of_functions": counted.functions,
            })
    return found


def count(program, operation, core):
    """The instructions of one operation on a core."""
    return of_one(*(_callgrind(program, operation, length, core) for length in LENGTHS), LENGTHS)


def of_one(short, long, lengths):
    """The instructions of one operation, from those of two runs of these lengths."""
    def each(one, other):
        return per_hop((lengths[0], one), (lengths[1], other))

    functions = {name: each(short.functions.get(name, 0), count) for name, count in long.functions.items()}
    return Instructions(each(short.total, long.total), {name: count for name, count in functions.items() if count >= 1})


def _callgrind(program, operation, length, core):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind"
        valgrind = ("valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}")
        child.run(core.argv(*valgrind, program, operation, str(length)), f"operations {operation}", TIMEOUT_S)
        return parse(out.read_text(errors="replace"))


def parse(text):
    """The instructions in a file of callgrind."""
    total = instructions.TOTAL.search(text)
    if total is None:
        raise Failure("callgrind wrote no total for operations")
    names, functions, current, is_call = {}, {}, None, False
    for line in text.splitlines():
        if match := FUNCTION.fullmatch(line):
            name = names.setdefault(match[2], match[3])
            current = current if match[1] else name
        elif line.startswith("calls="):
            is_call = True  # the next line has the instructions of the called function
        elif current is not None and (match := COST.fullmatch(line)):
            if not is_call:
                functions[current] = functions.get(current, 0) + int(match[1])
            is_call = False
    return Instructions(int(total[1]), functions)
