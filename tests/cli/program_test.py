#!/usr/bin/env python3
"""Drives the trunkline program as a person or a script would: exit codes, error lines, both directions, signals.

Each test_* function is one test and gets an empty directory. Nothing here sleeps: tests wait for lines, for the end of a
process, or stop a process in the middle and look.
"""

import fcntl
import hashlib
import json
import os
import pty
import random
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import traceback

PROGRAM = os.path.abspath(sys.argv[1])
SEED = int(os.environ.get("TRUNKLINE_SEED") or random.SystemRandom().randrange(1 << 32))
PATIENCE = 60  # seconds until something that should happen counts as hanging

EQUAL, USAGE, SOCKET, FILE, PROTOCOL, INTERRUPTED, PARTIAL, VANISHED, TIMEOUT = 0, 1, 10, 11, 12, 20, 23, 24, 30


class Skip(Exception):
    pass


# --- what tests are made of

def run(*arguments, **options):
    return subprocess.run([PROGRAM, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, **options)


def expect(result, code, error=None):
    """The exit code, and at most one line of trouble, which holds `error`."""
    text = result.stderr.decode("utf-8", "replace")
    assert result.returncode == code, f"exit code {result.returncode} instead of {code}: {text}{result.stdout.decode('utf-8', 'replace')}"
    if error is None:
        assert text == "", f"unexpected trouble: {text}"
    else:
        assert text.count("\n") == 1 and text.startswith("trunkline: "), f"not one line: {text!r}"
        assert error in text, f"{error!r} is not in {text!r}"
    return result


class Serve:
    """A running `trunkline serve`; ended, however the test ends."""

    def __init__(self, root, *arguments, listen=("tcp://127.0.0.1:0",), **options):
        listening = [word for address in listen for word in ("--listen", address)]
        self.process = subprocess.Popen([PROGRAM, "serve", "--root", str(root), *listening, *arguments],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        self.addresses = []
        for _ in listen:
            line = self.process.stdout.readline().decode()
            assert line.startswith("listening on "), line + self.process.stderr.read().decode()
            self.addresses.append(line.removeprefix("listening on ").rstrip("\n"))
        self.address = self.addresses[0]
        # Somebody has to read the log, or a full pipe would stop the server.
        self.log = []
        self.reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        return code


def write(path, content=b"", mode=0o644, mtime=None):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, mode)
    if mtime is not None:
        os.utime(path, ns=(mtime, mtime), follow_symlinks=False)


def tree(root, count=60):
    """A tree with a bit of everything."""
    for i in range(count):
        write(f"{root}/d{i % 7}/f{i}", os.urandom(i * 37), 0o600 + i % 64)
    write(f"{root}/large", os.urandom(3_000_000))
    write(f"{root}/empty")
    write(f"{root}/with space/new\nline", b"odd", mtime=1_234_567_890_987_654_321)
    write(os.fsencode(root) + b"/\xff\xfe not utf-8", b"bytes")
    os.makedirs(f"{root}/empty dir")
    os.symlink("../no/where", f"{root}/link")
    os.utime(f"{root}/empty dir", ns=(5_000_000_007, 5_000_000_007))


def picture(root):
    """Type, mode, mtime and content of everything, by path."""
    seen = {}
    root = os.fsencode(root)
    for directory, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            line = [oct(status.st_mode), status.st_mtime_ns]
            if os.path.islink(path):
                line = ["link", status.st_mtime_ns, os.readlink(path)]
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    line.append(hashlib.sha256(file.read()).hexdigest())
            seen[os.path.relpath(path, root)] = line
    return seen


def assert_equal(a, b):
    one, other = picture(a), picture(b)
    different = sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))
    assert not different, f"different: {[(path, one.get(path), other.get(path)) for path in different[:5]]}"


def temporaries(root):
    return [path for path in picture(root) if b".trunkline-" in path]


# --- the command line

def test_help_and_version(here):
    for arguments in ([], ["serve"], ["sync"]):
        result = expect(run(*arguments, "--help"), EQUAL)
        text = result.stdout.decode()
        assert "Example:" in text and "Exit codes:" in text, text
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "meson.build"), encoding="utf-8") as file:
        built = re.search(r"version: '([^']+)'", file.read()).group(1)
    assert run("--version").stdout.decode() == f"trunkline {built}\n"


def test_the_man_page_names_every_option_and_exit_code_of_sync(here):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "cli", "sync", "trunkline-sync.1"), encoding="utf-8") as file:
        page = file.read().replace("\\-", "-")
    option = re.compile(r"(?<![\w-])(--?[a-zA-Z0-9][\w-]*)")
    text = run("sync", "--help").stdout.decode()
    spoken = {name for line in text.splitlines() if line.startswith("  -") for name in option.findall(line[:34] if len(line) > 34 and line[33] == " " else line)}
    heads = re.findall(r"^\.TP\n(\\fB-.*)$", page, re.MULTILINE)
    written = {name for head in heads for name in option.findall(re.sub(r"\\f[BRI]", " ", head))}
    assert spoken == written, (sorted(spoken - written), sorted(written - spoken))
    codes = set(re.findall(r"[:;]\s(\d+)\s", text[text.index("Exit codes:"):]))
    assert codes == set(re.findall(r"^\.B (\d+)$", page, re.MULTILINE)), codes


def test_wrong_usage_is_one_line_and_exit_code_1(here):
    for arguments in ([], ["fly"], ["sync"], ["sync", "a"], ["sync", "--fly", "a", "b"], ["serve"], ["serve", "--root", here],
                      ["sync", "tcp://a:1/", "tcp://b:1/"], ["sync", "ftp://a:1/", "b"], ["sync", "tcp://a/", "b"],
                      ["sync", "--exclude", "", "a", "b"], ["sync", "", "b"], ["sync", "--timeout", "-1", "a", "b"]):
        expect(run(*arguments), USAGE, "")


def test_what_is_no_command_is_named_with_those_that_there_are(here):
    for word in ("bogus", "--bogus", "bo\ngus"):
        printed = word.replace("\n", "\\n")
        expect(run(word), USAGE, f'expected one of the commands serve, sync, key, net, top, quarkchain, saw "{printed}" (see trunkline --help)')
    expect(run(), USAGE, "expected one of the commands serve, sync, key, net, top, quarkchain, saw nothing")
    expect(run("sync", "a"), USAGE, "DST")


def test_an_option_that_there_is_not_is_named_also_when_one_is_missing(here):
    expect(run("serve", "--roof", here), USAGE, "there is no option --roof; did you mean --root? (see trunkline serve --help)")
    expect(run("sync", "a", "--fly"), USAGE, "there is no option --fly (see trunkline sync --help)")
    expect(run("net", "tree", "--sise", "9"), USAGE, "there is no option --sise; did you mean --size?")
    expect(run("quarkchain", "slave", "--node_di", "S0"), USAGE, "there is no option --node_di; did you mean --node_id")
    expect(run("serve", "--ro\not", here), USAGE, "there is no option --ro\\not")
    expect(run("serve", f"--roof={here}"), USAGE, "there is no option --roof; did you mean --root?")
    expect(run("serve"), USAGE, "--root is required")


def test_serve_refuses_what_others_can_reach(here):
    for address in ("tcp://0.0.0.0:0", "tcp://[::]:0", "tcp://10.1.2.3:0"):
        expect(run("serve", "--root", here, "--listen", address), USAGE, "--insecure")
    with Serve(here, "--insecure", listen=["tcp://0.0.0.0:0"]) as serve:
        assert serve.end() == EQUAL


