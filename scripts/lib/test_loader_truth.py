"""Tests of the theory and of the reports of loader_truth; nothing is started.

    python3 -B -m unittest discover --start-directory scripts/lib
"""

import contextlib
import io
import json
import random
import statistics
import tempfile
import unittest
import unittest.mock
from pathlib import Path

import loader_truth
import loader_truth_compare as compare
import loader_truth_confusion as confusion
import loader_truth_coverage as coverage
import loader_truth_overload as overload
import loader_truth_search as search
import other_servers
import queue_server
import queue_theory
import stats
from child import Failure
from loader_truth_situations import SITUATIONS
from loader_truth_study import Ran, Study
from queue_theory import M_D_1, M_M_1, Queue
from test_plot import described


def simulated_s(queue, requests, start_s=0.0):
    """Sorted response times of a queue by Lindley's recursion, which shares no formula with queue_theory."""
    generator, wait, found = random.Random(7), start_s, []
    for _ in range(requests):
        service = queue.service_s
        if queue.model == M_M_1:
            service = generator.expovariate(1 / queue.service_s)
        found.append(wait + service)
        wait = max(0.0, wait + service - generator.expovariate(queue.rate_per_s))
    return sorted(found)


def a_study(folder, seconds=0.0, rounds=None):
    """A study that writes to the folder."""
    return Study("coverage", {"now": "loadgen"}, "queue_server", "bare_epoll", 1, seconds, rounds, True, None, None,
                 Path(folder), Path(folder) / "coverage.jsonl", 4, 0.002)


class Theory(unittest.TestCase):
    def test_percentiles_are_those_of_a_simulated_queue(self):
        for model in (M_M_1, M_D_1):
            queue = Queue(model, 50.0, 0.7)
            found = simulated_s(queue, 200_000)
            for quantile, tolerance in ((0.5, 0.03), (0.9, 0.04), (0.99, 0.08)):
                expected = queue.response_s(quantile)
                self.assertAlmostEqual(found[int(quantile * len(found))] / expected, 1, delta=tolerance,
                                       msg=f"{model} at {quantile}")

    def test_the_mean_over_all_quantiles_is_that_of_pollaczek_and_khinchine(self):
        for model in (M_M_1, M_D_1):
            queue, steps = Queue(model, 1000.0, 0.8), 400
            mean = statistics.fmean(queue.response_s((step + 0.5) / steps) for step in range(steps))
            self.assertAlmostEqual(mean / queue.mean_response_s(), 1, delta=0.02)

    def test_long_waits_of_constant_service_are_exact_in_spite_of_large_terms(self):
        # The tail is exponential, so equal steps of the wait divide it by equal factors.
        tails = [1 - queue_theory.constant_wait_share(0.9, wait) for wait in (20, 40, 60)]
        self.assertAlmostEqual(tails[1] / tails[0], tails[2] / tails[1], places=4)
        self.assertLess(tails[2], 1e-5)

    def test_a_queue_begins_empty_as_often_as_it_is_idle(self):
        for model in (M_M_1, M_D_1):
            queue = Queue(model, 80.0, 0.8)
            self.assertEqual(queue.backlog_s(0.19), 0)
            self.assertGreater(queue.backlog_s(0.21), 0)
            backlogs = [queue.backlog_s((step + 0.5) / 200) for step in range(200)]
            expected = queue.mean_response_s() - queue.service_s
            self.assertAlmostEqual(statistics.fmean(backlogs) / expected, 1, delta=0.05)

    def test_the_largest_rate_meets_its_objective_and_no_higher_one_does(self):
        rate = queue_theory.largest_rate_per_s(0.010, 0.99, 0.050)
        below, above = (Queue(M_D_1, rate * factor, rate * factor * 0.010) for factor in (0.999, 1.001))
        self.assertLess(below.response_s(0.99), 0.050)
        self.assertGreater(above.response_s(0.99), 0.050)
        with self.assertRaises(ValueError):
            queue_theory.largest_rate_per_s(0.010, 0.99, 0.010)

    def test_equal_response_times_of_requests_that_do_not_wait_are_no_percentile(self):
        found = [Queue(model, 80, 0.5).is_unqueued(quantile) for model in (M_D_1, M_M_1) for quantile in (0.5, 0.9)]
        self.assertEqual(found, [True, False, False, False])
        unqueued = coverage_record({"p50": [90, 110]})
        del unqueued["true_ns"]["p50"]
        self.assertEqual(coverage.coverage_of([unqueued], "p50").printed, 0)

    def test_a_service_time_is_a_flag_of_the_server(self):
        self.assertEqual(Queue(M_M_1, 80, 0.8).service, "exp:10000000ns")
        self.assertEqual(Queue(M_D_1, 10_000, 0.5).service, "constant:50000ns")


