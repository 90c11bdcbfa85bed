"""static: programs that need no shared library."""

import os
import shutil
import socket
from pathlib import Path

import child
import cli
import package_files
from child import Failure, run_main
from loader import USABLE_STATUS
from programs import enter_root, require
from server import Server, evshard

SCRIPT = "scripts/static.sh"
PROGRAMS = ("evshard", "loadgen")
MUSL = "x86_64-unknown-linux-musl"
GLIBC = "x86_64-unknown-linux-gnu"
LOAD_TIMEOUT_S = 30
MUSL_COMPILER = "x86_64-linux-musl-gcc"
NO_MUSL = (f"the target {MUSL} is not installed (rustup target add {MUSL}), so the programs are linked with glibc.\n"
           "They find host names by DNS and /etc/hosts only, and not by the other services of nsswitch.conf.")


def parse_arguments():
    """The command line of static.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Builds both programs without shared libraries, checks that with ldd, and starts each once. It links musl if the\n"
        f"target {MUSL} is installed, and otherwise glibc. musl needs the Debian package\n"
        "musl-tools. With musl, freed memory does not go back to the system at once (malloc_trim).",
        f"{SCRIPT} --out /tmp/evshard",
        builds=False,
    )
    parser.add_argument("--out", type=cli.folder, default=Path("target/static"), metavar="DIR",
                        help="folder for the programs and their licences (default target/static)")
    return parser.parse_args()


def target():
    """The target to build for: musl, if it is installed."""
    sysroot = child.run(["rustc", "--print", "sysroot"], "rustc").strip()
    if Path(sysroot, "lib/rustlib", MUSL, "lib").is_dir():
        require(MUSL_COMPILER)
        return MUSL
    print(NO_MUSL, flush=True)
    return GLIBC


def build(triple, out):
    """Build both programs and put them into the folder `out`, without symbols."""
    os.environ["RUSTFLAGS"] = f"{os.environ.get('RUSTFLAGS', '')} -C target-feature=+crt-static".strip()
    os.environ["CARGO_PROFILE_RELEASE_STRIP"] = "symbols"
    child.run(["cargo", "build", "--release", "--locked", "--workspace", "--bins", "--target", triple], "cargo build",
              capture=False)
    built = Path(os.environ.get("CARGO_TARGET_DIR", "target"), triple, "release")
    out.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        shutil.copy(built / name, out / name)
        folder = package_files.write(str(out / name), name)
        shutil.copy(folder / "LICENCES", out / f"{name}.LICENCES")


def check_static(program):
    """Fail if the program needs a shared library."""
    # Status 1: the file is no dynamic program.
    said = child.run(["ldd", str(program)], "ldd", expected=(0, 1)).strip()
    headers = child.run(["readelf", "--program-headers", "--wide", str(program)], "readelf")
    if "INTERP" in headers or "=>" in said:
        raise Failure(f"{program} is not static: {said}")


def check_runs(out):
    """Start the server, send it a line, and load it."""
    with Server(evshard(str(out / "evshard"), 1)) as server:
        host, port = server.address.split(":")
        with socket.create_connection((host, int(port)), LOAD_TIMEOUT_S) as client:
            client.sendall(b"hello\n")
            if client.makefile("rb").readline() != b"hello\n":
                raise Failure("the static server did not send a line back")
        child.run([str(out / "loadgen"), "run", server.address, "--connections", "4", "--duration", "1s", "--quiet"],
                  "the static loadgen", LOAD_TIMEOUT_S, expected=USABLE_STATUS)
        server.stop()


def main():
    """Build, check, and print where the programs are."""
    args = parse_arguments()
    enter_root()
    require("ldd", "readelf")
    package_files.name_this_commit()
    build(target(), args.out)
    for name in PROGRAMS:
        check_static(args.out / name)
    check_runs(args.out)
    for name in PROGRAMS:
        print(f"{args.out / name}: {(args.out / name).stat().st_size / 1e6:.1f} MB, static")


if __name__ == "__main__":
    run_main(main)
