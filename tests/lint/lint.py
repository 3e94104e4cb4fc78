#!/usr/bin/env python3
"""House rules that a compiler does not know. Prints one line per finding; exit code 1 when there is one.

A finding that is wrong in its place is allowed by a comment on its line, which has to say why:  // lint-allow: REASON
"""

import argparse
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import coroutines  # noqa: E402
from source import Source  # noqa: E402

LIBRARY = {"fragment", "async", "circuit", "transport", "peer", "services"}
SKIPPED = {".git", "build", "site", "__pycache__", "node_modules", "subprojects"}
FIXTURES = os.path.join("tests", "lint", "fixtures")

# (name, which files, pattern in code without comments and strings, what to say)
IN_CODE = [
    ("detached", lambda path: folder(path) in LIBRARY,
     re.compile(r"\b(?:asio::detached\b|co_spawn\s*\([^;]*,\s*detached\s*\))"),
     "detached work in the library: who joins it, who hears its exception?"),
    ("mutex", lambda path: folder(path) in LIBRARY,
     re.compile(r"\bstd::(?:recursive_|shared_|timed_)?mutex\b"),
     "a mutex in the library: every object belongs to one executor"),
    ("umbrella", lambda path: True,
     re.compile(r"#\s*include\s*<boost/(?:asio|beast)\.hpp>"),
     "umbrella include: seconds of compile time for every file that includes it"),
    ("sleep", lambda path: folder(path) == "tests",
     re.compile(r"\bstd::this_thread::sleep_(?:for|until)\b|(?<![\w.:])(?:u|nano)?sleep\s*\(|\btime\.sleep\s*\("),
     "a test that sleeps: drive the thing directly, or wait for what it does"),
]
# Paths of one machine, everywhere, also in comments and strings. The pattern is written so as not to match itself.
MACHINE = re.compile(r"(?<![\w.$}/])/(?:work|farm|home/[a-z]+)/[a-z]|/tmp/(?:bash|build)[_a-z-]")
ALLOWED = re.compile(r"lint-allow:\s*\S")


def folder(path):
    return path.split(os.sep, 1)[0]


def files_of(root):
    """Every text file of the tree, as paths relative to it, in a stable order."""
    for directory, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        for name in sorted(set(names) - SKIPPED):  # in a second work tree .git is a file
            yield os.path.relpath(os.path.join(directory, name), root)


def strip_python(text):
    return re.sub(r"(?m)#.*$", "", re.sub(r'("""|\'\'\').*?\1', lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S))


def lint(root):
    """Findings as (path, line, message)."""
    sources, texts = {}, {}
    for path in files_of(root):
        if path.startswith(FIXTURES):
            continue
        try:
            with open(os.path.join(root, path), encoding="utf-8") as file:
                texts[path] = file.read()
        except (UnicodeDecodeError, OSError):
            continue  # not text: a corpus file, an image
        if path.endswith((".cpp", ".hpp")):
            sources[path] = Source(texts[path])

    aggregates, others = set(), set()
    for source in sources.values():
        found = coroutines.records(source)
        aggregates |= found[0]
        others |= found[1]
    ambiguous = aggregates & others  # the same name in two places: one may be the aggregate
    others -= ambiguous

    findings = []

    def report(path, line, message):
        if not ALLOWED.search(texts[path].split("\n")[line - 1]):
            findings.append((path, line, message))

    for path, text in texts.items():
        for match in MACHINE.finditer(text):
            report(path, text.count("\n", 0, match.start()) + 1, f"a path of one machine: {match.group(0)}...")
        if path in sources:
            code = sources[path].code
            for position, message in coroutines.check(sources[path], aggregates - ambiguous, others):
                report(path, sources[path].line(position), message)
        elif path.endswith(".py"):
            code = strip_python(text)
        else:
            continue
        for _, applies, pattern, message in IN_CODE:
            if applies(path):
                for match in pattern.finditer(code):
                    report(path, code.count("\n", 0, match.start()) + 1, message)
    return sorted(findings)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    findings = lint(parser.parse_args().root)
    for path, line, message in findings:
        print(f"{path}:{line}: {message}")
    if not findings:
        print("lint: nothing found")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
