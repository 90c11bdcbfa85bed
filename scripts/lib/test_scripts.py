"""Tests of the measuring scripts' own logic; no server, no loader, no network.

    python3 -B -m unittest discover --start-directory scripts/lib
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import socket
import sys
import tempfile
import time
import unittest
import unittest.mock
from pathlib import Path

import accept_report
import admin
import broadcast_client
import child
import cli
import compare_broadcast
import compare_overhead
import connect_flood
import event_base
import event_base_cases as bases
import event_base_counts
import event_base_report
import fault
import faults
import hgrm
import loader
import machine
import measure
import overhead_report
import pending_echoes
import placement_report
import plot
import procfs
import programs
import quickstart
import raw
import results
import shards
import skewed_rates
import stats
import sweeps
import syscalls
from child import Failure
from server import Server, Subject
from test_plot import described, stand_in_for_loadgen

SHARD_TABLE = """drained
shard core connections reads bytes waits events/wait wakes-sent wakes-suppressed
0 0 40 1000 64000 300 1.00 3 4
1 - 24 500 32000 100 3.00 3 4
total - 64 1500 96000 400 1.50 6 8
"""

STRACE = """7 epoll_wait(4<anon_inode:[eventpoll]>, [...], 1024, -1) = 1
7 recvfrom(5<socket:[1]>, ""..., 65536, 0, NULL, NULL) = 64
7 sendto(5<socket:[1]>, ""..., 64, MSG_NOSIGNAL, NULL, 0) = 64
8 write(9<anon_inode:[eventfd]>, ""..., 8 <unfinished ...>
8 <... write resumed>) = 8
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 42.58    0.069595          36        10           sendto
 29.21    0.047749          24        12         2 recvfrom
 28.21    0.046113          23         5           epoll_wait
  0.00    0.000000           0         1           write
