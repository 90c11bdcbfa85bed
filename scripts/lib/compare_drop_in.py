"""compare_drop_in: what programs of libevent cost on evshard's event core, beside libevent's."""

import resource
import shutil
import sys
from pathlib import Path

import child
import cli
import drop_in_cases as cases
import drop_in_memcached as memcached
import drop_in_operations
import drop_in_report as report
import drop_in_syscalls
import libevent
import libevent_source
import machine
import measure
import results
from child import Failure, run_main
from drop_in_cases import OURS, STOCK
from programs import LIBEVENT, Programs, compile_c, require, require_cores

SCRIPT = "scripts/compare_drop_in.sh"
PARTS = ("bench", "cascade", "memcached", "syscalls", "instructions")
PROGRAMS = {"bench": "bench", "cascade": "bench_cascade"}
RUN_TIMEOUT_S = 120
# About: of the benchmarks in a round, of memcached besides its measured time, and of the counts.
BENCHMARKS_S, MEMCACHED_S, COUNTS_S = 11.0, 1.5, 60.0
UPSTREAM_FLAGS = ("-O2",)  # upstream's code is not without warnings


def parse_arguments():
    """The command line of compare_drop_in.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Runs programs with libevent's event core and with evshard's, in turns on one core: upstream's bench and\n"
        "bench_cascade from Debian's source package, and memcached with four threads under a load by a schedule. Compares\n"
        "CPU time. Then strace counts system calls, and callgrind the instructions of operations. Takes about ten minutes.",
        f"{SCRIPT} --only bench,memcached --rounds 11",
    )
    parser.add_argument("--only", type=cli.choices(*PARTS), default=list(PARTS), metavar="LIST",
                        help=f"parts, of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--rate", type=cli.count, default=40_000, metavar="N",
                        help="requests per second to memcached (default 40000)")
    parser.add_argument("--seconds", type=cli.count, default=3, metavar="S",
                        help="seconds of each run of memcached (default 3)")
    parser.add_argument("--work-dir", type=cli.folder, default=libevent_source.FOLDER, metavar="DIR",
                        help="where libevent's source is unpacked (default target/libevent-suite)")
    cli.add_core_flags(parser)
    cli.add_rounds_flag(parser, rounds=25)
    cli.add_result_flags(parser)
    args = cli.parse(parser)
    if args.quick:
        args.rate, args.seconds = 5_000, 1
    return args


def put_library(args, programs):
    """Build our library, or take it from --bin-dir, and put it where programs find it by libevent's names. Its path."""
    built = Path(programs.existing(libevent.LIBRARY)) if args.bin_dir else libevent.build()
    folder = Path(programs.peers) / "drop_in"
    libevent.link(built, folder)
    return folder / libevent.LIBRARY


def compile_programs(args, programs):
    """The programs by name that the chosen parts need."""
    folder = Path(programs.peers)
    found = {}
    if {"bench", "cascade", "syscalls"} & set(args.only):
        require("dpkg-source")
        args.work_dir.mkdir(parents=True, exist_ok=True)
        source = libevent_source.fetch(args.work_dir) / "test"
        for name in PROGRAMS.values():
            found[name] = compile_c(source / f"{name}.c", folder / f"libevent-{name}", LIBEVENT, UPSTREAM_FLAGS)
    if "instructions" in args.only:
        found["operations"] = compile_c(drop_in_operations.SOURCE, folder / "operations", LIBEVENT)
    if {"memcached", "syscalls"} & set(args.only):
        require("memcached")
        found["memcached"] = shutil.which("memcached")
    return found


def require_descriptors(chosen):
    """Fail if a benchmark may not open as many descriptors as it needs."""
    need = max((case.descriptors for case in chosen), default=0)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < need:
        raise Failure(f"bench needs {need} open files, and this process may have {most}: raise the hard limit (ulimit -n)")


def chosen_benchmarks(args):
    """The benchmarks of the chosen parts."""
    programs = {PROGRAMS[part] for part in args.only if part in PROGRAMS}
    return [case for case in cases.benchmarks(args.quick) if case.program in programs]


def run_benchmark(core, case, program, on_core):
    """One run of one of upstream's benchmarks: a JSON-ready record."""
    argv = core.argv("taskset", "-c", str(on_core), program, *case.flags)
    output, usage = child.run_timed(argv, case.name, RUN_TIMEOUT_S)
    own_s = sum(cases.parse_times(output, case.name))
    return {"core": core.name, "command": argv, "events": case.events, "cpu_us_each": usage.cpu_s * 1e6 / case.events,
            "user_share": usage.user_s / usage.cpu_s, "own_us_each": own_s * 1e6 / case.events, "output": output}


