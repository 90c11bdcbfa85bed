"""Clients write and do not read: memory is bounded, other clients do not wait, and every byte comes back."""

import contextlib
import selectors
import time

import procfs
from connections import Crowd
from probe_client import Bystander
from server import Server

NAME = "slow-readers"
WHAT = "slow readers"
BUFFER_KIB = 64
# Each direction of a connection may have a buffer, and an allocator twice that while the buffer grows.
KIB_PER_CLIENT = 4 * BUFFER_KIB
KIB_IN_ALL = 8 * 1024
PIECE = bytes(range(256)) * 64
READ_TIMEOUT_S = 20.0


def run(bench, outcome):
    """Many clients write all that the kernel takes for some seconds. Then they read it back."""
    count, seconds = (20, 1) if bench.quick else (200, 5)
    with Server(bench.subject("--buffer", f"{BUFFER_KIB}KiB")) as server, Crowd() as clients:
        memory = procfs.memory_bytes(server.pid)["pss_anon"]
        with Bystander(server.address) as bystander:
            clients.join(server.address, count)
            for client in clients.members:
                client.setblocking(False)
            sent = _write(clients.members, seconds)
            grown = (procfs.memory_bytes(server.pid)["pss_anon"] - memory) / 1024
            outcome.expect_most(f"memory for {count} of them, {sum(sent.values()) >> 20} MiB written", grown,
                                KIB_IN_ALL + count * KIB_PER_CLIENT, "KiB")
        outcome.expect_unharmed(bystander, 250)
        right = _read_back(sent)
        outcome.expect("every byte that they wrote comes back", f"{right} of {count} clients", right == count)
        server.stop()


def _write(clients, seconds):
    """Bytes written by each client: PIECE repeated, up to a length."""
    sent, deadline = dict.fromkeys(clients, 0), time.monotonic() + seconds
    while time.monotonic() < deadline:
        for client in clients:
            with contextlib.suppress(BlockingIOError):
                sent[client] += client.send(PIECE[sent[client] % len(PIECE):])
        time.sleep(0.01)
    return sent


def _read_back(sent):
    """How many clients read exactly what they wrote."""
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
    """Whether a client has read all that it wrote; None if not yet, False if it read something else."""
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
