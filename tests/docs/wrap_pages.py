#!/usr/bin/env python3
"""Checks that no line of a Markdown page is longer than 120 columns, and wraps those that are.

usage: wrap_pages.py [ROOT]         prints every line that is too long; exit code 1 when there is one
       wrap_pages.py --fix [ROOT]   wraps the paragraphs that hold one, and leaves all others as they are

Tables, code, HTML and link definitions may be longer, and so may a line that is one link or one piece of code: it has
no place to break. A link and a piece of code stay on one line, because tests look for the names that pages quote.
"""

import os
import re
import sys

COLUMNS = 120
SKIPPED = {".git", "build", "site", "subprojects", "node_modules"}

FENCE = re.compile(r"^\s*(?:>\s*)*(```+|~~~+)")
VERBATIM = re.compile(r"^\s*(?:>\s*)*(?:\||<|#{1,6}\s|\[[^\]]+\]:\s|(?:={3,}|-{3,}|\*{3,})\s*$)")
INDENTED = re.compile(r"^(?: {4}|\t)")
PREFIX = re.compile(r"^\s*(?:>\s?)*\s*(?:[-*+]\s+|\d+[.)]\s+)?")
ITEM = re.compile(r"^\s*(?:>\s?)*\s*(?:[-*+]|\d+[.)])\s")
WHOLE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)|!?\[[^\]]*\]\([^)\s]*\)", re.DOTALL)
# A line that began with one of these would not be text any more.
STARTS_A_BLOCK = re.compile(r"^(?:[-+*]|#{1,6}|\d+[.)]|=+|-{2,})$|^[>|<]|^(?:```|~~~)")


def atoms(text):
    """The pieces of a paragraph between which a line may end."""
    found, current, at = [], "", 0
    while at < len(text):
        if text[at].isspace():
            if current:
                found.append(current)
            current, at = "", at + 1
            continue
        whole = WHOLE.match(text, at)
        piece = re.sub(r"\s+", " ", whole.group(0)) if whole else text[at]
        current, at = current + piece, whole.end() if whole else at + 1
    if current:
        found.append(current)
    glued = []
    for atom in found:
        if glued and STARTS_A_BLOCK.match(atom):
            glued[-1] += " " + atom
        else:
            glued.append(atom)
    return glued


def blocks(text):
    """(first line counted from 0, lines, whether they are text that may be wrapped)."""
    lines, at, in_list = text.split("\n"), 0, False
    while at < len(lines):
        start, line = at, lines[at]
        fence = FENCE.match(line)
        if fence:
            at += 1
            while at < len(lines) and not lines[at].lstrip("> ").startswith(fence.group(1)):
                at += 1
            at += 1
            yield start, lines[start:at], False
            continue
        at += 1
        in_list = in_list and (not line.strip() or line[0] == " ") or bool(ITEM.match(line))
        if not line.strip() or VERBATIM.match(line) or INDENTED.match(line) and not in_list:
            yield start, lines[start:at], False
            continue
        while at < len(lines) and lines[at].strip() and not (
                VERBATIM.match(lines[at]) or FENCE.match(lines[at]) or ITEM.match(lines[at])):
            at += 1
        yield start, lines[start:at], True


def split_prefix(line):
    prefix = PREFIX.match(line).group(0)
    return prefix, line[len(prefix):]


def too_long(line):
    return len(line) > COLUMNS and len(atoms(split_prefix(line)[1])) > 1


def long_lines(text):
    """The numbers, from 1, of the lines that should be wrapped."""
    return [start + offset + 1 for start, lines, is_text in blocks(text) if is_text
            for offset, line in enumerate(lines) if too_long(line)]


def wrapped(text):
    """The page with every paragraph wrapped that holds a line which is too long."""
    out = []
    for _, lines, is_text in blocks(text):
        if not is_text or not any(map(too_long, lines)):
            out += lines
            continue
        first = split_prefix(lines[0])[0]
        # Further lines of an item stand below its text, those of a quotation behind its mark.
        rest = re.sub(r"(?:[-*+]|\d+[.)])\s+$", lambda marker: " " * len(marker.group(0)), first)
        words = " ".join(split_prefix(line)[1] if number == 0 or ">" in rest else line.strip()
                         for number, line in enumerate(lines))
        current = first
        for atom in atoms(words):
            if current in (first, rest):
                current += atom
            elif len(current) + 1 + len(atom) <= COLUMNS:
                current += " " + atom
            else:
                out.append(current)
                current = rest + atom
        out.append(current)
    return "\n".join(out)


def pages(root):
    for directory, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        for name in sorted(names):
            if name.endswith(".md"):
                yield os.path.relpath(os.path.join(directory, name), root)


def read(root, page):
    with open(os.path.join(root, page), encoding="utf-8") as file:
        return file.read()


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--fix"]
    root = arguments[0] if arguments else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    found = 0
    for page in pages(root):
        text = read(root, page)
        if "--fix" in sys.argv:
            if wrapped(text) != text:
                with open(os.path.join(root, page), "w", encoding="utf-8") as file:
                    file.write(wrapped(text))
                print(f"{page}: wrapped")
            continue
        for number in long_lines(text):
            found += 1
            print(f"{page}:{number}: longer than {COLUMNS} columns; tests/docs/wrap_pages.py --fix wraps it")
    if not found and "--fix" not in sys.argv:
        print(f"no line is longer than {COLUMNS} columns")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
