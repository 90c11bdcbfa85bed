"""nsd with two server processes: a zone over UDP and TCP, reloads by nsd-control and by SIGHUP, and the end."""

import signal

import procfs
from scenario import USER, Scenario
from scenario_unbound import answers, dig
from text_client import listens

CONFIGURATION = """\
server:
    server-count: 2
    ip-address: 127.0.0.1@{port}
    username: ""
    zonesdir: "{folder}"
    database: ""
    pidfile: "{folder}/nsd.pid"
    xfrdfile: "{folder}/xfrd.state"
    zonelistfile: "{folder}/zone.list"
    tcp-timeout: 1
remote-control:
    control-enable: yes
    control-interface: "{folder}/control.sock"
zone:
    name: "test."
    zonefile: "test.zone"
    provide-xfr: 127.0.0.1 NOKEY
"""
ZONE = """\
$ORIGIN test.
$TTL 60
@ SOA ns admin {serial} 3600 600 86400 60
@ NS ns
ns A 192.0.2.1
text TXT "serial {serial}"
"""


def write_zone(run, serial):
    """A zone with many names."""
    run.write("test.zone", ZONE.format(serial=serial) + "".join(f"n{i} A 192.0.2.{i}\n" for i in range(100)))


def scenario(run):
    """Queries, a changed zone by command and by signal, control commands, and the end."""
    port = run.ports(1)[0]
    configuration = run.write("nsd.conf", CONFIGURATION.format(port=port, folder=run.folder))
    write_zone(run, 1)
    server = run.start("nsd", "-d", "-c", configuration, user=USER)
    run.wait(lambda: listens(("127.0.0.1", port)), "nsd listens")

    def control(*words, expected=(0,)):
        return run.client("nsd-control", "-c", configuration, *words, stock=False, expected=expected).strip()

    def serial():
        return dig(run, port, "text.test", "TXT")

    run.wait(lambda: "version" in control("status", expected=None), "nsd answers nsd-control")
    for pid in procfs.children(server.pid):
        run.check_library(pid)
    for transport in ("+notcp", "+tcp"):
        for words in (("text.test", "TXT"), ("test", "SOA"), ("none.test", "A"), ("other.", "A"), ("test", "AXFR")):
            yield f"{transport} {' '.join(words)}: {answers(dig(run, port, transport, *words))}"
        names = run.write("names", "".join(f"n{i}.test A\n" for i in range(100)))
        yield f"{transport}: {answers(dig(run, port, transport, '-f', names))}"
    for number in (2, 3, 4):
        write_zone(run, number)
        yield control("reload")
        run.wait(lambda: f"serial {number}" in serial(), f"the zone of serial {number} by nsd-control")  # noqa: B023
    write_zone(run, 5)
    server.signal(signal.SIGHUP)
    run.wait(lambda: "serial 5" in serial(), "the zone of serial 5 by SIGHUP")
    for pid in (server.pid, *procfs.children(server.pid)):
        run.check_library(pid)
    yield answers(dig(run, port, "test", "SOA"))
    yield control("zonestatus", "test").splitlines()[:2]
    yield control("reconfig")
    counts = [line for line in control("stats_noreset").splitlines() if line.startswith(("num.tcp=", "num.type.AXFR"))]
    yield f"counts: {counts}"
    yield control("stop")
    yield f"after stop: {run.wait_end(server, 'nsd')}"


SCENARIO = Scenario("nsd", scenario, {"nsd": "nsd", "nsd-control": "nsd", "dig": "bind9-dnsutils"})
