"""A client with TLS or without: it echoes on many connections or makes connections, and measures the server's CPU time.

It runs in a process of its own, on its own core. tls_client.cnf limits what it offers. It does not verify the
certificate, because only the server is measured.
"""

import contextlib
import json
import os
import socket
import ssl
import struct
import sys
import time
from pathlib import Path

import child
import procfs
from child import Failure

ECHO, FULL, RESUMED, AGREEMENT = "echo", "full handshakes", "resumed handshakes", "agreement"
OFFERS = Path(__file__).with_suffix(".cnf")
TIMEOUT_S = 20.0
BYTE = b"x"
VERSION, CIPHER = "TLSv1.3", "TLS_AES_256_GCM_SHA384"  # what tls_client.cnf leaves
# A server allocates and starts things at its first requests. They are not measured.
ROUNDS_BEFORE = 5
RECEIVE_BYTES = 65536  # of one call: more than a message with its TLS records
GROUPS = {29: "X25519", 23: "P-256", 24: "P-384"}
SIGNATURES = {0x0403: "ecdsa_secp256r1_sha256", 0x0804: "rsa_pss_rsae_sha256"}
HANDSHAKE = 22  # of the content types of RFC 8446, section 5.1
SERVER_HELLO, NEW_SESSION_TICKET, CERTIFICATE_VERIFY = 2, 4, 15  # of the handshake messages, section 4
KEY_SHARE = 51  # of the extensions, section 4.2


def run(kind, server, core, tls, connections, size, seconds):
    """Run the client on a core, against a running server. Returns what `measure` returns."""
    words = (kind, server.address, server.pid, int(tls), connections, size, seconds)
    return json.loads(child.run(_command(core, words), "the client", seconds + 2 * TIMEOUT_S))


def agree(server, core):
    """What the client and a server with TLS agree on. Returns what `agreement` returns."""
    return json.loads(child.run(_command(core, (AGREEMENT, server.address)), "the client", 2 * TIMEOUT_S))


def _command(core, words):
    return ["taskset", "-c", str(core), "env", f"OPENSSL_CONF={OFFERS}", sys.executable, "-B", os.path.abspath(__file__),
            *map(str, words)]


class PlainConnection:
    """A connection without TLS. Use as a context manager: the end of the block always closes the socket."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self._socket.close()

    def encode(self, message):
        """The bytes that carry a message."""
        return message

    def send(self, encoded):
        """Send bytes that `encode` returned."""
        self._socket.sendall(encoded)

    def expect(self, message):
        """Receive a message. Anything else is a Failure."""
        parts, missing = [], len(message)
        while missing > 0:
            parts.append(self._received(missing))
            if not parts[-1]:
                raise Failure("the server closed a connection")
            missing -= len(parts[-1])
        if b"".join(parts) != message:
            raise Failure("the server sent something else than the message")

    def finish(self):
        """End the stream, and wait for the end of the server's."""
        self._socket.shutdown(socket.SHUT_WR)
        self._socket.recv(1)

    def _received(self, size):
        """At most this many bytes of the server's stream; none after its end."""
        return self._socket.recv(size)


class TlsConnection(PlainConnection):
    """A connection with TLS. Encryption is apart from the socket: a message can be encrypted before it must be sent."""

    def __init__(self, context, address, session=None):
        super().__init__(address)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost", session=session)
        self._complete(self.tls.do_handshake)

    def encode(self, message):
        """The bytes that carry a message."""
        self.tls.write(message)
        return self._outgoing.read()

    def finish(self):
        """Send close_notify, and wait for the end of the server's stream. Returns whether it has a close_notify, too."""
        try:
            self._complete(self.tls.unwrap)
        except OSError:  # also ssl.SSLError, as after an end without close_notify
            return False
        return True

    def _received(self, size):
        return self._complete(self.tls.read, size)

    def _complete(self, call, *arguments):
        """The result of a call, after it has sent and received what it needs."""
        while True:
            try:
                result = call(*arguments)
            except ssl.SSLWantReadError:
                self._flush()
                received = self._socket.recv(RECEIVE_BYTES)
                if received:
                    self._incoming.write(received)
                else:
                    self._incoming.write_eof()
            else:
                self._flush()
                return result

    def _flush(self):
        if self._outgoing.pending:
            self._socket.sendall(self._outgoing.read())


def described(version, cipher, kind):
    """What a connection agreed on, in words."""
    return f"{version}, {cipher}, {kind} handshake"


