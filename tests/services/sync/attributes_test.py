#!/usr/bin/env python3
"""Random trees and changes, random options of transfer and attributes: `trunkline sync` and rsync make the same of them.

    attributes_test.py PROGRAM [--seeds N] [--first S] [--verbose] [--keep]

Each seed makes a source with files of several sizes, hard links, extended attributes, ACLs, owners (as root), odd modes, fifos
and links, and a destination that is an older version of it with some of it changed. Both programs bring the source to a copy
of the destination, ours here or through a server, pushed or pulled, and may be killed at a random moment before. Then every
attribute is compared that the options keep: types, contents, modes, times, owners, names that are one file, extended attributes
and ACLs. A second run must find nothing to do. A failure prints its seed and what it takes to see it.
"""

import argparse
import os
import random
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

PATIENCE = 120
ROOT = os.geteuid() == 0
NAMES = ["a", "b", "c.txt", "d e", "\u00e4", "log.1", "log.2", "x", "y", "z"]


def content(choose):
    size = choose.choice([0, 1, 100, 5000, 20_000, 70_000, 300_000])
    return choose.randbytes(size) if choose.random() < 0.7 else bytes([choose.randrange(256)]) * size


def acl(mode, word):
    """What setfacl makes of a mode and one more entry, as u:1234:rw, for the kernel; a process for each would take most of the time."""
    kind, number, letters = word.split(":")
    more = sum({"r": 4, "w": 2, "x": 1}[letter] for letter in letters)
    user, group, other = mode >> 6 & 7, mode >> 3 & 7, mode & 7
    nobody = 0xffffffff
    entries = [(1, user, nobody), *([(2, more, int(number))] if kind == "u" else []), (4, group, nobody),
               *([(8, more, int(number))] if kind == "g" else []), (16, group | more, nobody), (32, other, nobody)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def decorate(choose, path, is_directory, xattrs, acls):
    if xattrs and choose.random() < 0.3:
        for _ in range(choose.randrange(1, 3)):
            os.setxattr(path, "user." + choose.choice(["one", "two", "three"]), choose.randbytes(choose.randrange(200)))
    if ROOT and choose.random() < 0.3:
        os.chown(path, choose.choice([0, 1, 1234]), choose.choice([0, 2, 5678]))
    os.chmod(path, choose.choice([0o755, 0o700, 0o2775, 0o1777] if is_directory else [0o644, 0o600, 0o755, 0o444, 0o4755, 0o2755, 0o640]))
    if acls and choose.random() < 0.25:
        mode = os.stat(path).st_mode
        os.setxattr(path, "system.posix_acl_access", acl(mode, choose.choice(["u:1234:rw", "g:5678:r", "u:1:rwx"])))
        if is_directory and choose.random() < 0.5:
            os.setxattr(path, "system.posix_acl_default", acl(mode, "u:1234:rx"))
    when = 10**18 + choose.randrange(50) * 10**9 + choose.choice([0, 0, 123_456_789])
    os.utime(path, ns=(when, when))


def make_tree(choose, root, xattrs, acls, depth=0, files=None):
    files = [] if files is None else files
    os.makedirs(root, exist_ok=True)
    for name in choose.sample(NAMES, choose.randrange(2, 7)):
        path = f"{root}/{name}"
        kind = choose.random()
        if kind < 0.2 and depth < 2:
            make_tree(choose, path, xattrs, acls, depth + 1, files)
            continue
        if kind < 0.27:
            os.symlink(choose.choice(["nowhere", "a", "../b"]), path)
            if ROOT and choose.random() < 0.3:
                os.lchown(path, 1234, 5678)
            os.utime(path, ns=(10**18, 10**18), follow_symlinks=False)
        elif kind < 0.32:
            os.mkfifo(path)
            decorate(choose, path, False, False, False)
        elif kind < 0.42 and files:
            os.link(choose.choice(files), path)
        else:
            with open(path, "wb") as file:
                file.write(content(choose))
            decorate(choose, path, False, xattrs, acls)
            files.append(path)
    decorate(choose, root, True, xattrs, acls)


def change(choose, root, xattrs, acls):
    """Makes an older, or a different, version of a tree."""
    for at, folders, files in os.walk(root):
        folders.sort()  # a seed is the same on every file system
        for name in list(folders) + sorted(files):
            path = f"{at}/{name}"
            kind = choose.random()
            if not os.path.lexists(path):
                continue
            status = os.lstat(path)
            if kind < 0.12:
                if stat.S_ISDIR(status.st_mode):
                    folders.remove(name)
                    shutil.rmtree(path)
                else:
                    os.unlink(path)
                if choose.random() < 0.3:
                    with open(path, "wb") as file:
                        file.write(content(choose))
            elif kind < 0.2 and stat.S_ISREG(status.st_mode):
                os.rename(path, f"{at}/{choose.choice(NAMES)}.moved")
            elif kind < 0.5 and stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    data = bytearray(file.read())
                for _ in range(choose.randrange(1, 4)):
                    place = choose.randrange(len(data) + 1)
                    edit = choose.randrange(3)
                    if edit == 0:
                        data[place:place] = choose.randbytes(choose.randrange(3000))
                    elif edit == 1:
                        del data[place:place + choose.randrange(3000)]
                    else:
                        data[place:place + 5] = b"other"
                os.unlink(path)
                with open(path, "wb") as file:
                    file.write(data)
                when = 10**18 - choose.randrange(50) * 10**9
                os.utime(path, ns=(when, when))
            elif kind < 0.65 and not stat.S_ISLNK(status.st_mode):
                decorate(choose, path, stat.S_ISDIR(status.st_mode), xattrs and not stat.S_ISFIFO(status.st_mode), acls)


def options(choose, xattrs, acls):
    words = []
    chance = choose.random
    if chance() < 0.5:
        words.append("-a")
    else:
        words += [word for word in ("-o", "-g", "-D", "-p") if chance() < 0.5]
    if chance() < 0.5:
        words.append("-H")
    if xattrs and chance() < 0.5:
        words.append("-X")
    if acls and chance() < 0.5:
        words.append("-A")
    if chance() < 0.3:
        words.append("--numeric-ids")
    if chance() < 0.6:
        words.append("--delete")
    if chance() < 0.2:
        words.append("-c")
    if chance() < 0.3:
        words.append("-z")
    if chance() < 0.15:
        words.append(choose.choice(["--chmod=D2755,F644", "--chmod=go-w,+X", "--chmod=u+rw,Fo-rwx", "--chmod=Dg+s,ug+w"]))
    # rsync applies --chown to the users and groups in ACLs, too, which ours leaves as they are.
    if ROOT and chance() < 0.15 and "-A" not in words:
        words.append(choose.choice(["--chown=1:2", "--chown=1234", "--chown=:5678"]))
    kind = chance()
    if kind < 0.15 and "-H" not in words:
        words.append("--inplace")
    elif kind < 0.6:
        words.append(choose.choice(["-W", "--no-whole-file"]))
    return words


def keeps(words, letter):
    return any(word.startswith("-") and not word.startswith("--") and letter in word for word in words) or (letter in "ogDp" and "-a" in words)


def picture(root, words, source):
    owners = keeps(words, "o") or any(word.startswith("--chown=") and word[8] != ":" for word in words)
    groups = keeps(words, "g") or any(word.startswith("--chown=") and ":" in word for word in words)
    seen = {}
    first = {}
    # A name that the source does not have may be one file with some that it has: rsync goes on with any name of such a
    # file, and then changes that name, too; ours begins with the first one in the source.
    links_alone = keeps(words, "H") and "--delete" not in words
    for at, folders, files in os.walk(root):
        folders.sort()
        for name in ["."] + folders + sorted(files):
            path = os.path.join(at, name)
            if name == "." and at != root:
                continue
            status = os.lstat(path)
            key = os.path.relpath(path, root)
            if links_alone and not os.path.lexists(os.path.join(source, key)):
                seen[key] = ("only here",)
                continue
            parts = [stat.S_IFMT(status.st_mode)]
            special = not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode))
            if special and not keeps(words, "D"):
                continue
            if ROOT:
                parts.append(status.st_uid if owners else None)
                parts.append(status.st_gid if groups else None)
            parts.append(status.st_mtime_ns)
            if stat.S_ISLNK(status.st_mode):
                parts.append(os.readlink(path))
            else:
                parts.append(oct(status.st_mode & (0o7777 if keeps(words, "p") else 0o777)))
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    parts.append(file.read())
                if keeps(words, "H"):
                    parts.append(first.setdefault(status.st_ino, key))
            if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
                if keeps(words, "X"):
                    parts.append({name: os.getxattr(path, name) for name in sorted(os.listxattr(path)) if name.startswith("user.")})
                if keeps(words, "A"):
                    parts.append({name: os.getxattr(path, name) for name in sorted(os.listxattr(path)) if name.startswith("system.posix_acl")})
            seen[key] = tuple(map(repr, parts))
    return seen


