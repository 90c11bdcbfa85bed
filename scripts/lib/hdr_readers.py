"""hdr_readers: checks that HdrHistogram's Java and JavaScript libraries find the same percentiles as loadgen."""

import base64
import json
import os
import re
import shutil
import struct
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import child
import cli
import hgrm
import hlog
from child import Failure, run_main
from programs import Programs
from server import Server, evshard

SCRIPT = "scripts/hdr_readers.sh"
HELPERS = Path(__file__).resolve().parent / "hdr_readers"
JAR = Path("/usr/share/java/hdrhistogram.jar")
JAVA_MISSING = "install the Debian packages libhdrhistogram-java and default-jre-headless"
NODE_MISSING = "install Node.js with its npm"
# Two readers may differ by the width of a bucket, which is a thousandth of its value.
TOLERANCE = 1e-3
PERCENTILES = {"p50": "50", "p90": "90", "p99": "99", "p999": "99.9", "p9999": "99.99"}
TASK_TIMEOUT_S = 120
NS_PER_US = 1000
AGENTS = ("a", "b", "c", "d")
LOG_HEAD = '#[Histogram log format version 1.3]\n"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
# A line of Java's log processor. The last such line has the percentiles of the whole log.
TOTALS = re.compile(r"T:(\d+) \(\s*([\d.\s]+?)\s*\)")


def parse_arguments():
    """The command line of hdr_readers.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Checks loadgen's files with other HdrHistogram libraries. HdrHistogram's log processor (Java) and the npm\n"
        "package hdr-histogram-js read the interval log of a run. The script compares their percentiles with loadgen's.\n"
        "It also checks the columns of every .hgrm file. Then it runs loadgen with four agents, and compares the percentiles\n"
        "of the merged result with those that the libraries find in the histograms that the agents sent, one after the\n"
        "other. A library that is missing is skipped, and the script says so.",
        f"{SCRIPT} --require",
    )
    parser.add_argument("--result", type=Path, metavar="DIR", help="check only this directory that loadgen wrote (default: those of new runs)")
    parser.add_argument("--require", action="store_true", help="fail if a library is missing")
    return parser.parse_args()


@dataclass(frozen=True)
class Log:
    """An interval log, and the figures of loadgen that it must have."""

    what: str
    known: dict
    path: Path


def measure(programs, folder, *more):
    """Run loadgen in an open loop for some seconds, with more flags. It writes its files to `folder`."""
    with Server(evshard(programs.evshard, 1)) as server:
        argv = [programs.loadgen, "run", server.address, "--rate", "5k", "--duration", "4s", "--warmup", "500ms",
                "--interval", "500ms", "--connections", "8", "--out", str(folder), "--quiet", *more]
        # The verdict does not matter here: with status 3 (INVALID) the result is complete, too.
        with child.Task(argv, "loadgen") as task:
            task.finish(TASK_TIMEOUT_S, (0, 3))


def measure_agents(programs, scratch):
    """Run loadgen with agents, and log what each of them sends. Returns the coordinator's log, and that of all agents.

    A script takes the place of ssh. It starts each agent on this machine, and copies its messages to a file.
    """
    script = scratch / "ssh"
    script.write_text('#!/bin/sh\n# called with: -- HOST COMMAND\nsh -c "$3" | tee "$0.$2"\n')
    script.chmod(0o755)
    folder = scratch / "agents"
    program = str(Path(programs.loadgen).absolute())
    measure(programs, folder, "--agents", f"ssh://{','.join(AGENTS)}", "--agents-ssh", str(script),
            "--agents-program", program)
    known, sent = expected(folder), scratch / "sent.hlog"
    sent.write_text(LOG_HEAD + "".join(intervals(Path(f"{script}.{agent}").read_text()) for agent in AGENTS))
    return [Log("four agents, as the coordinator merged them", known, folder / "run-001.hlog"),
            Log("four agents, as each sent its histograms", known, sent)]


def intervals(messages):
    """The histograms in the messages of an agent as lines of an interval log.

    The bytes of each histogram remain what they are. The log only needs them compressed.
    """
    lines = []
    for message in map(json.loads, messages.splitlines()):
        for tag, latency in message.get("interval", {}).get("latencies", []):
            packed = zlib.compress(base64.b64decode(latency["histogram"]))
            text = base64.b64encode(struct.pack(">II", hlog.COMPRESSED, len(packed)) + packed).decode()
            # The readers add up the whole log, so the times do not matter.
            lines.append(f"Tag={tag},0.000,0.500,0.000,{text}\n")
    return "".join(lines)


def expected(folder):
    """loadgen's figures of run 1 by tag, in nanoseconds: count, max, and the percentiles that it reports."""
    record = json.loads((folder / "result.json").read_text())
    if record["counters"]["censored"]:
        print("note: some requests were not answered, so response times are not compared: the log has those requests "
              "under another tag")
    latencies = record["runs"][0]["latency_ns"]
    known = {}
    for tag, latency in latencies.items():
        if latency["count"] and not latency["censored"]:
            percentiles = {PERCENTILES[name]: latency[name] for name in PERCENTILES if latency[name] is not None}
            known[tag] = {"count": latency["count"], "max": latency["max"], **percentiles}
    return known


