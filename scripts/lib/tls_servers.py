"""The servers of compare_tls.sh: what each does, and how it is started with TLS and without."""

import contextlib
import functools
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import child
from other_servers import OtherServer
from programs import LIBEVENT, LIBEVENT_TLS
from server import Server, Subject, evshard

EVSHARD, BUFFERED, REFERENCE, HAPROXY, NGINX = "evshard", "tls_echo", "libevent_tls_echo", "haproxy", "nginx"
NAMES = (EVSHARD, BUFFERED, REFERENCE, HAPROXY, NGINX)
OURS = (EVSHARD, BUFFERED)
BACKEND = "bare_epoll"
ANY_PORT = "127.0.0.1:0"

# The settings are the defaults, apart from one thread, a log only of errors, and one version and key exchange as the client
# has them. HAProxy 2.6 would do the key exchange with P-256 alone. Sessions are resumed by tickets, as by default in both.
HAPROXY_CONFIGURATION = """\
global
    nbthread 1
    maxconn 4096
defaults
    mode tcp
    timeout connect 5s
    timeout client 1m
    timeout server 1m
listen echo
    bind 127.0.0.1:{port}{tls}
    server echo {backend}
"""
NGINX_CONFIGURATION = """\
{load_stream}worker_processes 1;
daemon off;
pid nginx.pid;
error_log stderr;
{user}
events {{ worker_connections 4096; }}
stream {{
    {tls}
    server {{ listen 127.0.0.1:{port}{ssl}; proxy_pass {backend}; }}
}}
"""
NGINX_TLS = "ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; ssl_ecdh_curve X25519;"
PROXY_ROLE = (
    "a proxy with one {unit}. It copies all bytes to a second connection, to a bare epoll loop that echoes them, and back. "
    "So it handles two connections for each of the client's. Only its own CPU time is counted, without that of the loop.")


@dataclass(frozen=True)
class Identity:
    """A certificate and its private key, as paths of PEM files."""

    certificate: str
    key: str


@dataclass(frozen=True)
class Running:
    """A running server: where it listens, and the process whose CPU time counts."""

    address: str
    pid: int


@dataclass(frozen=True)
class EchoServer:
    """A server that echoes by itself."""

    name: str
    role: str
    program: str
    version: str | None  # None for our servers: their version is the commit
    subject: Callable  # takes an Identity, or None for a server without TLS

    @contextlib.contextmanager
    def start(self, identity):
        """Run it in a with block, with TLS if there is an identity."""
        with Server(self.subject(identity)) as server:
            yield Running(server.address, server.pid)
            server.stop()


@dataclass(frozen=True)
class Proxy:
    """A proxy in front of an echo server."""

    name: str
    role: str
    program: str
    version: str
    configure: Callable  # takes backend, Identity or None, folder and port; writes files; returns the command line
    core: int
    backend: Subject
    has_master: bool = False

    @contextlib.contextmanager
    def start(self, identity):
        """Run it and its echo server in a with block, with TLS if there is an identity."""
        with Server(self.backend) as backend, \
                OtherServer(functools.partial(self.configure, backend.address, identity), self.core,
                            self.has_master) as proxy:
            yield Running(proxy.address, proxy.worker)
            backend.stop()


def certify(folder):
    """Make an Identity for each kind of key, by its name."""
    return {name: _certify(folder, name, options) for name, options in
            (("ecdsa", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]), ("rsa", ["rsa:2048"]))}


