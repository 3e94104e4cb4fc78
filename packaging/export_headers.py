#!/usr/bin/env python3
"""Writes the public headers below DESTINATION/trunkline as a program includes them: <trunkline/peer/node.hpp>.

In this repository a header is included from its root, "peer/node.hpp". That root in a program's include path would put
our folders in front of hers, and hers in front of ours. So what leaves the repository includes <trunkline/...>, and
begins with what async/abi.hpp checks.

    export_headers.py DESTINATION       the public headers
    export_headers.py --list            their names
    export_headers.py --install FOLDER  below FOLDER of the prefix, for meson install
    export_headers.py --examples FOLDER the programs of examples/, as somebody outside of this repository includes
"""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INCLUDE = re.compile(r'^([ \t]*#[ \t]*include[ \t]*)"([^"]+)"', re.MULTILINE)
CHECKS = "async/abi.hpp"


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def roots():
    lines = (line.partition("#")[0].strip() for line in read("packaging", "public_headers.txt").splitlines())
    return [line for line in lines if line and os.path.exists(os.path.join(ROOT, line))]


def public():
    """The listed headers and all they include."""
    found, waiting = set(), [CHECKS, *roots()]
    while waiting:
        header = waiting.pop()
        if header not in found:
            found.add(header)
            waiting += [match.group(2) for match in INCLUDE.finditer(read(header))]
    return sorted(found)


def exported(header):
    text = INCLUDE.sub(r"\1<trunkline/\2>", read(header))
    if header == CHECKS:
        return text
    assert "#pragma once\n" in text, f"{header} has no #pragma once"
    return text.replace("#pragma once\n", f"#pragma once\n\n#include <trunkline/{CHECKS}>\n", 1)


def write(destination):
    """What has not changed keeps its time, so that nothing is compiled again for it."""
    wanted = {os.path.join(destination, "trunkline", header): exported(header) for header in public()}
    for path, text in wanted.items():
        try:
            with open(path, encoding="utf-8") as file:
                if file.read() == text:
                    continue
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def write_examples(destination):
    """They include one another from the folder they are in."""
    os.makedirs(destination, exist_ok=True)
    for name in sorted(os.listdir(os.path.join(ROOT, "examples"))):
        if name.endswith((".cpp", ".hpp", ".proto")):
            text = INCLUDE.sub(lambda match: f'{match.group(1)}"{match.group(2).removeprefix("examples/")}"'
                               if match.group(2).startswith("examples/") else f"{match.group(1)}<trunkline/{match.group(2)}>",
                               read("examples", name))
            with open(os.path.join(destination, name), "w", encoding="utf-8") as file:
                file.write(text)


def main(arguments):
    if arguments == ["--list"]:
        print("\n".join(public()))
    elif len(arguments) == 2 and arguments[0] == "--install":
        write(os.path.join(os.environ["MESON_INSTALL_DESTDIR_PREFIX"], arguments[1]))
    elif len(arguments) == 2 and arguments[0] == "--examples":
        write_examples(arguments[1])
    elif len(arguments) == 1 and not arguments[0].startswith("-"):
        write(arguments[0])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
