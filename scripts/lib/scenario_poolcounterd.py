"""poolcounterd: locks that clients wait for, get, release and lose when they close; full queues and timeouts."""

import random

from scenario import Scenario
from text_client import TextClient, listens

PORT = 7531  # it has no flag for another one


def scenario(run):
    """Locks of two workers each."""
    # Each run has a loopback address of its own, because the port stays in use for a while after the end of the server.
    address = (f"127.75.{random.randrange(256)}.{random.randrange(1, 255)}", PORT)
    server = run.start("poolcounterd", "-l", address[0])
    run.wait(lambda: listens(address), "poolcounterd listens")
    clients = [TextClient(address) for _ in range(6)]

    def ask(number, request):
        return f"client {number}: {request}: {clients[number].ask(request.encode() + bytes([10]), bytes([10]))}"

    yield ask(0, "NONSENSE")
    yield ask(0, "ACQ4ME key 2 4 30")
    yield ask(1, "ACQ4ME key 2 4 30")
    yield ask(2, "ACQ4ME key 2 4 1")  # waits for a second
    for number in (2, 3):
        clients[number].send(b"ACQ4ANY key 2 4 30\n")
    run.wait(lambda: "waiting_workers: 2" in counts(clients[4]), "both clients wait")
    yield ask(5, "ACQ4ME key 2 4 30")  # the queue is full
    yield ask(0, "RELEASE")
    yield f"client 2: {clients[2].read_until(bytes([10])).decode().strip()}"
    yield f"client 3: {clients[3].read_until(bytes([10])).decode().strip()}"
    clients[1].__exit__()  # loses its lock
    yield ask(0, "ACQ4ME key 2 4 30")
    for number in range(100):
        ask(5, f"ACQ4ME k{number} 1 1 1")
        ask(5, "RELEASE")
    yield counts(clients[5])
    run.check_library(server.pid)
    server.stop()
    yield f"at SIGTERM: {server.status}"


def counts(client):
    """The server's counts, without its times."""
    return [line for line in client.ask(b"STATS FULL\n", b"\n\n").splitlines() if "time" not in line]


SCENARIO = Scenario("poolcounterd", scenario, {"poolcounterd": "poolcounter"})
