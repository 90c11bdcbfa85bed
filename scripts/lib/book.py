"""book: the pages of the repository as one book, with links that lead somewhere."""

import itertools
import os
import re
import shutil
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import child
import cli
from child import Failure, run_main
from programs import enter_root

SCRIPT = "scripts/book.sh"
SUMMARY = Path("docs/SUMMARY.md")
PAGES, HTML = Path("target/book/pages"), Path("target/book/html")
IMAGES = (".svg", ".png")
ENTRY = re.compile(r"^(?:- )?\[(?P<title>[^]]+)\]\((?P<path>[^)#]+)(?:#(?P<anchor>[^)]+))?\)$")
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^]]*)\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^(#+) (.+)$")
FENCE = re.compile(r"^ *```")


@dataclass(frozen=True)
class Page:
    """A page of the book: a file of the repository, or the section of one that begins with the heading `anchor`."""

    title: str
    path: str
    anchor: str | None

    @property
    def name(self):
        """The name of the page's own file. The pages stand in one folder."""
        if self.anchor is not None:
            return f"{self.anchor}.md"
        return self.path.removesuffix("/README.md").removesuffix(".md").removeprefix("docs/").lower().replace("/", "-") + ".md"


def slug(heading):
    """The anchor of a heading, as mdbook and code hosts make it."""
    text = re.sub(r"[^\w\- ]", "", LINK.sub(lambda link: link["text"], heading).lower())
    return text.strip().replace(" ", "-")


def prose(text):
    """Each line of the text, and whether it stands outside of a block of code."""
    in_code = False
    for line in text.splitlines():
        is_fence = FENCE.match(line) is not None
        yield line, not in_code and not is_fence
        in_code ^= is_fence


def headings(text):
    """The anchors of the text, with their levels and line numbers. A repeated heading gets a number."""
    seen, found = {}, []
    for number, (line, is_prose) in enumerate(prose(text)):
        match = HEADING.match(line) if is_prose else None
        if match:
            base = slug(match[2])
            seen[base] = seen.get(base, -1) + 1
            found.append((f"{base}-{seen[base]}" if seen[base] else base, len(match[1]), number))
    return found


def section(text, anchor):
    """The part of the text below a heading, its own as one of level 1. That of the title ends at the next heading."""
    found = headings(text)
    start = next((entry for entry in found if entry[0] == anchor), None)
    if start is None:
        raise Failure(f"{SUMMARY} names the heading #{anchor}, which does not exist")
    _, level, first = start
    ends = (number for _, other, number in found if number > first and (level == 1 or other <= level))
    lines = list(prose(text))[first:next(ends, None)]
    return "\n".join(line[level - 1:] if is_prose and HEADING.match(line) else line for line, is_prose in lines) + "\n"


def pages_of(summary):
    """The pages that the summary lists."""
    entries = (ENTRY.match(line) for line in summary.splitlines())
    resolve = lambda path: os.path.normpath(SUMMARY.parent / path)
    return [Page(entry["title"], resolve(entry["path"]), entry["anchor"]) for entry in entries if entry]


class Book:
    """The pages with their texts, and where each heading of the repository's files is in the book."""

    def __init__(self, pages, read):
        self.texts = {page: read(page.path) if page.anchor is None else section(read(page.path), page.anchor)
                      for page in pages}
        self._places = {}
        for page, text in self.texts.items():
            self._places.setdefault((page.path, None), page.name)
            for anchor, _, _ in headings(text):
                self._places.setdefault((page.path, anchor), f"{page.name}#{anchor}")

    def linked(self, page, exists):
        """The text of a page with links to other pages, and the images that it shows. `exists` knows the repository."""
        images = set()

        def replaced(link):
            if re.match(r"[a-z]+:", link["target"]):
                return link[0]
            path, _, anchor = link["target"].partition("#")
            path = os.path.normpath(Path(page.path).parent / path) if path else page.path
            if not exists(path):
                raise Failure(f"{page.path} links to {link['target']}, which does not exist")
            if link["image"]:
                images.add(path)
                return f"![{link['text']}]({path})"
            if (path, None) not in self._places:
                return f"`{path}`" if link["text"].strip("`") == path else f"{link['text']} (`{path}`)"
            place = self._places.get((path, anchor or None))
            if place is None:
                raise Failure(f"{page.path} links to {link['target']}, and there is no such heading in the book")
            return f"[{link['text']}]({place})"

        # A link may go on in the next line.
        parts = (("\n".join(line for line, _ in lines), is_prose)
                 for is_prose, lines in itertools.groupby(prose(self.texts[page]), lambda line: line[1]))
        return "\n".join(LINK.sub(replaced, part) if is_prose else part for part, is_prose in parts) + "\n", images


def write(pages):
    """Write the pages, their images and the summary into the folder that book.toml names."""
    shutil.rmtree(PAGES, ignore_errors=True)
    PAGES.mkdir(parents=True)
    book = Book(pages, lambda path: Path(path).read_text())
    for page in pages:
        text, images = book.linked(page, os.path.exists)
        (PAGES / page.name).write_text(text)
        for image in images:
            (PAGES / image).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(image, PAGES / image)
    waiting = iter(pages)
    lines = SUMMARY.read_text().splitlines()
    rename = lambda line: re.sub(r"\([^)]+\)$", f"({next(waiting).name})", line) if ENTRY.match(line) else line
    (PAGES / "SUMMARY.md").write_text("\n".join(map(rename, lines)) + "\n")


class Anchors(HTMLParser):
    """The ids and the links of a page in HTML."""

    def __init__(self):
        super().__init__()
        self.ids, self.links = set(), set()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids.add(attributes.get("id"))
        if tag in ("a", "img"):
            self.links.add(attributes.get("href") or attributes.get("src") or "")


def check_html(folder):
    """Fail if a link between the pages leads nowhere. Returns the number of links."""
    parsed = {}
    for path in folder.glob("*.html"):
        parsed[path.name] = Anchors()
        parsed[path.name].feed(path.read_text())
    count = 0
    for name, page in parsed.items():
        for link in page.links:
            target, _, anchor = link.partition("#")
            target = target or name
            if re.match(r"[a-z]+:", link) or name in ("print.html", "404.html", "toc.html"):
                continue
            count += 1
            if target not in parsed and not (folder / target).exists():
                raise Failure(f"{name} links to {link}, which is not in the book")
            if anchor and anchor not in parsed[target].ids:
                raise Failure(f"{name} links to {link}, and {target} has no such heading")
    return count


def main():
    """Put the pages together, check their links, and make the book if mdbook is installed."""
    cli.Parser(
        SCRIPT,
        f"Puts the pages that {SUMMARY} lists together in {PAGES}, and fails for a link to a file or a\n"
        "heading that does not exist. A link to a file that is no page becomes the path of the file. If mdbook is\n"
        f"installed (cargo install mdbook), it makes the book in {HTML}, whose links are checked again.",
        SCRIPT,
        builds=False,
    ).parse_args()
    enter_root()
    pages = pages_of(SUMMARY.read_text())
    write(pages)
    print(f"{len(pages)} pages are in {PAGES}")
    if shutil.which("mdbook") is None:
        print("skipped: the book in HTML, because mdbook is not installed (cargo install mdbook)")
        return
    child.run(["mdbook", "build"], "mdbook")
    print(f"{HTML}/index.html: {check_html(HTML)} links lead somewhere")


if __name__ == "__main__":
    run_main(main)
