"""compare_event_bases: the well-known benchmarks of event bases on evshard, libevent and libev."""

import json
import os
import sys

import cli
import event_base
import event_base_cases as cases
import event_base_counts as counts
import event_base_report as report
import machine
import measure
import raw
import results
from child import Failure, run_main
from programs import Programs, require

SCRIPT = "scripts/compare_event_bases.sh"
COUNTS = "counts"


def parse_arguments():
    """The command line of compare_event_bases.sh."""
    known = (*cases.GROUPS, COUNTS)
    parser = cli.Parser(
        SCRIPT,
        "Runs the well-known benchmarks of event bases on evshard, libevent and libev, in turns on one core:\n"
        "libevent's chain of socket pairs and its cascade, libev's chain with timeouts, timers, changes of interest,\n"
        "and memory per event. Then counts system calls and instructions per hop, that is, per event dispatched.\n"
        "Takes about eleven minutes.",
        f"{SCRIPT} --cases chain,timeouts --rounds 25 --core 1",
    )
    parser.add_argument("--cases", type=cli.choices(*known), default=list(known), metavar="LIST",
                        help=f"cases, of {', '.join(known)} (default: all)")
    parser.add_argument("--rounds", type=cli.count, default=25, metavar="N",
                        help="number of rounds (default 25); a million timers run in every second round, and memory in "
                             "every fifth")
    parser.add_argument("--core", type=cli.core, default=max(os.sched_getaffinity(0)), metavar="CORE",
                        help="core of all programs (default: the last usable core)")
    cli.add_result_flags(parser)
    return cli.parse(parser)


def build(programs):
    """The program of each library by its name."""
    peers = {library.name: programs.compile_peer(f"bases/{library.name}", library) for library in cases.LIBRARIES}
    return {"evshard": programs.example("bases"), **peers}


def find_missing(paths, all_cases):
    """The reasons why optional subjects cannot run, by name. The build or the kernel may lack what they need."""
    missing = {}
    optional = {subject.name: (subject, case) for case in all_cases for subject in case.subjects if subject.optional}
    for name, (subject, case) in optional.items():
        try:
            event_base.run(event_base.command(paths, subject, case), subject.name)
        except Failure as failure:
            missing[name] = str(failure).splitlines()[-1].strip()
    return missing


def measure_all(args, paths, all_cases, missing, folder):
    """Every case in its rounds, the subjects in turns. Returns the records by case and subject name."""
    records = {case: {s.name: [] for s in case.subjects if s.name not in missing} for case in all_cases}
    for round_index in range(args.rounds):
        for number, case in enumerate(all_cases, 1):
            if round_index % case.every:
                continue
            label = f"round {round_index + 1}/{args.rounds}, case {number}/{len(all_cases)}"
            print(f"\r\033[K{label}: {case.group}, {case.name} ...", end="", file=sys.stderr, flush=True)
            subjects = [subject for subject in case.subjects if subject.name not in missing]
            for subject in measure.rotated(subjects, round_index):
                argv = event_base.command(paths, subject, case, args.core)
                records[case][subject.name].append(event_base.run(argv, subject.name))
            save_case(folder, paths, args, case, records[case])
    print(file=sys.stderr)
    return records


def save_case(folder, paths, args, case, records):
    """Write the records of a case so far, one line per run, as the program printed it."""
    commands = {subject.name: " ".join(event_base.command(paths, subject, case, args.core))
                for subject in case.subjects if subject.name in records}
    folder.save(case.key, {"commands": commands, "runs_in_round_order": {
        name: [json.dumps(record) for record in runs] for name, runs in records.items()
    }})


def common_how(records):
    """How each library implements common timeouts, as its program reports it."""
    return {record["library"]: record["common_how"]
            for subjects in records.values() for runs in subjects.values() for record in runs[:1]
            if "common_how" in record}


def write_results(args, paths, measured, facts, folder):
    """Publish what was found."""
    command = f"{SCRIPT} --cases {','.join(args.cases)} --rounds {args.rounds} --core {args.core}"
    first = {case.group: case for case in reversed(measured.cases)}
    examples = [" ".join(event_base.command(paths, subject, case, args.core))
                for case in first.values() for subject in case.subjects]
    folder.publish(results.Findings(
        report.TITLE, report.QUESTION, report.answer(measured), report.body(measured), report.pictures(measured),
        [command, "", f"# which runs these programs and others (all are in {raw.NAME})", *examples],
        report.notes(args.core),
    ), facts, {f"{name} program": path for name, path in paths.items()})


def main():
    """Parse, build, measure, count, write."""
    args = parse_arguments()
    require("taskset", "cc")
    usable = os.sched_getaffinity(0)
    if args.core not in usable:
        raise Failure(f"core {args.core} is not usable here (usable: {sorted(usable)}): choose another --core")
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    paths = build(programs)
    all_cases = cases.cases([group for group in args.cases if group != COUNTS], args.quick)
    with results.ResultFolder("event-bases", args.out, args.quick, programs.loadgen) as folder:
        missing = find_missing(paths, all_cases)
        records = measure_all(args, paths, all_cases, missing, folder)
        counted = COUNTS in args.cases
        measured = report.Measured(
            cases=all_cases,
            figures={case: {name: [event_base.figures(record) for record in runs] for name, runs in subjects.items()}
                     for case, subjects in records.items()},
            syscalls=counts.count_syscalls(paths, args.quick, folder.save) if counted else None,
            instructions=counts.count_instructions(paths, args.quick, folder.save) if counted else None,
            missing=missing,
            common_how=common_how(records),
        )
        write_results(args, paths, measured, facts, folder)


if __name__ == "__main__":
    run_main(main)
