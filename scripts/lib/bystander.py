"""A client that has nothing to do with the fault: one connection, an echo now and then, and how long it waited."""

import threading
import time

import connections
from child import Failure

EVERY_S = 0.02


class Bystander:
    """Runs in a thread of its own while the block does. A failure ends it and counts."""

    def __init__(self, address):
        self.failures = 0
        self.longest_ms = 0.0
        self._connection = connections.connect(address)
        connections.echo(self._connection)
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exception):
        self._leaving.set()
        self._thread.join()
        self._connection.close()

    def _run(self):
        while not self._leaving.wait(EVERY_S):
            started = time.monotonic()
            try:
                connections.echo(self._connection)
            except Failure:
                self.failures += 1
                return
            finally:
                self.longest_ms = max(self.longest_ms, (time.monotonic() - started) * 1000)
