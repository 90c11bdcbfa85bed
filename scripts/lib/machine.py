"""Facts about the machine and the toolchain, for a result."""

import datetime
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from programs import ROOT


def usable():
    """The numbers of the processors that this process may use."""
    try:
        return sorted(os.sched_getaffinity(0))
    except OSError:  # forbidden, by a seccomp profile
        return list(range(os.cpu_count() or 1))


def cores():
    """How many cores this process may use."""
    return len(usable())


def default_loader_threads():
    """Half of the cores. The server has the other half. A loader that lacks CPU measures its own delays."""
    return max(1, cores() // 2)


def divided(threads):
    """The cores of a server, and of a loader with this number of threads. They share a core only if there is only one.

    Two processors that are hardware threads of one core count as one core, unless the machine has no other core.
    """
    groups = _by_core(usable())
    if len(groups) == 1:
        groups = [(processor,) for processor in groups[0]]
    mine = groups[-min(threads, max(1, len(groups) - 1)):]
    server = [processor for group in groups if group not in mine for processor in group]
    loader = [group[0] for group in mine]
    return server or loader, loader


@dataclass(frozen=True)
class Division:
    """The cores of a server and those of its loader; both are None if the kernel chooses them.

    `shared` is None if each has cores of its own. Otherwise it completes the sentence "server and loader share ...".
    `may_spin` is whether the loader can spin while it waits without taking CPU time from the server.
    """

    server: list | None
    loader: list | None
    shared: str | None = None
    may_spin: bool = True


def division(threads):
    """The result of `divided` if this machine allows it; otherwise the reason why not."""
    server, loader = divided(threads)
    if server == loader:
        return Division(None, None, f"core {server[0]}, the only one that this process may use", may_spin=False)
    if refusal := _refusal(server):
        reason = f"{cores()} cores: the kernel refuses to bind a process to some of them"
        return Division(None, None, f"{reason} (sched_setaffinity: {refusal})", may_spin=False)
    if (quota := _quota()) is not None and quota < 2:
        return Division(server, loader, f"a CPU quota of {quota:.2f} cores (cgroup)", may_spin=False)
    if len(_by_core([*server, *loader])) == 1:
        return Division(server, loader, f"one core, whose hardware threads are processors {listed(usable())}")
    return Division(server, loader)


def listed(processors):
    """Processors in the format of the programs' flags, as 0,2,3."""
    return ",".join(map(str, processors))


def _by_core(processors):
    """The processors in groups that are hardware threads of one core. Without that information, each is its own group."""
    groups = {}
    for processor in processors:
        siblings = _read(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
        groups.setdefault(siblings or processor, []).append(processor)
    return [tuple(group) for group in groups.values()]


def _refusal(processors):
    """Why a process cannot be bound to these processors; None if it can. It tries, and restores the former binding."""
    try:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, processors)
        bound = os.sched_getaffinity(0)
        os.sched_setaffinity(0, before)
    except OSError as error:
        return error.strerror
    return None if bound == set(processors) else "without effect"


def _quota():
    """The smallest CPU quota of this process's cgroups, in cores; None without one. Version 2, then version 1."""
    quotas = []
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = Path("/sys/fs/cgroup"), ("cpu.max",)
        elif "cpu" in controllers.split(","):
            root, names = Path("/sys/fs/cgroup/cpu"), ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        else:
            continue
        # A path that does not exist here belongs to another cgroup namespace. Its ancestors may still exist.
        folder = root / path.lstrip("/")
        for place in (folder, *folder.parents):
            quotas += _quota_of(" ".join(_read(place / name) for name in names).split())
            if place == root:
                break
    return min(quotas, default=None)


def _quota_of(words):
    """A list of the quota in these words of a kernel file. It is empty for `max`, for -1, and if there is no file."""
    if len(words) != 2 or not all(word.isdigit() for word in words):
        return []
    return [int(words[0]) / int(words[1])]


def facts():
    """Labels and values of the machine and the toolchain, for the readers of a result. An unknown value is "unknown"."""
    return [
        ("date", datetime.date.today().isoformat()),
        ("commit", _commit()),
        ("kernel", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("CPU", _cpu_model()),
        ("cores usable", str(cores())),
        ("frequency governor", _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "not exposed"),
        ("virtual machine", "yes" if _is_virtual() else "not detected"),
        ("memory", _memory()),
        ("load average at the start", " ".join(_read("/proc/loadavg").split()[:3]) or "unknown"),
        ("rustc", _first_line("rustc", "--version")),
        ("cc", _first_line("cc", "--version")),
        ("Python", platform.python_version()),
    ]


def _commit():
    # Without optional locks, git does not write to the index, which another git process may use.
    commit = _first_line("git", "--no-optional-locks", "rev-parse", "--short=12", "HEAD")
    if commit == "unknown":
        return commit
    changed = _first_line("git", "--no-optional-locks", "status", "--porcelain", "--", "src", "capi", "loadgen", "benches")
    return commit if changed == "" else f"{commit}, with uncommitted changes"


def _first_line(*argv):
    try:
        output = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True, cwd=ROOT).stdout
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return output.partition("\n")[0].strip()


def _read(path):
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _field(path, name):
    lines = (line.partition(":") for line in _read(path).splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "unknown")


def _cpu_model():
    model, mhz = _field("/proc/cpuinfo", "model name"), _field("/proc/cpuinfo", "cpu MHz")
    return model if mhz == "unknown" else f"{model}, {float(mhz):.0f} MHz at the start"


def _is_virtual():
    return "hypervisor" in _field("/proc/cpuinfo", "flags").split()


def _memory():
    kib = _field("/proc/meminfo", "MemTotal").split()[0]
    return f"{int(kib) / 1024 / 1024:.1f} GiB" if kib.isdigit() else "unknown"
