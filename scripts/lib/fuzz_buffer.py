"""fuzz_buffer: the same random operations on evshard's Buffer and on libevent's evbuffer, and bufferevents beside a model."""

import os
import secrets
import time

import child
import cli
from child import run_main
from programs import enter_root, require

SCRIPT = "scripts/fuzz_buffer.sh"
STEPS = 10_000_000
QUICK_STEPS = 20_000
STEPS_PER_CASE = 30  # of a bufferevent's model, on average
TEST = "a_buffer_agrees_with"
# Faster to build than a release, and overflows are found.
PROFILE = {"CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS": "true",
           "CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS": "true"}


def parse_arguments():
    """The command line of fuzz_buffer.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Applies random operations to evshard's Buffer and to libevent's evbuffer, and compares results, bytes and\n"
        "counts of changes after each. Then it applies operations to buffers and to vectors, and to bufferevents and a\n"
        "model of their bytes, a tenth as many each.\n"
        "It builds the tests in release mode, a smoke run as cargo test does. It needs cc and the Debian package\n"
        "libevent-dev.",
        f"{SCRIPT} --steps 1000000 --seed 7",
        builds=False,
    )
    parser.add_argument("--steps", type=cli.count, default=STEPS, metavar="N",
                        help=f"number of operations (default {STEPS})")
    parser.add_argument("--seed", type=cli.count, metavar="N", help="seed of the operations (default: another each time)")
    parser.add_argument("--quick", action="store_true", help=f"smoke run: {QUICK_STEPS} operations")
    args = parser.parse_args()
    if args.quick:
        args.steps = QUICK_STEPS
    return args


def run_tests(args, target, name, steps, environment):
    """Run the tests of one cargo target whose names have `name` in them."""
    started = time.monotonic()
    os.environ.update(PROFILE, **environment)
    release = () if args.quick else ("--release",)
    child.run(["cargo", "test", *release, "--package", "evshard", "--no-default-features", *target, name], name,
              capture=False)
    print(f"{name}: {steps:,} operations agree ({time.monotonic() - started:.0f} s with the build)")


def main():
    """Run both tests for long."""
    args = parse_arguments()
    enter_root()
    require("cc")
    seed = args.seed or secrets.randbits(63) | 1
    print(f"seed {seed}")
    run_tests(args, ["--test", "buffer"], f"{TEST}_evbuffer", args.steps,
              {"EVSHARD_BUFFER_STEPS": str(args.steps), "EVSHARD_BUFFER_SEED": str(seed),
               "EVSHARD_TEST_REQUIRE": "libevent"})
    fewer = max(args.steps // 10, 1)
    run_tests(args, ["--lib"], f"{TEST}_a_vector", fewer, {"EVSHARD_BUFFER_STEPS": str(fewer)})
    run_tests(args, ["--features", "bufferevent", "--test", "bufferevent"], "every_byte_arrives_once_and_in_order", fewer,
              {"PROPTEST_CASES": str(max(fewer // STEPS_PER_CASE, 1))})


if __name__ == "__main__":
    run_main(main)