class Serve:
    def __init__(self, program, root, socket):
        self.process = subprocess.Popen([program, "serve", "-q", "--root", root, "--listen", f"unix:{socket}"], stdout=subprocess.PIPE)
        self.address = self.process.stdout.readline().decode().split()[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def sync(program, choose, words, here, way):
    """The command, and the server that it needs."""
    if way == "here":
        return None, [program, "sync", *words, f"{here}/from", f"{here}/ours/to"]
    serve = Serve(program, f"{here}/ours" if way == "push" else here, f"{here}/socket")
    if way == "push":
        return serve, [program, "sync", *words, f"{here}/from", f"{serve.address}!/to"]
    return serve, [program, "sync", *words, f"{serve.address}!/from", f"{here}/ours/to"]


def one(program, seed, verbose, keep):
    choose = random.Random(seed)
    here = tempfile.mkdtemp(prefix="trunkline-attributes-")
    serve = None
    try:
        xattrs = works(lambda: os.setxattr(here, "user.probe", b"x"))
        acls = works(lambda: os.setxattr(here, "system.posix_acl_access", acl(0o700, "u:1234:r")))
        if acls:
            os.removexattr(here, "system.posix_acl_access")
        make_tree(choose, f"{here}/from", xattrs, acls)
        os.makedirs(f"{here}/before")
        subprocess.run(["cp", "-a", f"{here}/from", f"{here}/before/to"], check=True)
        change(choose, f"{here}/before/to", xattrs, acls)
        words = options(choose, xattrs, acls)
        subprocess.run(["cp", "-a", f"{here}/before", f"{here}/ours"], check=True)
        os.rename(f"{here}/before", f"{here}/rsync")
        serve, command = sync(program, choose, words, here, choose.choice(["here", "push", "pull"]))
        is_killed = choose.random() < 0.3 and "--inplace" not in words
        if is_killed:
            victim = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(choose.random() * 0.05)  # lint-allow: it is killed at any moment
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            torn = torn_files(f"{here}/from", f"{here}/rsync/to", f"{here}/ours/to")
            if torn:
                print(f"seed {seed}: {words}: torn after a kill: {torn[:3]}")
                return False
        ours = run_patiently(command)
        plain = [word for word in words if word != "-z"]
        theirs = subprocess.run(["rsync", "-rlpt", "--modify-window=-1", *plain, *(["--delete-after"] if "--delete" in words else []), f"{here}/from/", f"{here}/rsync/to/"],
                                capture_output=True, timeout=PATIENCE)
        left = [picture(f"{here}/{name}", words, f"{here}/from") for name in ("ours/to", "rsync/to", "from")]
        # What is as it is in the source is right, also where rsync makes something else of it: it takes the group's
        # part out of an ACL that replaces one with default entries.
        different = sorted(key for key in left[0].keys() | left[1].keys()
                           if left[0].get(key) not in (left[1].get(key), left[2].get(key, ())))
        again = run_patiently([*command[:2], "-i", *command[2:]])
        busy = [line for line in again.stdout.decode(errors="replace").splitlines() if line[:1] in "<>ch*" and line[:2] != "  "][:3]
        if verbose:
            print(seed, words, ours.returncode, theirs.returncode)
        if not different and not busy and ours.returncode == 0 and theirs.returncode == 0:
            return True
        print(f"seed {seed}: {words} {'after a kill ' if is_killed else ''}{' '.join(command[-2:])}\n"
              f"  exit codes {ours.returncode} and rsync's {theirs.returncode}: {ours.stderr.decode()}{theirs.stderr.decode()}")
        for key in different[:5]:
            print(f"  {key}: {shown(left[0].get(key))} and rsync's {shown(left[1].get(key))}")
        for line in busy:
            print(f"  done again: {line}")
        return False
    finally:
        if serve:
            serve.__exit__()
        if keep:
            print(f"seed {seed}: {here}")
        else:
            if not ROOT:
                subprocess.run(["chmod", "-R", "u+rwx", here], capture_output=True)
            shutil.rmtree(here, ignore_errors=True)


def shown(parts):
    return [part[:60] for part in parts] if parts else None


def works(action):
    try:
        action()
        return True
    except OSError:
        return False


def run_patiently(command):
    """A server that serves a client which was killed may still have its files for a moment."""
    return subprocess.run(command, capture_output=True, timeout=PATIENCE)


def torn_files(source, before, after):
    """Files that have neither their old nor their new content."""
    known = {}
    for root in (source, before):
        for at, _, files in os.walk(root):
            for name in files:
                path = os.path.join(at, name)
                if stat.S_ISREG(os.lstat(path).st_mode):
                    with open(path, "rb") as file:
                        known.setdefault(os.path.relpath(path, root), []).append(file.read())
    torn = []
    for at, _, files in os.walk(after):
        for name in files:
            path = os.path.join(at, name)
            if ".trunkline-" in name or not stat.S_ISREG(os.lstat(path).st_mode):
                continue
            with open(path, "rb") as file:
                if file.read() not in known.get(os.path.relpath(path, after), []):
                    torn.append(os.path.relpath(path, after))
    return torn


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--seeds", type=int, default=500 if os.environ.get("CI") == "true" else 60)
    parser.add_argument("--first", type=int, default=int(os.environ.get("TRUNKLINE_SEED") or 1))
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave the trees where they are")
    wanted = parser.parse_args()
    program = os.path.abspath(wanted.program)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        passed = sum(pool.map(lambda seed: one(program, seed, wanted.verbose, wanted.keep), range(wanted.first, wanted.first + wanted.seeds)))
    failed = wanted.seeds - passed
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