def tls_context():
    """What the client needs for TLS."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Client:
    """Connects to one server, and counts what it agreed on."""

    def __init__(self, address, context):
        self._address = address
        self._context = context  # None without TLS
        self.agreed = {}  # what `described` returns, to the number of connections
        self.session = None

    def connect(self):
        """A connection. It resumes the session, if there is one."""
        if self._context is None:
            return PlainConnection(self._address)
        connection = TlsConnection(self._context, self._address, self.session)
        tls = connection.tls
        key = described(tls.version(), tls.cipher()[0], "resumed" if tls.session_reused else "full")
        self.agreed[key] = self.agreed.get(key, 0) + 1
        return connection

    def handshake(self, resumes):
        """Connect, echo a byte, and close."""
        with self.connect() as connection:
            connection.send(connection.encode(BYTE))
            connection.expect(BYTE)
            if resumes and self._context is not None:
                self.session = connection.tls.session  # a ticket of TLS 1.3 arrives after the handshake
            connection.finish()


def echo_round(connections, message):
    """Echo a message on each connection. Returns how many.

    All messages are encrypted first, and then sent in a row. So the server finds many of them ready, with TLS and without.
    """
    encoded = [connection.encode(message) for connection in connections]
    for connection, its_bytes in zip(connections, encoded, strict=True):
        connection.send(its_bytes)
    for connection in connections:
        connection.expect(message)
    return len(connections)


def measure(client, pid, kind, count, size, seconds):
    """Run the client for some seconds: a JSON-ready record of what it did, and of the server's threads in that time.

    It is complete: no request is in progress at its start or end.
    """
    message = os.urandom(size)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(client.connect()) for _ in range(count)] if kind == ECHO else []

        def one_round():
            if kind == ECHO:
                return echo_round(opened, message)
            client.handshake(kind == RESUMED)
            return 1

        for _ in range(ROUNDS_BEFORE):
            one_round()
        if kind != ECHO:  # an echo uses the connections of the start
            client.agreed = {}
        before, done, end = procfs.sample(pid), 0, time.monotonic() + seconds
        while time.monotonic() < end:
            done += one_round()
        threads = procfs.difference(before, procfs.sample(pid))
    return {"done": done, "agreed": client.agreed, "threads": threads}


def agreement(address, context):
    """A full handshake and one that resumes: what was agreed on, as a JSON-ready record.

    Python's ssl has no public function for the key exchange, the signature and the tickets. So it calls a function of
    ours for each message of the protocol, as the tests of Python do.
    """
    found = {"key exchange": None, "signature": None, "tickets": 0}

    def on_message(_connection, direction, _version, content, kind, data):
        if direction == "read" and content == HANDSHAKE:
            note_message(found, kind, data)

    context._msg_callback = on_message
    with TlsConnection(context, address) as first:
        first.send(first.encode(BYTE))
        first.expect(BYTE)
        context._msg_callback = None
        with TlsConnection(context, address, first.tls.session) as second:
            second.send(second.encode(BYTE))
            second.expect(BYTE)
            return {
                "version": first.tls.version(),
                "cipher": first.tls.cipher()[0],
                **found,
                "resumes": second.tls.session_reused,
                "answers close_notify": second.finish(),
            }


def note_message(found, kind, data):
    """Note what a handshake message of the server says."""
    if kind == SERVER_HELLO:
        group = key_share_group(data)
        found["key exchange"] = GROUPS.get(group, group)
    elif kind == CERTIFICATE_VERIFY:
        scheme, = struct.unpack_from(">H", data, 4)
        found["signature"] = SIGNATURES.get(scheme, scheme)
    elif kind == NEW_SESSION_TICKET:
        found["tickets"] += 1


def key_share_group(server_hello):
    """The number of the group in the key share of a ServerHello; None without a key share. RFC 8446, section 4.1.3."""
    at = 4 + 2 + 32  # after the header, the version and the random bytes
    at += 1 + server_hello[at] + 2 + 1 + 2  # after the session id, the cipher, the compression and the total length
    while at < len(server_hello):
        extension, length = struct.unpack_from(">HH", server_hello, at)
        if extension == KEY_SHARE:
            return struct.unpack_from(">H", server_hello, at + 4)[0]
        at += 4 + length
    return None


def main():
    """Read the command line that `run` or `agree` made."""
    kind, address, *rest = sys.argv[1:]
    try:
        if kind == AGREEMENT:
            record = agreement(address, tls_context())
        else:
            pid, tls, count, size, seconds = rest
            client = Client(address, tls_context() if int(tls) else None)
            record = measure(client, int(pid), kind, int(count), int(size), float(seconds))
    except OSError as error:
        raise Failure(f"a connection to {address} failed: {error}") from error
    print(json.dumps(record))


if __name__ == "__main__":
    child.run_main(main)
