"""A check of HdrHistogram's percentile text, as strict as HdrHistogram's plotter."""

HEADER = ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
FOOTER = ("#[Mean ", "#[Max ", "#[Buckets ")


def check(text):
    """Raise ValueError, with the line, unless every row can be plotted and no column decreases."""
    lines = text.splitlines()
    if len(lines) < 3 or lines[0].split() != HEADER or lines[1]:
        raise ValueError("line 1: not the header of a percentile file and an empty line")
    rows = [(number, line) for number, line in enumerate(lines, 1) if number > 2 and not line.startswith("#")]
    before = (0.0, -1.0, 0.0)
    for number, line in rows:
        if "\t" in line:
            raise ValueError(f"line {number}: a tab, and columns are separated by spaces")
        last = number == rows[-1][0]
        values = [float(word) for word in line.split()]
        if len(values) != (3 if last else 4):
            raise ValueError(f"line {number}: {len(values)} columns")
        if any(now < then for now, then in zip(values, before, strict=False)):
            raise ValueError(f"line {number}: a column decreases")
        if not last and abs(values[3] * (1 - values[1]) - 1) > 0.01 + 0.01 * (1 - values[1]):
            raise ValueError(f"line {number}: {values[3]} is not 1/(1 - {values[1]})")
        before = tuple(values[:3])
    if not rows or before[1] != 1.0:
        raise ValueError("the last row is not that of 100 %")
    for begin in FOOTER:
        if not any(line.startswith(begin) for line in lines):
            raise ValueError(f"no line that begins with {begin!r}")