class Shares(unittest.TestCase):
    def test_the_interval_of_a_share_is_wilsons(self):
        found = stats.share(45, 50)
        self.assertEqual((found.median, round(found.low, 4), round(found.high, 4)), (0.9, 0.7864, 0.9565))
        self.assertEqual((stats.share(0, 10).low, round(stats.share(10, 10).high, 9)), (0.0, 1.0))
        self.assertIsNone(stats.share(0, 0))
        self.assertEqual(stats.percent(found), "90.0 % [78.6..95.7]")


LOG = """request connection arrival_ns begin_ns completion_ns sent_ns outcome
1 0 200 300 400 410 reply
0 0 100 100 300 310 reply
2 1 500 500 900 0 dropped
"""


class Server(unittest.TestCase):
    def test_a_log_is_read_in_the_order_of_arrival(self):
        requests = queue_server.read_log(LOG)
        self.assertEqual([request.response_ns for request in requests], [200, 200, 400])
        self.assertEqual(queue_server.mean_response_ns(requests, 2), 200)  # the one that was dropped has no response
        self.assertIsNone(queue_server.mean_response_ns(requests, 0))
        for text in ("", "times\n", LOG + "3 0 1\n"):
            with self.assertRaises(Failure):
                queue_server.read_log(text)

    def test_a_server_has_only_the_flags_that_were_asked_for(self):
        plain = queue_server.QueueServer("queue_server", "exp:1ms").argv
        self.assertEqual(plain, ["queue_server", "--service", "exp:1ms", "--servers", "1", "--seed", "1"])
        faults = ("--reset-share", "1")
        full = queue_server.QueueServer("queue_server", "exp:1ms", 2, 3, 0.0015, True, "times.txt", faults)
        self.assertEqual(" ".join(full.argv[3:]), "--servers 2 --seed 3 --backlog 1500000ns --log times.txt --spin "
                                                  "--reset-share 1")

    def test_a_report_that_lacks_a_figure_is_named(self):
        with self.assertRaises(Failure):
            queue_server.parse_summary('{"requests": 1}')


def coverage_record(intervals, verdict="VALID", overhead_ns=0, loader="now"):
    """A record of coverage with these intervals; the true p50 is 100 ns, p90 200 ns, p99 300 ns."""
    return {"loader": loader, "model": M_M_1, "utilisation": 0.5, "rate_per_s": 80, "seconds": 12, "verdict": verdict,
            "overhead_ns": overhead_ns, "true_ns": {"p50": 100, "p90": 200, "p99": 300},
            "latency_ns": {"ci95": intervals}}


class Coverage(unittest.TestCase):
    def test_intervals_are_counted_by_where_the_true_value_is(self):
        records = [coverage_record({"p50": interval} if interval else {}) for interval in
                   ([90, 110], [101, 110], [90, 99], [90, None], [101, None], None)]
        found = coverage.coverage_of(records, "p50")
        self.assertEqual((found.inside, found.below, found.above, found.missing, found.open), (2, 2, 1, 1, 2))
        self.assertEqual(found.share.median, 0.4)

    def test_the_overhead_of_the_sockets_moves_the_true_value(self):
        records = [coverage_record({"p50": [105, 110]}, overhead_ns=7)]
        self.assertEqual(coverage.coverage_of(records, "p50").inside, 0)
        self.assertEqual(coverage.coverage_of(records, "p50", with_overhead=True).inside, 1)

    def test_a_run_that_the_loader_calls_invalid_is_counted_apart(self):
        records = [coverage_record({"p50": [1, 2]}, verdict) for verdict in ("VALID", "SUSPECT", "INVALID")]
        self.assertEqual(coverage.coverage_of(records, "p50").printed, 2)
        self.assertIn("3 runs, of which 1 are INVALID", coverage.report(records).body)

    def test_a_report_without_any_interval_has_no_share(self):
        section = coverage.report([coverage_record({})])
        self.assertIn("p50 –", section.answer)
        self.assertIsNone(section.pictures[0][2])

    def test_two_builds_have_rows_of_their_own(self):
        section = coverage.report([coverage_record({"p50": [90, 110]}, loader=name) for name in ("before", "after")])
        self.assertIn("| before |", section.body)
        self.assertIn("| after  |", section.body)
        self.assertTrue(described(section.pictures[0][2])["charts"][0]["rows"])


