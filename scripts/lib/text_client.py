"""A client of text protocols: it sends requests, and reads replies up to their end. Every read is bounded in time."""

import socket

from child import Failure

TIMEOUT_S = 20.0


class TextClient:
    """A connection to a server on the loopback. Use as a context manager."""

    def __init__(self, address):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._socket = socket.socket(family)
        self._socket.settimeout(TIMEOUT_S)
        self._buffer = b""
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self._socket.close()

    def send(self, data):
        """Send all bytes."""
        self._socket.sendall(data)

    def end_write(self):
        """Send the end of the stream, as shutdown(SHUT_WR)."""
        self._socket.shutdown(socket.SHUT_WR)

    def read_until(self, end):
        """The bytes up to and with `end`."""
        while end not in self._buffer:
            self._fill(f"{end!r}")
        before, _, self._buffer = self._buffer.partition(end)
        return before + end

    def read_exactly(self, length):
        """That many bytes."""
        while len(self._buffer) < length:
            self._fill(f"{length} bytes")
        data, self._buffer = self._buffer[:length], self._buffer[length:]
        return data

    def read_all(self):
        """The bytes up to the end of the stream."""
        while self._receive():
            pass
        data, self._buffer = self._buffer, b""
        return data

    def ask(self, request, end=b"\r\n"):
        """Send a request; its reply up to `end`, as text without the last line break."""
        self.send(request)
        return self.read_until(end).decode(errors="replace").rstrip()

    def _fill(self, what):
        if not self._receive():
            raise Failure(f"the server closed the connection before {what}, after {self._buffer[-200:]!r}")

    def _receive(self):
        try:
            data = self._socket.recv(1 << 16)
        except TimeoutError as error:
            raise Failure(f"the server sent nothing for {TIMEOUT_S:.0f} s, after {self._buffer[-200:]!r}") from error
        self._buffer += data
        return len(data)


def listens(address):
    """Whether a server accepts connections at an address."""
    try:
        TextClient(address).__exit__()
    except OSError:
        return False
    return True
