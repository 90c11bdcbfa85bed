"""compare_threads: the effect of more workers on peak rate, rate within an objective, latency, CPU per request."""

import shlex
import sys

import cli
import machine
import other_servers
import results
import sweeps
import syscalls
import threads_report
from child import run_main
from loader import Load
from measure import rotated
from programs import Programs
from server import evshard
from stats import table

SCRIPT = "scripts/compare_threads.sh"
SHARES = (0.2, 0.4, 0.6, 0.8, 0.9)  # of the peak, for the curves
PROBE = "1s"  # of the closed loop that finds those rates
SEARCH_MINUTES = 10


def parse_arguments():
    """The command line of compare_threads.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Measures evshard with several worker counts by `loadgen sweep` and `loadgen search`. Each run has a fresh\n"
        "server. Reports the peak rate of a closed loop, latency against throughput, CPU per request, the balance of\n"
        "the workers, and the largest rate that meets an objective.",
        f"{SCRIPT} --workers 1,2,4 --rounds 5 --slo 'p99<2ms'",
    )
    parser.add_argument("--workers", type=cli.counts, default=[1, 2, 4], metavar="LIST",
                        help="worker counts (default 1,2,4)")
    parser.add_argument("--connections", type=cli.count, default=64, metavar="N", help="connections (default 64)")
    parser.add_argument("--size", type=cli.count, default=64, metavar="BYTES", help="message size (default 64)")
    parser.add_argument("--slo", default="p99<5ms", metavar="EXPR",
                        help="the objective that a rate must meet in a search (default 'p99<5ms')")
    parser.add_argument("--searches", type=cli.count, default=3, metavar="N",
                        help="searches with each worker count (default 3)")
    cli.add_comparison_flags(parser, rounds=5, threads=machine.default_loader_threads())
    args = cli.parse(parser)
    if args.quick:
        args.workers, args.searches = args.workers[:2], 1
    return args


def server_command(programs, workers, cores):
    """The command by which loadgen starts the server. loadgen replaces {addr}, and in a sweep also {workers}."""
    command = evshard(programs.evshard, workers, listen="{addr}").command
    return " ".join(("taskset", "-c", ",".join(map(str, cores)), *command))


def rates_of(args, programs, load, cores, folder):
    """The rates of the curves: shares of the peak rate of the first worker count, the same for all counts."""
    print("peak rate ...", file=sys.stderr)
    address, out = f"127.0.0.1:{other_servers.free_port()}", folder.raw / "probe"
    command = server_command(programs, "{workers}", cores)
    flags = [*load.flags, "--duration", PROBE]
    argv = sweeps.sweep_argv(load.program, address, command, flags, {"workers": args.workers[:1]}, 1, out)
    (cell,) = sweeps.run_sweep(argv, out, load, 1)
    peak = cell.spread("achieved_per_s").median
    shares = SHARES[::2] if args.quick else SHARES
    return [round(peak * share, -2) for share in shares]


def sweep(args, programs, load, cores, rates, folder):
    """Measure the closed loop and every rate with every worker count. Returns the cells, and the command."""
    print(f"{args.rounds} round(s) of {len(args.workers)} worker counts × {len(rates) + 1} rates ...", file=sys.stderr)
    address, out = f"127.0.0.1:{other_servers.free_port()}", folder.raw / "sweep"
    variables = {"workers": args.workers, "rate": [sweeps.CLOSED, *(f"{rate:.0f}" for rate in rates)]}
    command = server_command(programs, "{workers}", cores)
    argv = sweeps.sweep_argv(load.program, address, command, load.flags, variables, args.rounds, out)
    count = args.rounds * len(args.workers) * (len(rates) + 1)
    return sweeps.run_sweep(argv, out, load, count), argv


def search(args, programs, load, cores, folder):
    """Search with every worker count, in turns. Returns the answers by worker count, and the last command."""
    answers = {count: [] for count in args.workers}
    limits = ["--max-time", f"{SEARCH_MINUTES}m"]
    if args.quick:
        limits = ["--max-time", "5s", "--tolerance", "50%", "--confirm", "1"]
    for round_index in range(args.searches):
        for count in rotated(args.workers, round_index):
            print(f"search {round_index + 1}/{args.searches}, workers {count} ...", end="", file=sys.stderr, flush=True)
            address, out = f"127.0.0.1:{other_servers.free_port()}", folder.raw / f"search-{round_index + 1:02}-{count}"
            command = server_command(programs, count, cores)
            argv = sweeps.search_argv(load.program, address, command, load.flags, args.slo, limits, out)
            answers[count].append(sweeps.run_search(argv, out, (SEARCH_MINUTES + 2) * 60))
            print(f" {answers[count][-1].words} req/s", file=sys.stderr)
    return answers, argv


def syscall_section(traces):
    """System calls per echo by worker count, which do not depend on other load of the machine."""
    heading = "## System calls per echo\n\n"
    if isinstance(traces, str):
        return heading + traces
    rows = [[name, f"{trace.echoes:,}", f"{trace.calls_per_echo:.3f}", trace.listing(), trace.coordination()]
            for name, trace in traces.items()]
    return (f"{heading}At 50 busy connections, one trace of each.\n\n"
            f"{table(['server', 'echoes seen', 'calls/echo', 'by name, per echo', 'between threads'], rows)}")


def pictures_of(measured, folder):
    """The plot of this script, and those that loadgen has drawn of the sweep."""
    found = [results.Picture("threads", "peak, rate within the objective and CPU per request by worker count",
                             threads_report.picture(measured))]
    for path in sorted((folder.raw / "sweep").glob("plot-*.svg")):
        name = path.stem.removeprefix("plot-")
        found.append(results.Picture(name, f"the sweep: {name.replace('-', ' ')}", path.read_text()))
    return found


def main():
    """Parse, build, measure, write."""
    args = parse_arguments()
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    cores, loader_cores = machine.divided(args.threads)
    load = Load(programs.loadgen, args.connections, args.size, None, args.duration, args.warmup, args.threads,
                pin=",".join(map(str, loader_cores)))
    with results.ResultFolder("threads", args.out, args.quick, programs.loadgen) as folder:
        rates = rates_of(args, programs, load, cores, folder)
        cells, sweep_argv = sweep(args, programs, load, cores, rates, folder)
        peak, curves = threads_report.split(cells, args.workers)
        answers, search_argv = search(args, programs, load, cores, folder)
        measured = threads_report.Measured(args.workers, peak, curves, answers, args.slo, cores, loader_cores)
        subjects = [evshard(programs.evshard, count, name=f"workers-{count}") for count in args.workers]
        traces = syscalls.measure_all(subjects, load, args.quick, folder.save)
        command = (f"{SCRIPT} --workers {','.join(map(str, args.workers))} --rounds {args.rounds} "
                   f"--connections {args.connections} --size {args.size} --slo '{args.slo}' "
                   f"--searches {args.searches} --duration {args.duration} --warmup {args.warmup} "
                   f"--threads {args.threads}")
        commands = [command, "", "# which runs, with a temporary FOLDER,"]
        commands += [shlex.join(argv).replace(str(folder.raw), "FOLDER") for argv in (sweep_argv, search_argv)]
        folder.publish(results.Findings(
            threads_report.TITLE, threads_report.QUESTION, threads_report.answer(measured),
            f"{threads_report.body(measured)}\n\n{syscall_section(traces)}", pictures_of(measured, folder),
            [results.PORT.sub(r"\g<1>PORT", command) for command in commands],
            threads_report.notes(measured),
        ), facts, {"evshard": programs.evshard, "loadgen": programs.loadgen})


if __name__ == "__main__":
    run_main(main)
