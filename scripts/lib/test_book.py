"""Tests of the script that puts the book together; no mdbook."""

import unittest

import book
from book import Page
from child import Failure

README = """\
# Title

Intro with [a
link](docs/A.md#second), and [code](src/lib.rs).

## The part

```sh
# no heading
```

### Below

Text.

## Another
"""
A = "# A\n\n## Second `one`\n\n## Second\n\nSee [the part](../README.md#below) and [A](#second).\n"
FILES = {"README.md": README, "docs/A.md": A}


def made(*pages, files=FILES):
    """The linked texts of these pages."""
    whole = book.Book(pages, files.get)
    return [whole.linked(page, lambda path: path in files or path == "src/lib.rs")[0] for page in pages]


OVERVIEW, PART, WHOLE = Page("o", "README.md", "title"), Page("p", "README.md", "the-part"), Page("a", "docs/A.md", None)


class Pages(unittest.TestCase):
    def test_the_summary_lists_files_and_sections_of_files(self):
        pages = book.pages_of("# Book\n\n[o](../README.md#title)\n\n- [a](A.md)\n- [l](../loadgen/README.md)\n")
        self.assertEqual(pages, [OVERVIEW, WHOLE, Page("l", "loadgen/README.md", None)])
        self.assertEqual([page.name for page in pages], ["title.md", "a.md", "loadgen.md"])

    def test_a_section_ends_at_the_next_heading_of_its_level_and_begins_with_level_one(self):
        self.assertEqual(book.section(README, "the-part"),
                         "# The part\n\n```sh\n# no heading\n```\n\n## Below\n\nText.\n\n")
        self.assertTrue(book.section(README, "title").endswith("src/lib.rs).\n\n"))
        with self.assertRaisesRegex(Failure, "#missing"):
            book.section(README, "missing")

    def test_links_lead_to_the_page_that_has_the_heading(self):
        overview, _, whole = made(OVERVIEW, PART, WHOLE)
        self.assertIn("[a\nlink](a.md#second)", overview)
        self.assertIn("code (`src/lib.rs`)", overview)
        self.assertIn("[the part](the-part.md#below) and [A](a.md#second)", whole)

    def test_a_link_that_leads_nowhere_is_an_error_that_names_it(self):
        for target in ("docs/B.md", "docs/A.md#third"):
            files = FILES | {"README.md": README.replace("docs/A.md#second", target)}
            with self.assertRaisesRegex(Failure, f"README.md links to {target}"):
                made(OVERVIEW, PART, WHOLE, files=files)


if __name__ == "__main__":
    unittest.main()
