"""Tests of the one file of a result's raw records, and of the command that shows them."""

import contextlib
import json
import lzma
import tempfile
import unittest
import unittest.mock
from pathlib import Path

import raw
import results
from child import Failure


class RawRecords(unittest.TestCase):
    """What is packed comes back, and what cannot be read is named."""

    FILES = {
        "checks.json": b'[\n  {\n    "claim": "a \\"b\\": {,}",\n    "none": {},\n    "empty": []\n  }\n]\n',
        "echo one/result.json": '{\n  "µ": "\\u00b5",\n  "start_s": 1.50e-7,\n  "n": [\n    1,\n    -2.0\n  ]\n}\n'.encode(),
        "echo/compact.json": b'{"a":1}',
        "echo/log.csv": b"a,b\r\n1,2\n",
        "echo/nothing.txt": b"",
        "echo/no-utf-8": b"\xff\x00\n",
        "word.json": b'"a string"\n',
    }

    @contextlib.contextmanager
    def packed(self):
        with tempfile.TemporaryDirectory() as parent:
            folder, packed = Path(parent) / "files", Path(parent) / raw.NAME
            raw.write(self.FILES.items(), folder)
            raw.pack(folder, packed)
            yield packed

    def test_every_file_comes_back_byte_for_byte_and_in_order(self):
        with self.packed() as packed:
            self.assertEqual(list(raw.read(packed)), sorted(self.FILES.items()))
            self.assertEqual([path.name for path in packed.parent.iterdir() if path.suffix == ".partial"], [])

    def test_a_line_is_json_and_so_is_the_content_of_a_json_file(self):
        with self.packed() as packed, lzma.open(packed, "rt") as lines:
            contents = {line["file"]: line["content"] for line in map(json.loads, lines)}
        self.assertEqual(contents["echo one/result.json"], {"µ": "µ", "start_s": 1.5e-7, "n": [1, -2.0]})
        self.assertEqual(contents["echo/compact.json"], '{"a":1}')
        self.assertEqual(contents["echo/log.csv"], "a,b\r\n1,2\n")

    def test_patterns_choose_files(self):
        with self.packed() as packed:
            self.assertEqual([name for name, _ in raw.matching(packed, ["*.csv", "echo/no*"])],
                             ["echo/log.csv", "echo/no-utf-8", "echo/nothing.txt"])
            with self.assertRaisesRegex(Failure, "matches x"):
                raw.matching(packed, ["x"])

    def test_what_is_no_whole_file_of_records_is_named(self):
        with self.packed() as packed:
            packed.write_bytes(packed.read_bytes()[:-20])
            with self.assertRaisesRegex(Failure, "not a whole xz file"):
                list(raw.read(packed))
            with lzma.open(packed, "wb") as lines:
                lines.write(b'{"file": "a"}\n')
            with self.assertRaisesRegex(Failure, "line 1 is not"):
                list(raw.read(packed))

    def test_no_file_is_written_outside_the_folder(self):
        with tempfile.TemporaryDirectory() as parent:
            for name in ("../x", "/tmp/evshard-test-x"):
                with self.assertRaisesRegex(Failure, "does not stay below"):
                    raw.write([(name, b"")], Path(parent) / "files")

    def test_a_python_without_lzma_is_refused_before_anything_runs(self):
        with unittest.mock.patch.object(raw, "lzma", None), self.assertRaisesRegex(Failure, "liblzma-dev"):
            results.ResultFolder("test", None, quick=False, loadgen=None)


if __name__ == "__main__":
    unittest.main()
