"""The programs under test: builds them, or finds them in the folder of --bin-dir."""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import child
from child import Failure

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path("benches/peers")
C_FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror")
C_LIBRARIES = ("-lm",)
DEBIAN_PACKAGES = {"cc": "gcc", "taskset": "util-linux", "strace": "strace", "git": "git", "prlimit": "util-linux",
                   "wrk": "wrk", "openssl": "openssl", "nginx": "nginx-light", "redis-server": "redis-server",
                   "redis-benchmark": "redis-tools", "h2load": "nghttp2-client", "memtier_benchmark": "memtier-benchmark",
                   "mmdebstrap": "mmdebstrap", "dpkg-shlibdeps": "dpkg-dev", "unshare": "util-linux",
                   "x86_64-linux-musl-gcc": "musl-tools", "readelf": "binutils", "ldd": "libc-bin",
                   "chromium": "chromium", "tmux": "tmux", "aha": "aha", "dpkg-source": "dpkg-dev", "make": "make",
                    "memcached": "memcached", "dpkg-deb": "dpkg", "apt-get": "apt"}


@dataclass(frozen=True)
class Library:
    """A C library that a peer is compiled against, as Debian packages it."""

    name: str
    header: str
    links: tuple
    packages: str


LIBEVENT = Library("libevent", "event2/event.h", ("-levent_core",), "libevent-dev")
LIBEVENT_TLS = Library("libevent with OpenSSL", "event2/bufferevent_ssl.h",
                       ("-levent_openssl", "-levent_core", "-lssl", "-lcrypto"), "libevent-dev and libssl-dev")
LIBEV = Library("libev", "ev.h", ("-lev",), "libev-dev")


def require(*tools):
    """Fail with the name of the Debian package when a tool is not installed."""
    for tool in tools:
        if shutil.which(tool) is None:
            raise Failure(f"{tool} is missing: install the Debian package {DEBIAN_PACKAGES[tool]}")


class Programs:
    """The programs under test. Their paths are relative to the repository root, so recorded commands have no local paths.

    The constructor changes the working directory to the root.
    """

    def __init__(self, bin_dir=None):
        given = None if bin_dir is None else bin_dir.absolute()
        os.chdir(ROOT)
        self.built = given is None
        if given is None:
            self._folder, self.peers = _build()
        else:
            self._folder = self.peers = Path(os.path.relpath(given))
        self.evshard = self.existing("evshard")
        self.loadgen = self.existing("loadgen")

    def compile_peer(self, name, library=None):
        """Compile benches/peers/NAME.c, and link the library. Returns the path of the program."""
        return compile_peer(name, self.peers, library)

    def cargo_peer(self, name):
        """Build the cargo project benches/peers/NAME, unless --bin-dir is given. Returns the path of the program."""
        if not self.built:
            return self.existing(name)
        folder = self.peers / name
        child.run(["cargo", "build", "--release", "--locked", "--manifest-path", str(PEERS / name / "Cargo.toml"),
                   "--target-dir", str(folder)], f"building the peer {name}", capture=False)
        return str(folder / "release" / name)

    def example(self, name):
        """Build examples/NAME.rs, unless --bin-dir is given. Returns the path of the program."""
        if not self.built:
            return self.existing(name)
        child.run(["cargo", "build", "--release", "--example", name], f"building the example {name}", capture=False)
        return self.existing(f"examples/{name}")

    def existing(self, name):
        """The path of a program or library that is built."""
        program = self._folder / name
        if not os.access(program, os.X_OK):
            raise Failure(f"no program {name} in {self._folder}")
        return str(program)


def given(path):
    """The path of a program that a flag names. It must be executable."""
    if not os.access(path, os.X_OK) or path.is_dir():
        raise Failure(f"{path} is not a program: build it, or choose another path")
    return str(path)


def enter_root():
    """Change to the repository root, for programs that are not built here. Returns the folder for compiled peers."""
    os.chdir(ROOT)
    return Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "peers"


def compile_peer(name, folder, library=None):
    """Compile benches/peers/NAME.c into `folder`, and link the library. Returns the path of the program."""
    return compile_c(PEERS / f"{name}.c", folder / name.replace("/", "-"), library)


def compile_c(source, program, library=None, flags=C_FLAGS):
    """Compile a file of C, and link the library. Returns the path of the program.

    The program is replaced in one step, because another script may be starting it.
    """
    require("cc")
    links = [*C_LIBRARIES]
    if library is not None:
        _require_header(library)
        links += library.links
    program.parent.mkdir(parents=True, exist_ok=True)
    partial = program.with_suffix(f".{os.getpid()}.partial")
    child.run(["cc", *flags, "-o", str(partial), str(source), *links], f"compiling {source.name}")
    partial.replace(program)
    return str(program)


def _require_header(library):
    """Fail with the name of the Debian package when a library's header is not installed."""
    try:
        child.run(["cc", "-fsyntax-only", "-include", library.header, "-x", "c", os.devnull], library.header)
    except Failure as failure:
        raise Failure(f"{library.header} is missing: install {library.packages} (Debian)") from failure


def require_cores(args):
    """Fail if this process may not use a core that a flag names."""
    usable = os.sched_getaffinity(0)
    for flag, core in (("--server-core", args.server_core), ("--loader-core", args.loader_core)):
        if core not in usable:
            raise Failure(f"core {core} is not usable here (usable: {sorted(usable)}): choose another {flag}")


def fingerprint(program):
    """The first 12 digits of the SHA-256 of a binary. They show whether two results measured the same binary."""
    return hashlib.sha256(Path(program).read_bytes()).hexdigest()[:12]


def _build():
    if shutil.which("cargo") is None:
        raise Failure("cargo is missing: install Rust with rustup (rust-toolchain.toml names the version)")
    with_temporary_folder(Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "tmp")
    child.run(["cargo", "build", "--release", "--workspace", "--bins"], "cargo build", capture=False)
    metadata = child.run(["cargo", "metadata", "--format-version", "1", "--no-deps"], "cargo metadata")
    target = Path(os.path.relpath(json.loads(metadata)["target_directory"]))
    return target / "release", target / "peers"


def with_temporary_folder(substitute):
    """If the folder for temporary files is not writable, let compilers use `substitute`."""
    folder = os.environ.get("TMPDIR", "/tmp")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        print(f"{folder} is not writable ({error.strerror}): the build writes its temporary files to {substitute}",
              file=sys.stderr)
        substitute.mkdir(parents=True, exist_ok=True)
        os.environ["TMPDIR"] = str(substitute.absolute())
