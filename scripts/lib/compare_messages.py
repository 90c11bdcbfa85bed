"""compare_messages: what a message from one shard to another costs, beside a list under a mutex and an eventfd."""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import child
import cli
import machine
import measure
import plot
import results
import syscalls
from child import Failure, run_main
from programs import Programs, require
from stats import cell, interval_cell, paired_ratios, spread, table

SCRIPT = "scripts/compare_messages.sh"
OURS, PEER = "message_hops", "locked_hops"
TITLE = "A message from one shard to another"
QUESTION = "What does a message from one shard to another cost, at rest and under load, beside memcached's way?"
TOKENS = (1, 16, 256, 4096)
OVERHEAD_S = 20.0


def parse_arguments():
    """The command line of compare_messages.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Lets messages travel between two shards (benches/message_hops.rs), in turns with two threads that hand them over\n"
        "as memcached's threads do, by a list under a mutex and a write to an eventfd for each\n"
        "(benches/peers/locked_hops.c). One message on its way measures a hop at rest, many measure it under load.\n"
        "Compares time, CPU time and sleeps for each hop. strace counts system calls and wakes.",
        f"{SCRIPT} --rounds 9 --tokens 1,1000",
    )
    parser.add_argument("--tokens", type=cli.counts, default=list(TOKENS), metavar="LIST",
                        help=f"numbers of messages on their way at once, up to 4096 (default {','.join(map(str, TOKENS))})")
    parser.add_argument("--seconds", type=cli.count, default=2, metavar="S", help="seconds of each run (default 2)")
    cli.add_rounds_flag(parser, rounds=9)
    cli.add_result_flags(parser)
    args = cli.parse(parser)
    if max(args.tokens) > 4096:
        parser.error("--tokens takes numbers up to 4096")
    if args.quick:
        args.tokens, args.seconds = [1, 256], 1
    return args


def argv(program, tokens, seconds):
    """The command line of either program."""
    return [program, "--tokens", str(tokens), "--seconds", str(seconds)]


def parse(text):
    """The hops of a run and its time. A run without hops is a Failure."""
    try:
        values = json.loads(text)
        hops, elapsed_ns = values["hops"], values["elapsed_ns"]
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"the report of the hops is not usable ({error!r}): {text[:200]!r}") from error
    if not hops:
        raise Failure("no message made a hop")
    return hops, elapsed_ns


def measure_one(program, tokens, seconds):
    """One run: a JSON-ready record."""
    command = argv(program, tokens, seconds)
    output, usage = child.run_timed(command, Path(program).name, seconds + OVERHEAD_S)
    hops, elapsed_ns = parse(output)
    return {"command": command, "tokens": tokens, "hops": hops, "elapsed_ns": elapsed_ns,
            "cpu_s": usage.cpu_s, "sleeps": usage.sleeps, "ns_per_hop": elapsed_ns / hops,
            "cpu_ns_per_hop": usage.cpu_s * 1e9 / hops, "sleeps_per_hop": usage.sleeps / hops}


def measure_all(args, programs, folder):
    """Records by number of tokens and name of the program, in round order."""
    found = {tokens: {name: [] for name, _ in programs} for tokens in args.tokens}
    for round_index in range(args.rounds):
        for tokens, of_case in found.items():
            for name, program in measure.rotated(programs, round_index):
                print(f"round {round_index + 1}/{args.rounds}, {tokens} on their way, {name} ...", end="", file=sys.stderr,
                      flush=True)
                record = measure_one(program, tokens, args.seconds)
                folder.save(f"{tokens}-round-{round_index + 1:02}-{name}", record)
                of_case[name].append(record)
                print(f" {record['ns_per_hop']:,.0f} ns, {record['cpu_ns_per_hop']:,.0f} ns of CPU", file=sys.stderr)
    return found


def count_calls(args, programs, folder):
    """System calls and wakes of each hop by tokens and name, or the reason why they are not counted."""
    if shutil.which("strace") is None:
        return "Not counted: strace is not installed (Debian package strace)."
    found = {}
    for tokens in args.tokens:
        for name, program in programs:
            print(f"system calls, {tokens} on their way, {name} ...", file=sys.stderr)
            with tempfile.TemporaryDirectory() as scratch:
                log = Path(scratch) / "trace"
                traced = ["strace", "-C", "-f", "-y", "-s", "0", "-o", str(log), *argv(program, tokens, 1)]
                try:
                    hops, _ = parse(child.run(traced, "strace", 10 * OVERHEAD_S))
                except Failure as failure:
                    if "ptrace" not in str(failure):
                        raise
                    return "Not counted: strace may not trace processes here (ptrace refused)."
                trace = syscalls.parse(log.read_text(errors="replace"))
            calls = sum(call["calls"] for call in trace.calls.values())
            record = {"tokens": tokens, "hops": hops, "calls": trace.calls, "eventfd": trace.eventfd,
                      "calls_per_hop": calls / hops, "wakes_per_hop": trace.eventfd["write"] / hops}
            folder.save(f"syscalls-{tokens}-{name}", record)
            found[tokens, name] = record
    return found


def values(records, key):
    """One figure of some runs."""
    return [record[key] for record in records]


def body(found, calls):
    """The tables."""
    times, counts = [], []
    for tokens, of_case in found.items():
        for name, records in of_case.items():
            ratios = paired_ratios(values(of_case[OURS], "cpu_ns_per_hop"), values(of_case[PEER], "cpu_ns_per_hop"))
            ours = name == OURS
            times.append([tokens, name, cell(spread(values(records, "ns_per_hop")), 0),
                          cell(spread(values(records, "cpu_ns_per_hop")), 0),
                          cell(spread(ratios), 3) if ours else "1", interval_cell(ratios) if ours else "",
                          cell(spread(values(records, "sleeps_per_hop")), 4)])
            if not isinstance(calls, str):
                record = calls[tokens, name]
                counts.append([tokens, name, f"{record['calls_per_hop']:.4f}", f"{record['wakes_per_hop']:.4f}"])
    parts = ["## Time of a hop", table(
        ["on their way", "program", "time, ns", "CPU, ns", "ratio of CPU", "95 % interval", "sleeps"], times, words=2),
        "## System calls of a hop, under strace",
        calls if isinstance(calls, str) else table(
            ["on their way", "program", "system calls", "wakes (writes to an eventfd)"], counts, words=2)]
    return "\n\n".join(parts)


def answer(found):
    """The answer in a sentence for the least and for the most tokens."""
    sentences = []
    for tokens in dict.fromkeys((min(found), max(found))):
        of_case = found[tokens]
        cpu = {name: spread(values(records, "cpu_ns_per_hop")).median for name, records in of_case.items()}
        sentences.append(f"{tokens:,} on their way: {cpu[OURS]:,.0f} ns of CPU for a hop, memcached's way {cpu[PEER]:,.0f}.")
    return " ".join(sentences)


def picture(found, rounds):
    """The CPU time of a hop by tokens."""
    series = [plot.Panel(f"CPU time of a hop, {name}", "ns", "on their way",
                         [(f"{tokens:,}", spread(values(of_case[name], "cpu_ns_per_hop")))
                          for tokens, of_case in found.items()], from_zero=True) for name in (PEER, OURS)]
    return plot.Drawing(TITLE, f"median and range of {rounds} round(s)", series)


def notes(args):
    """What a reader must know before a conclusion."""
    return [
        f"Two shards, each pinned to a core. Each of the {args.rounds} rounds runs both programs for {args.seconds} s. "
        "CPU time is that of the whole process, with its start and end, as the kernel counts it.",
        "The time of a hop at rest is mostly that in which the kernel wakes a sleeping core. It depends on the machine, and "
        "on a virtual machine much more than on a real one.",
        "A sleep is a voluntary context switch, without strace. Each sleep ends by a wake.",
        "strace makes each system call slower. So a shard is often still awake when the next message comes, and finds more "
        "messages each time. Both programs make fewer calls and wakes for a hop than without strace.",
        "A message does nothing but travel. A service does some work for each, so fewer messages are on their way at once, "
        "and more wakes are needed.",
    ]


def main():
    """Parse, build, measure, write."""
    args = parse_arguments()
    require("cc")
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    subjects = [(PEER, programs.compile_peer(PEER)), (OURS, programs.example(OURS))]
    with results.ResultFolder("messages", args.out, args.quick, programs.loadgen) as folder:
        found = measure_all(args, subjects, folder)
        calls = count_calls(args, subjects, folder)
        commands = [f"{SCRIPT} --tokens {','.join(map(str, args.tokens))} --rounds {args.rounds} --seconds {args.seconds}",
                    "", "# which runs",
                    *(" ".join(argv(program, args.tokens[0], args.seconds)) for _, program in subjects)]
        folder.publish(results.Findings(
            TITLE, QUESTION, answer(found), body(found, calls),
            [results.Picture("hop", "CPU time of a hop", picture(found, args.rounds))], commands, notes(args),
        ), facts, dict(subjects))


if __name__ == "__main__":
    run_main(main)
