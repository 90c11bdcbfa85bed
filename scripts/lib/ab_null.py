"""ab_null: measures evshard against itself with loadgen ab: false alarms, and the differences that are found."""

import json
import math
import shlex
import sys
from pathlib import Path

import child
import cli
import loader
import machine
import plot
import results
import server
from child import Failure, run_main
from other_servers import lasting_ports
from programs import Programs, require
from stats import spread, table

SCRIPT = "scripts/ab_null.sh"
TITLE = "A server against itself"
QUESTION = "How often does loadgen ab find a difference between equal servers, and how often one of 3, 5 or 10 %?"
ALLOWED = 0.05  # of the comparisons may be false alarms
METRICS = ("p50", "p99", "server-cpu")
# 0: no difference. 2: all pairs together show one. 3: INVALID. The record says which.
USABLE_STATUS = (0, 2, 3)
OVERHEAD_S = 3.0  # start and end of a server, and the drain, for each run
QUICK_PAIRS = 4


def parse_arguments():
    """The command line of ab_null.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Runs loadgen ab --null: pairs of runs of evshard, each with a fresh server of one worker on a core of its own, in\n"
        "an open loop. Each series of consecutive pairs is a comparison. Reports how many were false alarms, and how many\n"
        "find differences of 3, 5 and 10 % that are added to the pairs. Run it on a machine that does nothing else.",
        f"{SCRIPT} --pairs 200 --rate 10000",
    )
    parser.add_argument("--pairs", type=cli.count, default=200, metavar="N", help="pairs to measure (default 200)")
    parser.add_argument("--comparison", type=cli.count, default=40, metavar="N",
                        help="most pairs of a comparison (default 40)")
    parser.add_argument("--rate", default="10000", metavar="R", help="requests per second, or closed (default 10000)")
    parser.add_argument("--connections", type=cli.count, default=50, metavar="N", help="connections (default 50)")
    parser.add_argument("--metric", type=cli.choices(*METRICS, "p90", "rate", "achieved"), default=list(METRICS),
                        metavar="LIST", help=f"the metrics that decide (default {','.join(METRICS)})")
    parser.add_argument("--duration", type=cli.duration, default="3s", metavar="D",
                        help="measured time of each run (default 3s)")
    parser.add_argument("--warmup", type=cli.duration, default="1s", metavar="D", help="warm-up of each run (default 1s)")
    parser.add_argument("--seed", type=cli.count, default=1, metavar="N", help="seed of the first pair (default 1)")
    cli.add_core_flags(parser)
    cli.add_result_flags(parser)
    args = cli.parse(parser)
    if args.quick:
        args.pairs = args.comparison = QUICK_PAIRS
    return args


def argv(args, programs, out):
    """The command line of loadgen ab."""
    subject = server.evshard(programs.evshard, 1, core=args.server_core, listen="{addr}")
    port, = lasting_ports(1)
    rate = [] if args.rate == "closed" else ["--rate", args.rate]
    return [
        programs.loadgen, "ab", f"127.0.0.1:{port}", f"--null={args.pairs}", "--pairs", str(args.comparison),
        "--a", shlex.join(subject.argv), "--metric", ",".join(args.metric), *rate,
        "--connections", str(args.connections), "--duration", args.duration, "--warmup", args.warmup,
        "--pin", str(args.loader_core), "--seed", str(args.seed), "--no-progress", "--out", str(out),
    ]


def answer(null, counted):
    """The result in a sentence."""
    alarms, comparisons = null["false_alarms"], null["comparisons"]
    parts = [f"{alarms} of {comparisons} comparisons of up to {null['pairs']} consecutive pairs "
             f"({100 * alarms / comparisons:.1f} %) were false alarms, among {counted} pairs."]
    for metric in null["metrics"]:
        found = ", ".join(f"+{100 * power['difference']:.0f} % in {100 * power['found'] / comparisons:.0f} %"
                          for power in metric["power"])
        parts.append(f"{metric['metric']} finds {found}.")
    if null["differs"]:
        parts.append("All pairs together show a difference: this machine, or the order of the runs, favours a side.")
    return " ".join(parts)


def body(null):
    """The table of false alarms and power."""
    comparisons = null["comparisons"]

    def percent(count):
        return f"{100 * count / comparisons:.1f} %"

    rows = []
    for metric in null["metrics"]:
        cells = [metric["metric"], f"{100 * metric['deviation']:.1f} %", percent(metric["false_alarms"])]
        for power in metric["power"]:
            pairs = "" if power["pairs"] is None else f", {power['pairs']:.0f} pairs"
            cells.append(percent(power["found"]) + pairs)
        rows.append(cells)
    header = ["metric", "spread of a pair", "false alarms", "finds +3 %", "finds +5 %", "finds +10 %"]
    return table(header, rows)


def panels(record):
    """B by A in each pair, and the share of the comparisons that find a difference."""
    pairs = [pair for pair in record["pairs"] if not pair["left_out"]]
    null = record["null"]

    def ratios(name):
        return [pair["b"]["values"][name]["value"] / pair["a"]["values"][name]["value"] for pair in pairs]

    names = [metric["metric"] for metric in null["metrics"]]
    spreads = [(name, spread(ratios(name))) for name in names]
    found = [(f"{metric['metric']}\n+{100 * power['difference']:.0f} %", spread([power["found"] / null["comparisons"]]))
             for metric in null["metrics"] for power in metric["power"]]
    return [
        plot.Panel("B by A in each pair", "ratio", "metric", spreads, from_zero=False, target=1.0),
        plot.Panel("found", "share of the comparisons", "difference", found),
    ]


def main():
    """Build, measure, write."""
    args = parse_arguments()
    require("taskset")
    programs = Programs(args.bin_dir)
    facts = machine.facts()
    with results.ResultFolder("ab-null", args.out, args.quick, programs.loadgen) as folder:
        command = argv(args, programs, folder.raw / "ab")
        run_s = loader.seconds(args.duration) + loader.seconds(args.warmup) + OVERHEAD_S
        # A pair that is left out is measured again, at most as many of them as there are pairs.
        timeout_s = 2 * (2 * args.pairs + 5) * math.ceil(run_s)
        child.run(command, "loadgen ab --null", timeout_s, capture=False, expected=USABLE_STATUS)
        record = json.loads((folder.raw / "ab" / "ab.json").read_text())
        null = record["null"]
        if record["judgement"] == "invalid":
            complaint = "too many runs were INVALID; end other programs, and run it again"
            if not args.quick:
                raise Failure(complaint)
            # A smoke run may share the machine with other work.
            print(f"{SCRIPT}: {complaint}", file=sys.stderr)
            return
        is_allowed = null["false_alarms"] <= ALLOWED * null["comparisons"]
        notes = [
            "Comparisons of consecutive pairs share pairs with their neighbours. Their share is an average over the time of "
            "the measurement, and not a count of independent trials.",
            "A difference that is added to each pair keeps the spread as it is. That of a server that is really slower may "
            "be another.",
            f"{record['left_out']} pairs were left out because a run of them was INVALID.",
        ]
        picture = results.Picture("ab-null", "ratios of the pairs, and differences that are found",
                                  plot.Drawing(TITLE, f"{record['counted']} pairs", panels(record)))
        shown = results.unported([*command[:-1], "DIR"])
        folder.publish(results.Findings(
            TITLE, QUESTION, answer(null, record["counted"]), body(null), [picture],
            [SCRIPT, "", "# which runs", shown], notes,
        ), facts, {"evshard": Path(programs.evshard), "loadgen": Path(programs.loadgen)})
        if not is_allowed and not args.quick:
            raise Failure(f"more than {100 * ALLOWED:.0f} % of the comparisons were false alarms")


if __name__ == "__main__":
    run_main(main)
