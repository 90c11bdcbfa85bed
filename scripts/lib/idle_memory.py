"""User memory per idle connection: the growth of a server's Pss while many connections are held open."""

import contextlib
import resource
import socket
import struct
import time

import procfs
from child import Failure
from server import Server

MESSAGE = b"m" * 64
ACCEPT_TIMEOUT_S = 10.0
SETTLE_S = 0.5
DESCRIPTORS_SPARE = 200
CONNECTIONS_PER_SOURCE = 5000  # far from the ephemeral ports of one address, whatever lingers there
IP_BIND_ADDRESS_NO_PORT = 24  # Linux: choose the port at connect, when the destination is known
# SO_LINGER on, 0 s: close by reset, or thousands of sockets in TIME_WAIT would disturb the next run.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def raise_descriptor_limit():
    """Lift the soft limit to the hard one, for this script and the servers it starts; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def affordable(wanted):
    """How many of the wanted connections the descriptor limit allows."""
    return min(wanted, raise_descriptor_limit() - DESCRIPTORS_SPARE)


def measure(subject, connections, touched):
    """Bytes per connection that a fresh `subject` grows by; `touched` lets each connection echo one message first.

    One connection is served and closed before the first reading: what a server allocates once, at its first
    connection, is not a cost per connection.
    """
    with Server(subject) as server, contextlib.ExitStack() as held:
        with _connect(server.address, 0) as first:
            _echo(first)
        time.sleep(SETTLE_S)
        before, descriptors = procfs.memory_bytes(server.pid), procfs.open_descriptors(server.pid)
        for number in range(connections):
            connection = held.enter_context(_connect(server.address, number))
            if touched:
                _echo(connection)
        _wait_for_descriptors(server, descriptors + connections)
        time.sleep(SETTLE_S)
        after = procfs.memory_bytes(server.pid)
        held.close()
        server.stop()
    return {
        "subject": subject.name,
        "server_command": subject.argv,
        "connections": connections,
        "touched": touched,
        "before_bytes": before,
        "after_bytes": after,
        "bytes_per_connection": {key: (after[key] - before[key]) / connections for key in before},
    }


def _connect(address, number):
    host, port = address.rsplit(":", 1)
    connection = socket.socket()
    try:
        connection.settimeout(ACCEPT_TIMEOUT_S)
        connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        connection.bind((f"127.0.0.{2 + number // CONNECTIONS_PER_SOURCE}", 0))
        connection.connect((host, int(port)))
    except OSError as error:
        connection.close()
        raise Failure(f"connection {number + 1} to {address} failed: {error}") from error
    return connection


def _echo(connection):
    connection.sendall(MESSAGE)
    received = b""
    while len(received) < len(MESSAGE):
        try:
            piece = connection.recv(len(MESSAGE) - len(received))
        except OSError as error:
            raise Failure(f"no echo on a held connection: {error}") from error
        if not piece:
            raise Failure("the server closed a held connection")
        received += piece
    if received != MESSAGE:
        raise Failure("the server echoed other bytes than it was sent")


def _wait_for_descriptors(server, expected):
    """A connection the kernel completed may still wait in the backlog; it counts once the server holds it."""
    deadline = time.monotonic() + ACCEPT_TIMEOUT_S
    while (held := procfs.open_descriptors(server.pid)) < expected:
        server.check_alive()
        if time.monotonic() > deadline:
            raise Failure(f"{server.subject.name} held {held} of {expected} descriptors after {ACCEPT_TIMEOUT_S:.0f} s")
        time.sleep(0.02)
