"""Two transmission-daemons in a network namespace of their own: one shares files, and the other gets them."""

import hashlib
import json
import random
import re

from scenario import Scenario

# The daemons refuse peers on 127.0.0.0/8, so each has another address of the namespace's loopback.
ADDRESSES = {"one": "10.11.0.1", "two": "10.11.0.2"}
RPC_PORTS = {"one": 9091, "two": 9092}
PEER_PORT = 51413
TRACKER = "127.0.0.1:8000"
NETWORK = "ip link set lo up && " + " && ".join(f"ip address add {address}/32 dev lo" for address in ADDRESSES.values())
FILES = {"small": 1000, "large": 20_000_000, "folder/other": 3_000_000}


def settings(run, name):
    """The configuration of a daemon; its folder."""
    folder = run.folder / name
    (folder / "files").mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps({
        "rpc-port": RPC_PORTS[name], "rpc-bind-address": "127.0.0.1", "rpc-whitelist-enabled": False,
        "bind-address-ipv4": ADDRESSES[name], "bind-address-ipv6": "::1", "peer-port": PEER_PORT, "dht-enabled": False,
        "lpd-enabled": False, "pex-enabled": False, "utp-enabled": False, "port-forwarding-enabled": False,
        "download-dir": str(folder / "files"),
    }))
    return folder


def write_files(folder):
    """The files to share: random bytes, the same in each run."""
    source = random.Random(1)
    for name, length in FILES.items():
        path = folder / "shared" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(length))
    return folder / "shared"


def digests(folder):
    """A digest of each file."""
    return {name: hashlib.sha256((folder / "shared" / name).read_bytes()).hexdigest()[:16] for name in FILES}


def tracker(run, inside):
    """A web server whose reply to each announcement is the same file: the addresses of both daemons."""
    peers = b"".join(bytes(map(int, address.split("."))) + PEER_PORT.to_bytes(2, "big") for address in ADDRESSES.values())
    (run.folder / "tracker").mkdir()
    (run.folder / "tracker/announce").write_bytes(b"d8:intervali60e5:peers%d:%be" % (len(peers), peers))
    host, _, port = TRACKER.partition(":")
    return run.start(*inside, "python3", "-m", "http.server", "-d", run.folder / "tracker", "-b", host, port, stock=True)


def scenario(run):
    """Add, verify, exchange, limit, list, remove; the end."""
    folders = {name: settings(run, name) for name in ADDRESSES}
    first = run.start("unshare", "--net", "sh", "-c", f"{NETWORK} && exec transmission-daemon -f -g {folders['one']}")
    inside = ("nsenter", "--target", first.pid, "--net")

    def remote(name, *words, expected=(0,)):
        return run.client(*inside, "transmission-remote", f"127.0.0.1:{RPC_PORTS[name]}", *words, stock=False,
                          expected=expected).replace(f"127.0.0.1:{RPC_PORTS[name]}/transmission/rpc/", "RPC").strip()

    def state(name):
        """Have and status of a torrent."""
        found = dict(re.findall(r"^  (\w[\w ]*): (.*)$", remote(name, "-t", 1, "-i"), re.MULTILINE))
        return found.get("Percent Done"), found.get("State")

    run.wait(lambda: "RPC version" in remote("one", "-si", expected=None), "the first daemon answers")
    second = run.start(*inside, "transmission-daemon", "-f", "-g", folders["two"])
    run.wait(lambda: "RPC version" in remote("two", "-si", expected=None), "the second daemon answers")
    web = tracker(run, inside)
    run.wait(lambda: run.client(*inside, "curl", "-s", f"http://{TRACKER}/announce", expected=None), "the tracker answers")
    shared = write_files(folders["one"] / "files")
    torrent = run.folder / "shared.torrent"
    run.client("transmission-create", "-o", torrent, "-t", f"http://{TRACKER}/announce", shared)
    yield digests(shared.parent)
    for name, done in (("one", ("100%", "Idle")), ("two", ("100%", "Idle"))):
        yield f"{name}: {remote(name, '-a', torrent)}"
        run.wait(lambda: state(name) == done, lambda: f"{name} has all files, not {state(name)}", 60)  # noqa: B023
        yield f"{name}: {state(name)}"
    yield digests(folders["two"] / "files")
    yield remote("two", "-t", 1, "-f")
    yield remote("two", "-d", 100, "-u", 200, "-t", 1, "-v")
    yield re.findall(r"(?:Down|Up)load speed limit: .*", remote("two", "-si"))
    run.wait(lambda: state("two") == ("100%", "Idle"), "the files are verified")
    yield remote("two", "-t", 1, "--stop")
    run.wait(lambda: state("two")[1] == "Stopped", "the torrent stops")
    yield remote("two", "-t", 1, "--remove-and-delete")
    run.wait(lambda: not (folders["two"] / "files/shared/large").exists(), "the files are deleted")
    yield len(remote("two", "-l").splitlines())
    for server in (first, second):
        run.check_library(server.pid)
        server.stop()
        yield f"at SIGTERM: {server.status}"
    web.stop()


SCENARIO = Scenario("transmission", scenario, {
    "transmission-daemon": "transmission-daemon", "transmission-remote": "transmission-cli", "curl": "curl",
    "transmission-create": "transmission-cli", "unshare": "util-linux", "ip": "iproute2",
}, front=True, needs_root=True)
