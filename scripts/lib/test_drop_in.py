"""Tests of compare_drop_in: what it reads, and its tables; no program of libevent runs.

    python3 -B -m unittest discover --start-directory scripts/lib
"""

import argparse
import unittest
import unittest.mock
from pathlib import Path

import compare_drop_in
import drop_in_cases as cases
import drop_in_memcached
import drop_in_operations
import drop_in_report
import drop_in_syscalls
from child import Failure
from drop_in_cases import OURS, STOCK
from drop_in_operations import Instructions
from test_plot import described

CALLGRIND = """positions: line
events: Ir
summary: 1000

fn=(1) main
10 5
+2 7
cfn=(2) event_add
calls=3 40
* 600
12 1

fn=(2)
40 300
-1 80
"""

TRACED = """\tlinux-vdso.so.1 (0x00007f)
\tlibevent_core-2.1.so.7 => /lib/libevent_core-2.1.so.7 (0x00007f)
\tlibc.so.6 => /lib/libc.so.6 (0x00007f)
"""


class Reading(unittest.TestCase):
    def test_the_times_of_a_benchmark_are_those_of_all_its_runs(self):
        self.assertEqual(cases.parse_times("1000\n" * cases.RUNS, "bench"), [0.001] * cases.RUNS)
        for text in ("", "1000\n", "1000\n" * (cases.RUNS - 1) + "failed\n"):
            with self.assertRaisesRegex(Failure, "bench printed no 25 times"):
                cases.parse_times(text, "bench")

    def test_the_events_of_a_benchmark_are_those_of_all_its_runs(self):
        self.assertEqual((cases.chain(100, 2, 48).events, cases.cascade(10).events), (25 * 50, 250))

    def test_too_low_a_limit_of_open_files_is_reported_before_the_first_run(self):
        with unittest.mock.patch("resource.getrlimit", return_value=(1024, 4096)):
            compare_drop_in.require_descriptors([cases.chain(1000, 1, 10)])
            with self.assertRaisesRegex(Failure, "needs 10050 open files, and this process may have 4096: raise"):
                compare_drop_in.require_descriptors([cases.chain(5000, 1, 10)])

    def test_only_what_is_chosen_is_measured(self):
        args = argparse.Namespace(only=["cascade", "syscalls"], quick=False)
        self.assertEqual({case.program for case in compare_drop_in.chosen_benchmarks(args)}, {"bench_cascade"})

    def test_the_library_of_a_program_is_read_from_the_dynamic_linker(self):
        self.assertEqual(cases.distribution_library(TRACED), "/lib/libevent_core-2.1.so.7")
        self.assertIsNone(cases.distribution_library("\tlibc.so.6 => /lib/libc.so.6 (0x00007f)\n"))

    def test_a_program_that_does_not_load_our_core_is_refused(self):
        with self.assertRaisesRegex(Failure, "does not load the core of evshard with A=1"):
            cases.loaded(cases.Core(OURS, ("A=1",)), "/bin/sh", Path("/folder/libours.so"))

    def test_the_instructions_of_a_function_are_without_those_it_calls(self):
        self.assertEqual(drop_in_operations.parse(CALLGRIND), Instructions(1000, {"main": 13, "event_add": 380}))
        with self.assertRaises(Failure):
            drop_in_operations.parse("events: Ir\n")

    def test_what_both_runs_cost_cancels(self):
        short, long = Instructions(1000, {"start": 900, "add": 100}), Instructions(2000, {"start": 900, "add": 1100})
        self.assertEqual(drop_in_operations.of_one(short, long, (10, 60)), Instructions(20, {"add": 20}))

    def test_a_function_has_a_short_name_and_contains_its_closures(self):
        names = {"event_add": "event_add", "<a::Epoll as a::Backend>::wait": "Epoll::wait",
                 "a::b::<impl a::Registry<C>>::start": "Registry::start", "a::Base::add::{{closure}}": "Base::add",
                 "<alloc::vec::Vec<T> as core::Drop>::drop": "Vec::drop", "a::call<B<C>>": "a::call"}
        self.assertEqual({name: drop_in_operations.short_name(name) for name in names}, names)
        self.assertEqual(Instructions(9, {"a::Base::add::{{closure}}": 4, "x": 5, "a::Base::add": 3}).largest(2),
                         "Base::add 7, x 5")

    def test_calls_at_the_start_of_one_run_are_no_difference_and_both_waits_are_one(self):
        theirs = {"epoll_wait": 1.0, "read": 1.0}
        ours = {"epoll_wait": 0.25, "epoll_pwait2": 0.751, "read": 1.004, "brk": 0.001}
        self.assertEqual(drop_in_syscalls.differences(theirs, ours), [])
        self.assertEqual(drop_in_syscalls.differences(theirs, {"epoll_wait": 1.0, "read": 1.1, "write": 1.0}),
                         [("read", 1.0, 1.1), ("write", 0, 1.0)])

    def test_calls_that_failed_are_counted_apart(self):
        calls = drop_in_syscalls.by_name({"read": {"calls": 3, "errors": 1}, "write": {"calls": 2, "errors": 0}})
        self.assertEqual((calls, drop_in_syscalls.in_all(calls)), ({"read": 3, "write": 2, "read that failed": 1}, 5))

    def test_cores_that_answered_unequally_many_requests_are_not_compared(self):
        drop_in_memcached.check_same_load([{"requests": 5}, {"requests": 5}])
        with self.assertRaisesRegex(Failure, "choose a lower --rate"):
            drop_in_memcached.check_same_load([{"requests": 5}, {"requests": 6}])


