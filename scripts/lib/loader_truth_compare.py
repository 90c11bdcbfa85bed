"""compare: how often `loadgen compare` sees a difference where there is none, and how often where there is one.

A pool of runs is measured for each of five servers, in turns: A, A again, and three that are slower by 5, 10 and 20 %.
Sides of a comparison are drawn from the pools at random. Both sides of a false alarm come from the pool of A and A
again, and share no run.
"""

import contextlib
import itertools
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import child
import plot
from child import Failure
from loader import Load
from loader_truth_study import SHARES, Job, Section, distilled, drawn, run_beside, seed_of
from queue_server import QueueServer
from queue_theory import M_M_1, Queue
from stats import MISSING, percent, share, table

NAME = "compare"
WHAT = "false alarms and power of compare"
WEIGHT = 2
SIDES = (5, 8, 10)  # runs of a side
SLOWER = {"A": 0.0, "A again": 0.0, "+5 %": 0.05, "+10 %": 0.10, "+20 %": 0.20}
SAME = ("A", "A again")
RATE_PER_S = 100
UTILISATION = 0.4
SECONDS = 5
BESIDE = 8  # runs of each server that go on beside each other
CONNECTIONS = 4
POOL_SHARE = 0.5  # of the time; comparisons need the rest
POWER_COMPARISONS = 4  # a difference needs this part of the comparisons that false alarms need
ALARMS_MAX = 0.05
COMPARE_STATUS = (0, 1, 2, 3)
COMPARE_TIMEOUT_S = 60.0
BESIDE_COMPARISONS = 2
PROGRESS_COMPARISONS = 500
LEAST_COMPARISONS = 200  # are made even if the time is over
NONE = "none"  # the difference of two sides from the pools of A and A again
DIFFERENT = ("faster", "slower")


@dataclass(frozen=True)
class Draw:
    """Two sides of a comparison, which are paths of records, and the build that compares them."""

    loader: str
    runs: int
    difference: str
    a: list
    b: list


def run(study):
    """Measure the pools, and compare drawn sides."""
    pools = {}
    for number in study.each_round(study.seconds * POOL_SHARE):
        for name, path in measure(study, number):
            pools.setdefault(name, []).append(path)
    draws = [draws_of(study, loader, {config: pools.get((loader, config), []) for config in SLOWER})
             for loader in study.loaders]
    compare_all(study, [draw for beside in itertools.zip_longest(*draws) for draw in beside if draw is not None])


def measure(study, round_number):
    """Run each server several times with each loader. Yields (loader, server) and the path of a usable record."""
    seconds, beside = (1, 5) if study.quick else (SECONDS, BESIDE)
    for loader in study.loaders:
        configs = list(SLOWER) * beside
        jobs = [job(study, loader, config, seconds, study.random(config, round_number, number),
                    study.scratch / f"record-{number}.json") for number, config in enumerate(configs)]
        for config, done, ran in zip(configs, jobs, run_beside(jobs), strict=True):
            if ran.values is None:
                study.save_failure(loader, ran)
                continue
            # A smoke run compares all, so that it compares anything on a machine that is not quiet.
            compared = study.quick or ran.values["validity"]["verdict"] != "INVALID"
            study.save({"loader": loader, "server": config, "seed": done.load.seed, "compared": compared,
                        **distilled(ran.values)})
            if compared:
                path = study.scratch / f"{len(study.records):05}.json"
                path.write_text(json.dumps(ran.values))
                yield (loader, config), path


def job(study, loader, config, seconds, generator, record):
    """A run of a server."""
    queue = Queue(M_M_1, RATE_PER_S, UTILISATION * (1 + SLOWER[config]))
    server = QueueServer(study.queue_server, queue.service, seed=seed_of(generator),
                         backlog_s=queue.backlog_s(generator.random()))
    load = Load(study.loaders[loader], connections=CONNECTIONS, pipeline=None, rate=RATE_PER_S, duration=f"{seconds}s",
                warmup="500ms", pacing="sleep", seed=seed_of(generator))
    return Job(server.subject(), load, record)


