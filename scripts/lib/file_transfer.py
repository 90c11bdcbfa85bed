"""The CPU time of servers that send one large file to a client, in turns."""

import os
import socket
import sys
import tempfile
from pathlib import Path

import measure
import procfs
from child import Failure
from server import Server
from stats import cell, paired_ratios, spread, table, verdict

FILE_BYTES, QUICK_BYTES = 1 << 30, 16 << 20
PIECE = 1 << 20
TIMEOUT_S = 60.0
TARGET = 1.05


def measure_all(args, subjects_of, folder):
    """The seconds of CPU time by subject name, in round order. `subjects_of` takes the path of the file."""
    length = QUICK_BYTES if args.quick else FILE_BYTES
    with tempfile.TemporaryDirectory(prefix="file-transfer-") as temporary:
        path = Path(temporary) / "file"
        _write(path, length)
        subjects = subjects_of(str(path))
        seconds = {subject.name: [] for subject in subjects}
        for round_index in range(args.rounds):
            for subject in measure.rotated(subjects, round_index):
                print(f"[{round_index + 1}/{args.rounds}] a file of {length >> 20} MiB, {subject.name} ...", end="",
                      file=sys.stderr, flush=True)
                found = _measure(subject, args.loader_core, length)
                folder.save(f"file-round-{round_index + 1:02}-{subject.name}", {
                    "subject": subject.name, "bytes": length, "cpu_s": found,
                })
                seconds[subject.name].append(found)
                print(f" {found:.3f} s", file=sys.stderr)
    return seconds


def section(args, seconds):
    """The section of a report. The first server is the one that the others are compared with."""
    (reference, base), *others = seconds.items()
    length = QUICK_BYTES if args.quick else FILE_BYTES
    rows = [[reference, cell(spread(base), 3), "1", ""]]
    for name, found in others:
        ratio = spread(paired_ratios(found, base))
        rows.append([name, cell(spread(found), 3), cell(ratio, 3), verdict(ratio, TARGET)])
    return (f"## A file of {length >> 20:,} MiB to one client\n\nCPU seconds of the server, median [lowest..highest] of "
            f"{len(base)} round(s). The kernel sends the file (sendfile), and the client discards it.\n\n"
            f"{table(['server', 'CPU, s', 'ratio', f'target {TARGET}'], rows)}")


def answer(seconds):
    """The answer in one sentence."""
    (reference, base), (name, found) = seconds.items()
    ratio = spread(paired_ratios(found, base))
    return f"A file: {name} uses {cell(ratio, 2)} times the CPU time of {reference} (target {TARGET})."


def _write(path, length):
    piece = os.urandom(PIECE)
    with path.open("wb") as file:
        for _ in range(length // PIECE):
            file.write(piece)
    path.read_bytes()  # from now on it is in the page cache


def _measure(subject, core, length):
    """The server's CPU time for one client that reads the whole file."""
    with Server(subject) as server:
        before = procfs.sample(server.pid)
        received = _discard(server.address, core)
        if received != length:
            raise Failure(f"{subject.name} sent {received} of {length} bytes")
        threads = procfs.difference(before, procfs.sample(server.pid))
        server.stop()
    return sum(thread["cpu_ns"] for thread in threads) / 1e9


def _discard(address, core):
    """Read a connection to its end on one core. Returns how many bytes came."""
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        host, port = address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), TIMEOUT_S) as connection:
            received, piece = 0, bytearray(PIECE)
            while count := connection.recv_into(piece, PIECE, socket.MSG_TRUNC):
                received += count
            return received
    finally:
        os.sched_setaffinity(0, usable)
