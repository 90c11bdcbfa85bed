"""A server under test: it starts the process, waits until it listens, and stops it by SIGTERM."""

import os
import re
import selectors
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

import child
from child import Failure

START_TIMEOUT_S = 10.0
LISTENING = re.compile(rb"listening on (?:tls:)?(127\.0\.0\.1:\d+|unix:\S+)\n")
ADMIN = re.compile(rb"admin on (127\.0\.0\.1:\d+)\n")
DRAIN_TIMEOUT_S = 2


@dataclass(frozen=True)
class Subject:
    """A server to measure: a name for tables and files, the command, and what it does at SIGTERM."""

    name: str
    command: tuple
    core: int | None = None  # taskset -c CORE; None leaves the choice to the kernel
    ends_by_signal: bool = False  # it does not handle SIGTERM, as a bare loop: the signal's default action ends it

    @property
    def argv(self):
        """The command line, with taskset if there is a core."""
        pinning = () if self.core is None else ("taskset", "-c", str(self.core))
        return [*pinning, *self.command]


def evshard(program, workers, name="evshard", core=None, flags=(), listen="127.0.0.1:0"):
    """evshard as a subject."""
    command = (program, "serve", "--listen", listen, "--workers", str(workers))
    return Subject(name, (*command, "--drain-timeout", f"{DRAIN_TIMEOUT_S}s", *flags), core)


class Server:
    """A running subject. Use as a context manager: the end of the block always ends the process.

    `cores` are the cores that it may use, for a command without taskset; None for all. `errors` is a descriptor for its
    standard error; by default its lines become part of a Failure.
    """

    def __init__(self, subject, cores=None, errors=None):
        self.subject = subject
        self._stderr = errors
        self._cores = cores
        self.address = None
        self.admin = None  # the address of its admin listener, if it has one
        self._output = b""
        self._reader = None

    def __enter__(self):
        self._errors = child.memory_file("stderr")
        self._process = child.start(self.subject.argv, self._cores, bufsize=0, stdout=subprocess.PIPE,
                                    stderr=self._errors if self._stderr is None else self._stderr)
        try:
            self.address = self._announced(LISTENING)
            self.admin = self._announced(ADMIN) if "--admin" in self.subject.command else None
            # A server that prints a line for each connection must not wait until someone reads it.
            self._reader = threading.Thread(target=self._read_rest, daemon=True)
            self._reader.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception):
        child.stop(self._process)
        if self._reader is not None:
            self._reader.join(child.STOP_TIMEOUT_S)
        self._process.stdout.close()
        self._errors.close()

    @property
    def pid(self):
        """The server's process id. taskset executes the server in its own process, so there is only one."""
        return self._process.pid

    def check_alive(self):
        """Fail if the server has ended on its own."""
        if self._process.poll() is not None:
            raise Failure(f"{self._title()} ended on its own with {self._ending()}")

    def stop(self):
        """Send SIGTERM and wait. Returns what the server printed after its addresses. A bad exit status is a Failure."""
        self.check_alive()
        self._process.terminate()
        return self.wait()

    def signal(self, number):
        """Send a signal, unless the server has ended."""
        self._process.send_signal(number)

    def wait(self):
        """Wait for a server that ends for any reason. Returns what `stop` returns."""
        try:
            self._process.wait(DRAIN_TIMEOUT_S + child.STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{self._title()} did not end within the time allowed") from error
        expected = -signal.SIGTERM if self.subject.ends_by_signal else 0
        if self._process.returncode != expected:
            raise Failure(f"{self._title()} was asked to end, and ended with {self._ending()}")
        self._reader.join(child.STOP_TIMEOUT_S)
        return self._output.decode(errors="replace")

    def kill(self):
        """Send SIGKILL and wait."""
        self._process.kill()
        self._process.wait()

    def _announced(self, line):
        """Wait for the server's next line, which matches `line`. Returns the address in it."""
        deadline = time.monotonic() + START_TIMEOUT_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not (match := line.match(self._output)):
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    wanted = f"did not print '{line.pattern.decode().strip()}' within {START_TIMEOUT_S:.0f} s"
                    raise Failure(f"{self._title()} {wanted}{self._said()}")
                piece = os.read(self._process.stdout.fileno(), 4096)
                if not piece:
                    self._process.wait(child.STOP_TIMEOUT_S)
                    raise Failure(f"{self._title()} did not start: {self._ending()}")
                self._output += piece
        self._output = self._output[match.end():]
        return match.group(1).decode()

    def _read_rest(self):
        while piece := os.read(self._process.stdout.fileno(), 65536):
            self._output += piece

    def _title(self):
        return f"the server ({' '.join(self.subject.argv)})"

    def _ending(self):
        return child.status(self._process.returncode) + self._said()

    def _said(self):
        self._errors.seek(0)
        return child.indented(self._output.decode(errors="replace") + self._errors.read())
