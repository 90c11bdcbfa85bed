"""A server under test: started fresh, known to accept, stopped by SIGTERM."""

import os
import re
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass

import child
from child import Failure

START_TIMEOUT_S = 10.0
LISTENING = re.compile(rb"listening on (127\.0\.0\.1:\d+|unix:\S+)\n")
ADMIN = re.compile(rb"admin on (127\.0\.0\.1:\d+)\n")
DRAIN_TIMEOUT_S = 2


@dataclass(frozen=True)
class Subject:
    """A server to measure: a name for tables and files, the command, and what it does at SIGTERM."""

    name: str
    command: tuple
    core: int | None = None  # taskset -c CORE; None leaves the choice to the kernel
    ends_by_signal: bool = False  # a bare loop has no shutdown: the default action of SIGTERM ends it

    @property
    def argv(self):
        """The full command line, pinning included."""
        pinning = () if self.core is None else ("taskset", "-c", str(self.core))
        return [*pinning, *self.command]


def evshard(program, workers, name="evshard", core=None, flags=(), listen="127.0.0.1:0"):
    """The subject that is this repository's server."""
    command = (program, "serve", "--listen", listen, "--workers", str(workers))
    return Subject(name, (*command, "--drain-timeout", f"{DRAIN_TIMEOUT_S}s", *flags), core)


class Server:
    """A running subject. Use as a context manager: leaving the block always ends the process.

    `cores` are those it may use, without a taskset in its command; None for all.
    """

    def __init__(self, subject, cores=None):
        self.subject = subject
        self._cores = cores
        self.address = None
        self.admin = None  # its admin listener, for a subject that has one
        self._output = b""

    def __enter__(self):
        self._errors = child.memory_file("stderr")
        self._process = child.start(self.subject.argv, self._cores, bufsize=0, stdout=subprocess.PIPE,
                                    stderr=self._errors)
        try:
            self.address = self._announced(LISTENING)
            self.admin = self._announced(ADMIN) if "--admin" in self.subject.command else None
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception):
        child.stop(self._process)
        self._process.stdout.close()
        self._errors.close()

    @property
    def pid(self):
        """The server's process id; taskset replaces itself by the server, so there is only one."""
        return self._process.pid

    def check_alive(self):
        """Fail if the server has ended on its own."""
        if self._process.poll() is not None:
            raise Failure(f"{self._title()} ended on its own with {self._ending()}")

    def stop(self):
        """SIGTERM, then everything the server printed after its first line. A bad exit status is a Failure."""
        self.check_alive()
        self._process.terminate()
        return self.wait()

    def wait(self):
        """The end of a server that was asked to end, in any way; see `stop`."""
        try:
            rest, _ = self._process.communicate(timeout=DRAIN_TIMEOUT_S + child.STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{self._title()} did not end within the time allowed") from error
        expected = -signal.SIGTERM if self.subject.ends_by_signal else 0
        if self._process.returncode != expected:
            raise Failure(f"{self._title()} was asked to end, and ended with {self._ending()}")
        return (self._output + rest).decode(errors="replace")

    def kill(self):
        """SIGKILL: no server can prepare for that."""
        self._process.kill()
        self._process.wait()

    def _announced(self, line):
        """The address in the server's next line."""
        deadline = time.monotonic() + START_TIMEOUT_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not (match := line.match(self._output)):
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    wanted = f"did not say '{line.pattern.decode().strip()}' within {START_TIMEOUT_S:.0f} s"
                    raise Failure(f"{self._title()} {wanted}{self._said()}")
                piece = os.read(self._process.stdout.fileno(), 4096)
                if not piece:
                    self._process.wait(child.STOP_TIMEOUT_S)
                    raise Failure(f"{self._title()} did not start: {self._ending()}")
                self._output += piece
        self._output = self._output[match.end():]
        return match.group(1).decode()

    def _title(self):
        return f"the server ({' '.join(self.subject.argv)})"

    def _ending(self):
        return child.status(self._process.returncode) + self._said()

    def _said(self):
        self._errors.seek(0)
        return child.indented(self._output.decode(errors="replace") + self._errors.read())
