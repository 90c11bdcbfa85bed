"""Servers with other numbers of workers succeed each other while clients connect, in every accept mode.

Every second predecessor also gets SIGTERM as soon as its successor listens, as from a deploy script.
"""

import contextlib
import itertools
import signal
import tempfile
import time
from pathlib import Path

import procfs
from connect_flood import ConnectFlood
from connections import connect, echo
from fault import BACK_TO_NORMAL_S, DESCRIPTORS_TOLERANCE, wait_until
from server import Server

NAME = "upgrade-chain"
WHAT = "chain of upgrades"
MODES = ("acceptor", "acceptor-in-shard0", "reuseport", "hybrid")
WORKERS = (1, 3, 2, 4, 1)  # the last like the first, so that descriptors and memory can be compared
GAP_S = 15.0  # between upgrades, if there is time for all numbers of workers
SLOTS = 8
MORE_MEMORY_MIB = 4


def run(context, outcome):
    """A chain of upgrades in each accept mode."""
    seconds = 60.0 * context.chain_minutes / len(MODES)
    if context.quick:
        seconds = 4.0
    gap_s = min(GAP_S, seconds / len(WORKERS))
    upgrades = max(len(WORKERS) - 1, round(seconds / gap_s))
    upgrades += -upgrades % (len(WORKERS) - 1)  # ends with the number of workers of the beginning
    for mode in MODES:
        _chain(context, outcome, mode, upgrades, gap_s)


def _chain(context, outcome, mode, upgrades, gap_s):
    flood = ConnectFlood(context.connect_flood, SLOTS, seconds=int(upgrades * (gap_s + 5) + 60))
    counts = itertools.islice(itertools.cycle(WORKERS[1:]), upgrades)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        path = str(Path(folder) / "upgrade")
        first = running.enter_context(_server(context, mode, WORKERS[0], "--upgrade-socket", path))
        client = running.enter_context(flood.start(first.address))
        time.sleep(gap_s)
        before = procfs.open_descriptors(first.pid), procfs.resident_bytes(first.pid)
        last = first
        for number, workers in enumerate(counts):
            new = running.enter_context(_server(context, mode, workers, "--upgrade-from", path))
            if number % 2:
                last.signal(signal.SIGTERM)
            last.wait()  # it ends within the drain timeout, with status 0
            last = new
            time.sleep(gap_s)
        client.interrupt()
        report = flood.finish(client)
        with connect(last.address) as probe:
            echo(probe)
        outcome.waited_ms = max(outcome.waited_ms or 0, report.longest_gap_ms)
        outcome.expect(f"{mode}: connections are served through {upgrades} upgrades", f"{report.connections:,}",
                       report.connections)
        outcome.expect_none(f"{mode}: failed connections ({report.failures_listing()})", report.failed)
        _expect_same(outcome, mode, last, before)
        last.stop()


def _server(context, mode, workers, *flags):
    return Server(context.subject("--accept", mode, "--no-pin", *flags, workers=workers))


def _expect_same(outcome, mode, server, before):
    """Add the checks that the last server needs no more descriptors and memory than the first."""
    descriptors, memory = before
    # Sockets that were added for workers stay for the life of the address.
    most = descriptors + DESCRIPTORS_TOLERANCE + 2 * max(WORKERS)
    wait_until(lambda: procfs.open_descriptors(server.pid) <= most, BACK_TO_NORMAL_S)
    left = procfs.open_descriptors(server.pid)
    outcome.expect(f"{mode}: no descriptor is leaked", f"{descriptors} in the first, {left} in the last", left <= most)
    grown = (procfs.resident_bytes(server.pid) - memory) / 2**20
    outcome.expect_most(f"{mode}: the last server's memory exceeds the first one's by", grown, MORE_MEMORY_MIB, "MiB", 1)
