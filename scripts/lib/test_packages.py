"""Tests of the scripts that make packages; no cargo, no network."""

import tempfile
import unittest
from pathlib import Path

import licences
from child import Failure
from licences import Crate


def metadata(folder):
    """Cargo's metadata of a program `app`: it needs `a`, which needs `b`; its tests need `c`, and its build script `d`."""

    def package(name):
        (folder / name).mkdir()
        (folder / name / "LICENSE-MIT").write_text(f"text of {name}\n")
        (folder / name / "licenses.rs").write_text("no text of a licence")
        return {"id": name, "name": name, "version": "1.0.0", "license": "MIT",
                "manifest_path": str(folder / name / "Cargo.toml")}

    def node(name, **needs):
        return {"id": name, "deps": [{"pkg": pkg, "dep_kinds": [{"kind": kind}]} for pkg, kind in needs.items()]}

    return {
        "packages": [package(name) for name in ("app", "a", "b", "c", "d")],
        "workspace_members": ["app"],
        "resolve": {"nodes": [node("app", a=None, c="dev", d="build"), node("a", b=None), node("b"), node("c"), node("d")]},
    }


class Licences(unittest.TestCase):
    def test_the_crates_are_those_that_run_directly_or_not(self):
        with tempfile.TemporaryDirectory() as folder:
            found = licences.crates(metadata(Path(folder)), "app")
        self.assertEqual(found, [Crate("a 1.0.0", "MIT", ("text of a",)), Crate("b 1.0.0", "MIT", ("text of b",))])

    def test_equal_texts_appear_once_with_all_their_crates(self):
        crates = [Crate("a 1", "MIT", ("same",)), Crate("b 2", "MIT", ("same", "other")), Crate("c 3", "MIT", ("more",))]
        text = licences.render("app", crates, "apache")
        self.assertEqual([text.count(f"\n{one}\n") for one in ("same", "other", "more", "apache")], [1, 1, 1, 1])
        self.assertIn(f"{licences.RULE}\n  a 1\n  b 2\n{licences.RULE}\n\nsame\n", text)

    def test_a_crate_without_a_text_has_the_standard_text_or_is_an_error(self):
        text = licences.render("app", [Crate("a 1", "MIT OR Apache-2.0", ())], "apache")
        self.assertIn(f"  Rust's standard library\n  a 1\n{licences.RULE}\n\napache\n", text)
        with self.assertRaisesRegex(Failure, "the package of b 2 has no licence text"):
            licences.render("app", [Crate("b 2", "MIT", ())], "apache")


if __name__ == "__main__":
    unittest.main()
