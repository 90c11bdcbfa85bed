"""A client of a broker: thousands of subscribers that read all, and a publisher. Measures the broker's CPU time."""

import contextlib
import os
import select
import time

import connections
import procfs
from child import Failure

TOPIC = b"news"
TIMEOUT_S = 30.0
RECEIVE_BYTES = 65536
# A server allocates and starts things at its first broadcasts. They are not measured.
BROADCASTS_BEFORE = 5


def message(number, size):
    """The message of a broadcast: a line of so many bytes that names its number."""
    begin = b"MESSAGE %s %d " % (TOPIC, number)
    return begin.ljust(size - 1, b"x") + b"\n"


class Subscribers(connections.HeldConnections):
    """Connections that have subscribed to the topic."""

    def __init__(self, address, count):
        super().__init__()
        self._poll = select.epoll()
        self.callback(self._poll.close)
        self.open(address, count)
        for connection in self.members:
            connection.sendall(b"SUBSCRIBE %s\n" % TOPIC)
            connections.receive(connection, b"subscribed %s\n" % TOPIC)
            connection.setblocking(False)
            self._poll.register(connection, select.EPOLLIN)
        self._by_descriptor = {connection.fileno(): connection for connection in self.members}

    def receive(self, expected):
        """Read until each has a message. Anything else is a Failure."""
        missing, deadline = len(self.members), time.monotonic() + TIMEOUT_S
        while missing > 0:
            for descriptor, _ in self._poll.poll(1.0):
                received = self._by_descriptor[descriptor].recv(RECEIVE_BYTES)
                if received != expected:
                    raise Failure(f"a subscriber got {len(received)} bytes, which are not the message")
                missing -= 1
            if time.monotonic() > deadline:
                raise Failure(f"{missing} subscribers got no message within {TIMEOUT_S:.0f} s")


def measure(server, core, count, broadcasts, size):
    """The CPU time of the server for each delivery, in nanoseconds. The client uses one core."""
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        with Subscribers(server.address, count) as subscribers, \
                contextlib.closing(connections.connect(server.address, count)) as publisher:
            _broadcast(publisher, subscribers, BROADCASTS_BEFORE, size)
            before = procfs.sample(server.pid)
            _broadcast(publisher, subscribers, broadcasts, size)
            threads = procfs.difference(before, procfs.sample(server.pid))
    finally:
        os.sched_setaffinity(0, usable)
    return sum(thread["cpu_ns"] for thread in threads) / (count * broadcasts)


def _broadcast(publisher, subscribers, broadcasts, size):
    for number in range(broadcasts):
        expected = message(number, size)
        publisher.sendall(b"PUBLISH" + expected.removeprefix(b"MESSAGE"))
        subscribers.receive(expected)
