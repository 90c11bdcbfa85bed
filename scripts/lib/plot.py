"""SVG plots of medians with whiskers from minimum to maximum.

The plots need no package. Equal input gives equal bytes, so a plot in the repository changes only with its data.
"""

import math
from dataclasses import dataclass, field
from html import escape

PANEL_WIDTH, PANEL_HEIGHT = 460, 340
LEFT, RIGHT, TOP, BOTTOM = 84, 36, 46, 64
TITLE_HEIGHT, CAPTION_HEIGHT = 34, 26
INK, GRID, MARK, TARGET, PAPER = "#222", "#ddd", "#1f5fa8", "#b3261e", "#fff"
# The marks of points whose measurements are not all VALID, as in the plots of loadgen.
SUSPECT, INVALID = "SUSPECT", "INVALID"
MEANINGS = {SUSPECT: "hollow: a run was SUSPECT", INVALID: "crossed out: a run was INVALID, do not use"}


@dataclass(frozen=True)
class Panel:
    """One diagram, with a labelled category for each Spread. `target` is a dashed line; `from_zero` starts the axis at 0.

    `verdicts` has the worst verdict by label. A label that is not in it is VALID.
    """

    title: str
    y_label: str
    x_label: str
    points: list  # of (label, Spread); a label may hold newlines
    from_zero: bool = True
    target: float | None = None
    verdicts: dict = field(default_factory=dict)


def svg(title, caption, panels):
    """The whole picture: a title, the panels side by side, a caption, and what the marks mean that are not VALID."""
    meanings = [MEANINGS[verdict] for verdict in MEANINGS if any(verdict in _shown(panel) for panel in panels)]
    width = PANEL_WIDTH * len(panels)
    height = TITLE_HEIGHT + PANEL_HEIGHT + CAPTION_HEIGHT * (1 + bool(meanings))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="sans-serif" font-size="13" fill="{INK}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        _text(width / 2, 22, title, size=16, weight="bold"),
    ]
    for index, panel in enumerate(panels):
        parts.append(f'<g transform="translate({index * PANEL_WIDTH} {TITLE_HEIGHT})">')
        parts += _panel(panel)
        parts.append("</g>")
    parts.append(_text(width / 2, TITLE_HEIGHT + PANEL_HEIGHT + CAPTION_HEIGHT - 9, caption, size=12))
    if meanings:
        parts.append(_text(width / 2, height - 9, "; ".join(meanings), size=12, weight="bold", fill=TARGET))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _shown(panel):
    """The verdicts of the points of a panel."""
    return {panel.verdicts[label] for label, _ in panel.points if label in panel.verdicts}


def axis(low, high):
    """About five round tick values that cover low to high, and the number of digits that distinguishes them."""
    span = (high - low) or abs(high) or 1.0
    magnitude = 10 ** math.floor(math.log10(span / 5))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= span / 5 * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    extra = 1 if str(step / magnitude).startswith("2.5") else 0
    digits = max(0, extra - math.floor(math.log10(step) + 1e-9))
    return [number * step for number in range(first, max(last, first + 1) + 1)], digits


def _panel(panel):
    marks = [panel.target] if panel.target is not None else []
    values = [value for _, point in panel.points for value in (point.low, point.high)] + marks
    ticks, digits = axis(0 if panel.from_zero else min(values), max(values))
    plot_width, plot_height = PANEL_WIDTH - LEFT - RIGHT, PANEL_HEIGHT - TOP - BOTTOM

    def y(value):
        return TOP + plot_height * (1 - (value - ticks[0]) / (ticks[-1] - ticks[0]))

    parts = [_text(LEFT + plot_width / 2, 24, panel.title, size=14, weight="bold")]
    for tick in ticks:
        parts.append(_line(LEFT, y(tick), LEFT + plot_width, y(tick), GRID))
        parts.append(_text(LEFT - 8, y(tick) + 4, f"{tick:,.{digits}f}", anchor="end"))
    middle = TOP + plot_height / 2
    parts.append(f'<g transform="rotate(-90 11 {middle:.1f})">{_text(11, middle, panel.y_label)}</g>')
    parts.append(_text(LEFT + plot_width / 2, PANEL_HEIGHT - 10, panel.x_label))
    if panel.target is not None:
        parts.append(_line(LEFT, y(panel.target), LEFT + plot_width, y(panel.target), TARGET, dash="6 4"))
        parts.append(_text(LEFT + plot_width, y(panel.target) - 5, f"target {panel.target:g}", "end", 12, fill=TARGET))
    slot = plot_width / len(panel.points)
    for index, (label, point) in enumerate(panel.points):
        parts += _point(LEFT + slot * (index + 0.5), y, point, panel.verdicts.get(label))
        parts += _category(LEFT + slot * (index + 0.5), TOP + plot_height + 17, label)
    return parts


def _point(x, y, point, verdict):
    digits = 0 if point.median >= 1000 else 1 if point.median >= 100 else 2
    middle = y(point.median)
    fill = PAPER if verdict in MEANINGS else MARK
    cross = [_line(x - 7, middle - 7, x + 7, middle + 7, MARK, 2), _line(x - 7, middle + 7, x + 7, middle - 7, MARK, 2)]
    return [
        _line(x, y(point.low), x, y(point.high), MARK, 2),
        _line(x - 7, y(point.low), x + 7, y(point.low), MARK, 2),
        _line(x - 7, y(point.high), x + 7, y(point.high), MARK, 2),
        f'<circle cx="{x:.1f}" cy="{middle:.1f}" r="5" fill="{fill}" stroke="{MARK}" stroke-width="2"/>',
        *(cross if verdict == INVALID else []),
        _text(x + 10, middle + 4, f"{point.median:,.{digits}f}", "start", 12),
    ]


def _category(x, y, label):
    return [_text(x, y + 14 * row, line, size=12) for row, line in enumerate(label.split("\n"))]


def _text(x, y, text, anchor="middle", size=13, weight="normal", fill=INK):
    style = f'text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" fill="{fill}"'
    halo = 'stroke="#fff" stroke-width="3" paint-order="stroke"'  # keeps it readable on top of a line
    return f'<text x="{x:.1f}" y="{y:.1f}" {style} {halo}>{escape(text)}</text>'


def _line(x1, y1, x2, y2, colour, width=1, dash="none"):
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dash}"/>'
