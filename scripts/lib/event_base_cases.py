"""The cases of compare_event_bases, its subjects, and the targets."""

from dataclasses import dataclass

import programs
from event_base import Case, Subject

LIBRARIES = (programs.LIBEVENT, programs.LIBEV)
GROUPS = ("chain", "timeouts", "cascade", "timers", "changes", "memory")
PIPES, ACTIVE = (100, 1000, 9000), (1, 100, 1000)
WRITES_LEAST = 10_000
RUNS = 2  # runs that a process reports, after one that it does not report

EVSHARD = Subject("evshard", "evshard")
DEFERRED = Subject("evshard deferred", "evshard", ("--variant", "deferred"))
LIBEVENT = Subject("libevent", "libevent")
PRECISE = Subject("libevent precise", "libevent", ("--variant", "precise"))
CHANGELIST = Subject("libevent changelist", "libevent", ("--variant", "changelist"))
LIBEV = Subject("libev", "libev")

STABLE_DEL_ADD = Subject("evshard stable, del+add", "evshard", ("--variant", "stable", "--rearm", "del-add"))
PLAIN_DEL_ADD = Subject("evshard deferred, del+add", "evshard", ("--variant", "deferred", "--rearm", "del-add"))
OUR_ADD = Subject("evshard, add", "evshard", ("--rearm", "add"))
LIBEVENT_DEL_ADD = Subject("libevent, del+add", "libevent", ("--rearm", "del-add"))
CHANGELIST_DEL_ADD = Subject("libevent changelist, del+add", "libevent",
                             ("--variant", "changelist", "--rearm", "del-add"))
LIBEVENT_ADD = Subject("libevent, add", "libevent", ("--rearm", "add"))
LIBEV_AGAIN = Subject("libev, again", "libev", ("--rearm", "again"))

BY_EPOLL_CTL = Subject("evshard, epoll_ctl", "evshard", ("--variant", "deferred"))
BY_IO_URING = Subject("evshard, io_uring", "evshard", ("--variant", "uring"), optional=True)

CHAIN = (EVSHARD, LIBEVENT, PRECISE, LIBEV)
TIMEOUTS = (STABLE_DEL_ADD, PLAIN_DEL_ADD, OUR_ADD, LIBEVENT_DEL_ADD, CHANGELIST_DEL_ADD, LIBEVENT_ADD, LIBEV_AGAIN)
CASCADE = (EVSHARD, DEFERRED, LIBEVENT, CHANGELIST, LIBEV)
THREE = (EVSHARD, LIBEVENT, LIBEV)
CHANGES = (BY_EPOLL_CTL, BY_IO_URING, LIBEVENT, CHANGELIST, LIBEV)

# The ratios in the tables of a group: subject and peer.
RATIOS = {
    "chain": ((EVSHARD, LIBEVENT), (EVSHARD, LIBEV)),
    "timeouts": ((STABLE_DEL_ADD, LIBEVENT_DEL_ADD), (STABLE_DEL_ADD, LIBEVENT_ADD), (STABLE_DEL_ADD, LIBEV_AGAIN),
                 (OUR_ADD, LIBEVENT_ADD), (OUR_ADD, LIBEV_AGAIN)),
    "cascade": ((EVSHARD, LIBEVENT), (EVSHARD, LIBEV), (DEFERRED, CHANGELIST)),
    "timers": ((EVSHARD, LIBEVENT), (EVSHARD, LIBEV)),
    "changes": ((BY_IO_URING, BY_EPOLL_CTL), (BY_EPOLL_CTL, CHANGELIST), (BY_EPOLL_CTL, LIBEV)),
    "memory": ((EVSHARD, LIBEVENT), (EVSHARD, LIBEV)),
}


@dataclass(frozen=True)
class Target:
    """A target: a figure of `subject`, or its ratio to the figure of `peer`, is at most `limit`.

    `cases` selects the cases whose name contains one of these texts. The peer's figure comes from the same case, or from
    the case of the group that `against` names.
    """

    group: str
    text: str
    figures: tuple
    subject: Subject
    peer: Subject | None
    limit: float
    cases: tuple = ("",)
    against: str | None = None

    def applies_to(self, case):
        """Whether the target applies to the case."""
        return case.group == self.group and any(part in f"{case.name}," for part in self.cases)