def draws_of(study, loader, pools):
    """The comparisons of a build: false alarms for each size of a side, and power for each size and difference.

    Their order is random, so that those that are made before the time is over are a random part.
    """
    generator = study.random("draws")
    same = [path for config in SAME for path in pools[config]]
    draws = []
    for size in SIDES:
        if len(same) >= 2 * size:
            draws += [Draw(loader, size, NONE, *halves(generator.sample(same, 2 * size)))
                      for _ in range(study.comparisons)]
        for config in SLOWER:
            if config not in SAME and min(len(pools["A"]), len(pools[config])) >= size:
                draws += [Draw(loader, size, config, generator.sample(pools["A"], size),
                               generator.sample(pools[config], size))
                          for _ in range(max(1, study.comparisons // POWER_COMPARISONS))]
    generator.shuffle(draws)
    return draws


def compare_all(study, draws):
    """Make the comparisons, until the time is over."""
    study.progress(f"{len(draws):,} comparisons ...")
    for first in range(0, len(draws), BESIDE_COMPARISONS):
        if first >= LEAST_COMPARISONS and study.is_over:
            study.progress(f"the time is over after {first:,} comparisons")
            return
        if first and first % PROGRESS_COMPARISONS == 0:
            study.progress(f"{first:,} of {len(draws):,} comparisons")
        for record in compare(study, draws[first:first + BESIDE_COMPARISONS]):
            study.save(record)


def halves(drawn):
    """Two sides without a common run."""
    return drawn[:len(drawn) // 2], drawn[len(drawn) // 2:]


def compare(study, draws):
    """Run `loadgen compare` on some draws at the same time. Returns their records."""
    with contextlib.ExitStack() as stack:
        tasks = []
        for draw in draws:
            folders = [linked(stack.enter_context(tempfile.TemporaryDirectory(dir=study.scratch)), side)
                       for side in (draw.a, draw.b)]
            tasks.append(stack.enter_context(
                child.Task([study.loaders[draw.loader], "compare", *folders, "--json", "-"], "loadgen compare")))
        judged = [parse(task.finish(COMPARE_TIMEOUT_S, COMPARE_STATUS)) for task in tasks]
    return [{"loader": draw.loader, "difference": draw.difference, "runs": draw.runs, "judgement": judgement,
             "findings": findings, "a": [path.stem for path in draw.a], "b": [path.stem for path in draw.b]}
            for draw, (judgement, findings) in zip(draws, judged, strict=True)]


def linked(folder, paths):
    """Link the records of a side into a folder. Returns the folder."""
    for path in paths:
        (Path(folder) / path.name).symlink_to(path)
    return folder


def parse(text):
    """The judgement of a comparison, and that of each metric."""
    try:
        values = json.loads(text)
        return values["judgement"], {one["metric"]: one["judgement"] for one in values["findings"]}
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"the comparison of loadgen is not usable ({error!r}): {text[:200]!r}") from error


def report(records):
    """The section of the study."""
    runs = [one for one in records if "server" in one]
    comparisons = [one for one in records if "judgement" in one]
    groups = {}
    for one in comparisons:
        groups.setdefault((one["loader"], one["difference"], one["runs"]), []).append(one)
    rows = [[loader, difference, size, len(found), percent(slower(found)), percent(judged(found, ("faster",))),
             percent(judged(found, ("same",))), metrics(found)]
            for (loader, difference, size), found in sorted(groups.items(), key=order)]
    header = ["loader", "difference", "runs a side", "comparisons", "slower", "faster", "the same",
              "metrics that differ"]
    invalid = sum(not one["compared"] for one in runs)
    return Section(
        "False alarms and power of compare",
        f"compare: {answer(groups)}.",
        f"{len(runs):,} runs, of which {invalid:,} are INVALID and not compared; {len(comparisons):,} comparisons. A is "
        f"an M/M/1 queue at {RATE_PER_S}/s and a utilisation of {UTILISATION:g}. B has longer service times. Without a "
        "difference, \"slower\" and \"faster\" are false alarms.\n\n" + table(header, rows, words=2),
        [("compare", "false alarms and power by the number of runs", picture(groups))],
        [f"compare: a slower server has service times that are longer by the stated share. At a utilisation of "
         f"{UTILISATION:g}, its response times grow more than that.",
         "compare: many comparisons are drawn from one pool, so they share runs, and the intervals of the shares are too "
         "narrow. For false alarms both sides are drawn from one set of runs, so they differ by chance only."],
    )


def order(group):
    """Sort by difference in the order of the servers, and by size. The builds of the loader stay beside each other."""
    (_, difference, size), _ = group
    return -1 if difference == NONE else list(SLOWER).index(difference), size


def judged(comparisons, judgements):
    """The share of comparisons with one of these judgements."""
    return share(sum(one["judgement"] in judgements for one in comparisons), len(comparisons))


def slower(comparisons):
    """The share of comparisons that find B slower."""
    return judged(comparisons, ("slower",))


def metrics(comparisons):
    """How often each metric was judged different: `p50 3, p99 1`."""
    counts = {}
    for one in comparisons:
        for metric, judgement in one["findings"].items():
            counts[metric] = counts.get(metric, 0) + (judgement in DIFFERENT)
    return ", ".join(f"{metric} {count}" for metric, count in counts.items() if count) or MISSING


def answer(groups):
    """False alarms over all sizes, and power by difference and size, for each loader."""
    parts = []
    for loader in dict.fromkeys(name for name, _, _ in groups):
        same = [one for (name, difference, _), found in groups.items() for one in found
                if (name, difference) == (loader, NONE)]
        power = [power_words(groups, loader, difference) for difference in SLOWER if difference not in SAME]
        parts.append(f"{loader}: false alarms {percent(judged(same, DIFFERENT))}, seen as slower: {', '.join(power)}")
    return "; ".join(parts) or "nothing was compared"


def power_words(groups, loader, difference):
    """`+20 % in 60, 100 % (5, 8 runs)`."""
    found = {size: groups[loader, difference, size] for size in SIDES if (loader, difference, size) in groups}
    if not found:
        return f"{difference} {MISSING}"
    shares = ", ".join(f"{100 * slower(one).median:.0f}" for one in found.values())
    return f"{difference} in {shares} % ({', '.join(map(str, found))} runs)"


def picture(groups):
    """A plot of the false alarms, and one of the power for each difference, by the number of runs a side."""
    panels = []
    for difference in (NONE, *SLOWER):
        is_same = difference == NONE
        points = [(f"{size} runs\n{loader}", judged(found, DIFFERENT if is_same else ("slower",)))
                  for (loader, one, size), found in sorted(groups.items(), key=order) if one == difference]
        panels.append(plot.Panel("False alarms" if is_same else f"B slower by {difference.removeprefix('+')}",
                                 "share judged different" if is_same else "share judged slower", "", points,
                                 target=ALARMS_MAX if is_same else None))
    return drawn("False alarms and power of compare", SHARES, panels)
