"""SIGTERM while clients connect, in every accept mode: each accepted connection is served.

A client whose connect succeeds gets its echo before its connection ends. Once the listening sockets are closed, connects
are refused and do not fail in another way. A connection from before the signal gets the echo of all that it has sent,
and then ends without a reset.
"""

import time

from connect_flood import ConnectFlood
from connections import HeldConnections
from pending_echoes import PendingEchoes
from server import Server

NAME = "shutdown"
WHAT = "SIGTERM while clients connect"
MODES = ("acceptor", "acceptor-in-shard0", "reuseport", "hybrid")
FLOOD_S = 10  # it ends earlier, with the first refusal
BEFORE_S = 0.5
OLD_CLIENTS = 50


def run(context, outcome):
    """Each mode several times, because the moment of the signal is random."""
    for mode in MODES:
        _stop_under_load(context, outcome, mode, 1 if context.quick else 5)


def _stop_under_load(context, outcome, mode, times):
    totals = {"connections": 0, "refused": 0, "timeout": 0, "reset": 0, "closed": 0, "wrong": 0, "old": 0}
    for _ in range(times):
        report, answered = _once(context, mode)
        totals["connections"] += report.connections
        totals["old"] += answered
        for kind, count in report.failures.items():
            totals[kind] += count
    lost = sum(totals[kind] for kind in ("reset", "closed", "wrong", "timeout"))
    outcome.expect(f"{mode}: no accepted connection is lost",
                   f"{totals['connections']:,} served; {totals['reset']} reset, {totals['closed']} closed before their "
                   f"echo, {totals['wrong']} wrong, {totals['timeout']} timed out", lost == 0)
    outcome.expect(f"{mode}: the server stops listening", f"{totals['refused']} refused", totals["refused"] > 0)
    outcome.expect(f"{mode}: messages from before the signal are answered", f"{totals['old']} of {times * OLD_CLIENTS}",
                   totals["old"] == times * OLD_CLIENTS)


def _once(context, mode):
    """The report of the clients that connect, and how many of the older connections got their echo."""
    flood = ConnectFlood(context.connect_flood, seconds=FLOOD_S, flags=("--until-refused",))
    with Server(context.subject("--accept", mode, "--drain-spread", "500ms")) as server, HeldConnections() as old:
        old.open(server.address, OLD_CLIENTS, echoed=True)
        with flood.start(server.address) as client:
            time.sleep(BEFORE_S)
            with PendingEchoes(old.members) as waiting:
                server.stop()
                report = flood.finish(client)
                waiting.receive(1.0)
                return report, len(waiting.served)
