#!/usr/bin/env python3
"""Every link in the docs leads somewhere and every line fits; a link that does not and a line that is too long are seen."""

import os
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(ROOT, "tests", "support")]
sys.dont_write_bytecode = True
import check_links  # noqa: E402
import wrap_pages  # noqa: E402
from checks import check, finish  # noqa: E402

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

long = [f"{page}:{line}" for page in wrap_pages.pages(ROOT) for line in wrap_pages.long_lines(wrap_pages.read(ROOT, page))]
check("no line of a page is longer than 120 columns (tests/docs/wrap_pages.py --fix)", not long, "\n".join(long))

words, name = "word " * 30, "`a name: that " + "tests look for`"
for text in (f"{words}\n", f"- {words}\n", f"text\n{words}\n", f"1. item\n\n   {words}\n", f"> {words}\n", f"- a\n  - {words}\n"):
    check(f"a long line is seen in {text[:12]!r}", len(wrap_pages.long_lines(text)) == 1, text)
for text in (f"| {words} |\n", f"```\n{words}\n```\n", f"text\n\n    {words}\n", f"<!-- {words} -->\n", f"- `{words}`\n",
             f"[{words}](page.md)\n", f"[page]: {words}\n", f"- item\n\n  ```\n  {words}\n  ```\n"):
    check(f"a line that has no place to break is left alone in {text[:12]!r}", wrap_pages.wrapped(text) == text, text)
for text, wanted in ((f"- {words}{name} end\n", f"- {('word ' * 23).strip()}\n  {'word ' * 7}{name} end\n"),
                     (f"> {words}end\n", f"> {('word ' * 23).strip()}\n> {'word ' * 7}end\n"),
                     (f"short\n\n{'word ' * 23}1234 - not an item\n",
                      f"short\n\n{'word ' * 22}word\n1234 - not an item\n")):
    check(f"a page is wrapped as it would be by hand: {text[:12]!r}", wrap_pages.wrapped(text) == wanted, wrap_pages.wrapped(text))
    check("what was wrapped stays as it is", wrap_pages.wrapped(wanted) == wanted, wrap_pages.wrapped(wanted))

finish()
