"""libevent_links: whether all that Debian's programs import from libevent's event core is in evshard's library."""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import child
import cli
import libevent
from child import Failure, run_main
from programs import require

SCRIPT = "scripts/libevent_links.sh"
LIST = Path(__file__).with_name("libevent_packages.txt")
ELF = b"\x7fELF"
PREFIX = b"event"  # every object that imports a function of libevent has it in its table of strings
LIBRARIES = ("libevent", "libevent_core", "libevent_extra", "libevent_openssl", "libevent_pthreads")
CORE = re.compile(r"(event|evthread|libevent)_")
UNDEFINED = re.compile(r"^undefined symbol: (\S+)", re.MULTILINE)
DOWNLOAD_S = 300
LDD_S = 60


@dataclass(frozen=True)
class Object:
    """An ELF object, and the symbols of libevent that it imports."""

    path: Path
    imports: frozenset

    @property
    def needs_core_only(self):
        """Whether it imports none of libevent's upper layers."""
        return all(CORE.match(name) for name in self.imports)


def parse_arguments():
    """The command line of libevent_links.sh."""
    parser = cli.Parser(
        SCRIPT,
        "Downloads Debian packages by name, unpacks them into a temporary folder, and finds the programs and libraries\n"
        "that use only the event core of libevent. It fails if one of them imports a function that evshard's library does\n"
        "not have, or if ldd -r does not find it there. It installs nothing, and needs apt's sources and a network.",
        f"{SCRIPT} memcached nsd",
        builds=False,
    )
    parser.add_argument("--library", type=cli.folder, metavar="FILE", help="use this library instead of building it")
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help=f"default: those of scripts/lib/{LIST.name}")
    return parser.parse_args()


def names(text):
    """The names in a list: one in each line, without comments."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def symbols(dynamic_symbols, undefined):
    """The symbols that `readelf --dyn-syms` shows as undefined, or those that it shows as defined."""
    rows = (line.split() for line in dynamic_symbols.splitlines())
    return frozenset(row[7].partition("@")[0] for row in rows if len(row) >= 8 and row[0][:-1].isdigit() and
                     (row[6] == "UND") == undefined)


def dynamic_symbols(path):
    """What readelf prints of an object's dynamic symbols."""
    return child.run(["readelf", "--wide", "--dyn-syms", str(path)], f"readelf {path.name}", LDD_S)


def exports_of_libevent():
    """All symbols that the distribution's libraries of libevent define."""
    cache = child.run(["ldconfig", "-p"], "ldconfig", LDD_S)
    paths = [re.search(rf"^\s*{name}-2\.1\.so\.7 .*=> (\S+)", cache, re.MULTILINE) for name in LIBRARIES]
    if not all(paths):
        raise Failure("a library of libevent is missing: install libevent-dev (Debian)")
    return frozenset().union(*(symbols(dynamic_symbols(Path(found[1])), undefined=False) for found in paths))


def download(package, folder):
    """Download a package and unpack it; the folder."""
    folder.mkdir()
    folder.chmod(0o777)  # apt-get downloads as a user of its own
    try:
        subprocess.run(["apt-get", "--quiet", "download", package], cwd=folder, check=True, capture_output=True, text=True,
                       timeout=DOWNLOAD_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise Failure(f"apt-get download {package} failed: {child.indented(str(error.stderr))}") from error
    unpacked = folder / "unpacked"
    child.run(["dpkg-deb", "--extract", str(next(folder.glob("*.deb"))), str(unpacked)], f"unpacking {package}", DOWNLOAD_S)
    return unpacked


def objects(folder, of_libevent):
    """The ELF objects below a folder that import a symbol of libevent."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        with open(path, "rb") as file:
            if file.read(len(ELF)) != ELF or PREFIX not in file.read():
                continue
        if imports := symbols(dynamic_symbols(path), undefined=True) & of_libevent:
            yield Object(path, imports)


def unresolved(one, folder):
    """The symbols of libevent that ldd -r does not find, with our library in `folder`.

    Other libraries of the object may be missing here, and their symbols with them.
    """
    environment = libevent.environment(folder, front=False)
    done = subprocess.run(["ldd", "-r", str(one.path)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", timeout=LDD_S, check=False)
    lines = [line for line in done.stdout.splitlines() if re.match(r"\s*libevent\S* => ", line)]
    foreign = [line.strip() for line in lines if f"=> {folder}/" not in line]
    if foreign:
        raise Failure(f"ldd -r {one.path.name} loads another library of libevent: {', '.join(foreign)}")
    return one.imports & set(UNDEFINED.findall(done.stdout))


def check(package, temporary, of_libevent, library):
    """Check the objects of a package, and print a line. Returns those that need the core only, and what is missing."""
    found = list(objects(download(package, temporary / package), of_libevent))
    core = [one for one in found if one.needs_core_only]
    exported = symbols(dynamic_symbols(library / libevent.LIBRARY), undefined=False)
    missing = {name for one in core for name in (one.imports - exported) | unresolved(one, library)}
    used = {name for one in core for name in one.imports}
    verdict = f"missing: {', '.join(sorted(missing))}" if missing else "complete"
    print(f"{package:24} {len(core):3} of {len(found):3} objects need the event core only, {len(used):2} symbols: {verdict}",
          flush=True)
    return core, missing


def main():
    """Check all packages."""
    arguments = parse_arguments()
    require("readelf", "ldd", "dpkg-deb", "apt-get")
    built = arguments.library or libevent.build()
    library = built.parent / "libevent"
    libevent.link(built, library)
    of_libevent = exports_of_libevent()
    all_objects, all_missing, packages = [], set(), 0
    with tempfile.TemporaryDirectory(prefix="libevent-links-") as temporary:
        Path(temporary).chmod(0o755)
        for package in arguments.packages or names(LIST.read_text()):
            found, missing = check(package, Path(temporary), of_libevent, library)
            all_objects += found
            all_missing |= missing
            packages += bool(found)
    used = {name for one in all_objects for name in one.imports}
    print(f"{len(all_objects)} objects in {packages} packages need the event core only. They import {len(used)} symbols, of "
          f"which {len(all_missing)} are missing.")
    if all_missing:
        raise Failure(f"evshard's library does not have {', '.join(sorted(all_missing))}")


if __name__ == "__main__":
    run_main(main)
