"""libevent's own tests on one event core: its regress, and its other test programs."""

import concurrent.futures
import os
import re
import subprocess
import sys
from dataclasses import dataclass

import child
from child import Failure

REGRESS_TIMEOUT_S = 500
PROGRAM_TIMEOUT_S = 60
FAILED = re.compile(r"^\s*\[(\S+) FAILED\]", re.MULTILINE)
BEGIN = re.compile(r"^(\w+)/(\w+): ", re.MULTILINE)
ENDED = re.compile(r"^(?:\d+/)?(\d+) (?:TESTS FAILED|tests ok)", re.MULTILINE)
DUMP = "test-dumpevents"
# As upstream's build calls them. They measure rates for five seconds.
RATE_LIMITS = {
    "test-ratelim, group": "-g 30000 -n 30 -t 100 --check-grouplimit 1000 --check-stddev 100",
    "test-ratelim, connection": "-c 1000 -n 30 -t 100 --check-connlimit 50 --check-stddev 50",
    "test-ratelim, both": "-c 1000 -g 30000 -n 30 -t 100 --check-grouplimit 1000 --check-connlimit 50 --check-stddev 50",
    "test-ratelim, both with a drain":
        "-c 1000 -g 35000 -n 30 -t 100 -G 500 --check-grouplimit 1000 --check-connlimit 50 --check-stddev 50",
}
SHORT_PROGRAMS = ("test-init", "test-eof", "test-closed", "test-weof", "test-time", "test-changelist", "test-fdleak", DUMP)
PROGRAMS = (*SHORT_PROGRAMS, *RATE_LIMITS)
AT_ONCE = 4  # the programs mostly wait


@dataclass(frozen=True)
class Core:
    """libevent's library with one event core on one backend: `folder` is the source, `front` the library in front of it."""

    folder: object
    backend: dict
    front: object = None

    @property
    def environment(self):
        """The environment of a program that loads it."""
        variables = dict(os.environ) | self.backend | {"LD_LIBRARY_PATH": str(self.folder / ".libs")}
        return variables if self.front is None else variables | {"LD_PRELOAD": str(self.front)}

    def run(self, argv, timeout_s):
        """Run a program of the source's folder. One that does not end in time is stopped, which is a Failure."""
        try:
            return subprocess.run(argv, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{argv[0]} did not end within {timeout_s} s") from error


@dataclass(frozen=True)
class Result:
    """How many tests ran, and those that failed by name, each with the end of what it printed."""

    ran: int
    failed: dict


def regress(core, tests):
    """Run these tests of regress."""
    done = core.run([core.folder / "test/.libs/regress", "--verbose", *tests], REGRESS_TIMEOUT_S)
    return parse_regress(done.stdout, done.stderr)


def parse_regress(output, errors=""):
    """The result that regress printed. Output without its last line is a Failure: then it crashed, and not all ran."""
    ended = ENDED.search(output)
    if ended is None:
        raise Failure(f"regress did not come to its end:\n{(output + errors)[-2000:]}")
    by_name = {test: f"{group}/{test}" for group, test in BEGIN.findall(output)}
    return Result(int(ended[1]), {by_name[name]: "" for name in FAILED.findall(output)})


def programs(core, names):
    """Run these test programs, some of them at once."""
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        complaints = dict(zip(names, pool.map(lambda name: _complaint(core, name), names), strict=True))
    return Result(len(names), {name: text for name, text in complaints.items() if text is not None})


def _complaint(core, name):
    """What a test program printed at its end if it failed, else None."""
    program, _, _ = name.partition(",")
    argv = [core.folder / "test/.libs" / program, *RATE_LIMITS.get(name, "").split()]
    try:
        done = core.run(argv, PROGRAM_TIMEOUT_S)
    except Failure as failure:
        return str(failure)
    if done.returncode == 0 and name == DUMP:
        # The script compares the two parts of what the program printed.
        done = subprocess.run([sys.executable, "-B", core.folder / "test/check-dumpevents.py"], input=done.stdout,
                              capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    return f"{child.status(done.returncode)}{child.indented((done.stdout + done.stderr)[-1000:])}"