class Report(unittest.TestCase):
    @staticmethod
    def records(costs, share=0.25):
        return [{"cpu_us_each": cost, "own_us_each": cost / 2, "user_share": share, "requests": 60, "core": "x",
                 "verdict": "SUSPECT", "reasons": ["steal"]}
                for cost in costs]

    def measured(self, ours, **more):
        """Rounds of one benchmark and of memcached with these costs beside a cost of 1, and one count of each operation."""
        by_core = {STOCK: self.records([1.0] * len(ours)), OURS: self.records(ours)}
        counted = {(name, core): Instructions(total, {"event_add": total}) for name in cases.OPERATION_LIMITS
                   for core, total in ((STOCK, 100), (OURS, 120))}
        values = {"benchmarks": {cases.chain(100, 1, 10): by_core, cases.cascade(10): by_core}, "memcached": by_core,
                  "syscalls": {("bench", STOCK): {"read": 1.0}, ("bench", OURS): {"read": 1.0}}, "instructions": counted}
        return drop_in_report.Measured(**{**values, **more})

    def test_a_target_is_decided_by_the_interval_of_the_median(self):
        decided = [drop_in_report.decision(ratios, 1.0) for ratios in
                   ([0.9] * 6, [0.9] * 5 + [1.0], [0.9] * 5 + [1.1], [1.1] * 5 + [0.9], [1.1] * 6, [0.9] * 5)]
        self.assertEqual(decided, ["met", "met", "not decided", "not decided", "missed", "not decided"])

    def test_each_target_is_answered_with_what_limits_it(self):
        answer = drop_in_report.answer(self.measured([1.02] * 6))
        self.assertTrue(answer.startswith("Of 6 targets 2 met, 4 missed, 0 not decided. "))
        for clause in ("bench 100/1, CPU time: 1.02 × (target 1.03 met)",
                       "bench_cascade 10, CPU time: 1.02 × (target 0.95 missed)",
                       "bench_cascade 10, its own time: 1.02 × (target 0.95 missed)",
                       "memcached -t 4, CPU time: 1.02 × (target 1 missed)",
                       "an event of a descriptor fires, instructions: 1.20 × (target 1.15 missed)",
                       "a timer is added and deleted, instructions: 1.20 × (target 1.3 met)", "the same system calls."):
            self.assertIn(clause, answer)
        body = drop_in_report.body(self.measured([1.02] * 6))
        self.assertIn("75 % of libevent's is the kernel's", body)
        self.assertIn("event_add 120", body)
        self.assertIn("60 requests in each run", body)

    def test_a_difference_of_system_calls_is_named(self):
        measured = self.measured([1.0], syscalls={("bench", STOCK): {"read": 1.0}, ("bench", OURS): {"read": 2.0}})
        self.assertIn("system calls differ in bench.", drop_in_report.answer(measured))
        self.assertIn("read 2.000", drop_in_report.body(measured))

    def test_what_was_not_measured_has_its_reason_or_nothing(self):
        reasons = self.measured([1.0], syscalls="Not measured: no strace.", instructions="Not measured: no valgrind.")
        for reason in ("no strace", "no valgrind"):
            self.assertIn(reason, drop_in_report.body(reasons))
        nothing = drop_in_report.Measured({}, {}, None, None)
        self.assertEqual((drop_in_report.body(nothing), drop_in_report.pictures(nothing)), ("", []))

    def test_a_picture_has_a_chart_for_each_target(self):
        (picture,) = drop_in_report.pictures(self.measured([1.0, 1.1]))
        self.assertEqual([chart["target"] for chart in described(picture.drawing)["charts"]], [1.03, 0.95, 1.0, None])

    def test_the_notes_name_the_cores_and_the_verdicts_of_the_loader(self):
        notes = "\n".join(drop_in_report.notes(argparse.Namespace(server_core=3, loader_core=5), self.measured([1.0])))
        self.assertIn("core 3 alone, and memcached's client on core 5", notes)
        self.assertIn("2 SUSPECT (steal)", notes)


if __name__ == "__main__":
    unittest.main()
