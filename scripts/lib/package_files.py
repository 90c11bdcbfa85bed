"""What a package has beside its program: manual pages, completions, licences, Debian's changelog."""

import json
import os
import re
import shutil
from email.utils import formatdate
from pathlib import Path

import child
import licences

FOLDER = Path("target/package-files")  # the manifests of both packages name it
# A build for a test of packages: the programs need not be fast. It has a target folder of its own.
UNOPTIMIZED = {"CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
               "CARGO_PROFILE_RELEASE_OPT_LEVEL": "0", "CARGO_PROFILE_RELEASE_DEBUG": "false"}
COMPLETIONS = {"bash": "{}", "zsh": "_{}", "fish": "{}.fish"}
DEBIAN_NAMES = {"evshard": "evshard", "loadgen": "evshard-loadgen"}


def build_without_optimisation(target):
    """Have cargo build without optimisation below the folder `target`. Returns the target folder."""
    folder = (target / "packages").absolute()
    os.environ.update(UNOPTIMIZED, CARGO_TARGET_DIR=str(folder))
    return folder


def name_this_commit():
    """Have the next build name the commit that is checked out. Otherwise cargo names the one of the last change of a source."""
    for script in ("build.rs", "loadgen/build.rs"):
        os.utime(script)


def version():
    """The version of both packages."""
    metadata = json.loads(child.run(["cargo", "metadata", "--format-version", "1", "--no-deps"], "cargo metadata"))
    return next(one["version"] for one in metadata["packages"] if one["name"] == "evshard")


def write(program, package):
    """Write the files of one package. Returns their folder."""
    folder = FOLDER / package
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    child.run([program, "man", str(folder / "man")], f"{package} man")
    for shell, name in COMPLETIONS.items():
        script = child.run([program, "completions", shell], f"{package} completions {shell}")
        (folder / shell).mkdir()
        (folder / shell / name.format(package)).write_text(script)
    (folder / "LICENCES").write_text(licences.of_program(package))
    return folder


def write_debian(folder, package, debian_version, maintainer):
    """Write the files that only a Debian package has: its changelog and its copyright."""
    commit_time = float(child.run(["git", "log", "-1", "--format=%ct"], "git log").strip())
    changelog = (f"{DEBIAN_NAMES[package]} ({debian_version}) unstable; urgency=medium\n\n"
                 "  * The changes are in CHANGELOG.md of the source.\n\n"
                 f" -- {maintainer}  {formatdate(commit_time)}\n")
    (folder / "changelog").write_text(changelog)
    (folder / "copyright").write_text(_copyright(package))


def _copyright(package):
    mit = re.sub(r"^$", ".", Path("LICENSE-MIT").read_text().strip(), flags=re.MULTILINE)
    indented = "".join(f" {line}\n" for line in mit.splitlines())
    name = DEBIAN_NAMES[package]
    return ("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
            f"Upstream-Name: {package}\n"
            f"Comment: The licences of the crates in the program are in /usr/share/doc/{name}/LICENCES.\n"
            "\n"
            "Files: *\n"
            "Copyright: the evshard developers\n"
            "License: Expat or Apache-2.0\n"
            "\n"
            "License: Expat\n"
            f"{indented}"
            "\n"
            "License: Apache-2.0\n"
            " On Debian systems, the full text is in /usr/share/common-licenses/Apache-2.0.\n")
