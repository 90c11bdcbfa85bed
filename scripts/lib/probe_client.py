"""An unaffected client: one connection, an echo every 20 ms. It records the longest wait for an echo."""

import threading
import time

import connections
from child import Failure

EVERY_S = 0.02


class ProbeClient:
    """Runs in a thread of its own while the block runs. It counts the first failure and then ends."""

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
