"""Child processes, which end with the script at the latest."""

import ctypes
import os
import resource
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1
STOP_TIMEOUT_S = 5.0

_libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """An error that is printed as one message, without a traceback."""


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived; unwinds like Ctrl-C so that every child is stopped."""


def start(argv, cores=None, **options):
    """Start `argv`, on these cores alone if there are any; only this script ends it.

    The child gets a session of its own, so a Ctrl-C in the terminal reaches the script alone and the script decides
    the order in which things stop. Should the script itself be killed outright, the kernel kills the child.
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

    Signals go to the process group that `start` gave it, so that the compilers end with cargo.
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
    """A child that is expected to end by itself, and what it prints.

    Use as a context manager: leaving the block ends the child in any case. `what` names it in messages. With
    `capture=False` its output goes straight to the terminal.
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
        """Send what Ctrl-C sends: some programs report only then."""
        if not self.ended():
            self._process.send_signal(signal.SIGINT)

    def ended(self):
        """Whether it has ended."""
        return self._process.poll() is not None

    def finish(self, timeout_s=None, expected=(0,)):
        """Wait for the end and return stdout; an unexpected status is a Failure with the program's own words."""
        try:
            output, _ = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{self._what} did not end within {timeout_s:.0f} s and was stopped") from error
        if self._process.returncode not in expected:
            self._errors.seek(0)
            said = indented((output or "") + self._errors.read())
            raise Failure(f"{self._what} failed with {status(self._process.returncode)}{said}")
        return output


def memory_file(name):
    """A file for a child's output in memory, because the folder for temporary files may be read-only."""
    return open(os.memfd_create(name), "w+")


def run(argv, what, timeout_s=None, capture=True, expected=(0,)):
    """Run `argv` to its end and return its stdout. See Task."""
    with Task(argv, what, capture) as task:
        return task.finish(timeout_s, expected)


def run_timed(argv, what, timeout_s=None, expected=(0,)):
    """Run `argv` to its end; its stdout and its CPU time in seconds, from its start to its end.

    The kernel adds up what ended children used, so no other child may be waited for meanwhile.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with Task(argv, what) as task:
        output = task.finish(timeout_s, expected)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return output, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def status(returncode):
    """An exit status in words."""
    if returncode < 0:
        return f"signal {signal.Signals(-returncode).name}"
    return f"exit status {returncode}"


def indented(text):
    """A program's error text as an indented block below our message; empty for no text."""
    lines = text.strip().splitlines()
    return "".join(f"\n    {line}" for line in lines)


def run_main(main):
    """Run a script's `main`. Exit with its status, after at most one message."""

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
        print("\ninterrupted: everything started here has been stopped", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except Terminated as terminated:
        print("\nterminated: everything started here has been stopped", file=sys.stderr)
        sys.exit(128 + terminated.args[0])