def comparison(difference, judgement, runs=5):
    """A record of a comparison."""
    return {"loader": "now", "difference": difference, "runs": runs, "judgement": judgement,
            "findings": {"p99": judgement}}


class Compare(unittest.TestCase):
    def test_false_alarms_and_power_are_counted_apart(self):
        records = ([comparison("none", judgement) for judgement in ["slower", "faster"] + ["undecided"] * 38]
                   + [comparison("+20 %", judgement) for judgement in ["slower"] * 3 + ["same"]])
        section = compare.report(records)
        self.assertIn("false alarms 5.0 % [1.4..16.5]", section.answer)
        self.assertIn("+20 % in 75 % (5 runs)", section.answer)
        self.assertIn("p99 2", section.body)
        self.assertTrue(described(section.pictures[0][2])["charts"][0]["rows"])

    def test_both_sides_of_a_false_alarm_share_no_run(self):
        drawn = compare.halves(random.Random(1).sample(range(20), 10))
        self.assertEqual(len(set(drawn[0]) | set(drawn[1])), 10)

    def test_builds_compare_the_same_draws_in_turns_until_the_time_is_over(self):
        pools = {config: [Path(f"{config}-{number}.json") for number in range(12)] for config in compare.SLOWER}
        made = []
        with contextlib.redirect_stderr(io.StringIO()), \
                unittest.mock.patch("loader_truth_compare.compare", lambda _study, draws: made.extend(draws) or []):
            study = a_study("/", seconds=-1.0)
            draws = [compare.draws_of(study, name, pools) for name in ("before", "after")]
            self.assertEqual([draw.a for draw in draws[0]], [draw.a for draw in draws[1]])
            self.assertEqual({(draw.runs, draw.difference) for draw in draws[0]},
                             {(size, difference) for size in (5, 8, 10) for difference in
                              ("none", "+5 %", "+10 %", "+20 %")})
            self.assertFalse(any(set(draw.a) & set(draw.b) for draw in draws[0]))
            compare.compare_all(study, 100 * draws[0])
            self.assertEqual(len(made), compare.LEAST_COMPARISONS)
            compare.compare_all(a_study("/", rounds=1), draws[0])
            self.assertEqual(len(made), compare.LEAST_COMPARISONS + len(draws[0]))

    def test_nothing_was_compared_if_there_are_too_few_runs(self):
        section = compare.report([{"loader": "now", "server": "A", "compared": False}])
        self.assertIn("nothing was compared", section.answer)
        self.assertIn("1 runs, of which 1 are INVALID", section.body)

    def test_a_comparison_without_a_judgement_is_a_failure(self):
        self.assertEqual(compare.parse('{"judgement": "same", "findings": [{"metric": "p50", "judgement": "same"}]}'),
                         ("same", {"p50": "same"}))
        with self.assertRaises(Failure):
            compare.parse('{"findings": []}')


class Search(unittest.TestCase):
    RECORD = {"schema": "loadgen-search/1", "elapsed_s": 50.0,
              "answer": {"rate_per_s": 57.0, "end": "found", "limit": "objective", "confirmed": 3},
              "probes": [{"rate_per_s": 57.0, "stage": "rates", "latency_ns": {"p50": 1}}]}

    def record(self, rate, end="found", limit="objective"):
        return {"loader": "now", "service_s": 0.01, "true_per_s": 56.0, **search.parse(json.dumps(self.RECORD)),
                "rate_per_s": rate, "end": end, "limit": limit}

    def test_the_plain_fields_of_a_probe_are_kept(self):
        self.assertEqual(search.parse(json.dumps(self.RECORD))["probes"], [{"rate_per_s": 57.0, "stage": "rates"}])
        with self.assertRaises(Failure):
            search.parse("{}")

    def test_an_answer_keeps_its_qualifier(self):
        section = search.report([self.record(57.0), self.record(40.0, "time-up", None),
                                 self.record(None, "none-is-good")])
        self.assertIn("1 of 3 within 5 %", section.answer)
        self.assertIn("40 (time-up)", section.body)
        self.assertIn("none (objective)", section.body)

    def test_the_kernel_gives_no_outgoing_connection_the_port_of_a_server_that_starts_again(self):
        ports = other_servers.lasting_ports(3)
        first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        self.assertEqual(len(set(ports)), 3)
        self.assertLess(max(ports), first_outgoing)

    def test_no_rate_within_the_limit_of_the_loader_is_none(self):
        self.assertEqual(search.answer_of(self.record(None, "none-is-good", "loader")).words, "none (loader)")


