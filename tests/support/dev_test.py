#!/usr/bin/env python3
"""./dev: what it lists it can explain, and its kinds of build are the files of .ci/kinds/. Nothing is built or installed."""

import configparser
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import dev as names  # noqa: E402
from checks import check, finish  # noqa: E402

ROOT = names.ROOT
KINDS = os.path.join(ROOT, ".ci", "kinds")


def dev(*arguments):
    return subprocess.run([os.path.join(ROOT, "dev"), *arguments], capture_output=True, text=True)


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


listed = re.findall(r"^  (\w+) ", dev("--help").stdout, re.MULTILINE)
taken = re.findall(r"\[(\w+)\]=", re.search(r"^declare -A scripts=\((.*?)\)$", read("dev"), re.MULTILINE | re.DOTALL).group(1))
check("the list of commands is complete", sorted(listed) == sorted(taken), (listed, taken))
for command in listed:
    lines = dev(command, "--help").stdout.splitlines()
    is_there = os.path.isdir(os.path.join(ROOT, "cli")) or command != "demo"
    check(f"{command} is explained", not is_there or len(lines) > 1 and lines[0].startswith(f"./dev {command} "), lines)
    check(f"{command} is explained in both ways", dev("help", command).stdout.splitlines() == lines)
    indented = lines[1:lines.index("")] if "" in lines else lines[1:]
    check(f"{command} is explained and nothing else", all(line.startswith("  ") for line in indented), lines)

for arguments, code, said in ((("bulid",), 2, "no command bulid"), (("demo", "--kepe"), 1, "unknown argument --kepe"),
                              (("build", "--asna"), 1, "unknown argument --asna"),
                              (("setup", "x"), 1, "unknown argument x"), (("fuzz", "nothing"), 1, "no target nothing")):
    outcome = dev(*arguments)
    check(f"{arguments} is refused in words", outcome.returncode == code and said in outcome.stderr, outcome.stderr)

kinds = {name[:-len(".ini")] for name in os.listdir(KINDS)} - {"ccache"}
named = set(re.findall(r"--(\w+)", re.search(r"^ *(--.*)\) kind=", read("dev"), re.MULTILINE).group(1)))
check("every kind of build has its file, and every file is a kind", kinds == named == set(names.KINDS), (kinds, named))
options = set(re.findall(r"^option\('(\w+)'", read("meson_options.txt"), re.MULTILINE))
for kind in sorted(kinds):
    file = configparser.ConfigParser(interpolation=None)
    file.read(os.path.join(KINDS, kind + ".ini"))
    used = set(file["project options"]) if "project options" in file else set()
    check(f"{kind} sets options of this project", used <= options, used - options)
    check(f"{kind} can be run through ccache", "launcher + [" in file["binaries"]["cpp"])

finish()