def test_serve_says_what_is_wrong(here):
    expect(run("serve", "--root", f"{here}/missing", "--listen", "tcp://127.0.0.1:0"), FILE, "No such file or directory")
    expect(run("serve", "--root", here, "--listen", "tcp://127.0.0.1"), USAGE, "tcp://host:port")
    expect(run("serve", "--root", here, "--listen", "bogus"), USAGE, 'address "bogus" is neither ')
    expect(run("serve", "--root", here, "--listen", "ftp://127.0.0.1:0"), USAGE, 'scheme of "ftp://127.0.0.1:0" is neither')
    with Serve(here) as serve:
        expect(run("serve", "--root", here, "--listen", serve.address), SOCKET, "Address already in use")


def test_serve_listens_on_several_addresses_and_ends_with_each_signal_that_asks_for_it(here):
    os.makedirs(f"{here}/root")
    for number in (signal.SIGTERM, signal.SIGINT):
        with Serve(f"{here}/root", listen=["tcp://127.0.0.1:0", f"unix:{here}/socket", "tcp://127.0.0.1:0"]) as serve:
            assert len(set(serve.addresses)) == 3 and serve.addresses[1] == f"unix:{here}/socket"
            for address in serve.addresses:
                expect(run("sync", f"{here}/root", address), EQUAL)
            assert serve.end(number) == EQUAL


# --- syncs

def test_push_and_pull_make_equal_trees(here):
    tree(f"{here}/from")
    os.makedirs(f"{here}/root")
    with Serve(f"{here}/root") as serve:
        expect(run("sync", f"{here}/from/", f"{serve.address}/new"), EQUAL)
        assert_equal(f"{here}/from", f"{here}/root/new")
        expect(run("sync", f"{serve.address}/new/", f"{here}/back"), EQUAL)
        assert_equal(f"{here}/from", f"{here}/back")
        again = expect(run("sync", f"{here}/from", f"{serve.address}/new"), EQUAL)
        assert b"0 files, 0 B" in again.stdout, again.stdout
        assert serve.end() == EQUAL
        assert sum(b" pushes into " in line for line in serve.log) == 2, serve.log


def test_unix_socket(here):
    tree(f"{here}/from", 5)
    os.makedirs(f"{here}/root")
    with Serve(f"{here}/root", listen=[f"unix:{here}/s"]):
        expect(run("sync", f"{here}/from", f"unix:{here}/s!sub"), EQUAL)
        expect(run("sync", f"unix:{here}/s!/sub/", f"{here}/back"), EQUAL)
    assert_equal(f"{here}/from", f"{here}/back")


def test_two_directories_here(here):
    tree(f"{here}/from")
    expect(run("sync", f"{here}/from", f"{here}/to"), EQUAL)
    assert_equal(f"{here}/from", f"{here}/to")
    expect(run("sync", f"{here}/from/large", f"{here}/alone"), EQUAL)
    assert os.listdir(f"{here}/alone") == ["large"]
    expect(run("sync", "from", "./relative", cwd=here), EQUAL)
    assert_equal(f"{here}/from", f"{here}/relative")


