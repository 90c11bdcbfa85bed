"""Medians with their ranges, shares with their intervals, ratios of pairs, and the format of numbers and tables."""

import math
import statistics
from dataclasses import dataclass

MISSING = "–"
Z95 = 1.959964  # of the normal distribution, two-sided


@dataclass(frozen=True)
class Spread:
    """A median, the lowest and highest value, and the number of runs."""

    median: float
    low: float
    high: float
    n: int

    def text(self, digits=2):
        """`6.41 [6.30..6.72]`, or only the number if there was one run."""
        if self.n == 1:
            return f"{self.median:,.{digits}f}"
        return f"{self.median:,.{digits}f} [{self.low:,.{digits}f}..{self.high:,.{digits}f}]"


def spread(values):
    """The median and range of `values`; None if there are no values, or if one of them is None."""
    values = list(values)
    if not values or None in values:
        return None
    return Spread(statistics.median(values), min(values), max(values), len(values))


def share(successes, n):
    """A share with its 95 % interval (Wilson), as a Spread; None if n is 0."""
    if not n:
        return None
    found, z2 = successes / n, Z95 * Z95
    middle = (found + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(found * (1 - found) / n + z2 / (4 * n * n))
    return Spread(found, max(0.0, middle - half), min(1.0, middle + half), n)


def percent(spread):
    """A share in words: `96 % [92..98]`, or MISSING."""
    if spread is None:
        return MISSING
    return f"{100 * spread.median:.1f} % [{100 * spread.low:.1f}..{100 * spread.high:.1f}]"


def paired_ratios(numerators, denominators):
    """Ratios of runs that followed each other in one round, so that slow drift of the machine cancels."""
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def median_interval(values):
    """The interval of 95 % or more for the median, by order statistics; None for fewer than six values."""
    ordered = sorted(values)
    n, outside, k = len(ordered), 0.0, 0
    while outside + math.comb(n, k) / 2**n <= 0.025:  # the chance that at most k values are below the true median
        outside += math.comb(n, k) / 2**n
        k += 1
    return None if k == 0 else (ordered[k - 1], ordered[n - k])


def interval_cell(values, digits=3):
    """A table cell for `median_interval`."""
    found = median_interval(values)
    return MISSING if found is None else f"[{found[0]:,.{digits}f}..{found[1]:,.{digits}f}]"


def cell(value, digits=2):
    """A table cell for a Spread, a number or nothing."""
    if value is None:
        return MISSING
    return value.text(digits) if isinstance(value, Spread) else f"{value:,.{digits}f}"


def median_cell(values, digits=2):
    """A table cell with only the median, for tables that would be too wide with ranges."""
    found = spread(values)
    return MISSING if found is None else f"{found.median:,.{digits}f}"


def verdict(ratio, target, at_least=False):
    """Whether a figure stays at or below a target, in words, and in how many rounds.

    With `at_least`, whether it reaches the target.
    """
    if at_least:
        return verdict(Spread(-ratio.median, -ratio.high, -ratio.low, ratio.n), -target)
    if ratio.median <= target:
        return "met in every round" if ratio.high <= target else "met by the median, not in every round"
    return "not met in any round" if ratio.low > target else "not met by the median, met in some rounds"


def jain(values):
    """Jain's fairness index: 1 if all values are equal, 1/n if one value has the whole sum; None if all are zero."""
    values = list(values)
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else None


def table(header, rows, words=1):
    """A Markdown table, padded for a terminal. The first `words` columns are aligned left, and the others right."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(len(str(value)) for value in column) for column in columns]

    def line(values):
        texts = [str(value) for value in values]
        padded = [*map(str.ljust, texts[:words], widths), *map(str.rjust, texts[words:], widths[words:])]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (w + 2) if i < words else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([line(header), rule, *map(line, rows)])
