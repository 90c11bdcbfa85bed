"""A client that a fault does not concern: one connection, an echo every 20 ms, and its longest wait."""

import threading
import time

import connections
from child import Failure

EVERY_S = 0.02


class Bystander:
    """Runs in its own thread while the block runs. It ends at the first failure and counts it."""

    def __init__(self, address):
        self.failures = 0
        self.longest_ms = 0.0
        self._connection = connections.connect(address)
        connections.echo(self._connection)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exception):
        self._stopping.set()
        self._thread.join()
        self._connection.close()

    def _run(self):
        while not self._stopping.wait(EVERY_S):
            started = time.monotonic()
            try:
                connections.echo(self._connection)
            except Failure:
                self.failures += 1
                return
            finally:
                self.longest_ms = max(self.longest_ms, (time.monotonic() - started) * 1000)
