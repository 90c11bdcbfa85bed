"""inetd: a nowait and a wait service, its own services, and a reload by SIGHUP."""

import signal
import socket

from scenario import Scenario
from text_client import TextClient, listens

CAT = "127.0.0.1:{port} stream tcp nowait root /bin/cat cat\n"
UPPER = "127.0.0.1:{port} stream tcp nowait root /usr/bin/tr tr a-z A-Z\n"
# One process answers all datagrams until it ends. dd ends after the first.
ONE_DATAGRAM = "127.0.0.1:{port} dgram udp wait root /bin/dd dd count=1 bs=100 status=none of={folder}/datagram\n"


def echo(port, text):
    """What a service replies, up to the end of its stream."""
    with TextClient(("127.0.0.1", port)) as client:
        client.send(text)
        client.end_write()
        return client.read_all()


def scenario(run):
    """Connections to services, a changed configuration, and the end."""
    cat, upper, datagrams = run.ports(3)
    path = run.write("inetd.conf", CAT.format(port=cat) + ONE_DATAGRAM.format(port=datagrams, folder=run.folder))
    server = run.start("inetd", "-i", "-d", path)
    run.wait(lambda: listens(("127.0.0.1", cat)), "inetd listens")
    yield f"different replies of 50 connections: {sorted({echo(cat, b'hello') for _ in range(50)})}"
    clients = [TextClient(("127.0.0.1", cat)) for _ in range(10)]
    yield [client.ask(f"client {number}\n".encode(), b"\n") for number, client in enumerate(clients)]
    yield f"900 kB: {len(echo(cat, b'x' * 900_000))} bytes"
    for text in (b"first", b"second"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(text, ("127.0.0.1", datagrams))
        run.wait(lambda: received(run) == text, f"the datagram {text}")  # noqa: B023
        yield f"datagram {text}"
    run.write("inetd.conf", CAT.format(port=cat) + UPPER.format(port=upper))
    server.signal(signal.SIGHUP)
    run.wait(lambda: listens(("127.0.0.1", upper)), "inetd listens for the new service after SIGHUP")
    yield echo(upper, b"hello")
    yield echo(cat, b"the other stays")
    yield [client.ask(b"and its connections\n", b"\n") for client in clients]
    for client in clients:
        client.__exit__()
    run.write("inetd.conf", UPPER.format(port=upper))
    server.signal(signal.SIGHUP)
    run.wait(lambda: not listens(("127.0.0.1", cat)), "inetd ends the service that is no longer there")
    yield echo(upper, b"still there")
    run.check_library(server.pid)
    server.stop()
    yield f"at SIGTERM: {server.status}"


def received(run):
    """The datagram that the service has written."""
    path = run.folder / "datagram"
    return path.read_bytes() if path.exists() else None


SCENARIO = Scenario("inetd", scenario, {"inetd": "openbsd-inetd"}, needs_root=True)
