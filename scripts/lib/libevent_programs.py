"""libevent_programs: unchanged programs of Debian, with libevent's event core and with evshard's."""

import ctypes
import difflib
import os
import shutil
import time

import child
import cli
import libevent
import scenario_gearmand
import scenario_inetd
import scenario_memcached
import scenario_nsd
import scenario_lldpd
import scenario_openmpi
import scenario_pgbouncer
import scenario_poolcounterd
import scenario_tmux
import scenario_tor
import scenario_transmission
import scenario_turnserver
import scenario_unbound
import scenario_webdis
from child import Failure, run_main
from scenario import SYSTEM_PROGRAMS, Core, Run

SCRIPT = "scripts/libevent_programs.sh"
SCENARIOS = {one.SCENARIO.name: one.SCENARIO for one in (
    scenario_memcached, scenario_unbound, scenario_nsd, scenario_webdis, scenario_pgbouncer, scenario_gearmand,
    scenario_inetd, scenario_poolcounterd, scenario_openmpi, scenario_tmux, scenario_tor, scenario_turnserver,
    scenario_lldpd, scenario_transmission,
)}
PR_SET_CHILD_SUBREAPER = 36
NAME_WIDTH = max(map(len, SCENARIOS))


def parse_arguments():
    """The command line of libevent_programs.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Runs unchanged programs of Debian, each with the distribution's libevent and with evshard's event core, and\n"
        "compares what they answer, line by line. Prints one line for each program, and fails if one differs.\n"
        "A program that is not installed is skipped. The servers listen on the loopback, on free ports.",
        f"{SCRIPT} --only memcached,tmux",
        builds=False,
    )
    parser.add_argument("--list", action="store_true", help="only list the programs, and the Debian packages of each")
    parser.add_argument("--only", type=cli.choices(*SCENARIOS), default=list(SCENARIOS), metavar="LIST",
                        help=f"programs, of {', '.join(SCENARIOS)} (default: all)")
    parser.add_argument("--seconds", type=cli.count, default=5, metavar="N",
                        help="time of the parts that load a server for a time (default 5)")
    parser.add_argument("--library", type=cli.folder, metavar="FILE", help="use this library instead of building it")
    parser.add_argument("--lines", action="store_true", help="also print the lines that were compared")
    return parser.parse_args()


def missing(scenario):
    """Why a scenario cannot run here; None if it can."""
    path = f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PROGRAMS}"
    packages = {package for program, package in scenario.packages.items() if shutil.which(program, path=path) is None}
    if packages:
        return f"not installed: apt-get install {' '.join(sorted(packages))}"
    if scenario.needs_root and os.geteuid() != 0:
        return "needs root"
    return None


def lines_of(scenario, core, seconds):
    """The lines of a scenario with one event core. A failure is the last of them."""
    lines = []
    with Run(core, scenario.front, seconds) as run:
        try:
            for line in scenario.run(run):
                lines += str(line).replace(str(run.folder), "FOLDER").splitlines()
        except (Failure, OSError) as failure:
            return lines, str(failure)
    return lines, None


def compare(scenario, cores, arguments):
    """Run a scenario with both cores and print the result. Returns whether it passed."""
    started = time.monotonic()
    (expected, stock_failure), (found, our_failure) = (lines_of(scenario, core, arguments.seconds) for core in cores)
    taken_s = time.monotonic() - started
    label = f"{scenario.name:{NAME_WIDTH}}"
    if arguments.lines:
        print("".join(f"  {line}\n" for line in found), end="")
    if stock_failure is not None:
        print(f"{label}  fails with libevent: {stock_failure.strip()}", flush=True)
        return False
    if our_failure is not None or expected != found:
        print(f"{label}  differs")
        print(difference(expected, found), end="")
        print("" if our_failure is None else f"  fails with evshard: {our_failure.strip()}\n", end="", flush=True)
        return False
    print(f"{label}  same ({len(found)} lines, {taken_s:.0f} s for both)", flush=True)
    return True


def difference(expected, found):
    """What differs between the lines of the two cores, as diff(1) shows it."""
    lines = difflib.unified_diff(expected, found, "libevent", "evshard", n=2, lineterm="")
    return "".join(f"  {line}\n" for line in lines)


def main():
    """Run all scenarios that can run here."""
    arguments = parse_arguments()
    if arguments.list:
        for scenario in SCENARIOS.values():
            layers = "with libevent's upper layers" if scenario.front else "event core only"
            print(f"{scenario.name:{NAME_WIDTH}}  {layers}; {', '.join(sorted(set(scenario.packages.values())))}")
        return
    # The processes that daemons leave behind become children of this one, which ends them.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    library = arguments.library or libevent.build()
    folder = library.parent / "libevent"
    libevent.link(library, folder)
    cores = (Core("libevent"), Core("evshard", folder))
    failed = []
    for name in arguments.only:
        if reason := missing(SCENARIOS[name]):
            print(f"{name:{NAME_WIDTH}}  skipped: {reason}", flush=True)
        elif not compare(SCENARIOS[name], cores, arguments):
            failed.append(name)
    if failed:
        raise Failure(f"these programs failed, or behave otherwise with evshard's event core: {', '.join(failed)}")


if __name__ == "__main__":
    run_main(main)
