"""Tests of compare_tls.sh: its client against a server in this process, and its tables.

    python3 -B -m unittest discover --start-directory scripts/lib
"""

import contextlib
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import types
import unittest
import unittest.mock
from pathlib import Path

import compare_tls
import stats
import tls_client
import tls_report
import tls_servers
from child import Failure
from other_servers import OtherServer
from test_plot import described
from tls_report import ALONE, WITH, WITHOUT, Cost, Measured
from tls_servers import HAPROXY, NGINX, REFERENCE

ECHO, FULL, RESUMED = (compare_tls.CASES[index] for index in (0, 2, 4))
HELLO = """
import ssl, tls_client
outgoing = ssl.MemoryBIO()
try:
    tls_client.tls_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
except ssl.SSLWantReadError:
    print(outgoing.read().hex())
"""
NGINX_BUILD = "--modules-path=/usr/lib/nginx/modules --with-stream=dynamic --with-stream_ssl_module"


class EchoServer:
    """An echo server in threads of this process, with TLS if there is a context. Use as a context manager."""

    def __init__(self, context, answer=lambda received: received, sends_close_notify=True):
        self._context = context
        self._answer = answer
        self._sends_close_notify = sends_close_notify

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        return self

    def __exit__(self, *_exception):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, client):
        with client, contextlib.suppress(OSError):
            if self._context is not None:
                client = self._context.wrap_socket(client, server_side=True)
            with client:
                while answer := self._answer(client.recv(65536)):
                    client.sendall(answer)
                if self._context is not None and self._sends_close_notify:
                    client.unwrap()


@unittest.skipIf(shutil.which("openssl") is None, "openssl is not installed")
class Client(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.identities = tls_servers.certify(Path(cls.folder.name))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def server(self, tickets=2, key="ecdsa", **options):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.identities[key].certificate, self.identities[key].key)
        context.num_tickets = tickets
        return EchoServer(context, **options)

    def measured(self, server, case, with_tls=True, size=1):
        client = tls_client.Client(server.address, tls_client.tls_context() if with_tls else None)
        # procfs fails if a thread ends in between, as those of this server do.
        with unittest.mock.patch("procfs.difference", lambda *_samples: []):
            return tls_client.measure(client, os.getpid(), case.kind, 3, size, 0.05)

    def test_full_handshakes_are_all_full_and_resumed_ones_all_resumed(self):
        with self.server() as server:
            for case in (FULL, RESUMED):
                done = self.measured(server, case)
                compare_tls.check_connections("x", case, done["agreed"])
                self.assertEqual(list(done["agreed"].values()), [done["done"]])

    def test_a_server_without_tickets_cannot_pass_as_one_that_resumes(self):
        with self.server(tickets=0) as server:
            self.assertFalse(tls_client.agreement(server.address, tls_client.tls_context())["resumes"])
            with self.assertRaisesRegex(Failure, "should be of TLSv1.3, TLS_AES_256_GCM_SHA384, resumed handshake"):
                compare_tls.check_connections("x", RESUMED, self.measured(server, RESUMED)["agreed"])

    def test_messages_of_any_size_come_back_with_tls_and_without(self):
        for with_tls, server in ((True, self.server()), (False, EchoServer(None))):
            with server:
                for size in (1, 16384, 100_000):
                    done = self.measured(server, ECHO, with_tls, size)
                    self.assertGreater(done["done"], 0)
                    self.assertEqual(done["done"] % 3, 0)
                    self.assertEqual(sum(done["agreed"].values()), 3 if with_tls else 0)

    def test_an_answer_that_is_no_echo_ends_the_run(self):
        with EchoServer(None, bytes.swapcase) as server, self.assertRaisesRegex(Failure, "something else"):
            self.measured(server, ECHO, with_tls=False, size=1000)

    def test_a_server_that_closes_a_connection_ends_the_run(self):
        for with_tls, server in ((True, self.server(answer=lambda _: b"")), (False, EchoServer(None, lambda _: b""))):
            with server, self.assertRaisesRegex(Failure, "the server closed a connection"):
                self.measured(server, FULL, with_tls)

    def test_a_client_without_a_server_prints_one_line(self):
        with self.assertRaisesRegex(Failure, r"(?s)exit status 1\n    error: a connection to 127.0.0.1:1 failed: [^\n]*$"):
            tls_client.agree(types.SimpleNamespace(address="127.0.0.1:1"), min(os.sched_getaffinity(0)))

    def test_a_server_without_close_notify_is_measured_and_named(self):
        with self.server(sends_close_notify=False) as server:
            self.assertGreater(self.measured(server, FULL)["done"], 0)
            self.assertFalse(tls_client.agreement(server.address, tls_client.tls_context())["answers close_notify"])

    def test_an_agreement_names_key_exchange_signature_and_tickets(self):
        for key, signature in (("ecdsa", "ecdsa_secp256r1_sha256"), ("rsa", "rsa_pss_rsae_sha256")):
            with self.server(tickets=3, key=key) as server:
                found = tls_client.agree(types.SimpleNamespace(address=server.address), min(os.sched_getaffinity(0)))
            self.assertEqual(found, {
                "version": tls_client.VERSION, "cipher": tls_client.CIPHER, "key exchange": "X25519", "signature": signature,
                "tickets": 3, "resumes": True, "answers close_notify": True})

    def test_the_client_offers_one_choice_of_each_kind(self):
        printed = subprocess.run([sys.executable, "-B", "-c", HELLO], capture_output=True, text=True, check=True, env={
            **os.environ, "OPENSSL_CONF": str(tls_client.OFFERS), "PYTHONPATH": str(Path(tls_client.__file__).parent)})
        hello = printed.stdout
        for extension in ("000a00040002001d", "000d0006000404030804"):  # groups, signature algorithms
            self.assertIn(extension, hello)
        # The ciphers follow the record, the header, the version, the random bytes, a session id of 32 and their length.
        message = bytes.fromhex(hello)
        length, = struct.unpack_from(">H", message, 76)
        ciphers = struct.unpack_from(f">{length // 2}H", message, 78)
        self.assertEqual([cipher for cipher in ciphers if cipher >> 8 == 0x13], [0x1302])  # those of TLS 1.3


