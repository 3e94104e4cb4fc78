"""Holds what is said about benchmarks true, on raw sockets and with few messages, so that nothing here is a figure.

1. A run over all workloads gives one row per workload, in the promised shape, and leaves out what raw cannot do.
2. A sender that leaves out one sequence number fails the run, in every workload that has sequence numbers, and the
   reason names the number: the receiver's checks are real.
3. A workload that a peer cannot do is a reason and exit status 77, never a row.
4. The same for the library that is measured, and for its network facade, whose broadcasts have rows of their own for messages and bytes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = None
CHECKED = ("one_way_64", "one_way_64_x100", "bulk_64k", "bulk_64k_x16", "round_trip", "opens")
OF_NETWORK = ("conduit_1", "conduit_50", "first_message", "broadcast_27", "mesh_27", "broadcast_81", "mesh_81")
OF_BROADCASTS = ("messages", "bytes", "originator_messages", "originator_bytes")


def run(*arguments, peer="raw"):
    command = [sys.executable, os.path.join(HERE, "run.py"), "--build", BUILD, "--quick", "--peers", peer,
               "--rounds", "1", "--count", "300", "--idle-count", "20", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


class OfRaw(unittest.TestCase):
    def test_a_run_gives_one_row_per_workload_in_the_promised_shape(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "rows.json")

            done = run("--json", path)

            self.assertEqual(done.returncode, 0, done.stderr)
            with open(path) as file:
                rows = json.load(file)
        self.assertEqual([row["workload"] for row in rows], [*CHECKED, "idle_connection_bytes"])
        for row in rows:
            self.assertEqual(list(row), ["workload", "peer", "value", "unit", "ratio_to_raw"])
            self.assertEqual(row["peer"], "raw")
            self.assertEqual(row["ratio_to_raw"], None if row["unit"] == "bytes" else 1.0)
            self.assertGreaterEqual(row["value"], 0 if row["unit"] == "bytes" else 1e-9)
        self.assertIn("no idle_circuit_bytes row", done.stdout)
        self.assertIn("not a measurement", done.stdout)

    def test_a_left_out_message_fails_the_run_and_is_named(self):
        for workload in CHECKED:
            with self.subTest(workload):
                done = run("--workloads", workload, "--plant", "skip-one")

                self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
                self.assertRegex(done.stderr, r"sequence \d+ on stream \d+, expected \d+")
                self.assertNotIn("ratio", done.stdout)

    def test_an_unsupported_workload_is_a_reason_and_not_a_row(self):
        done = subprocess.run([os.path.join(BUILD, "bench_raw"), "serve", "idle_circuit_bytes"], capture_output=True,
                              text=True)

        self.assertEqual(done.returncode, 77)
        self.assertNotIn("LISTENING", done.stdout)
        self.assertNotEqual(done.stderr.strip(), "")

    def test_without_pyquarkchain_the_python_pair_is_a_reason_and_not_a_row(self):
        without = {name: value for name, value in os.environ.items() if name != "PYQUARKCHAIN"}
        driver = os.path.join(HERE, "quarkchain_python.py")
        done = subprocess.run([driver, "serve", "calls_1"], capture_output=True, text=True, env=without)

        self.assertEqual((done.returncode, done.stdout), (77, ""))
        self.assertIn("PYQUARKCHAIN is not set", done.stderr)


class OfTrunkline(unittest.TestCase):
    def test_every_workload_has_its_row(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "rows.json")

            done = run("--json", path, peer="trunkline")

            self.assertEqual(done.returncode, 0, done.stderr)
            with open(path) as file:
                rows = json.load(file)
        self.assertEqual([row["workload"] for row in rows], [*CHECKED, "idle_circuit_bytes", "idle_connection_bytes"])

    def test_a_left_out_message_fails_the_run_and_is_named(self):
        for workload in CHECKED:
            with self.subTest(workload):
                done = run("--workloads", workload, "--plant", "skip-one", peer="trunkline")

                self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
                self.assertRegex(done.stderr, r"sequence \d+ on stream \d+, expected \d+")


class OfNetwork(unittest.TestCase):
    def test_conduits_and_broadcasts_have_their_rows(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "rows.json")

            done = run("--json", path, "--count", "20", peer="network")

            self.assertEqual(done.returncode, 0, done.stderr)
            with open(path) as file:
                rows = {row["workload"]: row for row in json.load(file)}
        expected = list(OF_NETWORK)
        for workload in OF_NETWORK[3:]:
            expected += [f"{workload} {figure}" for figure in OF_BROADCASTS]
        self.assertEqual(sorted(rows), sorted(expected))
        for size in (27, 81):
            self.assertEqual(rows[f"mesh_{size} messages"]["value"], size - 1)
            self.assertGreaterEqual(rows[f"broadcast_{size} messages"]["value"], size - 1)
            self.assertGreater(rows[f"broadcast_{size} bytes"]["value"], (size - 1) * 1024)
            self.assertLess(rows[f"broadcast_{size} originator_bytes"]["value"],
                            rows[f"mesh_{size} originator_bytes"]["value"])

    def test_a_number_left_out_on_a_conduit_or_in_a_broadcast_fails_the_run(self):
        for workload in OF_NETWORK:
            with self.subTest(workload):
                done = run("--workloads", workload, "--plant", "skip-one", peer="network")

                self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
                self.assertRegex(done.stderr, r"sequence \d+ on stream \d+, expected \d+")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--peer", choices=["raw", "trunkline", "network"], default="raw")
    options, rest = parser.parse_known_args()
    BUILD = options.build
    unittest.main(argv=[sys.argv[0], f"Of{options.peer.capitalize()}", *rest])
