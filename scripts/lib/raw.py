"""raw: the raw records of a result in one file, raw.jsonl.xz, and the command that shows them.

The file has a line of JSON for every file that the runs wrote: `{"file": "echo/result.json", "content": {…}}`. For a JSON
file, `content` is its JSON, with every number and string as it was written. For any other file, `content` is the text as a
string. `read` returns every file byte for byte.
"""

import fnmatch
import json
import os
import re
import signal
import sys
from pathlib import Path

try:
    import lzma
except ImportError:  # where Python was built without liblzma
    lzma = None

import cli
from child import Failure, run_main

SCRIPT = "scripts/raw.sh"
NAME = "raw.jsonl.xz"
PRESET = 6  # compressing takes 94 MiB of memory; a higher preset helps only records of more than 8 MiB
STRING = r'"(?:[^"\\]|\\.)*"'
TOKEN = re.compile(rf'{STRING}|[^\s"{{}}\[\],:]+|[{{}}\[\],:]')
LINE = re.compile(rf'\{{"file": ({STRING}), "content": (.*)\}}\n', re.DOTALL)
OPENING, CLOSING = ("{", "["), ("}", "]")


def require_lzma():
    """Fail at the start if the module lzma is missing, and not after the last run."""
    if lzma is None:
        raise Failure(f"this Python ({sys.executable}) has no module lzma, which writes and reads {NAME}: use Debian's "
                      "python3, or install liblzma-dev and build this Python again")


def pack(folder, target):
    """Write every file below `folder` to `target`, sorted by path. `target` is written atomically."""
    require_lzma()
    partial = target.with_name(f"{target.name}.partial")
    with lzma.open(partial, "wb", preset=PRESET) as packed:
        for name in sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()):
            packed.write(line_of(name, (folder / name).read_bytes()))
    os.replace(partial, target)


def read(path):
    """The path and the bytes of each file in a raw.jsonl.xz, in order."""
    require_lzma()
    try:
        with lzma.open(path) as packed:
            for number, line in enumerate(packed, 1):
                yield file_of(line, f"{path}, line {number}")
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}") from error
    except (lzma.LZMAError, EOFError) as error:
        raise Failure(f"{path} is not a whole xz file: {error}") from error


def line_of(name, data):
    """The line for a file. Bytes that are not UTF-8 become surrogates, which JSON can hold."""
    content = _content(data.decode("utf-8", "surrogateescape"))
    return f'{{"file": {json.dumps(name)}, "content": {content}}}\n'.encode()


def file_of(line, where):
    """The path and the bytes of the file in a line of `line_of`."""
    matched = LINE.fullmatch(line.decode())
    if matched is None:
        raise Failure(f'{where} is not {{"file": …, "content": …}}')
    name, content = json.loads(matched[1]), matched[2]
    text = json.loads(content) if content.startswith('"') else laid_out(content)
    return name, text.encode("utf-8", "surrogateescape")


def _content(text):
    """JSON as JSON if `laid_out` can restore its layout; all other text as a string."""
    try:
        if isinstance(json.loads(text.encode()), dict | list) and laid_out(text) == text:
            return "".join(TOKEN.findall(text))
    except ValueError:
        pass
    return json.dumps(text)


def laid_out(text):
    """JSON in the layout of loadgen and of json.dumps(…, indent=2). The tokens do not change."""
    parts, before, new_line = [], "", "\n"
    for token in TOKEN.findall(text):
        if token in CLOSING:
            new_line = new_line[:-2]
        if before == "," or (before in OPENING) != (token in CLOSING):
            parts.append(new_line)
        elif before == ":":
            parts.append(" ")
        parts.append(token)
        if token in OPENING:
            new_line += "  "
        before = token
    return "".join(parts) + "\n"


def parse_arguments():
    """The command line of raw.sh."""
    parser = cli.Parser(
        SCRIPT,
        f"Shows the files in the {NAME} of a result, which its runs wrote. Without a pattern, it lists the files with\n"
        "their sizes. With patterns, it prints the files that match. With --to, it writes them to a folder.",
        f"{SCRIPT} results/2026-11-24-stall 'echo/*.csv'",
        builds=False,
    )
    parser.add_argument("result", type=Path, metavar="RESULT", help=f"a result folder, or its {NAME}")
    parser.add_argument("patterns", nargs="*", default=[], metavar="PATTERN",
                        help="paths of files; * matches any text, also with /")
    parser.add_argument("--to", type=Path, metavar="DIR", help="write the files to DIR, which must not exist")
    args = parser.parse_intermixed_args()
    if args.to is not None and args.to.exists():
        parser.error(f"--to {args.to} exists; choose another folder")
    return args


def matching(path, patterns):
    """The files that match a pattern, or all files if there are no patterns. No match is a Failure."""
    found = [(name, data) for name, data in read(path)
             if not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    if patterns and not found:
        raise Failure(f"no file in {path} matches {' or '.join(patterns)}")
    return found


def write(files, folder):
    """Write the files below `folder`."""
    for name, data in files:
        path = folder / name
        if ".." in path.parts or not path.is_relative_to(folder):
            raise Failure(f"'{name}' does not stay below {folder}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def main():
    """Parse, read, show."""
    args = parse_arguments()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the reader of a pipe, such as head, may end first
    files = matching(args.result / NAME if args.result.is_dir() else args.result, args.patterns)
    if args.to is not None:
        write(files, args.to)
    elif not args.patterns:
        for name, data in files:
            print(f"{len(data):>9,}  {name}")
    else:
        for name, data in files:
            if len(files) > 1:
                print(f"==> {name} <==", flush=True)
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    run_main(main)
