#!/usr/bin/env python3
"""trunkline(1) has every command, option and exit code that the program has. usage: man_test.py PROGRAM"""

import os
import re
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path[:0] = [os.path.join(ROOT, "cli"), os.path.join(ROOT, "tests", "support")]
sys.dont_write_bytecode = True
import man_page  # noqa: E402
from checks import check, finish  # noqa: E402

PROGRAM = sys.argv[1]
PAGE = man_page.page(PROGRAM)
SECTIONS = {title: body for title, body in re.findall(r'^\.SH "?([^"\n]+)"?\n(.*?)(?=^\.SH |\Z)', PAGE, re.MULTILINE | re.DOTALL)}


def help_of(words):
    return subprocess.run([PROGRAM, *words, "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout


def plain(text):
    return re.sub(r"\\f[BRIP]", "", text).replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")


def look(words):
    """The help is read anew here, more coarsely than the page's maker reads it."""
    text = help_of(words)
    name = " ".join(["trunkline", *words])
    if words == ["sync"]:
        check("the page leads to that of the sync", "trunkline-sync (1)" in plain(PAGE))
        return
    if "not in this build" in text.splitlines()[0]:
        check(f"{name} is not on the page", name.upper() not in SECTIONS)
        return
    if words:
        check(f"{name} has a section", name.upper() in SECTIONS, str(list(SECTIONS)))
        section = plain(SECTIONS.get(name.upper(), ""))
        options = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", "\n".join(line[:line.find(" ", 3)] for line in text.splitlines() if line.startswith("  -"))))
        missing = sorted(option for option in options - {"--help"} if not re.search(rf"(?<![\w-]){option}(?![\w-])", section))
        check(f"{name}: every option is there", not missing, str(missing))
        check(f"{name}: what it is for", text.splitlines()[0] in section)
    commands = re.search(r"^Subcommands:\n((?:  .*\n)*)", text, re.MULTILINE)
    for command in re.findall(r"^  (\w+)", commands.group(1) if commands else "", re.MULTILINE):
        look([*words, command])


look([])
check("no option of nothing", len(SECTIONS) > 10, str(list(SECTIONS)))
codes = set(re.findall(r"[:;]\s(\d+)\s", ":" + help_of([]).split("Exit codes:")[1]))
written = set(re.findall(r"(?:^|; )(\d+) ", plain(SECTIONS["EXIT STATUS"]), re.MULTILINE))
check("the exit codes are those of --help", codes == written, f"{codes} {written}")
macros = set(re.findall(r"^\.\s*(\S+)", PAGE, re.MULTILINE))
check("only what every man knows", macros <= {'\\"', "TH", "SH", "SS", "TP", "PP", "B", "BR", "nf", "fi", "RS", "RE", "br"}, str(macros))
version = re.search(r"version: '([^']+)'", open(os.path.join(ROOT, "meson.build"), encoding="utf-8").read()).group(1)
check("the page names the version", f'"trunkline {version}"' in PAGE)
finish()
