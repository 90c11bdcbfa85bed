"""faults: causes faults around the server and checks what must hold."""

import sys

import cli
import connect_flood
import connections
import fault_descriptors
import fault_kill
import fault_log
import fault_memory
import fault_queue
import fault_resets
import fault_shutdown
import fault_signals
import fault_slow_readers
import fault_upgrade
import fault_upgrade_chain
import machine
import plot
import results
from child import Failure, run_main
from fault import FaultContext, Outcome
from programs import Programs, require
from stats import spread, table

SCRIPT = "scripts/faults.sh"
TITLE = "Faults around the server"
QUESTION = ("How does the server handle exhaustion, stopped workers, resets, slow readers, a stalled log, signals, "
            "kill -9 and upgrades?")
FAULTS = {fault.NAME: fault for fault in (
    fault_descriptors, fault_queue, fault_resets, fault_slow_readers, fault_memory, fault_log, fault_signals, fault_kill,
    fault_upgrade, fault_upgrade_chain, fault_shutdown,
)}


def parse_arguments():
    """The command line of faults.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Causes faults around evshard, one after the other, each with a fresh server, and checks what must hold.\n"
        "Exit status 1 if a check fails.",
        f"{SCRIPT} --faults descriptors,upgrade",
    )
    parser.add_argument("--faults", type=cli.choices(*FAULTS), default=list(FAULTS), metavar="LIST",
                        help=f"faults, of {', '.join(FAULTS)} (default: all)")
    parser.add_argument("--chain-minutes", type=cli.count, default=1, metavar="N",
                        help="time of upgrade-chain over all accept modes (default 1)")
    cli.add_result_flags(parser)
    return cli.parse(parser)


def inject(names, context, folder):
    """The outcome of each fault by name. A fault that stops with an error has failed. The others still run."""
    outcomes = {}
    for name in names:
        print(f"{FAULTS[name].WHAT} ...", file=sys.stderr, flush=True)
        outcome = Outcome(context.quick)
        try:
            FAULTS[name].run(context, outcome)
        except Failure as failure:
            print(f"{FAULTS[name].WHAT}: {failure}", file=sys.stderr)
            outcome.expect("the fault can be run to its end", str(failure).splitlines()[-1].strip(), False)
        folder.save(name, {"fault": FAULTS[name].WHAT, "passed": outcome.passed, "waited_ms": outcome.waited_ms,
                           "checks": [vars(check) for check in outcome.checks]})
        outcomes[name] = outcome
    return outcomes


def verdict_table(outcomes):
    """A row for every check."""
    rows = [[FAULTS[name].WHAT, check.claim, check.found.replace("|", "\\|"), "PASS" if check.passed else "FAIL"]
            for name, outcome in outcomes.items() for check in outcome.checks]
    return table(["fault", "what must hold", "found", "verdict"], rows, words=3)


def answer(outcomes):
    """The verdicts as one sentence."""
    checks = [check for outcome in outcomes.values() for check in outcome.checks]
    failed = [FAULTS[name].WHAT for name, outcome in outcomes.items() if not outcome.passed]
    passed = sum(check.passed for check in checks)
    return f"{passed} of {len(checks)} checks passed" + (f"; failed: {', '.join(failed)}." if failed else ".")


def picture(outcomes):
    """A plot of the longest wait of unaffected clients."""
    points = [(name.replace("-", "\n"), spread([outcome.waited_ms])) for name, outcome in outcomes.items()
              if outcome.waited_ms is not None]
    panel = plot.Panel("Longest wait of unaffected clients", "ms", "fault", points or [("none", spread([0.0]))])
    return plot.Drawing(TITLE, "one run; for the upgrade: the longest time in which no client was served", [panel])


def notes():
    """What a reader must know before a conclusion."""
    return [
        "Each fault is a file scripts/lib/fault_*.py, whose first lines say what must hold.",
        "Client and server share one machine and its loopback, so no network loses or delays anything.",
        "A passed check held in this run. The upgrade and SIGTERM come at a random moment of a connection. The number "
        "of connections shows how many such moments were tried.",
        "A worker is stopped by ptrace(2), as SIGSTOP stops a process.",
        "Client and server share few cores. The times include waiting for one.",
    ]


def write_results(args, programs, context, outcomes, facts, folder):
    """Publish what was found."""
    folder.publish(results.Findings(
        TITLE, QUESTION, answer(outcomes), verdict_table(outcomes),
        [results.Picture("faults", "longest wait of unaffected clients", picture(outcomes))],
        [f"{SCRIPT} --faults {','.join(args.faults)} --chain-minutes {args.chain_minutes}"], notes(),
    ), facts, {"evshard": programs.evshard, connect_flood.PROGRAM: context.connect_flood})


def main():
    """Parse, build, cause the faults, write. A failed check fails the script."""
    args = parse_arguments()
    require("prlimit", "cc")
    connections.raise_descriptor_limit()
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    context = FaultContext(programs.evshard, programs.compile_peer(connect_flood.PROGRAM), args.quick,
                           args.chain_minutes)
    with results.ResultFolder("faults", args.out, args.quick, programs.loadgen) as folder:
        outcomes = inject(args.faults, context, folder)
        write_results(args, programs, context, outcomes, facts, folder)
    if not all(outcome.passed for outcome in outcomes.values()):
        raise Failure(answer(outcomes))


if __name__ == "__main__":
    run_main(main)
