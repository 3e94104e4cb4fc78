"""Holds what is said about benchmarks true, on raw sockets and with few messages, so that nothing here is a figure.

1. A run over all workloads gives one row per workload, in the promised shape, and leaves out what raw cannot do.
2. A sender that leaves out one sequence number fails the run, in every workload that has sequence numbers, and the
   reason names the number: the receiver's checks are real.
3. A workload that a peer cannot do is a reason and exit status 77, never a row.
4. The same for the library that is measured, and for its network facade, whose broadcasts have rows of their own for messages and bytes.
5. A driver that fails costs its own row, with its reason, and no other.
6. Instructions are counted from two runs, compared with an earlier count, and a figure that has grown fails the run.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import unittest

import instructions

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

    def test_a_driver_that_fails_costs_its_own_row_only_and_what_is_measured_is_written_as_it_goes(self):
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(os.path.join(BUILD, "bench_raw"), os.path.join(folder, "bench_raw"))
            path = os.path.join(folder, "rows.json")
            broken = os.path.join(folder, "bench_zeromq")  # fails in one workload, and looks at what is written by the next
            with open(broken, "w") as file:
                file.write(f"""#!/bin/sh
if [ "$2" = one_way_64 ]; then echo "no such port" >&2; exit 3; fi
if [ ! -e {path} ]; then echo "nothing is written" >&2; exit 3; fi
exec {folder}/bench_raw "$@"
""")
            os.chmod(broken, 0o755)

            done = subprocess.run([sys.executable, os.path.join(HERE, "run.py"), "--build", folder, "--quick", "--peers",
                                   "raw,zeromq", "--workloads", "one_way_64,round_trip", "--rounds", "2", "--count", "300",
                                   "--json", path], capture_output=True, text=True)

            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            with open(path) as file:
                rows = [(row["workload"], row["peer"]) for row in json.load(file)]
        self.assertEqual(rows, [("one_way_64", "raw"), ("round_trip", "raw"), ("round_trip", "zeromq")])
        self.assertIn("ratio to raw", done.stdout)
        self.assertEqual(done.stderr.count("zeromq, one_way_64:"), 2, done.stderr)  # at once, and at the end
        self.assertIn("no such port", done.stderr)

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
        self.assertEqual([row["workload"] for row in rows], [*CHECKED, "idle_circuit_bytes", "idle_connection_bytes",
                                                              "calls_64"])

    def test_a_left_out_message_fails_the_run_and_is_named(self):
        for workload in (*CHECKED, "calls_64"):
            with self.subTest(workload):
                done = run("--workloads", workload, "--plant", "skip-one", peer="trunkline")

                self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
                self.assertRegex(done.stderr, r"sequence \d+ on stream \d+, expected \d+")


class OfTls(unittest.TestCase):
    def test_both_sides_of_the_comparison_have_their_rows_and_shares(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "rows.json")

            done = run("--json", path, "--count", "20", peer="raw_tls,trunkline_tls")

            self.assertEqual(done.returncode, 0, done.stderr)
            with open(path) as file:
                rows = json.load(file)
        for peer in ("raw_tls", "trunkline_tls"):
            workloads = [row["workload"] for row in rows if row["peer"] == peer and row["unit"] != "bytes"]
            self.assertEqual(workloads, ["one_way_64", "bulk_64k", "round_trip", "handshakes"])
        shares = [row["ratio_to_raw"] for row in rows if row["peer"] == "trunkline_tls" and row["unit"] != "bytes"]
        self.assertTrue(all(shares), shares)

    def test_a_left_out_message_fails_the_run_and_is_named(self):
        for peer in ("raw_tls", "trunkline_tls"):
            with self.subTest(peer):
                done = run("--workloads", "one_way_64", "--plant", "skip-one", peer=peer)

                self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
                self.assertRegex(done.stderr, r"sequence \d+ on stream \d+, expected \d+")


class OfWs(unittest.TestCase):
    def test_it_has_its_rows_and_shares(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "rows.json")

            done = run("--json", path, "--count", "20", peer="trunkline_ws")

            self.assertEqual(done.returncode, 0, done.stderr)
            with open(path) as file:
                rows = json.load(file)
        self.assertEqual([row["workload"] for row in rows], ["one_way_64", "bulk_64k", "round_trip"])

    def test_a_left_out_message_fails_the_run_and_is_named(self):
        done = run("--workloads", "one_way_64", "--plant", "skip-one", peer="trunkline_ws")

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


# In valgrind's place: runs the driver, and says it took 1,000,000 instructions and a number for each operation.
VALGRIND = """#!/usr/bin/env python3
import os, sys
options = [word for word in sys.argv[1:] if word.startswith("--")]
command = sys.argv[sys.argv.index("--quiet") + 2:]
path = sys.argv[sys.argv.index("--quiet") + 1].split("=", 1)[1]
each = {"serve": 70, "drive": 50}[command[1]]
with open(path, "w") as file:
    file.write(f"events: Ir\\ntotals: {1_000_000 + each * int(command[command.index('--count') + 1])}\\n")
