"""tor without a network: its control port, signals, a changed configuration, and the shutdown."""

import re
import signal

from scenario import Scenario
from text_client import TextClient, listens

CONFIGURATION = """\
DisableNetwork 1
ControlPort 127.0.0.1:{port}
DataDirectory {folder}/data
CookieAuthentication 0
SocksPort 0
Log notice stdout
MaxCircuitDirtiness {dirtiness}
"""
REQUESTS = ("AUTHENTICATE", "GETINFO status/bootstrap-phase", "GETINFO net/listeners/control", "GETINFO dormant",
            "GETINFO events/names", "GETCONF DisableNetwork MaxCircuitDirtiness", "SETCONF MaxCircuitDirtiness=77",
            "GETCONF MaxCircuitDirtiness", "RESETCONF MaxCircuitDirtiness", "MAPADDRESS 192.0.2.1=torproject.org",
            "GETINFO address-mappings/control", "SIGNAL NEWNYM", "SIGNAL DEBUG", "SIGNAL CLEARDNSCACHE", "SIGNAL NONSENSE",
            "GETINFO nonsense", "NONSENSE", "ADD_ONION NEW:ED25519-V3 Flags=DiscardPK Port=80")
REPLY_END = re.compile(r"^\d{3} ")


def ask(client, request):
    """The lines of a reply. What differs from run to run is replaced."""
    client.send(f"{request}\r\n".encode())
    lines = [client.read_until(b"\r\n").decode().rstrip()]
    while not REPLY_END.match(lines[-1]):
        lines.append(client.read_until(b"\r\n").decode().rstrip())
    text = " / ".join(lines)
    return re.sub(r"ServiceID=\w+", "ServiceID=X", re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text))


def scenario(run):
    """Requests on one connection and on several, signals, and the end."""
    address = ("127.0.0.1", run.ports(1)[0])
    path = run.write("torrc", CONFIGURATION.format(port=address[1], folder=run.folder, dirtiness=600))
    server = run.start("tor", "-f", path, "--defaults-torrc", run.folder / "none")
    run.wait(lambda: listens(address), "tor listens for controllers")
    with TextClient(address) as client:
        yield ask(client, "GETINFO version")  # refused before AUTHENTICATE
    with TextClient(address) as client, TextClient(address) as watcher:
        yield ask(watcher, "AUTHENTICATE")
        yield ask(watcher, "SETEVENTS SIGNAL CONF_CHANGED")
        yield from (f"{request}: {ask(client, request)}" for request in REQUESTS)
        yield watcher.read_until(b"MaxCircuitDirtiness=77\r\n").decode().splitlines()
        yield watcher.read_until(b"CLEARDNSCACHE\r\n").decode().splitlines()
        run.write("torrc", CONFIGURATION.format(port=address[1], folder=run.folder, dirtiness=88))
        server.signal(signal.SIGHUP)
        run.wait(lambda: "=88" in ask(client, "GETCONF MaxCircuitDirtiness"), "tor reads its configuration at SIGHUP")
        server.signal(signal.SIGUSR1)
        run.wait(lambda: "stats" in server.output, "tor logs its statistics at SIGUSR1")
        others = [TextClient(address) for _ in range(20)]
        yield {ask(other, "AUTHENTICATE") for other in others}
        for other in others:
            other.__exit__()
        run.check_library(server.pid)
        yield ask(client, "SIGNAL SHUTDOWN")
        yield f"after SHUTDOWN: {run.wait_end(server, 'tor')}"


SCENARIO = Scenario("tor", scenario, {"tor": "tor"}, front=True)
