"""Tests of the scripts about libevent: what they read, and how they compare; no build, no network.

    python3 -B -m unittest discover --start-directory scripts/lib
"""

import contextlib
import io
import tempfile
import unittest
import unittest.mock
from pathlib import Path

import libevent
import libevent_source
import libevent_suite
import libevent_tests
from child import Failure
from libevent_tests import Core, Result

REGRESS = """main/methods: OK
main/fork: [forking]
  FAIL ../test/regress.c:900: assert(got_sigchld): 0 vs 0
  [fork FAILED]
signal/signal_switchbase: [forking]
  [signal_switchbase FAILED]
http/base: SKIPPED
2/3 TESTS FAILED. (1 skipped)
"""

class Regress(unittest.TestCase):
    def test_a_failed_test_has_the_name_of_its_group(self):
        result = libevent_tests.parse_regress(REGRESS)
        self.assertEqual((result.ran, set(result.failed)), (3, {"main/fork", "signal/signal_switchbase"}))
        self.assertEqual(libevent_tests.parse_regress("main/methods: OK\n1 tests ok.  (0 skipped)\n"), Result(1, {}))

    def test_an_output_without_its_last_line_is_a_failure_with_what_was_printed(self):
        with self.assertRaisesRegex(Failure, "did not come to its end(.|\n)*Segmentation"):
            libevent_tests.parse_regress(REGRESS.rpartition("2/3")[0], "Segmentation fault")


class Programs(unittest.TestCase):
    def run_programs(self, **scripts):
        """The result of test programs that are these lines of shell. `check` is that of the script for the dump."""
        with tempfile.TemporaryDirectory() as folder:
            libraries = Path(folder, "test/.libs")
            libraries.mkdir(parents=True)
            Path(folder, "test/check-dumpevents.py").write_text(scripts.pop("check", ""))
            names = [name.replace("_", "-") for name in scripts]
            for name, lines in zip(names, scripts.values(), strict=True):
                (libraries / name).write_text(f"#!/bin/sh\n{lines}\n")
                (libraries / name).chmod(0o755)
            return libevent_tests.programs(Core(Path(folder), {"EVENT_NOEPOLL": "1"}), names)

    def test_a_program_fails_by_its_status_and_its_output_is_kept(self):
        result = self.run_programs(test_init="exit 0", test_eof="echo no end of file; exit 3", test_weof="kill -ABRT $$")
        self.assertEqual((result.ran, set(result.failed)), (3, {"test-eof", "test-weof"}))
        self.assertEqual(result.failed["test-eof"], "exit status 3\n    no end of file")
        self.assertIn("SIGABRT", result.failed["test-weof"])

    def test_a_program_runs_on_the_backend_that_is_asked_for(self):
        self.assertEqual(self.run_programs(test_init='[ "$EVENT_NOEPOLL" = 1 ]').failed, {})

    def test_a_dump_is_checked_by_libevent_s_script(self):
        check = "import sys; sys.exit(sys.stdin.read() != 'right\\n' and 'the dump is wrong')"
        self.assertEqual(self.run_programs(test_dumpevents="echo right", check=check).failed, {})
        wrong = self.run_programs(test_dumpevents="echo wrong", check=check)
        self.assertIn("the dump is wrong", wrong.failed["test-dumpevents"])


class Comparing(unittest.TestCase):
    def compare(self, *results):
        """The names that fail with ours only, if the runs have these failures: libevent's, ours, and again ours."""
        remaining = list(results)
        asked = []

        def run(_core, tests):
            asked.append(list(tests))
            return Result(9, dict.fromkeys(remaining.pop(0), "printed"))

        with contextlib.redirect_stdout(io.StringIO()) as printed:
            found = libevent_suite.compare("epoll, regress", run, "stock", "ours", ("all",))
        return found, asked, printed.getvalue()

    def test_ours_may_fail_where_libevent_s_fails_or_by_design(self):
        by_design = next(iter(libevent_suite.EXPECTED))
        found, asked, printed = self.compare({"http/a"}, {"http/a", by_design})
        self.assertEqual((found, asked), (set(), [["all"], ["all"]]))
        self.assertIn("failed with libevent's core 1, with evshard's 2, of them by design 1, with evshard's only 0", printed)

    def test_a_test_that_fails_with_ours_each_time_is_named_with_what_it_printed(self):
        found, asked, printed = self.compare(set(), {"main/a", "main/b"}, {"main/a"}, {"main/a"}, {"main/a"})
        self.assertEqual((found, asked[2:]), ({"main/a"}, [["main/a", "main/b"], ["main/a"], ["main/a"]]))
        self.assertIn("  main/a printed\n", printed)

    def test_a_test_that_fails_once_is_no_difference(self):
        found, asked, _ = self.compare(set(), {"main/a"}, set())
        self.assertEqual((found, len(asked)), (set(), 3))


class Folders(unittest.TestCase):
    def test_a_folder_with_another_library_is_refused_and_stays_as_it_was(self):
        with tempfile.TemporaryDirectory() as name:
            folder, library = Path(name, "folder"), Path(name, "built.so")
            folder.mkdir()
            library.write_bytes(b"ours")
            foreign = folder / libevent.NAMES[0]
            foreign.write_bytes(b"the library of a distribution")
            for change in (lambda: libevent.link(library, folder), lambda: libevent.uninstall(folder)):
                with self.assertRaisesRegex(Failure, "another library; choose a folder of its own"):
                    change()
            self.assertEqual([path.name for path in folder.iterdir()], [foreign.name])

    def test_what_was_installed_is_removed_and_nothing_else(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file in (libevent.LIBRARY, *libevent.NAMES):
                (folder / file).write_bytes(f"needs {libevent.LIBRARY}".encode())
            (folder / "other").write_text("")
            libevent.uninstall(folder)
            self.assertEqual([path.name for path in folder.iterdir()], ["other"])

    def test_an_environment_keeps_the_libraries_of_the_user(self):
        with unittest.mock.patch.dict("os.environ", {"LD_PRELOAD": "mine.so"}):
            front = libevent.environment(Path("/folder"), front=True, check=False)
        self.assertEqual(front["LD_PRELOAD"], f"/folder/{libevent.LIBRARY}:mine.so")

    def test_sources_of_packages_are_asked_for_in_both_formats(self):
        line = "# deb x\ndeb http://deb.example trixie main\n"
        self.assertEqual(libevent_source.with_source_packages(line), "# deb x\ndeb-src http://deb.example trixie main\n")
        self.assertEqual(libevent_source.with_source_packages("Types: deb\nURIs: x\n"), "Types: deb-src\nURIs: x\n")


if __name__ == "__main__":
    unittest.main()
