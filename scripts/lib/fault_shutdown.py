"""SIGTERM while clients connect, in every accept mode: each accepted connection is served.

A client whose connect succeeded gets its echo before its connection ends. Connects after the listening sockets are
closed are refused and nothing else. A connection from before the signal gets the echo of all that it had sent, and then
ends without a reset.
"""

import time

from connect_flood import Storm
from connections import Crowd
from pending_echoes import Waiting
from server import Server

NAME = "shutdown"
WHAT = "SIGTERM while clients connect"
MODES = ("acceptor", "acceptor-in-shard0", "reuseport", "hybrid")
STORM_S = 10  # it ends earlier, with the first refusal
BEFORE_S = 0.5
OLD_CLIENTS = 50


def run(bench, outcome):
    """Each mode several times, because the moment of the signal is random."""
    for mode in MODES:
        _stop_under_load(bench, outcome, mode, 1 if bench.quick else 5)


def _stop_under_load(bench, outcome, mode, times):
    totals = {"connections": 0, "refused": 0, "timeout": 0, "reset": 0, "closed": 0, "wrong": 0, "old": 0}
    for _ in range(times):
        report, answered = _once(bench, mode)
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


def _once(bench, mode):
    """The report of the connecting clients, and how many old clients got their answer."""
    storm = Storm(bench.storm, seconds=STORM_S, flags=("--until-refused",))
    with Server(bench.subject("--accept", mode, "--drain-spread", "500ms")) as server, Crowd() as old:
        old.join(server.address, OLD_CLIENTS, echoed=True)
        with storm.start(server.address) as driving:
            time.sleep(BEFORE_S)
            with Waiting(old.members) as waiting:
                server.stop()
                report = storm.finish(driving)
                waiting.look(1.0)
                return report, len(waiting.served)
