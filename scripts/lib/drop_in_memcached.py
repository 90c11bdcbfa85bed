"""The distribution's memcached on an event core: its CPU time for an operation, and its system calls."""

import contextlib
import os
import time
from dataclasses import dataclass

import drop_in_syscalls
import loader
import measure
import procfs
import syscalls
from child import Failure
from loader import Load
from other_servers import OtherServer

THREADS, CONNECTIONS, VALUE_BYTES, KEYS = 4, 50, 100, 10_000
LIMIT = 1.0  # CPU time of an operation, to libevent
BY_TIME = ("clock_nanosleep", "restart_syscall")  # of maintenance threads, which sleep for a time
TRACED_CONNECTIONS = 4  # one for each thread, so that a wait returns one event on each core


@dataclass(frozen=True)
class Shape:
    """The load: requests by a schedule that is the same for both cores."""

    loadgen: str
    rate: int
    seconds: int
    server_core: int
    loader_core: int

    def load(self, rate, connections, duration, *more):
        """A load at this rate, or in a closed loop without one."""
        # With one request in flight on a connection, a late loader sends no batch, which costs less for each request.
        # The values are those of an earlier run of the loader, so they cannot be verified.
        return Load(self.loadgen, connections=connections, size=VALUE_BYTES, pipeline=1, rate=rate, warmup="0s",
                    duration=duration, core=self.loader_core, protocol="memcached-text",
                    more=("--keys", str(KEYS), "--mix", "get:9,set:1", "--verify", "none", *more))


@contextlib.contextmanager
def running(core, shape):
    """A fresh memcached whose keys have values: its address, process id and command line."""
    def prepare(_folder, port):
        user = ("-u", "root") if os.geteuid() == 0 else ()
        return core.argv("memcached", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-t", str(THREADS), "-m", "256", *user)

    with OtherServer(prepare, shape.server_core) as server:
        loader.run(shape.load(None, CONNECTIONS, "100ms", "--preload"), server.address)
        yield server


def run(core, shape):
    """The CPU time of one run on a fresh server, as a JSON-ready record."""
    load = shape.load(shape.rate, CONNECTIONS, f"{shape.seconds}s")
    with running(core, shape) as server:
        time.sleep(measure.SETTLE_S)
        before = procfs.sample(server.worker)
        report = loader.run(load, server.address)
        time.sleep(measure.SETTLE_S)
        after = procfs.sample(server.worker)
        command = load.measured_argv(server.address)
        server_command = server.command
    threads = procfs.difference(before, after)
    measure.check_pinning("memcached", shape.server_core, threads)
    cpu_ns, ticks_ns = sum(thread["cpu_ns"] for thread in threads), after.tick_cpu_ns - before.tick_cpu_ns
    return {"core": core.name, "server_command": server_command, "loader_command": command,
            "requests": report.completed, "cpu_ns": cpu_ns, "cpu_us_each": cpu_ns / 1000 / report.completed,
            "user_share": (after.tick_user_ns - before.tick_user_ns) / ticks_ns if ticks_ns else None,
            "verdict": report.verdict, "reasons": report.reasons, "threads": threads}


def check_same_load(records):
    """Fail unless the runs of a round answered the same number of requests."""
    if len({record["requests"] for record in records}) != 1:
        raise Failure(f"the cores answered different numbers of requests: {[record['requests'] for record in records]}; "
                      "choose a lower --rate")


def trace(core, shape, seconds):
    """The system calls of an operation by name, in a closed loop."""
    load = shape.load(None, TRACED_CONNECTIONS, f"{seconds + 2}s")
    with running(core, shape) as server, loader.start(load, server.address) as task:
        time.sleep(1.0)  # until all connections are busy
        found = syscalls.watch(server.worker, lambda: time.sleep(seconds))
        loader.finish(task, load)
    if found.echoes <= 0:
        raise Failure(f"strace saw no reply of memcached: {found.calls}")
    calls = drop_in_syscalls.by_name({name: call for name, call in found.calls.items() if name not in BY_TIME})
    return {name: count / found.echoes for name, count in calls.items()}