------ ----------- ----------- --------- --------- ----------------
100.00    0.163457          28        28         2 total
"""


def python(code):
    """A server subject that is a few lines of Python."""
    return Subject("stand-in", (sys.executable, "-c", code))


class Statistics(unittest.TestCase):
    def test_a_spread_is_the_median_and_the_range(self):
        self.assertEqual(stats.spread([3, 1, 2]), stats.Spread(2, 1, 3, 3))

    def test_a_figure_missing_in_one_run_is_missing_in_the_spread(self):
        self.assertIsNone(stats.spread([1.0, None]))
        self.assertEqual(stats.cell(None), stats.MISSING)

    def test_ratios_are_of_pairs_and_need_equally_many(self):
        self.assertEqual(stats.paired_ratios([2, 9], [1, 3]), [2, 3])
        with self.assertRaises(ValueError):
            stats.paired_ratios([1], [1, 2])

    def test_a_verdict_says_how_sure_the_rounds_are(self):
        words = [stats.verdict(stats.Spread(*values, 3), 1.05) for values in
                 ((1.0, 0.9, 1.04), (1.0, 0.9, 1.1), (1.1, 1.0, 1.2), (1.1, 1.06, 1.2))]
        self.assertEqual(words, ["met in every round", "met by the median, not in every round",
                                 "not met by the median, met in some rounds", "not met in any round"])

    def test_the_median_of_a_few_values_has_no_interval_and_that_of_many_a_narrow_one(self):
        self.assertIsNone(stats.median_interval(range(5)))
        self.assertEqual(stats.median_interval(range(6)), (0, 5))
        self.assertEqual(stats.median_interval(reversed(range(25))), (7, 17))
        self.assertEqual(stats.interval_cell(range(25)), "[7.000..17.000]")

    def test_a_target_may_be_a_floor(self):
        words = [stats.verdict(stats.Spread(*values, 3), 1.0, at_least=True) for values in
                 ((1.2, 1.0, 1.3), (1.2, 0.9, 1.3), (0.9, 0.8, 1.1), (0.9, 0.8, 0.95))]
        self.assertEqual(words, ["met in every round", "met by the median, not in every round",
                                 "not met by the median, met in some rounds", "not met in any round"])

    def test_fairness_is_one_for_equals_and_a_share_for_one_alone(self):
        self.assertEqual((stats.jain([3, 3]), stats.jain([1, 0, 0, 0]), stats.jain([0, 0])), (1, 0.25, None))

    def test_words_stand_left_and_numbers_right(self):
        self.assertEqual(stats.table(["a", "bb", "n"], [["x", "y", 100]], words=2).splitlines(),
                         ["| a | bb |   n |", "|---|----|----:|", "| x | y  | 100 |"])

    def test_everyone_goes_first_once(self):
        self.assertEqual([measure.rotated([1, 2, 3], i)[0] for i in range(3)], [1, 2, 3])


class Reading(unittest.TestCase):
    def test_the_shard_table_is_read_by_column_name(self):
        self.assertEqual([row["reads"] for row in shards.rows(SHARD_TABLE)], ["1000", "500"])
        self.assertEqual(shards.mean_weighted(SHARD_TABLE, "events/wait", "waits"), 1.5)

    def test_no_shard_table_is_nothing_to_weigh(self):
        self.assertIsNone(shards.mean_weighted("", "events/wait", "waits"))

    def test_strace_separates_echoes_from_wakes(self):
        trace = syscalls.parse(STRACE)
        self.assertEqual((trace.echoes, trace.receives), (10, 10))
        self.assertEqual(trace.calls_per_echo, 2.8)
        self.assertEqual(trace.coordination(), "eventfd write 1×")
        self.assertIn("recvfrom 1.200 (2 of 12 failed)", trace.listing())

    def test_durations_need_a_unit(self):
        self.assertEqual([loader.seconds(text) for text in ("3s", "500ms", "1m")], [3, 0.5, 60])
        for text in ("3", "s", "-1s", "1h"):
            with self.assertRaises(ValueError):
                loader.seconds(text)

    def test_a_thread_that_ended_makes_the_cpu_time_unknown(self):
        thread = procfs.Thread("worker", 5, 1, 1, "0")
        self.assertEqual(procfs.difference(procfs.Sample({}, 0), procfs.Sample({7: thread}, 0))[0]["cpu_ns"], 5)
        with self.assertRaises(Failure):
            procfs.difference(procfs.Sample({7: thread}, 0), procfs.Sample({}, 0))


class EventBases(unittest.TestCase):
    CHAIN = {"benchmark": "chain", "loop_ns": [2000, 1000, 6000], "register_ns": [1000, 1000, 1000], "hops": 10}

    def measured(self, ours, theirs, **more):
        """Rounds of a chain of 100 pairs, 100 of them active, with these loop figures."""
        case = bases.cases(["chain"], quick=True)[1]
        figures = {case: {name: [{"loop, ns/hop": value, "total, µs": value} for value in values]
                          for name, values in (("evshard", ours), ("libevent", theirs), ("libev", theirs))}}
        rest = {"syscalls": None, "instructions": None, "missing": {"libevent precise": "for brevity"}, "common_how": {}}
        return event_base_report.Measured([case], figures, **{**rest, **more})

    def test_a_figure_is_the_median_of_the_process_s_runs(self):
        self.assertEqual(event_base.figures(self.CHAIN), {"loop, ns/hop": 200, "total, µs": 3})
        changes = {"benchmark": "changes", "busy_ns": [5000], "idle_ns": [1000], "turns": 10, "changes": 4}
        self.assertEqual(event_base.figures(changes), {"change, ns": 100})

    def test_what_is_no_record_is_refused(self):
        for text in ("", "[]", "{}", '{"benchmark": "chain", "backend": "poll"}'):
            with self.assertRaises(Failure):
                event_base.parse(text, "a program")
        with self.assertRaises(Failure):
            event_base.figures({"benchmark": "chain", "loop_ns": [1]})

    def test_what_both_runs_cost_cancels(self):
        self.assertEqual(event_base_counts.per_hop((100, 1100), (300, 1500)), 2)
        with self.assertRaises(Failure):
            event_base_counts.per_hop((100, 1), (100, 2))

    def test_a_target_is_judged_in_the_cases_it_names(self):
        measured = self.measured([9, 8, 30], [10, 10, 10])
        judged = [one for target in bases.TARGETS for one in measured.judged(target)]
        self.assertEqual([one.target.limit for one in judged], [0.95, 1.0])  # a = 100: not the one for a = 1
        self.assertEqual(judged[0].value, stats.Spread(0.9, 0.8, 3.0, 3))
        self.assertTrue(judged[0].met)

    def test_a_miss_is_said_as_plainly_as_a_hit(self):
        measured = self.measured([10, 11, 12], [10, 10, 10])
        self.assertIn("1.10 × (target 0.95 met in 0 of 1)", event_base_report.answer(measured))
        self.assertIn("not met in any round", event_base_report.body(measured))

    def test_a_subject_that_took_no_part_is_named_with_the_reason(self):
        body = event_base_report.body(self.measured([1], [1]))
        self.assertIn("libevent precise: not measured, for brevity", body)
        for picture in event_base_report.pictures(self.measured([1], [1])):
            self.assertTrue(described(picture.drawing)["charts"])

    def test_epoll_ctl_calls_are_judged_as_they_are(self):
        calls = {("timeouts, n=1", bases.STABLE_DEL_ADD.name): {"epoll_ctl": 0.5},
                 ("timeouts, n=1", bases.PLAIN_DEL_ADD.name): {"epoll_ctl": 1.001}}
        answer = event_base_report.answer(self.measured([1], [1], syscalls=calls))
        self.assertIn("stable, del+add: 0.50 (target 0 not met)", answer)
        self.assertIn("deferred, del+add: 1.00 (target 1 met)", answer)

    def test_no_two_cases_share_a_file(self):
        keys = [case.key for case in bases.cases(bases.GROUPS, quick=False)]
        self.assertEqual(len(set(keys)), len(keys))


class Storms(unittest.TestCase):
    PERCENTILES = dict.fromkeys(("p50", "p90", "p99", "p999", "max"), 2000)

    def values(self, rate, **failures):
        """What the program prints, with that many connections a second and these failures."""
        kinds = dict.fromkeys(("refused", "timeout", "reset", "closed", "wrong"), 0)
        return {"connections": 100, "failures": {**kinds, **failures}, "seconds": 1.0, "connections_per_s": rate,
                "cpu_s": 0.5, "longest_gap_ns": 5_000_000, "latency_ns": self.PERCENTILES}

    def accepted(self, ours, theirs, wakes):
        """Rounds of one mode against the peer, with these connections a second and wakes per connection."""
        def run(rate, wake):
            stand_in = type("Run", (), {"cpu_us_per_connection": 10.0, "wakes_per_connection": wake})
            stand_in.report = connect_flood.Report(self.values(rate))
            return stand_in

        runs = {"peer": [run(rate, None) for rate in theirs], "acceptor": [run(rate, wakes) for rate in ours]}
        traces = {name: syscalls.Trace({"accept4": {"calls": 20, "errors": 0}}, {"read": 0, "write": 10}) for name in runs}
        return accept_report.Measured("peer", ["acceptor"], runs, traces, 10)

    def test_failures_are_counted_by_kind(self):
        report = connect_flood.Report(connect_flood.parse(json.dumps(self.values(1.0, reset=2, refused=1))))
        self.assertEqual((report.failed, report.failures_listing(), report.longest_gap_ms), (3, "1 refused, 2 reset", 5))
        for text in ("", "{}", "[]"):
            with self.assertRaises(Failure):
                connect_flood.parse(text)

    def test_accept_targets_are_judged_by_pairs(self):
        self.assertIn("met in 1 of 1 modes; connections per second at least 1.0 ×: in 1 of 1",
                      accept_report.answer(self.accepted([12, 20, 9], [10, 10, 10], 0.2)))
        missed = self.accepted([9], [10], 0.5)
        self.assertIn("met in 0 of 1 modes; connections per second at least 1.0 ×: in 0 of 1",
                      accept_report.answer(missed))
        self.assertEqual(accept_report.body(missed).count("not met in any round"), 2)
        self.assertTrue(described(accept_report.picture(missed))["charts"][0]["rows"])

    def test_calls_are_divided_by_the_connections_made(self):
        self.assertEqual(self.accepted([1], [1], 0).traced_wakes("peer"), 1)
        self.assertRegex(accept_report.body(self.accepted([1], [1], 0)), r"\| acceptor +\| +2\.000 \|")


class Placements(unittest.TestCase):
    def run_of(self, p99_ms, placed):
        """A run with this p99 in all groups, and this many connections on each worker."""
        percentiles = dict.fromkeys(("p50", "p90", "p99", "p999", "max"), p99_ms * 1e6)
        values = {"ended_by_server": 0, "unanswered": 0, "requests": 9, "lateness_ns": percentiles,
                  "response_ns": dict.fromkeys(skewed_rates.GROUPS, percentiles)}
        report = skewed_rates.parse(json.dumps(values))
        return type("Run", (), {"report": report, "jain_connections": stats.jain(placed), "jain_busy": 0.5})

    def test_placements_are_compared_with_round_robin(self):
        runs = {"round-robin": [self.run_of(4.0, [16, 16])], "least-loaded": [self.run_of(1.0, [14, 18])]}
        measured = placement_report.Measured(list(runs), {"unequal": runs, "equal": runs})
        self.assertEqual(measured.ratio("unequal", "least-loaded").median, 0.25)
        self.assertIn("met in 1 of 3 targets", placement_report.answer(measured))
        self.assertEqual(placement_report.body(measured).count("not met in any round"), 2)
        self.assertTrue(described(placement_report.picture(measured))["charts"][0]["rows"])

    def test_a_client_that_was_cut_off_is_no_measurement(self):
        for text in ("", "{}", '{"ended_by_server": 1}'):
            with self.assertRaises(Failure):
                skewed_rates.parse(text)

    def test_counters_are_summed_over_acceptors_and_listed_by_shard(self):
        values = {"shards": [{"open": 1}, {"open": 2}], "acceptors": [{"shed": 3}, {"shed": 4}]}
        self.assertEqual((admin.per_shard(values, "open"), admin.over_acceptors(values, "shed")), ([1, 2], 7))


class Overhead(unittest.TestCase):
    def test_a_cost_is_judged_beside_two_equal_servers(self):
        case = compare_overhead.CASES[0]
        costs = zip(overhead_report.names(case.name), (10.0, 10.1, 10.3), strict=True)
        runs = {case.name: {name: [type("Run", (), {"cpu_us_per_request": cost})] for name, cost in costs}}
        measured = overhead_report.Measured([case], runs, {"no timings": 400, "timings": 430})
        self.assertIn("timings: 1.010 × the CPU per request (target 1.02; two equal servers: 1.030), "
                      "+30 instructions per echo, from 400", overhead_report.answer(measured))
        self.assertIn("met in every round", overhead_report.body(measured))
        self.assertTrue(described(overhead_report.picture(measured))["charts"][0]["rows"])


class Broadcasts(unittest.TestCase):
    def test_a_message_has_its_size_and_differs_from_the_one_before(self):
        one, two = broadcast_client.message(1, 64), broadcast_client.message(2, 64)
        self.assertEqual((len(one), len(two)), (64, 64))
        self.assertNotEqual(one, two)
        self.assertTrue(one.endswith(b"x\n"))

    def test_a_delivery_is_judged_by_pairs(self):
        args = argparse.Namespace(size=1024, connections=500, rounds=2, broadcasts=5)
        found = {compare_broadcast.BARE: [1000.0, 2000.0], compare_broadcast.OURS: [1200.0, 2400.0]}
        findings = compare_broadcast.findings(args, found, [])
        self.assertIn("1.20 [1.20..1.20] times", findings.answer)
        self.assertIn("not met in any round", findings.body)


class Faults(unittest.TestCase):
    def test_one_failed_check_fails_the_fault_and_is_named(self):
        outcome = fault.Outcome(waited_ms=3.0)
        outcome.expect_most("CPU", 0.5, 1, "%")
        self.assertTrue(outcome.passed)
        outcome.expect_most("back", None, 100, "ms")
        self.assertFalse(outcome.passed)
        outcomes = {"kill": outcome, "queue": fault.Outcome()}
        self.assertEqual(faults.answer(outcomes), "1 of 2 checks passed; failed: kill -9 and restart.")
        self.assertRegex(faults.verdict_table(outcomes), r"back ≤ 100 ms +\| never +\| +FAIL")
        self.assertTrue(described(faults.picture(outcomes))["charts"][0]["rows"])

    def test_waiting_for_a_condition_has_an_end(self):
        self.assertIsNone(fault.wait_until(lambda: False, 0.05))
        self.assertLess(fault.wait_until(lambda: True, 5), 1)


class PendingEchoes(unittest.TestCase):
    def test_a_receive_without_a_timeout_takes_what_has_come(self):
        sockets = [socket.socketpair() for _ in range(3)]
        mine, peers = [pair[0] for pair in sockets], [pair[1] for pair in sockets]
        with pending_echoes.PendingEchoes(mine) as echoes:
            peers[0].sendall(peers[0].recv(100))
            peers[1].close()
            self.assertEqual(echoes.receive(0), 1)
            self.assertEqual((echoes.served, echoes.lost, echoes.pending), ([mine[0]], [mine[1]], 1))
        for opened in (*mine, *peers):
            opened.close()


class Processes(unittest.TestCase):
    def test_a_server_that_ends_at_once_is_reported_in_its_own_words(self):
        with self.assertRaisesRegex(Failure, "(?s)exit status 3.*no such port"), Server(
            python("import sys; print('no such port', file=sys.stderr); sys.exit(3)")
        ):
            self.fail("a dead server was taken for a running one")

    def test_a_server_that_answers_sigterm_badly_is_a_failure(self):
        code = "import time; print('listening on 127.0.0.1:9', flush=True); time.sleep(60)"
        with Server(python(code)) as server:
            self.assertEqual(server.address, "127.0.0.1:9")
            with self.assertRaisesRegex(Failure, "SIGTERM"):
                server.stop()

    def test_leaving_the_block_ends_the_process(self):
        code = "import signal, time; signal.signal(15, lambda *_: print('bye') or exit(0)); " \
               "print('listening on 127.0.0.1:9', flush=True); time.sleep(60)"
        with Server(python(code)) as server:
            pid = server.pid
            self.assertEqual(server.stop(), "bye\n")
        self.assertFalse(Path(f"/proc/{pid}").exists())

    def test_the_cpu_time_of_a_program_is_its_own(self):
        code = "import time; [0 for _ in iter(lambda: time.process_time() < 0.2, False)]"
        _, busy = child.run_timed([sys.executable, "-c", code], "a busy program", timeout_s=20)
        _, idle = child.run_timed(["sleep", "0.1"], "an idle one", timeout_s=20)
        self.assertGreater(busy.cpu_s, 0.2)
        self.assertTrue(0 < busy.user_s <= busy.cpu_s)
        self.assertLess(idle.cpu_s, 0.1)

    def test_a_sleep_of_a_program_is_counted(self):
        _, usage = child.run_timed([sys.executable, "-c", "import time; [time.sleep(0.001) for _ in range(50)]"], "a program")
        self.assertGreaterEqual(usage.sleeps, 50)

    def test_a_program_that_does_not_end_is_stopped(self):
        started = time.monotonic()
        with self.assertRaisesRegex(Failure, "did not end"):
            child.run(["sleep", "60"], "sleep", timeout_s=0.2)
        self.assertLess(time.monotonic() - started, 5)


class Cores(unittest.TestCase):
    """Who gets which cores, and what is said where there are too few."""

    def on_machine(self, usable, siblings="", refuse=None, cgroup="", **files):
        """A machine with these usable processors; `siblings` and `cgroup` are what the kernel's files say."""
        def read(path):
            if "thread_siblings_list" in str(path):
                return siblings
            return cgroup if str(path) == "/proc/self/cgroup" else files.get(Path(path).name.replace(".", "_"), "")

        bound = [set(usable)]

        def bind(_process, processors):
            if refuse:
                raise refuse
            bound[0] = set(processors)

        patches = contextlib.ExitStack()
        for name, value in (("sched_getaffinity", lambda _process: bound[0]), ("sched_setaffinity", bind)):
            patches.enter_context(unittest.mock.patch.object(os, name, value))
        patches.enter_context(unittest.mock.patch.object(machine, "_read", read))
        return patches

    def test_a_loader_has_a_core_for_each_thread_and_the_server_the_others(self):
        for usable, threads, divided in (((0, 1), 1, ([0], [1])), ((1, 3, 5), 1, ([1, 3], [5])),
                                         ((0, 1, 2, 3), 2, ([0, 1], [2, 3])), ((0, 1), 9, ([0], [1])),
                                         ((1,), 1, ([1], [1]))):
            with self.on_machine(usable):
                self.assertEqual(machine.divided(threads), divided)

    def test_threads_of_one_core_are_not_divided_where_there_is_another_core(self):
        def read(path):
            return "0,2" if "cpu0/" in path or "cpu2/" in path else "1,3"

        with self.on_machine((0, 1, 2, 3)), unittest.mock.patch.object(machine, "_read", read):
            self.assertEqual(machine.divided(2), ([0, 2], [1]))
        with self.on_machine((0, 1), siblings="0-1"):
            self.assertEqual(machine.divided(1), ([0], [1]))
            self.assertEqual(machine.division(1).shared, "one core, whose hardware threads are processors 0,1")

    def test_cores_of_their_own_need_no_explanation(self):
        with self.on_machine((0, 1)):
            self.assertEqual(machine.division(1), machine.Division([0], [1], None))

    def test_what_prevents_it_is_named_and_nothing_is_bound(self):
        refusal = PermissionError(1, "Not permitted")
        for conditions, named in (({"usable": (1,)}, "core 1, the only one"),
                                  ({"usable": (0, 1), "refuse": refusal}, "sched_setaffinity: Not permitted")):
            with self.on_machine(**conditions):
                division = machine.division(1)
                self.assertEqual((division.server, division.loader, division.may_spin), (None, None, False))
                self.assertIn(named, division.shared)

    def test_a_loader_does_not_spin_where_that_uses_up_a_quota(self):
        with self.on_machine((0, 1), cgroup="0::/a/b", cpu_max="150000 100000"):
            self.assertEqual(machine.division(1),
                             machine.Division([0], [1], "a CPU quota of 1.50 cores (cgroup)", may_spin=False))

    def test_a_binding_without_effect_counts_as_refused(self):
        with self.on_machine((0, 1)), unittest.mock.patch.object(os, "sched_setaffinity", lambda *_: None):
            self.assertIn("without effect", machine.division(1).shared)

    def test_a_quota_is_read_in_both_versions_and_may_be_none(self):
        for cgroup, files, enough in (("0::/", {"cpu_max": "max 100000"}, True),
                                      ("0::/", {"cpu_max": "200000 100000"}, True),
                                      ("4:cpu,x:/", {"cpu_cfs_quota_us": "-1", "cpu_cfs_period_us": "100"}, True),
                                      ("4:cpu,x:/", {"cpu_cfs_quota_us": "50", "cpu_cfs_period_us": "100"}, False)):
            with self.on_machine((0, 1), cgroup=cgroup, **files):
                self.assertEqual(machine.division(1).shared is None, enough, (cgroup, files))

    def test_a_forbidden_question_for_the_affinity_is_no_error(self):
        with unittest.mock.patch.object(os, "sched_getaffinity", side_effect=PermissionError(1, "no")):
            self.assertEqual(machine.cores(), os.cpu_count())

    def test_a_child_runs_on_the_cores_it_is_given(self):
        code = "import os; print(f'listening on 127.0.0.1:{max(os.sched_getaffinity(0))}', flush=True); os.read(0, 1)"
        core = min(os.sched_getaffinity(0))
        with Server(python(code), [core]) as server:
            self.assertEqual(server.address, f"127.0.0.1:{core}")


