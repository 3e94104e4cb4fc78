#!/usr/bin/env python3
"""Runs every test that a meson build directory registers and ends with one line: N passed, N failed.

What counts as one: a doctest test case; a test of a script that says itself "N passed, N failed"; otherwise the script.
A program that crashes, hangs, or ends without a count is one failure and its output is shown.

A FILTER that is the name of a test ("circuit") selects it; any other FILTER selects doctest cases by a part of
their name ("cancelled receive"), in the selected programs or in all.
"""

# ./dev test [--debug | --release | --asan | --tsan | --gcc] [--verbose] [FILTER...]
#   Builds and runs all tests; the last line is "N passed, N failed". Not zero when one fails or none was run.
#   FILTER: the name of a test program (circuit), or a part of a test case's name ("cancelled receive").
#   TRUNKLINE_SEED=N replays the random choices of a failed run.        More: docs/testing.md

import argparse
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import dev

DOCTEST = re.compile(r"\[doctest\] test cases:\s*(\d+)\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed\s*\|\s*(\d+) skipped")
SCRIPT = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$", re.MULTILINE)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
WATCHED = ("asan", "tsan")  # a sanitizer is watching, which takes as many times longer
EXIT_SKIPPED = 77  # meson's and automake's convention
EXECUTION_LAYER = "quarkchain-execution-layer"  # runs a program from npm, which ./dev setup --el installs
WEB = "web"  # runs tools from npm, which ./dev setup --web installs


class Outcome:
    def __init__(self, test, output, passed=0, failed=0, skipped=0, complaint=""):
        self.test, self.output = test, output
        self.passed, self.failed, self.skipped = passed, failed, skipped
        self.complaint = complaint
        self.seconds = 0.0


def judge(test, code, output, filtered):
    """Turns an exit code and an output into counts; a program that gives no count is itself the test."""
    text = COLOURS.sub("", output)
    doctest = DOCTEST.findall(text)
    if doctest:
        _, passed, failed, skipped = map(int, doctest[-1])
        if filtered:
            skipped = 0  # deselected, not skipped
        if code == 0 or failed > 0:
            return Outcome(test, output, passed, failed, skipped)
        return Outcome(test, output, passed, 1, skipped, f"all cases passed, then exit code {code}")
    script = SCRIPT.findall(text)
    if script:
        passed, failed, skipped = (int(n or 0) for n in script[-1])
        if code == 0 or failed > 0:
            return Outcome(test, output, passed, failed, skipped)
        return Outcome(test, output, passed, 1, skipped, f"counts no failure, but exit code {code}")
    if code == 0 and not is_doctest(test):
        return Outcome(test, output, passed=1)
    if code == EXIT_SKIPPED:
        return Outcome(test, output, skipped=1)
    if code < 0:
        return Outcome(test, output, failed=1, complaint=f"killed by {signal.Signals(-code).name}")
    return Outcome(test, output, failed=1, complaint=f"exit code {code}" + (", no summary" if code == 0 else ""))


def is_doctest(test):
    return os.path.basename(test["cmd"][0]).startswith("test_")


def run(test, cases, timeout_factor):
    command = list(test["cmd"])
    if cases and is_doctest(test):
        command.append("--test-case=" + ",".join(f"*{case}*" for case in cases))
    environment = dict(os.environ)
    environment.update(test.get("env") or {})
    started = time.monotonic()
    timeout = test["timeout"] * timeout_factor if test["timeout"] > 0 else None
    # Output goes to a file: a grandchild that keeps a pipe open could otherwise outlive the timeout.
    with tempfile.TemporaryFile() as sink:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
                                   cwd=test.get("workdir"), env=environment, start_new_session=True)
        try:
            code = process.wait(timeout)
            late = False
        except subprocess.TimeoutExpired:
            late = True
        try:
            os.killpg(process.pid, signal.SIGKILL)  # also what a finished test left running
        except ProcessLookupError:
            pass
        process.wait()
        sink.seek(0)
        output = sink.read().decode("utf-8", "replace")
    if late:
        outcome = Outcome(test, output, failed=1, complaint=f"no end within {timeout:g} s")
    else:
        outcome = judge(test, code, output, bool(cases))
    outcome.seconds = time.monotonic() - started
    return outcome


