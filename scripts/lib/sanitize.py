"""sanitize: programs of libevent on evshard's event core, with both under AddressSanitizer or ThreadSanitizer."""

import os
import subprocess
from pathlib import Path

import child
import cli
import libevent
import libevent_source
import libevent_suite
import libevent_tests
from child import Failure, run_main
from programs import ROOT, require

SCRIPT = "scripts/sanitize.sh"
TARGET = "x86_64-unknown-linux-gnu"
PROGRAMS = ROOT / "capi/tests/c"
SCENARIOS = ("finalizers.c", "fork.c", "globals.c", "inspection.c", "io.c", "loops.c", "memory.c", "misuse.c", "once.c",
             "signals.c", "threads.c", "timers.c", "unwinding.cpp")
THREADED = ("threads.c", "signals.c", "loops.c")
# These tests stop the program, fill its memory or count its descriptors, or wait for times too short for a sanitizer.
SUITE = ("main/..", "signal/..", "et/..", "finalize/..", "thread/..", "evbuffer/..", "bufferevent/..", "listener/..")
CHURN_EVENTS = 100_000
RUN_TIMEOUT_S = 300


def parse_arguments():
    """The command line of sanitize.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Builds the library for programs of libevent, the C programs of capi/tests, and libevent's own tests with a\n"
        "sanitizer of the compilers, and runs them on each backend. It fails if a sanitizer reports anything.\n"
        "`address` also has the undefined-behaviour sanitizer for what is written in C, and finds leaks. `thread` runs the\n"
        "programs with threads only.\n"
        "It needs a nightly toolchain with rust-src, cc and c++, and, for libevent's tests, what libevent_suite.sh needs.",
        f"{SCRIPT} --sanitizer thread",
        builds=False,
    )
    parser.add_argument("--sanitizer", type=cli.choices("address", "thread"), default=["address", "thread"],
                        metavar="LIST", help="of address, thread (default both)")
    parser.add_argument("--events", type=cli.count, default=CHURN_EVENTS, metavar="N",
                        help=f"how many events churn.c makes on each backend (default {CHURN_EVENTS})")
    parser.add_argument("--no-suite", action="store_true", help="leave libevent's own tests out")
    parser.add_argument("--work-dir", type=cli.folder, default=ROOT / "target/sanitize", metavar="DIR",
                        help="where all is built (default target/sanitize)")
    return parser.parse_args()


def build_library(folder, sanitizer):
    """Build the library and the standard library with a sanitizer, and link the names of libevent to it."""
    environment = os.environ | {"RUSTFLAGS": f"-Zsanitizer={sanitizer}", "CARGO_TARGET_DIR": str(folder / "cargo")}
    command = ["cargo", "+nightly", "build", "-Zbuild-std", "--target", TARGET, "--quiet", "--locked",
               "--manifest-path", str(ROOT / "Cargo.toml"), "--package", "evshard-libevent", "--lib"]
    if subprocess.run(command, env=environment, check=False).returncode != 0:
        raise Failure("cargo build failed; `rustup component add rust-src --toolchain nightly` adds what it needs")
    libevent.link(folder / "cargo" / TARGET / "debug" / libevent.LIBRARY, folder / "names")


def runtime(sanitizer):
    """What a C program is linked with. The compiler's own runtime of ThreadSanitizer lacks functions that Rust calls."""
    if sanitizer == "address":
        return ["-fsanitize=address,undefined"]
    folder = child.run(["rustc", "+nightly", "--print", "target-libdir"], "rustc").strip()
    return ["-rdynamic", "-Wl,--whole-archive", f"{folder}/librustc-nightly_rt.tsan.a", "-Wl,--no-whole-archive",
            "-ldl", "-lm", "-lrt", "-lgcc_s"]


def compile_program(source, folder, sanitizer):
    """Compile a C or C++ program of capi/tests with a sanitizer; its path."""
    compiler = "c++" if source.endswith(".cpp") else "cc"
    flags = "address,undefined" if sanitizer == "address" else sanitizer
    program = folder / source.replace(".", "_")
    made = f"{program}.o"
    child.run([compiler, f"-fsanitize={flags}", "-fno-sanitize-recover=undefined", "-g", "-O1", "-c", "-o", made,
               str(PROGRAMS / source)], f"compiling {source}")
    child.run([compiler, "-o", str(program), made, *runtime(sanitizer), "-levent_core", "-levent_pthreads", "-lpthread"],
              f"linking {source}")
    return program


