"""A result folder: README.md, summary.md, plots/ and raw.jsonl.xz, and its row in results/INDEX.md."""

import contextlib
import datetime
import json
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import raw
from plot import Drawing
from programs import ROOT, fingerprint

RESULTS = ROOT / "results"
PORT = re.compile(r"(127\.0\.0\.1:)[1-9]\d*")  # port 0 is not replaced: it asks for a free port
ARCHIVE = RESULTS / "archive"  # results that newer ones have replaced
INDEX_RULE = "|---|---|---|"
INDEX_HEADER = (
    "# Results\n\nNewest first. The README of a folder has the whole answer, the machine, the commands and the limits.\n\n"
    f"| folder | question | answer |\n{INDEX_RULE}\n"
)
ANSWER_LENGTH_MAX = 100  # characters of an answer in the index; the README has all of it
CUT = " …"


@dataclass(frozen=True)
class Picture:
    """A plot: plots/NAME.svg, and its alternative text."""

    name: str
    alt: str
    drawing: Drawing | str  # or an SVG that loadgen has written

    def svg(self, loadgen):
        """The plot as SVG, drawn by this program."""
        return self.drawing if isinstance(self.drawing, str) else self.drawing.svg(loadgen)

    @property
    def path(self):
        """Its path in the folder."""
        return f"plots/{self.name}.svg"


@dataclass(frozen=True)
class Findings:
    """What a script found, and all that its pages need."""

    title: str
    question: str
    answer: str
    body: str  # the tables with their headings, as Markdown
    pictures: list
    commands: list
    notes: list

    def files(self, facts, loadgen):
        """The text of each page and plot by relative path. `loadgen` draws the plots."""
        images = "\n\n".join(f"![{picture.alt}]({picture.path})" for picture in self.pictures)
        return {
            "README.md": self._readme(facts),
            "summary.md": f"# {self.title}\n\n{self.body}\n\n{images}\n",
            **{picture.path: picture.svg(loadgen) for picture in self.pictures},
        }

    def _readme(self, facts):
        """The page with question, answer, machine, commands and limits."""
        parts = [
            f"# {self.title}",
            f"**Question.** {self.question}",
            f"**Answer.** {self.answer}",
            "The tables are in [summary.md](summary.md), and the records of all runs in "
            f"[{raw.NAME}]({raw.NAME}).",
            "## Reading\n\n_To be written by hand: what the numbers mean, what was unexpected, what to try next._",
            "## Commands\n\nRun them in the root of the repository. PORT is the free port that the server printed.\n\n"
            "```sh\n" + "\n".join(self.commands) + "\n```",
            "## Machine\n\n" + "\n".join(f"- {label}: {value}" for label, value in facts),
            "## What this can and cannot show\n\n" + "\n".join(f"- {note}" for note in self.notes),
        ]
        return "\n\n".join(parts) + "\n"


class ResultFolder:
    """Collects a result in a temporary folder, and moves the folder to results/ when the result is complete.

    Use as a context manager. The runs write their records to files below `raw`. At the end of the script these become one
    file, raw.jsonl.xz. If the script fails or is interrupted, this file stays in the temporary folder, and a line prints
    its path. An existing result is never overwritten. `loadgen` is the program that draws the plots.
    """

    def __init__(self, topic, out, quick, loadgen):
        self._loadgen = loadgen
        self._out = out
        self._quick = quick
        raw.require_lzma()
        self._name = f"{datetime.date.today().isoformat()}-{topic}"
        self._staging = Path(tempfile.mkdtemp(prefix=f"{self._name}-"))
        self.raw = self._staging / "raw"

    def __enter__(self):
        self.raw.mkdir()
        return self

    def __exit__(self, kind, _error, _traceback):
        if kind is None or not self._staging.exists():
            return
        if self.raw.exists() and not any(path.is_file() for path in self.raw.rglob("*")):
            shutil.rmtree(self._staging)
            return
        try:
            where = self._pack()
        except OSError as error:
            print(f"\ncannot write {raw.NAME}: {error.strerror}", file=sys.stderr)
            where = self.raw
        print(f"\nthe records of the runs until then are in {where}", file=sys.stderr)

    def save(self, name, record):
        """Write a record atomically to raw/NAME.json; a later one of the same name replaces it."""
        path = self.raw / f"{name}.json"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(record, indent=2) + "\n")
        partial.replace(path)

    def _pack(self):
        """Pack the files below `raw` into raw.jsonl.xz, unless that is done. Returns its path."""
        packed = self._staging / raw.NAME
        if self.raw.exists():
            raw.pack(self.raw, packed)
            shutil.rmtree(self.raw)
        return packed

    def publish(self, findings, facts, programs, complete=True):
        """Print the findings, write the pages, move the folder to results/, and add it to the index. Returns its path.

        `facts` are those of the machine. `programs` are paths by name, whose fingerprints are listed. The folder of
        findings that are not complete stays temporary, unless the user named one.
        """
        print(f"{findings.body}\n\n{findings.answer}")
        facts = facts + [(f"{name} (SHA-256)", fingerprint(path)) for name, path in programs.items()]
        for name, text in findings.files(facts, self._loadgen).items():
            path = self._staging / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        self._pack()
        target = self._move(findings, complete)
        print(f"results: {target}", file=sys.stderr)
        return target

    def _move(self, findings, complete):
        if self._out is None and (self._quick or not complete):
            return self._staging
        target = self._claim()
        shutil.copytree(self._staging, target, dirs_exist_ok=True)
        shutil.rmtree(self._staging)
        if target.parent == RESULTS:
            add_to_index(RESULTS / "INDEX.md", target.name, findings.question, findings.answer)
        return target

    def _claim(self):
        """Create the target folder. mkdir is atomic, so two scripts that end at the same time get two folders."""
        if self._out is not None:
            self._out.mkdir(parents=True)
            return self._out
        RESULTS.mkdir(exist_ok=True)
        number = 1
        while True:
            target = RESULTS / (self._name if number == 1 else f"{self._name}-{number}")
            number += 1
            if (ARCHIVE / target.name).exists():
                continue
            with contextlib.suppress(FileExistsError):
                target.mkdir()
                return target


def add_to_index(index, folder, question, answer):
    """Insert the row of the folder above the others. A row that it already has is replaced."""
    text = index.read_text() if index.exists() else INDEX_HEADER
    link = f"[{folder}]({folder}/README.md)"
    lines = [line for line in text.splitlines() if link not in line]
    lines.insert(lines.index(INDEX_RULE) + 1, f"| {link} | {escaped(question)} | {cut(escaped(answer))} |")
    index.write_text("\n".join(lines) + "\n")


def escaped(text):
    """A text, escaped for a cell of a Markdown table."""
    return text.replace("|", "\\|")


def cut(text):
    """A text that fits the index. A text that is too long is cut at a word, and CUT marks it."""
    if len(text) <= ANSWER_LENGTH_MAX:
        return text
    return text[: ANSWER_LENGTH_MAX - len(CUT) + 1].rpartition(" ")[0] + CUT


def unported(argv):
    """A command as text, with PORT instead of its port, which differs from run to run."""
    return " ".join(PORT.sub(r"\g<1>PORT", word) for word in argv)
