"""turnserver: STUN requests, and TURN allocations by coturn's own client, over UDP and TCP."""

import re
import socket
import struct

from scenario import Scenario
from text_client import TextClient, listens

MAGIC = 0x2112A442
BINDING_REQUEST = struct.pack("!HHI12s", 1, 0, MAGIC, b"abcdefghijkl")
BINDING_RESPONSE = 0x101
XOR_MAPPED_ADDRESS = 0x20
HEADER_BYTES = 20
TIMEOUT_S = 20


def mapped(reply, own):
    """Whether a reply to a binding request has the address of the client."""
    kind, length, magic, number = struct.unpack("!HHI12s", reply[:HEADER_BYTES])
    if (kind, magic, number) != (BINDING_RESPONSE, MAGIC, b"abcdefghijkl") or length != len(reply) - HEADER_BYTES:
        return f"another reply: {reply[:HEADER_BYTES].hex()}"
    attribute, _, _, family, port, address = struct.unpack("!HHBBHI", reply[HEADER_BYTES:HEADER_BYTES + 12])
    found = (socket.inet_ntoa(struct.pack("!I", address ^ MAGIC)), port ^ (MAGIC >> 16))
    return attribute == XOR_MAPPED_ADDRESS and family == 1 and found == own


def bindings(address):
    """Binding requests over UDP and over TCP."""
    replies = set()
    for _ in range(20):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(TIMEOUT_S)
            client.connect(address)
            client.send(BINDING_REQUEST)
            replies.add(mapped(client.recv(1500), client.getsockname()))
    yield f"UDP: the replies have the client's address: {replies}"
    replies = set()
    with TextClient(address) as client:
        for _ in range(20):
            client.send(BINDING_REQUEST)
            header = client.read_exactly(HEADER_BYTES)
            reply = header + client.read_exactly(struct.unpack("!H", header[2:4])[0])
            replies.add((reply[:2].hex(), len(reply)))
        yield f"TCP: kind and length of the replies: {replies}"


def scenario(run):
    """STUN and TURN."""
    address = ("127.0.0.1", run.ports(1)[0])
    server = run.start("turnserver", "-n", "-L", address[0], "-p", address[1], "-E", address[0], "--allow-loopback-peers",
                       "--no-tls", "--no-dtls", "--no-cli", "--lt-cred-mech", "-r", "realm", "-u", "user:password", "-b",
                       run.folder / "users.db", "--pidfile", run.folder / "pid", "--log-file", "stdout", "-m", 2)
    run.wait(lambda: listens(address), "turnserver listens")
    yield from bindings(address)
    for name, flags in (("UDP", ()), ("TCP", ("-t",))):
        for relayed in ((), ("-s",)):  # ChannelData, or Send indications
            output = run.client("turnutils_uclient", "-u", "user", "-w", "password", "-p", address[1], "-y", "-n", 50, "-m", 4,
                                "-l", 1000, *flags, *relayed, address[0], stock=False)
            yield f"{name} {relayed}: {re.findall('tot_send_msgs=[0-9]+, tot_recv_msgs=[0-9]+', output)[-1:]}"
    output = run.client("turnutils_uclient", "-u", "user", "-w", "wrong", "-p", address[1], "-y", "-n", 1, "-m", 1, address[0],
                        stock=False, expected=None)
    yield f"a wrong password: {'Cannot complete Allocation' in output}"
    yield sorted(set(re.findall("IO method .*|turn server id=.*|user .* credentials are incorrect", server.output)))
    run.check_library(server.pid)
    server.stop()
    yield f"at SIGTERM: {server.status}"


SCENARIO = Scenario("turnserver", scenario, {"turnserver": "coturn", "turnutils_uclient": "coturn"}, front=True)
