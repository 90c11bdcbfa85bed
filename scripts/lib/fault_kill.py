"""SIGKILL: the next server gets the same address at once. This also holds for the path of a unix socket."""

import tempfile
import time
from pathlib import Path

from child import Failure
from connections import HeldConnections, connect, echo
from server import Server

NAME = "kill"
WHAT = "kill -9 and restart"
HELD = 50
RESTART_MS = 1000


def run(context, outcome):
    """First a TCP port with open connections, then a unix socket, whose file remains after the kill."""
    with Server(context.subject()) as first:
        address = first.address  # its port, chosen by the kernel
        _kill_and_restart(context, outcome, first, address, "TCP port")
    with tempfile.TemporaryDirectory() as folder:
        address = f"unix:{Path(folder) / 'socket'}"
        with Server(context.subject(listen=address)) as first:
            _kill_and_restart(context, outcome, first, address, "unix socket")
            left = [path.name for path in Path(folder).iterdir()]
            outcome.expect("unix socket: its file is gone after a shutdown", ", ".join(left) or "gone", not left)


def _kill_and_restart(context, outcome, first, address, what):
    with HeldConnections() as held:
        held.open(address, HELD, echoed=True)
        first.kill()
        started = time.monotonic()
        with Server(context.subject(listen=address)) as second:
            with connect(address) as client:
                echo(client)
            outcome.expect_most(f"{what}: from kill -9 to the next server's first echo",
                                (time.monotonic() - started) * 1000, RESTART_MS, "ms")
            outcome.expect(f"{what}: a third server is refused, and the second still serves", *_refused(context, address))
            second.stop()


def _refused(context, address):
    """The error of a server that is started on an address in use, and whether it failed to start."""
    try:
        with Server(context.subject(listen=address)):
            return "it started", False
    except Failure as failure:
        said = str(failure).splitlines()[-1].strip().replace(address.removeprefix("unix:"), "ADDRESS")
    with connect(address) as client:
        echo(client)
    return said, True
