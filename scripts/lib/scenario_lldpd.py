"""Two lldpds, each in a network namespace of its own, that find each other over a pair of interfaces."""

import json

from scenario import Scenario


def start(run, name):
    """An lldpd in a new network namespace. Its name is that of the system that it announces."""
    server = run.start("unshare", "--net", "lldpd", "-d", "-u", run.folder / f"{name}.sock", "-S", name, "-L", "/bin/true")
    run.wait((run.folder / f"{name}.sock").exists, "lldpd makes its socket")
    return server


def scenario(run):
    """Neighbours appear, change and disappear."""
    servers = {name: start(run, name) for name in ("one", "two")}

    def control(name, *words):
        return run.client("lldpcli", "-u", run.folder / f"{name}.sock", *words)

    def link(name, *words):
        return run.client("nsenter", "--target", servers[name].pid, "--net", "ip", "link", *words)

    def neighbors(name):
        found = json.loads(control(name, "-f", "json0", "show", "neighbors", "details"))["lldp"][0].get("interface", [])
        return [(one["name"], one["chassis"][0]["descr"][0]["value"], one["port"][0]["descr"][0]["value"]) for one in found]

    for name in servers:
        control(name, "configure", "lldp", "tx-interval", "1")
        control(name, "configure", "lldp", "tx-hold", "2")
        control(name, "resume")  # lldpd waits for its configuration, which -L has left out
    link("one", "add", "left", "type", "veth", "peer", "name", "right", "netns", servers["two"].pid)
    link("one", "set", "left", "up")
    link("two", "set", "right", "up")
    for name in servers:
        run.wait(lambda: neighbors(name), f"{name} has a neighbour")  # noqa: B023
        yield f"{name}: {neighbors(name)}"
    control("two", "configure", "system", "description", "another description")
    run.wait(lambda: "another description" in str(neighbors("one")), "the other description arrives")
    yield f"one: {neighbors('one')}"
    for server in servers.values():
        run.check_library(server.pid)
    servers["two"].stop()
    run.wait(lambda: not neighbors("one"), "the neighbour disappears")
    servers["one"].stop()
    yield f"at SIGTERM: {[server.status for server in servers.values()]}"


SCENARIO = Scenario("lldpd", scenario, {"lldpd": "lldpd", "lldpcli": "lldpd", "unshare": "util-linux", "ip": "iproute2"},
                    front=True, needs_root=True)
