"""The licence texts of the crates that a program is linked from, as one text file."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import child
from child import Failure

TEXT_FILE = re.compile(r"(licen[cs]e|copying|copyright|notice)([-._].*)?", re.IGNORECASE)
RULE = "-" * 80
# Crates whose package has no licence text. Their licence is that of our own file.
STANDARD_TEXT = "LICENSE-APACHE"
STANDARD_LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class Crate:
    """A crate, its licence as Cargo.toml has it, and the texts in its package."""

    name: str
    licence: str
    texts: tuple


def of_program(package):
    """The licences of all that the workspace's `package` is linked from, itself excepted."""
    host = re.search(r"^host: (\S+)$", child.run(["rustc", "-vV"], "rustc"), re.MULTILINE)[1]
    argv = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", host]
    return render(package, crates(json.loads(child.run(argv, "cargo metadata")), package), Path(STANDARD_TEXT).read_text())


def crates(metadata, package):
    """The crates that `package` needs to run, directly or not, in the order of their names."""
    packages = {one["id"]: one for one in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    members = set(metadata["workspace_members"])
    found, waiting = set(), [one for one in members if packages[one]["name"] == package]
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            is_normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if is_normal and dependency["pkg"] not in found:
                found.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    return sorted((_crate(packages[one]) for one in found - members), key=lambda crate: crate.name)


def _crate(package):
    folder = Path(package["manifest_path"]).parent
    files = sorted(path for path in folder.iterdir() if path.is_file() and TEXT_FILE.fullmatch(path.name))
    texts = tuple(path.read_text(encoding="utf-8", errors="replace").strip() for path in files)
    return Crate(f"{package['name']} {package['version']}", package["license"] or "", texts)


def render(package, all_crates, standard_text):
    """The file: a list of the crates with their licences, and then each text with the crates that have it."""
    lines = [f"{package} is licensed under MIT or Apache-2.0. It contains these crates:", ""]
    lines += [f"  {crate.name}: {crate.licence}" for crate in all_crates]
    lines += ["", "It also contains Rust's standard library: MIT OR Apache-2.0."]
    users = {standard_text.strip(): ["Rust's standard library"]}
    for crate in all_crates:
        if not crate.texts and STANDARD_LICENCE not in crate.licence:
            raise Failure(f"the package of {crate.name} has no licence text, and it is under {crate.licence}: "
                          "add its text to scripts/lib/licences.py")
        for text in crate.texts or [standard_text.strip()]:
            users.setdefault(text, []).append(crate.name)
    for text, names in users.items():
        lines += ["", RULE, *(f"  {name}" for name in names), RULE, "", text]
    return "\n".join(lines) + "\n"
