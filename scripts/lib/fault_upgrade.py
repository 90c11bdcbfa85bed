"""Servers take over the sockets of their predecessors while clients connect: no connection is refused or lost."""

import contextlib
import os
import tempfile
import time
from pathlib import Path

import procfs
from connect_flood import ConnectFlood
from connections import connect, echo
from fault import DESCRIPTORS_TOLERANCE
from server import Server

NAME = "upgrade"
WHAT = "upgrade under load"
UPGRADES = 10
SLOTS = 8
FLOOD_S = 120  # interrupted after the last upgrade
STEADY_S = 0.3  # between upgrades, so that the new server serves
GAP_MS = 1000


def run(context, outcome):
    """Ten upgrades in a row while clients connect."""
    upgrades = 2 if context.quick else UPGRADES
    flood = ConnectFlood(context.connect_flood, SLOTS, seconds=FLOOD_S)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        path = str(Path(folder) / "upgrade")
        first = running.enter_context(Server(context.subject("--upgrade-socket", path)))
        address, before = first.address, procfs.open_descriptors(first.pid)
        client = running.enter_context(flood.start(address))
        servers = [first]
        for _ in range(upgrades):
            time.sleep(STEADY_S)
            servers.append(running.enter_context(Server(context.subject("--upgrade-from", path))))
            servers[-2].wait()  # it ends within the drain timeout, with status 0
        time.sleep(STEADY_S)
        client.interrupt()
        report = flood.finish(client)
        last = servers[-1]
        outcome.waited_ms = report.longest_gap_ms
        outcome.expect(f"connections are served through {upgrades} upgrades", f"{report.connections:,}",
                       report.connections)
        for kind, count in report.failures.items():
            outcome.expect_none(f"failed connections: {kind}", count)
        outcome.expect_most("longest time in which no client was served", report.longest_gap_ms, GAP_MS, "ms", 1)
        outcome.expect("exactly one server is left, and it serves", *_left(servers, address))
        outcome.expect_descriptors(last, before + DESCRIPTORS_TOLERANCE)
        last.stop()


def _left(servers, address):
    alive = [server for server in servers if os.path.exists(f"/proc/{server.pid}/exe")]
    with connect(address) as client:
        echo(client)
    return f"{len(alive)} of {len(servers)} alive", alive == servers[-1:]
