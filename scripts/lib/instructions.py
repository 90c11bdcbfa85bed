"""User-space instructions per echo of a server, counted by callgrind. They do not depend on other load."""

import re
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import loader
from child import Failure
from server import Server
from stats import table

# Two loads of different length, whose counts are subtracted. So the costs of start, connects and end cancel.
DURATIONS = ("300ms", "2300ms")
TOTAL = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


def measure_all(subjects, load, save):
    """A figure for each subject by name, or the reason why there are none. `save` takes a file name and a record."""
    if shutil.which("valgrind") is None:
        return "Not measured: valgrind is not installed (Debian package valgrind)."
    figures = {}
    for subject in subjects:
        print(f"instructions of {subject.name} ...", file=sys.stderr)
        (echoes, instructions), (more_echoes, more_instructions) = (_count(subject, load, d) for d in DURATIONS)
        if more_echoes <= echoes:
            raise Failure(f"{subject.name} answered no more in {DURATIONS[1]} than in {DURATIONS[0]} under valgrind")
        figures[subject.name] = (more_instructions - instructions) / (more_echoes - echoes)
        save(f"instructions-{subject.name}", {
            "subject": subject.name,
            "server_command": subject.argv,
            "echoes": [echoes, more_echoes],
            "instructions": [instructions, more_instructions],
            "instructions_per_echo": figures[subject.name],
        })
    return figures


def _count(subject, load, duration):
    """Echoes answered and instructions executed, from the server's start to its end."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind"
        valgrind = ("valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}")
        traced = replace(subject, command=(*valgrind, *subject.command))
        with Server(traced) as server:
            report = loader.run(replace(load, connections=50, size=64, pipeline=1, duration=duration), server.address)
            server.stop()
        total = TOTAL.search(out.read_text())
    if total is None:
        raise Failure(f"callgrind wrote no total for {subject.name}")
    return report.completed, int(total[1])


def section(figures):
    """The section of a report with the figures of `measure_all`, or with its reason."""
    heading = "## Instructions per echo\n\n"
    if isinstance(figures, str):
        return heading + figures
    rows = [[name, f"{count:,.0f}"] for name, count in figures.items()]
    return (f"{heading}In user space, the C library included, counted by callgrind at 50 connections and 64 B. Start and end "
            f"are subtracted. n = 1, because a count varies little.\n\n{table(['server', 'instructions/echo'], rows)}")