def test_two_syncs_at_once_into_one_new_tree(here):
    for i in range(400):
        write(f"{here}/from/d{i % 40}/e/f{i}", os.urandom(i))
        os.symlink(f"f{i}", f"{here}/from/d{i % 40}/l{i}") if i % 4 == 0 else None
    for turn in range(3):
        os.makedirs(f"{here}/root{turn}")
        with Serve(f"{here}/root{turn}") as serve:
            both = [subprocess.Popen([PROGRAM, "sync", "--quiet", f"{here}/from", address], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                    for address in (f"{serve.address}/new", f"{serve.address}/new", f"{here}/root{turn}/new")]
            for sync in both:
                _, trouble = sync.communicate(timeout=PATIENCE)
                assert sync.returncode == EQUAL, trouble.decode()
        assert_equal(f"{here}/from", f"{here}/root{turn}/new")


def test_directories_that_shut_out_their_owner(here):
    """As a user for whom modes count: such directories are synced again, deleted, and are as shut as before."""
    if os.geteuid() != 0:
        raise Skip("needs root, to become another user")

    def become_nobody():
        os.setgid(65534)
        os.setuid(65534)

    os.chmod(here, 0o777)
    program = f"{here}/program"
    shutil.copy(PROGRAM, program)
    os.chmod(program, 0o755)

    def sync(*arguments):
        return expect(subprocess.run([program, "sync", *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                                     timeout=PATIENCE, preexec_fn=become_nobody), EQUAL)

    shut = {"none": 0o000, "read": 0o555, "list": 0o444, "enter": 0o311}
    for name in shut:
        write(f"{here}/root/{name}/file", b"content")
        write(f"{here}/root/{name}/deep/file", b"deep")
        os.chmod(f"{here}/root/{name}/deep", 0o555)
    for name, mode in shut.items():
        os.chmod(f"{here}/root/{name}", mode)
    with Serve(f"{here}/root") as serve:
        for _ in range(3):
            sync(serve.address, f"{here}/to")
            assert_equal(f"{here}/root", f"{here}/to")
        before = picture(f"{here}/to")
        write(f"{here}/root/none/new", b"new")
        write(f"{here}/root/read/deep/new", b"new")
        sync("--quiet", serve.address, f"{here}/to")
        assert_equal(f"{here}/root", f"{here}/to")
        for name in shut:
            shutil.rmtree(f"{here}/root/{name}/deep")
        sync("--delete", serve.address, f"{here}/to")
        assert_equal(f"{here}/root", f"{here}/to")
        shutil.rmtree(f"{here}/root/none")
        shutil.rmtree(f"{here}/root/read")
        sync("--delete", serve.address, f"{here}/to")
        assert_equal(f"{here}/root", f"{here}/to")


def test_a_tree_does_not_go_into_itself(here):
    tree(f"{here}/from", 5)
    expect(run("sync", f"{here}/from", f"{here}/from/with space"), USAGE, "lies in")
    expect(run("sync", "--delete", f"{here}/from", here), USAGE, "overwritten or deleted")
    expect(run("sync", f"{here}/from", here), USAGE, "overwritten or deleted")
    expect(run("sync", f"{here}/from", f"{here}/from2"), EQUAL)


def test_a_tree_does_not_go_into_itself_through_a_server_or_a_mount(here):
    write(f"{here}/outer/inner/f", b"f")
    write(f"{here}/outer/g", b"g")

    def what_is_there():  # the time of a directory may change: a destination is made before the far side can refuse it, and goes again
        return {path: line[:1] + line[2:] if path != b"outer/inner/f" and path != b"outer/g" else line for path, line in picture(here).items()}

    before = what_is_there()
    os.makedirs(f"{here}/seen")

    def refused(*arguments):
        expect(run("sync", *arguments), PROTOCOL, "lies in the")
        expect(run("sync", "--delete", *arguments), PROTOCOL, "lies in the")

    with Serve(f"{here}/outer") as outer, Serve(f"{here}/outer/inner") as inner:
        refused(f"{here}/outer/inner", outer.address)
        refused(f"{here}/outer", inner.address)
        refused(f"{here}/outer", f"{inner.address}/new")
        refused(f"{here}/outer", f"{outer.address}/inner")
        refused(outer.address, f"{here}/outer/inner")
        refused(outer.address, f"{here}/outer/inner/new")
        refused(inner.address, f"{here}/outer")
        expect(run("sync", f"{here}/outer/inner", inner.address), EQUAL)
    if subprocess.run(["mount", "--bind", f"{here}/outer/inner", f"{here}/seen"], capture_output=True).returncode != 0:
        raise Skip("a directory can only be mounted by root")
    try:
        for _ in range(2):
            refused(f"{here}/outer", f"{here}/seen")
            refused(f"{here}/outer", f"{here}/seen/new")
            refused(f"{here}/seen", f"{here}/outer")
            with Serve(f"{here}/seen") as seen:
                refused(f"{here}/outer", seen.address)
                refused(seen.address, f"{here}/outer")
            # The other way round: what is mounted in a tree is part of it.
            subprocess.run(["umount", f"{here}/seen"], check=True)
            os.makedirs(f"{here}/apart/here", exist_ok=True)
            subprocess.run(["mount", "--bind", f"{here}/outer", f"{here}/apart/here"], check=True)
            refused(f"{here}/outer/inner", f"{here}/apart")
            refused(f"{here}/apart", f"{here}/outer/inner")
            subprocess.run(["umount", f"{here}/apart/here"], check=True)
            subprocess.run(["mount", "--bind", f"{here}/outer/inner", f"{here}/seen"], check=True)
    finally:
        subprocess.run(["umount", f"{here}/seen"], check=True)
    os.rmdir(f"{here}/apart/here"), os.rmdir(f"{here}/apart"), os.rmdir(f"{here}/seen")
    assert what_is_there() == before


def test_what_other_programs_read_as_another_machine_is_refused(here):
    write(f"{here}/from/f", b"f")
    before = picture(here)
    for place in ("backuphost:photos", "tcp:127.0.0.1:7000", "me@host:/data", "host::module", "[::1]:x", "SSH://host/x"):
        expect(run("sync", "from", place, cwd=here), USAGE, "tcp://host:port/path or tls://host:port/path or unix:/path!/path")
        expect(run("sync", place, "from", cwd=here), USAGE, "tcp://host:port/path or tls://host:port/path or unix:/path!/path")
    for place in ("rsync://host/module", "sftp://host/x"):
        expect(run("sync", "from", place, cwd=here), USAGE, "is neither that of ssh://[user@]host[:port]/path nor tcp://host:port/path")
        expect(run("sync", place, "to", cwd=here), USAGE, "is neither that of ssh://[user@]host[:port]/path nor tcp://host:port/path")
    assert picture(here) == before
    expect(run("sync", "from", "./odd:name", cwd=here), EQUAL)
    assert os.listdir(f"{here}/odd:name") == ["f"]


def test_what_rsync_keeps_by_a_rule_is_not_deleted(here):
    write(f"{here}/from/new")
    for pattern in ("[[:digit:]]", "[[:alpha:]]*.key", "- 7", "[7", "[[:digits:]]", "x/***", "*.key", "x/"):
        trees = f"{here}/to", f"{here}/other"
        for root in trees:
            shutil.rmtree(root, ignore_errors=True)
            for name in ("7", "a.key", "x/q"):
                write(f"{root}/{name}")
        result = run("sync", "--delete", "--exclude", pattern, f"{here}/from", trees[0])
        subprocess.run(["rsync", "-r", "--delete", "--exclude", pattern, f"{here}/from/", trees[1] + "/"], check=True)
        left = [sorted(os.path.join(at, name)[len(root):] for at, folders, files in os.walk(root) for name in folders + files)
                for root in trees]
        if result.returncode == EQUAL:
            assert left[0] == left[1], (pattern, left)
        else:
            expect(result, USAGE, "pattern")
            assert left[0] == ["/7", "/a.key", "/x", "/x/q"], left


def test_delete_and_exclude(here):
    write(f"{here}/from/keep")
    write(f"{here}/from/a.o")
    write(f"{here}/to/old/deep")
    write(f"{here}/to/kept.o")
    expect(run("sync", "--exclude", "*.o", f"{here}/from", f"{here}/to"), EQUAL)
    assert sorted(os.listdir(f"{here}/to")) == ["keep", "kept.o", "old"]
    expect(run("sync", "--delete", "--exclude", "*.o", "--exclude", "/x", f"{here}/from", f"{here}/to"), EQUAL)
    assert sorted(os.listdir(f"{here}/to")) == ["keep", "kept.o"]


def both_programs(here, *words, source="from"):
    """Gives trunkline and rsync a copy of `to` each; what is there afterwards, without times of directories."""
    pictures = []
    for name in ("ours", "rsync"):
        shutil.rmtree(f"{here}/{name}", ignore_errors=True)
        shutil.copytree(f"{here}/before", f"{here}/{name}", symlinks=True)
    ours = run("sync", *words, f"{here}/{source}", f"{here}/ours/to")
    after = ["--delete-after"] if any(word.startswith("--delete") for word in words) else []
    subprocess.run(["rsync", "-rlpt", *after, *words, f"{here}/{source}/", f"{here}/rsync/to/"], capture_output=True, timeout=PATIENCE)
    for name in ("ours", "rsync"):
        seen = picture(f"{here}/{name}")
        pictures.append({path: line for path, line in seen.items() if os.path.isfile(os.path.join(os.fsencode(f"{here}/{name}"), path))})
    assert pictures[0] == pictures[1], (words, [path for path in pictures[0].keys() | pictures[1].keys() if pictures[0].get(path) != pictures[1].get(path)])
    return ours


def test_rules_and_options_do_what_they_do_in_rsync(here):
    """A row for each; tests/services/sync/rules_test.py mixes them at random."""
    for root, when in (("from", 10**18), ("before/to", 9 * 10**17)):
        for i, name in enumerate(("a.o", "b.o", "keep.o", "d/x", "d/y.o", "d/e/z", "big", "small")):
            write(f"{here}/{root}/{name}", b"x" * (5000 if name == "big" else i), mtime=when + i * 10**9)
    write(f"{here}/from/new", b"new")
    write(f"{here}/from/d/new.o", b"new")
    write(f"{here}/before/to/newer", b"here", mtime=19 * 10**17)
    write(f"{here}/from/newer", b"there", mtime=10**18)
    write(f"{here}/before/to/extra.o", b"extra")
    write(f"{here}/before/to/gone/deep", b"gone")
    write(f"{here}/before/links/new", b"new", mtime=os.stat(f"{here}/from/new").st_mtime_ns)
    write(f"{here}/list", b"# lines\n*.o\n\n")
    write(f"{here}/names", b"d/x\nnew\n./d//new.o\n")
    write(f"{here}/zeros", b"d/x\0new\0")
    for words in (["--include", "keep.o", "--exclude", "*.o"], ["--exclude", "*.o", "--include", "keep.o"], ["--delete", "--filter", "P *.o"],
                  ["--delete", "--filter", "H d/"], ["--delete", "--exclude-from", f"{here}/list"], ["--include-from", f"{here}/list", "--exclude", "*"],
                  ["--filter", f"merge,- {here}/list"], ["--files-from", f"{here}/names"], ["--files-from", f"{here}/zeros", "-0"],
                  ["--delete-excluded", "--exclude", "*.o"], ["--max-size", "1k"], ["--min-size=4"], ["-u"], ["--existing"],
                  ["--ignore-existing"], ["-b"], ["-b", "--delete"], ["--backup", "--suffix", ".old", "--delete"],
                  ["--backup-dir", "../kept", "--delete"], ["--link-dest", "../links"]):
        result = both_programs(here, *words)
        assert result.returncode == EQUAL, (words, result)
    linked = os.stat(f"{here}/ours/to/new")
    assert linked.st_nlink == 2 and os.path.samestat(linked, os.stat(f"{here}/ours/links/new")), "not linked"


def test_what_rsync_keeps_no_backup_of_has_none_here_and_a_lost_file_is_named(here):
    write(f"{here}/from/log~", b"a file now")
    os.makedirs(f"{here}/before/to")
    os.symlink("nowhere", f"{here}/before/to/log~")
    os.symlink("nowhere", f"{here}/before/to/new")
    write(f"{here}/from/new", b"a file, too", mtime=10**18)
    write(f"{here}/from/old", b"other", mtime=10**18)
    write(f"{here}/before/links/new", b"a file, too", mtime=10**18)
    write(f"{here}/before/links/old", b"other", mtime=10**18)
    write(f"{here}/before/to/old", b"before", mtime=9 * 10**17)
    expect(both_programs(here, "-c", "-b"), EQUAL)
    assert sorted(os.listdir(f"{here}/ours/to")) == ["log~", "new", "new~", "old", "old~"]
    expect(both_programs(here, "-b", "--link-dest", "../links"), EQUAL, '"old" becomes a link, and no backup of what was there is kept')
    assert sorted(os.listdir(f"{here}/ours/to")) == ["log~", "new", "new~", "old"]
    assert os.readlink(f"{here}/ours/to/new~") == "nowhere"


def test_a_rule_that_would_have_to_be_guessed_is_refused_and_nothing_is_deleted(here):
    write(f"{here}/from/new")
    write(f"{here}/to/old")
    write(f"{here}/bad", b"- ok\nbogus rule\n")
    for words in (["--filter", "bogus old"], ["--filter", "-/ old"], ["--filter", "-C"], ["--filter", "- "], ["--exclude", "[old"],
                  ["--filter", f"merge {here}/bad"], ["--max-size", "much"], ["--files-from", f"{here}/bad", "--files-from", f"{here}/bad"],
                  ["-b", "--suffix", ""], ["-b", "--suffix", "a/b"]):
        expect(run("sync", "--delete", *words, f"{here}/from", f"{here}/to"), USAGE, "")
    expect(run("sync", "--delete", "--exclude-from", f"{here}/none", f"{here}/from", f"{here}/to"), FILE, "No such file")
    write(f"{here}/from/.rsync-filter", b"bogus rule\n")
    expect(run("sync", "--delete", "-F", f"{here}/from", f"{here}/to"), PROTOCOL, "bogus rule")
    assert os.listdir(f"{here}/to") == ["old"]


def test_rules_hold_on_both_routes_through_a_server(here):
    for name in ("a.o", "keep.o", "d/x", "d/secret"):
        write(f"{here}/from/{name}", b"x")
    write(f"{here}/from/d/.rsync-filter", b"- secret\n")
    write(f"{here}/root/old.o")
    write(f"{here}/root/old")
    with Serve(f"{here}/root") as serve:
        expect(run("sync", "--delete", "-FF", "--include", "keep.o", "--exclude", "*.o", f"{here}/from", serve.address), EQUAL)
        assert sorted(picture(f"{here}/root")) == [b"d", b"d/x", b"keep.o", b"old.o"]
        write(f"{here}/names", b"d/x\nmissing\n")
        expect(run("sync", "--files-from", f"{here}/names", serve.address, f"{here}/back"), PARTIAL, '"missing" is named, and is not there')
        assert sorted(picture(f"{here}/back")) == [b"d", b"d/x"]
        expect(run("sync", "--backup-dir", "../../out", f"{here}/from", f"{serve.address}/d"), PROTOCOL, "leads out of the root")


def test_what_leads_to_a_named_path_is_seen_whatever_the_rules_say(here):
    write(f"{here}/from/dir/file", b"new")
    write(f"{here}/to/dir/file", b"old one")
    write(f"{here}/list", b"dir/file\n")
    words = ("--exclude", "d*", "--files-from", f"{here}/list")
    expect(run("sync", "--ignore-existing", *words, f"{here}/from", f"{here}/to"), EQUAL)
    assert open(f"{here}/to/dir/file", "rb").read() == b"old one"
    expect(run("sync", *words, f"{here}/from", f"{here}/to"), EQUAL)
    assert open(f"{here}/to/dir/file", "rb").read() == b"new"


def test_max_delete_is_a_limit_and_ends_with_25(here):
    write(f"{here}/from/f")
    for i in range(10):
        write(f"{here}/to/extra{i}")
    result = run("sync", "--delete", "--max-delete", "3", f"{here}/from", f"{here}/to")
    assert result.returncode == 25, result
    assert b"7 more are not deleted: the limit is 3" in result.stdout and b", 3 deleted," in result.stdout, result.stdout
    assert len(os.listdir(f"{here}/to")) == 8
    expect(run("sync", "--delete", "--max-delete", "7", f"{here}/from", f"{here}/to"), EQUAL)
    assert os.listdir(f"{here}/to") == ["f"]


def test_what_is_mounted_stays_out_with_one_file_system(here):
    write(f"{here}/from/f", b"f")
    os.makedirs(f"{here}/from/mounted")
    os.makedirs(f"{here}/to/kept")
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", f"{here}/from/mounted"], capture_output=True).returncode != 0:
        raise Skip("a file system can only be mounted by root")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", f"{here}/to/kept"], check=True)
    try:
        write(f"{here}/from/mounted/inside")
        write(f"{here}/to/kept/inside")
        run("sync", "-x", "--delete", f"{here}/from", f"{here}/to")
        assert sorted(picture(f"{here}/to")) == [b"f", b"kept", b"kept/inside", b"mounted"], picture(f"{here}/to")
    finally:
        subprocess.run(["umount", f"{here}/from/mounted", f"{here}/to/kept"], check=True)


def test_several_syncs_of_one_tree_share_the_work(here):
    for i in range(2000):
        write(f"{here}/from/f{i}", os.urandom(2000))
    os.makedirs(f"{here}/root")
    with Serve(f"{here}/root") as serve:
        syncs = [subprocess.Popen([PROGRAM, "sync", f"{here}/from", serve.address], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE) for _ in range(4)]
        outputs = [sync.communicate(timeout=PATIENCE) for sync in syncs]
        assert all(sync.returncode == EQUAL for sync in syncs), outputs
        sent = [int(re.search(rb"^(\d+) files, ", out, re.MULTILINE).group(1)) for out, _ in outputs]  # notes may stand before it
        assert 2000 <= sum(sent) <= 4000, sent
    assert_equal(f"{here}/from", f"{here}/root")


def test_few_descriptors_slow_a_sync_down_and_fail_no_file(here):
    for i in range(600):
        write(f"{here}/from/d{i % 50}/f{i}", os.urandom(i))
    os.makedirs(f"{here}/root")

    def few(count):
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))

    with Serve(f"{here}/root", preexec_fn=few(64)) as serve:
        expect(run("sync", f"{here}/from", serve.address, preexec_fn=few(64)), EQUAL)
        expect(run("sync", serve.address, f"{here}/back", preexec_fn=few(64)), EQUAL)
    expect(run("sync", f"{here}/from", f"{here}/to", preexec_fn=few(96)), EQUAL)
    for root in ("root", "back", "to"):
        assert_equal(f"{here}/from", f"{here}/{root}")


