"""A client over TLS that counts echoes or handshakes for some seconds, and prints the count.

It runs in a process of its own, on its own core. It does not verify the certificate, because only the server is measured.
"""

import os
import socket
import ssl
import sys
import time

import child
from child import Failure

ECHO, FULL, RESUMED = "echo", "full handshakes", "resumed handshakes"
KINDS = (ECHO, FULL, RESUMED)
TIMEOUT_S = 20.0
BYTE = b"x"


def run(kind, address, core, connections, size, seconds):
    """Run the client on a core. Returns how many echoes or handshakes it counted."""
    argv = ["taskset", "-c", str(core), sys.executable, "-B", os.path.abspath(__file__), kind, address, str(connections),
            str(size), str(seconds)]
    return int(child.run(argv, "the client over TLS", seconds + 2 * TIMEOUT_S))


def _connect(context, address, session=None):
    host, port = address.rsplit(":", 1)
    plain = socket.create_connection((host, int(port)), TIMEOUT_S)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="localhost", session=session)


def _receive(connection, size):
    received = 0
    while received < size:
        count = len(connection.recv(size - received))
        if count == 0:
            raise Failure("the server closed a connection")
        received += count


def _echoes(context, address, count, size, end):
    """Echo on all connections, one message in flight on each."""
    connections = [_connect(context, address) for _ in range(count)]
    message, done = os.urandom(size), 0
    while time.monotonic() < end:
        for connection in connections:
            connection.sendall(message)
        for connection in connections:
            _receive(connection, size)
        done += count
    for connection in connections:
        connection.close()
    return done


def _handshakes(context, address, resumes, end):
    """Connect, echo a byte, and close, one after the other."""
    session, done = None, 0
    while time.monotonic() < end:
        with _connect(context, address, session) as connection:
            connection.sendall(BYTE)
            _receive(connection, len(BYTE))
            if session is not None and not connection.session_reused:
                raise Failure("the server did not resume a session")
            if resumes:
                session = connection.session  # a ticket of TLS 1.3 arrives after the handshake
        done += 1
    return done


def main():
    """Read the command line that `run` made."""
    kind, address, connections, size, seconds = sys.argv[1:]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    end = time.monotonic() + float(seconds)
    if kind == ECHO:
        print(_echoes(context, address, int(connections), int(size), end))
    else:
        print(_handshakes(context, address, kind == RESUMED, end))


if __name__ == "__main__":
    child.run_main(main)
