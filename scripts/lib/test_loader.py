"""Tests of what the scripts do with the loader, and of those that are about it; nothing is started.

    python3 -B -m unittest discover --start-directory scripts/lib
"""

import base64
import json
import struct
import unittest
import zlib

import fault
import hlog
import loader
import loaders_report
import memory
import other_loaders
import pacing_report
import plot
import stall
import stats
import sweeps
import threads_report
import tokio_timer
from child import Failure
from test_plot import described


def record(verdict="VALID", reasons=(), **counters):
    """The loader's record, as far as the scripts read it."""
    latency = dict.fromkeys(("p50", "p90", "p99", "p999", "p9999", "max", "mean", "count"))
    return {
        "schema": "loadgen/3",
        "validity": {"verdict": verdict, "reasons": [{"code": code} for code in reasons], "labels": []},
        "rate": {"achieved_per_s": 1.0},
        "latency_ns": {"response": latency, "lateness": latency, "service": {**latency, "p50": 2000, "mean": 3000}},
        "counters": {"completed": 1, "failed": 0, "timed_out": 0, "censored": 0, **counters},
        "runs": [{"threads": [{"cpu_share": 0.5}, {"cpu_share": 0.7}], "intervals": []}],
    }


class Loader(unittest.TestCase):
    def test_a_report_has_what_the_scripts_read(self):
        report = loader.parse(json.dumps(record()))
        self.assertEqual((report.service_us("p50"), report.service_us("p999"), report.busiest_thread_share),
                         (2, None, 0.7))

    def test_a_report_with_lost_requests_is_refused(self):
        lost = [json.dumps(record(**{name: 1})) for name in ("failed", "timed_out", "censored")]
        old = json.dumps({**record(), "schema": "loadgen/1"})
        for text in (*lost, old, "{}", "no JSON"):
            with self.assertRaises(Failure):
                loader.parse(text)

    def test_a_verdict_is_passed_on_and_not_judged(self):
        reports = [loader.parse(json.dumps(record(*how))) for how in
                   (("VALID",), ("SUSPECT", ["steal"]), ("SUSPECT", ["loader-cpu", "steal"]))]
        self.assertEqual(loader.verdicts(reports), "1 VALID, 2 SUSPECT (loader-cpu, steal)")

    def test_what_is_not_asked_for_is_no_flag(self):
        load = loader.Load("loadgen", pipeline=None, rate="2k", arrival="constant", core=1)
        words = load.measured_argv("127.0.0.1:9")
        self.assertEqual(words[:6], ["taskset", "-c", "1", "loadgen", "run", "127.0.0.1:9"])
        self.assertIn("--rate 2k --arrival constant", " ".join(words))
        self.assertNotIn("--pipeline", words)


WRK = """Running 1s test @ http://127.0.0.1:1/
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   730.30us  696.28us  15.05ms   96.38%
  Latency Distribution
     50%    1.50ms
     99%    4.45ms
  62860 requests in 1.00s, 17.98MB read
Requests/sec:  62650.12
"""
H2LOAD = """finished in 1.00s, 33257.00 req/s, 9.71MB/s
requests: 33257 total, 33307 started, 33257 done, 33257 succeeded, 0 failed, 0 errored, 0 timeout
                     min         max         mean         sd        +/- sd
time for request:      179us     14.37ms      1.43ms       691us    92.11%
time for connect:     9.02ms     29.25ms     19.04ms      5.96ms    58.00%
"""
MEMTIER = {"ALL STATS": {"Totals": {"Count": 9, "Ops/sec": 4.5, "Average Latency": 0.25,
                                    "Percentile Latencies": {"p50.00": 0.5}}}}
REDIS = '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms"\n"PING_MBULK","57670.13","0.563","0.160","0.519"\n'


