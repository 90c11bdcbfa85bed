"""Connections that the script itself holds open: to open them, to echo on them, and to reset them at the end."""

import contextlib
import resource
import socket
import struct

from child import Failure

MESSAGE = b"m" * 64
TIMEOUT_S = 10.0
PER_SOURCE = 5000  # far fewer than the ephemeral ports of one address, some of which may be in TIME_WAIT
DESCRIPTORS_SPARE = 200
IP_BIND_ADDRESS_NO_PORT = 24  # Linux: choose the port at connect, when the destination is known
# SO_LINGER on, 0 s: close by reset. Otherwise thousands of sockets in TIME_WAIT would disturb the next run.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def raise_descriptor_limit():
    """Raise the soft limit to the hard one, for this script and its servers. Returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def affordable(wanted):
    """The wanted number of connections, or fewer if the descriptor limit requires it."""
    return min(wanted, raise_descriptor_limit() - DESCRIPTORS_SPARE)


def connect(address, number=0):
    """A connection to HOST:PORT or to unix:PATH. The number chooses one of several source addresses."""
    is_unix = address.startswith("unix:")
    connection = socket.socket(socket.AF_UNIX if is_unix else socket.AF_INET)
    try:
        connection.settimeout(TIMEOUT_S)
        if is_unix:
            connection.connect(address.removeprefix("unix:"))
        else:
            host, port = address.rsplit(":", 1)
            connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            connection.bind((f"127.0.0.{2 + number // PER_SOURCE}", 0))
            connection.connect((host, int(port)))
    except OSError as error:
        connection.close()
        raise Failure(f"connection {number + 1} to {address} failed: {error}") from error
    return connection


def echo(connection, message=MESSAGE):
    """Send a message and wait for its complete echo."""
    try:
        connection.sendall(message)
    except OSError as error:
        raise Failure(f"a held connection broke: {error}") from error
    receive(connection, message)


def receive(connection, message=MESSAGE):
    """Wait for the complete echo of a message that was sent."""
    received = b""
    while len(received) < len(message):
        try:
            piece = connection.recv(len(message) - len(received))
        except OSError as error:
            raise Failure(f"no echo on a held connection: {error}") from error
        if not piece:
            raise Failure("the server closed a held connection")
        received += piece
    if received != message:
        raise Failure("the server echoed other bytes than the client sent")


class HeldConnections(contextlib.ExitStack):
    """Connections that are closed when the block ends, or by `close`."""

    def __init__(self):
        super().__init__()
        self.members = []

    def open(self, address, count, echoed=False):
        """Open `count` more. With `echoed`, wait for the echo of one message on each."""
        for _ in range(count):
            connection = self.enter_context(connect(address, len(self.members)))
            self.members.append(connection)
            if echoed:
                echo(connection)
