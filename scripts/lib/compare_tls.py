"""compare_tls: what echoes and handshakes over TLS cost on our servers, libevent's bufferevents, HAProxy and nginx."""

import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import child
import cli
import connections
import machine
import measure
import results
import syscalls
import tls_client
import tls_report
import tls_servers
from child import Failure, run_main
from loader import seconds
from programs import Programs, require, require_cores
from tls_report import WITH, WITHOUT, Cost, Measured
from tls_servers import REFERENCE

SCRIPT = "scripts/compare_tls.sh"
QUICK_CASES, QUICK_DURATION = [1, 5], "200ms"
# strace delays a server so much that a second is some thousand echoes.
TRACED_S, QUICK_TRACED_S = (0.3, 1.3), (0.1, 0.3)
START_S = 0.5  # what a run takes besides its measured time


@dataclass(frozen=True)
class Case:
    """What the client does."""

    name: str
    label: str  # in a plot
    kind: str
    key: str = "ecdsa"
    connections: int = 1
    size: int = 1
    is_traced: bool = False


CASES = (
    Case("echo, 50 conns, 1 KiB", "echo\n1 KiB", tls_client.ECHO, "ecdsa", 50, 1024, is_traced=True),
    Case("echo, 50 conns, 16 KiB", "echo\n16 KiB", tls_client.ECHO, "ecdsa", 50, 16384, is_traced=True),
    Case("full handshake, ECDSA P-256", "full\nECDSA", tls_client.FULL, "ecdsa", is_traced=True),
    Case("full handshake, RSA-2048", "full\nRSA", tls_client.FULL, "rsa"),
    Case("resumed handshake", "resumed", tls_client.RESUMED, is_traced=True),
)


