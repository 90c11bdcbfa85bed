"""libevent: runs programs with evshard's event core instead of libevent's."""

import argparse
import os
import shutil
from pathlib import Path

import child
import cli
from child import Failure, run_main
from programs import ROOT, require

SCRIPT = "scripts/libevent.sh"
LIBRARY = "libevshard_libevent.so"
# To be preloaded in the checked mode.
CHECK_LIBRARY = "libevshard_check.so"
# Programs load one of these. Each of them is an empty library that needs ours, so that a process has one core only.
NAMES = ("libevent-2.1.so.7", "libevent_core-2.1.so.7", "libevent_pthreads-2.1.so.7")


def parse_arguments():
    """The command line of libevent.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Runs a program that was linked with libevent 2.1 on evshard's event base, without compiling it again.\n"
        "docs/DROP_IN.md says which programs that can be.",
        f"{SCRIPT} run memcached -t 4",
        builds=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND",
                                     parser_class=argparse.ArgumentParser)
    run = commands.add_parser("run", help="run a program with the library, which is built first", allow_abbrev=False)
    run.add_argument("--front", action="store_true",
                     help="replace the event core only, in front of the distribution's libevent: for programs that use "
                          "its buffers, HTTP or DNS")
    run.add_argument("--check", action="store_true",
                     help="report misuse of events (EVSHARD_CHECK=1), also memory that is freed while its event is pending")
    run.add_argument("program", metavar="PROGRAM")
    run.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARG")
    for name, text in (("install", "put the library into a folder, under all its names"),
                       ("uninstall", "remove it from there")):
        commands.add_parser(name, help=text, allow_abbrev=False).add_argument("folder", type=cli.folder, metavar="DIR")
    link = commands.add_parser("link", help="as install, with a library that is built already", allow_abbrev=False)
    link.add_argument("library", type=cli.folder, metavar="FILE")
    link.add_argument("folder", type=cli.folder, metavar="DIR")
    return parser.parse_args()


def build():
    """Build the library; its path."""
    child.run(["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", str(ROOT / "Cargo.toml"),
               "--package", "evshard-libevent"], "cargo build", capture=False)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"), "release", LIBRARY)


def link(library, folder):
    """Put the library into a folder, and beside it the libraries under whose names programs load it."""
    require("cc")
    folder.mkdir(parents=True, exist_ok=True)
    for name in (LIBRARY, *NAMES, CHECK_LIBRARY):
        refuse_foreign(folder / name)
    # A new file: a process that has loaded the old one keeps it.
    (folder / LIBRARY).unlink(missing_ok=True)
    shutil.copy(library, folder / LIBRARY)
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)
        child.run(["cc", "-shared", "-nostdlib", "-o", str(folder / name), f"-Wl,-soname,{name}", "-Wl,--no-as-needed",
                   "-Wl,-rpath,$ORIGIN", str(folder / LIBRARY)], f"linking {name}")
    (folder / CHECK_LIBRARY).unlink(missing_ok=True)
    child.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(folder / CHECK_LIBRARY), str(ROOT / "capi/preload/check.c"),
               "-Wl,--no-as-needed", "-Wl,-rpath,$ORIGIN", str(folder / LIBRARY), "-ldl"], f"linking {CHECK_LIBRARY}")


def refuse_foreign(path):
    """Fail if a file of this name is not ours."""
    if path.exists() and LIBRARY.encode() not in path.read_bytes():
        raise Failure(f"{path} is another library; choose a folder of its own, and add it to LD_LIBRARY_PATH")


def uninstall(folder):
    """Remove what `link` put into a folder."""
    for name in (*NAMES, CHECK_LIBRARY, LIBRARY):
        refuse_foreign(folder / name)
        (folder / name).unlink(missing_ok=True)


def environment(folder, front, check):
    """The environment in which a program loads the library."""
    changed = dict(os.environ)

    def prepend(name, path):
        changed[name] = f"{path}:{changed[name]}" if changed.get(name) else str(path)

    if front:
        prepend("LD_PRELOAD", folder / LIBRARY)
    else:
        prepend("LD_LIBRARY_PATH", folder)
    if check:
        prepend("LD_PRELOAD", folder / CHECK_LIBRARY)
        changed["EVSHARD_CHECK"] = "1"
    return changed


def main():
    """Do what the command line says."""
    arguments = parse_arguments()
    if arguments.command == "run":
        library = build()
        folder = library.parent / "libevent"
        link(library, folder)
        try:
            os.execvpe(arguments.program, [arguments.program, *arguments.arguments],
                       environment(folder, arguments.front, arguments.check))
        except OSError as error:
            raise Failure(f"cannot start {arguments.program}: {error.strerror}") from error
    elif arguments.command == "install":
        link(build(), arguments.folder)
        print(f"installed; programs load it with LD_LIBRARY_PATH={arguments.folder}")
    elif arguments.command == "link":
        link(arguments.library, arguments.folder)
    else:
        uninstall(arguments.folder)


if __name__ == "__main__":
    run_main(main)
