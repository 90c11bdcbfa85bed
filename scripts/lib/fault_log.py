"""The reader of the log stalls: the server serves, says that it is ready, counts what it drops, and ends."""

import os
import signal
import time

import admin
from fault import wait_until
from probe_client import ProbeClient
from server import Server

NAME = "log"
WHAT = "a log reader that stalls"
LINES = 20_000
END_S = 5.0


def run(context, outcome):
    """Standard error is a full pipe. Signals that are logged come until lines are dropped. Then SIGTERM."""
    read_end, write_end = os.pipe()
    try:
        _fill(write_end)
        with Server(context.subject(), errors=write_end) as server, ProbeClient(server.address) as probe:
            dropped = _log_until_dropped(server)
            outcome.expect("dropped lines are counted", f"{dropped:,}", dropped > 0)
            time.sleep(0.2 if context.quick else 2)
            outcome.expect_unharmed(probe, 250)
            started = time.monotonic()
            server.signal(signal.SIGTERM)
            server.wait()
            outcome.expect_most("end after SIGTERM", time.monotonic() - started, END_S, "s", 1)
    finally:
        os.close(read_end)
        os.close(write_end)


def _fill(pipe):
    """Write until the pipe is full."""
    os.set_blocking(pipe, False)
    try:
        while os.write(pipe, b"\n" * 4096):
            pass
    except BlockingIOError:
        os.set_blocking(pipe, True)


def _log_until_dropped(server):
    """Send SIGUSR2, which is logged, until the log has dropped lines. Returns how many."""
    def count():
        return admin.stats(server.admin)["process"]["log_dropped"]

    for number in range(LINES):
        server.signal(signal.SIGUSR2)
        if number % 500 == 0 and count() > 0:
            break
    wait_until(lambda: count() > 0, 1.0)
    return count()