class Servers(unittest.TestCase):
    def test_the_stream_module_of_nginx_is_loaded_built_in_or_missing(self):
        self.assertEqual(tls_servers.stream_module(NGINX_BUILD), "/usr/lib/nginx/modules/ngx_stream_module.so")
        self.assertEqual(tls_servers.stream_module(NGINX_BUILD.replace("=dynamic", "")), "")
        self.assertIsNone(tls_servers.stream_module(NGINX_BUILD.replace("--with-stream_ssl_module", "")))

    def test_a_missing_server_is_one_sentence_and_the_others_are_measured(self):
        with unittest.mock.patch("shutil.which", return_value=None):
            found, missing = tls_servers.prepare([HAPROXY, NGINX], None, None)
        self.assertEqual((found, len(missing)), ([], 2))
        self.assertIn("haproxy: not measured, because it is not installed", missing[0])

    def test_a_proxy_has_tls_only_with_an_identity(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            identity = tls_servers.Identity(str(folder / "a.pem"), str(folder / "a.key"))
            for path in (identity.certificate, identity.key):
                Path(path).write_text(f"{path}\n")
            for given, count in ((identity, 1), (None, 0)):
                tls_servers.configure_haproxy("127.0.0.1:1", given, folder, 2)
                written = (folder / "haproxy.cfg").read_text()
                self.assertEqual(written.count(" ssl crt "), count)
                self.assertIn("server echo 127.0.0.1:1", written)
                tls_servers.configure_nginx("", "127.0.0.1:1", given, folder, 2)
                written = (folder / "nginx.conf").read_text()
                self.assertEqual((written.count("2 ssl;"), written.count("ssl_certificate ")), (count, count))
                self.assertIn("proxy_pass 127.0.0.1:1;", written)
            self.assertEqual((folder / "identity.pem").read_text(), f"{identity.certificate}\n{identity.key}\n")


    def test_the_worker_of_a_master_is_its_child_even_if_that_starts_late(self):
        code = ("import os, socket, sys, time\n"
                "listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
                "listener.accept()\n"  # the script has found that it listens
                "time.sleep(0.2)\n"
                "os.fork()\n"
                "time.sleep(20)\n")
        for has_master in (True, False):
            with OtherServer(lambda _folder, port: [sys.executable, "-c", code, str(port)], None, has_master) as server:
                parent = Path(f"/proc/{server.worker}/stat").read_text().rpartition(")")[2].split()[1]
                self.assertEqual(int(parent) == os.getpid(), not has_master)


class Report(unittest.TestCase):
    AGREEMENT = {"version": "TLSv1.3", "cipher": "c", "key exchange": "X25519", "signature": "s", "tickets": 2,
                 "resumes": True, "answers close_notify": True}

    def measured(self, **cpu):
        """Rounds of the first case: the servers with pairs of the CPU time with TLS and without."""
        servers = [types.SimpleNamespace(name=name, role="an echo server.") for name in cpu]
        costs = {(name, what): [Cost(pair[index], 0.02, 5000) for pair in pairs]
                 for name, pairs in cpu.items() for index, what in enumerate((WITH, WITHOUT))}
        agreements = {(name, "ecdsa"): self.AGREEMENT for name in cpu}
        return Measured(servers, ["nginx: not measured, because of a test"], agreements, {ECHO: costs}, "Not measured.")

    GOOD = {"evshard": [(6, 4), (8, 4)], REFERENCE: [(10, 6), (10, 5)], HAPROXY: [(20, 18), (20, 17)]}

    def test_tls_alone_is_the_difference_of_each_round(self):
        self.assertEqual(self.measured(**self.GOOD).cpu(ECHO, "evshard", ALONE), [2, 4])

    def test_the_best_is_one_of_another_project_and_may_differ_for_tls_alone(self):
        measured = self.measured(**self.GOOD)
        self.assertEqual([measured.best_other(ECHO, what) for what in (WITH, ALONE)], [REFERENCE, HAPROXY])
        self.assertEqual(measured.ratios(ECHO, "evshard", HAPROXY, ALONE), [1, 4 / 3])
        self.assertIn("evshard needs this share of the CPU time of the best other server, with TLS / for TLS alone: "
                      "echo, 50 conns, 1 KiB 0.70 [0.60..0.80] / 1.17 [1.00..1.33].", tls_report.answer(measured))

    def test_targets_are_judged_against_the_best(self):
        body = tls_report.body(self.measured(**self.GOOD))
        self.assertRegex(body, r"\| with TLS +\| libevent_tls_echo \| 0.700 \[0.600..0.800\] .* met in every round \|")
        self.assertRegex(body, r"\| TLS alone \| haproxy .* not met by the median, met in some rounds \|")
        self.assertRegex(body, r"\| libevent_tls_echo \| 2 \| 10.0 \[10.0..10.0\] \(best\) \|")
        self.assertIn("- nginx: not measured, because of a test.", body)

    def test_a_difference_of_zero_or_less_has_no_ratio(self):
        measured = self.measured(**{**self.GOOD, HAPROXY: [(17, 18), (20, 17)]})
        self.assertIsNone(measured.ratios(ECHO, "evshard", HAPROXY, ALONE))
        self.assertIn(f"/ {stats.MISSING}.", tls_report.answer(measured))
        self.assertTrue(described(tls_report.picture(measured, "evshard"))["charts"][0]["rows"])

    def test_a_comparison_without_our_servers_has_no_targets(self):
        measured = self.measured(**{REFERENCE: [(10, 6)], HAPROXY: [(20, 18)]})
        self.assertNotIn("Our servers", tls_report.body(measured))
        self.assertEqual(tls_report.answer(measured), "None of our servers was measured.")

    def test_servers_that_agree_on_something_else_are_named(self):
        other = {("b", "ecdsa"): {**self.AGREEMENT, "cipher": "d"}, ("b", "rsa"): {**self.AGREEMENT, "signature": "t"},
                 ("c", "ecdsa"): {**self.AGREEMENT, "tickets": 4}}
        self.assertEqual(tls_report.differences({("a", "ecdsa"): self.AGREEMENT, **other}),
                         ["b (ecdsa): cipher is d, and that of a is c"])
        without = {("a", "ecdsa"): {**self.AGREEMENT, "resumes": False}}
        self.assertEqual(tls_report.differences(without), ["a (ecdsa) does not resume a session by a ticket"])

    def test_calls_of_connecting_cancel(self):
        shorter, longer = (10, {"read": 30, "accept4": 50}), (30, {"read": 70, "accept4": 50, "brk": 2})
        self.assertEqual(tls_report.calls_per_request(shorter, longer), {"read": 2, "accept4": 0, "brk": 0.1})


class CommandLine(unittest.TestCase):
    def parsed(self, *flags):
        with unittest.mock.patch.object(sys, "argv", ["compare_tls", *flags]):
            return compare_tls.parse_arguments()

    def test_a_smoke_run_is_a_round_of_few_cases(self):
        quick = self.parsed("--quick")
        self.assertEqual((quick.rounds, quick.cases, quick.duration), (1, [1, 5], "200ms"))
        self.assertEqual(self.parsed("--quick", "--cases", "4").cases, [4])
        self.assertEqual(len(self.parsed().cases), len(compare_tls.CASES))

    def test_a_run_with_another_cipher_is_no_measurement(self):
        compare_tls.check_connections("x", FULL, {"TLSv1.3, TLS_AES_256_GCM_SHA384, full handshake": 9})
        for agreed in ({}, {"TLSv1.3, TLS_AES_128_GCM_SHA256, full handshake": 9},
                       {"TLSv1.3, TLS_AES_256_GCM_SHA384, full handshake": 9,
                        "TLSv1.3, TLS_AES_256_GCM_SHA384, resumed handshake": 1}):
            with self.assertRaises(Failure):
                compare_tls.check_connections("x", FULL, agreed)


if __name__ == "__main__":
    unittest.main()
