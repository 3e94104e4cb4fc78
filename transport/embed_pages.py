#!/usr/bin/env python3
"""embed_pages.py HEADER NAMESPACE::FUNCTION FILE... OUT.cpp: files as a C++ function that adds them to WebPages, by their last names."""

import os
import sys

PIECE = 16_000  # bytes of a literal: compilers promise no more than 65536


def literal(piece):
    return '"' + "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}" for byte in piece) + '"'


def main():
    header, function, *files, out = sys.argv[1:]
    namespace, _, name = function.rpartition("::")
    lines = [f'#include "{header}"', "", "#include <string>", "#include <utility>", "", f"namespace {namespace} {{", "",
             f"void {name}(WebPages& pages) {{"]
    for path in files:
        with open(path, "rb") as file:
            content = file.read()
        lines += ["  {", "    std::string content;"]
        for at in range(0, len(content), PIECE):
            piece = content[at:at + PIECE]
            lines += [f"    content.append({literal(piece)}, {len(piece)});"]
        lines += [f'    pages.add("{os.path.basename(path)}", std::move(content));', "  }"]
    lines += ["}", "", f"}} // namespace {namespace}", ""]
    with open(out, "w", encoding="ascii") as file:
        file.write("\n".join(lines))


if __name__ == "__main__":
    main()