def select(tests, filters):
    """Splits the filters into programs and parts of case names; no filter means everything."""
    names = {test["name"] for test in tests}
    programs = [text for text in filters if text in names]
    cases = [text for text in filters if text not in names]
    chosen = [test for test in tests if not programs or test["name"] in programs]
    if cases:
        chosen = [test for test in chosen if is_doctest(test)]
    return chosen, cases


def sanitizer_environment():
    os.environ.setdefault("ASAN_OPTIONS", "detect_stack_use_after_return=1:check_initialization_order=1:handle_abort=0")
    os.environ.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
    os.environ.setdefault("TSAN_OPTIONS", "halt_on_error=1:second_deadlock_stack=1:die_after_fork=0")
    symbolizer = shutil.which("llvm-symbolizer-19")
    if symbolizer:
        for tool in ("ASAN", "UBSAN", "TSAN"):
            if "external_symbolizer_path" not in os.environ[tool + "_OPTIONS"]:
                os.environ[tool + "_OPTIONS"] += ":external_symbolizer_path=" + symbolizer


def main():
    parser = argparse.ArgumentParser(prog="./dev test", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind in dev.KINDS:
        parser.add_argument("--" + kind, dest="kind", action="store_const", const=kind, default="debug")
    parser.add_argument("--jobs", type=int, default=int(os.environ.get("TRUNKLINE_JOBS") or len(os.sched_getaffinity(0))))
    parser.add_argument("--timeout-factor", type=float, help="sanitizer builds are slower: 4")
    parser.add_argument("--verbose", action="store_true", help="show the output of tests that pass, too")
    parser.add_argument("filters", nargs="*", metavar="FILTER")
    arguments = parser.parse_intermixed_args()
    build = dev.build(arguments.kind)
    timeout_factor = arguments.timeout_factor or (4 if arguments.kind in WATCHED else 1)
    if arguments.kind in WATCHED:
        os.environ.setdefault("TRUNKLINE_TEST_PATIENCE", "240")

    listing = subprocess.run(["meson", "introspect", "--tests", build], check=True, capture_output=True)
    # Meson names programs relative to the build directory, where it runs them unless a test says otherwise.
    tests = sorted(json.loads(listing.stdout), key=lambda test: (-test.get("priority", 0), test["name"]))
    for test in tests:
        test["workdir"] = test.get("workdir") or build
    chosen, cases = select(tests, arguments.filters)
    sanitizer_environment()
    if any(test["name"] == EXECUTION_LAYER for test in chosen):  # where npm cannot be reached, the test says so
        subprocess.run([os.path.join(dev.ROOT, "dev"), "setup", "--el"], stdout=sys.stderr)
    if any(test["name"] == WEB for test in chosen):
        subprocess.run([os.path.join(dev.ROOT, "dev"), "setup", "--web"], stdout=sys.stderr)

    passed = failed = skipped = 0
    # A test that must not be disturbed (is_parallel: false) runs after the others, alone.
    together = [test for test in chosen if test.get("is_parallel", True)]
    alone = [test for test in chosen if not test.get("is_parallel", True)]
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool, \
            concurrent.futures.ThreadPoolExecutor(1) as single:
        def outcomes():
            for pool_used, group in ((pool, together), (single, alone)):
                pending = [pool_used.submit(run, test, cases, timeout_factor) for test in group]
                for future in concurrent.futures.as_completed(pending):
                    yield future.result()

        for outcome in outcomes():
            passed += outcome.passed
            failed += outcome.failed
            skipped += outcome.skipped
            if outcome.failed or arguments.verbose:
                print(f"---- {outcome.test['name']}: {' '.join(outcome.test['cmd'])}")
                print(outcome.output.rstrip())
                if outcome.complaint:
                    print(f"---- {outcome.test['name']}: {outcome.complaint}")
            counts = f"{outcome.passed} passed" + (f", {outcome.failed} FAILED" if outcome.failed else "")
            if outcome.skipped:
                counts += f", {outcome.skipped} skipped"
            # Not the shape of the last line, which stands for all.
            print(f"{outcome.test['name']:<12} {outcome.seconds:6.1f} s  {counts}", flush=True)

    if passed + failed == 0:
        print("no test was run" + (f" for {' '.join(arguments.filters)}" if arguments.filters else ""))
    if skipped:
        print(f"{skipped} skipped: they need what is not here, see above")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
