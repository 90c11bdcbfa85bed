"""Connections that have sent a message and wait for its echo."""

import selectors
import time

import connections


class Waiting:
    """Sends a message on each connection, then sorts the connections: waiting, served, lost."""

    def __init__(self, members):
        self.served, self.lost = [], []
        self._received = {}
        self._selector = selectors.DefaultSelector()
        for member in members:
            self.add(member)

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self._selector.close()

    def add(self, member):
        """One more: sends its message."""
        try:
            member.sendall(connections.MESSAGE)
        except OSError:
            self.lost.append(member)
            return
        self._received[member] = b""
        self._selector.register(member, selectors.EVENT_READ)

    @property
    def left(self):
        """How many still wait."""
        return len(self._received)

    def look(self, timeout_s, enough=None):
        """Take what arrives until no client waits, `enough` more are served, or the time is up; how many were served."""
        before, deadline = len(self.served), time.monotonic() + timeout_s
        while self.left and (enough is None or len(self.served) - before < enough):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            for key, _ in self._selector.select(left_s):
                self._take(key.fileobj)
        return len(self.served) - before

    def _take(self, member):
        try:
            piece = member.recv(len(connections.MESSAGE) - len(self._received[member]))
        except OSError:
            piece = b""
        self._received[member] += piece
        if self._received[member] == connections.MESSAGE:
            self._settle(member, self.served)
        elif not piece or not connections.MESSAGE.startswith(self._received[member]):
            self._settle(member, self.lost)

    def _settle(self, member, group):
        self._selector.unregister(member)
        del self._received[member]
        group.append(member)
