"""User memory per idle connection: the growth of a server's Pss while many connections are held open."""

import time

import procfs
from child import Failure
from connections import HeldConnections, connect, echo
from server import Server

ACCEPT_TIMEOUT_S = 10.0
SETTLE_S = 0.5


def measure(subject, connections, touched):
    """The bytes per connection by which a fresh `subject` grows. With `touched`, each connection first echoes a message.

    One connection is served and closed before the first reading. So the figure does not include what a server allocates
    once, at its first connection.
    """
    with Server(subject) as server, HeldConnections() as held:
        with connect(server.address) as first:
            echo(first)
        time.sleep(SETTLE_S)
        before, descriptors = procfs.memory_bytes(server.pid), procfs.open_descriptors(server.pid)
        held.open(server.address, connections, echoed=touched)
        _wait_for_descriptors(server, descriptors + connections)
        time.sleep(SETTLE_S)
        after = procfs.memory_bytes(server.pid)
        held.close()
        server.stop()
    return {
        "subject": subject.name,
        "server_command": subject.argv,
        "connections": connections,
        "touched": touched,
        "before_bytes": before,
        "after_bytes": after,
        "bytes_per_connection": {key: (after[key] - before[key]) / connections for key in before},
    }


def _wait_for_descriptors(server, expected):
    """Wait until the server has accepted all connections, some of which may still be in the backlog."""
    deadline = time.monotonic() + ACCEPT_TIMEOUT_S
    while (held := procfs.open_descriptors(server.pid)) < expected:
        server.check_alive()
        if time.monotonic() > deadline:
            raise Failure(f"{server.subject.name} held {held} of {expected} descriptors after {ACCEPT_TIMEOUT_S:.0f} s")
        time.sleep(0.02)
