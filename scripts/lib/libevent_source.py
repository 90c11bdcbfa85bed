"""Debian's source package of libevent: fetches it, and builds it with its tests."""

import os
import re
import subprocess
from pathlib import Path

import child
from child import Failure
from programs import ROOT

FOLDER = ROOT / "target/libevent-suite"
APT = Path("/etc/apt")
# By the order of these files' times, make has to make none of them again.
GENERATED = (("aclocal.m4",), ("configure", "config.h.in"), ("Makefile.in",))


def fetch(folder):
    """Unpack the source package below `folder`; its folder. Uses sources of apt of its own."""
    unpacked = folder / "libevent"
    if unpacked.is_dir():
        return unpacked
    state = folder / "apt"
    for part in ("lists/partial", "cache/archives/partial"):
        (state / part).mkdir(parents=True, exist_ok=True)
    add_sources(state / "sources.list.d")
    apt = ["apt-get", "--quiet", "-o", "Dir::Etc::sourcelist=/dev/null", "-o",
           f"Dir::Etc::sourceparts={state}/sources.list.d", "-o", f"Dir::State::lists={state}/lists", "-o",
           f"Dir::Cache={state}/cache"]
    child.run([*apt, "update"], "apt-get update")
    _in_folder(folder, [*apt, "source", "--download-only", "libevent"], "apt-get source libevent")
    description = next(folder.glob("libevent_*.dsc"), None)
    if description is None:
        raise Failure("apt-get downloaded no source package of libevent")
    child.run(["dpkg-source", "--extract", str(description), str(unpacked)], "dpkg-source")
    return unpacked


def add_sources(folder):
    """Copy the machine's sources of packages into `folder`, so that they also have source packages."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (APT / "sources.list", *APT.glob("sources.list.d/*.list"), *APT.glob("sources.list.d/*.sources")):
        if path.is_file():
            (folder / path.name).write_text(with_source_packages(path.read_text()))


def with_source_packages(text):
    """A list of apt's sources in either format, with the source packages of what it has."""
    text = re.sub(r"^deb ", "deb-src ", text, flags=re.MULTILINE)
    return re.sub(r"^Types: deb$", "Types: deb-src", text, flags=re.MULTILINE)


def build(folder):
    """Build the library and its tests; the folder of the test programs."""
    programs = folder / "test/.libs"
    if not (programs / "regress").is_file():
        for stamp, names in enumerate(GENERATED):
            for name in names:
                os.utime(folder / name, (1_700_000_000 + 10 * stamp,) * 2)
        sources = 1_600_000_000
        for name in ("configure.ac", "Makefile.am"):
            os.utime(folder / name, (sources, sources))
        _in_folder(folder, ["./configure", "--disable-dependency-tracking", "--disable-samples", "--quiet"], "configure")
        _in_folder(folder, ["make", "--silent"], "make")
    return programs


def _in_folder(folder, argv, what):
    """Run a command in a folder. A failure shows the end of what it printed."""
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise Failure(f"{what} failed with status {done.returncode} in {folder}:\n{(done.stdout + done.stderr)[-2000:]}")
