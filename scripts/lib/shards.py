"""The table of shards that the server prints after the drain."""


def rows(text):
    """The table's rows as dictionaries by column name, without the total. Empty if there is no table."""
    lines = [line.split() for line in text.splitlines()]
    start = next((i for i, words in enumerate(lines) if words[:1] == ["shard"]), None)
    if start is None:
        return []
    header, found = lines[start], []
    for words in lines[start + 1:]:
        if len(words) != len(header) or words[0] == "total":
            break
        found.append(dict(zip(header, words, strict=True)))
    return found


def mean_weighted(text, column, weight):
    """The mean of a column, weighted by another, as events/wait by waits; None if all weights are zero."""
    pairs = [(float(row[column]), float(row[weight])) for row in rows(text) if row.get(column, "-") != "-"]
    total = sum(weight_value for _, weight_value in pairs)
    return sum(value * weight_value for value, weight_value in pairs) / total if total else None