class OtherLoaders(unittest.TestCase):
    def run_of(self, cpu_s, rate=100.0, p50_us=100.0, report=None):
        """A run of 1,000 requests."""
        return other_loaders.Run(["x"], other_loaders.Summary(1000, rate, p50_us, 200.0, report), cpu_s, "")

    def measured(self, ours_s, theirs_s, **of_ours):
        """One round in each case, with these CPU times of loadgen and of the other loader."""
        report = loader.parse(json.dumps(record("SUSPECT", ["closed-loop"])))
        names = {"http": "wrk", "echo": "echo_client", "ping": "redis-benchmark"}
        runs = {case: {"loadgen": [self.run_of(ours_s, report=report, **of_ours)], name: [self.run_of(theirs_s)]}
                for case, name in names.items()}
        return loaders_report.Measured(names, runs, {case: case for case in names})

    def test_what_others_print_is_read(self):
        self.assertEqual(other_loaders.parse_wrk(WRK), other_loaders.Summary(62860, 62650.12, 1500, 730.3))
        self.assertEqual(other_loaders.parse_redis_benchmark(REDIS, 7), other_loaders.Summary(7, 57670.13, 519, 563))
        self.assertEqual(other_loaders.parse_h2load(H2LOAD), other_loaders.Summary(33257, 33257, None, 1430))
        self.assertEqual(other_loaders.parse_memtier(json.dumps(MEMTIER)), other_loaders.Summary(9, 4.5, 500, 250))
        self.assertEqual(other_loaders.parse_echo_client('{"requests": 8, "service_mean_ns": 7000}', 2),
                         other_loaders.Summary(8, 4, None, 7))
        self.assertEqual(other_loaders.parse_loadgen(json.dumps(record())).p50_us, 2)

    def test_what_is_no_report_is_refused(self):
        errors = WRK + "  Socket errors: connect 0, read 3, write 0, timeout 0\n"
        failed = H2LOAD.replace("33257 succeeded, 0 failed", "33256 succeeded, 1 failed")
        for parse, text in ((other_loaders.parse_h2load, failed), (other_loaders.parse_h2load, ""),
                            (other_loaders.parse_memtier, "{}"), (other_loaders.parse_wrk, ""), (other_loaders.parse_wrk, errors),
                            (lambda text: other_loaders.parse_redis_benchmark(text, 1), "no CSV"),
                            (lambda text: other_loaders.parse_echo_client(text, 1), "{}")):
            with self.assertRaises(Failure):
                parse(text)

    def test_what_is_not_in_flight_waits_in_the_loader(self):
        run = other_loaders.Run(["x"], other_loaders.Summary(1000, 50_000, 300, 400, None), 0.01, "")
        self.assertEqual((run.in_flight, run.cpu_share), (20, 0.5))

    def test_a_cost_has_a_limit_and_a_cross_check_has_two(self):
        def said(measured):
            return [words for _case, _target, _ratio, words in measured.judged()]

        self.assertEqual(said(self.measured(0.95, 1.0)), ["met in every round"] * 4)
        self.assertEqual(said(self.measured(1.05, 1.0, rate=120.0, p50_us=80.0)),
                         ["not met in any round", "met in every round", "not met in any round", "not met in any round"])

    def test_the_loader_s_own_verdict_stands_beside_its_figures(self):
        measured = self.measured(1.0, 1.0)
        args = type("Args", (), {"server_core": 0, "loader_core": 1})
        self.assertIn("3 SUSPECT (closed-loop)", loaders_report.notes(args, measured)[-1])
        self.assertIn("CO-LOCATED", loaders_report.body(measured))
        self.assertTrue(described(loaders_report.picture(measured))["charts"][0]["rows"])


class Lateness(unittest.TestCase):
    def run_of(self, p999_us, report=None):
        """A run whose p99.9 is this."""
        return pacing_report.Run({**dict.fromkeys(tokio_timer.QUANTILES, 1.0), "p999": p999_us}, 0.5, report)

    def test_the_peer_s_report_is_read_and_must_be_of_answered_requests(self):
        lateness = {"p50": 1000, "p99": 2000, "p999": 3000, "max": 4000}
        values = {"requests": 5, "answered": 7, "lateness_ns": lateness}
        self.assertEqual(tokio_timer.parse(json.dumps(values))["p999"], 3)
        for text in ("", "{}", json.dumps({**values, "answered": 4})):
            with self.assertRaises(Failure):
                tokio_timer.parse(text)

    def test_lateness_is_judged_and_compared_with_the_peer_s(self):
        report = loader.parse(json.dumps(record()))
        runs = {"sleep, constant": [self.run_of(60.0, report)], "spin, constant": [self.run_of(5.0, report)],
                "tokio_timer": [self.run_of(1000.0)]}
        measured = pacing_report.Measured(runs, 20_000)
        self.assertEqual(measured.ratio("spin, constant").median, 0.005)
        self.assertIn("sleep, constant 60.0 µs (not met in any round); spin, constant 5.0 µs (met in every round)",
                      pacing_report.answer(measured))
        self.assertIn("1 VALID", pacing_report.body(measured))
        self.assertTrue(described(pacing_report.picture(measured))["charts"][0]["rows"])

    def test_a_percentile_without_support_is_missing_and_not_met(self):
        runs = {"sleep": [self.run_of(None, loader.parse(json.dumps(record())))], "tokio_timer": [self.run_of(1.0)]}
        self.assertIn(f"sleep {stats.MISSING} µs ({stats.MISSING})",
                      pacing_report.answer(pacing_report.Measured(runs, 1)))


