#!/usr/bin/env python3
"""embed.py FILE... OUT.cpp: files as a C++ function that adds them to WebPages, by their last names."""

import os
import sys

PIECE = 16_000  # bytes of a literal: compilers promise no more than 65536


def literal(piece):
    return '"' + "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}" for byte in piece) + '"'


def main():
    *files, out = sys.argv[1:]
    lines = ['#include "cli/web/pages.hpp"', "", "#include <string>", "#include <utility>", "", "namespace trunkline::cli {", "",
             "void add_built_in_pages(WebPages& pages) {"]
    for path in files:
        name = os.path.basename(path)
        with open(path, "rb") as file:
            content = file.read()
        lines += ["  {", "    std::string content;"]
        for at in range(0, len(content), PIECE):
            piece = content[at:at + PIECE]
            lines += [f"    content.append({literal(piece)}, {len(piece)});"]
        lines += [f'    pages.add("{name}", std::move(content));', "  }"]
    lines += ["}", "", "} // namespace trunkline::cli", ""]
    with open(out, "w", encoding="ascii") as file:
        file.write("\n".join(lines))


if __name__ == "__main__":
    main()
