"""Tests of the scripts about the library for programs of libevent; no program of libevent, no build, no network."""

import argparse
import contextlib
import io
import os
import signal
import socket
import subprocess
import threading
import time
import unittest
import unittest.mock
from pathlib import Path

import libevent_links as links
import libevent_programs as programs
from child import Failure
from scenario import Core, Run, Scenario, descendants, end_descendants
from text_client import TextClient, listens

OURS = Path("/ours")
DYNAMIC_SYMBOLS = """
Symbol table '.dynsym' contains 4 entries:
   Num:    Value          Size Type    Bind   Vis      Ndx Name
     0: 0000000000000000     0 NOTYPE  LOCAL  DEFAULT  UND
     1: 0000000000000000     0 FUNC    GLOBAL DEFAULT  UND event_add
     2: 0000000000000000     0 FUNC    GLOBAL DEFAULT  UND read@GLIBC_2.2.5 (2)
     3: 0000000000012340    40 FUNC    GLOBAL DEFAULT   12 event_del
"""


def fake(run):
    """A scenario whose lines come from a function of the run, so that it needs no program."""
    return Scenario("fake", run, {})


def compare(run):
    """Whether `compare` passes a scenario, and what it prints."""
    arguments = argparse.Namespace(seconds=1, lines=False)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        passed = programs.compare(fake(run), (Core("libevent"), Core("evshard", OURS)), arguments)
    return passed, printed.getvalue()


class Libraries(unittest.TestCase):
    def test_a_program_must_load_exactly_the_core_under_test(self):
        ours, theirs = Path("/ours/libevshard_libevent.so"), Path("/usr/lib/libevent-2.1.so.7")
        front = Path("/ours/libevent-2.1.so.7")
        stock, core = Core("libevent"), Core("evshard", OURS)
        self.assertIsNone(stock.judge({theirs}, False))
        self.assertIsNone(core.judge({ours, front}, False))
        self.assertIsNone(core.judge({ours, theirs}, True))
        self.assertIn("evshard's library is loaded", stock.judge({theirs, ours}, False))
        self.assertIn("not loaded", stock.judge({Path("/lib/libc.so.6")}, False))
        self.assertIn("has not loaded", core.judge({theirs}, True))
        self.assertIn("also loaded /usr/lib/libevent-2.1.so.7", core.judge({ours, theirs}, False))
        self.assertIn("has not loaded", core.judge({Path("/other/libevshard_libevent.so")}, False))

    def test_a_process_without_the_library_fails_the_check(self):
        with Run(Core("libevent"), False, 1) as run:
            run.wait = unittest.mock.Mock(side_effect=Failure("waited"))
            with self.assertRaisesRegex(Failure, "waited"):
                run.check_library(os.getpid())
            condition = run.wait.call_args.args[0]
            self.assertFalse(condition())


class Comparisons(unittest.TestCase):
    def test_equal_lines_are_the_same_even_in_other_folders(self):
        passed, printed = compare(lambda run: [f"in {run.folder}/file", "second"])
        self.assertTrue(passed)
        self.assertIn("same (2 lines", printed)

    def test_other_lines_differ_and_are_shown_as_by_diff(self):
        passed, printed = compare(lambda run: ["first", run._core.name, "last"])
        self.assertFalse(passed)
        self.assertIn("   first\n  -libevent\n  +evshard\n   last\n", printed)

    def test_a_failure_with_one_core_only_is_a_difference(self):
        def fails(core):
            def run(it):
                yield "first"
                if it._core.name == core:
                    raise Failure("it does not answer")
            return run

        passed, printed = compare(fails("evshard"))
        self.assertFalse(passed)
        self.assertIn("fails with evshard: it does not answer", printed)
        passed, printed = compare(fails("libevent"))
        self.assertFalse(passed)
        self.assertIn("fails with libevent: it does not answer", printed)

    def test_a_program_that_is_not_installed_is_skipped_with_its_package(self):
        scenario = Scenario("fake", None, {"no-such-program": "package-of-it", "sh": "dash"})
        self.assertEqual(programs.missing(scenario), "not installed: apt-get install package-of-it")
        self.assertIsNone(programs.missing(Scenario("fake", None, {"sh": "dash"})))

    def test_every_file_of_a_scenario_is_in_the_list(self):
        files = {path.stem for path in Path(__file__).parent.glob("scenario_*.py")}
        self.assertEqual({one.run.__module__ for one in programs.SCENARIOS.values()}, files)


