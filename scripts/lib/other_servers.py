"""Servers of other projects, such as nginx and Redis: each has a folder of its own, and a port that the script chooses."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import child
import procfs
from child import Failure

START_TIMEOUT_S = 10.0
POLL_S = 0.01
FILE_BYTES = 64
UNPRIVILEGED_PORT = 1024

# One worker and no log, as in benchmarks of nginx. nginx never closes a connection after a number of requests, because
# loaders handle that differently.
NGINX = """\
worker_processes 1;
daemon off;
pid nginx.pid;
error_log stderr;
{user}
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    open_file_cache max=10;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{ listen 127.0.0.1:{port} {of_listener}; root www; {tls} }}
}}
"""

# One version, cipher and key exchange, so that all clients do the same work. A client resumes no session of another.
NGINX_TLS = """\
ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; ssl_ecdh_curve X25519;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
"""


def free_port():
    """A port that is free at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def lasting_ports(count):
    """Free ports that stay free while no one listens on them, for servers that are started several times.

    They are below the ports that the kernel gives to outgoing connections.
    """
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found = []
    for port in range(first_outgoing - 1, UNPRIVILEGED_PORT, -1):
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise Failure(f"fewer than {count} ports below {first_outgoing} are free: end other servers")


def nginx(folder, port, identity=None):
    """The command line of nginx with one worker and a small file at /, over TLS with an identity. Writes its files."""
    (folder / "www").mkdir()
    (folder / "www" / "index.html").write_text("x" * FILE_BYTES)
    # Started by root, a worker of nginx changes to a user who may not read a temporary folder.
    user = "user root root;" if os.geteuid() == 0 else ""
    of_listener, tls = "backlog=4096", ""
    if identity is not None:
        of_listener += " ssl"
        tls = NGINX_TLS.format(certificate=identity.certificate, key=identity.key)
    (folder / "nginx.conf").write_text(NGINX.format(user=user, port=port, of_listener=of_listener, tls=tls))
    return ["nginx", "-p", f"{folder}/", "-c", "nginx.conf", "-e", "stderr"]


def redis(folder, port):
    """The command line of Redis without persistence."""
    return ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", "",
            "--appendonly", "no"]


class OtherServer:
    """A running server. Use as a context manager: the end of the block always ends the process.

    `prepare` is a function of folder and port that returns the command line. `has_master` is whether the first process is
    a master, as that of nginx: it listens, and then starts a child that serves.
    """

    def __init__(self, prepare, core=None, has_master=False):
        self._prepare = prepare
        self._core = core
        self._has_master = has_master
        self.address = None

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="other-server-")
        self._output = tempfile.TemporaryFile("w+")
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        pinning = () if self._core is None else ("taskset", "-c", str(self._core))
        self.argv = [*pinning, *self._prepare(Path(self._folder.name), port)]
        self._process = child.start(self.argv, stdout=self._output, stderr=subprocess.STDOUT)
        try:
            self._await(lambda: _listens(port), "does not listen")
            if self._has_master:
                self._await(lambda: procfs.children(self._process.pid), "does not start a worker")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception):
        child.stop(self._process)
        self._output.close()
        self._folder.cleanup()

    @property
    def worker(self):
        """The id of the process that serves."""
        return procfs.children(self._process.pid)[0] if self._has_master else self._process.pid

    @property
    def command(self):
        """The command line without parts that change from run to run."""
        words = (word.replace(self._folder.name, "FOLDER") for word in self.argv)
        return " ".join(word or "''" for word in words).replace(self.address.partition(":")[2], "PORT")

    def _await(self, condition, otherwise):
        """Wait for a condition. A server that ends before it holds is a Failure."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not condition():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._output.seek(0)
                raise Failure(f"{' '.join(self.argv)} {otherwise}{child.indented(self._output.read())}")
            time.sleep(POLL_S)


def _listens(port):
    """Whether a server listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
