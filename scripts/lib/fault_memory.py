"""Slow readers want more memory than the limit: it holds, only large buffers are freed, and the memory goes back."""

import contextlib
import socket

import admin
import procfs
from fault import BACK_TO_NORMAL_S, wait_until
from probe_client import ProbeClient
from server import Server

NAME = "memory"
WHAT = "more unsent output than memory"
LIMIT_MIB = 32
ADDRESS_SPACE_MIB = 128
CLIENTS = 3000
PIECE = bytes(65536)
MSS_BYTES = 536  # with short segments, the kernel gives the server's socket little room
KERNEL_BUFFER_BYTES = 4096
LEFT_MIB = 20  # the server returns no less than 16 MiB to the system


def run(context, outcome):
    """First with a limit of its own, then with one that follows from a limit of address space."""
    clients = 600 if context.quick else CLIENTS
    limit_mib = LIMIT_MIB // 4 if context.quick else LIMIT_MIB
    _flood(context.subject("--memory-limit", f"{limit_mib}MiB"), clients, outcome, f"limit of {limit_mib} MiB")
    _flood(context.within(context.subject(), ADDRESS_SPACE_MIB << 20), clients, outcome,
           f"{ADDRESS_SPACE_MIB} MiB of address space")


def _flood(subject, count, outcome, case):
    with Server(subject) as server:
        resident = procfs.resident_bytes(server.pid)
        with ProbeClient(server.address) as probe, contextlib.ExitStack() as clients:
            slow = [clients.enter_context(_slow_reader(server.address, number)) for number in range(count)]
            highest = 0
            for _ in range(5):
                _write(slow)
                numbers = admin.stats(server.admin)
                highest = max(highest, numbers["buffer_bytes"])
            limit = numbers["buffer_limit_bytes"]
            reset = sum(errors["no_memory"] for errors in admin.per_shard(numbers, "errors"))
            outcome.expect(f"{case}: the buffers never exceed it", f"{highest >> 20} of {limit >> 20} MiB",
                           highest <= limit)
            needed = highest > limit // 2
            outcome.expect(f"{case}: connections are reset, and not all", f"{reset} of {count}",
                           reset < count and (reset > 0 or not needed))
        outcome.expect_unharmed(probe, 250)
        most = resident + (LEFT_MIB << 20)
        wait_until(lambda: procfs.resident_bytes(server.pid) <= most, BACK_TO_NORMAL_S)
        grown = procfs.resident_bytes(server.pid) - resident
        outcome.expect_most(f"{case}: memory that is left after the clients", grown / 2**20, LEFT_MIB, "MiB", 1)
        server.stop()


def _slow_reader(address, number):
    """A client whose kernel buffers are small, so that the server must hold what it does not read."""
    host, port = address.rsplit(":", 1)
    client = socket.socket()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, MSS_BYTES)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        client.setsockopt(socket.SOL_SOCKET, option, KERNEL_BUFFER_BYTES)
    client.bind((f"127.0.0.{2 + number // 5000}", 0))
    client.connect((host, int(port)))
    client.setblocking(False)
    return client


def _write(clients):
    """Write as much as each client's kernel takes. A client that was reset is skipped."""
    for client in clients:
        with contextlib.suppress(OSError):
            while client.send(PIECE):
                pass
