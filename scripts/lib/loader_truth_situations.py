"""The situations of the confusion table: what happens to loader and server, and whose fault it is.

A situation is an action on a running load, or flags of the server or of the load. `expected` are the answers to "who
distorted the run?" that are right. Where a server is slow or stands still for a moment, the loader may name it or
measure it without a word. It must not blame itself.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import child

LOADER, SERVER, NOTHING = "loader", "server", "none"
BUSY_LOOP = ("-c", "while True: pass")
SERVICE = "exp:2ms"  # with eight virtual servers: 4,000/s
SERVERS = 8
RATE_PER_S = 2_000
OVERLOADED_SERVICE = "constant:2ms"  # with one virtual server: 500/s
RATE_TOO_HIGH = "5M"


@dataclass(frozen=True)
class Running:
    """A run in its measured time: process ids, and the core of the loader if it has one."""

    loader: int
    server: int
    loader_core: int | None


@dataclass(frozen=True)
class Situation:
    """One situation. `act` is called in the middle of the measured time. `around` is a context of the whole run."""

    name: str
    expected: tuple
    act: Callable = lambda running: None
    around: Callable = lambda loader_core: contextlib.nullcontext()
    service: str = SERVICE
    servers: int = SERVERS
    faults: tuple = ()
    bare: bool = False  # the bare epoll loop instead of the queue, because it is faster than any loader
    load: dict = field(default_factory=dict)
    loops: tuple = ("open", "closed")
    stop_s: float = 0.0  # the run is longer by this time


def stopped(process, seconds):
    """An action: stop the loader or the server by its process id, and let it continue."""

    def act(running):
        pid = getattr(running, process)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(seconds)
            finally:
                os.kill(pid, signal.SIGCONT)

    return act


def killed(running):
    """An action: end the server by SIGKILL."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(running.server, signal.SIGKILL)


def busy_loops(count):
    """A context with busy loops on the loader's core."""

    @contextlib.contextmanager
    def around(loader_core):
        cores = None if loader_core is None else [loader_core]
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                process = child.start([sys.executable, *BUSY_LOOP], cores)
                stack.callback(child.stop, process)
            yield

    return around


def of_stops(process, expected):
    """The situations in which a process stands still."""
    return [Situation(f"{process} stopped {words}", expected, act=stopped(process, seconds), stop_s=seconds)
            for words, seconds in (("100 ms", 0.1), ("200 ms", 0.2), ("3 s", 3.0))]


SITUATIONS = (
    Situation("quiet", (NOTHING,)),
    *of_stops("loader", (LOADER,)),
    *of_stops("server", (SERVER, NOTHING)),
    Situation("loader beside 1 busy loop", (LOADER,), around=busy_loops(1)),
    Situation("loader beside 3 busy loops", (LOADER,), around=busy_loops(3)),
    Situation("server killed", (SERVER,), act=killed),
    *(Situation(f"server overloaded, --drain {drain}", (SERVER,), service=OVERLOADED_SERVICE, servers=1,
                load={"drain": drain}, loops=("open",)) for drain in ("100ms", "2s")),
    Situation("server refuses half of the connections", (SERVER,), faults=("--refuse-after", "4")),
    Situation("server resets 1 of 1,000", (SERVER,), faults=("--reset-share", "0.001")),
    Situation("server closes 1 of 1,000", (SERVER,), faults=("--close-share", "0.001")),
    Situation("wrong byte in 1 of 1,000", (SERVER,), faults=("--wrong-byte-share", "0.001")),
    Situation("slow server", (SERVER, NOTHING), service="exp:20ms", servers=64),
    Situation("server reads slowly", (SERVER, NOTHING), faults=("--slow-read", "5ms")),
    Situation("load above what the loader can do", (LOADER,), bare=True,
              load={"rate": RATE_TOO_HIGH, "connections": 64, "pipeline": 16}),
)
