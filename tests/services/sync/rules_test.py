#!/usr/bin/env python3
"""Random trees, rules and options: `trunkline sync` and rsync make the same of them.

    rules_test.py PROGRAM [--seeds N] [--first S] [--verbose]

Each seed makes a source and a destination with names that patterns meet often, a list of rules and options, gives both
programs a copy of the destination, and compares what is there afterwards: names, types, contents, times and, where something
is linked, which files are one. rsync deletes last, as trunkline does. A failure prints its seed and what it takes to see it.
"""

import argparse
import os
import random
import shutil
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

NAMES = ["a", "b", "ab", "ba", "a.o", "b.o", "x1", "x2", "core", "7", "a b", "[q]", "q\\", "-", "+ c", "b~"]
WILD = ["*", "?", "a*", "*.o", "*b", "[ab]", "[!a]", "[^a]*", "[[:alpha:]]", "[[:digit:]]*", "x[0-9]", "??", "**", "a**", "**b", "\\[q\\]*",
        "q\\\\*", "[]-]", "[a-]", "*[!.]?"]
PATIENCE = 60


def make_tree(choose, root, depth=0):
    os.makedirs(root, exist_ok=True)
    for name in choose.sample(NAMES, choose.randrange(2, 7)):
        path = f"{root}/{name}"
        kind = choose.random()
        # The name says whether it is a directory, so that none is in the way of a file.
        if name in ("a", "ab", "x1", "core", "a b", "-"):
            if depth < 3:
                make_tree(choose, path, depth + 1)
        elif kind < 0.1:
            os.symlink("nowhere" + str(choose.randrange(3)), path)
            os.utime(path, (10**9, 10**9), follow_symlinks=False)
        else:
            with open(path, "w") as file:
                file.write("x" * choose.choice([0, 1, 5, 100, 1500]) + choose.choice("pq"))
            when = 10**9 + choose.choice([0, 0, 10, 20])
            os.utime(path, (when, when))


def pattern(choose):
    count = choose.choice([1, 1, 1, 2, 2, 3])
    text = "/".join(choose.choice(NAMES if choose.random() < 0.5 else WILD) for _ in range(count))
    if choose.random() < 0.25:
        text = "/" + text
    if text.endswith("\\") and any(letter in text for letter in "*?["):
        text = text[:-1]  # which we refuse, and of which rsync makes a pattern that nothing matches
    end = choose.random()
    return text + ("/" if end < 0.2 else "/***" if end < 0.27 else "/**" if end < 0.32 else "/***/" if end < 0.33 else "")


def filter_rule(choose):
    kind = choose.choice(["-", "+", "-", "+", "H", "S", "P", "R", "exclude", "include", "protect", "hide", "-!", "+!", "-s", "-r", "+r", "-p"])
    return kind + choose.choice([" ", " ", "_"]) + pattern(choose)


def rules(choose, here):
    words = []
    for number in range(choose.randrange(0, 7)):
        kind = choose.random()
        if kind < 0.3:
            words += ["--exclude", choose.choice(["", "", "", "+ ", "- "]) + pattern(choose)]
        elif kind < 0.5:
            words += ["--include", choose.choice(["", "", "", "- "]) + pattern(choose)]
        elif kind < 0.8:
            words += ["--filter", filter_rule(choose)]
        elif kind < 0.83:
            words += [choose.choice(["--exclude", "--filter"]), "!"]
        elif kind < 0.92:
            option = choose.choice(["--exclude-from", "--include-from"])
            with open(f"{here}/list{number}", "w") as file:
                file.write("# a comment\n\n" + "".join(pattern(choose) + "\n" for _ in range(3)))
            words += [option, f"{here}/list{number}"]
        else:
            with open(f"{here}/merge{number}", "w") as file:
                file.write("; a comment\n" + "".join(filter_rule(choose) + "\n" for _ in range(3)))
            words += ["--filter", choose.choice([". ", "merge ", ".- "]) + f"{here}/merge{number}"]
            if words[-1].startswith(".-"):
                with open(f"{here}/merge{number}", "w") as file:
                    file.write(pattern(choose) + "\n")
    return words


def directory_rules(choose, root):
    """Files with rules in some directories."""
    for at, folders, _ in os.walk(root):
        folders.sort()  # a seed is the same on every file system
        if choose.random() < 0.4:
            with open(f"{at}/.rsync-filter", "w") as file:
                file.write("".join(("!" if choose.random() < 0.1 else filter_rule(choose)) + "\n" for _ in range(choose.randrange(1, 4))))
            os.utime(f"{at}/.rsync-filter", (10**9, 10**9))


def options(choose, here):
    words = []
    chance = choose.random
    if chance() < 0.7:
        words.append("--delete")
    if chance() < 0.2:
        words.append("--delete-excluded")
    if chance() < 0.15:
        words.append(choose.choice(["--max-size=100", "--max-size=1k", "--max-size=1KB", "--min-size=2", "--min-size=1.4k"]))
    if chance() < 0.15:
        words.append(choose.choice(["-u", "--existing", "--ignore-existing"]))
    if chance() < 0.1:
        words.append("-c")
    if chance() < 0.15:
        words += choose.choice([["-b"], ["-b", "--suffix=.old"], ["--backup-dir=../kept"], ["-b", "--backup-dir=../kept", "--suffix=.k"]])
    if chance() < 0.1 and "-c" not in words:
        words.append("--link-dest=../links")
    if chance() < 0.15:
        words.append("-F" if chance() < 0.5 else "-FF")
    if "-b" in words and "--backup-dir=../kept" not in words:  # rsync deletes what it has just kept, we do not
        words = [word for word in words if word != "--delete-excluded"]
    return words


