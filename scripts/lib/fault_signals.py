"""Signals that scripts send by habit, and a pause of the process: no client notices them."""

import signal
import time

from connections import connect, echo
from probe_client import ProbeClient
from server import Server

NAME = "signals"
WHAT = "signals by habit, and a pause"
HABITS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGWINCH)
IDLE_S = 1.0
PAUSE_S = 1.5
ROUNDS = 50


def run(context, outcome):
    """First each signal many times. Then SIGSTOP for longer than the idle timeout, with a request in the socket."""
    with Server(context.subject()) as server, ProbeClient(server.address) as probe:
        for _ in range(5 if context.quick else ROUNDS):
            for number in HABITS:
                server.signal(number)
            time.sleep(0.01)
        server.check_alive()
        outcome.expect_unharmed(probe, 250)
        server.signal(signal.SIGQUIT)
        server.wait()
        outcome.expect("SIGQUIT drains", "it ended with status 0", True)
    with Server(context.subject("--idle-timeout", f"{IDLE_S:.0f}s")) as server, connect(server.address) as client:
        echo(client)
        server.signal(signal.SIGSTOP)
        client.sendall(b"x")
        time.sleep(PAUSE_S)
        server.signal(signal.SIGCONT)
        answer = client.recv(1)
        outcome.expect("a request that came during a pause is served", f"{answer!r}", answer == b"x")
        client.close()
        server.stop()