def encoded(numbers, digits=3):
    """A histogram as the libraries write it, of counts (and, negative, of runs of zeros)."""
    payload = b""
    for number in numbers:
        zigzag = (number << 1) ^ (number >> 63)
        while zigzag > 0x7F:
            payload += bytes([zigzag & 0x7F | 0x80])
            zigzag >>= 7
        payload += bytes([zigzag])
    plain = hlog.HEADER.pack(hlog.V2, len(payload), 0, digits, 1, 10**9, 1.0) + payload
    packed = zlib.compress(plain)
    return base64.b64encode(struct.pack(">II", hlog.COMPRESSED, len(packed)) + packed).decode()


class Stalls(unittest.TestCase):
    def test_an_interval_log_is_read_by_tag(self):
        lines = ["#[Histogram log format version 1.3]", '"StartTimestamp","Interval_Length","Interval_Max","x"',
                 f"Tag=response,0.000,1.000,0.1,{encoded([-5, 300, 0, 1])}",
                 f"Tag=response,1.000,1.000,0.1,{encoded([-5, 1])}", f"0.000,1.000,0.1,{encoded([2])}"]
        found = hlog.read("\n".join(lines))
        self.assertEqual(found["response"], hlog.Samples({5: 301, 7: 1}))
        self.assertEqual(found[""], hlog.Samples({0: 2}))
        for line in ("Tag=x,0.0,1.0,0.1,AAAA", "Tag=x,0.0", "0.0,1.0,0.1,?"):
            with self.assertRaises(Failure):
                hlog.read(line)

    def test_large_values_are_read_as_the_top_of_their_bucket(self):
        # With three digits 2,048 values stand alone; then 1,024 buckets of two, then of four.
        self.assertEqual(hlog.decode(encoded([-2047, 1, 1, -1023, 1])), {2047: 1, 2049: 1, 4099: 1})

    def test_the_ninth_byte_of_a_count_is_taken_whole(self):
        self.assertEqual(list(hlog.zigzag_numbers(bytes([0x80] * 9 + [2]))), [2**62, 1])

    def test_samples_have_quantiles_and_a_tail(self):
        samples = hlog.Samples({1: 90, 5: 9, 100: 1})
        self.assertEqual([samples.quantile(q) for q in (0.5, 0.9, 0.91, 0.99, 1)], [1, 1, 5, 5, 100])
        self.assertEqual((samples.above(1), samples.above(5), samples.above(100)), (10, 1, 0))

    def test_a_tenth_of_the_run_waits_up_to_the_length_of_the_stall(self):
        found = [round(stall.expected_s(quantile, 1.0, 10.0), 9) for quantile in (0.5, 0.9, 0.95, 0.99, 1)]
        self.assertEqual(found, [0, 0, 0.5, 0.9, 1.0])

    def stalled(self, hidden, late=1.0):
        """What is found of a run as theory has it, or `late` times as long, with so many service times in the stall."""
        report = loader.parse(json.dumps(record()))
        report.values["args"] = {"duration_s": 10.0}
        report.values["latency_ns"]["response"]["p99"] = round(900_000_000 * late)
        waits = {1: 18_000} | {round((ms + 1) * 1_000_000 * late): 2 for ms in range(1000)}
        samples = {"response": hlog.Samples(waits), "service": hlog.Samples({1: 20_000, 900_000_000: hidden})}
        outcome = fault.Outcome()
        stall.check(stall.CASES[1], report, samples, 1.0, outcome)
        return outcome

    def test_theory_passes_and_a_service_time_that_shows_the_stall_fails(self):
        self.assertEqual(stall.answer(self.stalled(64)), "5 of 5 checks passed.")
        self.assertIn("at most one service time above 100 ms per connection (found 2,000)",
                      stall.answer(self.stalled(2000)))
        self.assertFalse(self.stalled(0).passed)

    def test_percentiles_that_are_off_fail(self):
        self.assertTrue(self.stalled(64, late=1.04).passed)
        failed = [check.claim for check in self.stalled(64, late=1.06).checks if not check.passed]
        self.assertEqual([claim.partition("response ")[2][:3] for claim in failed[:2]], ["p95", "p99"])


