"""One measured run: a load on a fresh server, and the CPU time of the server."""

import json
import time
from dataclasses import dataclass

import loader
import procfs
from child import Failure
from connections import HeldConnections
from server import Server

# Before the run: worker threads may still start after the listening line. After the run: the server still closes the
# loader's connections. The first must not be in the figures, and the second must be, for every server alike.
SETTLE_S = 0.2


@dataclass(frozen=True)
class Run:
    """The loader's report of one run, and a JSON-ready record of the server."""

    report: loader.Report
    server: dict

    @property
    def cpu_us_per_request(self):
        """The server's CPU time per answered request."""
        return self.server["cpu_us_per_request"]

    def save(self, folder, name):
        """Write both records below `folder`, the loader's byte for byte as it wrote it."""
        (folder / f"{name}.loadgen.json").write_text(self.report.text)
        (folder / f"{name}.server.json").write_text(json.dumps(self.server, indent=2) + "\n")


def run(subject, load, idle=0):
    """Start `subject`, run `load` on it beside `idle` connections that have echoed once, and stop it."""
    with Server(subject) as server, HeldConnections() as held:
        held.open(server.address, idle, echoed=True)
        time.sleep(SETTLE_S)
        before = procfs.sample(server.pid)
        report = loader.run(load, server.address)
        time.sleep(SETTLE_S)
        server.check_alive()
        after = procfs.sample(server.pid)
        command = load.measured_argv(server.address)
        held.close()
        shard_table = server.stop()
    threads = procfs.difference(before, after)
    check_pinning(subject.name, subject.core, threads)
    cpu_ns = sum(thread["cpu_ns"] for thread in threads)
    return Run(report, {
        "subject": subject.name,
        "server_command": subject.argv,
        "loader_command": command,
        "idle_connections": idle,
        "requests_completed": report.completed,
        "cpu_ns": cpu_ns,
        "cpu_ns_by_ticks": after.tick_cpu_ns - before.tick_cpu_ns,
        "cpu_us_per_request": cpu_ns / report.completed / 1000,
        "voluntary_switches": sum(thread["voluntary_switches"] for thread in threads),
        "involuntary_switches": sum(thread["involuntary_switches"] for thread in threads),
        "threads": threads,
        "shard_table": shard_table,
    })


def rotated(subjects, round_index):
    """The subjects in the order of this round. Each is first equally often, because the first run may differ."""
    shift = round_index % len(subjects)
    return subjects[shift:] + subjects[:shift]


def loader_note(reports):
    """The loader's verdicts, as a note."""
    return (f"The loader's verdicts on its own runs: {loader.verdicts(reports)}. A verdict depends on "
            "whether the loader has a machine of its own. The server's CPU per request does not.")


def check_pinning(name, core, threads):
    """Fail if a thread of the server may run on another core than `core`, which would be an advantage over the peer."""
    if core is None:
        return
    elsewhere = [f"{t['name']} on {t['cpus_allowed']}" for t in threads if t["cpus_allowed"] != str(core)]
    if elsewhere:
        raise Failure(f"{name} has threads that may leave core {core}: {', '.join(elsewhere)}")
