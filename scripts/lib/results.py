"""A result folder: README.md, raw/, summary.md and plots/, and its line in results/INDEX.md."""

import datetime
import json
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from programs import ROOT, fingerprint

RESULTS = ROOT / "results"
PORT = re.compile(r"(127\.0\.0\.1:)[1-9]\d*")  # not 0: that asks for a free one
INDEX_HEADER = "# Results\n\nNewest first: the question a result answers, and its folder.\n\n"


@dataclass(frozen=True)
class Picture:
    """A plot: plots/NAME.svg, and what is said where it cannot be seen."""

    name: str
    alt: str
    svg: str

    @property
    def path(self):
        """Where it is in the folder."""
        return f"plots/{self.name}.svg"


@dataclass(frozen=True)
class Findings:
    """What a script has to say when it is done."""

    title: str
    question: str
    answer: str
    body: str  # the tables with their headings, as Markdown
    pictures: list
    commands: list
    notes: list

    def files(self, facts):
        """The pages and plots, relative path to text."""
        images = "\n\n".join(f"![{picture.alt}]({picture.path})" for picture in self.pictures)
        return {
            "README.md": self._readme(facts),
            "summary.md": f"# {self.title}\n\n{self.body}\n\n{images}\n",
            **{picture.path: picture.svg for picture in self.pictures},
        }

    def _readme(self, facts):
        """The page that says what was asked, what came out, and on what machine."""
        parts = [
            f"# {self.title}",
            f"**Question.** {self.question}",
            f"**Answer.** {self.answer}",
            "The tables are in [summary.md](summary.md); every run as it was recorded is in [raw/](raw/).",
            "## Reading\n\n_To be written by hand: what the numbers mean, what surprised, what to try next._",
            "## Commands\n\nFrom the root of the repository; PORT is the free port that the server announced.\n\n"
            "```sh\n" + "\n".join(self.commands) + "\n```",
            "## Machine\n\n" + "\n".join(f"- {label}: {value}" for label, value in facts),
            "## What this can and cannot show\n\n" + "\n".join(f"- {note}" for note in self.notes),
        ]
        return "\n\n".join(parts) + "\n"


class ResultFolder:
    """Collects a result in a temporary folder and moves it into place when it is complete.

    Use as a context manager. A run that fails leaves its raw files in the temporary folder and says where; an
    interrupted one leaves nothing. An existing folder is never written to.
    """

    def __init__(self, topic, out, quick):
        self._out = out
        self._quick = quick
        self._name = f"{datetime.date.today().isoformat()}-{topic}"
        self._staging = Path(tempfile.mkdtemp(prefix=f"{self._name}-"))
        self.raw = self._staging / "raw"

    def __enter__(self):
        self.raw.mkdir()
        return self

    def __exit__(self, kind, _error, _traceback):
        if kind is None:
            return
        if issubclass(kind, Exception) and any(self.raw.iterdir()):
            print(f"\nthe raw files of the runs that went well are in {self._staging}", file=sys.stderr)
        else:
            shutil.rmtree(self._staging)

    def save(self, name, record):
        """Keep a record as raw/NAME.json."""
        (self.raw / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")

    def publish(self, findings, facts, programs):
        """Print the findings, write them down, move the folder into place, list it, and return where it is.

        `facts` are the machine's; `programs` are told by their fingerprints, path by name.
        """
        print(f"{findings.body}\n\n{findings.answer}")
        facts = facts + [(f"{name} (SHA-256)", fingerprint(path)) for name, path in programs.items()]
        for name, text in findings.files(facts).items():
            path = self._staging / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        target = self._move(findings)
        print(f"results: {target}", file=sys.stderr)
        return target

    def _move(self, findings):
        if self._quick and self._out is None:
            return self._staging
        target = self._claim()
        shutil.copytree(self._staging, target, dirs_exist_ok=True)
        shutil.rmtree(self._staging)
        if target.parent == RESULTS:
            add_to_index(RESULTS / "INDEX.md", target.name, findings.question, findings.answer)
        return target

    def _claim(self):
        """Create the target folder. mkdir is atomic, so two scripts that finish together get two folders."""
        if self._out is not None:
            self._out.mkdir(parents=True)
            return self._out
        RESULTS.mkdir(exist_ok=True)
        number = 1
        while True:
            target = RESULTS / (self._name if number == 1 else f"{self._name}-{number}")
            try:
                target.mkdir()
                return target
            except FileExistsError:
                number += 1


def add_to_index(index, folder, question, answer):
    """Put the folder's line above the others, replacing one it may already have."""
    text = index.read_text() if index.exists() else INDEX_HEADER
    link = f"({folder}/README.md)"
    lines = [line for line in text.splitlines() if link not in line]
    first = next((i for i, line in enumerate(lines) if line.startswith("- [")), len(lines))
    lines.insert(first, f"- [{folder}]{link}: {question} {answer}")
    index.write_text("\n".join(lines) + "\n")


def unported(argv):
    """A recorded command as text, its port replaced by PORT: the port differs from run to run."""
    return " ".join(PORT.sub(r"\g<1>PORT", word) for word in argv)