def run(argv, environment, what):
    """Run a program. A report of a sanitizer, or another failure, is a Failure with the end of what it printed."""
    # ThreadSanitizer wants fixed addresses of memory.
    argv = ["setarch", "--addr-no-randomize", *argv]
    try:
        done = subprocess.run(argv, env=os.environ | environment, capture_output=True, text=True, errors="replace",
                              timeout=RUN_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failure(f"{what} did not end within {RUN_TIMEOUT_S} s") from error
    output = done.stdout + done.stderr
    if done.returncode != 0 or "Sanitizer" in output or "runtime error:" in output:
        raise Failure(f"{what}: status {done.returncode}\n{output[-6000:]}")


def run_programs(folder, sanitizer, events):
    """Run the C programs of capi/tests."""
    names = str(folder / "names")
    for source in SCENARIOS if sanitizer == "address" else THREADED:
        program = compile_program(source, folder, sanitizer)
        # A loop that longjmp or an exception has left is never freed, as in libevent.
        options = {"ASAN_OPTIONS": "detect_leaks=0"} if source == "unwinding.cpp" else {}
        run([program], options | {"LD_LIBRARY_PATH": names}, source)
        print(f"{sanitizer}: {source}: nothing was reported", flush=True)
    churn = compile_program("churn.c", folder, sanitizer)
    for backend, variables in libevent_suite.BACKENDS.items():
        run([churn, str(events), "4"], variables | {"LD_LIBRARY_PATH": names}, f"churn.c on {backend}")
        print(f"{sanitizer}: churn.c on {backend}: nothing was reported of {events:,} events", flush=True)


def run_suite(folder):
    """Run libevent's own tests, under AddressSanitizer, with the library in front."""
    folder = folder / "suite"
    folder.mkdir(exist_ok=True)
    source = libevent_source.fetch(folder)
    # A leak of a test is no matter of the library.
    os.environ["CFLAGS"] = "-g -O1 -fsanitize=address,undefined -fno-sanitize=alignment"
    os.environ["ASAN_OPTIONS"] = "detect_leaks=0:verify_asan_link_order=0"
    program = libevent_source.build(source) / "regress"
    asan = child.run(["cc", "-print-file-name=libasan.so"], "cc").strip()
    front = f"{Path(asan).resolve()}:{folder.parent / 'names' / libevent.LIBRARY}"
    for backend in libevent_suite.BACKENDS:
        reports, ran = reports_of_suite(source, program, libevent_suite.BACKENDS[backend], front)
        stock, _ = reports_of_suite(source, program, libevent_suite.BACKENDS[backend], None)
        print(f"address: libevent's tests on {backend}: {ran} tests ran; reports {len(reports)}, with libevent's core "
              f"{len(stock)}", flush=True)
        if reports - stock:
            raise Failure("\n".join(sorted(reports - stock)))


def reports_of_suite(folder, program, environment, front):
    """The first lines of what the sanitizers reported, and how many tests ran."""
    variables = os.environ | environment | {"LD_LIBRARY_PATH": str(folder / ".libs")}
    if front is not None:
        variables["LD_PRELOAD"] = front
    try:
        done = subprocess.run([program, "--verbose", *SUITE], cwd=folder, env=variables, capture_output=True, text=True,
                              errors="replace", timeout=RUN_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failure(f"regress did not end within {RUN_TIMEOUT_S} s") from error
    output = done.stdout + done.stderr
    ended = libevent_tests.ENDED.search(output)
    if ended is None:
        raise Failure(f"regress did not come to its end:\n{output[-6000:]}")
    lines = output.splitlines()
    return {line for line in lines if line.startswith("SUMMARY: ") or "runtime error:" in line}, int(ended[1])


def main():
    """Build and run with each sanitizer."""
    arguments = parse_arguments()
    require("cc", "c++")
    for sanitizer in arguments.sanitizer:
        folder = arguments.work_dir / sanitizer
        folder.mkdir(parents=True, exist_ok=True)
        build_library(folder, sanitizer)
        run_programs(folder, sanitizer, arguments.events)
        if sanitizer == "address" and not arguments.no_suite:
            run_suite(folder)


if __name__ == "__main__":
    run_main(main)
