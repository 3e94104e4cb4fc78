"""Names of tests: a file of cases is named after what it tests, and no two classes of test kits have one full name."""

import os
import re

CASES = re.compile(r"tests/(?P<folder>.*)/(?P<stem>\w+)_test\.cpp")
PAGES = {"examples"}  # their tests are named after pages
NAMESPACE = re.compile(r"\bnamespace(?P<name>\s+[\w:]+)?\s*\{")
CLASS = re.compile(r"\b(?:class|struct|enum(?:\s+class|\s+struct)?)\s+(?P<name>\w+)(?:\s+final)?\s*(?::(?!:)[^;{]*)?\{")


def nouns(stem):
    """What `stem` may be named after: node_draining after node_draining or node."""
    words = stem.split("_")
    return ["_".join(words[:count]) for count in range(len(words), 0, -1)]


def unnamed(paths):
    """(path, message) for each tests/FOLDER/..._test.cpp that begins with no FOLDER/NOUN.hpp, where there is such a folder."""
    paths = {path.replace(os.sep, "/") for path in paths}
    folders = {os.path.dirname(path) for path in paths if path.endswith(".hpp") and not path.startswith("tests/")} - PAGES
    for path in sorted(paths):
        match = CASES.fullmatch(path)
        if not match or match["folder"] not in folders:
            continue
        headers = [f"{folder}/{noun}.hpp" for noun in nouns(match["stem"])
                   for folder in (match["folder"], "tests/" + match["folder"])]
        if not paths.intersection(headers):
            yield path, f"a test named after nothing: neither {match['folder']}/ nor its tests have a header that begins its name"


def classes(source):
    """(full name, position) of each class that is defined in a named namespace."""
    opened = [(match.start(), source.partner.get(match.end() - 1), (match["name"] or "").strip())
              for match in NAMESPACE.finditer(source.code)]
    bodies = {match.end() - 1 for match in NAMESPACE.finditer(source.code)}
    for match in CLASS.finditer(source.code):
        around = [(begin, name) for begin, end, name in opened if end and begin < match.start() < end]
        inside = [opening for opening, closing in source.partner.items()
                  if source.code[opening] == "{" and opening < match.start() < closing and opening not in bodies]
        if around and not inside and all(name for _, name in around):
            yield "::".join(name for _, name in sorted(around)) + "::" + match["name"], match.start()


def shared(sources):
    """(path, position, message) for each class in tests/ whose full name another file has given already."""
    seen = {}
    for path in sorted(sources):
        if not path.startswith("tests" + os.sep):
            continue
        for name, position in classes(sources[path]):
            if name in seen and seen[name] != path:
                yield path, position, f"{name} is also a class of {seen[name]}: two test classes of one full name"
            seen.setdefault(name, path)
