"""stall: stops a server for a second at a constant rate, and compares the loader's percentiles with theory."""

import os
import shutil
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass

import cli
import hlog
import loader
import machine
import measure
import results
from child import Failure, run_main
from fault import SMOKE_SLACK, Outcome
from loader import Load
from other_servers import OtherServer, nginx
from programs import Programs
from server import Server, evshard
from stats import table

SCRIPT = "scripts/stall.sh"
TITLE = "A server that stops for a second"
QUESTION = "Does the loader report the percentiles that a stall of known length must have?"
RATE = 2000
CONNECTIONS = 64
STALL_S = 1.0
RUN_S = 10
STALL_AT = 0.4  # of the measured time
TOLERANCE = 0.05
LONG_NS = 100_000_000  # only a request that was due in the stall takes so long
# Server and loader have a core each, so that the loader can send when a request is due, and its verdict can be VALID.
SERVER_CORE, LOADER_CORE = (0, 1) if machine.cores() > 1 else (None, None)
PLOTS = ("plot-percentiles.svg", "plot-time.svg")


@dataclass(frozen=True)
class Case:
    """A server, how it is stopped, and how many requests a connection may have outstanding."""

    name: str
    what: str
    pipeline: int | None
    protocol: str | None = None


CASES = (
    Case("echo", "echo, outstanding by schedule", None),
    Case("echo-one", "echo, one outstanding per connection", 1),
    Case("http-one", "HTTP (nginx), one outstanding per connection", 1, "http"),
)


def parse_arguments():
    """The command line of stall.sh."""
    parser = cli.Parser(
        SCRIPT,
        f"Stops evshard by SIGSTOP for {STALL_S:.0f} s, in a run of {RUN_S} s at a constant {RATE:,} requests/s. Then does\n"
        "the same with nginx's worker. Compares the response percentiles with those that theory gives for such a stall.\n"
        "The exit status is 1 if they differ by more than 5 %.",
        f"{SCRIPT} --cases echo-one",
    )
    names = [case.name for case in CASES]
    parser.add_argument("--cases", type=cli.choices(*names), default=names, metavar="LIST",
                        help=f"cases, of {', '.join(names)} (default: all)")
    cli.add_result_flags(parser)
    return cli.parse(parser)


def expected_s(quantile, stall_s, run_s):
    """The response time at a quantile. Of all requests, the share stall_s/run_s waits, evenly between 0 and stall_s."""
    share = stall_s / run_s
    return max(0.0, stall_s * (quantile - (1 - share)) / share)


@contextmanager
def serving(case, programs):
    """Run the server of a case. Yields its address, and a function that returns the process to stop."""
    if case.protocol == "http":
        with OtherServer(nginx, SERVER_CORE, has_master=True) as server:
            yield server.address, lambda: server.worker
    else:
        with Server(evshard(programs.evshard, 1, core=SERVER_CORE)) as server:
            yield server.address, lambda: server.pid


def hold(pid, seconds):
    """Stop a process for `seconds`. Returns how long it was stopped."""
    os.kill(pid, signal.SIGSTOP)
    try:
        stopped = time.monotonic()
        time.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)
    return time.monotonic() - stopped


def measure_case(case, programs, scale, out):
    """Run a case. Returns the loader's report, its histograms by tag, the length of the stall, and the command."""
    load = Load(programs.loadgen, connections=CONNECTIONS, pipeline=case.pipeline, protocol=case.protocol, rate=RATE,
                size=None if case.protocol else 64, arrival="constant", duration=f"{RUN_S * scale:.0f}s", interval="1s",
                core=LOADER_CORE, pacing="hybrid", out=str(out))
    with serving(case, programs) as (address, process), loader.start(load, address) as task:
        time.sleep(loader.seconds(load.warmup) + loader.seconds(load.duration) * STALL_AT + measure.SETTLE_S)
        stall_s = hold(process(), STALL_S * scale)
        report = loader.finish(task, load)
    logs = sorted(out.glob("*.hlog"))
    if len(logs) != 1:
        raise Failure(f"loadgen wrote {len(logs)} interval logs to its directory, and one was expected")
    return report, hlog.read(logs[0].read_text()), stall_s, results.unported(load.measured_argv(address))