os.execv(command[0], command)
"""


def earlier(serve, drive, **other):
    return {"workload": "one_way_64", "peer": "raw", "serve": serve, "drive": drive, "counts": [1, 2], **other}


class OfInstructions(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        path = os.path.join(self.folder, "valgrind")
        with open(path, "w") as file:
            file.write(VALGRIND)
        os.chmod(path, 0o755)

    def count(self, *arguments):
        command = [sys.executable, os.path.join(HERE, "run.py"), "--build", BUILD, "--instructions", "--quick",
                   "--peers", "raw", "--workloads", "one_way_64", *arguments]
        with_ours = dict(os.environ, PATH=self.folder + os.pathsep + os.environ["PATH"])
        return subprocess.run(command, capture_output=True, text=True, env=with_ours)

    def write(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))
        return path

    def test_a_figure_is_the_difference_of_two_runs_for_each_operation(self):
        path = os.path.join(self.folder, "rows.json")

        done = self.count("--json", path)

        self.assertEqual(done.returncode, 0, done.stderr)
        (row,) = instructions.read_rows(path)
        self.assertEqual((row["workload"], row["peer"], row["serve"], row["drive"]), ("one_way_64", "raw", 70.0, 50.0))
        self.assertRegex(done.stdout, r"one_way_64 +raw +70 +50\n")
        self.assertIn("not a measurement", done.stdout)

    def test_a_figure_that_has_grown_by_more_than_the_tolerance_fails_the_run_and_is_named(self):
        path = self.write("before.json", [earlier(70, 48)])

        done = self.count("--against", path)
        tolerated = self.count("--against", path, "--tolerance", "5")

        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(done.stderr.splitlines()[-1],
                         "one_way_64, raw, drive: expected 48 instructions and 3 % at most, seen 50, +4.2 %")
        self.assertRegex(done.stdout, r"one_way_64 +raw +serve +70 +70 +\+0\.0 %")
        self.assertEqual(tolerated.returncode, 0, tolerated.stderr)

    def test_less_than_before_and_3_per_cent_more_pass(self):
        _, wrong = instructions.compare([earlier(1000, 1000)], [earlier(1030, 200)], 3)

        self.assertEqual(wrong, [])

    def test_a_comparison_of_nothing_fails_the_run(self):
        path = self.write("before.json", [earlier(70, 50, peer="trunkline")])

        done = self.count("--against", path)

        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("nothing was compared", done.stderr)

    def test_an_earlier_file_of_another_shape_fails_the_run_before_it_measures(self):
        for content, seen in (("", "expected JSON"), ([], "expected rows"), ([{"workload": "opens"}], "expected rows"),
                              ([earlier("70", 50)], "expected rows")):
            with self.subTest(content):
                done = self.count("--against", self.write("before.json", content))

                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn(seen, done.stderr)
        self.assertIn("No such file", self.count("--against", os.path.join(self.folder, "none")).stderr)

    def test_of_several_repetitions_the_median_stands(self):
        repetitions = [((100, 0), (100 + 10 * each, 10)) for each in (7, 90, 6)]

        row = instructions.row("opens", "raw", (10, 20), repetitions)

        self.assertEqual((row["serve"], row["drive"]), (7.0, 1.0))

    def test_the_total_is_that_of_instructions_among_other_events(self):
        self.assertEqual(instructions.total_in("version: 1\nevents: Dr Ir\nfn=(1)\n+3 5 2\n\ntotals: 17 123456\n", "x"), 123456)
        self.assertEqual(instructions.total_in("events: Ir\nsummary: 42\n", "x"), 42)

    def test_a_count_that_is_cut_short_is_an_error_and_not_a_figure(self):
        for text in ("", "events: Ir\nfn=(1)\n+3 5\n", "events: Dr\ntotals: 5\n"):
            with self.subTest(text), self.assertRaises(instructions.Unreadable):
                instructions.total_in(text, "x")

    def test_what_only_times_can_do_is_refused(self):
        for arguments in (("--count", "5"), ("--plant", "skip-one"), ("--workloads", "bulk_64k"), ("--peers", "grpc")):
            with self.subTest(arguments):
                self.assertEqual(self.count(*arguments).returncode, 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--peer", choices=["raw", "trunkline", "tls", "ws", "network", "instructions"], default="raw")
    options, rest = parser.parse_known_args()
    BUILD = options.build
    unittest.main(argv=[sys.argv[0], f"Of{options.peer.capitalize()}", *rest])
