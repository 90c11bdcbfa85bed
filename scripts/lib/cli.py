"""Flags and argument types that several scripts have in common."""

import argparse
import sys
from pathlib import Path

from loader import seconds


class Parser(argparse.ArgumentParser):
    """An argument parser. An error is one line and exit status 2. With `builds` it has the flag --bin-dir."""

    def __init__(self, script, description, example, builds=True):
        super().__init__(
            prog=script,
            description=description,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if builds:
            self.add_argument("--bin-dir", type=Path, metavar="DIR",
                              help="use the binaries evshard and loadgen in DIR instead of building them")

    def error(self, message):
        """Print what is wrong in one line, without the whole usage."""
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(2)


def count(text):
    """A whole number of at least 1."""
    return _whole_number(text, 1)


def folder(text):
    """A folder that may not exist. Its path is complete, because scripts change to the repository root."""
    return Path(text).absolute()


def core(text):
    """A core number, from 0."""
    return _whole_number(text, 0)


def counts(text):
    """Whole numbers of at least 1, separated by commas, without duplicates."""
    numbers = [count(part) for part in text.split(",")]
    if len(set(numbers)) != len(numbers):
        raise argparse.ArgumentTypeError(f"'{text}' names a number twice")
    return numbers


def choices(*known):
    """The argument type of a comma-separated list of known words, without duplicates."""

    def parse_list(text):
        words = text.split(",")
        if not set(words) <= set(known) or len(set(words)) != len(words):
            raise argparse.ArgumentTypeError(f"'{text}' is not a comma-separated list of {', '.join(known)}")
        return words

    return parse_list


def duration(text):
    """A duration. It is checked, and passed on as the user wrote it."""
    try:
        seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not a duration such as 3s, 500ms or 1m") from error
    return text


def _whole_number(text, least):
    if not (text.isascii() and text.isdigit() and int(text) >= least):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least {least}")
    return int(text)


def add_comparison_flags(parser, rounds, threads):
    """The flags of a comparison that runs loadgen: rounds, times, threads, and those of the result."""
    add_rounds_flag(parser, rounds)
    parser.add_argument("--duration", type=duration, default="3s", metavar="D",
                        help="measured time of each run (default 3s)")
    parser.add_argument("--warmup", type=duration, default="1s", metavar="D",
                        help="warm-up before the measured time (default 1s)")
    parser.add_argument("--threads", type=count, default=threads, metavar="N",
                        help=f"threads of the loader (default {threads})")
    add_result_flags(parser)


def add_rounds_flag(parser, rounds):
    """The flag for the number of rounds."""
    parser.add_argument("--rounds", type=count, default=rounds, metavar="N",
                        help=f"number of rounds, each of which measures everything once (default {rounds})")


def add_core_flags(parser):
    """The flags for the cores of server and client."""
    parser.add_argument("--server-core", type=core, default=0, metavar="CORE", help="core of the server (default 0)")
    parser.add_argument("--loader-core", type=core, default=1, metavar="CORE", help="core of the loader (default 1)")


def add_result_flags(parser):
    """The flags for the folder of the result, and for a smoke run."""
    parser.add_argument("--out", type=Path, metavar="DIR",
                        help="write the result to DIR, which must not exist (default: results/<date>-<topic>)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="smoke run: as short as possible; without --out, the result goes to a temporary folder",
    )


def parse(parser):
    """Parse the command line. --quick overrides the number of rounds and the times."""
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.duration, args.warmup = 1, "1s", "500ms"
    if args.out is not None:
        args.out = args.out.absolute()  # before the working directory becomes the repository root
        if args.out.exists():
            parser.error(f"--out {args.out.name} exists, and the script never overwrites a result; choose another folder")
    if "server_core" in args and args.server_core == args.loader_core:
        parser.error("--server-core and --loader-core must differ: on one core, loader and server delay each other")
    return args
