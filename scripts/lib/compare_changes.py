"""compare_changes: epoll_ctl calls where write interest comes and goes within one turn."""

import tempfile
from pathlib import Path

import child
import cli
import machine
import plot
import results
import syscalls
from child import Failure, run_main
from programs import Programs, require
from stats import spread, table

SCRIPT = "scripts/compare_changes.sh"
EXAMPLE = "toggle_write"
TITLE = "Interest that comes and goes within one turn"
QUESTION = "How many epoll_ctl calls does a turn make in which a connection's write interest is set and cleared?"
POLICIES = ("immediate", "deferred")
TURNS = 10_000  # the example's own number
TIMEOUT_S = 60


def parse_arguments():
    """The command line of compare_changes.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Runs examples/toggle_write.rs under strace with each changelist policy and counts its epoll_ctl calls.\n"
        "One run of each is enough, because a count does not vary.",
        f"{SCRIPT} --quick",
    )
    cli.add_result_flags(parser)
    return cli.parse(parser)


def count_calls(program, policy):
    """The number of epoll_ctl calls of the example, with those of its start and end."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "strace"
        argv = ["strace", "-C", "-f", "-y", "-e", "trace=epoll_ctl", "-o", str(log), program, policy]
        with child.Task(argv, "strace") as strace:
            output = strace.finish(TIMEOUT_S)
        calls = syscalls.parse(log.read_text()).calls.get("epoll_ctl", {"calls": 0})["calls"]
    return {"policy": policy, "turns": TURNS, "epoll_ctl": calls, "epoll_ctl_per_turn": calls / TURNS,
            "program_says": output.strip()}


def main():
    """Build, count, write."""
    args = parse_arguments()
    require("strace")
    programs = Programs(args.bin_dir)
    program = programs.example(EXAMPLE)
    facts = machine.facts()
    with results.ResultFolder("changes", args.out, args.quick, programs.loadgen) as folder:
        records = []
        for policy in POLICIES:
            records.append(count_calls(program, policy))
            folder.save(policy, records[-1])
        per_turn = {record["policy"]: record["epoll_ctl"] / TURNS for record in records}
        if per_turn["immediate"] < 1:
            raise Failure(f"the example did not toggle: {records}")
        rows = table(["changelist", "turns", "epoll_ctl calls", "per turn"],
                     [[r["policy"], f"{TURNS:,}", f"{r['epoll_ctl']:,}", f"{r['epoll_ctl_per_turn']:.4f}"]
                      for r in records])
        answer = (f"{per_turn['immediate']:.2f} epoll_ctl calls with the immediate changelist and "
                  f"{per_turn['deferred']:.4f} with the deferred one, per turn. The calls that remain are those of the "
                  "program's start.")
        panel = plot.Panel("epoll_ctl calls", "calls per turn", "changelist",
                           [(policy, spread([value])) for policy, value in per_turn.items()])
        commands = [SCRIPT, "", "# which runs", *(f"strace -C -f -y -e trace=epoll_ctl {program} {p}" for p in POLICIES)]
        folder.publish(results.Findings(
            TITLE, QUESTION, answer, rows,
            [results.Picture("changes", "calls per turn", plot.Drawing(TITLE, f"{TURNS:,} turns, one run each", [panel]))],
            commands, [
                "System calls are counted. The count is the same in every run and on every machine.",
                "The result shows what a turn saves if it sets and clears an interest. It does not show how often "
                "protocols do so.",
            ],
        ), facts, {EXAMPLE: program})


if __name__ == "__main__":
    run_main(main)
