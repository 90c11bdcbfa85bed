"""debian_test: the Debian packages in a new Debian system, from installation to purge."""

import json
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import child
import cli
import debian
import package_files
from child import Failure, run_main
from loader import USABLE_STATUS
from programs import Programs, enter_root, require
from server import Server, Subject

SCRIPT = "scripts/debian_test.sh"
SUITE = "bookworm"
BOOTSTRAP_TIMEOUT_S = 300
COMMAND_TIMEOUT_S = 60
UNIT = Path("usr/lib/systemd/system/evshard.service")
CONFIGURATION = Path("etc/evshard/evshard.toml")
# What systemd makes for the unit: RuntimeDirectory=.
RUNTIME = Path("run/evshard")
INSTALLED = (
    UNIT, CONFIGURATION, Path("usr/bin/evshard"), Path("usr/bin/loadgen"), UNIT.with_suffix(".socket"),
    Path("usr/share/man/man1/evshard-serve.1.gz"), Path("usr/share/man/man1/loadgen-run.1.gz"),
    Path("usr/share/bash-completion/completions/evshard"), Path("usr/share/zsh/vendor-completions/_loadgen"),
    Path("usr/share/fish/vendor_completions.d/evshard.fish"), Path("usr/share/doc/evshard/LICENCES"),
    Path("usr/share/doc/evshard-loadgen/copyright"),
)
# dpkg and other programs of the system keep these, whatever is installed.
OF_THE_SYSTEM = ("proc/", "dev/", "tmp/", "var/log/", "var/cache/", "var/lib/dpkg/", "var/lib/apt/")
SHIPPED, CHANGED = "\nmax-connections = 100000\n", "\nmax-connections = 4242\n"


def parse_arguments():
    """The command line of debian_test.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Builds the Debian packages in two revisions, without optimisation. In a new Debian system in a temporary\n"
        "folder it installs the first, runs the server by the command line of its unit, sends it a line, and loads it\n"
        "by loadgen. Then it changes the configuration, upgrades, and checks that the change is kept. At last it\n"
        "removes and purges both packages, and checks that nothing is left. It takes some minutes. It needs root,\n"
        "cargo-deb, and the Debian packages dpkg-dev and mmdebstrap. With lintian, it also fails for errors that\n"
        "lintian finds.",
        SCRIPT,
        builds=False,
    )
    parser.add_argument("--suite", default=SUITE, metavar="NAME", help=f"release of Debian (default {SUITE})")
    return parser.parse_args()


class System:
    """A Debian system in a folder. Commands run in it by chroot, with /proc in a mount namespace of their own."""

    def __init__(self, folder, suite):
        self.root = folder
        child.run(["mmdebstrap", "--quiet", "--variant=essential", suite, str(folder)], "mmdebstrap", BOOTSTRAP_TIMEOUT_S)

    def argv(self, *command):
        """The command line that runs a command in the system."""
        mount = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
        return ("unshare", "--mount", "sh", "-c", mount, str(self.root), *command)

    def run(self, *command, expected=(0,)):
        """Run a command to its end, and return its standard output."""
        return child.run(self.argv(*command), " ".join(command), COMMAND_TIMEOUT_S, expected=expected)

    def install(self, packages):
        """Install the packages by dpkg, or upgrade to them."""
        for package in packages:
            shutil.copy(package, self.root / "tmp")
        self.run("dpkg", "--install", *(f"/tmp/{package.name}" for package in packages))

    def files(self):
        """All paths of the system that a package may have left."""
        paths = (str(path.relative_to(self.root)) for path in self.root.rglob("*"))
        return {path for path in paths if not path.startswith(OF_THE_SYSTEM)}


def expect(condition, complaint):
    """Fail with the complaint if the condition is false."""
    if not condition:
        raise Failure(complaint)


def serve_and_load(system):
    """Start the server by its unit's command line, send it a line, load it, and stop it."""
    lines = (system.root / UNIT).read_text().splitlines()
    command = next(line.removeprefix("ExecStart=") for line in lines if line.startswith("ExecStart="))
    flags = ("--listen", "127.0.0.1:0")  # 5555 may be in use outside of the system
    (system.root / RUNTIME).mkdir()
    with Server(Subject("evshard", system.argv(*shlex.split(command), *flags))) as server:
        host, port = server.address.split(":")
        with socket.create_connection((host, int(port)), COMMAND_TIMEOUT_S) as client:
            client.sendall(b"hello\n")
            expect(client.makefile("rb").readline() == b"hello\n", "the server did not send a line back")
        record = json.loads(system.run("loadgen", "run", server.address, "--connections", "4", "--duration", "1s",
                                       "--warmup", "0s", "--json", "-", expected=USABLE_STATUS))
        counters = record["counters"]
        expect(counters["completed"] > 0 and counters["failed"] == 0, f"loadgen got no replies: {counters}")
        system.run("evshard", "ctl", "drain", "--admin", "unix:/run/evshard/admin.sock")
        server.wait()
    shutil.rmtree(system.root / RUNTIME)


def check_with_lintian(packages):
    """Fail if lintian finds an error."""
    if shutil.which("lintian") is None:
        print("skipped: lintian is not installed")
        return
    argv = ["lintian", "--fail-on", "error", "--suppress-tags", "initial-upload-closes-no-bugs", *map(str, packages)]
    print(child.run(argv, "lintian", COMMAND_TIMEOUT_S).rstrip() or "lintian: nothing found")


def test(system, old, new):
    """Install, run, upgrade, remove and purge."""
    before = system.files()
    system.install(old)
    for path in INSTALLED:
        expect((system.root / path).exists(), f"the packages have no /{path}")
    print(f"installed: {system.run('evshard', '--version').strip()}, {system.run('loadgen', '--version').strip()}")
    serve_and_load(system)
    print("the server answers and takes load")

    changed = (system.root / CONFIGURATION).read_text().replace(SHIPPED, CHANGED)
    expect(CHANGED in changed, f"/{CONFIGURATION} does not have the line {SHIPPED.strip()}")
    (system.root / CONFIGURATION).write_text(changed)
    system.install(new)
    expect((system.root / CONFIGURATION).read_text() == changed, f"the upgrade has changed /{CONFIGURATION}")
    serve_and_load(system)
    print("upgraded: the changed configuration is kept")

    system.run("dpkg", "--remove", "evshard", "evshard-loadgen")
    expect(not (system.root / "usr/bin/evshard").exists(), "the program is there after the removal")
    expect((system.root / CONFIGURATION).exists(), "the removal has deleted the configuration")
    system.run("dpkg", "--purge", "evshard", "evshard-loadgen")
    left = sorted(system.files() - before)
    expect(not left, f"the purge has left {', '.join(left)}")
    print("removed and purged: nothing is left")


def main():
    """Build both revisions, and test them."""
    args = parse_arguments()
    expect(os.geteuid() == 0, "a chroot needs root: run this as root")
    debian.require_tools()
    require("mmdebstrap", "unshare")
    package_files.build_without_optimisation(enter_root().parent)
    programs = Programs()
    with tempfile.TemporaryDirectory(prefix="evshard-debian-") as temporary:
        folder = Path(temporary)
        old, new = (debian.build(programs, revision, folder / revision) for revision in ("1", "2"))
        check_with_lintian(new)
        test(System(folder / "system", args.suite), old, new)


if __name__ == "__main__":
    run_main(main)