def confused(reasons=(), notes=(), expected=("loader",), verdict="SUSPECT", status=0, errors=""):
    """A record of the confusion table."""
    record = {"situation": "quiet", "loop": "open", "loader": "now", "expected": list(expected), "verdict": verdict,
              "status": status, "errors": errors,
              "reasons": [{"code": code, "text": text} for code, text in reasons],
              "notes": [{"code": code, "text": text} for code, text in notes]}
    return {**record, "blame": confusion.blame(record)}


class Confusion(unittest.TestCase):
    def test_blame_follows_from_the_codes(self):
        for reasons, notes, blamed in (
            ([("loader-late", "")], [], "loader"),
            ([("loader-stalled", "")], [("few-samples", "")], "loader"),
            ([("not-steady", "")], [], "none"),
            ([], [("overloaded", "")], "server"),
            ([("errors", ""), ("steal", "")], [], "loader, server"),
            ([], [("loader-late", "p99.9 is the loader's")], "none"),
            ([("below-rate", "the loader could not keep up")], [], "loader"),
            ([("below-rate", "the others were lost to errors")], [], "server"),
        ):
            self.assertEqual(confused(reasons, notes)["blame"], blamed, (reasons, notes))

    def test_a_failure_without_a_record_blames_the_server_if_it_names_it(self):
        failed = dict(verdict="none", status=1)
        self.assertEqual(confused(**failed, errors="error: connect to 127.0.0.1:1: refused")["blame"], "server")
        self.assertEqual(confused(**failed, errors="error: panic")["blame"], "loader")

    def test_a_server_at_fault_does_not_excuse_a_blame_of_the_loader(self):
        server = ("server", "none")
        for reasons, expected, right in (
            ([], server, True), ([("errors", "")], server, True), ([("loader-late", "")], server, False),
            ([("errors", ""), ("loader-late", "")], server, False), ([], ("server",), False),
            ([("loader-late", "")], ("loader",), True), ([("errors", ""), ("loader-late", "")], ("loader",), False),
        ):
            self.assertEqual(confusion.is_right(confused(reasons, expected=expected)), right, (reasons, expected))

    def test_the_table_has_verdicts_codes_and_notes(self):
        section = confusion.report([confused([("loader-late", "")], [("co-located", "")]), confused(verdict="VALID")])
        self.assertIn("1 of 2", section.body)
        self.assertIn("loader-late (co-located)", section.body)
        self.assertIn("1 SUSPECT, 1 VALID", section.body)
        self.assertTrue(described(section.pictures[0][2])["charts"][0]["rows"])

    def test_situations_have_names_of_their_own_and_a_quick_run_has_some(self):
        names = [situation.name for situation in SITUATIONS]
        self.assertEqual(len(set(names)), len(names))
        self.assertLessEqual(set(confusion.QUICK_SITUATIONS), set(names))


class Overload(unittest.TestCase):
    def test_a_rate_that_depends_on_the_drain_is_named(self):
        def answer(*rates):
            return overload.report([{"loader": "now", "drain": drain, "rate": {"achieved_per_s": rate}}
                                    for drain, rate in zip(overload.DRAINS, rates, strict=True)]).answer

        self.assertIn("now 995 to 1,004/s by drain, within 2 %", answer(995, 1_000, 1_004, 1_000))
        self.assertIn("now 950 to 1,500/s by drain, not within 2 %", answer(950, 1_000, 1_500, 1_500))


