"""What a fault is given, and what it has to say."""

import time
from dataclasses import dataclass, field, replace

import procfs
from server import evshard

WORKERS = 2
POLL_S = 0.01
BACK_TO_NORMAL_S = 5.0
SMOKE_SLACK = 10  # a smoke run may stand beside anything: what is timed in it is not judged sharply
TIMED_UNITS = ("ms", "% of a core")
DESCRIPTORS_TOLERANCE = 2  # a socket that is accepted or closed at the moment of counting


@dataclass(frozen=True)
class Bench:
    """The programs, and whether this is a smoke run."""

    evshard: str
    storm: str
    quick: bool

    def subject(self, *flags, listen="127.0.0.1:0"):
        """The server with two workers and an admin listener."""
        return evshard(self.evshard, WORKERS, flags=("--admin", "127.0.0.1:0", *flags), listen=listen)

    def limited(self, subject, descriptors):
        """The same server with so few descriptors."""
        return replace(subject, command=("prlimit", f"--nofile={descriptors}:{descriptors}", *subject.command))


@dataclass(frozen=True)
class Check:
    """Something that must hold, what was found, and whether that is it."""

    claim: str
    found: str
    passed: bool


@dataclass
class Outcome:
    """What a fault found out. `waited_ms` is how long a client that had nothing to do with it waited at most."""

    quick: bool = False
    checks: list = field(default_factory=list)
    waited_ms: float | None = None

    def expect(self, claim, found, passed):
        """Add a check."""
        self.checks.append(Check(claim, str(found), bool(passed)))

    def expect_most(self, claim, value, limit, unit="", digits=0):
        """Add a check of a figure that must not be higher than `limit`; None is a figure that never came."""
        limit *= SMOKE_SLACK if self.quick and unit in TIMED_UNITS else 1
        found = "never" if value is None else f"{value:,.{digits}f} {unit}".strip()
        self.expect(f"{claim} ≤ {limit:,} {unit}".strip(), found, value is not None and value <= limit)

    def expect_none(self, claim, count):
        """Add a check of something that must not have happened."""
        self.expect(claim, f"{count:,}", count == 0)

    def expect_unharmed(self, bystander, limit_ms):
        """Add what a bystander experienced."""
        self.waited_ms = max(self.waited_ms or 0, bystander.longest_ms)
        self.expect_none("failures of a bystander", bystander.failures)
        self.expect_most("longest wait of a bystander", bystander.longest_ms, limit_ms, "ms", 1)

    def expect_descriptors(self, server, before):
        """Add that the server comes back to the descriptors it had."""
        most = before + DESCRIPTORS_TOLERANCE
        wait_until(lambda: procfs.open_descriptors(server.pid) <= most, BACK_TO_NORMAL_S)
        left = procfs.open_descriptors(server.pid)
        self.expect("no descriptor is leaked", f"{before} before, {left} after", left <= most)

    @property
    def passed(self):
        """Whether everything held."""
        return all(check.passed for check in self.checks)


def wait_until(condition, timeout_s):
    """Seconds until it held, or None if it did not in time."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > timeout_s:
            return None
        time.sleep(POLL_S)
    return time.monotonic() - started


def cpu_share(pid, seconds):
    """CPU time of a process over the next `seconds`, as a share of one core."""
    before, started = procfs.sample(pid), time.monotonic()
    time.sleep(seconds)
    spent_ns = sum(thread["cpu_ns"] for thread in procfs.difference(before, procfs.sample(pid)))
    return spent_ns / (time.monotonic() - started) / 1e9
