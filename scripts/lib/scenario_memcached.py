"""memcached with four threads: its text protocol, expiry by its clock, large values, and memaslap as a client."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor

from scenario import USER, Scenario
from text_client import TextClient, listens

THREADS = 4
CONNECTIONS = 20
VALUES = 100
LARGE = 900_000
TOO_LARGE = 3_000_000  # for -I 2m
AS_USER = () if USER is None else ("-u", USER)
END = b"END\r\n"
COUNTED = ("cmd_get", "cmd_set", "cmd_touch", "get_hits", "get_misses", "get_expired", "incr_hits", "decr_misses",
           "cas_hits", "cas_badval", "delete_hits", "curr_items", "threads",
           "listen_disabled_num", "time_in_listen_disabled_us")


def start(run):
    """A memcached; its address and itself."""
    address = ("127.0.0.1", run.ports(1)[0])
    server = run.start("memcached", *AS_USER, "-t", THREADS, "-m", 512, "-I", "2m", "-U", 0, "-l", address[0], "-p",
                       address[1])
    run.wait(lambda: listens(address), "memcached listens")
    return address, server


def commands(address):
    """The commands of the text protocol, and their replies."""
    with TextClient(address) as client:
        for request in ("set a 7 0 3\r\nabc", "get a", "get none", "gets a", "append a 0 0 2\r\nde", "prepend a 0 0 1\r\n_",
                        "get a", "add a 0 0 1\r\nx", "add b 0 0 1\r\n5", "replace none 0 0 1\r\nx", "incr b 37", "decr b 2",
                        "decr none 1", "incr a 1", "touch b 100", "gat 100 b", "delete b", "delete b", "mg a v t f",
                        "ms c 2\r\nhi", "md c", "verbosity 0", f"set long 0 0 {TOO_LARGE}\r\n{'x' * TOO_LARGE}",
                        "nonsense"):
            client.send(f"{request}\r\nmn\r\n".encode())
            reply = client.read_until(b"MN\r\n")[:-4].decode().strip()
            yield f"{request.splitlines()[0]}: {reply.splitlines()}"
        unique = client.ask(b"gets a\r\n", END).split()[4]
        yield client.ask(f"cas a 0 0 1 {unique}\r\ny\r\n".encode())
        yield client.ask(f"cas a 0 0 1 {unique}\r\nz\r\n".encode())
        client.send(b"get a\r\n" * 1000)
        yield f"different replies to 1,000 requests at once: {len({client.read_until(END) for _ in range(1000)})}"


def expiry(run, address):
    """A value with a time to live, which the timer of memcached's clock ends."""
    with TextClient(address) as client:
        yield client.ask(b"set short 0 2 1\r\nx\r\n")
        yield client.ask(b"get short\r\n", END)
        run.wait(lambda: client.ask(b"get short\r\n", END) == "END", "a value of two seconds expires")
        yield "expired"
        yield client.ask(b"set kept 0 0 1\r\nx\r\n")
        yield client.ask(b"flush_all 1\r\n")
        run.wait(lambda: client.ask(b"get kept\r\n", END) == "END", "flush_all with a delay of a second")
        yield "flushed"


def values(address, number):
    """Set and get values on a connection of their own; how many came back unchanged."""
    right = 0
    with TextClient(address) as client:
        for i in range(VALUES):
            value = bytes([97 + number % 26]) * (LARGE if i % 50 == 7 else 1000 + i)
            stored = client.ask(b"set v%d.%d 0 0 %d\r\n%s\r\n" % (number, i, len(value), value))
            client.send(b"get v%d.%d\r\n" % (number, i))
            client.read_until(b"\r\n")
            right += stored == "STORED" and client.read_exactly(len(value)) == value
            client.read_until(END)
    return right


def idle_connections(run):
    """Connections that send nothing are closed after a second, which is a timer of memcached's."""
    address = ("127.0.0.1", run.ports(1)[0])
    run.start("memcached", *AS_USER, "-t", 2, "-U", 0, "-l", address[0], "-p", address[1], "-o", "idle_timeout=1")
    run.wait(lambda: listens(address), "memcached listens")
    clients = [TextClient(address) for _ in range(10)]
    yield f"bytes before the end of idle connections: {[len(client.read_all()) for client in clients]}"
    for client in clients:
        client.__exit__()


def memaslap(run, address):
    """The load generator of libmemcached, whose clients also wait by the library under test."""
    output = run.client("memcaslap", "-s", f"127.0.0.1:{address[1]}", "-T", 2, "-c", 32, "-x", 40_000, "-v", "1.0",
                        stock=False)
    for name in ("cmd_get", "cmd_set", "get_misses", "verify_misses", "verify_failed"):
        yield f"memaslap {re.search(f'{name}: [0-9]+', output)[0]}"


def memtier(run, address):
    """memtier_benchmark, if it is there. It is not in every release of Debian."""
    if shutil.which("memtier_benchmark"):
        output = run.client("memtier_benchmark", "-P", "memcache_text", "-s", "127.0.0.1", "-p", address[1], "-t", 2, "-c", 25,
                            "--ratio", "1:10", "--data-size-range", "1-20000", "--key-maximum", 2000, "--test-time",
                            run.seconds, "--hide-histogram", timeout_s=run.seconds + 60)
        yield f"memtier: errors {output.count('error')}, requests {bool(re.search('Totals +[1-9]', output))}"


def scenario(run):
    """All parts, and memcached's own counters."""
    address, server = start(run)
    yield from commands(address)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        yield f"values: {list(pool.map(lambda number: values(address, number), range(CONNECTIONS)))}"
    with TextClient(address) as client:
        counts = dict(line.split()[1:3] for line in client.ask(b"stats\r\n", END).splitlines()[:-1])
    yield from (f"{name} {counts[name]}" for name in COUNTED)
    yield from memaslap(run, address)
    yield from memtier(run, address)
    yield from expiry(run, address)
    yield from idle_connections(run)
    run.wait(lambda: open_connections(address) == 1, "the connections of all clients are closed")
    server.stop()
    yield f"at SIGTERM: {server.status}"


def open_connections(address):
    """The number of connections that memcached has, with the one that asks."""
    with TextClient(address) as client:
        return int(re.search("curr_connections ([0-9]+)", client.ask(b"stats\r\n", END))[1])


SCENARIO = Scenario("memcached", scenario, {"memcached": "memcached", "memcaslap": "libmemcached-tools"})
