"""Workers stand still: the others go on, the handoff is bounded, the backlog holds the rest, nothing is lost."""

import admin
import procfs
from connections import Crowd
from fault import WORKERS, cpu_share
from server import Server
from stopped_thread import stopped, workers
from waiting import Waiting

NAME = "queue"
WHAT = "stopped workers and full queues"
PLACES = 64
OLD_CLIENTS = 16  # by round robin, half of them with each worker
FLOOD = 1000  # far more than the places of all workers, far fewer than the backlog
SERVED_TIMEOUT_S = 10.0
CPU_TARGET_PERCENT = 1


def run(bench, outcome):
    """One worker stopped under a flood, then all of them."""
    with Server(bench.subject("--accept", "acceptor", "--placement", "round-robin",
                              "--handoff-capacity", str(PLACES))) as server:
        before = procfs.open_descriptors(server.pid)
        _one_stopped(server, outcome)
        _all_stopped(server, outcome)
        outcome.expect_descriptors(server, before)
        numbers = admin.stats(server.admin)
        pauses, most = admin.over_acceptors(numbers, "pauses_full"), max(admin.per_shard(numbers, "queued_max"))
        outcome.expect("accepting paused while all queues were full", f"{pauses} times", pauses > 0)
        outcome.expect_most("longest queue", most, PLACES, "sockets")
        server.stop()


def _one_stopped(server, outcome):
    with Crowd() as old, Crowd() as flood:
        old.join(server.address, OLD_CLIENTS, echoed=True)
        with stopped(workers(server.pid)[:1]):
            with Waiting(old.members) as others:
                others.look(1.0, enough=OLD_CLIENTS // WORKERS)
                outcome.expect("one worker stopped: the other's clients are served", f"{len(others.served)} of "
                               f"{OLD_CLIENTS // WORKERS}", len(others.served) == OLD_CLIENTS // WORKERS)
            flood.join(server.address, FLOOD)
            waiting = Waiting(flood.members)
            waiting.look(1.0)
            outcome.expect("and so are new ones", f"{len(waiting.served)} of {FLOOD}",
                           len(waiting.served) >= FLOOD // 2 - PLACES)
        _expect_all_served(outcome, "that worker goes on", waiting)


def _all_stopped(server, outcome):
    with Crowd() as flood:
        with stopped(workers(server.pid)):
            flood.join(server.address, FLOOD)
            waiting = Waiting(flood.members)
            share = cpu_share(server.pid, 1)
            outcome.expect_most("all stopped, queues full: CPU", 100 * share, CPU_TARGET_PERCENT, "% of a core", 2)
            waiting.look(0)
            outcome.expect_none("clients turned away meanwhile", len(waiting.lost))
        _expect_all_served(outcome, "all go on", waiting)


def _expect_all_served(outcome, when, waiting):
    with waiting:
        waiting.look(SERVED_TIMEOUT_S)
        outcome.expect(f"{when}: every client of the flood is served",
                       f"{len(waiting.served):,} of {FLOOD:,}, {len(waiting.lost)} lost", len(waiting.served) == FLOOD)
