"""Clients write and do not read: memory is bounded, other clients do not wait, and every byte comes back."""

import contextlib
import selectors
import time

import procfs
from connections import HeldConnections
from probe_client import ProbeClient
from server import Server

NAME = "slow-readers"
WHAT = "slow readers"
BUFFER_KIB = 64
# A connection may have a buffer in each direction. While a buffer grows, the allocator may hold it twice.
KIB_PER_CLIENT = 4 * BUFFER_KIB
KIB_IN_ALL = 8 * 1024
PIECE = bytes(range(256)) * 64
READ_TIMEOUT_S = 20.0


def run(context, outcome):
    """Many clients write as much as the kernel takes, for some seconds. Then they read the echoes."""
    count, seconds = (20, 1) if context.quick else (200, 5)
    with Server(context.subject("--buffer", f"{BUFFER_KIB}KiB")) as server, HeldConnections() as clients:
        memory = procfs.memory_bytes(server.pid)["pss_anon"]
        with ProbeClient(server.address) as probe:
            clients.open(server.address, count)
            for client in clients.members:
                client.setblocking(False)
            sent = _write(clients.members, seconds)
            grown = (procfs.memory_bytes(server.pid)["pss_anon"] - memory) / 1024
            outcome.expect_most(f"memory for {count} clients, {sum(sent.values()) >> 20} MiB written", grown,
                                KIB_IN_ALL + count * KIB_PER_CLIENT, "KiB")
        outcome.expect_unharmed(probe, 250)
        right = _read_back(sent)
        outcome.expect("every byte that they wrote comes back", f"{right} of {count} clients", right == count)
        server.stop()


def _write(clients, seconds):
    """Write PIECE over and over on every client. Returns the number of bytes that each has written."""
    sent, deadline = dict.fromkeys(clients, 0), time.monotonic() + seconds
    while time.monotonic() < deadline:
        for client in clients:
            with contextlib.suppress(BlockingIOError):
                sent[client] += client.send(PIECE[sent[client] % len(PIECE):])
        time.sleep(0.01)
    return sent


def _read_back(sent):
    """The number of clients that read exactly what they wrote."""
    read, deadline, right = dict.fromkeys(sent, 0), time.monotonic() + READ_TIMEOUT_S, 0
    with selectors.DefaultSelector() as selector:
        for client in sent:
            selector.register(client, selectors.EVENT_READ)
        while selector.get_map() and (left_s := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left_s):
                client = key.fileobj
                done = _read_some(client, read, sent[client])
                if done is not None:
                    selector.unregister(client)
                    right += done
    return right


def _read_some(client, read, expected):
    """True if a client has read all that it wrote, False if it read other bytes or an error, None if bytes are missing."""
    try:
        piece = client.recv(len(PIECE) - read[client] % len(PIECE))
    except BlockingIOError:
        return None
    except OSError:
        return False
    start = read[client] % len(PIECE)
    read[client] += len(piece)
    if not piece or piece != PIECE[start:start + len(piece)] or read[client] > expected:
        return False
    return True if read[client] == expected else None