def test_checksum_finds_what_size_and_time_hide(here):
    write(f"{here}/from/f", b"aaaa", mtime=10**18)
    write(f"{here}/to/f", b"bbbb", mtime=10**18)
    expect(run("sync", f"{here}/from", f"{here}/to"), EQUAL)
    assert open(f"{here}/to/f", "rb").read() == b"bbbb"
    expect(run("sync", "--checksum", f"{here}/from", f"{here}/to"), EQUAL)
    assert open(f"{here}/to/f", "rb").read() == b"aaaa"


def test_dry_run_names_everything_and_touches_nothing(here):
    tree(f"{here}/from", 5)
    os.makedirs(f"{here}/root")
    write(f"{here}/root/extra")
    before = picture(f"{here}/root")
    with Serve(f"{here}/root") as serve:
        for target in (serve.address, f"{serve.address}/missing", f"{here}/root", f"{here}/missing"):
            result = expect(run("sync", "--dry-run", "--delete", f"{here}/from", target), EQUAL)
            assert b"sent large\n" in result.stdout and b"dry run: " in result.stdout, result.stdout
            assert (b"deleted extra" in result.stdout) == (b"missing" not in target.encode())
    assert picture(f"{here}/root") == before and not os.path.exists(f"{here}/missing")


def test_json_is_one_object_per_line(here):
    tree(f"{here}/from", 5)
    os.mkfifo(f"{here}/from/pipe")
    result = expect(run("sync", "--json", f"{here}/from", f"{here}/to"), EQUAL)
    events = [json.loads(line) for line in result.stdout.decode("utf-8").splitlines()]
    summary = events[-1]
    assert summary["event"] == "summary" and summary["exit_code"] == 0 and summary["errors"] == 0
    sent = [event for event in events if event["event"] == "sent"]
    assert len(sent) == summary["files"] == summary["circuits"] - 1 == 9
    assert sum(event["bytes"] for event in sent) == summary["bytes"]
    odd = [event for event in sent if "path_bytes" in event]
    assert [bytes.fromhex(event["path_bytes"]) for event in odd] == [b"\xff\xfe not utf-8"]
    assert any(event["path"] == "with space/new\nline" for event in sent)
    assert [event["path"] for event in events if event["event"] == "skipped"] == ["pipe"]
    assert isinstance(summary["seconds"], float)

    failed = run("sync", "--json", f"{here}/missing", f"{here}/to")
    events = [json.loads(line) for line in failed.stdout.decode().splitlines()]
    assert [event["event"] for event in events] == ["failure", "summary"] and events[-1]["exit_code"] == FILE