class Quickstart(unittest.TestCase):
    def planned(self, division, cores, *flags):
        """What is planned with these flags where the cores are divided so."""
        with unittest.mock.patch.multiple(machine, division=lambda _threads: division, cores=lambda: cores), \
                unittest.mock.patch.object(sys, "argv", ["quickstart", *flags]):
            return quickstart.plan(quickstart.parse_arguments())[1]

    OWN, SHARED = machine.Division([0], [1]), machine.Division(None, None, "core 0", may_spin=False)

    def test_a_loader_with_cores_of_its_own_sends_by_a_schedule_and_spins(self):
        planned = self.planned(self.OWN, 2)
        self.assertEqual((planned["rate"], planned["threads"]), (quickstart.RATE, 1))
        self.assertEqual((planned["pin"], planned["pacing"]), ("1", "hybrid"))

    def test_one_without_sleeps_and_on_one_core_has_no_schedule(self):
        for cores, rate in ((2, quickstart.RATE), (1, None)):
            planned = self.planned(self.SHARED, cores)
            self.assertEqual((planned["rate"], planned["pin"], planned["pacing"]), (rate, None, "sleep"))

    def test_flags_go_before_defaults(self):
        self.assertEqual(self.planned(self.SHARED, 1, "--rate", "5k")["rate"], "5k")
        self.assertIsNone(self.planned(self.OWN, 2, "--rate", "closed")["rate"])
        self.assertEqual(self.planned(self.OWN, 8, "--rate", "closed")["threads"], 4)
        self.assertEqual(self.planned(self.OWN, 8, "--threads", "3", "--connections", "2")["threads"], 2)
        with self.assertRaises(argparse.ArgumentTypeError):
            quickstart.rate("fast")