def agree(reader, tag, ours, theirs):
    """Fail unless a reader finds the same figures as loadgen."""
    if ours["count"] != theirs["count"]:
        raise Failure(f"{reader}: {theirs['count']} values of {tag}, and loadgen has {ours['count']}")
    for name in ours.keys() - {"count"}:
        difference = abs(theirs[name] - ours[name]) / ours[name]
        if difference > TOLERANCE:
            raise Failure(f"{reader}: {tag} {name}: {theirs[name]:.0f} ns, and loadgen has {ours[name]} ns")


def java(log, tag, scratch):
    """The figures of a tag that Java's log processor computes, in nanoseconds."""
    out = scratch / f"java-{tag}"
    processor = ["java", "-cp", str(JAR), "org.HdrHistogram.HistogramLogProcessor"]
    flags = ["-i", str(log), "-tag", tag, "-outputValueUnitRatio", str(NS_PER_US), "-o", str(out)]
    child.run([*processor, *flags], "java", TASK_TIMEOUT_S)
    totals = TOTALS.findall(out.read_text())
    if not totals:
        raise Failure(f"java: no interval with the tag {tag} in {log.name}")
    count, values = totals[-1]
    values = [float(value) * NS_PER_US for value in values.split()]
    return {"count": int(count), **dict(zip([*PERCENTILES.values(), "max"], values, strict=True))}


def check_java(logs, scratch):
    """Check every tag of the logs with the Java library."""
    for log in logs:
        for tag, ours in log.known.items():
            agree("java", tag, ours, java(log.path, tag, scratch))
        print(f"java: {log.what}: the same percentiles of {', '.join(log.known)}")


def check_javascript(logs, scratch):
    """Check every tag of the logs with the npm package, which npm installs into a temporary folder."""
    install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(scratch), "hdr-histogram-js"]
    child.run(install, "npm install", TASK_TIMEOUT_S)
    program = shutil.copy(HELPERS / "percentiles.js", scratch)
    for log in logs:
        found = json.loads(child.run(["node", program, str(log.path), *PERCENTILES.values()], "node", TASK_TIMEOUT_S))
        for tag, ours in log.known.items():
            if tag not in found:
                raise Failure(f"javascript: no interval with the tag {tag} in {log.path.name}")
            agree("javascript", tag, ours, found[tag])
        print(f"javascript: {log.what}: the same percentiles of {', '.join(log.known)}")


def check_percentile_files(folder):
    """Check every .hgrm file by the rules of HdrHistogram's plotter."""
    files = sorted(folder.glob("*.us.hgrm"))
    if not files:
        raise Failure(f"{folder}: there is no .hgrm file")
    for file in files:
        try:
            hgrm.check(file.read_text())
        except ValueError as error:
            raise Failure(f"{file.name}: {error}") from error
    print(f"percentile files: {len(files)} have the right columns")


def report(reader, missing, remedy, args, check):
    """Run a check, or print why it is skipped."""
    if missing:
        if args.require:
            raise Failure(f"{reader}: {missing} is missing: {remedy}")
        print(f"{reader}: skipped, {missing} is missing: {remedy}")
        return
    check()


def first_missing(*things):
    """The first program or file that is missing."""
    for thing in things:
        if not (Path(thing).exists() if os.sep in str(thing) else shutil.which(str(thing))):
            return thing
    return None


def main():
    """Read or measure results, and check them with each library."""
    args = parse_arguments()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        folder = scratch / "result" if args.result is None else args.result.absolute()
        more = []
        if args.result is None:
            programs = Programs(args.bin_dir)
            measure(programs, folder)
            more = measure_agents(programs, scratch)
        logs = [Log("one loader", expected(folder), folder / "run-001.hlog"), *more]
        report("java", first_missing("java", JAR), JAVA_MISSING, args, lambda: check_java(logs, scratch))
        report("javascript", first_missing("node", "npm"), NODE_MISSING, args, lambda: check_javascript(logs, scratch))
        check_percentile_files(folder)


if __name__ == "__main__":
    run_main(main)