def test_results_that_cannot_be_written_are_trouble(here):
    tree(f"{here}/from", 5)
    for i, arguments in enumerate((["--json"], ["--verbose"], [])):
        with open("/dev/full", "wb") as full:
            result = subprocess.run([PROGRAM, "sync", *arguments, f"{here}/from", f"{here}/to{i}"], stdin=subprocess.DEVNULL,
                                    stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE)
        assert result.returncode == FILE, result
        lines = [line for line in result.stderr.decode().splitlines() if not line.startswith(("trunk with", "listening on"))]
        assert lines == ["trunkline: cannot write the results to the standard output: No space left on device"], lines
        assert_equal(f"{here}/from", f"{here}/to{i}")
    closed = lambda: os.close(1)
    for i, arguments in enumerate((["--json"], ["--verbose"], [])):
        result = subprocess.run([PROGRAM, "sync", *arguments, f"{here}/from", f"{here}/shut{i}"], stdin=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, preexec_fn=closed, timeout=PATIENCE)
        lines = [line for line in result.stderr.decode().splitlines() if not line.startswith(("trunk with", "listening on"))]
        assert result.returncode == FILE, result
        assert lines == ["trunkline: cannot write the results to the standard output: it is closed"], lines
        assert_equal(f"{here}/from", f"{here}/shut{i}")
    quiet = subprocess.run([PROGRAM, "sync", "--quiet", f"{here}/from", f"{here}/shut"], stdin=subprocess.DEVNULL,
                           stderr=subprocess.PIPE, preexec_fn=closed, timeout=PATIENCE)
    assert quiet.returncode == EQUAL and quiet.stderr == b"", quiet
    shut = subprocess.run([PROGRAM, "sync", "--verbose", f"{here}/from", f"{here}/nothing"], timeout=PATIENCE,
                          preexec_fn=lambda: [os.close(number) for number in (0, 1, 2)])
    assert shut.returncode == FILE, shut  # and what it says has gone into no file
    assert_equal(f"{here}/from", f"{here}/nothing")
    with open("/dev/full", "wb") as full:
        result = subprocess.run([PROGRAM, "sync", "--quiet", f"{here}/from", f"{here}/to"], stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE)
    assert result.returncode == EQUAL and result.stderr == b"", result
    result = run("sync", "--quiet", "--log-file", "/dev/full", f"{here}/from", f"{here}/logged")
    expect(result, FILE, 'trunkline: cannot write "/dev/full": No space left on device')
    assert_equal(f"{here}/from", f"{here}/logged")


def test_quiet_says_nothing_and_verbose_names_everything(here):
    tree(f"{here}/from", 5)
    assert expect(run("sync", "--quiet", f"{here}/from", f"{here}/a"), EQUAL).stdout == b""
    result = expect(run("sync", "--verbose", f"{here}/from", f"{here}/b"), EQUAL)
    for line in ("sent large", "made empty dir/", "linked link -> ../no/where", r"sent with space/new\nline", r"sent \xff\xfe not utf-8"):
        assert f"{line}\n".encode() in result.stdout, (line, result.stdout)
    assert b"\r" not in result.stdout and b"\x1b" not in result.stdout
    assert b"mem://" in run("sync", "-vvv", f"{here}/from", f"{here}/c").stderr, "what connections do has to be asked for"


# --- trouble

def test_no_connection(here):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    expect(run("sync", here, f"tcp://127.0.0.1:{port}"), SOCKET, "Connection refused")
    expect(run("sync", f"tcp://127.0.0.1:{port}/x", here), SOCKET, "Connection refused")
    expect(run("sync", f"unix:{here}/none!x", here), SOCKET, "No such file or directory")
    expect(run("sync", "--insecure", here, "tcp://no-such-host.invalid:1"), SOCKET, "no-such-host.invalid")


def test_missing_directories(here):
    os.makedirs(f"{here}/root")
    with Serve(f"{here}/root") as serve:
        expect(run("sync", f"{here}/missing", serve.address), FILE, 'missing": No such file or directory')
        expect(run("sync", f"{serve.address}/missing", f"{here}/to"), FILE, '"missing": No such file or directory (says the far side)')
        assert not os.path.exists(f"{here}/to")
        expect(run("sync", f"{here}/root", f"{serve.address}/no/such"), FILE, "No such file or directory")
        expect(run("sync", serve.address, f"{here}/no/such"), FILE, "No such file or directory")
        write(f"{here}/root/file")
        expect(run("sync", f"{here}/root", f"{serve.address}/file"), FILE, "Not a directory")


def test_nothing_outside_the_root(here):
    write(f"{here}/secret", b"secret")
    os.makedirs(f"{here}/root")
    os.symlink(here, f"{here}/root/out")
    with Serve(f"{here}/root") as serve:
        expect(run("sync", f"{serve.address}/..", f"{here}/to"), PROTOCOL, 'component ".."')
        expect(run("sync", f"{serve.address}/x/../../secret", f"{here}/to"), PROTOCOL, 'component ".."')
        expect(run("sync", f"{serve.address}/out/secret", f"{here}/to"), FILE, "a symbolic link is in its path")
        expect(run("sync", f"{here}/root", f"{serve.address}/out/new"), FILE, "a symbolic link is in its path")
        os.makedirs(f"{here}/root/dated")
        os.symlink("dated", f"{here}/root/current")
        os.symlink("secret", f"{here}/root/dated/file")
        for path in ("current", "dated/file", "current/file"):
            expect(run("sync", f"{serve.address}/{path}", f"{here}/to"), FILE, "a symbolic link is in its path")
            expect(run("sync", f"{here}/root/dated", f"{serve.address}/{path}"), FILE, "a symbolic link is in its path")
    assert not os.path.exists(f"{here}/new") and not os.path.exists(f"{here}/to")


def test_read_only(here):
    tree(f"{here}/root", 5)
    before = picture(f"{here}/root")
    os.makedirs(f"{here}/from")
    with Serve(f"{here}/root", "--read-only") as serve:
        expect(run("sync", "--delete", f"{here}/from", serve.address), PROTOCOL, "this node is read only")
        expect(run("sync", serve.address, f"{here}/to"), EQUAL)
    assert picture(f"{here}/root") == before == picture(f"{here}/to")


class Answering:
    """A listening port that says something to whoever connects, in a thread."""

    def __init__(self, words):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self.server.getsockname()[1]}"
        self.thread = threading.Thread(target=self.answer, args=[words], daemon=True)
        self.thread.start()

    def answer(self, words):
        connection, _ = self.server.accept()
        with connection:
            connection.sendall(words)
            while connection.recv(65536):
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()


def frame(kind, body):
    return struct.pack("<I", len(body))[:3] + bytes([kind, 0]) + body


def text_field(number, value):
    return bytes([number << 3 | 2, len(value)]) + value


def test_unknown_service(here):
    hello = frame(0x02, b"\x08\x01\x10\x01" + text_field(3, bytes(range(16))) + text_field(4, b"other"))
    refuse = frame(0x05, b"\x08\x01\x10\x14" + text_field(3, b'no service "sync" on node other; it serves chat'))
    for direction in (0, 1):
        with Answering(b"\x89TRNK\r\n\x01" + hello + refuse) as other:
            places = [here, other.address]
            expect(run("sync", *(places if direction else reversed(places))), PROTOCOL, "it serves chat")


