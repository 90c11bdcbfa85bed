"""Clients reset their connections: before a byte, and in the middle of writing."""

import contextlib

import admin
import procfs
from connections import connect
from fault import BACK_TO_NORMAL_S, wait_until
from probe_client import Bystander
from server import Server

NAME = "resets"
WHAT = "thousands of resets"
PART = b"r" * 65536
MEMORY_MIB = 16  # what an allocator keeps; buffers of thousands of connections would take hundreds of MiB


def run(bench, outcome):
    """Thousands of connections are reset at once, then thousands with bytes under way in both directions."""
    rounds = 300 if bench.quick else 5000
    with Server(bench.subject()) as server:
        before, memory = procfs.open_descriptors(server.pid), procfs.memory_bytes(server.pid)["pss_anon"]
        with Bystander(server.address) as bystander:
            for number in range(rounds):
                connect(server.address, number).close()
            for number in range(rounds):
                _reset_while_writing(server.address, number)
            server.check_alive()
        outcome.expect_unharmed(bystander, 250)
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
    """How many connections the server counts as open after a while, and whether that is none."""
    def count():
        return sum(admin.per_shard(admin.stats(server.admin), "open"))

    wait_until(lambda: count() == 0, BACK_TO_NORMAL_S)
    left = count()
    return f"{left} open", left == 0