LOOP, OPERATIONS = ("loop, ns/hop",), ("add, ns", "reset, ns", "delete, ns", "expire, ns")
TARGETS = (
    Target("chain", "chain, a ≥ 100, against libevent", LOOP, EVSHARD, LIBEVENT, 0.95, ("a=100,", "a=1000,")),
    Target("chain", "chain, a = 1, against libevent", LOOP, EVSHARD, LIBEVENT, 1.0, ("a=1,",)),
    Target("chain", "chain, against libev", LOOP, EVSHARD, LIBEV, 1.0),
    Target("timeouts", "timeouts, stable del+add against libevent del+add", LOOP, STABLE_DEL_ADD, LIBEVENT_DEL_ADD, 0.6),
    Target("timeouts", "timeouts, stable del+add against libev", LOOP, STABLE_DEL_ADD, LIBEV_AGAIN, 0.9),
    Target("cascade", "cascade, against libevent", ("elapsed, ns/event",), EVSHARD, LIBEVENT, 0.85),
    Target("cascade", "cascade, deferred, against libevent", ("elapsed, ns/event",), DEFERRED, LIBEVENT, 0.85),
    Target("timers", "a million timers, against libevent", OPERATIONS, EVSHARD, LIBEVENT, 0.5, ("random, 1000000",)),
    Target("timers", "a million common timeouts, against random ones", OPERATIONS, EVSHARD, EVSHARD, 1.0,
           ("common, 1000000",), against="random, 1000000"),
    Target("memory", "user memory, bytes per event", ("Pss, B/event",), EVSHARD, None, 160),
)


def cases(groups, quick):
    """The cases of some groups. With `quick` they are small, for a smoke run."""
    makers = {"chain": _chain, "timeouts": _timeouts, "cascade": _cascade, "timers": _timers, "changes": _changes,
              "memory": _memory}
    return [case for group in groups for case in makers[group](quick)]


def chain_flags(pipes, active, writes=None):
    """The flags of a chain, by default with 10,000 writes or more, and with ten or more for each active pair."""
    writes = writes or max(WRITES_LEAST, 10 * active)
    return ("chain", "--pipes", str(pipes), "--active", str(active), "--writes", str(writes))


def _chain_like(group, subjects, quick):
    cells = [(100, 1), (100, 100)] if quick else [(n, a) for n in PIPES for a in ACTIVE if a <= n]
    return [Case(group, f"n={n}, a={a}", (*chain_flags(n, a), *_runs(quick)), subjects) for n, a in cells]


def _chain(quick):
    return _chain_like("chain", CHAIN, quick)


def _timeouts(quick):
    return _chain_like("timeouts", TIMEOUTS, quick)


def _cascade(quick):
    return [Case("cascade", f"n={n}", ("cascade", "--pipes", str(n), *_runs(quick)), CASCADE)
            for n in (PIPES[:1] if quick else PIPES)]


def _timers(quick):
    # A million timers take seconds, most of them for the expiry in libevent. So they run in every second round.
    sizes = ((1000, 1), (1_000_000, 2))[:1] if quick else ((100_000, 1), (1_000_000, 2))
    return [Case("timers", f"{kind}, {n}", ("timers", "--timers", str(n), "--deadlines", kind), THREE, every)
            for kind in ("random", "common") for n, every in sizes]


def _changes(quick):
    return [Case("changes", f"c={c}", ("changes", "--changes", str(c), *_runs(quick)), CHANGES)
            for c in ((8,) if quick else (1, 8, 64, 256))]


def _memory(quick):
    # The figure hardly varies, so it is measured in every fifth round.
    sizes = ((2000, 1000),) if quick else ((18_000, 18_000), (100_000, 18_000))
    return [Case("memory", f"{events} events, {descriptors} descriptors",
                 ("memory", "--events", str(events), "--descriptors", str(descriptors)), THREE, 5)
            for events, descriptors in sizes]


def _runs(quick):
    return ("--runs", "1" if quick else str(RUNS))
