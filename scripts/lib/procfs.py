"""The kernel's figures of a process: CPU time, context switches and memory, from /proc."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from child import Failure


@dataclass(frozen=True)
class Thread:
    """One thread's counters at one moment."""

    name: str
    cpu_ns: int
    voluntary_switches: int
    involuntary_switches: int
    cpus_allowed: str


@dataclass(frozen=True)
class Sample:
    """A process at one moment: its threads by id, and its CPU time in the resolution of ticks."""

    threads: dict
    tick_cpu_ns: int
    tick_user_ns: int = 0  # the part outside the kernel


def tasks(pid):
    """The folder of each thread of `pid`."""
    return list(Path(f"/proc/{pid}/task").iterdir())


def tracer(task):
    """The process that traces a thread, 0 for none."""
    return int(_status(task)["TracerPid"])


def sample(pid):
    """Read the counters of `pid` now.

    schedstat's first field is the thread's CPU time in nanoseconds. utime + stime is the same in ticks, which are mostly
    10 ms. This is only a cross-check, because it is too coarse to divide by a number of requests.
    """
    try:
        threads = {}
        for task in tasks(pid):
            # A thread that ends just now has nothing to be read.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                threads[int(task.name)] = _thread(task)
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError as error:
        raise Failure(f"cannot read the CPU time of process {pid}: {error}") from error
    user, system = int(after_name[11]), int(after_name[12])  # utime, stime: fields 14 and 15 of proc(5)
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return Sample(threads, (user + system) * tick_ns, user * tick_ns)


def _status(task):
    return dict(line.split(":", 1) for line in (task / "status").read_text().splitlines() if ":" in line)


def _thread(task):
    status = _status(task)
    return Thread(
        name=(task / "comm").read_text().strip(),
        cpu_ns=int((task / "schedstat").read_text().split()[0]),
        voluntary_switches=int(status["voluntary_ctxt_switches"]),
        involuntary_switches=int(status["nonvoluntary_ctxt_switches"]),
        cpus_allowed=status["Cpus_allowed_list"].strip(),
    )


def difference(before, after):
    """The differences of each thread's counters between two samples, as JSON-ready dictionaries.

    A thread that ended in between is a Failure: its counters are lost, and the sum would be too low.
    """
    lost = [thread.name for tid, thread in before.threads.items() if tid not in after.threads]
    if lost:
        raise Failure(f"server threads ended during the run, so their CPU time is unknown: {', '.join(lost)}")
    none = Thread("", 0, 0, 0, "")
    return [
        {
            "name": now.name,
            "cpu_ns": now.cpu_ns - (was := before.threads.get(tid, none)).cpu_ns,
            "voluntary_switches": now.voluntary_switches - was.voluntary_switches,
            "involuntary_switches": now.involuntary_switches - was.involuntary_switches,
            "cpus_allowed": now.cpus_allowed,
        }
        for tid, now in sorted(after.threads.items())
    ]


def children(pid):
    """The processes that `pid` started and that have not ended."""
    return [int(word) for task in tasks(pid) for word in (task / "children").read_text().split()]


def resident_bytes(pid):
    """The resident memory of the process (VmRSS)."""
    return int(_status(Path(f"/proc/{pid}"))["VmRSS"].split()[0]) * 1024


def memory_bytes(pid):
    """Pss and its anonymous part.

    Pss divides a shared page among the processes that map it. Anonymous memory is what the process itself allocated.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {key: int(rest.split()[0]) for key, rest in (line.split(":", 1) for line in lines)}
    return {"pss": kib["Pss"] * 1024, "pss_anon": kib["Pss_Anon"] * 1024}


def open_descriptors(pid):
    """The number of open descriptors of the process."""
    return len(os.listdir(f"/proc/{pid}/fd"))
