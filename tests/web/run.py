#!/usr/bin/env python3
"""Type-checks, tests and builds transport/web with the tools that ./dev setup --web has installed.

usage: run.py [ECHO_NODE [TRUNKLINE]]

Its tests are in transport/web/test; those of interop drive ECHO_NODE, and a browser opens the page of TRUNKLINE. Where the tools or a Node.js that runs them are
missing it says so and exits with 77.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACKAGE = os.path.join(ROOT, "transport", "web")
SKIPPED = 77
NODE_MIN = (20, 19)


def tool(name):
    return os.path.join(PACKAGE, "node_modules", name)


def run(*command, **options):
    return subprocess.run(["node", *command], cwd=PACKAGE, check=False, **options).returncode


def node_version():
    """(20, 19), say; (0, 0) where there is none."""
    if not shutil.which("node"):
        return 0, 0
    said = subprocess.run(["node", "--version"], check=False, capture_output=True, text=True).stdout.strip()
    major, minor = said.removeprefix("v").split(".")[:2]
    return int(major), int(minor)


def tests_passed(directory):
    """Runs vitest; returns how many passed, failed and were skipped."""
    report = os.path.join(directory, "report.json")
    environment = dict(os.environ, NO_COLOR="1", TRUNKLINE_WEB_CACHE=os.path.join(directory, "cache"))
    for name, path in zip(("TRUNKLINE_ECHO_NODE", "TRUNKLINE_PROGRAM"), sys.argv[1:]):
        environment[name] = os.path.abspath(path)
    code = run(tool("vitest/vitest.mjs"), "run", "--reporter=default", "--reporter=json", f"--outputFile.json={report}", env=environment)
    if not os.path.exists(report):
        return 0, 1, 0
    with open(report, encoding="utf-8") as file:
        seen = json.load(file)
    failed = seen["numFailedTests"]
    return seen["numPassedTests"], failed if code == 0 or failed else 1, seen["numPendingTests"]


def main():
    if node_version() < NODE_MIN:
        print("transport/web not tested: its tools need Node.js %d.%d" % NODE_MIN)
        return SKIPPED
    if not os.path.exists(tool("vitest/vitest.mjs")):
        print("the tools of transport/web are not installed: ./dev setup --web")
        return SKIPPED
    with tempfile.TemporaryDirectory() as directory:
        passed, failed, skipped = tests_passed(directory)
        for name, code in (("types", run(tool("typescript/bin/tsc"), "--noEmit")), ("build", run("build.mjs", os.path.join(directory, "dist")))):
            print(f"{name}: {'failed' if code else 'sound'}")
            passed, failed = (passed, failed + 1) if code else (passed + 1, failed)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
