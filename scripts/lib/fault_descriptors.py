"""Descriptors run out: the server must not spin, must serve again after a close, and must count its pauses."""

import contextlib
import time

import admin
import procfs
from child import Failure
from connections import HeldConnections
from fault import cpu_share
from pending_echoes import PendingEchoes
from probe_client import ProbeClient
from server import Server

NAME = "descriptors"
WHAT = "descriptor exhaustion"
LIMIT = 100
CLIENTS = 200  # more than the descriptors, fewer than the backlog
CPU_TARGET_PERCENT = 1
BACK_MS = 100


def run(context, outcome):
    """More clients than descriptors for five seconds. Then one disconnects."""
    subject = context.limited(context.subject(), LIMIT)
    with Server(subject) as server, HeldConnections() as clients:
        before = procfs.open_descriptors(server.pid)
        with ProbeClient(server.address) as probe:
            for _ in range(CLIENTS):
                with contextlib.suppress(Failure):  # a server may reset some while they connect
                    clients.open(server.address, 1)
            with PendingEchoes(clients.members) as waiting:
                waiting.receive(1.0, enough=CLIENTS)
                outcome.expect("clients beyond the descriptors are not served", f"{len(waiting.served)} of {CLIENTS} are",
                               0 < len(waiting.served) < LIMIT)
                share = cpu_share(server.pid, 1 if context.quick else 5)
                outcome.expect_most("CPU while exhausted, one echo in 20 ms included", 100 * share, CPU_TARGET_PERCENT,
                                    "% of a core", 2)
                waiting.receive(0)
                lost = CLIENTS - len(clients.members) + len(waiting.lost)
                outcome.expect_most("a waiting client is served after a close",
                                    _served_after_close_ms(waiting, server), BACK_MS, "ms", 1)
        outcome.expect_unharmed(probe, 250)
        clients.close()
        outcome.expect_descriptors(server, before)
        numbers = admin.stats(server.admin)
        pauses, shed = admin.over_acceptors(numbers, "pauses_exhausted"), admin.over_acceptors(numbers, "shed")
        outcome.expect("the counters show the pauses", f"{pauses} pauses, {shed} shed", pauses > 0)
        outcome.expect_none("clients that were reset instead of waiting", lost)
        server.stop()


def _served_after_close_ms(waiting, server):
    """Time from the close of a served connection to the echo of a client that waited or has just connected."""
    with HeldConnections() as latecomer:
        latecomer.open(server.address, 1)
        started = time.monotonic()
        waiting.served.pop().close()
        waiting.add(latecomer.members[0])
        served = waiting.receive(5.0, enough=1)
        return (time.monotonic() - started) * 1000 if served else None