def test_something_else_listens(here):
    with Answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as other:
        result = run("sync", here, other.address)
        assert result.returncode in (SOCKET, PROTOCOL), result
        expect(result, result.returncode, "not trunkline")


def test_a_file_that_does_not_fit_is_reported_and_the_rest_goes_on(here):
    tree(f"{here}/from", 30)
    os.makedirs(f"{here}/root")

    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    with Serve(f"{here}/root", preexec_fn=small_files_only) as serve:
        expect(run("sync", f"{here}/from", serve.address), PARTIAL, 'cannot write "large": File too large')
        here_small = run("sync", f"{here}/from", f"{here}/to", preexec_fn=small_files_only)
        expect(here_small, PARTIAL, 'cannot write "large": File too large')
    for root in (f"{here}/root", f"{here}/to"):
        assert temporaries(root) == []
        one, other = picture(f"{here}/from"), picture(root)
        assert one.pop(b"large") and one == other


def test_full_disk(here):
    os.makedirs(f"{here}/disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", f"{here}/disk"], capture_output=True)
    if mounted.returncode != 0:
        raise Skip("a small file system can only be mounted by root")
    try:
        tree(f"{here}/from", 30)
        with Serve(f"{here}/disk") as serve:
            expect(run("sync", "--delete", f"{here}/from", serve.address), FILE, "No space left on device; nothing more is sent")
            assert temporaries(f"{here}/disk") == []
            one, other = picture(f"{here}/from"), picture(f"{here}/disk")
            assert all(one[path][-1] == line[-1] for path, line in other.items() if len(line) == 3)
            subprocess.run(["mount", "-o", "remount,ro", f"{here}/disk"], check=True)
            expect(run("sync", f"{here}/from", serve.address), FILE, "Read-only file system")
    finally:
        subprocess.run(["umount", f"{here}/disk"], check=True)


# --- signals