def picture(root, links):
    seen = {}
    first = {}
    for at, folders, files in os.walk(root):
        folders.sort()
        for name in folders + sorted(files):
            path = os.path.join(at, name)
            status = os.lstat(path)
            key = os.path.relpath(path, root)
            if stat.S_ISLNK(status.st_mode):
                seen[key] = ("link", os.readlink(path))
            elif stat.S_ISDIR(status.st_mode):
                seen[key] = ("directory",)
            else:
                with open(path) as file:
                    seen[key] = ("file", file.read(), status.st_mtime)
                if links:
                    first.setdefault(status.st_ino, key)
                    seen[key] += (first[status.st_ino],)
    return seen


def one(program, seed, verbose):
    choose = random.Random(seed)
    here = tempfile.mkdtemp(prefix="trunkline-rules-")
    try:
        make_tree(choose, f"{here}/from")
        make_tree(choose, f"{here}/before/to")
        make_tree(choose, f"{here}/before/links")
        os.makedirs(f"{here}/before/kept")
        if choose.random() < 0.7:  # so that something is as it should be already
            copy_missing(f"{here}/from", f"{here}/before/to")
        copy_missing(f"{here}/from", f"{here}/before/links")
        words = options(choose, here)
        if any(word.startswith("-F") for word in words):
            directory_rules(choose, f"{here}/from")
            directory_rules(choose, f"{here}/before/to")
        words += rules(choose, here)
        if choose.random() < 0.1:
            known = sorted(os.path.relpath(os.path.join(at, name), f"{here}/from") for at, _, files in os.walk(f"{here}/from") for name in files)
            zeros = choose.random() < 0.5
            with open(f"{here}/files", "w") as file:
                file.write("".join(name + ("\0" if zeros else "\n") for name in choose.sample(known, min(5, len(known)))))
            words = [word for word in words if not word.startswith("--delete")]
            words += ["--files-from", f"{here}/files"] + (["-0"] if zeros else [])
            if zeros:  # the lists of rules would have to end their lines so, too
                words = strip_lists(words)
        for name in ("ours", "rsync"):
            shutil.copytree(f"{here}/before", f"{here}/{name}", symlinks=True)
        ours = subprocess.run([program, "sync", "-v", *words, f"{here}/from", f"{here}/ours/to"], capture_output=True, timeout=PATIENCE)
        after = ["--delete-after"] if any(word.startswith("--delete") for word in words) else []
        theirs = subprocess.run(["rsync", "-rlpt", "-v", *after, *words, f"{here}/from/", f"{here}/rsync/to/"], capture_output=True, timeout=PATIENCE)
        links = any(word.startswith("--link-dest") for word in words)
        left = [picture(f"{here}/{name}", links) for name in ("ours", "rsync")]
        different = sorted(key for key in left[0].keys() | left[1].keys() if left[0].get(key) != left[1].get(key))
        if "-b" in words and after and "--backup-dir=../kept" not in words:
            before = picture(f"{here}/before", False)
            different = [key for key in different if not is_just_kept(key, words, before, *left)]
        if verbose:
            print(seed, words, ours.returncode, theirs.returncode)
        if not different and ours.returncode in (0, 23) and theirs.returncode in (0, 23):
            return True
        print(f"seed {seed}: {words}\n  exit codes {ours.returncode} and rsync's {theirs.returncode}: {ours.stderr.decode()}{theirs.stderr.decode()}")
        for key in different[:6]:
            print(f"  {key}: {left[0].get(key)} and rsync's {left[1].get(key)}")
        for at, _, files in os.walk(f"{here}/from"):
            for name in files:
                if name == ".rsync-filter":
                    print(f"  {os.path.relpath(at, here)}: {open(f'{at}/{name}').read()!r}")
        for name in os.listdir(here):
            if name.startswith(("merge", "list")):
                print(f"  {name}: {open(f'{here}/{name}').read()!r}")
        return False
    finally:
        shutil.rmtree(here, ignore_errors=True)


def is_just_kept(key, words, before, ours, theirs):
    """Where a rule comes before the one by which it protects backups, rsync deletes what it has just kept; we do not."""
    suffix = ".old" if "--suffix=.old" in words else "~"
    return key.endswith(suffix) and key not in theirs and ours[key][:2] == before.get(key[:-len(suffix)], ())[:2]


def copy_missing(source, target):
    for at, folders, files in os.walk(source):
        into = os.path.normpath(os.path.join(target, os.path.relpath(at, source)))
        os.makedirs(into, exist_ok=True)
        for name in folders + files:
            if not os.path.lexists(f"{into}/{name}") and (name in files or os.path.islink(f"{at}/{name}")):
                shutil.copy2(f"{at}/{name}", f"{into}/{name}", follow_symlinks=False)


def strip_lists(words):
    kept = []
    skip = False
    for word, after in zip(words, words[1:] + [""]):
        if skip:
            skip = False
        elif word in ("--exclude-from", "--include-from") or (word == "--filter" and after.startswith((".", "merge"))):
            skip = True
        else:
            kept.append(word)
    return kept


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--seeds", type=int, default=500 if os.environ.get("CI") == "true" else 60)
    parser.add_argument("--first", type=int, default=int(os.environ.get("TRUNKLINE_SEED") or 1))
    parser.add_argument("--verbose", action="store_true")
    wanted = parser.parse_args()
    program = os.path.abspath(wanted.program)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        passed = sum(pool.map(lambda seed: one(program, seed, wanted.verbose), range(wanted.first, wanted.first + wanted.seeds)))
    failed = wanted.seeds - passed
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
