"""System calls per echo of a running server, counted by strace."""

import re
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import child
import loader
import procfs
from child import Failure
from server import Server

CONNECTIONS = 50
ATTACH_TIMEOUT_S = 5.0
SENDS = ("sendto", "sendmsg", "write", "writev")
RECEIVES = ("recvfrom", "recvmsg", "read", "readv")
SUMMARY_ROW = re.compile(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:(\d+)\s+)?(\w+)\s*")
EVENTFD = re.compile(r"\b(read|write)\(\d+<anon_inode:\[eventfd\]")


@dataclass(frozen=True)
class Trace:
    """The system calls that strace counted in a time, and the echoes among them."""

    calls: dict  # name to {"calls": n, "errors": n}
    eventfd: dict  # "read" and "write" to n: wakes between threads

    @property
    def echoes(self):
        """Successful sends to a client. A connection has one message in flight, so a send is an echo."""
        return self._successes(SENDS) - self.eventfd["write"]

    @property
    def receives(self):
        """Successful receives from a client. They differ from the echoes only by those at the start and end."""
        return self._successes(RECEIVES) - self.eventfd["read"]

    @property
    def calls_per_echo(self):
        """All system calls, divided by the echoes of the same time."""
        return sum(call["calls"] for call in self.calls.values()) / self.echoes

    def listing(self):
        """Calls per echo by name, most frequent first. Failed calls (mostly EAGAIN) are marked."""
        most = sorted(self.calls.items(), key=lambda item: -item[1]["calls"])
        return ", ".join(f"{name} {call['calls'] / self.echoes:.3f}" + _failed(call) for name, call in most)

    def coordination(self):
        """The calls by which threads wake each other, with their counts."""
        counts = {
            "futex": self.calls.get("futex", {"calls": 0})["calls"],
            "eventfd write": self.eventfd["write"],
            "eventfd read": self.eventfd["read"],
        }
        found = [f"{name} {count}×" for name, count in counts.items() if count]
        return ", ".join(found) or "no futex, no eventfd write or read"

    def _successes(self, names):
        return sum(self.calls[name]["calls"] - self.calls[name]["errors"] for name in names if name in self.calls)

    def record(self, subject):
        """Everything as a JSON-ready dictionary."""
        return {
            "subject": subject.name,
            "server_command": subject.argv,
            "connections": CONNECTIONS,
            "echoes": self.echoes,
            "receives": self.receives,
            "calls_per_echo": self.calls_per_echo,
            "calls": self.calls,
            "eventfd": self.eventfd,
        }


def measure(subject, load, window_s):
    """Trace a fresh `subject` for `window_s` seconds in the middle of a load of 50 busy connections."""
    load = replace(load, connections=CONNECTIONS, size=64, pipeline=1, warmup="1s", duration=f"{window_s + 2:.0f}s")
    with Server(subject) as server:
        with loader.start(load, server.address) as task:
            time.sleep(1.0)  # until the connections are placed and busy
            trace = watch(server.pid, lambda: time.sleep(window_s))
            loader.finish(task, load)
        server.stop()
    if trace.echoes <= 0:
        raise Failure(f"strace saw no echo of {subject.name}: {trace.calls}")
    return trace


def measure_all(subjects, load, quick, save):
    """One trace of each subject by name, or the reason why there are none. `save` takes a file name and a record."""

    def trace(subject):
        found = measure(subject, load, window_s=1 if quick else 2)
        save(f"syscalls-{subject.name}", found.record(subject))
        return found

    return of_each(subjects, trace)


def of_each(subjects, trace):
    """The result of `trace` for each subject by name, or the reason why nothing can be traced here."""
    if shutil.which("strace") is None:
        return "Not measured: strace is not installed (Debian package strace)."
    traces = {}
    for subject in subjects:
        print(f"system calls of {subject.name} ...", file=sys.stderr)
        try:
            traces[subject.name] = trace(subject)
        except Failure as failure:
            if "ptrace" not in str(failure):
                raise
            return "Not measured: strace may not attach to processes here (ptrace refused)."
    return traces


def parse(text):
    """Read the log of `strace -C -f -y`: one line a call, then the summary that `strace -c` prints."""
    eventfd = {"read": 0, "write": 0}
    calls = {}
    in_summary = False
    for line in text.splitlines():
        if line.startswith("% time"):
            in_summary = True
        elif in_summary and (row := SUMMARY_ROW.fullmatch(line)) and row[3] != "total":
            calls[row[3]] = {"calls": int(row[1]), "errors": int(row[2] or 0)}
        elif not in_summary and (call := EVENTFD.search(line)):
            eventfd[call[1]] += 1
    if not calls:
        raise Failure("strace printed no summary")
    return Trace(calls, eventfd)


def watch(pid, work):
    """Trace all threads of a process while `work` runs."""
    with tempfile.TemporaryDirectory() as folder:
        return _watch(pid, work, Path(folder) / "trace")


def _watch(pid, work, log):
    # -C is -c and also lists the calls. -y prints what a descriptor is, which distinguishes a write to an eventfd from a
    # write to a socket. -s 0 omits the payload.
    argv = ["strace", "-C", "-f", "-y", "-s", "0", "-o", str(log), "-p", str(pid)]
    with child.Task(argv, "strace") as strace:
        _wait_until_traced(pid, strace)
        work()
        strace.interrupt()
        strace.finish(child.STOP_TIMEOUT_S, expected=(0, -signal.SIGINT, 128 + signal.SIGINT))
    return parse(log.read_text(errors="replace"))


def _wait_until_traced(pid, strace):
    """Wait until strace has attached to all threads. It does so one by one, and counts no call of a thread before."""
    deadline = time.monotonic() + ATTACH_TIMEOUT_S
    while not all(procfs.tracer(task) for task in procfs.tasks(pid)):
        if strace.ended() or time.monotonic() > deadline:
            strace.interrupt()
            strace.finish(child.STOP_TIMEOUT_S)  # strace prints why it may not attach
            raise Failure(f"strace did not attach to process {pid} within {ATTACH_TIMEOUT_S:.0f} s")
        time.sleep(0.01)


def _failed(call):
    return f" ({call['errors']} of {call['calls']} failed)" if call["errors"] else ""
