"""webdis with three threads before Redis: HTTP requests, large values, a subscription, and Redis that ends and returns."""

import http.client
from concurrent.futures import ThreadPoolExecutor

from other_servers import redis
from scenario import Scenario
from text_client import TextClient, listens

CONFIGURATION = """\
{{"redis_host": "127.0.0.1", "redis_port": {redis}, "redis_auth": null, "http_host": "127.0.0.1", "http_port": {port},
  "threads": 3, "pool_size": 4, "daemonize": false, "websockets": false, "database": 0, "verbosity": 0,
  "http_max_request_size": 4194304, "logfile": "{folder}/webdis.log"}}
"""
LARGE = "x" * 900_000


def ask(client, path, method="GET", body=None):
    """A request on a connection that stays open; status, kind and body of the reply."""
    client.request(method, path, body)
    reply = client.getresponse()
    text = reply.read().decode()
    return f"{method} {path[:40]}: {reply.status} {reply.getheader('Content-Type')} {len(text)} {text[:60]!r}"


def connect(port):
    """A client with a bounded wait."""
    return http.client.HTTPConnection("127.0.0.1", port, timeout=20)


def counters(port, number):
    """The replies to increments on a connection of its own."""
    client = connect(port)
    replies = [ask(client, f"/INCR/counter{number}") for _ in range(100)]
    client.close()
    return replies[-1]


def subscription(port):
    """Messages of a channel come as parts of one reply, and the subscription ends with its connection."""
    with TextClient(("127.0.0.1", port)) as subscriber:
        subscriber.send(b"GET /SUBSCRIBE/channel HTTP/1.1\r\nHost: x\r\n\r\n")
        yield subscriber.read_until(b"\r\n\r\n").decode().splitlines()[0]
        yield subscriber.read_until(b"}").decode().splitlines()[1]
        client = connect(port)
        for number in range(5):
            yield ask(client, f"/PUBLISH/channel/message{number}")
            yield subscriber.read_until(b"}").decode().splitlines()[-1]
        client.close()


def scenario(run):
    """All parts."""
    port, redis_port = run.ports(2)
    backend = run.start(*redis(run.folder, redis_port), stock=True)
    run.wait(lambda: listens(("127.0.0.1", redis_port)), "Redis listens")
    configuration = CONFIGURATION.format(redis=redis_port, port=port, folder=run.folder)
    server = run.start("webdis", run.write("webdis.json", configuration))
    run.wait(lambda: listens(("127.0.0.1", port)), "webdis listens")
    run.wait(lambda: " 200 " in ask(connect(port), "/PING"), "webdis has connected to Redis")
    client = connect(port)
    for path in ("/PING", "/SET/a/hello", "/GET/a", "/GET/a.raw", "/GET/a.txt", "/GET/none", "/LPUSH/list/1", "/LPUSH/list/2",
                 "/LRANGE/list/0/-1", "/LRANGE/list/0/-1.raw", "/NONSENSE/x", "/", "/MGET/a/none/list"):
        yield ask(client, path)
    yield ask(client, "/SET/large", "PUT", LARGE)
    yield ask(client, "/STRLEN/large")
    yield ask(client, "/GET/large.txt")
    yield ask(client, "/", "POST", "GET/a")
    yield ask(client, "/", "OPTIONS")
    client.close()
    with ThreadPoolExecutor(16) as pool:
        yield from pool.map(lambda number: counters(port, number), range(16))
    yield from subscription(port)
    run.wait(lambda: ":0}" in ask(connect(port), "/PUBLISH/channel/x"), "the subscription ends with its connection")
    backend.stop()
    run.wait(lambda: " 503 " in ask(connect(port), "/GET/a"), "webdis notices the end of Redis")
    run.start(*redis(run.folder, redis_port), stock=True)
    run.wait(lambda: " 200 " in ask(connect(port), "/GET/a"), "webdis connects again by its timer")
    yield ask(connect(port), "/GET/a")
    run.check_library(server.pid)
    server.stop()
    yield f"at SIGTERM: {server.status}"


SCENARIO = Scenario("webdis", scenario, {"webdis": "webdis", "redis-server": "redis-server"})