def _certify(folder, name, key_options):
    identity = Identity(str(folder / f"{name}.pem"), str(folder / f"{name}.key"))
    child.run(["openssl", "req", "-x509", "-newkey", *key_options, "-nodes", "-keyout", identity.key, "-out",
               identity.certificate, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
              "openssl req")
    return identity


def prepare(names, args, programs):
    """Build or find the servers of these names. Returns them, and a sentence for each that is missing."""
    found, missing = [], []
    for name in names:
        server = {EVSHARD: _evshard, BUFFERED: _buffered, REFERENCE: _libevent, HAPROXY: _haproxy, NGINX: _nginx}[name](
            args, programs)
        if isinstance(server, str):
            missing.append(f"{name}: not measured, because {server}")
        else:
            found.append(server)
    return found, missing


def _evshard(args, programs):
    def subject(identity):
        # taskset pins it, so it must not pin its threads.
        tls = () if identity is None else ("--tls-cert", identity.certificate, "--tls-key", identity.key)
        listen = ANY_PORT if identity is None else f"tls:{ANY_PORT}"
        return evshard(programs.evshard, 1, EVSHARD, args.server_core, ("--no-pin", *tls), listen)

    role = "`evshard serve`, an echo server with one worker, on rustls with ring."
    return EchoServer(EVSHARD, role, programs.evshard, None, subject)


def _buffered(args, programs):
    with_tls, without = programs.example("tls_echo"), programs.example("buffered_echo")

    def subject(identity):
        command = (without, ANY_PORT) if identity is None else (with_tls, identity.certificate, identity.key, ANY_PORT)
        return Subject(BUFFERED, command, args.server_core, ends_by_signal=True)

    role = ("an echo server with one thread on our buffered events, on rustls with ring. It prints two lines for each "
            "connection. Without TLS it is the example `buffered_echo`.")
    return EchoServer(BUFFERED, role, with_tls, None, subject)


def _libevent(args, programs):
    with_tls = programs.compile_peer(REFERENCE, LIBEVENT_TLS)
    without = programs.compile_peer("libevent_buffered_echo", LIBEVENT)

    def subject(identity):
        command = (without, "0") if identity is None else (with_tls, identity.certificate, identity.key, "0")
        return Subject(REFERENCE, command, args.server_core, ends_by_signal=True)

    role = ("an echo server with one thread on libevent's bufferevents, with TLS on its bufferevent_openssl. Without TLS it "
            "is `libevent_buffered_echo`.")
    return EchoServer(REFERENCE, role, with_tls, _first_line("openssl", "version"), subject)


def _haproxy(args, programs):
    program = shutil.which("haproxy")
    if program is None:
        return "it is not installed (Debian package haproxy)"
    return Proxy(HAPROXY, PROXY_ROLE.format(unit="thread"), program, _first_line("haproxy", "-v"),
                 configure_haproxy, args.server_core, _backend(args, programs))


def _nginx(args, programs):
    program = shutil.which("nginx")
    if program is None:
        return "it is not installed (Debian packages nginx-light and libnginx-mod-stream)"
    build = _printed("nginx", "-V")
    module = stream_module(build)
    if module is None or not os.path.exists(module or os.curdir):
        return "it has no stream module with TLS (Debian package libnginx-mod-stream)"
    return Proxy(NGINX, PROXY_ROLE.format(unit="worker process"), program, _first_line("nginx", "-v"),
                 functools.partial(configure_nginx, module), args.server_core, _backend(args, programs), has_master=True)


def _backend(args, programs):
    """The echo server behind a proxy. It has the core of the client, so that a proxy has a core alone, as all servers."""
    return Subject(BACKEND, (programs.compile_peer(BACKEND), "0"), args.loader_core, ends_by_signal=True)


def _printed(*argv):
    """What a program prints about itself. nginx does so on stderr."""
    with child.Task(argv, " ".join(argv)) as task:
        return task.finish() + task.errors


def _first_line(*argv):
    return _printed(*argv).partition("\n")[0]


def stream_module(build):
    """The path of nginx's stream module, by what `nginx -V` prints; "" if it is built in, None if there is none."""
    if "--with-stream_ssl_module" not in build:
        return None
    if "--with-stream=dynamic" not in build:
        return ""
    folder = re.search(r"--modules-path=(\S+)", build)
    return None if folder is None else f"{folder[1]}/ngx_stream_module.so"


def configure_haproxy(backend, identity, folder, port):
    """Write HAProxy's files. Returns its command line."""
    tls = ""
    if identity is not None:
        pem = folder / "identity.pem"  # HAProxy takes the certificate and the key from one file
        pem.write_text("".join(Path(path).read_text() for path in (identity.certificate, identity.key)))
        tls = f" ssl crt {pem} ssl-min-ver TLSv1.3 curves X25519"
    (folder / "haproxy.cfg").write_text(HAPROXY_CONFIGURATION.format(port=port, tls=tls, backend=backend))
    return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]


def configure_nginx(module, backend, identity, folder, port):
    """Write nginx's files. Returns its command line."""
    tls = "" if identity is None else NGINX_TLS.format(certificate=identity.certificate, key=identity.key)
    (folder / "nginx.conf").write_text(NGINX_CONFIGURATION.format(
        load_stream=f"load_module {module};\n" if module else "",
        # Started by root, a worker of nginx changes to a user who may not read a temporary folder.
        user="user root root;" if os.geteuid() == 0 else "",
        tls=tls, port=port, ssl="" if identity is None else " ssl", backend=backend))
    return ["nginx", "-p", f"{folder}/", "-c", "nginx.conf", "-e", "stderr"]