def measure_rounds(args, programs, library, shape, folder):
    """All that takes time, in rounds. Records of the benchmarks, and of memcached, by core."""
    benchmarks = {case: {STOCK: [], OURS: []} for case in chosen_benchmarks(args)}
    of_memcached = {STOCK: [], OURS: []} if "memcached" in args.only else {}
    for index in range(args.rounds):
        print(f"\r\033[Kround {index + 1}/{args.rounds} ...", end="", file=sys.stderr, flush=True)
        for case, by_core in benchmarks.items():
            for core in measure.rotated(cases.in_front(library), index):
                by_core[core.name].append(run_benchmark(core, case, programs[case.program], args.server_core))
            folder.save(case.name.replace(" ", "-").replace("/", "-"), by_core)
        if of_memcached:
            for core in measure.rotated(cases.replaced(library), index):
                of_memcached[core.name].append(memcached.run(core, shape))
            memcached.check_same_load([runs[-1] for runs in of_memcached.values()])
            folder.save("memcached", of_memcached)
    print(file=sys.stderr)
    return benchmarks, of_memcached


def count_syscalls(args, programs, library, shape, folder):
    """The system calls of upstream's benchmarks and of memcached, or the reason why they are not counted."""
    counted = drop_in_syscalls.count_all(programs, cases.in_front(library), args.quick, folder.save)
    if isinstance(counted, str):
        return counted
    for core in cases.replaced(library):
        print(f"system calls of {core.name}: memcached ...", file=sys.stderr)
        counted[report.MEMCACHED, core.name] = calls = memcached.trace(core, shape, 1 if args.quick else 3)
        folder.save(f"syscalls-memcached-{core.name}", {"core": core.name, "calls_each": calls})
    return counted


def measure_all(args, programs, library, shape, folder):
    """Everything that was chosen."""
    benchmarks, of_memcached = measure_rounds(args, programs, library, shape, folder)
    syscalls = instructions = None
    if "syscalls" in args.only:
        syscalls = count_syscalls(args, programs, library, shape, folder)
    if "instructions" in args.only:
        names = list(cases.OPERATION_LIMITS if args.quick else drop_in_operations.OPERATIONS)
        instructions = drop_in_operations.count_all(programs["operations"], cases.replaced(library), names, folder.save)
    return report.Measured(benchmarks, of_memcached, syscalls, instructions)


def minutes(args):
    """About how long the chosen parts take."""
    of_round = {"bench": 0.75 * BENCHMARKS_S, "cascade": 0.25 * BENCHMARKS_S, "memcached": 2 * (args.seconds + MEMCACHED_S)}
    counts_s = COUNTS_S * len({"syscalls", "instructions"} & set(args.only)) / 2
    return (counts_s + args.rounds * sum(of_round.get(part, 0) for part in args.only)) / 60


def commands(args, measured):
    """The command of the whole script, and those that it ran."""
    found = [f"{SCRIPT} --only {','.join(args.only)} --rounds {args.rounds} --rate {args.rate} --seconds {args.seconds} "
             f"--server-core {args.server_core} --loader-core {args.loader_core}", "", "# which runs, in turns,"]
    for by_core in measured.benchmarks.values():
        found += [" ".join(by_core[name][0]["command"]) for name in (STOCK, OURS)]
    if measured.memcached:
        found += [measured.memcached[name][0]["server_command"] for name in (STOCK, OURS)]
        found.append(results.unported(measured.memcached[STOCK][0]["loader_command"]))
    return found


def main():
    """Parse, build, measure, count, write."""
    args = parse_arguments()
    require("taskset", "cc")
    require_cores(args)
    require_descriptors(chosen_benchmarks(args))
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    library = put_library(args, programs)
    paths = compile_programs(args, programs)
    stock = None
    for name, path in paths.items():
        pair = (cases.in_front if name in PROGRAMS.values() else cases.replaced)(library)
        libraries = [cases.loaded(core, path, library) for core in pair]
        stock = stock or libraries[0]
    shape = memcached.Shape(programs.loadgen, args.rate, args.seconds, args.server_core, args.loader_core)
    print(f"{args.rounds} round(s), about {minutes(args):.0f} min", file=sys.stderr)
    with results.ResultFolder("drop-in", args.out, args.quick, programs.loadgen) as folder:
        measured = measure_all(args, paths, library, shape, folder)
        folder.publish(results.Findings(
            report.TITLE, report.QUESTION, report.answer(measured), report.body(measured), report.pictures(measured),
            commands(args, measured), report.notes(args, measured),
        ), facts, {"loadgen": programs.loadgen, "evshard's library": library, "libevent's library": stock, **paths})


if __name__ == "__main__":
    run_main(main)
