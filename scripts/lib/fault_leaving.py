"""SIGTERM in the middle of a connect storm, in every accept mode: each accepted connection is served.

Precisely: a connection whose connect succeeded gets its echo; it is neither reset nor closed before. Connects after the
listening sockets are gone are refused, and that is all that may happen to them. A connection that was there before
gets the echo of all it had sent before the signal, and then an orderly end.
"""

import time

from connections import Crowd
from server import Server
from storm import Storm
from waiting import Waiting

NAME = "leaving"
WHAT = "SIGTERM under a connect storm"
MODES = ("acceptor", "acceptor-in-shard0", "reuseport", "hybrid")
STORM_S = 10  # ends with the first refusal, long before
BEFORE_S = 0.5
OLD_CLIENTS = 50


def run(bench, outcome):
    """Each mode several times: where the signal falls is chance."""
    for mode in MODES:
        _leave(bench, outcome, mode, 1 if bench.quick else 5)


def _leave(bench, outcome, mode, times):
    totals = {"connections": 0, "refused": 0, "timeout": 0, "reset": 0, "closed": 0, "wrong": 0, "old": 0}
    for _ in range(times):
        report, answered = _once(bench, mode)
        totals["connections"] += report.connections
        totals["old"] += answered
        for kind, count in report.failures.items():
            totals[kind] += count
    lost = sum(totals[kind] for kind in ("reset", "closed", "wrong", "timeout"))
    outcome.expect(f"{mode}: none of those let in is lost",
                   f"{totals['connections']:,} served; {totals['reset']} reset, {totals['closed']} closed before their "
                   f"echo, {totals['wrong']} wrong, {totals['timeout']} timed out", lost == 0)
    outcome.expect(f"{mode}: it stops listening", f"{totals['refused']} refused", totals["refused"] > 0)
    outcome.expect(f"{mode}: what was sent before is answered", f"{totals['old']} of {times * OLD_CLIENTS}",
                   totals["old"] == times * OLD_CLIENTS)


def _once(bench, mode):
    """The storm's report, and how many of the old clients had their answer."""
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
