"""compare_tls: what echoes and handshakes over TLS cost on buffered events, beside libevent's bufferevent_openssl."""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import child
import cli
import connections
import machine
import measure
import plot
import procfs
import results
import tls_client
from child import run_main
from loader import seconds
from programs import LIBEVENT_TLS, Programs, require, require_cores
from server import Server, Subject
from stats import cell, interval_cell, paired_ratios, spread, table, verdict

SCRIPT = "scripts/compare_tls.sh"
REFERENCE, OURS = "libevent_tls_echo", "tls_echo"
TARGET = 1.0


@dataclass(frozen=True)
class Case:
    """What the client does."""

    name: str
    kind: str
    connections: int = 1
    size: int = 1


CASES = (
    Case("echo, 50 conns, 1 KiB", tls_client.ECHO, 50, 1024),
    Case("echo, 50 conns, 16 KiB", tls_client.ECHO, 50, 16384),
    Case("full handshake", tls_client.FULL),
    Case("resumed handshake", tls_client.RESUMED),
)


def parse_arguments():
    """The command line of compare_tls.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Runs an echo server over TLS on our buffered events (examples/tls_echo.rs) in turns with the same server on\n"
        "libevent's bufferevent_openssl (benches/peers/libevent_tls_echo.c), on one core. The client has another. Compares\n"
        "CPU per echo, and per connection with a full and with a resumed handshake.",
        f"{SCRIPT} --rounds 7 --server-core 0 --loader-core 1",
    )
    cli.add_core_flags(parser)
    cli.add_rounds_flag(parser, 7)
    parser.add_argument("--duration", type=cli.duration, default="2s", metavar="D",
                        help="measured time of each run (default 2s)")
    cli.add_result_flags(parser)
    return cli.parse(parser)


def certify(folder):
    """Make a certificate with its key. Returns the paths of both."""
    certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    child.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
               "-out", certificate, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
              "openssl req")
    return certificate, key


def measure_one(args, subject, case):
    """One run on a fresh server: a JSON-ready record with its CPU time for each echo or connection."""
    with Server(subject) as server:
        before = procfs.sample(server.pid)
        done = tls_client.run(case.kind, server.address, args.loader_core, case.connections, case.size,
                              seconds(args.duration))
        server.check_alive()
        threads = procfs.difference(before, procfs.sample(server.pid))
        server.stop()
    cpu_ns = sum(thread["cpu_ns"] for thread in threads)
    return {"subject": subject.name, "case": case.name, "done": done, "cpu_ns": cpu_ns, "cpu_us_each": cpu_ns / done / 1000}


def measure_all(args, subjects, folder):
    """Microseconds of CPU time by case name and subject name, in round order."""
    found = {case.name: {subject.name: [] for subject in subjects} for case in CASES}
    for round_index in range(args.rounds):
        for number, case in enumerate(CASES, 1):
            for subject in measure.rotated(subjects, round_index):
                print(f"round {round_index + 1}/{args.rounds}, {case.name}, {subject.name} ...", end="", file=sys.stderr,
                      flush=True)
                record = measure_one(args, subject, case)
                folder.save(f"case-{number}-round-{round_index + 1:02}-{subject.name}", record)
                found[case.name][subject.name].append(record["cpu_us_each"])
                print(f" {record['cpu_us_each']:.1f} µs", file=sys.stderr)
    return found


def ratio(of_case):
    """The ratios of one case, one for each round."""
    return paired_ratios(of_case[OURS], of_case[REFERENCE])


def body(found):
    """The table."""
    rows = []
    for name, of_case in found.items():
        rows.append([name, len(of_case[OURS]), *(cell(spread(of_case[subject]), 1) for subject in (REFERENCE, OURS)),
                     cell(spread(ratio(of_case)), 3),
                     interval_cell(ratio(of_case)),
                     verdict(spread(ratio(of_case)), TARGET)])
    header = ["case", "n", f"{REFERENCE}, µs", f"{OURS}, µs", "ratio", "95 % of the median", f"target {TARGET}"]
    return ("## CPU time of the server for each echo or connection\n\nMedian [lowest..highest] of n rounds. Each round has a "
            f"ratio of its own.\n\n{table(header, rows)}")


def answer(found):
    """The answer in one sentence."""
    parts = [f"{name} {cell(spread(ratio(of_case)))}" for name, of_case in found.items()]
    return f"{OURS} needs this share of the CPU time of {REFERENCE}: {'; '.join(parts)}."


def notes(args):
    """What a reader must know before a conclusion."""
    return [
        f"The servers run on core {args.server_core} alone, and the client on core {args.loader_core}.",
        "CPU time is the first field of /proc/PID/task/TID/schedstat (ns), divided by the echoes or connections of the run. "
        "It includes accepting and closing the connections, and in the cases with echoes their handshakes.",
        "A connection with a handshake echoes one byte. TLS 1.3; the key of the certificate is ECDSA P-256. The client's "
        "OpenSSL chooses the cipher suite and the key exchange from what the server allows.",
        "The client is Python's ssl, which is slow. So the rates say nothing about the servers, and are not shown.",
    ]


def main():
    """Parse, build, measure, write."""
    args = parse_arguments()
    require("taskset", "cc", "openssl")
    require_cores(args)
    connections.raise_descriptor_limit()
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    peer, ours = programs.compile_peer(REFERENCE, LIBEVENT_TLS), programs.example(OURS)
    with tempfile.TemporaryDirectory(prefix="compare-tls-") as temporary, \
            results.ResultFolder("tls", args.out, args.quick) as folder:
        identity = certify(Path(temporary))
        subjects = [Subject(REFERENCE, (peer, *identity), args.server_core, ends_by_signal=True),
                    Subject(OURS, (ours, *identity, "127.0.0.1:0"), args.server_core, ends_by_signal=True)]
        found = measure_all(args, subjects, folder)
        panel = plot.Panel(OURS, f"CPU time, × {REFERENCE}", "",
                           [(name.replace(", ", "\n"), spread(ratio(of_case))) for name, of_case in found.items()],
                           from_zero=False, target=TARGET)
        folder.publish(results.Findings(
            "TLS on buffered events against libevent's",
            "What do echoes and handshakes over TLS cost on buffered events, beside libevent's bufferevent_openssl?",
            answer(found), body(found),
            [results.Picture("tls", "CPU ratio by case", plot.svg(f"CPU time against {REFERENCE}",
                                                                  f"median and range of {args.rounds} round(s)", [panel]))],
            [f"{SCRIPT} --rounds {args.rounds} --duration {args.duration} --server-core {args.server_core} "
             f"--loader-core {args.loader_core}"], notes(args),
        ), facts, {REFERENCE: peer, OURS: ours})


if __name__ == "__main__":
    run_main(main)
