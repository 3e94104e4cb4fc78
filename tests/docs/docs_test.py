#!/usr/bin/env python3
"""Every link in the docs leads somewhere, and one that does not is seen."""

import os
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "docs"))
sys.dont_write_bytecode = True
import check_links  # noqa: E402

passed = failed = 0


def check(name, condition, details=""):
    global passed, failed
    if condition:
        passed += 1
    else:
        failed += 1
        print(f"FAILED: {name}\n{details}".rstrip())


found = list(check_links.broken(ROOT))
check("every link of the repository leads somewhere", not found, "\n".join(found))

with tempfile.TemporaryDirectory() as tree:
    os.makedirs(os.path.join(tree, "docs", "deep"))
    with open(os.path.join(tree, "README.md"), "w", encoding="utf-8") as file:
        file.write("# Top `one`\n[a](docs/page.md) [b](docs/page.md#a-heading-with-code) [c](#top-one) [d](https://example.org/x)\n"
                   "```\n[not a link](nowhere.md)\n```\n`[nor this](nowhere.md)` [e](docs/deep)\n")
    with open(os.path.join(tree, "docs", "page.md"), "w", encoding="utf-8") as file:
        file.write("## A heading, with `code`\n[up](../README.md)\n")
    found = list(check_links.broken(tree))
    check("sound links pass", not found, "\n".join(found))
    for text, why in (("[x](gone.md)", "no such file"), ("[x](../page.md#gone)", "no such heading"),
                      ("![x](gone.png)", "no such file"), ("[x]: gone.md", "no such file")):
        with open(os.path.join(tree, "docs", "deep", "planted.md"), "w", encoding="utf-8") as file:
            file.write("# Planted\n\n" + text + "\n")
        found = list(check_links.broken(tree))
        check(f"{text} is seen", len(found) == 1 and why in found[0] and "planted.md:3" in found[0], "\n".join(found))

print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
