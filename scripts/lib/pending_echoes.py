"""Echoes that clients wait for."""

import selectors
import time

import connections


class PendingEchoes:
    """Sends a message on each connection and receives the echoes.

    `served` are the connections with a complete echo. `lost` are those that ended or received other bytes.
    """

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
        """Send a message on one more connection."""
        try:
            member.sendall(connections.MESSAGE)
        except OSError:
            self.lost.append(member)
            return
        self._received[member] = b""
        self._selector.register(member, selectors.EVENT_READ)

    @property
    def pending(self):
        """The number of connections that still wait."""
        return len(self._received)

    def receive(self, timeout_s, enough=None):
        """Receive echoes until none is pending, `enough` more are complete, or the timeout expires.

        It takes what has come already, even with a timeout of zero. Returns how many became complete.
        """
        before, deadline = len(self.served), time.monotonic() + timeout_s
        while self.pending and (enough is None or len(self.served) - before < enough):
            ready = self._selector.select(max(0, deadline - time.monotonic()))
            if not ready:
                break
            for key, _ in ready:
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