class Building(unittest.TestCase):
    def test_compilers_get_another_folder_where_the_usual_one_is_read_only(self):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()) as said:
            for usual, chosen in ((folder, folder), (f"{folder}/missing", f"{folder}/tmp")):
                with unittest.mock.patch.dict(os.environ, {"TMPDIR": usual}):
                    programs.with_temporary_folder(Path(folder) / "tmp")
                    self.assertEqual(os.environ["TMPDIR"], chosen)
        self.assertEqual(said.getvalue().count("\n"), 1)


class Writing(unittest.TestCase):
    def test_the_index_is_newest_first_and_lists_a_folder_once(self):
        with tempfile.TemporaryDirectory() as folder:
            index = Path(folder) / "INDEX.md"
            for name in ("a", "b", "a"):
                results.add_to_index(index, name, "Why?", "a|b")
            text = index.read_text()
        self.assertEqual(text, results.INDEX_HEADER + "| [a](a/README.md) | Why? | a\\|b |\n"
                                                      "| [b](b/README.md) | Why? | a\\|b |\n")

    def test_the_index_has_a_long_answer_up_to_a_word(self):
        longest = "word " * 19 + "whole"
        self.assertEqual(results.cut(longest), longest)
        self.assertEqual(results.cut(longest + "s"), "word " * 18 + "word" + results.CUT)
        self.assertEqual(results.cut("word " * 30), "word " * 18 + "word" + results.CUT)
        self.assertLessEqual(len(results.cut("12345678 " * 30)), results.ANSWER_LENGTH_MAX)

    FINDINGS = results.Findings("Title", "Why?", "Because.", "| a |", [results.Picture("x", "an x", plot.Drawing("x", "", []))],
                                ["scripts/x.sh"], ["a note"])

    def test_results_are_published_whole_or_not_at_all(self):
        with tempfile.TemporaryDirectory() as parent, contextlib.redirect_stdout(io.StringIO()), \
                contextlib.redirect_stderr(io.StringIO()):
            out = Path(parent) / "new"
            with contextlib.suppress(KeyboardInterrupt), results.ResultFolder("test", out, quick=False, loadgen=None) as folder:
                staging = folder.raw.parent
                raise KeyboardInterrupt
            self.assertFalse(out.exists() or staging.exists())
            with stand_in_for_loadgen() as loadgen, \
                    results.ResultFolder("test", out, quick=False, loadgen=loadgen) as folder:
                folder.save("run", {"n": 0})
                folder.save("run", {"n": 1})
                self.assertEqual(folder.publish(self.FINDINGS, [("date", "today")], {}), out)
            self.assertEqual(sorted(path.name for path in out.iterdir()),
                             ["README.md", "plots", "raw.jsonl.xz", "summary.md"])
            self.assertEqual(list(raw.read(out / raw.NAME)), [("run.json", b'{\n  "n": 1\n}\n')])

    def test_what_was_recorded_before_a_failure_or_an_interruption_stays(self):
        for cause in (KeyboardInterrupt, child.Terminated, Failure):
            said = io.StringIO()
            with contextlib.redirect_stderr(said), contextlib.suppress(cause), \
                    results.ResultFolder("test", None, quick=False, loadgen=None) as folder:
                folder.save("run", [])
                raise cause
            packed = Path(said.getvalue().split()[-1])
            self.assertEqual(packed, folder.raw.parent / raw.NAME)
            self.assertEqual(list(raw.read(packed)), [("run.json", b"[]\n")])
            self.assertFalse(folder.raw.exists())
            shutil.rmtree(packed.parent)

    def test_a_result_names_its_question_machine_programs_and_plots(self):
        with stand_in_for_loadgen() as loadgen:
            files = self.FINDINGS.files([("date", "today"), ("x (SHA-256)", "0123")], loadgen)
        for part in ("**Question.** Why?", "**Answer.** Because.", "scripts/x.sh", "- date: today", "- a note"):
            self.assertIn(part, files["README.md"])
        self.assertIn("![an x](plots/x.svg)", files["summary.md"])

    def test_a_recorded_command_names_no_port(self):
        self.assertEqual(results.unported(["a", "127.0.0.1:4711", "http://127.0.0.1:80/", "127.0.0.1:0"]),
                         "a 127.0.0.1:PORT http://127.0.0.1:PORT/ 127.0.0.1:0")

    def test_a_cell_has_the_worst_verdict_of_its_runs_and_its_reason(self):
        runs = [{"verdict": "VALID", "reason": None}, {"verdict": "INVALID", "reason": "loader-late: p99 1 ms"}]
        summary = {"valid": 1, "suspect": 0, "invalid": 1}
        cell = sweeps.Cell({"workers": "2"}, summary, runs)
        self.assertEqual((cell.verdict, cell.reason), ("INVALID", "workers=2: loader-late: p99 1 ms"))
        self.assertIsNone(sweeps.Cell({}, {"valid": 2, "suspect": 0, "invalid": 0}, runs[:1]).verdict)

    def test_a_wrong_flag_is_one_line_and_status_2(self):
        parser = cli.Parser("x.sh", "what", "x.sh")
        said = io.StringIO()
        with self.assertRaises(SystemExit) as caught, contextlib.redirect_stderr(said):
            parser.parse_args(["--nonsense"])
        self.assertEqual((caught.exception.code, said.getvalue().count("\n")), (2, 1))

    def test_command_line_values_are_checked(self):
        self.assertEqual((cli.counts("1,2,4"), cli.core("0"), cli.choices("a", "b")("b,a")), ([1, 2, 4], 0, ["b", "a"]))
        for kind, text in ((cli.counts, "1,1"), (cli.count, "0"), (cli.core, "-1"), (cli.choices("a"), "c"),
                           (cli.duration, "3")):
            with self.assertRaises(argparse.ArgumentTypeError):
                kind(text)