class Script(unittest.TestCase):
    def test_a_study_takes_one_round_at_least_and_no_more_than_fit(self):
        with contextlib.redirect_stderr(io.StringIO()):
            self.assertEqual(list(a_study("/").each_round()), [0])
            self.assertEqual(list(a_study("/", rounds=3).each_round()), [0, 1, 2])
            with unittest.mock.patch("loader_truth_study.time.monotonic", iter(range(0, 1_000, 10)).__next__):
                self.assertEqual(list(a_study("/", seconds=45).each_round()), [0, 1, 2])

    def test_equal_keys_have_equal_seeds_and_others_do_not(self):
        def drawn(*key):
            return a_study("/").random(*key).random()

        self.assertEqual(drawn("A", 1), drawn("A", 1))
        self.assertNotEqual(drawn("A", 1), drawn("A", 2))

    def test_builds_that_are_compared_measure_the_same_seeds(self):
        study = a_study("/")
        study.loaders = {"before": "before/loadgen", "after": "after/loadgen"}
        shape = coverage.Shape(80, 2, 2)
        jobs = [coverage.job(study, coverage.Cell(name, M_D_1, 0.8, shape, 0), Path("/x/times.txt"))
                for name in study.loaders]
        self.assertEqual(jobs[0].server.argv, jobs[1].server.argv)
        self.assertEqual(jobs[0].load.flags, jobs[1].load.flags)

    def test_each_record_is_a_line_at_once(self):
        with tempfile.TemporaryDirectory() as folder:
            study = a_study(folder)
            study.save({"n": 1})
            study.save({"n": 2})
            lines = study.lines.read_text().splitlines()
        self.assertEqual([json.loads(line) for line in lines], study.records)

    def test_builds_have_names(self):
        self.assertEqual(loader_truth.named_loader("before=/x/loadgen"), ("before", Path("/x/loadgen")))
        self.assertEqual(loader_truth.named_loader("/x/loadgen")[0], "loadgen")

    def test_recorded_commands_have_no_paths_of_this_machine(self):
        self.assertEqual(str(loader_truth.below_root(loader_truth.programs.ROOT / "target/release/loadgen")),
                         "target/release/loadgen")
        self.assertEqual(loader_truth.below_root("/x/loadgen"), "PATH")

    def test_an_interrupted_study_keeps_its_records_and_ends_the_others(self):
        def interrupted(study):
            study.save(coverage_record({"p50": [90, 110]}))
            raise KeyboardInterrupt

        args = unittest.mock.Mock(studies=["coverage", "compare"], minutes=1, rounds=None, seed=1, quick=True,
                                  comparisons=1, search_service="2ms")
        with tempfile.TemporaryDirectory() as raw, contextlib.redirect_stderr(io.StringIO()), \
                unittest.mock.patch("loader_truth.programs.compile_peer"), \
                unittest.mock.patch("loader_truth_coverage.run", interrupted):
            records, errors = loader_truth.run_studies(args, {}, None, unittest.mock.Mock(raw=Path(raw)))
        self.assertIsInstance(errors[0], KeyboardInterrupt)
        self.assertEqual((list(records), len(records["coverage"])), (["coverage"], 1))
        args = unittest.mock.MagicMock(studies=["coverage"], loadgen=None)
        findings = loader_truth.findings_of(args, {}, records, errors)
        self.assertIn("It was interrupted.", findings.notes[0])
        self.assertIsNone(loader_truth.findings_of(args, {}, {"coverage": []}, errors))

    def test_a_run_without_a_record_is_named_and_not_counted(self):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            study = a_study(folder)
            study.save_failure("now", Ran(None, 1, "connect: refused", ""))
            study.save(coverage_record({"p50": [90, 110]}))
        args = unittest.mock.MagicMock(studies=["coverage"], loadgen=None)
        findings = loader_truth.findings_of(args, {}, {"coverage": study.records}, [])
        self.assertIn("1 runs, of which 0 are INVALID", findings.body)
        self.assertIn("coverage: 1 runs left no record and are not counted. The first message: connect: refused",
                      findings.notes)
        self.assertIsNone(loader_truth.findings_of(args, {}, {"coverage": study.records[:1]}, []))

    def test_a_study_that_fails_does_not_end_the_others(self):
        def failing(_study):
            raise Failure("loadgen did not end")

        args = unittest.mock.Mock(studies=["compare", "overload"], minutes=1, rounds=None, seed=1, quick=True,
                                  comparisons=1, search_service="2ms")
        overloaded = {"loader": "now", "drain": "2s", "rate": {"achieved_per_s": 1_000.0}}
        with tempfile.TemporaryDirectory() as raw, contextlib.redirect_stderr(io.StringIO()), \
                unittest.mock.patch("loader_truth.programs.compile_peer"), \
                unittest.mock.patch("loader_truth_compare.run", failing), \
                unittest.mock.patch("loader_truth_overload.run", lambda study: study.save(overloaded)):
            records, errors = loader_truth.run_studies(args, {}, None, unittest.mock.Mock(raw=Path(raw)))
        self.assertEqual((records["compare"], records["overload"]), ([], [overloaded]))
        args = unittest.mock.MagicMock(studies=args.studies, loadgen=None)
        findings = loader_truth.findings_of(args, {}, records, errors)
        self.assertIn("loadgen did not end", findings.notes[0])


if __name__ == "__main__":
    unittest.main()