def test_interrupted_and_timeout(here):
    tree(f"{here}/from", 5)
    os.makedirs(f"{here}/root")
    with Serve(f"{here}/root") as serve:
        serve.process.send_signal(signal.SIGSTOP)
        expect(run("sync", "--timeout", "1", f"{here}/from", serve.address), TIMEOUT, "nothing has moved for 1 s")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            client = subprocess.Popen([PROGRAM, "sync", "--verbose", f"{here}/from", serve.address], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            try:
                client.wait(0.5)  # it cannot get anywhere
                raise AssertionError("it ended without a far side")
            except subprocess.TimeoutExpired:
                pass
            client.send_signal(number)
            _, trouble = client.communicate(timeout=PATIENCE)
            assert client.returncode == INTERRUPTED, client.returncode
            assert b"trunkline: interrupted" in trouble, trouble
        serve.process.send_signal(signal.SIGCONT)
        expect(run("sync", f"{here}/from", serve.address), EQUAL)
        assert serve.end() == EQUAL
    assert_equal(f"{here}/from", f"{here}/root")


def test_an_interrupted_sync_leaves_only_what_the_next_one_goes_on_from_and_counts_what_it_did(here):
    tree(f"{here}/from", 5)
    write(f"{here}/from/too large for what lies between", os.urandom(1_000_000) * 48)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.makedirs(f"{here}/root")
        with Serve(f"{here}/root") as serve:
            client = subprocess.Popen([PROGRAM, "sync", "--json", "--verbose", f"{here}/from", serve.address],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
            first = client.stdout.readline()  # something has moved
            serve.process.send_signal(signal.SIGSTOP)
            client.send_signal(number)
            out, trouble = client.communicate(timeout=PATIENCE)
            out = first + out
            summary = json.loads(out.splitlines()[-1])
            if client.returncode == INTERRUPTED:
                assert summary["event"] == "summary" and summary["exit_code"] == INTERRUPTED, summary
                assert summary["files"] == out.count(b'"event": "sent"'), out
                assert b"trunkline: interrupted" in trouble, trouble
            else:  # it was quicker, and at the end a signal is nothing to it any more, or what it is to any program
                assert client.returncode in (EQUAL, -number), client.returncode
            serve.process.send_signal(signal.SIGCONT)
            assert serve.end() == EQUAL
        left = temporaries(f"{here}/root")
        assert len(left) <= 1 and all(b"too large for what lies between" in path for path in left), left
        with Serve(f"{here}/root") as serve:
            expect(run("sync", f"{here}/from", serve.address), EQUAL)
        assert temporaries(f"{here}/root") == []
        assert_equal(f"{here}/from", f"{here}/root")
        shutil.rmtree(f"{here}/root")


def stats_of(result):
    return {line.split(": ")[0]: line.split(": ")[1] for line in result.stdout.decode().splitlines() if ": " in line}


def test_of_a_large_file_only_what_differs_is_sent(here):
    write(f"{here}/from/big", os.urandom(4_000_000), mtime=10**18)
    os.makedirs(f"{here}/root")
    with Serve(f"{here}/root") as serve:
        expect(run("sync", f"{here}/from", serve.address), EQUAL)
        with open(f"{here}/from/big", "r+b") as file:
            file.seek(2_000_000)
            file.write(b"something else")
        stats = stats_of(expect(run("sync", "--stats", f"{here}/from", serve.address), EQUAL))
        assert int(stats["bytes of them, literal"]) < 10_000 and int(stats["bytes of them, matched"]) > 3_900_000, stats
        assert int(stats["bytes on the wire, sent"]) + int(stats["bytes on the wire, received"]) < 200_000, stats
        assert_equal(f"{here}/from", f"{here}/root")
        os.rename(f"{here}/from/big", f"{here}/from/moved")
        stats = stats_of(expect(run("sync", "--delete", "--stats", f"{here}/from", serve.address), EQUAL))
        assert int(stats["bytes of them, literal"]) == 0 and int(stats["bytes on the wire, sent"]) < 20_000, stats
        assert_equal(f"{here}/from", f"{here}/root")
        write(f"{here}/from/moved", os.urandom(100_000))
        stats = stats_of(expect(run("sync", "-W", "--stats", f"{here}/from", serve.address), EQUAL))
        assert int(stats["bytes of them, matched"]) == 0, stats


def test_slow_links_are_spared(here):
    write(f"{here}/from/text", b"the same line again\n" * 100_000)
    os.makedirs(f"{here}/root")
    with Serve(f"{here}/root") as serve:
        stats = stats_of(expect(run("sync", "-z", "--stats", f"{here}/from", serve.address), EQUAL))
        assert int(stats["bytes on the wire, sent"]) < 200_000, stats
        assert_equal(f"{here}/from", f"{here}/root")
        begin = time.monotonic()
        expect(run("sync", "--bwlimit", "2m", serve.address, f"{here}/back"), EQUAL)
        assert time.monotonic() - begin > 0.7, "2 MB at 2 MiB a second"
    expect(run("sync", "--bwlimit", "fast", f"{here}/from", f"{here}/to"), USAGE, "size")


def test_attributes_are_kept_where_they_are_asked_for(here):
    write(f"{here}/from/f", b"x", 0o4755)
    os.link(f"{here}/from/f", f"{here}/from/hard")
    os.mkfifo(f"{here}/from/pipe")
    root = os.geteuid() == 0
    if root:
        os.chown(f"{here}/from/f", 1234, 5678)
        os.chmod(f"{here}/from/f", 0o4755)
    result = expect(run("sync", "-aH", "-i", f"{here}/from", f"{here}/to"), EQUAL)
    assert b"not kept" not in result.stdout, result.stdout
    assert b"hf+++++++++ hard => f\n" in result.stdout, result.stdout
    status = os.lstat(f"{here}/to/f")
    assert status.st_ino == os.lstat(f"{here}/to/hard").st_ino and status.st_mode & 0o7777 == 0o4755
    assert not root or (status.st_uid, status.st_gid) == (1234, 5678)
    assert_equal(f"{here}/from", f"{here}/to")
    result = expect(run("sync", "-aH", "-i", "--chmod", "Fgo-rx", f"{here}/from", f"{here}/to"), EQUAL)
    assert os.lstat(f"{here}/to/f").st_mode & 0o7777 == 0o4700 and b".f...p..... f\n" in result.stdout, result.stdout
    expect(run("sync", "--chmod", "u+q", f"{here}/from", f"{here}/to"), USAGE, 'mode "u+q" is not understood')
    expect(run("sync", "--inplace", "-b", f"{here}/from", f"{here}/to"), USAGE, "--backup")


def test_what_is_done_is_in_the_log_file(here):
    write(f"{here}/from/a", b"x")
    expect(run("sync", "-q", "--log-file", f"{here}/log", f"{here}/from", f"{here}/to"), EQUAL)
    with open(f"{here}/log") as file:
        lines = file.read().splitlines()
    assert re.fullmatch(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\d+\] [<>]f\+{9} a", lines[0]), lines
    assert "1 files, 1 B" in lines[-1], lines


def until(holds, what):
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"{what} never happened"
        time.sleep(0.02)  # lint-allow: another process is watched from outside


def test_watch_keeps_trees_equal_while_servers_come_and_go(here):
    write(f"{here}/from/a", b"x")
    os.makedirs(f"{here}/root")
    watch = None
    address = f"unix:{here}/socket"
    try:
        with Serve(f"{here}/root", listen=(address,)):
            watch = subprocess.Popen([PROGRAM, "sync", "--watch", "--delete", f"{here}/from", address], stdin=subprocess.DEVNULL,
                                     stdout=open(f"{here}/out", "wb"), stderr=open(f"{here}/err", "wb"))
            until(lambda: os.path.exists(f"{here}/root/a"), "the first sync")
            write(f"{here}/from/dir/b", b"new")
            until(lambda: os.path.exists(f"{here}/root/dir/b"), "a new directory")
            write(f"{here}/from/dir/c", b"in it")
            until(lambda: os.path.exists(f"{here}/root/dir/c"), "a file in the new directory")
            os.unlink(f"{here}/from/a")
            until(lambda: not os.path.exists(f"{here}/root/a"), "a deletion")
        write(f"{here}/from/while it was away", b"y")
        until(lambda: b"the next attempt is in" in open(f"{here}/out", "rb").read(), "a word about the server that is gone")
        with Serve(f"{here}/root", listen=(address,)):
            until(lambda: os.path.exists(f"{here}/root/while it was away"), "the server's return")
            watch.send_signal(signal.SIGTERM)
            assert watch.wait(PATIENCE) == INTERRUPTED
        assert_equal(f"{here}/from", f"{here}/root")
    finally:
        if watch:
            watch.kill()
            watch.wait()
    expect(run("sync", "--watch", "tcp://127.0.0.1:1", f"{here}/to"), USAGE, "--watch watches SRC")


def large_enough_to_be_met_on_its_way(path):
    write(path, os.urandom(1 << 20) * 24)


def test_watch_goes_on_when_either_end_is_killed_and_started_anew(here):
    os.makedirs(f"{here}/root")
    write(f"{here}/from/small", b"x")
    address = f"unix:{here}/socket"
    slow = ("--bwlimit", "6m")  # so that the large file is on its way for some seconds
    watches = []

    def watch(*words):
        watches.append(subprocess.Popen([PROGRAM, "sync", "--watch", "--delete", *words, f"{here}/from", address], stdin=subprocess.DEVNULL,
                                        stdout=open(f"{here}/out", "ab"), stderr=open(f"{here}/err", "ab")))
        return watches[-1]

    def something_is_on_its_way():
        return any(os.path.getsize(os.path.join(os.fsencode(f"{here}/root"), path)) > 0 for path in temporaries(f"{here}/root"))

    try:
        with Serve(f"{here}/root", listen=(address,)) as serve:
            first = watch(*slow)
            until(lambda: os.path.exists(f"{here}/root/small"), "the first sync")
            large_enough_to_be_met_on_its_way(f"{here}/from/large")
            until(something_is_on_its_way, "the large file")
            serve.process.kill()  # in the middle of it
            serve.process.wait()
        assert not os.path.exists(f"{here}/root/large")
        os.unlink(f"{here}/from/small")
        until(lambda: b"the next attempt is in" in open(f"{here}/out", "rb").read(), "a word about the server that is gone")
        with Serve(f"{here}/root", listen=(address,)):
            until(something_is_on_its_way, "the large file, again")
            first.kill()  # the other end, in the middle of it
            first.wait()
            assert not os.path.exists(f"{here}/root/large")
            write(f"{here}/from/while nobody watched", b"y")
            second = watch()
            until(lambda: os.path.exists(f"{here}/root/large") and os.path.exists(f"{here}/root/while nobody watched"), "what has changed meanwhile")
            write(f"{here}/from/afterwards", b"z")
            until(lambda: os.path.exists(f"{here}/root/afterwards"), "a change after the restart")
            until(lambda: picture(f"{here}/from") == picture(f"{here}/root"), "equality")
            second.send_signal(signal.SIGTERM)
            assert second.wait(PATIENCE) == INTERRUPTED
    finally:
        for process in watches:
            process.kill()
            process.wait()


def test_a_hangup_that_is_ignored_stays_ignored(here):
    tree(f"{here}/from", 5)
    os.makedirs(f"{here}/root")
    with Serve(f"{here}/root", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as serve:
        serve.process.send_signal(signal.SIGHUP)
        expect(run("sync", f"{here}/from", serve.address), EQUAL)
        assert serve.end() == EQUAL


def test_what_vanishes_is_named_and_ends_with_24(here):
    for i in range(20):
        write(f"{here}/from/f{i:02}", b"x")
    write(f"{here}/root/zextra")
    with Serve(f"{here}/root") as serve:
        serve.process.send_signal(signal.SIGSTOP)
        client = subprocess.Popen([PROGRAM, "sync", "--delete", f"{here}/from", serve.address], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            client.wait(0.5)  # it lists, and cannot get further
            raise AssertionError("it ended without a far side")
        except subprocess.TimeoutExpired:
            pass
        for i in range(10, 20):
            os.remove(f"{here}/from/f{i}")
        serve.process.send_signal(signal.SIGCONT)
        out, trouble = client.communicate(timeout=PATIENCE)
        assert client.returncode == VANISHED, (client.returncode, trouble)
        assert sorted(trouble.splitlines()) == [b'trunkline: "f%d" vanished before it could be read' % i for i in range(10, 20)]
        assert b", 10 vanished" in out, out
    assert sorted(os.listdir(f"{here}/root")) == [f"f{i:02}" for i in range(10)]


def test_a_log_that_is_always_written_arrives_and_is_named(here):
    write(f"{here}/from/live.log", os.urandom(3_000_000))
    write(f"{here}/to/zextra")
    ended = threading.Event()

    def writes():
        with open(f"{here}/from/live.log", "ab", buffering=0) as log:
            while not ended.is_set():
                log.write(b"x" * 1000)

    writer = threading.Thread(target=writes)
    writer.start()
    try:
        result = run("sync", "--delete", f"{here}/from", f"{here}/to")
    finally:
        ended.set()
        writer.join()
    expect(result, EQUAL, '"live.log" is being written all the time: it arrived as it was at one moment')
    assert os.listdir(f"{here}/to") == ["live.log"]
    arrived = open(f"{here}/to/live.log", "rb").read()
    assert len(arrived) >= 3_000_000 and open(f"{here}/from/live.log", "rb").read().startswith(arrived)


def test_what_is_not_kept_is_counted_and_said(here):
    write(f"{here}/from/f", b"x")
    os.link(f"{here}/from/f", f"{here}/from/hard")
    write(f"{here}/from/suid", b"y")
    os.mkfifo(f"{here}/from/pipe")
    expected = ["hard links of 2"]
    if os.geteuid() == 0:
        os.chown(f"{here}/from/f", 1234, 5678)
        expected.insert(0, "owner or group of 2")
    try:
        os.setxattr(f"{here}/from/f", "user.k", b"v")
        expected.append("extended attributes of 2")
    except OSError:
        pass  # this file system has none
    if subprocess.run(["setfacl", "-m", "u:nobody:rw", f"{here}/from/f"], capture_output=True).returncode == 0:
        expected.append("ACLs of 2")
    os.chmod(f"{here}/from/suid", 0o4755)
    expected += ["setuid, setgid or sticky bits of 1", "devices, fifos and sockets: 1"]
    os.makedirs(f"{here}/root")
    with Serve(f"{here}/root") as serve:
        for target in (f"{here}/to", serve.address):
            for _ in range(2):  # also when nothing is sent any more
                result = expect(run("sync", f"{here}/from", target), EQUAL)
                assert f"not kept: {', '.join(expected)}\n".encode() in result.stdout, result.stdout
        back = expect(run("sync", f"{serve.address}", f"{here}/back"), EQUAL)
        assert b"not kept" not in back.stdout, back.stdout
        pulled = json.loads(run("sync", "--json", f"{here}/from", serve.address).stdout.splitlines()[-1])
        assert pulled["not_kept_hard_links"] == 2 and pulled["not_kept_specials"] == 1, pulled
    helped = run("sync", "--help").stdout.decode()
    for word in ("Owner and group", "hard links", "extended attributes", "ACLs"):
        assert word in helped, word


def test_a_path_that_is_too_long_is_one_trouble_in_words(here):
    os.makedirs(f"{here}/from")
    os.makedirs(f"{here}/root")
    write(f"{here}/from/f", b"f")
    at = os.open(f"{here}/from", os.O_RDONLY)
    for _ in range(24):
        os.mkdir("d" * 200, dir_fd=at)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    with Serve(f"{here}/root") as serve:
        expect(run("sync", f"{here}/from", serve.address), PARTIAL, "its path has 4220 bytes, more than 4095")
        assert open(f"{here}/root/f", "rb").read() == b"f"
    expect(run("sync", f"{here}/from", f"{here}/to"), PARTIAL, "its path has 4220 bytes, more than 4095")
    subprocess.run(["rm", "-rf", f"{here}/from", f"{here}/to", f"{here}/root"], check=True)


def test_timeout_waits_while_either_side_works(here):
    """Three gigabytes of a hole take longer to compare than the patience, and nothing is sent meanwhile."""
    for side in ("from", "to"):
        write(f"{here}/{side}/sparse", mtime=10**18)
        os.truncate(f"{here}/{side}/sparse", 3_000_000_000)
        os.utime(f"{here}/{side}/sparse", ns=(10**18, 10**18))
    with Serve(f"{here}/to") as serve:
        expect(run("sync", "--checksum", "--timeout", "1", f"{here}/from", serve.address), EQUAL)
        expect(run("sync", "--checksum", "--timeout", "1", serve.address, f"{here}/from"), EQUAL)


def test_killed_at_any_time(here):
    """Old or new content under each name, whoever is killed when; the next sync completes and leaves no temporary files."""
    choose = random.Random(SEED)
    names = [f"f{i}" for i in range(300)]
    os.makedirs(f"{here}/root")
    allowed = {name: {None} for name in names}
    for turn in range(10):
        for name in names:
            content = choose.randbytes(choose.choice([0, 10, 5_000, 400_000]) if name in names[:40] else 3_000)
            write(f"{here}/from/{name}", content)
            allowed[name].add(hashlib.sha256(content).hexdigest())
        stale = set(temporaries(f"{here}/root"))
        with Serve(f"{here}/root") as serve:
            client = subprocess.Popen([PROGRAM, "sync", "--quiet", f"{here}/from", serve.address], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                client.wait(choose.uniform(0.0, 0.25))
            except subprocess.TimeoutExpired:
                pass
            (client if turn % 2 else serve.process).kill()
            if turn % 2:
                client.wait(PATIENCE)
                assert serve.end() == EQUAL
                assert stale.issuperset(temporaries(f"{here}/root"))  # the side that lives tidies up after itself
            else:
                assert client.wait(PATIENCE) in (SOCKET, PROTOCOL, EQUAL)
        for path, line in picture(f"{here}/root").items():
            if b".trunkline-" not in path:
                assert line[-1] in allowed[path.decode()], f"{path} is torn after turn {turn}"
    with Serve(f"{here}/root") as serve:
        expect(run("sync", f"{here}/from", serve.address), EQUAL)
    assert_equal(f"{here}/from", f"{here}/root")


def test_serve_lets_a_running_sync_end(here):
    for i in range(3000):
        write(f"{here}/from/d{i % 10}/f{i}", b"x" * (i % 5000))
    os.makedirs(f"{here}/root")
    with Serve(f"{here}/root", "--grace", "50") as serve:
        client = subprocess.Popen([PROGRAM, "sync", "--verbose", f"{here}/from", serve.address], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        client.stdout.read(1)  # under way
        assert serve.end() == EQUAL
        client.stdout.read()
        assert client.wait(PATIENCE) == EQUAL
    assert_equal(f"{here}/from", f"{here}/root")


# --- the terminal

def on_terminal(columns, *arguments):
    """Runs under a terminal of so many columns; returns what was written, with the time of each piece, and the exit code."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, close_fds=True)
    os.close(slave)
    pieces = []
    while True:
        ready, _, _ = select.select([master], [], [], PATIENCE)
        assert ready, "nothing happens"
        try:
            piece = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        pieces.append((time.monotonic(), piece))
    os.close(master)
    return b"".join(piece for _, piece in pieces).decode("utf-8", "replace"), len(pieces), process.wait(PATIENCE)


def test_progress_on_a_terminal(here):
    for i in range(4000):
        write(f"{here}/from/d{i % 20}/f{i}", b"x" * (i % 3000))
    for columns in (100, 40, 20):
        begin = time.monotonic()
        text, _, code = on_terminal(columns, "sync", f"{here}/from", f"{here}/to{columns}")
        passed = time.monotonic() - begin
        assert code == EQUAL
        drawn = [line for line in re.findall(r"\r([^\r\n]*)\x1b\[K", text) if line]
        assert drawn, f"no progress in {text!r}"
        assert all(len(line) < columns for line in drawn), drawn
        assert len(drawn) <= passed * 10 + 2, f"{len(drawn)} lines in {passed} s"
        # Cleared before the summary, which stands alone in its line.
        assert re.search(r"\r\x1b\[K4000 files[^\r\n]*\r\n$", text), text[-300:]


def test_errors_do_not_mix_with_progress(here):
    write(f"{here}/from/a")
    text, _, code = on_terminal(80, "sync", f"{here}/missing", f"{here}/to")
    assert code == FILE
    assert re.fullmatch(r"(\r[^\r\n]*\x1b\[K)*trunkline: cannot open [^\r\n]*\r\n", text), text


def main():
    only = sys.argv[2:]
    passed, failed, skipped = 0, 0, 0
    for name, test in list(globals().items()):
        if not name.startswith("test_") or (only and name not in only):
            continue
        here = tempfile.mkdtemp(prefix="trunkline-cli-")
        try:
            test(here)
            passed += 1
        except Skip as why:
            print(f"{name}: skipped: {why}")
            skipped += 1
        except Exception:  # any failure of a test is a result
            print(f"{name} (replay with TRUNKLINE_SEED={SEED}):")
            traceback.print_exc(file=sys.stdout)
            failed += 1
        finally:
            shutil.rmtree(here, ignore_errors=True)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
