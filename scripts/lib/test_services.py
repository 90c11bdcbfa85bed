"""Tests of the comparisons of services: what they read, and their tables.

    python3 -B -m unittest discover --start-directory scripts/lib
"""

import unittest

import compare_messages
import compare_redis
import other_loaders
from child import Failure
from compare_redis import OURS, REFERENCE, Case
from test_plot import described


class Redis(unittest.TestCase):
    @staticmethod
    def record(cpu_us):
        return {"cpu_us_each": cpu_us, "client": {"rate_per_s": 1000.0}}

    def found(self, ours):
        case = Case(1, "loadgen", "get", 16)
        return {case: {REFERENCE: [self.record(1.0), self.record(2.0)], OURS: [self.record(cost) for cost in ours]}}

    def test_the_store_is_judged_by_pairs(self):
        found = self.found((0.5, 1.0))
        self.assertEqual(compare_redis.answer(found), "1 worker(s): 0.50 to 0.50 × the CPU time of Redis.")
        self.assertIn("GET, 16 in flight, loadgen", compare_redis.body(found))
        self.assertIn("met in every round", compare_redis.body(found))
        self.assertIn("not met in any round", compare_redis.body(self.found((1.5, 3.0))))
        self.assertTrue(described(compare_redis.picture(found, 2))["charts"][0]["rows"])

    def test_no_target_is_judged_where_redis_has_fewer_threads(self):
        (case, of_case), = self.found((0.5, 1.0)).items()
        two = Case(2, case.client, case.command, case.pipeline)
        self.assertNotIn("met", compare_redis.body({two: of_case}))

    def test_a_client_without_a_core_of_its_own_is_not_pinned(self):
        self.assertEqual(other_loaders.Shape(50, 1, None).pinning, [])
        self.assertEqual(other_loaders.Shape(50, 1, 3).pinning, ["taskset", "-c", "3"])


class Messages(unittest.TestCase):
    def test_a_report_without_hops_is_a_failure(self):
        self.assertEqual(compare_messages.parse('{"hops": 10, "elapsed_ns": 500}'), (10, 500))
        for text in ('{"hops": 0, "elapsed_ns": 500}', '{"hops": 1}', "10", ""):
            with self.assertRaises(Failure):
                compare_messages.parse(text)

    def test_a_hop_is_compared_by_pairs(self):
        def records(*cpu_ns):
            return [{"ns_per_hop": 2 * cpu, "cpu_ns_per_hop": cpu, "sleeps_per_hop": 0.25} for cpu in cpu_ns]

        found = {tokens: {compare_messages.PEER: records(400.0, 800.0), compare_messages.OURS: records(100.0, 200.0)}
                 for tokens in (1, 256)}
        text = compare_messages.body(found, "Not counted: no strace.")
        self.assertIn("0.250 [0.250..0.250]", text)
        self.assertIn("Not counted: no strace.", text)
        self.assertIn("256 on their way: 150 ns of CPU for a hop, memcached's way 600.", compare_messages.answer(found))
        self.assertTrue(described(compare_messages.picture(found, 2))["charts"][0]["rows"])


if __name__ == "__main__":
    unittest.main()
