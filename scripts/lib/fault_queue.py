"""Workers are stopped: the others serve, queues are bounded, the backlog holds the rest, no connection is lost."""

import admin
import procfs
from connections import HeldConnections
from fault import WORKERS, cpu_share
from pending_echoes import PendingEchoes
from server import Server
from stopped_thread import stopped, workers

NAME = "queue"
WHAT = "stopped workers and full queues"
QUEUE_CAPACITY = 64
OLD_CLIENTS = 16  # round robin gives each worker half of them
NEW_CLIENTS = 1000  # far more than all queues hold, far fewer than the backlog holds
SERVED_TIMEOUT_S = 10.0
CPU_TARGET_PERCENT = 1


def run(context, outcome):
    """First one worker is stopped while many clients connect, then all workers."""
    with Server(context.subject("--accept", "acceptor", "--placement", "round-robin",
                              "--handoff-capacity", str(QUEUE_CAPACITY))) as server:
        before = procfs.open_descriptors(server.pid)
        _one_stopped(server, outcome)
        _all_stopped(server, outcome)
        outcome.expect_descriptors(server, before)
        numbers = admin.stats(server.admin)
        pauses, most = admin.over_acceptors(numbers, "pauses_full"), max(admin.per_shard(numbers, "queued_max"))
        outcome.expect("accepting paused while all queues were full", f"{pauses} times", pauses > 0)
        outcome.expect_most("longest queue", most, QUEUE_CAPACITY, "sockets")
        server.stop()


def _one_stopped(server, outcome):
    with HeldConnections() as old, HeldConnections() as new:
        old.open(server.address, OLD_CLIENTS, echoed=True)
        with stopped(workers(server.pid)[:1]):
            with PendingEchoes(old.members) as others:
                others.receive(1.0, enough=OLD_CLIENTS // WORKERS)
                outcome.expect("one worker stopped: the clients of the other are served", f"{len(others.served)} of "
                               f"{OLD_CLIENTS // WORKERS}", len(others.served) == OLD_CLIENTS // WORKERS)
            new.open(server.address, NEW_CLIENTS)
            waiting = PendingEchoes(new.members)
            waiting.receive(1.0)
            outcome.expect("one worker stopped: half of the new clients are served",
                           f"{len(waiting.served)} of {NEW_CLIENTS}",
                           len(waiting.served) >= NEW_CLIENTS // 2 - QUEUE_CAPACITY)
        _expect_all_served(outcome, "that worker runs again", waiting)


def _all_stopped(server, outcome):
    with HeldConnections() as new:
        with stopped(workers(server.pid)):
            new.open(server.address, NEW_CLIENTS)
            waiting = PendingEchoes(new.members)
            share = cpu_share(server.pid, 1)
            outcome.expect_most("all stopped, queues full: CPU", 100 * share, CPU_TARGET_PERCENT, "% of a core", 2)
            waiting.receive(0)
            outcome.expect_none("clients that lost their connection meanwhile", len(waiting.lost))
        _expect_all_served(outcome, "all workers run again", waiting)


def _expect_all_served(outcome, when, waiting):
    with waiting:
        waiting.receive(SERVED_TIMEOUT_S)
        outcome.expect(f"{when}: every client is served",
                       f"{len(waiting.served):,} of {NEW_CLIENTS:,}, {len(waiting.lost)} lost",
                       len(waiting.served) == NEW_CLIENTS)
