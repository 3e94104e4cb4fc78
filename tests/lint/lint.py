#!/usr/bin/env python3
"""House rules that a compiler does not know. Prints one line per finding; exit code 1 when there is one.

A finding that is wrong in its place is allowed by a comment on its line, which has to say why:  // lint-allow: REASON
"""

# ./dev lint [--quick] [--fix] [--tidy [FILE...]]
#   Runs tests/lint/lint.py (coroutine patterns that g++ 12 miscompiles, house rules), and clang-format on the files changed since the last
#   commit, or on all of them in a clean tree, where it is installed (./dev setup --lint).
#   --quick  only the first
#   --fix    let clang-format put those files in order
#   --tidy   also clang-tidy, on FILE... or the files changed since the last commit

import argparse
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support")]
import coroutines  # noqa: E402
import dev  # noqa: E402
import names  # noqa: E402
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
    ("inherited", lambda path: folder(path) in LIBRARY | {"cli"},
     re.compile(r"\basync_accept\s*\(|\b(?:socket|probe|acceptor)_?\.open\s*\("
                r"|\bstd::(?:basic_)?[io]?f(?:stream|ilebuf)\b|(?<![\w>])::(?:accept|pipe|dup|epoll_create|inotify_init)\s*\("
                r"|(?<![\w>])::(?:open|openat|socket|accept4|pipe2|memfd_create|eventfd)\s*\((?![^;]*CLOEXEC)"),
     "a descriptor that a program of the user's inherits: close it on exec from its first moment (docs/system.md)"),
    ("umbrella", lambda path: True,
     re.compile(r"#\s*include\s*<boost/(?:asio|beast)\.hpp>"),
     "umbrella include: seconds of compile time for every file that includes it"),
    ("deprecated", lambda path: True,
     re.compile(r"\bio_service\b|\bio_context::work\b|\bresolver::query\b|\basio::(?:null_buffers|buffer_cast)\b"
                r"|\baddress(?:_v[46])?::from_string\b|\.(?:get_io_context|get_io_service|to_ulong|expires_from_now)\(\)"
                r"|\basio_handler_(?:allocate|deallocate|invoke|is_continuation)\b"),
     "deprecated in Asio: gone for a program that defines BOOST_ASIO_NO_DEPRECATED"),
    ("sleep", lambda path: folder(path) == "tests",
     re.compile(r"\bstd::this_thread::sleep_(?:for|until)\b|(?<![\w.:])(?:u|nano)?sleep\s*\(|\btime\.sleep\s*\("),
     "a test that sleeps: drive the thing directly, or wait for what it does"),
]
# Paths of one machine, everywhere, also in comments and strings. The pattern is written so as not to match itself.
MACHINE = re.compile(r"(?<![\w.$}/])/(?:work|farm|home/[a-z]+)/[a-z]|/tmp/(?:bash|build)[_a-z-]")
ALLOWED = re.compile(r"lint-allow:\s*\S")
# A medium's own file names its scheme in a constant; other code asks the medium (transport/medium.hpp). tcp is everybody's
# example, and what an address of a QuarkChain configuration means.
SCHEME = re.compile(r'\b(?:\w*scheme|prefix) = "([a-z][a-z0-9+.-]*)(?::|")')
KNOWN_TO_ALL = {"tcp"}
KNOWS_MEDIA = {"transport", "tests", "examples"}  # programs choose their media


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


def schemes_in(texts, sources):
    """The schemes that belong to one medium each."""
    found = set()
    for path in sources:
        if folder(path) == "transport":
            found |= set(SCHEME.findall(texts[path]))
    return found - KNOWN_TO_ALL


def schemes_named(source, schemes):
    """(position, scheme) of each literal that is a scheme or an address of one."""
    for position, literal in source.literals():
        scheme = literal.split(":", 1)[0]
        if scheme in schemes:
            yield position, scheme


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

    schemes = schemes_in(texts, sources)
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
            if folder(path) not in KNOWS_MEDIA:
                for position, scheme in schemes_named(sources[path], schemes):
                    report(path, sources[path].line(position), f'the scheme "{scheme}" is known to its medium alone: ask the Medium')
        elif path.endswith(".py"):
            code = strip_python(text)
        else:
            continue
        for _, applies, pattern, message in IN_CODE:
            if applies(path):
                for match in pattern.finditer(code):
                    report(path, code.count("\n", 0, match.start()) + 1, message)
    for path, message in names.unnamed(texts):
        report(path, 1, message)
    for path, position, message in names.shared(sources):
        report(path, sources[path].line(position), message)
    return sorted(findings)


def changed_sources(root):
    """C++ files that differ from the last commit, or all of them in a clean tree."""
    def git(*arguments):
        return subprocess.run(["git", "-C", root, *arguments], check=True, capture_output=True, text=True).stdout.splitlines()

    def ours(paths):
        return [path for path in paths if path.endswith((".cpp", ".hpp")) and not path.startswith(FIXTURES + os.sep)]

    changed = ours(git("diff", "--name-only", "--diff-filter=d", "HEAD") + git("ls-files", "-o", "--exclude-standard"))
    return changed or ours(git("ls-files", "*.cpp", "*.hpp"))


def check_format(root, fix):
    """True when clang-format has nothing to say, or is not there."""
    if not shutil.which("clang-format-19"):
        print("clang-format-19 is not installed, format not checked (./dev setup --lint)", file=sys.stderr)
        return True
    sources = changed_sources(root)
    how = ["-i"] if fix else ["--dry-run", "--Werror"]
    if sources and subprocess.run(["clang-format-19", *how, *sources], cwd=root).returncode != 0:
        print("lint: ./dev lint --fix puts these in order", file=sys.stderr)
        return False
    return True


def tidy(root, files):
    dev.dev("setup", "--lint")
    build = dev.build("debug")
    files = files or [path for path in changed_sources(root) if path.endswith(".cpp")]
    return subprocess.run(["clang-tidy-19", "--quiet", "-p", build, *files], cwd=root).returncode == 0


def main():
    parser = argparse.ArgumentParser(prog="./dev lint", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--fix", action="store_true")
    parser.add_argument("--tidy", action="store_true")
    parser.add_argument("files", nargs="*", metavar="FILE")
    arguments = parser.parse_intermixed_args()
    root = dev.ROOT
    findings = lint(root)
    for path, line, message in findings:
        print(f"{path}:{line}: {message}")
    if findings:
        return 1
    print("lint: nothing found", flush=True)
    if arguments.quick:
        return 0
    if not check_format(root, arguments.fix):
        return 1
    return 0 if not arguments.tidy or tidy(root, arguments.files) else 1


if __name__ == "__main__":
    sys.exit(main())
