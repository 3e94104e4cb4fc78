#!/usr/bin/env python3
"""Every link in the docs leads somewhere and every line fits; a link that does not and a line that is too long are seen."""

import os
import re
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(ROOT, "tests", "support")]
sys.dont_write_bytecode = True
import check_links  # noqa: E402
import reference  # noqa: E402
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

# The reference: what a reader looks for is there, and what only the compiler wants is not.
with tempfile.TemporaryDirectory() as pages:
    made = reference.write(pages)
    text = {}
    for page, header in made:
        with open(os.path.join(pages, page), encoding="utf-8") as file:
            text[header] = file.read()
    check("every public header has a page", set(text) == set(reference.public()), str(set(text) ^ set(reference.public())))
    for header, page in text.items():
        with open(os.path.join(ROOT, header), encoding="utf-8") as file:
            source = file.read()
        public_part = "".join(part for part in re.split(r"^(?= (?:public|private|protected):$)|^(?=\};$)", source, flags=re.MULTILINE)
                              if not part.startswith((" private:", " protected:")))
        if header == "async/abi.hpp":
            continue  # macros and what they name
        for name in re.findall(r"^(?:class|struct|enum class) (\w+)(?: final)?(?: :[^;{]*)? \{", source, re.MULTILINE):
            check(f"{header}: {name} is on its page", re.search(rf"^## (?:class|struct|enum class) {name}\b", page, re.MULTILINE), page[:400])
        for doc, name in re.findall(r"^ *///([^\n]*)\n(?: *///[^\n]*\n)* *[^\n/(=]*?\b(\w+)\([^\n]*", public_part, re.MULTILINE):
            if not reference.NOT_FOR_PROGRAMS.match(doc.strip()):
                check(f"{header}: {name} is on its page", re.search(rf"\b{name}\(", page), doc)
        bodies = re.findall(r"^.*\b(?:return |co_return|if \().*$", "".join(re.findall(r"```cpp\n(.*?)```", page, re.DOTALL)), re.MULTILINE)
        bodies = [line for line in bodies if "//" not in line]
        check(f"{header}: no body of a function is on its page", not bodies, "\n".join(bodies))
        broken = [link for link in re.findall(r"\]\(([^)#]*)#[^)]*\)", page)
                  if link and not os.path.exists(os.path.join(pages, os.path.dirname(header), link))]
        check(f"{header}: its links lead somewhere", not broken, str(broken))
    receive = text["circuit/circuit.hpp"].split("### receive {")[1].split("### ")[0]
    check("a function has its declaration, its comment, and the links of it",
          "awaitable<std::optional<Fragment>> receive();" in receive and "The next fragment, or nullopt when" in receive
          and "[CircuitEnded](circuit_ended.md#circuitended)" in receive, receive)
    check("what is private is not there", "note_moved" not in text["circuit/circuit.hpp"] and "state_" not in text["circuit/circuit.hpp"])

finish()
