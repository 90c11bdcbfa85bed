"""debian: the Debian packages of both programs."""

import shutil
from pathlib import Path

import child
import cli
import package_files
from child import Failure, run_main
from programs import Programs, enter_root, require

SCRIPT = "scripts/debian.sh"
MAINTAINER = "The evshard developers <evshard@example.org>"


def parse_arguments():
    """The command line of debian.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Builds both programs, and the Debian packages evshard and evshard-loadgen with manual pages, completions and\n"
        "the licences of all crates. evshard also has the systemd units and /etc/evshard/evshard.toml.\n"
        "It needs cargo-deb (cargo install cargo-deb) and the Debian package dpkg-dev.",
        f"{SCRIPT} --maintainer 'Jo Doe <jo@example.org>'",
        builds=False,
    )
    parser.add_argument("--revision", default="1", metavar="N", help="Debian's revision of this version (default 1)")
    parser.add_argument("--maintainer", default=MAINTAINER, metavar="NAME",
                        help="who is responsible for the packages, with an address")
    parser.add_argument("--out", type=cli.folder, default=Path("target/debian"), metavar="DIR",
                        help="folder for the packages (default target/debian)")
    return parser.parse_args()


def require_tools():
    """Fail if the packages cannot be built here."""
    require("git", "dpkg-shlibdeps")
    if shutil.which("cargo-deb") is None:
        raise Failure("cargo-deb is missing: cargo install cargo-deb")


def build(programs, revision, out, maintainer=MAINTAINER):
    """Build both packages in the folder `out`. Returns their paths."""
    version = f"{package_files.version()}-{revision}"
    packages = []
    for package, program in (("evshard", programs.evshard), ("loadgen", programs.loadgen)):
        folder = package_files.write(program, package)
        package_files.write_debian(folder, package, version, maintainer)
        output = child.run(["cargo", "deb", "--quiet", "--no-build", "--strip", "--package", package, "--deb-version", version,
                            "--maintainer", maintainer, "--output", f"{out.absolute()}/"], f"cargo deb of {package}")
        packages.append(Path(output.split()[-1]))
    return packages


def main():
    """Build both packages, and print their paths."""
    args = parse_arguments()
    require_tools()
    enter_root()
    package_files.name_this_commit()
    for package in build(Programs(), args.revision, args.out, args.maintainer):
        print(package)


if __name__ == "__main__":
    run_main(main)