class Sweeps(unittest.TestCase):
    def cell(self, workers, rate, **more):
        """A cell of a sweep.json."""
        known = {"median": 2000.0, "least": 1000.0, "most": 4000.0}
        summary = {"runs": 3, "valid": 2, "suspect": 0, "invalid": 1, "with_errors": 0, "balance": None,
                   **dict.fromkeys(("achieved_per_s", "p50_ns", "p99_ns", "p999_ns", "server_cpu_us_per_request"), known)}
        settings = [{"name": "workers", "value": str(workers)}, {"name": "rate", "value": rate}]
        runs = [*({"verdict": "VALID", "reason": None} for _ in range(2)),
                {"verdict": "INVALID", "reason": "loader-late: p99 1 ms; more threads"}]
        return {"settings": settings, "summary": {**summary, **more}, "runs": runs}

    def sweep(self, *cells, **more):
        """A sweep.json."""
        return json.dumps({"schema": "loadgen-sweep/1", "complete": True, "cells": cells, **more})

    def search(self, **answer):
        """A search.json."""
        answer = {"rate_per_s": 12_300.0, "end": "found", "limit": "objective", "qualifier": None, **answer}
        return json.dumps({"schema": "loadgen-search/1", "answer": answer, "probes": [1, 2]})

    def test_a_sweep_is_read_by_its_settings(self):
        (cell,) = sweeps.parse_sweep(self.sweep(self.cell(2, "closed")))
        self.assertEqual(cell.settings, {"workers": "2", "rate": "closed"})
        self.assertEqual((cell.spread("p99_ns", 1e-3), cell.spread("balance")), (stats.Spread(2, 1, 4, 3), None))
        self.assertEqual(cell.verdicts, "2 VALID, 1 INVALID")

    def test_half_a_sweep_or_one_with_lost_requests_is_refused(self):
        for text in (self.sweep(complete=False), self.sweep(self.cell(1, "1k", with_errors=1)), "", "{}",
                     self.search(), '{"schema": "loadgen-sweep/1"}'):
            with self.assertRaises(Failure):
                sweeps.parse_sweep(text)

    def test_an_answer_says_why_it_is_no_more(self):
        found = [sweeps.parse_search(self.search(**how)).words for how in (
            {}, {"limit": "loader", "qualifier": "at-least"},
            {"end": "time-up", "limit": None, "qualifier": "not-confirmed"},
            {"qualifier": "not-confirmed"}, {"rate_per_s": None, "end": "none-is-good"})]
        self.assertEqual(found, ["12,300", "≥ 12,300 (loader)", "12,300 (time-up, not confirmed)",
                                 "12,300 (not confirmed)", "none (objective)"])
        with self.assertRaises(Failure):
            sweeps.parse_search(self.search(end="failed"))

    def test_worker_counts_are_compared_and_no_scaling_is_claimed_on_few_cores(self):
        cells = sweeps.parse_sweep(self.sweep(*(self.cell(count, rate) for rate in ("closed", "5000")
                                                for count in (2, 1))))
        peak, curves = threads_report.split(cells, [1, 2])
        self.assertEqual([curves[count][0].settings["rate"] for count in (1, 2)], ["5000", "5000"])
        answers = {1: [sweeps.parse_search(self.search())], 2: [sweeps.parse_search(self.search(rate_per_s=None))]}
        measured = threads_report.Measured([1, 2], peak, curves, answers, "p99<5ms", [0], [1])
        self.assertIn("1 worker: peak 2,000 [1,000..4,000] req/s, 12,300 req/s with p99<5ms",
                      threads_report.answer(measured))
        self.assertIn("too few cores to say how the server scales", threads_report.answer(measured))
        self.assertEqual(threads_report.body(measured).count("server on core 0, loader on core 1"), 3)
        picture = described(threads_report.picture(measured))
        self.assertIn("; INVALID: workers=1 rate=closed: loader-late", picture["caption"])
        self.assertEqual(picture["charts"][0]["rows"][0]["verdict"], plot.INVALID)

    def test_a_rate_that_is_a_lower_bound_or_not_confirmed_says_so_in_text_and_plot(self):
        cells = sweeps.parse_sweep(self.sweep(*(self.cell(1, rate) for rate in ("closed", "5000"))))
        peak, curves = threads_report.split(cells, [1])
        for qualifier, sign in (("at-least", "≥"), ("not-confirmed", "unconfirmed")):
            answers = {1: [sweeps.parse_search(self.search()), sweeps.parse_search(self.search(qualifier=qualifier))]}
            measured = threads_report.Measured([1], peak, curves, answers, "p99<5ms", [0], [1])
            self.assertIn(f"12,300 [12,300..12,300] ({sign}) req/s with p99<5ms", threads_report.answer(measured))
            self.assertIn(f"12,300 [12,300..12,300] ({sign})", threads_report.body(measured))
            self.assertIn(sign, json.dumps(described(threads_report.picture(measured)), ensure_ascii=False))


class Memory(unittest.TestCase):
    def test_growth_counts_from_when_memory_has_settled(self):
        samples = [(0, 50), (30, 90), (60, 100), (65, 101), (70, 99)]
        self.assertEqual(memory.growth(samples, 60), (100, 101, 1.01))
        self.assertIn("1.010 × (target 1.02 met)", memory.answer(100, 101, 1.01, 60, 7))
        self.assertEqual(len(memory.parts(samples)), 5)
        with self.assertRaises(Failure):
            memory.growth(samples, 70)


if __name__ == "__main__":
    unittest.main()