def parse_arguments():
    """The command line of compare_tls.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Runs servers with TLS in turns on one core: `evshard serve`, an echo server on our buffered events\n"
        "(examples/tls_echo.rs), one on libevent's bufferevent_openssl (benches/peers/libevent_tls_echo.c), and HAProxy\n"
        "and nginx as proxies in front of an echo server. The client has another core. Compares the servers' CPU time for\n"
        "each echo, and for each connection with a full and with a resumed handshake. Every server also runs without TLS.\n"
        "The difference is the cost of TLS alone, by which an echo server and a proxy can be compared.",
        f"{SCRIPT} --rounds 7 --servers evshard,haproxy --server-core 0 --loader-core 1",
    )
    parser.add_argument("--servers", type=cli.choices(*tls_servers.NAMES), default=list(tls_servers.NAMES), metavar="LIST",
                        help=f"servers to measure besides {REFERENCE}, which the others are compared with: "
                             f"{', '.join(tls_servers.NAMES)} (default: all that are installed)")
    parser.add_argument("--cases", type=cli.counts, metavar="LIST",
                        help=f"numbers of cases: {'; '.join(f'{n}: {case.name}' for n, case in enumerate(CASES, 1))} "
                             f"(default: all; with --quick {' and '.join(map(str, QUICK_CASES))})")
    cli.add_core_flags(parser)
    cli.add_rounds_flag(parser, 7)
    parser.add_argument("--duration", type=cli.duration, default="1s", metavar="D",
                        help="measured time of each run (default 1s)")
    cli.add_result_flags(parser)
    args = cli.parse(parser)
    if args.quick:
        args.duration = QUICK_DURATION
    if args.cases is None:
        args.cases = QUICK_CASES if args.quick else list(range(1, len(CASES) + 1))
    if max(args.cases) > len(CASES):
        parser.error(f"--cases takes numbers from 1 to {len(CASES)}")
    return args


def check_connections(name, case, agreed):
    """Fail if a connection of a run had another version or cipher, or was resumed where it should not be, or reverse."""
    kind = "resumed" if case.kind == tls_client.RESUMED else "full"
    expected = tls_client.described(tls_client.VERSION, tls_client.CIPHER, kind)
    if set(agreed) != {expected}:
        found = "; ".join(f"{count} of {key}" for key, count in agreed.items()) or "none"
        raise Failure(f"{name}, {case.name}: all connections should be of {expected}, and found were {found}")


def agree(args, servers, identities):
    """What the client and each server agree on, by server name and kind of key. It must be the same for all."""
    found = {}
    for key in dict.fromkeys(CASES[number - 1].key for number in args.cases):
        for server in servers:
            with server.start(identities[key]) as running:
                found[server.name, key] = tls_client.agree(running, args.loader_core)
    if differences := tls_report.differences(found):
        raise Failure("the servers are not comparable:" + child.indented("\n".join(differences)))
    return found


def run_client(args, server, case, identity, duration_s):
    """One run on a fresh server. Returns what the client returned."""
    with server.start(identity) as running:
        done = tls_client.run(case.kind, running, args.loader_core, identity is not None, case.connections, case.size,
                              duration_s)
    measure.check_pinning(server.name, args.server_core, done["threads"])
    if identity is not None:
        check_connections(server.name, case, done["agreed"])
    return done


def measure_one(args, server, case, identity):
    """One run: a JSON-ready record."""
    duration_s = seconds(args.duration)
    done = run_client(args, server, case, identity, duration_s)
    requests, threads = done["done"], done["threads"]
    cpu_ns = sum(thread["cpu_ns"] for thread in threads)
    if cpu_ns == 0:
        raise Failure(f"{server.name} answered {requests} requests without CPU time: another process served")
    return {
        "server": server.name,
        "case": case.name,
        "tls": identity is not None,
        "duration_s": duration_s,
        **done,
        "cpu_us_each": cpu_ns / requests / 1000,
        "sleeps_each": sum(thread["voluntary_switches"] for thread in threads) / requests,
    }


def measure_all(args, servers, identities, folder):
    """Each case in each round, the servers in turns, with TLS and then without; costs as Measured has them."""
    cases = [(number, CASES[number - 1]) for number in args.cases]
    costs = {case: {(server.name, what): [] for server in servers for what in (WITH, WITHOUT)} for _, case in cases}
    for round_index in range(args.rounds):
        for number, case in cases:
            for server in measure.rotated(servers, round_index):
                print(f"round {round_index + 1}/{args.rounds}, {case.name}, {server.name} ...", end="", file=sys.stderr,
                      flush=True)
                for what, identity in ((WITH, identities[case.key]), (WITHOUT, None)):
                    record = measure_one(args, server, case, identity)
                    name = f"case-{number}-round-{round_index + 1:02}-{server.name}-{'tls' if identity else 'plain'}"
                    folder.save(name, record)
                    cost = Cost(record["cpu_us_each"], record["sleeps_each"], record["done"] / record["duration_s"])
                    costs[case][server.name, what].append(cost)
                    print(f" {cost.cpu_us:.1f} µs {what}", end="", file=sys.stderr, flush=True)
                print(file=sys.stderr)
    return costs


def count_syscalls(args, servers, identities, folder):
    """System calls for each request with TLS, as Measured has them."""
    cases = [case for case in CASES if case.is_traced and CASES.index(case) + 1 in args.cases]

    def counted(server, case, duration_s):
        with server.start(identities[case.key]) as running:
            done = []
            trace = syscalls.watch(running.pid, lambda: done.append(tls_client.run(
                case.kind, running, args.loader_core, True, case.connections, case.size, duration_s)))
        return done[0]["done"], {name: call["calls"] for name, call in trace.calls.items()}

    def trace(server):
        found = {}
        for case in cases:
            runs = [counted(server, case, duration_s) for duration_s in (QUICK_TRACED_S if args.quick else TRACED_S)]
            folder.save(f"syscalls-{CASES.index(case) + 1}-{server.name}", {
                "server": server.name, "case": case.name, "runs": [{"requests": n, "calls": calls} for n, calls in runs]})
            found[case.name] = tls_report.calls_per_request(*runs)
        return found

    return syscalls.of_each(servers, trace)


def versions(servers):
    """Names and versions of what the servers are made of, for the machine's facts."""
    rustls = re.search(r'name = "rustls"\nversion = "([^"]+)"', Path("Cargo.lock").read_text())
    of_servers = [(server.name, server.version) for server in servers if server.version is not None]
    return [("rustls", rustls[1] if rustls else "unknown"), *of_servers]