def check(case, report, samples, stall_s, outcome):
    """Add the checks of one run. A smoke run may share the machine with other work, so its tolerance is larger."""
    tolerance = TOLERANCE * (SMOKE_SLACK if outcome.quick else 1)
    run_s = report.values["args"]["duration_s"]
    response, service = samples["response"], samples["service"]
    found = {0.95: response.quantile(0.95), 0.99: report.ns("response", "p99")}
    for quantile, found_ns in found.items():
        wanted_s = expected_s(quantile, stall_s, run_s)
        off = abs(found_ns / 1e9 - wanted_s) / wanted_s
        outcome.expect(f"{case.what}: response p{quantile * 100:.0f} is {wanted_s:.3f} s ± {tolerance:.0%}",
                       f"{found_ns / 1e9:.3f} s ({off:.1%} off)", off <= tolerance)
    logged, reported = response.quantile(0.99), report.ns("response", "p99")
    outcome.expect(f"{case.what}: the interval log and the report agree on p99",
                   f"{logged / 1e9:.4f} s, {reported / 1e9:.4f} s", abs(logged - reported) <= reported / 500)
    waited = round(RATE * (stall_s - LONG_NS / 1e9))
    slow = response.above(LONG_NS)
    outcome.expect(f"{case.what}: about {waited:,} responses above 100 ms", f"{slow:,}",
                   abs(slow - waited) <= tolerance * waited)
    if case.pipeline == 1:
        hidden = service.above(LONG_NS)
        outcome.expect(f"{case.what}: at most one service time above 100 ms per connection", f"{hidden:,}",
                       0 < hidden <= CONNECTIONS)


def verdict_table(outcome):
    """A row for every check."""
    rows = [[check.claim, check.found, "PASS" if check.passed else "FAIL"] for check in outcome.checks]
    return table(["what must hold", "found", "verdict"], rows, words=3)


def answer(outcome):
    """The verdicts as one sentence."""
    passed = sum(check.passed for check in outcome.checks)
    failed = [f"{check.claim} (found {check.found})" for check in outcome.checks if not check.passed]
    return f"{passed} of {len(outcome.checks)} checks passed" + (f"; failed: {'; '.join(failed)}." if failed else ".")


def notes(reports):
    """What a reader must know before a conclusion."""
    return [
        "A run has the length D, a constant rate, and a stall of length S. A share S/D of its requests is due during "
        "the stall, and their waits are spread evenly between 0 and S. The other requests take almost no time. So "
        "the response time at a quantile q above 1 − S/D is S · (q − (1 − S/D)) / (S/D). S is measured, from SIGSTOP "
        "to SIGCONT.",
        "After the stall the server needs time for the requests that waited. The formula does not include that time, so "
        "measured figures are larger.",
        "The service time is what a closed loop would have reported: it begins when a request is sent. With one "
        "request outstanding per connection, it shows the stall once per connection, however many requests could not be "
        "sent.",
        "p95 is computed from the .hlog file by lib/hlog.py, which shares no code with the loader. p99 is the loader's.",
        "Server and loader run on one machine and have a core each.",
        f"The loader's verdicts on its own runs: {loader.verdicts(reports)}.",
    ]


def measure_all(args, programs, cases, folder, outcome):
    """Run every case once. Returns the loader's reports, its plots, and the commands."""
    reports, pictures, commands = [], [], []
    scale = 0.3 if args.quick else 1
    for case in cases:
        print(f"{case.what} ...", file=sys.stderr, flush=True)
        out = folder.raw / case.name
        report, samples, stall_s, command = measure_case(case, programs, scale, out)
        check(case, report, samples, stall_s, outcome)
        reports.append(report)
        commands.append(command.replace(str(folder.raw), "FOLDER"))
        for name in PLOTS:
            svg = (out / name).read_text()
            pictures.append(results.Picture(f"{case.name}-{name.removeprefix('plot-').removesuffix('.svg')}",
                                            case.what, svg))
    return reports, pictures, commands


def main():
    """Parse, build, measure, compare, write. A failed check fails the script."""
    args = parse_arguments()
    cases = [case for case in CASES if case.name in args.cases]
    if shutil.which("nginx") is None and any(case.protocol for case in cases):
        print("case http-one is omitted: install the Debian package nginx-light", file=sys.stderr)
        cases = [case for case in cases if not case.protocol]
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    outcome = Outcome(args.quick)
    with results.ResultFolder("stall", args.out, args.quick, programs.loadgen) as folder:
        reports, pictures, commands = measure_all(args, programs, cases, folder, outcome)
        folder.save("checks", [vars(check) for check in outcome.checks])
        folder.publish(results.Findings(
            TITLE, QUESTION, answer(outcome), verdict_table(outcome), pictures,
            [f"{SCRIPT} --cases {','.join(case.name for case in cases)}", "", "# which runs", *commands],
            notes(reports),
        ), facts, {"evshard": programs.evshard, "loadgen": programs.loadgen})
    if not outcome.passed:
        raise Failure(answer(outcome))


if __name__ == "__main__":
    run_main(main)
