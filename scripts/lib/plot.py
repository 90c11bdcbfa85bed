"""Plots of medians with their ranges. loadgen draws them, so that they look like its own.

Equal values give equal bytes, so a plot in the repository changes only with its data.
"""

import json
import subprocess
from dataclasses import dataclass, field

from child import Failure

# The verdicts of points whose measurements are not all VALID, as loadgen names them.
SUSPECT, INVALID = "SUSPECT", "INVALID"


def require(loadgen):
    """Fail unless this program can draw: an older build of loadgen could not."""
    asked = subprocess.run([loadgen, "plot", "--help"], stdin=subprocess.DEVNULL, capture_output=True)
    if asked.returncode != 0:
        raise Failure(f"{loadgen} has no command plot, which draws the plots: use a newer build")


@dataclass(frozen=True)
class Panel:
    """One chart, with a named row for each Spread. `target` is a dashed line; `from_zero` starts the axis at 0.

    `label` says what the values are, with their unit, and `names` what the names of the rows are. `verdicts` has the worst verdict by the name of a row. A row that
    is not in it is VALID.
    """

    title: str
    label: str
    names: str
    points: list  # of (name, Spread)
    from_zero: bool = True
    target: float | None = None
    verdicts: dict = field(default_factory=dict)

    def description(self):
        """The chart as `loadgen plot` reads it."""
        rows = [{"name": name, "median": point.median, "low": point.low, "high": point.high,
                 "verdict": self.verdicts.get(name) or "VALID"} for name, point in self.points]
        return {"title": self.title, "label": self.label, "names": self.names, "from_zero": self.from_zero, "target": self.target,
                "rows": rows}


@dataclass(frozen=True)
class Drawing:
    """A picture: a title, a caption, and panels below one another."""

    title: str
    caption: str
    panels: list

    def svg(self, loadgen):
        """The picture as SVG, drawn by this program."""
        description = {"title": self.title, "caption": self.caption,
                       "charts": [panel.description() for panel in self.panels]}
        drawn = subprocess.run([loadgen, "plot", "-"], input=json.dumps(description), capture_output=True, text=True)
        if drawn.returncode != 0:
            raise Failure(f"cannot draw {self.title!r}: {drawn.stderr.strip()}")
        return drawn.stdout
