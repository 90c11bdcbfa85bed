"""loader_truth: compares what loadgen reports with what theory says, on real sockets."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import cli
import loader_truth_compare
import loader_truth_confusion
import loader_truth_coverage
import loader_truth_overload
import loader_truth_search
import machine
import plot
import programs
import queue_server
import results
from child import Failure, Terminated, run_main
from loader import seconds
from loader_truth_study import Study, clock

SCRIPT = "scripts/loader_truth.sh"
TITLE = "What the loader reports, and what is true"
QUESTION = "Are the loader's intervals, comparisons, searches, verdicts and rates right, where the truth is known?"
STUDIES = {study.NAME: study for study in (
    loader_truth_coverage, loader_truth_compare, loader_truth_search, loader_truth_confusion, loader_truth_overload,
)}
SERVER_CORE, LOADER_CORE = (0, 1) if machine.cores() > 1 else (None, None)


def named_loader(text):
    """A build of loadgen as NAME=PATH or PATH. Returns name and absolute path."""
    name, equals, path = text.partition("=")
    if not equals:
        name, path = Path(text).name, text
    if not name or not path:
        raise argparse.ArgumentTypeError(f"'{text}' is not PATH or NAME=PATH")
    return name, Path(path).absolute()


def parse_arguments():
    """The command line of loader_truth.sh."""
    listing = "\n".join(f"  {name:<10} {study.WHAT}" for name, study in STUDIES.items())
    parser = cli.Parser(
        SCRIPT,
        "Runs loadgen against servers whose queue and service times are known exactly\n"
        f"(benches/peers/queue_server.c), and compares its reports with theory. The studies are:\n\n{listing}\n\n"
        "A study repeats its round until its part of --minutes is over. Ctrl-C reports what has been measured.",
        f"{SCRIPT} --loadgen before=old/loadgen --loadgen after=target/release/loadgen --studies confusion",
    )
    parser.add_argument("--studies", type=cli.choices(*STUDIES), default=list(STUDIES), metavar="LIST",
                        help=f"studies, of {', '.join(STUDIES)} (default: all)")
    parser.add_argument("--loadgen", type=named_loader, action="append", metavar="[NAME=]PATH",
                        help="measure this build of loadgen, repeatable: several builds are measured in turns, and the last "
                             "one draws the plots (default: build it)")
    parser.add_argument("--minutes", type=cli.count, default=15, metavar="N",
                        help="time of all studies together; each takes one round at least (default 15)")
    parser.add_argument("--rounds", type=cli.count, metavar="N", help="rounds of each study, instead of --minutes")
    parser.add_argument("--comparisons", type=cli.count, default=400, metavar="N",
                        help="comparisons without a difference for each size of a side: 5, 8 and 10 runs (default 400)")
    parser.add_argument("--search-service", type=cli.duration, default="2ms", metavar="D",
                        help="service time of the queue that is searched (default 2ms): a longer one is more exact, "
                             "because wake-ups matter less, and needs more --minutes")
    parser.add_argument("--seed", type=int, default=1, metavar="N",
                        help="seed from which the seeds of all runs are drawn (default 1)")
    cli.add_result_flags(parser)
    args = cli.parse(parser)
    names = [name for name, _ in args.loadgen or ()]
    if not seconds(args.search_service):
        parser.error("--search-service must be longer than 0: choose 2ms or more")
    if len(set(names)) != len(names):
        parser.error("two builds of --loadgen have the same name: give them names, as in before=PATH")
    if args.quick:
        args.comparisons = min(args.comparisons, 4)
    return args


def loaders_of(args):
    """The builds of loadgen by name, and the folder for the compiled peers."""
    if args.loadgen:
        return {name: programs.given(path) for name, path in args.loadgen}, programs.enter_root()
    built = programs.Programs(args.bin_dir)
    return {"loadgen": built.loadgen}, built.peers


def below_root(path):
    """A path in the repository; the word PATH for any other, which exists on this machine only."""
    path = Path(path)
    return path.relative_to(programs.ROOT) if path.is_relative_to(programs.ROOT) else "PATH"


def run_studies(args, loaders, peers, folder):
    """Run the studies. Returns their records by name, and the exceptions that ended one or all of them early."""
    chosen = [STUDIES[name] for name in args.studies]
    server, bare = (programs.compile_peer(name, peers)
                    for name in (queue_server.PROGRAM, loader_truth_confusion.BARE_SERVER))
    weights, left_s = sum(study.WEIGHT for study in chosen), 60.0 * args.minutes
    records, errors = {}, []
    for study in chosen:
        part_s = left_s * study.WEIGHT / weights
        of_time = "" if args.rounds is not None else f", {clock(part_s)} of the {clock(left_s)} left"
        print(f"{study.NAME}: {study.WHAT}{of_time}", file=sys.stderr, flush=True)
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="loader-truth-") as scratch:
            context = Study(study.NAME, loaders, server, bare, args.seed, part_s, args.rounds, args.quick, SERVER_CORE,
                            LOADER_CORE, Path(scratch), folder.raw / f"{study.NAME}.jsonl", args.comparisons,
                            seconds(args.search_service))
            records[study.NAME] = context.records
            try:
                study.run(context)
            except Failure as failure:  # the other studies still run
                print(f"{study.NAME}: {failure}", file=sys.stderr)
                errors.append(failure)
            except (KeyboardInterrupt, Terminated) as interruption:
                return records, [*errors, interruption]
        left_s = max(0.0, left_s - (time.monotonic() - started))
        weights -= study.WEIGHT
    return records, errors


def findings_of(args, loaders, records, errors):
    """The report of all studies that have records."""
    failed = {name: [one for one in found if "failed" in one] for name, found in records.items()}
    measured = {name: [one for one in found if "failed" not in one] for name, found in records.items()}
    sections = [STUDIES[name].report(found) for name, found in measured.items() if found]
    if not sections:
        return None
    body = "\n\n".join(f"## {section.title}\n\n{section.body}" for section in sections)
    pictures = [results.Picture(name, alt, drawing) for section in sections for name, alt, drawing in section.pictures
                if drawing is not None]
    length = f"--minutes {args.minutes}" if args.rounds is None else f"--rounds {args.rounds}"
    builds = "".join(f" --loadgen {name}={below_root(path)}" for name, path in loaders.items()) if args.loadgen else ""
    notes = [note for section in sections for note in section.notes] + [
        "The server is a queue on real sockets. It computes when a service ends, and waits: theory holds for its "
        "response times, apart from the time of sockets and wake-ups.",
        "CO-LOCATED: loaders and servers run on one machine. coverage, compare, search and overload run several pairs "
        "beside each other, which use little processor time.",
    ]
    notes += [f"{name}: {len(found):,} runs left no record and are not counted. The first message: {found[0]['failed']}"
              for name, found in failed.items() if found]
    if errors:
        why = " ".join(str(error).partition("\n")[0] or "It was interrupted." for error in errors)
        notes.insert(0, f"The script ended early, so some studies are shorter than planned or missing. {why}")
    command = (f"{SCRIPT}{builds} --studies {','.join(args.studies)} {length} --comparisons {args.comparisons} "
               f"--search-service {args.search_service} --seed {args.seed}")
    answer = " ".join(section.answer for section in sections)
    return results.Findings(TITLE, QUESTION, answer, body, pictures, [command], notes)


def main():
    """Parse, build, run the studies, write."""
    args = parse_arguments()
    programs.require("cc", *([] if LOADER_CORE is None else ["taskset"]))
    facts = machine.facts()
    loaders, peers = loaders_of(args)
    # The last one draws the plots. The studies take long: find out now whether it can.
    plotter = list(loaders.values())[-1]
    plot.require(plotter)
    with results.ResultFolder("loader-truth", args.out, args.quick, plotter) as folder:
        records, errors = run_studies(args, loaders, peers, folder)
        findings = findings_of(args, loaders, records, errors)
        if findings is None:
            raise errors[-1] if errors else Failure("no run has a usable record")
        folder.publish(findings, facts, loaders, complete=not errors)
    if errors:
        raise errors[-1]


if __name__ == "__main__":
    run_main(main)
