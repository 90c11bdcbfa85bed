"""tmux: 20,000 lines in a pane, splits, shells, buffers, two sessions, a client on a terminal, and the control mode."""

import hashlib
import os

from scenario import Scenario

LINES = 20_000
TERMINAL = {"TERM": "xterm", "SHELL": "/bin/sh", "ENV": "", "PS1": "$ ", "TMUX": ""}


class Tmux:
    """A server of tmux on a socket of its own."""

    def __init__(self, run):
        self.run = run
        self.socket = run.folder / "socket"
        self.server = run.start("tmux", "-S", self.socket, "-f", "/dev/null", "-D", variables=TERMINAL)
        run.wait(self.socket.exists, "tmux makes its socket")

    def __call__(self, *words, text=None, expected=(0,)):
        return self.run.client("tmux", "-S", self.socket, *words, stock=False, text=text, expected=expected,
                               variables=TERMINAL).rstrip()

    def wait_for_text(self, target, text, times=1):
        """Wait until a pane shows a line so many times."""
        self.run.wait(lambda: self("capture-pane", "-p", "-t", target).splitlines().count(text) >= times,
                      f"{target} shows {text}")


def panes(tmux):
    """Many lines, splits, keys and the ends of panes."""
    tmux("set-option", "-g", "history-limit", 50_000)
    tmux("new-session", "-d", "-s", "one", "-x", 120, "-y", 40, f"seq {LINES}; echo end of lines; exec cat")
    tmux.wait_for_text("one", "end of lines")
    text = tmux("capture-pane", "-p", "-t", "one", "-S", "-")
    yield f"{len(text.splitlines())} lines, {hashlib.sha256(text.encode()).hexdigest()}"
    tmux("split-window", "-h", "-t", "one", "exec cat")
    tmux("split-window", "-v", "-t", "one", "exec cat")
    tmux("send-keys", "-t", "one.1", "keys of the pane", "Enter")
    tmux.wait_for_text("one.1", "keys of the pane", times=2)  # what was typed, and what cat prints
    yield tmux("list-panes", "-t", "one", "-F", "#{pane_index} #{pane_width}x#{pane_height}")
    yield tmux("capture-pane", "-p", "-t", "one.1")
    tmux("resize-pane", "-t", "one.0", "-x", 30)
    tmux("send-keys", "-t", "one.2", "C-d")
    tmux.run.wait(lambda: len(tmux("list-panes", "-t", "one").splitlines()) == 2, "a pane ends with its program")
    yield tmux("list-panes", "-t", "one", "-F", "#{pane_index} #{pane_width}x#{pane_height}")


def shells_and_buffers(tmux):
    """Commands of shells, also after a delay; buffers; what a pane prints, sent to a program."""
    tmux("run-shell", f"seq 5 > {tmux.run.folder}/shell")
    yield (tmux.run.folder / "shell").read_text().split()
    yield tmux("if-shell", "true", "display-message -p yes", "display-message -p no")
    tmux("run-shell", "-b", "-d", "1", "tmux -S '" + str(tmux.socket) + "' wait-for -S later")
    yield f"after a second: {tmux('wait-for', 'later')}"
    tmux("set-buffer", "-b", "first", "text of a buffer\n")
    tmux("load-buffer", "-b", "large", "-", text="y" * 900_000)
    yield tmux("list-buffers", "-F", "#{buffer_name} #{buffer_size}")
    yield hashlib.sha256(tmux("show-buffer", "-b", "large").encode()).hexdigest()
    tmux("pipe-pane", "-t", "one.1", f"cat > {tmux.run.folder}/pipe")
    tmux("paste-buffer", "-b", "first", "-t", "one.1")
    tmux.wait_for_text("one.1", "text of a buffer")
    path = tmux.run.folder / "pipe"
    tmux.run.wait(lambda: path.exists() and path.read_text().count("text of a buffer") == 2, "the pipe has echo and output")
    tmux("pipe-pane", "-t", "one.1")


def clients(tmux):
    """A client on a terminal that another program makes, and one in the control mode."""
    keys, screen = tmux.run.folder / "keys", tmux.run.folder / "screen"
    os.mkfifo(keys)
    # script(1) makes the terminal. It opens the pipe for writing, too, so that its input does not end.
    attach = f"stty rows 30 cols 100; tmux -S {tmux.socket} attach -t two"
    terminal = tmux.run.start("sh", "-c", f"exec script --quiet --flush --command '{attach}' {screen} <>{keys}", check=False,
                              variables=TERMINAL)
    tmux.run.wait(lambda: "two" in tmux("list-clients"), "the client is attached")
    yield tmux("list-clients", "-F", "#{client_session} #{client_width}x#{client_height} #{client_termname}")
    with open(keys, "wb", buffering=0) as typed:
        typed.write(b"typed\r")
        tmux.wait_for_text("two", "typed")
        tmux.run.wait(lambda: screen.read_bytes().count(b"typed") >= 2, "the terminal shows what was typed, and the reply")
        tmux("display-message", "-d", "500", "-c", tmux("list-clients", "-F", "#{client_name}"), "message of half a second")
        tmux.run.wait(lambda: b"message of half a second" in screen.read_bytes(), "the terminal shows a message")
        shown = len(screen.read_bytes())
        tmux.run.wait(lambda: b"0:first" in screen.read_bytes()[shown:], "the status line returns after the message")
        typed.write(b"\x02d")
    yield f"after the keys to detach: {tmux.run.wait_end(terminal, 'the client on the terminal')}"
    output = tmux("-C", "attach", "-t", "two", text="display-message -p control\nlist-windows -F '#{window_index}'\n")
    yield [line for line in output.splitlines() if not line.startswith("%")]


def scenario(run):
    """All parts, in two sessions."""
    tmux = Tmux(run)
    yield from panes(tmux)
    tmux("new-session", "-d", "-s", "two", "-n", "first", "-x", 80, "-y", 24, "exec cat")
    tmux("new-window", "-d", "-t", "two", "-n", "third", "exec cat")
    yield tmux("list-sessions", "-F", "#{session_name} #{session_windows}")
    yield from shells_and_buffers(tmux)
    yield from clients(tmux)
    tmux("kill-session", "-t", "one")
    yield tmux("list-windows", "-a", "-F", "#{session_name}:#{window_index} #{window_name}")
    yield tmux("nonsense", expected=(1,))
    run.check_library(tmux.server.pid)
    tmux("kill-server")
    yield f"after kill-server: {run.wait_end(tmux.server, 'tmux')}"


SCENARIO = Scenario("tmux", scenario, {"tmux": "tmux", "script": "bsdutils"}, front=True)
