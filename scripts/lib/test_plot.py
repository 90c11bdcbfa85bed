"""Tests of the plots: what loadgen is asked to draw. Its own tests are about the drawing."""

import contextlib
import json
import tempfile
import unittest
from pathlib import Path

import plot
import stats
from child import Failure


@contextlib.contextmanager
def stand_in_for_loadgen(script="cat"):
    """The path of a shell script in place of loadgen, which has the description of a plot as its input."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "loadgen"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        yield path


def described(drawing):
    """The description of a drawing, as loadgen gets it."""
    with stand_in_for_loadgen() as loadgen:
        return json.loads(drawing.svg(loadgen))


class Drawings(unittest.TestCase):
    """The description that loadgen gets."""

    def test_a_drawing_describes_its_panels_to_loadgen(self):
        points = [(name, stats.Spread(1, 0.9, 1.2, 3)) for name in ("good", "bad")]
        verdicts = {"good": None, "bad": plot.INVALID, "not shown": plot.SUSPECT}
        panel = plot.Panel("<a & b>", "µs", "side", points, from_zero=False, target=1.05, verdicts=verdicts)
        description = described(plot.Drawing("title", "caption", [panel, panel]))
        self.assertEqual((description["title"], description["caption"]), ("title", "caption"))
        row = {"median": 1, "low": 0.9, "high": 1.2}
        expected = {"title": "<a & b>", "label": "µs", "names": "side", "from_zero": False, "target": 1.05,
                    "rows": [{"name": "good", "verdict": "VALID", **row}, {"name": "bad", "verdict": "INVALID", **row}]}
        self.assertEqual(description["charts"], [expected, expected])

    def test_a_loadgen_that_cannot_draw_is_found_before_a_study_begins(self):
        with stand_in_for_loadgen("exit 64") as loadgen, self.assertRaisesRegex(Failure, "no command plot"):
            plot.require(loadgen)
        with stand_in_for_loadgen() as loadgen:
            plot.require(loadgen)

    def test_a_plot_that_loadgen_cannot_draw_is_a_failure_with_its_words(self):
        with stand_in_for_loadgen("echo bad rows >&2; exit 1") as loadgen, self.assertRaisesRegex(Failure, "bad rows"):
            plot.Drawing("title", "caption", []).svg(loadgen)


if __name__ == "__main__":
    unittest.main()