class Processes(unittest.TestCase):
    def test_the_end_of_a_run_ends_all_processes_below(self):
        with Run(Core("libevent"), False, 1) as run:
            shell = run.start("sh", "-c", "sleep 1000 & sleep 1000 & wait", check=False)
            run.wait(lambda: len(descendants(shell.pid)) == 2, "the shell has started both")
            below = descendants(shell.pid)
        self.assertTrue(shell.ended())
        # They got a signal; the kernel ends them a moment later.
        end = time.monotonic() + 10
        while (left := [pid for pid in below if is_running(pid)]) and time.monotonic() < end:
            time.sleep(0.01)
        self.assertFalse(left)

    def test_a_child_that_ignores_sigterm_is_killed(self):
        child = subprocess.Popen(["sh", "-c", "trap '' TERM; echo ready; sleep 1000"], stdout=subprocess.PIPE)
        child.stdout.readline()
        child.send_signal(signal.SIGTERM)
        end_descendants(os.getpid())
        self.assertEqual(descendants(os.getpid()), [])
        child.returncode = 0  # it was waited for already
        child.stdout.close()

    def test_a_wait_that_is_in_vain_names_what_it_waited_for_and_shows_the_logs(self):
        with Run(Core("libevent"), False, 1) as run:
            server = run.start("sh", "-c", "echo the log; sleep 1000", check=False)
            run.wait(lambda: "the log" in server.output, "the log")
            with self.assertRaisesRegex(Failure, "(?s)not within 0 s: a miracle.*the log"):
                run.wait(lambda: False, "a miracle", timeout_s=0.1)

    def test_a_client_that_fails_or_does_not_end_is_a_failure(self):
        with Run(Core("libevent"), False, 1) as run:
            self.assertEqual(run.client("cat", text="text"), "text")
            with self.assertRaisesRegex(Failure, "sh failed with exit status 3\n    reason"):
                run.client("sh", "-c", "echo reason; exit 3")
            with self.assertRaisesRegex(Failure, "sleep did not end"):
                run.client("sleep", 1000, timeout_s=0.1)


class TextClients(unittest.TestCase):
    def reply(self, *parts):
        """The address of a server that sends these parts to one client, and closes."""
        listener = socket.create_server(("127.0.0.1", 0))

        def serve():
            with listener, listener.accept()[0] as connection:
                for part in parts:
                    connection.sendall(part)

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join)
        return listener.getsockname()

    def test_replies_are_cut_at_their_ends_and_not_at_those_of_reads(self):
        with TextClient(self.reply(b"one\r", b"\ntw", b"o\r\n1234", b"rest")) as client:
            self.assertEqual(client.read_until(b"\r\n"), b"one\r\n")
            self.assertEqual(client.read_until(b"\r\n"), b"two\r\n")
            self.assertEqual(client.read_exactly(4), b"1234")
            self.assertEqual(client.read_all(), b"rest")

    def test_a_connection_that_ends_too_early_is_a_failure(self):
        with TextClient(self.reply(b"half")) as client, self.assertRaisesRegex(Failure, "closed the connection.*half"):
            client.read_until(b"\r\n")

    def test_a_port_without_a_server_does_not_listen(self):
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            self.assertFalse(listens(bound.getsockname()))
            bound.listen()
            self.assertTrue(listens(bound.getsockname()))


class Links(unittest.TestCase):
    def test_imports_and_exports_are_read_without_their_versions(self):
        self.assertEqual(links.symbols(DYNAMIC_SYMBOLS, undefined=True), {"event_add", "read"})
        self.assertEqual(links.symbols(DYNAMIC_SYMBOLS, undefined=False), {"event_del"})

    def test_an_object_that_imports_an_upper_layer_needs_more_than_the_core(self):
        def needs_core_only(*names):
            return links.Object(Path("x"), frozenset(names)).needs_core_only

        self.assertTrue(needs_core_only("event_add", "evthread_use_pthreads", "libevent_global_shutdown"))
        for name in ("evbuffer_new", "bufferevent_new", "evutil_socketpair", "evhttp_new", "evdns_base_new",
                     "evconnlistener_new"):
            self.assertFalse(needs_core_only("event_add", name), name)

    def test_the_list_of_packages_has_names_and_comments(self):
        self.assertEqual(links.names("# date\nmemcached\n\n nsd # a reason\n"), ["memcached", "nsd"])
        listed = links.names(links.LIST.read_text())
        self.assertEqual(listed, sorted(set(listed)))
        self.assertIn("memcached", listed)


def is_running(pid):
    """Whether a process exists and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    unittest.main()
