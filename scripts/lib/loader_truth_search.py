"""search: whether searches of a queue with a known limit find it, again and again.

The server is an M/D/1 queue. Theory gives the highest rate at which p99 of the response meets the objective. Several
searches with different seeds go on beside each other, because the queue uses little processor time.
"""

import contextlib
import json
import shlex

import child
import plot
from child import Failure
from loader import Load
from loader_truth_study import RUN_OVERHEAD_S, Section, clock, drawn, seed_of
from other_servers import lasting_ports
from queue_server import QueueServer
from queue_theory import largest_rate_per_s
from stats import MISSING, cell, spread, table
from sweeps import SEARCH_STATUS, Answer

NAME = "search"
WHAT = "repeatability of searches"
WEIGHT = 4
QUANTILE = 0.99
SERVICES = 5  # the objective, in service times
BESIDE = 8  # searches that go on beside each other
PROBE_SERVICES = 2_000  # the length of a probe in service times: some 1,100 requests at the true rate
QUICK_SERVICE_S, QUICK_PROBE_S, QUICK_MAX_S = 0.001, 1.0, 12.0
LEAST_MAX_S = 60.0
CLOSE = 0.05  # of the true rate
CONNECTIONS = 16


def run(study):
    """Make searches beside each other, in each round."""
    service_s, beside = (QUICK_SERVICE_S, 2) if study.quick else (study.search_service_s, BESIDE)
    longest_s = QUICK_MAX_S if study.quick else max(LEAST_MAX_S, study.seconds - RUN_OVERHEAD_S)
    repeated = range(max(1, beside // len(study.loaders)))
    true_per_s = largest_rate_per_s(service_s, QUANTILE, SERVICES * service_s)
    for round_number in study.each_round():
        cases = [(name, repetition) for repetition in repeated for name in study.loaders]
        study.progress(f"{len(cases)} searches beside each other, at most {clock(longest_s)} ...")
        searches = [command(study, name, service_s, longest_s, study.random(round_number, repetition), port)
                    for (name, repetition), port in zip(cases, lasting_ports(len(cases)), strict=True)]
        for (name, _), (argv, _), record in zip(cases, searches, search_beside(searches, longest_s), strict=True):
            study.save({"loader": name, "seed": argv[argv.index("--seed") + 1], "service_s": service_s,
                        "true_per_s": true_per_s, **record})


def command(study, name, service_s, longest_s, generator, port):
    """The command line of a search, and the file that it writes."""
    server = QueueServer(study.queue_server, f"constant:{service_s * 1e9:.0f}ns", seed=seed_of(generator))
    record = study.scratch / f"search-{port}.json"
    probe_s = QUICK_PROBE_S if study.quick else PROBE_SERVICES * service_s
    load = Load(study.loaders[name], connections=CONNECTIONS, pipeline=None, pacing="sleep", seed=seed_of(generator),
                duration=f"{1000 * probe_s:.0f}ms", warmup="500ms")
    argv = [load.program, "search", f"127.0.0.1:{port}", *load.flags,
            "--server-cmd", shlex.join([*server.argv, "{addr}"]), "--slo", f"p99<{SERVICES * service_s * 1000:g}ms",
            "--max-time", f"{longest_s:.0f}s", "--quiet", "--json", str(record)]
    return argv, record


def search_beside(searches, longest_s):
    """Run searches at the same time. Yields what is kept of each, in their order."""
    with contextlib.ExitStack() as stack:
        tasks = [stack.enter_context(child.Task(argv, "loadgen search")) for argv, _ in searches]
        for task, (_, path) in zip(tasks, searches, strict=True):
            task.finish(2 * longest_s + RUN_OVERHEAD_S, SEARCH_STATUS)
            if not path.exists():
                raise Failure(f"loadgen search left no record{child.indented(task.errors)}")
            yield parse(path.read_text())
            path.unlink()


def parse(text):
    """What is kept of a search.json: the answer, and the plain fields of each probe.

    It reads any version of the format with these fields, because builds of different ages are compared.
    """
    try:
        values = json.loads(text)
        answer = values["answer"]
        return {"rate_per_s": answer["rate_per_s"], "end": answer["end"], "limit": answer["limit"],
                "qualifier": answer.get("qualifier"), "confirmed": answer["confirmed"],
                "elapsed_s": values["elapsed_s"],
                "probes": [{name: value for name, value in probe.items() if not isinstance(value, dict | list)}
                           for probe in values["probes"]]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failure(f"loadgen's search is not usable ({error!r}): {text[:200]!r}") from error


def answer_of(one):
    """The answer of a search, as the other scripts read it."""
    return Answer(one["rate_per_s"], one["end"], one["limit"], one["qualifier"], len(one["probes"]))


def ratios(records):
    """Found rates as shares of the true ones."""
    return [one["rate_per_s"] / one["true_per_s"] for one in records if one["rate_per_s"]]


def report(records):
    """The section of the study."""
    groups, service_ms = {}, 1000 * records[0]["service_s"]
    for one in records:
        groups.setdefault(one["loader"], []).append(one)
    rows = [[name, answer_of(one).words, f"{one['true_per_s']:.1f}",
             f"{one['rate_per_s'] / one['true_per_s']:.3f}" if one["rate_per_s"] else MISSING, one["confirmed"],
             len(one["probes"]), f"{one['elapsed_s']:.0f}"] for name, found in groups.items() for one in found]
    header = ["loader", "found, /s", "true, /s", "found / true", "confirmed", "probes", "time, s"]
    parts, summary = [], []
    for name, found in groups.items():
        close = sum(abs(ratio - 1) <= CLOSE for ratio in ratios(found))
        ended = sum(answer_of(one).end == "found" for one in found)
        summary.append([name, len(found), ended, close, cell(spread(ratios(found)), 3)])
        parts.append(f"{name}: {close} of {len(found)} within {100 * CLOSE:.0f} %, found / true "
                     f"{cell(spread(ratios(found)), 3)}")
    points = [(name, spread(ratios(found))) for name, found in groups.items() if ratios(found)]
    panel = plot.Panel("Found rate by true rate", "found / true", "", points, from_zero=False, target=1.0)
    return Section(
        "Repeatability of searches",
        f"Searches of a known limit: {'; '.join(parts)}.",
        f"The objective is p99 < {SERVICES * service_ms:g} ms, and the server an M/D/1 queue with {service_ms:g} ms of "
        "service.\n\n"
        + table(["loader", "searches", "ended with a rate", f"within {100 * CLOSE:.0f} %", "found / true"], summary)
        + "\n\n" + table(header, rows, words=2),
        [("search", "found rate by true rate",
          drawn("Searches of a queue with a known limit", "median and range of the searches", [panel]))],
        ["search: p99 of the steady state meets the objective up to the true rate. A search that does not end within "
         "its time reports the highest rate so far; its qualifier is in the table."],
    )