def notes(args):
    """What a reader must know before a conclusion."""
    return [
        f"The servers run on core {args.server_core} alone. The client, and the echo server behind a proxy, run on core "
        f"{args.loader_core}.",
        "An echo server and a proxy do different work, as \"What each server does\" says. Compare the CPU time with TLS "
        "among echo servers or among proxies. \"TLS alone\" is what TLS adds to a server's work. As a difference of two "
        "runs it varies more.",
        "\"TLS alone\" is not the cryptography alone. It includes copies and system calls, and a server that reads in other "
        "pieces with TLS differs by that, too: libevent reads 4 KiB at once without TLS, and a record of 16 KiB with it.",
        "CPU time is the first field of /proc/PID/task/TID/schedstat (ns), from the first request to the last, divided by "
        "the requests. An echo is without connecting. A connection is whole: the server accepts it, the client sends a byte "
        "after the handshake, receives it back and sends close_notify, and the server closes.",
        f"{tls_client.VERSION}, {tls_client.CIPHER}. The client offers nothing else (scripts/lib/tls_client.cnf). It checks "
        "version, cipher and resumption of each connection.",
        "The client is Python's ssl on one thread. It encrypts the messages of all connections, sends them in a row, and "
        "then receives. Sleeps are voluntary context switches of the server for each request. They show whether the servers "
        "got their requests in equal batches: with 50 connections, 0.02 is one for each batch.",
        "The rate is that of client and server together. A server with a far lower rate than the others waits for "
        "something. Its CPU time for each request is too high, because other programs use the processor caches meanwhile.",
        "Instructions are not counted. valgrind hides features of the processor from the servers, so their cryptography "
        "would run other code than without it.",
    ]


def command(args):
    """The command that measures the same again."""
    lists = f"--servers {','.join(args.servers)} --cases {','.join(map(str, args.cases))}"
    return (f"{SCRIPT} {lists} --rounds {args.rounds} --duration {args.duration} --server-core {args.server_core} "
            f"--loader-core {args.loader_core}")


def main():
    """Parse, build, measure, write."""
    args = parse_arguments()
    require("taskset", "cc", "openssl")
    require_cores(args)
    connections.raise_descriptor_limit()
    facts = machine.facts()
    programs = Programs(args.bin_dir)
    names = [name for name in tls_servers.NAMES if name == REFERENCE or name in args.servers]
    servers, missing = tls_servers.prepare(names, args, programs)
    for sentence in missing:
        print(sentence, file=sys.stderr)
    minutes = args.rounds * len(args.cases) * len(servers) * 2 * (seconds(args.duration) + START_S) / 60
    print(f"{args.rounds} round(s) of {len(args.cases)} case(s), about {minutes:.0f} min", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="compare-tls-") as temporary, \
            results.ResultFolder("tls", args.out, args.quick, programs.loadgen) as folder:
        identities = tls_servers.certify(Path(temporary))
        measured = Measured(
            servers=servers,
            missing=missing,
            agreements=agree(args, servers, identities),
            costs=measure_all(args, servers, identities, folder),
            syscalls=count_syscalls(args, servers, identities, folder),
        )
        pictures = [results.Picture(name, f"CPU ratio of {name} by case", tls_report.picture(measured, name))
                    for name in measured.ours()]
        folder.publish(results.Findings(
            "TLS on our servers, libevent, HAProxy and nginx",
            "What do echoes and handshakes over TLS cost on our servers, beside libevent, HAProxy and nginx?",
            tls_report.answer(measured), tls_report.body(measured), pictures, [command(args)], notes(args),
        ), facts + versions(servers), {server.name: server.program for server in servers})


if __name__ == "__main__":
    run_main(main)
