"""Child processes. They end when the script ends, or before."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass

PR_SET_PDEATHSIG = 1
STOP_TIMEOUT_S = 5.0

_libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """An error that is printed as one message, without a traceback."""


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived. It unwinds as Ctrl-C does, so that every child is stopped."""


def start(argv, cores=None, **options):
    """Start `argv`, on the given cores or on all.

    The child gets a session of its own. So a Ctrl-C in the terminal reaches only the script, which stops its children in
    the right order. If the script is killed by SIGKILL, the kernel kills the child (PR_SET_PDEATHSIG).
    """

    def prepare():
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if cores is not None:
            os.sched_setaffinity(0, cores)

    try:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=prepare, **options)
    except FileNotFoundError as error:
        raise Failure(f"cannot start {argv[0]}: no such program") from error
    except OSError as error:
        raise Failure(f"cannot start {argv[0]}: {error.strerror}") from error


def stop(process, timeout_s=STOP_TIMEOUT_S):
    """End a child by SIGTERM, or by SIGKILL if it does not end in time.

    The signals go to the child's process group, so that the compilers end with cargo.
    """
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Task:
    """A child that ends by itself, and what it prints.

    Use as a context manager: the end of the block always ends the child. `what` names it in messages. With
    `capture=False` its output goes to the terminal.
    """

    def __init__(self, argv, what, capture=True):
        self._what = what
        self._errors = memory_file("stderr")
        pipes = {"stdout": subprocess.PIPE, "stderr": self._errors} if capture else {}
        self._process = start(argv, text=True, **pipes)

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        stop(self._process)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    @property
    def pid(self):
        """Its process id."""
        return self._process.pid

    def interrupt(self):
        """Send SIGINT, as Ctrl-C does. Some programs print their report only then."""
        if not self.ended():
            self._process.send_signal(signal.SIGINT)

    def ended(self):
        """Whether it has ended."""
        return self._process.poll() is not None

    def finish(self, timeout_s=None, expected=(0,)):
        """Wait for the end and return stdout. An unexpected status is a Failure with what the program printed."""
        try:
            output, _ = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{self._what} did not end within {timeout_s:.0f} s and was stopped") from error
        if self._process.returncode not in expected:
            said = indented((output or "") + self.errors)
            raise Failure(f"{self._what} failed with {status(self._process.returncode)}{said}")
        return output

    @property
    def status(self):
        """Its exit status, or minus the number of the signal that ended it; None while it runs."""
        return self._process.poll()

    @property
    def errors(self):
        """What it has printed on stderr."""
        self._errors.seek(0)
        return self._errors.read()


def memory_file(name):
    """A file for a child's output in memory, because the folder for temporary files may be read-only."""
    return open(os.memfd_create(name), "w+")


def run(argv, what, timeout_s=None, capture=True, expected=(0,)):
    """Run `argv` to its end and return its stdout. See Task."""
    with Task(argv, what, capture) as task:
        return task.finish(timeout_s, expected)


@dataclass(frozen=True)
class Usage:
    """What a child used from its start to its end: CPU time, its part outside the kernel, and how often a thread slept."""

    cpu_s: float
    user_s: float
    sleeps: int


def run_timed(argv, what, timeout_s=None, expected=(0,)):
    """Run `argv` to its end. Returns its stdout, and its Usage.

    The kernel sums the usage of all children that were waited for, so the script must wait for no other one meanwhile.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with Task(argv, what) as task:
        output = task.finish(timeout_s, expected)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user_s, system_s = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return output, Usage(user_s + system_s, user_s, after.ru_nvcsw - before.ru_nvcsw)


def status(returncode):
    """An exit status in words."""
    if returncode < 0:
        return f"signal {signal.Signals(-returncode).name}"
    return f"exit status {returncode}"


def indented(text):
    """The error text of a program as an indented block, to follow our message. Empty if there is none."""
    lines = text.strip().splitlines()
    return "".join(f"\n    {line}" for line in lines)


def run_main(main):
    """Run a script's `main`. Failures and signals end the script with one message and the exit status."""

    def on_terminate(number, _frame):
        raise Terminated(number)

    signal.signal(signal.SIGTERM, on_terminate)
    signal.signal(signal.SIGHUP, on_terminate)
    try:
        main()
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\ninterrupted: all processes of this script are stopped", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except Terminated as terminated:
        print("\nterminated: all processes of this script are stopped", file=sys.stderr)
        sys.exit(128 + terminated.args[0])
