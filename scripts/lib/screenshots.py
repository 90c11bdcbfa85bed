"""screenshots: pictures of a real run for the documentation."""

import base64
import json
import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import child
import cli
import machine
from child import Failure, run_main
from loader import OVERHEAD_S, USABLE_STATUS, Load
from programs import Programs, require
from server import Server, evshard

SCRIPT = "scripts/screenshots.sh"
FOLDER = Path("docs/images")
WORK = Path("target/screenshots")
COLUMNS, LINES = 118, 14
LOAD_S = 10
BEFORE_S = 5  # top has its first rates then
PAGE_S = 60  # the page of the admin draws a point a second


class Terminal:
    """A program in a terminal of tmux. Use as a context manager: the end of the block ends the program."""

    def __init__(self, *command):
        self._command = command

    def _tmux(self, *words):
        return child.run(["tmux", "-L", f"screenshots-{id(self)}", "-f", "/dev/null", *words], "tmux", timeout_s=10)

    def __enter__(self):
        self._tmux("new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES), *self._command)
        return self

    def __exit__(self, *_exception):
        self._tmux("kill-server")

    def text(self):
        """What the terminal shows, with its colours as escape sequences."""
        return self._tmux("capture-pane", "-e", "-p")


class Browser:
    """Chromium with one page, which shows `address`. Use as a context manager: the end of the block ends it.

    It is asked over two pipes by the DevTools protocol: JSON that ends with a zero byte.
    """

    def __init__(self, address, width, height):
        self._arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                           "--blink-settings=preferredColorScheme=1", f"--window-size={width},{height}",
                           f"--user-data-dir={WORK / 'chromium'}", "--remote-debugging-pipe", address]

    def __enter__(self):
        (its_input, to_browser), (from_browser, its_output) = os.pipe(), os.pipe()
        redirected = f'exec chromium "$@" 3<&{its_input} 4>&{its_output}'
        self._process = child.start(["bash", "-c", redirected, "chromium", *self._arguments],
                                    pass_fds=(its_input, its_output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(its_input)
        os.close(its_output)
        self._requests = open(to_browser, "wb", buffering=0)
        self._replies = open(from_browser, "rb")
        return self

    def __exit__(self, *_exception):
        child.stop(self._process)
        self._requests.close()
        self._replies.close()

    def picture(self, name):
        """Write what the page shows as docs/images/NAME.png."""
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        session = self._call("Target.attachToTarget", params={"targetId": page, "flatten": True})["sessionId"]
        answer = self._call("Page.captureScreenshot", sessionId=session)
        output = FOLDER / f"{name}.png"
        output.write_bytes(base64.b64decode(answer["data"]))
        print(f"{output}: {output.stat().st_size // 1024} KiB", flush=True)

    def _call(self, method, **more):
        """Call a method, and return its result. What else the browser says is dropped."""
        self._requests.write(json.dumps({"id": 1, "method": method, **more}).encode() + b"\0")
        while True:
            message = json.loads(self._message())
            if message.get("id") == 1:
                return message["result"]

    def _message(self):
        text = bytearray()
        while (byte := self._replies.read(1)) != b"\0":
            if not byte:
                raise Failure("chromium ended before it made the picture")
            text += byte
        return text


def as_page(terminal_text):
    """Write the text of a terminal as a page. Returns its address."""
    plain = WORK / "top.txt"
    plain.write_text(terminal_text)
    page = child.run(["aha", "--black", "--style", "font-size:14px;margin:12px", "-f", str(plain)], "aha")
    path = (WORK / "top.html").absolute()
    path.write_text(page)
    return path.as_uri()


def main():
    """Load the server, and take a picture of everything that shows it."""
    args = cli.Parser(
        SCRIPT,
        f"Runs the server under load, and writes pictures into {FOLDER}: `evshard top`, the page of the admin, and the\n"
        "report of loadgen. The documentation shows them. Run it on a quiet machine, and look at the pictures.\n"
        "It needs the Debian packages chromium, tmux and aha.",
        SCRIPT,
    ).parse_args()
    require("chromium", "tmux", "aha")
    programs = Programs(args.bin_dir)
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    division = machine.division(1)
    subject = evshard(programs.evshard, 2, flags=("--admin", "127.0.0.1:0"))
    with Server(subject, division.server) as server:
        load = Load(programs.loadgen, connections=400, rate="8k", duration=f"{LOAD_S}s", server_pid=server.pid,
                    pin=division.loader and machine.listed(division.loader), out=str(WORK / "run"))
        with child.Task(load.argv(server.address), "loadgen") as task, \
                Terminal(programs.evshard, "top", "--admin", server.admin) as top:
            time.sleep(BEFORE_S)
            shown = top.text()
            report = task.finish(load.seconds + OVERHEAD_S, USABLE_STATUS)
        # Chromium takes time from the loader, so the run that it disturbs is another one.
        longer = replace(load, out=None, duration=f"{PAGE_S}s")
        with child.Task(longer.argv(server.address), "loadgen"), \
                Browser(f"http://{server.admin}/", 1100, 810) as browser:
            time.sleep(PAGE_S)
            browser.picture("admin-page")
    if "busy" not in shown:
        raise Failure(f"the terminal does not show the table of top:\n{shown}")
    report_page = (WORK / "run/index.html").absolute().as_uri()
    for name, address, size in (("top", as_page(shown), (1020, 350)), ("report", report_page, (1100, 1450))):
        with Browser(address, *size) as browser:
            time.sleep(2)
            browser.picture(name)
    print(report.partition("\n")[0])


if __name__ == "__main__":
    run_main(main)
