"""unbound with two threads: local zones over UDP and TCP, reloads, control commands, and the end of idle connections."""

import signal
import struct

from scenario import Scenario
from text_client import TextClient, listens

NAMES = 100
CONFIGURATION = """\
server:
    num-threads: 2
    interface: 127.0.0.1
    port: {port}
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: "{folder}/unbound.pid"
    use-syslog: no
    do-daemonize: no
    do-ip6: no
    tcp-idle-timeout: 1000
    local-zone: "test." static
    local-data: "version.test. TXT {version}"
{data}
remote-control:
    control-enable: yes
    control-interface: "{folder}/control.sock"
    control-use-cert: no
"""


def write(run, port, version):
    """The configuration, with a number of local names."""
    data = "\n".join(f'    local-data: "n{i}.test. A 192.0.2.{i}"' for i in range(NAMES))
    return run.write("unbound.conf", CONFIGURATION.format(port=port, folder=run.folder, version=version, data=data))


def dig(run, port, *words):
    """The answers of dig(1)."""
    return run.client("dig", "@127.0.0.1", "-p", port, "+time=5", "+tries=1", "+noall", "+comments", "+answer", *words)


def answers(text):
    """The status of the answers, and their records, without the numbers of the queries."""
    status = {line.split("status: ")[1].split(",")[0] for line in text.splitlines() if "status: " in line}
    records = sorted(" ".join(line.split()) for line in text.splitlines() if line and not line.startswith(";"))
    return f"{' '.join(sorted(status))} {records}"


def query(name):
    """A query for the addresses of a name, as on TCP: after its length."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    message = struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)
    return struct.pack("!H", len(message)) + message


def pipelined(port):
    """Many queries at once on one connection, until the server ends it because it is idle."""
    with TextClient(("127.0.0.1", port)) as client:
        client.send(b"".join(query(f"n{i}.test") for i in range(NAMES)))
        addresses = set()
        for _ in range(NAMES):
            addresses.add(client.read_exactly(struct.unpack("!H", client.read_exactly(2))[0])[-1])
        yield f"pipelined: {len(addresses)} different addresses"
        yield f"bytes before the end of the idle connection: {len(client.read_all())}"


def scenario(run):
    """Queries, reloads by command and by signal, control commands, and the end."""
    port = run.ports(1)[0]
    configuration = write(run, port, 1)
    server = run.start("unbound", "-d", "-c", configuration)
    run.wait(lambda: listens(("127.0.0.1", port)), "unbound listens")

    def control(*words):
        return run.client("unbound-control", "-c", configuration, *words, stock=False).strip()

    run.wait(lambda: "is running" in control("status"), "unbound answers unbound-control")
    for transport in ("+notcp", "+tcp"):
        for words in (("version.test", "TXT"), ("none.test", "A"), ("n1.test", "TXT"), ("version.bind", "CH", "TXT")):
            yield f"{transport} {' '.join(words)}: {answers(dig(run, port, transport, *words))}"
        names = run.write("names", "".join(f"n{i}.test A\n" for i in range(NAMES)))
        yield f"{transport}: {answers(dig(run, port, transport, '-f', names))}"
    yield from pipelined(port)
    yield [line for line in control("stats_noreset").splitlines() if line.startswith("total.num.queries=")]
    yield control("local_data", "added.test", "A", "192.0.2.200")
    yield answers(dig(run, port, "added.test"))
    write(run, port, 2)
    yield control("reload")
    yield answers(dig(run, port, "version.test", "TXT"))
    yield answers(dig(run, port, "added.test"))
    write(run, port, 3)
    server.signal(signal.SIGHUP)
    run.wait(lambda: '"3"' in dig(run, port, "version.test", "TXT"), "unbound reloads at SIGHUP")
    yield from pipelined(port)
    run.check_library(server.pid)
    yield control("stop")
    yield f"after stop: {run.wait_end(server, 'unbound')}"


SCENARIO = Scenario("unbound", scenario, {"unbound": "unbound", "unbound-control": "unbound", "dig": "bind9-dnsutils"})
