"""libevent_suite: libevent's own tests, with its event core and with evshard's in front of it."""

import cli
import libevent
import libevent_source
import libevent_tests
from child import Failure, run_main
from libevent_tests import Core
from programs import require

SCRIPT = "scripts/libevent_suite.sh"
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
    parser.add_argument("--quick", action="store_true",
                        help="epoll only, only the groups of the core and of buffers, and no tests of rate limits")
    parser.add_argument("--backends", type=cli.choices(*BACKENDS), default=list(BACKENDS), metavar="LIST",
                        help=f"of {', '.join(BACKENDS)} (default all)")
    parser.add_argument("--work-dir", type=cli.folder, default=libevent_source.FOLDER, metavar="DIR",
                        help="where the source is unpacked and built (default target/libevent-suite)")
    return parser.parse_args()


def compare(what, run, stock, ours, tests):
    """Run tests with both cores. The names of those that fail with ours only, and not by design."""
    with_stock, with_ours = run(stock, tests), run(ours, tests)
    suspects = only_ours(with_stock.failed, with_ours.failed)
    # Some tests fail at times with either, because they compare times.
    for _ in range(ATTEMPTS):
        if suspects:
            again = run(ours, sorted(suspects)).failed
            suspects = {name: again[name] for name in suspects if name in again}
    print(f"{what}: {with_ours.ran} ran; failed with libevent's core {len(with_stock.failed)}, with evshard's "
          f"{len(with_ours.failed)}, of them by design {len(set(with_ours.failed) & set(EXPECTED))}, with evshard's only "
          f"{len(suspects)}", flush=True)
    for name, printed in sorted(suspects.items()):
        print(f"  {name} {printed}".rstrip())
    return set(suspects)


def only_ours(stock, ours):
    """Of the tests that failed with ours: those that did not fail with libevent's core, and are not expected to fail."""
    return {name: printed for name, printed in ours.items() if name not in stock and name not in EXPECTED}


def main():
    """Fetch, build, run on each backend."""
    arguments = parse_arguments()
    require("cc", "make", "dpkg-source")
    arguments.work_dir.mkdir(parents=True, exist_ok=True)
    folder = libevent_source.fetch(arguments.work_dir)
    if arguments.fetch:
        return
    library = libevent.build()
    libevent_source.build(folder)
    quick = arguments.quick
    failed = set()
    for backend in ["epoll"] if quick else arguments.backends:
        stock, ours = (Core(folder, BACKENDS[backend], front) for front in (None, library))
        failed |= compare(f"{backend}, regress", libevent_tests.regress, stock, ours, QUICK if quick else ())
        failed |= compare(f"{backend}, test programs", libevent_tests.programs, stock, ours,
                          libevent_tests.SHORT_PROGRAMS if quick else libevent_tests.PROGRAMS)
    for name, why in EXPECTED.items():
        print(f"expected to fail: {name}: {why}")
    if failed:
        raise Failure("tests of libevent fail with evshard's event core only")


if __name__ == "__main__":
    run_main(main)
