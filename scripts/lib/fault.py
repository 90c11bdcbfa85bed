"""What every fault gets: the programs, and an outcome to which it adds checks."""

import time
from dataclasses import dataclass, field, replace

import procfs
from server import evshard

WORKERS = 2
POLL_S = 0.01
BACK_TO_NORMAL_S = 5.0
SMOKE_SLACK = 10  # other work may run beside a smoke run, so its limits on time and CPU are ten times as wide
TIMED_UNITS = ("ms", "% of a core")
DESCRIPTORS_TOLERANCE = 2  # a socket may be accepted or closed during the count


@dataclass(frozen=True)
class FaultContext:
    """The paths of the programs that a fault runs. With `quick` it is a smoke run."""

    evshard: str
    connect_flood: str
    quick: bool
    chain_minutes: int = 1

    def subject(self, *flags, listen="127.0.0.1:0", workers=WORKERS):
        """The server with an admin listener."""
        return evshard(self.evshard, workers, flags=("--admin", "127.0.0.1:0", *flags), listen=listen)

    def within(self, subject, address_space_bytes):
        """The same server with RLIMIT_AS."""
        return replace(subject, command=("prlimit", f"--as={address_space_bytes}", *subject.command))

    def limited(self, subject, descriptors):
        """The same server with RLIMIT_NOFILE set to `descriptors`."""
        return replace(subject, command=("prlimit", f"--nofile={descriptors}:{descriptors}", *subject.command))


@dataclass(frozen=True)
class Check:
    """What must hold, what was found, and whether the check passed."""

    claim: str
    found: str
    passed: bool


@dataclass
class Outcome:
    """The result of a fault. `waited_ms` is the longest wait of an unaffected client."""

    quick: bool = False
    checks: list = field(default_factory=list)
    waited_ms: float | None = None

    def expect(self, claim, found, passed):
        """Add a check."""
        self.checks.append(Check(claim, str(found), bool(passed)))

    def expect_most(self, claim, value, limit, unit="", digits=0):
        """Add a check that `value` does not exceed `limit`. A value of None fails: what was measured never happened."""
        limit *= SMOKE_SLACK if self.quick and unit in TIMED_UNITS else 1
        found = "never" if value is None else f"{value:,.{digits}f} {unit}".strip()
        self.expect(f"{claim} ≤ {limit:,} {unit}".strip(), found, value is not None and value <= limit)

    def expect_none(self, claim, count):
        """Add a check that something did not happen."""
        self.expect(claim, f"{count:,}", count == 0)

    def expect_unharmed(self, probe, limit_ms):
        """Add the checks of an unaffected client: no failure, and no wait above the limit."""
        self.waited_ms = max(self.waited_ms or 0, probe.longest_ms)
        self.expect_none("failures of an unaffected client", probe.failures)
        self.expect_most("longest wait of an unaffected client", probe.longest_ms, limit_ms, "ms", 1)

    def expect_descriptors(self, server, before):
        """Add a check that the server has as many descriptors as before."""
        most = before + DESCRIPTORS_TOLERANCE
        wait_until(lambda: procfs.open_descriptors(server.pid) <= most, BACK_TO_NORMAL_S)
        left = procfs.open_descriptors(server.pid)
        self.expect("no descriptor is leaked", f"{before} before, {left} after", left <= most)

    @property
    def passed(self):
        """Whether all checks passed."""
        return all(check.passed for check in self.checks)


def wait_until(condition, timeout_s):
    """Seconds until the condition held; None if it did not hold in time."""
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