class PercentileFiles(unittest.TestCase):
    """What the checker of .hgrm files lets pass."""

    GOOD = (
        "       Value     Percentile TotalCount 1/(1-Percentile)\n\n"
        "       1.000 0.000000000000          1           1.00\n"
        "       2.000 0.500000000000          2           2.00\n"
        "       9.000 1.000000000000          4\n"
        "#[Mean    =        1.000, StdDeviation   =        0.000]\n"
        "#[Max     =        9.000, Total count    =            4]\n"
        "#[Buckets =           26, SubBuckets     =         2048]\n"
    )

    def test_a_right_file_passes(self):
        hgrm.check(self.GOOD)

    def test_what_a_plotter_would_skip_or_misplace_is_refused(self):
        for old, new in [
            ("Percentile T", "Quantile T"),
            ("          2           2.00", "          2"),
            ("          4\n", "          4        Infinity\n"),
            ("       2.000 0.5", "       0.500 0.5"),
            ("           2.00", "           3.00"),
            ("       9.000 1.000000000000          4\n", ""),
            ("#[Max", "#[Most"),
            ("1.000 0.0", "1.000\t0.0"),
        ]:
            self.assertIn(old, self.GOOD)
            with self.assertRaises(ValueError, msg=f"{new!r} for {old!r}"):
                hgrm.check(self.GOOD.replace(old, new, 1))


if __name__ == "__main__":
    unittest.main()
