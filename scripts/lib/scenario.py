"""Scenarios: what a program is asked to do, once with libevent's event core and once with evshard's, and what it answers."""

import contextlib
import os
import pwd
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import child
import libevent
import procfs
from child import Failure
from other_servers import lasting_ports

WAIT_S = 20.0
CLIENT_S = 60.0
POLL_S = 0.02
OVERFLOW_ID = 65534  # user and group without rights
SYSTEM_PROGRAMS = "/usr/sbin:/sbin"  # not in the search path of every user

# Some programs refuse to run as root.
USER = pwd.getpwuid(OVERFLOW_ID).pw_name if os.geteuid() == 0 else None


@dataclass(frozen=True)
class Scenario:
    """A scenario of one program. `run` gets a Run, and yields the lines that must be the same with both libraries.

    `packages` has the programs that it needs, each with its Debian package. With `front`, the program also uses the upper
    layers of libevent, which stay the distribution's. Otherwise no libevent in C may be in its processes.
    """

    name: str
    run: Callable
    packages: dict
    front: bool = False
    needs_root: bool = False


@dataclass(frozen=True)
class Core:
    """The event core that programs load: the distribution's if `folder` is None."""

    name: str
    folder: Path | None = None

    def environment(self, front):
        """The environment in which a program loads it."""
        return dict(os.environ) if self.folder is None else libevent.environment(self.folder, front)

    def judge(self, loaded, front):
        """What is wrong with the libraries that a process has loaded; None if it is the right ones."""
        ours = {path for path in loaded if path.name == libevent.LIBRARY}
        theirs = {path for path in loaded if path.name.startswith("libevent") and path.parent != self.folder}
        if self.folder is None:
            return "evshard's library is loaded" if ours else None if theirs else "libevent is not loaded"
        if ours != {self.folder / libevent.LIBRARY}:
            return f"it has not loaded {self.folder / libevent.LIBRARY}"
        if theirs and not front:
            return f"it has also loaded {', '.join(sorted(map(str, theirs)))}"
        return None


class Server:
    """A process of a scenario, and what it prints."""

    def __init__(self, process, log):
        self._process = process
        self._log = log

    @property
    def pid(self):
        """Its process id."""
        return self._process.pid

    @property
    def output(self):
        """What it has printed."""
        return self._log.read_text(errors="replace")

    def signal(self, number):
        """Send it a signal."""
        self._process.send_signal(number)

    def ended(self):
        """Whether it has ended."""
        return self._process.poll() is not None

    def stop(self):
        """End it by SIGTERM, or by SIGKILL if it does not end in time."""
        child.stop(self._process)

    @property
    def status(self):
        """Its exit status in words, after its end."""
        return child.status(self._process.poll())


class Run:
    """One run of a scenario with one event core: its folder, its ports and its processes.

    Use as a context manager: the end of the block ends all processes, also those that daemons have left behind.
    """

    def __init__(self, core, front, seconds):
        self._core = core
        self._front = front
        self._servers = []
        self.seconds = seconds

    def __enter__(self):
        self._temporary = tempfile.TemporaryDirectory(prefix="scenario-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        self.folder.chmod(0o777)  # programs that change to another user have files in it
        return self

    def __exit__(self, *_exception):
        for server in reversed(self._servers):
            server.stop()
        end_descendants(os.getpid())
        self._temporary.cleanup()

    def start(self, *argv, check=True, stock=False, user=None, variables=()):
        """Start a program that loads the library. With `stock` it is no program of libevent, or not the one under test."""
        log = self.folder / f"{Path(argv[0]).name}-{len(self._servers)}.log"
        options = {} if user is None else {"user": user, "group": OVERFLOW_ID, "extra_groups": []}
        with open(log, "w") as output:
            process = child.start([str(word) for word in argv], cwd=self.folder, stdout=output, stderr=subprocess.STDOUT,
                                  env=self._environment(stock) | dict(variables), **options)
        server = Server(process, log)
        self._servers.append(server)
        if check and not stock:
            self.check_library(server.pid)
        return server

    def client(self, *argv, stock=True, expected=(0,), timeout_s=CLIENT_S, text=None, user=None, variables=()):
        """Run a program to its end; what it printed. With `stock=False` it loads the library, as `start` does."""
        words, what = [str(word) for word in argv], Path(argv[0]).name
        options = {} if user is None else {"user": user, "group": OVERFLOW_ID, "extra_groups": []}
        try:
            done = subprocess.run(words, cwd=self.folder, env=self._environment(stock) | dict(variables), input=text or "",
                                  text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=timeout_s, check=False, **options)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{what} did not end within {timeout_s:.0f} s") from error
        except OSError as error:
            raise Failure(f"cannot start {what}: {error.strerror}") from error
        if expected is not None and done.returncode not in expected:
            raise Failure(f"{what} failed with {child.status(done.returncode)}{child.indented(done.stdout[-2000:])}")
        return done.stdout

    def _environment(self, stock):
        base = dict(os.environ) if stock else self._core.environment(self._front)
        return base | {"PATH": f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PROGRAMS}", "LC_ALL": "C.UTF-8"}

    def check_library(self, pid):
        """Fail if a process does not load the library under test, or loads another one beside it."""
        self.wait(lambda: self._core.judge(loaded_libraries(pid), self._front) is None,
                  lambda: f"process {pid} loads {self._core.name}: {self._core.judge(loaded_libraries(pid), self._front)}")

    def wait(self, condition, what, timeout_s=WAIT_S):
        """Wait until a condition holds, and return its value. Fails if it does not hold in time."""
        deadline = time.monotonic() + timeout_s
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise Failure(f"not within {timeout_s:.0f} s: {what() if callable(what) else what}{self._logs()}")
            time.sleep(POLL_S)
        return value

    def wait_end(self, server, what):
        """Wait until a process has ended; its exit status in words."""
        self.wait(server.ended, f"{what} ends")
        return server.status

    def ports(self, count):
        """Free ports of the loopback, for TCP and UDP. To be called once in a run."""
        return lasting_ports(count)

    def write(self, name, text):
        """Write a file into the folder of the run; its path."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    def _logs(self):
        return "".join(child.indented(f"{server.pid}: {server.output[-600:]}") for server in self._servers)


def loaded_libraries(pid):
    """The paths of all files that a process has mapped; none if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError:
        return set()
    return {Path(fields[5]) for fields in (line.split(maxsplit=5) for line in lines) if len(fields) == 6}


def descendants(pid):
    """The processes below `pid`, children before their own children."""
    found = []
    for one in procfs.children(pid):
        found.append(one)
        with contextlib.suppress(OSError):
            found += descendants(one)
    return found


def end_descendants(pid):
    """Kill the processes below `pid`, and wait for those that are its children.

    Those of a daemon become children of a subreaper when the daemon's first process ends; see prctl(2).
    """
    while left := descendants(pid):
        for one in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        for one in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(one, 0)
