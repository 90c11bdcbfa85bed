"""Facts about the machine and the toolchain that a result has to carry."""

import datetime
import os
import platform
import subprocess
from pathlib import Path

from programs import ROOT


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def default_loader_threads():
    """Half the cores: the other half is the server's, and a loader short of CPU measures itself."""
    return max(1, cores() // 2)


def divided(threads):
    """The cores of a server and those of a loader with so many threads: none has both, unless there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    mine = usable[-min(threads, max(1, len(usable) - 1)):]
    return [core for core in usable if core not in mine] or usable, mine


def facts():
    """Label and value of everything worth knowing when reading the numbers later; unknown is said, never guessed."""
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
    # Without optional locks: a measurement must not write to the index of a repository in use.
    commit = _first_line("git", "--no-optional-locks", "rev-parse", "--short=12", "HEAD")
    if commit == "unknown":
        return commit
    changed = _first_line("git", "--no-optional-locks", "status", "--porcelain", "--", "src", "loadgen", "benches")
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
