"""confusion: what loadgen's verdict says in situations whose truth is known, and whom it blames.

The runs go one after the other, because each must have the machine for itself. Server and loader have a core each.
"""

import time
from collections import Counter

import plot
from child import Task
from loader import Load
from loader_truth_situations import LOADER, NOTHING, RATE_PER_S, SERVER, SITUATIONS, Running
from loader_truth_study import SHARES, Job, Section, argv_of, distilled, drawn, finish, seed_of
from queue_server import QueueServer
from server import Server, Subject
from stats import MISSING, percent, share, table

NAME = "confusion"
WHAT = "verdict and blame in situations with a known cause"
WEIGHT = 5
WARMUP_S, MEASURED_S, ACT_AT = 0.5, 2.0, 0.4
CONNECTIONS = 8
QUICK_SITUATIONS = ("quiet", "loader stopped 200 ms", "server killed", "server overloaded, --drain 100ms",
                    "wrong byte in 1 of 1,000")
EXPECTED_STATUS = tuple(range(128))  # a run that fails is a result here, too
BARE_SERVER = "bare_epoll"

# Codes of reasons that blame the loader or its machine, and those that blame the server, as reasons or as notes.
LOADER_CODES = ("loader-", "near-ceiling", "arrivals", "preempted", "major-faults", "steal")
SERVER_CODES = ("overloaded", "errors", "server-")
BELOW_RATE = "below-rate"  # its text names the cause


def run(study):
    """Run each situation with each loop and loader, in each round."""
    cases = [(situation, loop, name) for situation in SITUATIONS
             if not study.quick or situation.name in QUICK_SITUATIONS
             for loop in situation.loops for name in study.loaders]
    for round_number in study.each_round():
        for number, (situation, loop, name) in enumerate(cases, 1):
            record = measure(study, situation, loop, name, round_number)
            study.progress(f"{number} of {len(cases)}: {situation.name}, {loop} loop, {name}: {record['verdict']}, "
                           f"blame {record['blame']}")


def measure(study, situation, loop, name, round_number):
    """Run a situation once, and save its record. Returns it."""
    job = job_of(study, situation, loop, name, study.random(situation.name, loop, round_number))
    with situation.around(study.loader_core), Server(job.server) as server, \
            Task(argv_of(job, server.address), "loadgen") as task:
        act_at = time.monotonic() + WARMUP_S + ACT_AT * MEASURED_S
        while not task.ended() and time.monotonic() < act_at:
            time.sleep(0.01)
        if not task.ended():
            situation.act(Running(task.pid, server.pid, study.loader_core))
        ran = finish(job, server, task)
    kept = {"verdict": "none", "reasons": [], "notes": []} if ran.values is None else distilled(ran.values)
    record = {"situation": situation.name, "loop": loop, "loader": name, "expected": list(situation.expected),
              "seed": job.load.seed, "status": ran.status, "errors": ran.errors, **kept}
    record["blame"] = blame(record)
    study.save(record)
    return record


def job_of(study, situation, loop, name, generator):
    """The server and the load of a situation."""
    server = QueueServer(study.queue_server, situation.service, situation.servers, seed_of(generator),
                         flags=situation.faults).subject(study.server_core)
    if situation.bare:
        server = Subject(BARE_SERVER, (study.bare_server,), study.server_core, ends_by_signal=True)
    shape = {"connections": CONNECTIONS, "rate": RATE_PER_S, "pipeline": None, "drain": "1s", **situation.load}
    if loop == "closed":
        shape["rate"] = None
        shape["pipeline"] = shape["pipeline"] or 1
    length_ms = round(1000 * (MEASURED_S + situation.stop_s))
    load = Load(study.loaders[name], duration=f"{length_ms}ms", warmup=f"{round(1000 * WARMUP_S)}ms",
                seed=seed_of(generator), core=study.loader_core, **shape)
    return Job(server, load, study.scratch / "confusion.json", EXPECTED_STATUS)


def blame(record):
    """Whom a run blames: "loader", "server", both as "loader, server", or "none"."""
    blamed = set()
    for reason in record["reasons"]:
        blamed |= blamed_by(reason)
        if reason["code"].startswith(LOADER_CODES):
            blamed.add(LOADER)
    for note in record["notes"]:
        blamed |= blamed_by(note)
    if not record["reasons"] and record["verdict"] == "none" and record["status"]:
        # The run failed without a record: its message names the server's address, as in "connect to 127.0.0.1:1".
        blamed.add(SERVER if "127.0.0.1" in record["errors"] else LOADER)
    return ", ".join(sorted(blamed)) or NOTHING


def blamed_by(finding):
    """Whom a reason or a note blames, apart from the loader's own codes, which count as reasons only."""
    if finding["code"].startswith(SERVER_CODES):
        return {SERVER}
    if finding["code"] == BELOW_RATE:
        return {LOADER if "loader" in finding["text"] else SERVER}
    return set()


def is_right(record):
    """Whether the blame is the expected one. A loader that is not at fault must not be blamed beside the server."""
    blamed = set(record["blame"].split(", "))
    return blamed == {LOADER} if record["expected"] == [LOADER] else blamed <= set(record["expected"])


def report(records):
    """The section of the study."""
    groups = {}
    for one in records:
        groups.setdefault((one["situation"], one["loop"], one["loader"]), []).append(one)
    rows = [[situation, loop, loader, " or ".join(found[0]["expected"]), counted(one["blame"] for one in found),
             f"{sum(map(is_right, found))} of {len(found)}", counted(one["verdict"] for one in found), codes(found)]
            for (situation, loop, loader), found in groups.items()]
    header = ["situation", "loop", "loader", "expected blame", "blame", "right", "verdict", "codes (and notes)"]
    loaders = list(dict.fromkeys(one["loader"] for one in records))
    right = {(name, loop): share(sum(is_right(one) for one in found), len(found)) for name in loaders
             for loop in ("open", "closed")
             if (found := [one for one in records if (one["loader"], one["loop"]) == (name, loop)])}
    parts = [f"{name}, {loop} loop: {percent(one)} of {one.n}" for (name, loop), one in right.items()]
    points = [(f"{loop}\n{name}", one) for (name, loop), one in right.items()]
    return Section(
        "Verdict and blame",
        f"Right blame: {'; '.join(parts)} runs.",
        "A blame of the loader includes its machine. The server is blamed by errors and by `overloaded`.\n\n"
        + table(header, rows, words=8),
        [("confusion", "share of runs with the right blame",
          drawn("Verdict and blame", SHARES, [plot.Panel("Right blame", "share of the runs", "", points)]))],
        ["confusion: SIGSTOP stops a process by its id, in the middle of the measured time. Busy loops run on the "
         "loader's core. The blame follows from the codes of the reasons, and for `below-rate` from its text. Notes can "
         "blame the server only.",
         "confusion: other programs on the machine are a cause of their own. A quiet run that blames the loader may be "
         "right about them."],
    )


def counted(words):
    """`2 VALID, 1 SUSPECT`, the most frequent first; without the number if there is one word only."""
    counts = Counter(words)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {word}" for word, count in counts.most_common())


def codes(records):
    """All codes of the reasons, and in brackets those of the notes; a failure without a record by its message."""
    reasons = sorted({reason["code"] for one in records for reason in one["reasons"]})
    notes = sorted({note["code"] for one in records for note in one["notes"]})
    failed = sorted({f"exit {one['status']}" for one in records if one["verdict"] == "none"})
    text = ", ".join(reasons + failed) + (f" ({', '.join(notes)})" if notes else "")
    return text.strip() or MISSING
