"""`loadgen sweep` and `loadgen search`: their command lines, and the fields of their files that the scripts use."""

import json
from dataclasses import dataclass
from pathlib import Path

import child
import loader
from child import Failure
from stats import Spread

SWEEP_SCHEMA, SEARCH_SCHEMA = "loadgen-sweep/1", "loadgen-search/1"
CLOSED = "closed"  # the word for a closed loop in place of a rate
RUN_OVERHEAD_S = 10.0  # starting a server, connecting, draining, stopping
# A search may find no rate that meets the objective, or only a lower bound of it. Its record has the reason, and the
# scripts publish it.
SEARCH_STATUS = (*loader.USABLE_STATUS, 1)


@dataclass(frozen=True)
class Cell:
    """One combination of the variables' values, with all its runs."""

    settings: dict  # variable name to value
    summary: dict
    runs: list  # of dicts, with the verdict of each run and its first reason

    def spread(self, figure, scale=1.0):
        """Median and range of a figure over the runs; None if a run has no such figure."""
        found = self.summary[figure]
        if found is None:
            return None
        return Spread(*(found[name] * scale for name in ("median", "least", "most")), self.summary["runs"])

    @property
    def verdict(self):
        """The worst verdict of the runs; None if all are VALID."""
        return next((name.upper() for name in ("invalid", "suspect") if self.summary[name]), None)

    @property
    def reason(self):
        """The first reason of the worst verdict, such as "workers=2 rate=9000: loader-late: ..."."""
        settings = " ".join(f"{name}={value}" for name, value in self.settings.items())
        return next((f"{settings}: {run['reason']}" for run in self.runs if run["verdict"] == self.verdict), settings)

    @property
    def verdicts(self):
        """The verdicts of the runs, in a few words."""
        counts = {name.upper(): self.summary[name] for name in ("valid", "suspect", "invalid")}
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


@dataclass(frozen=True)
class Answer:
    """The result of a search: a rate or None, how the search ended, and what limits higher rates."""

    rate_per_s: float | None
    end: str
    limit: str | None
    qualifier: str | None  # "at-least", "not-confirmed"
    probes: int

    @property
    def verdict(self):
        """INVALID if the loader was the limit, so that the true answer is at least the rate; otherwise None."""
        return "INVALID" if self.limit == "loader" else None

    @property
    def words(self):
        """`12,300`, `≥ 12,300 (loader)`, `none (objective)`, `12,300 (time-up, not confirmed)`."""
        rate = "none" if self.rate_per_s is None else f"{self.rate_per_s:,.0f}"
        known = [] if self.end == "found" and self.limit in ("objective", "highest") else [self.limit or self.end]
        if self.qualifier == "not-confirmed":
            known.append("not confirmed")
        sign = "≥ " if self.qualifier == "at-least" else ""
        return f"{sign}{rate} ({', '.join(known)})" if known else rate


def sweep_argv(program, address, server_command, flags, variables, runs, out):
    """The command line of a sweep. `variables` has the values of each variable."""
    chosen = [word for name, values in variables.items() for word in ("--var", f"{name}={','.join(map(str, values))}")]
    return [program, "sweep", address, "--server-cmd", server_command, *flags, *chosen, "--runs", str(runs),
            "--out", str(out), "--quiet"]


def run_sweep(argv, out, load, count):
    """Run a sweep of `count` runs. Returns its cells."""
    child.run(argv, "loadgen sweep", count * (load.seconds + RUN_OVERHEAD_S), expected=loader.USABLE_STATUS)
    return parse_sweep((Path(out) / "sweep.json").read_text())


def search_argv(program, address, server_command, flags, objective, limits, out):
    """The command line of a search. `limits` are the flags that bound the search."""
    return [program, "search", address, "--server-cmd", server_command, *flags, "--slo", objective, *limits,
            "--out", str(out), "--quiet"]


def run_search(argv, out, timeout_s):
    """Run a search. Returns its answer."""
    child.run(argv, "loadgen search", timeout_s, expected=SEARCH_STATUS)
    path = Path(out) / "search.json"
    if not path.exists():
        raise Failure("loadgen search left no search.json")
    return parse_search(path.read_text())


def parse_sweep(text):
    """The cells of a sweep.json. An incomplete sweep, or one that lost requests, is a Failure."""
    values = _parse(text, SWEEP_SCHEMA)
    try:
        cells = [Cell({one["name"]: one["value"] for one in cell["settings"]}, cell["summary"], cell["runs"])
                 for cell in values["cells"]]
        lost = [cell.settings for cell in cells if cell.summary["with_errors"]]
        complete = values["complete"]
    except (KeyError, TypeError) as error:
        raise Failure(f"the sweep's JSON lacks what is needed: {error!r}") from error
    if not complete or lost:
        raise Failure(f"the sweep is not usable: {'requests were lost in ' + str(lost) if lost else 'not complete'}")
    return cells


def parse_search(text):
    """The answer of a search.json. A search that ended with an error is a Failure."""
    values = _parse(text, SEARCH_SCHEMA)
    try:
        answer = values["answer"]
        found = Answer(answer["rate_per_s"], answer["end"], answer["limit"], answer["qualifier"],
                       len(values["probes"]))
    except (KeyError, TypeError) as error:
        raise Failure(f"the search's JSON lacks what is needed: {error!r}") from error
    if found.end in ("failed", "interrupted"):
        raise Failure(f"the search has no answer, because it ended early: {found.end}")
    return found


def _parse(text, schema):
    try:
        values = json.loads(text)
        found = values["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"loadgen's file does not have the schema {schema} ({error!r}): {text[:200]!r}") from error
    if found != schema:
        raise Failure(f"loadgen's file has the schema {found!r}, and these scripts read {schema!r}")
    return values
