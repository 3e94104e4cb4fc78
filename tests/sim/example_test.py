#!/usr/bin/env python3
"""The program of docs/simulator.md is the one that is compiled here, and it does what the page says."""

import os
import re
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
sys.dont_write_bytecode = True
from checks import check, finish  # noqa: E402


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def run():
    return subprocess.run([sys.argv[1]], capture_output=True, text=True, timeout=60, check=False)


page = read("docs", "simulator.md")
program = read("tests", "sim", "example.cpp").split("\n", 1)[1]
check("the page shows the program that is compiled", "```cpp\n" + program + "```" in page)
first, second = run(), run()
check("the program ends well", first.returncode == 0, first.stderr)
check("its total is what the page says", first.stdout.split("\n")[0] in page, first.stdout)
check("two runs print the same", first.stdout == second.stdout, first.stdout + second.stdout)
hash_of_page = re.search(r"^trace hash [0-9a-f]+$", first.stdout, re.MULTILINE)
check("it prints a trace hash", hash_of_page is not None, first.stdout)
finish()
