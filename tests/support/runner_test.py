#!/usr/bin/env python3
"""The runner and main.cpp report every bad end as a failure.

Runs the canaries, one at a time, through the runner's own functions, and looks at the counts and at what is printed.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import run_tests  # noqa: E402

CANARIES = sys.argv[1]
os.environ["TRUNKLINE_TEST_PATIENCE"] = "1"
os.environ["TRUNKLINE_SEED"] = "4711"

results = []


def check(name, condition, outcome=None):
    results.append(bool(condition))
    if not condition:
        print(f"FAILED: {name}")
        if outcome:
            print(f"  {outcome.passed} passed, {outcome.failed} failed, complaint {outcome.complaint!r}, output:\n{outcome.output}")


def program(code, timeout=30):
    return run_tests.run({"name": "script", "cmd": [sys.executable, "-c", code], "timeout": timeout}, [], 1.0)


def canary(case):
    test = {"name": "canaries", "timeout": 30, "cmd": [CANARIES, "--no-skip", f"--test-case=canary: {case}"]}
    return run_tests.run(test, [], 1.0)


outcome = canary("passes")
check("a passing case counts as one", (outcome.passed, outcome.failed) == (1, 0), outcome)
outcome = canary("fails")
check("a failing case counts as one", (outcome.passed, outcome.failed) == (0, 1), outcome)
check("a failure prints the seed it was given", "TRUNKLINE_SEED=4711" in outcome.output, outcome)
outcome = canary("aborts")
check("an abort is a failure", (outcome.passed, outcome.failed) == (0, 1) and outcome.complaint, outcome)
check("an abort names its case and seed", 'died in test case "canary: aborts"' in outcome.output
      and "TRUNKLINE_SEED=4711" in outcome.output, outcome)
outcome = canary("hangs")
check("a hang is a failure", outcome.failed == 1, outcome)
check("a hang names its case", "hang:" in outcome.output and "canary: hangs" in outcome.output, outcome)
check("a hang is ended by the watchdog, not by the runner", outcome.seconds < 20, outcome)
outcome = canary("exits early")
check("an exit before the summary is a failure", outcome.failed == 1, outcome)

outcome = program("print('ok')")
check("a script that ends well is one test", (outcome.passed, outcome.failed) == (1, 0), outcome)
outcome = program("raise SystemExit(3)")
check("a script that ends badly is one failure", (outcome.passed, outcome.failed) == (0, 1), outcome)
outcome = program("print('7 passed, 0 failed, 2 skipped')")
check("a script's own count is taken", (outcome.passed, outcome.failed, outcome.skipped) == (7, 0, 2), outcome)
outcome = program("print('7 passed, 0 failed'); raise SystemExit(1)")
check("a count without failures does not hide an exit code", outcome.failed == 1, outcome)
outcome = program("raise SystemExit(77)")
check("exit code 77 is a skip", (outcome.passed, outcome.failed, outcome.skipped) == (0, 0, 1), outcome)
outcome = program("import signal; signal.pause()", timeout=0.5)
check("a script that hangs is a failure", outcome.failed == 1 and "no end within" in outcome.complaint, outcome)

tests = [{"name": "circuit", "cmd": ["/x/test_circuit"]}, {"name": "lint", "cmd": ["/x/lint.py"]}]
check("no filter selects everything", run_tests.select(tests, []) == (tests, []))
check("a program's name selects it", run_tests.select(tests, ["lint"]) == ([tests[1]], []))
check("another filter selects cases", run_tests.select(tests, ["finish"]) == ([tests[0]], ["finish"]))

print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
sys.exit(0 if all(results) else 1)
