"""packages: both crates can be packaged, and installed from a clean checkout."""

import os
import re
import shutil
import tempfile
from pathlib import Path

import child
import cli
import package_files
from child import Failure, run_main
from programs import enter_root, require

SCRIPT = "scripts/packages.sh"
PACKAGES = {"evshard": ".", "loadgen": "loadgen"}
REQUIRED = {"Cargo.toml", "build.rs", "README.md", "LICENSE-MIT", "LICENSE-APACHE", "src/"}
FORBIDDEN = re.compile(r"(benches|deploy|results|scripts|tests)/")


def main():
    """Package, verify and install both crates."""
    cli.Parser(
        SCRIPT,
        "Clones the last commit into a temporary folder. There it runs `cargo package` and `cargo install --path` for both\n"
        "crates, without optimisation. It checks what the packages contain, and the version of each program: with the\n"
        "commit from the checkout, and without one from the package.",
        SCRIPT,
        builds=False,
    ).parse_args()
    target = package_files.build_without_optimisation(enter_root().parent)
    require("git")
    with tempfile.TemporaryDirectory(prefix="evshard-packages-") as temporary:
        checkout, root = Path(temporary, "checkout"), Path(temporary, "root")
        child.run(["git", "clone", "--quiet", ".", str(checkout)], "git clone")
        commit = child.run(["git", "-C", str(checkout), "rev-parse", "--short=12", "HEAD"], "git rev-parse").strip()
        os.chdir(checkout)
        # The packages are built below, where nothing of the repository is around them.
        child.run(["cargo", "package", "--quiet", "--no-verify", "--package", "evshard", "--package", "loadgen"],
                  "cargo package", capture=False)
        for name, folder in PACKAGES.items():
            check_contents(name)
            install(folder, root)
            expect_version(root, name, f"({commit})")
        unpack_and_install(target / "package", root)
    print("both crates can be packaged, and installed from a clean checkout and from their packages")


def check_contents(name):
    """The package has what it needs, and no tests, scripts or results."""
    files = child.run(["cargo", "package", "--package", name, "--list"], "cargo package --list").split()
    for required in REQUIRED:
        if not any(file == required or required.endswith("/") and file.startswith(required) for file in files):
            raise Failure(f"the package {name} lacks {required}: see 'include' in its Cargo.toml")
    forbidden = [file for file in files if FORBIDDEN.match(file)]
    if forbidden:
        raise Failure(f"the package {name} must not contain {forbidden[0]}: see 'include' in its Cargo.toml")


def install(folder, root):
    """Install the crate in `folder` below `root`."""
    argv = ["cargo", "install", "--quiet", "--locked", "--force", "--no-track", "--path", str(folder), "--root", str(root)]
    child.run(argv, f"cargo install --path {folder}", capture=False)


def unpack_and_install(packages, root):
    """Install both programs from their packages, as a registry would deliver them."""
    for name in PACKAGES:
        archives = sorted(packages.glob(f"{name}-*.crate"))
        if len(archives) != 1:
            raise Failure(f"{packages} has {len(archives)} packages of {name}: remove the folder, and run this again")
        shutil.unpack_archive(archives[0], root, "gztar")
        install(root / archives[0].stem, root)
        expect_version(root, name, None)


def expect_version(root, name, commit):
    """The installed program says its version, and the commit if there is one."""
    found = child.run([str(root / "bin" / name), "--version"], f"{name} --version").split()
    if found[0] != name or found[2:] != ([] if commit is None else [commit]):
        raise Failure(f"{name} says that it is {' '.join(found)}; the commit is {commit}: see build.rs")


if __name__ == "__main__":
    run_main(main)
