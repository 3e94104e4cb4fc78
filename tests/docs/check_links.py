#!/usr/bin/env python3
"""Checks that every link in the pages beside README.md and in docs/ to a place in this repository leads somewhere, headings included."""

import os
import re
import sys

MAY_BE_GONE = ("services", "cli")  # the framework stands without them, and its pages too
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$", re.MULTILINE)
ANCHOR = re.compile(r'(?:id|name)="([^"]+)"')


def without_code(text):
    """The same length, so that positions stay lines."""
    def spaces(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return CODE.sub(spaces, FENCE.sub(spaces, text))


def pages(root):
    yield from sorted(name for name in os.listdir(root) if name.endswith(".md"))
    for directory, folders, names in os.walk(os.path.join(root, "docs")):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".md"):
                yield os.path.relpath(os.path.join(directory, name), root)


def anchors(path):
    """The ids that the headings of a page get, as GitHub and mkdocs form them."""
    with open(path, encoding="utf-8") as file:
        text = FENCE.sub("", file.read())
    ids, seen = set(ANCHOR.findall(text)), {}
    for heading in HEADING.findall(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "").lower()
        slug = re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", plain))
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        ids.add(slug if count == 0 else f"{slug}-{count}")
    return ids


def links(text):
    for match in LINK.finditer(without_code(text)):
        yield match, match.group(1) or match.group(2)


def broken(root):
    for page in pages(root):
        with open(os.path.join(root, page), encoding="utf-8") as file:
            text = file.read()
        for match, target in links(text):
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue  # elsewhere: a check that needs the network would fail for reasons of its own
            path, _, anchor = target.partition("#")
            place = os.path.normpath(os.path.join(root, os.path.dirname(page), path)) if path else os.path.join(root, page)
            where = f"{page}:{text.count(chr(10), 0, match.start()) + 1}"
            top = os.path.relpath(place, root).split(os.sep)[0]
            if top in MAY_BE_GONE and not os.path.exists(os.path.join(root, top)):
                continue
            if not os.path.exists(place):
                yield f"{where}: {target}: no such file"
            elif anchor and place.endswith(".md") and anchor not in anchors(place):
                yield f"{where}: {target}: no such heading"


def main():
    root = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    found = list(broken(root))
    for line in found:
        print(line)
    if not found:
        print(f"every link of {len(list(pages(root)))} pages leads somewhere")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
