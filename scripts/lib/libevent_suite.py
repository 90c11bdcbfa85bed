"""libevent_suite: libevent's own tests, with its event core and with evshard's in front of it."""

import os
import re
import subprocess
from pathlib import Path

import child
import cli
import libevent
from child import Failure, run_main
from programs import ROOT, require

SCRIPT = "scripts/libevent_suite.sh"
APT = Path("/etc/apt")
# By the order of these files' times, make has to make none of them again.
GENERATED = (("aclocal.m4",), ("configure", "config.h.in"), ("Makefile.in",))
BACKENDS = {
    "epoll": {},
    "changelist": {"EVENT_EPOLL_USE_CHANGELIST": "1"},
    "poll": {"EVENT_NOEPOLL": "1"},
    "select": {"EVENT_NOEPOLL": "1", "EVENT_NOPOLL": "1"},
}
# Tests that cannot pass, each with its reason.
EXPECTED = {
    "signal/signal_switchbase": "two bases share a signal: libevent gives it to the last one, evshard to both",
    "signal/signal_pipeloss": "reads a field of libevent's own event_base",
}
QUICK = ("main/..", "signal/..", "et/..", "finalize/..", "thread/..", "evbuffer/..", "bufferevent/..", "listener/..")
RUN_TIMEOUT_S = 500
FAILED = re.compile(r"^\s*\[(\S+) FAILED\]", re.MULTILINE)
BEGIN = re.compile(r"^(\w+)/(\w+): ", re.MULTILINE)
ENDED = re.compile(r"^(?:\d+/)?(\d+) (?:TESTS FAILED|tests ok)", re.MULTILINE)
ATTEMPTS = 3


def parse_arguments():
    """The command line of libevent_suite.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Fetches Debian's source package of libevent by name, builds its tests, and runs them twice on each backend: with\n"
        "libevent's event core, and with evshard's in front of it. It fails if a test fails only with evshard's.\n"
        "It needs a network, and the Debian packages dpkg-dev, libssl-dev, make and zlib1g-dev.",
        SCRIPT,
        builds=False,
    )
    parser.add_argument("--fetch", action="store_true", help="only fetch and unpack the source")
    parser.add_argument("--quick", action="store_true", help="epoll only, and only the groups of the core and of buffers")
    parser.add_argument("--backends", type=cli.choices(*BACKENDS), default=list(BACKENDS), metavar="LIST",
                        help=f"of {', '.join(BACKENDS)} (default all)")
    parser.add_argument("--work-dir", type=cli.folder, default=ROOT / "target/libevent-suite", metavar="DIR",
                        help="where the source is unpacked and built (default target/libevent-suite)")
    return parser.parse_args()


def add_sources(folder):
    """Copy the machine's sources of packages into `folder`, so that they also have source packages."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (APT / "sources.list", *APT.glob("sources.list.d/*.list"), *APT.glob("sources.list.d/*.sources")):
        if path.is_file():
            text = re.sub(r"^deb ", "deb-src ", path.read_text(), flags=re.MULTILINE)
            (folder / path.name).write_text(re.sub(r"^Types: deb$", "Types: deb-src", text, flags=re.MULTILINE))


def fetch(folder):
    """Unpack Debian's source package of libevent below `folder`; its folder. Uses sources of apt of its own."""
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
    in_folder(folder, [*apt, "source", "--download-only", "libevent"], "apt-get source libevent")
    description = next(folder.glob("libevent_*.dsc"), None)
    if description is None:
        raise Failure("apt-get downloaded no source package of libevent")
    child.run(["dpkg-source", "--extract", str(description), str(unpacked)], "dpkg-source")
    return unpacked


def build(folder):
    """Build the library and its tests; the path of the test program."""
    program = folder / "test/.libs/regress"
    if not program.is_file():
        for stamp, names in enumerate(GENERATED):
            for name in names:
                os.utime(folder / name, (1_700_000_000 + 10 * stamp,) * 2)
        sources = 1_600_000_000
        for name in ("configure.ac", "Makefile.am"):
            os.utime(folder / name, (sources, sources))
        in_folder(folder, ["./configure", "--disable-dependency-tracking", "--disable-samples", "--quiet"], "configure")
        in_folder(folder, ["make", "--silent"], "make")
    return program


def in_folder(folder, argv, what):
    """Run a command in a folder. A failure shows the end of what it printed."""
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise Failure(f"{what} failed with status {done.returncode} in {folder}:\n{(done.stdout + done.stderr)[-2000:]}")


def run(folder, program, tests, environment, front):
    """The names of the tests that failed, and how many ran."""
    variables = dict(os.environ) | environment | {"LD_LIBRARY_PATH": str(folder / ".libs")}
    if front is not None:
        variables["LD_PRELOAD"] = str(front)
    try:
        done = subprocess.run([program, "--verbose", *tests], cwd=folder, env=variables, capture_output=True, text=True,
                              errors="replace", timeout=RUN_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failure(f"regress did not end within {RUN_TIMEOUT_S} s") from error
    ended = ENDED.search(done.stdout)
    if ended is None:
        raise Failure(f"regress did not come to its end:\n{(done.stdout + done.stderr)[-2000:]}")
    by_name = {test: f"{group}/{test}" for group, test in BEGIN.findall(done.stdout)}
    return {by_name[name] for name in FAILED.findall(done.stdout)}, int(ended[1])


def compare(folder, program, library, backend, tests):
    """Run the tests on one backend with both cores; the tests that fail with ours only, and not always by design."""
    stock, _ = run(folder, program, tests, BACKENDS[backend], None)
    ours, ran = run(folder, program, tests, BACKENDS[backend], library)
    suspects = ours - stock - set(EXPECTED)
    # Some tests fail at times with either, because they compare times.
    for _ in range(ATTEMPTS):
        if suspects:
            again, _ = run(folder, program, sorted(suspects), BACKENDS[backend], library)
            suspects &= again
    print(f"{backend}: {ran} tests ran; failed with libevent's core {len(stock)}, with evshard's {len(ours)}, "
          f"of them by design {len(ours & set(EXPECTED))}, with evshard's only {len(suspects)}", flush=True)
    for name in sorted(suspects):
        print(f"  {name}")
    return suspects


def main():
    """Fetch, build, run on each backend."""
    arguments = parse_arguments()
    require("cc", "make", "dpkg-source")
    arguments.work_dir.mkdir(parents=True, exist_ok=True)
    folder = fetch(arguments.work_dir)
    if arguments.fetch:
        return
    library = libevent.build()
    program = build(folder)
    backends, tests = (["epoll"], QUICK) if arguments.quick else (arguments.backends, ())
    failed = [compare(folder, program, library, backend, tests) for backend in backends]
    for name, why in EXPECTED.items():
        print(f"expected to fail: {name}: {why}")
    if any(failed):
        raise Failure("tests of libevent fail with evshard's event core only")


if __name__ == "__main__":
    run_main(main)
