"""Clients reset their connections: before they have sent a byte, and while they write."""

import contextlib

import admin
import procfs
from connections import connect
from fault import BACK_TO_NORMAL_S, wait_until
from probe_client import ProbeClient
from server import Server

NAME = "resets"
WHAT = "thousands of resets"
PART = b"r" * 65536
MEMORY_MIB = 16  # what an allocator keeps; buffers of thousands of connections would take hundreds of MiB


def run(context, outcome):
    """Thousands of connections are reset before a byte, then thousands with bytes in flight in both directions."""
    rounds = 300 if context.quick else 5000
    with Server(context.subject()) as server:
        before, memory = procfs.open_descriptors(server.pid), procfs.memory_bytes(server.pid)["pss_anon"]
        with ProbeClient(server.address) as probe:
            for number in range(rounds):
                connect(server.address, number).close()
            for number in range(rounds):
                _reset_while_writing(server.address, number)
            server.check_alive()
        outcome.expect_unharmed(probe, 250)
        outcome.expect_descriptors(server, before)
        outcome.expect("the server counts no connection as open", *_all_closed(server))
        grown = procfs.memory_bytes(server.pid)["pss_anon"] - memory
        outcome.expect_most(f"growth of memory after {2 * rounds:,} resets", grown / 2**20, MEMORY_MIB, "MiB", 1)
        server.stop()


def _reset_while_writing(address, number):
    connection = connect(address, number)
    connection.setblocking(False)
    with connection, contextlib.suppress(BlockingIOError):
        connection.send(PART)


def _all_closed(server):
    """The number of connections that the server counts as open in the end, and whether it is zero."""
    def count():
        return sum(admin.per_shard(admin.stats(server.admin), "open"))

    wait_until(lambda: count() == 0, BACK_TO_NORMAL_S)
    left = count()
    return f"{left} open", left == 0
