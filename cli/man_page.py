#!/usr/bin/env python3
"""Writes trunkline(1) from what the program says of itself, so that the page has every command and option there is.

    man_page.py PROGRAM    prints the page

The tree sync has a page of its own, sync/trunkline-sync.1, which says more than --help does.
"""

import re
import subprocess
import sys

COLUMN = 34  # where --help begins its descriptions
INTRODUCTION = """\
Every process that runs this program is a peer; either side may dial. Addresses are \\fBtcp://\\fR\\fIhost:port\\fR,
\\fBtls://\\fR\\fIhost:port\\fR[\\fB#\\fR\\fIID\\fR], \\fBunix:\\fR\\fIpath\\fR and \\fBws://\\fR\\fIhost:port\\fR. What other machines
can reach, and nothing encrypts, has to be allowed by \\fB\\-\\-insecure\\fR."""


class Help:
    """What `trunkline WORD... --help` prints, in parts."""

    def __init__(self, program, words):
        self.words = words
        done = subprocess.run([program, *words, "--help"], stdout=subprocess.PIPE, text=True, check=True)
        lines = done.stdout.splitlines()
        self.about = lines[0]
        self.usage = next(line for line in lines if line.startswith("Usage:")).removeprefix("Usage: ")
        self.groups, self.footer = [], []  # (title, [(name, text)])
        at = lines.index("Usage: " + self.usage) + 1
        while at < len(lines):
            line = lines[at]
            at += 1
            is_group = re.fullmatch(r"[A-Z][^:]*:", line) and not line.startswith("Example") and lines[at:at + 1] and lines[at].startswith("  ")
            if self.footer or line.strip() and not is_group:
                self.footer.append(line)
            elif is_group:
                title, entries = line.rstrip(":"), []
                while at < len(lines) and lines[at].startswith("  "):
                    line, at = lines[at], at + 1
                    if line[:COLUMN].strip() and not line.startswith(" " * 3):
                        short = len(line) > COLUMN and line[COLUMN - 1] == " " and line[2:COLUMN].strip()
                        entries.append((line[:COLUMN].strip(), line[COLUMN:].strip()) if short else (line.strip(), ""))
                    else:
                        entries[-1] = (entries[-1][0], (entries[-1][1] + " " + line.strip()).strip())
                self.groups.append((title, entries))

    def commands(self):
        return [name for title, entries in self.groups if title == "Subcommands" for name, _ in entries]


def escaped(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def option(name, text):
    """The head and the text of one option: CLI11's remarks become words."""
    remarks = []
    required = re.search(r" REQUIRED\b", name)
    needs = re.search(r" Needs: (\S+)", name)
    several = re.search(r" \.\.\.", name)
    reach = re.search(r" in \[(\S+) - (\S+?)\]", name)
    choice = re.search(r":\{([^}]*)\}", name)
    default = re.search(r"[\]}A-Z]=(\S+)", name)
    if required:
        remarks.append("required")
    if needs:
        remarks.append(f"with {needs.group(1)}")
    if reach:
        remarks.append(f"{reach.group(1)} to {reach.group(2)}")
    if choice and choice.group(1).replace(",", ", ") not in text:
        remarks.append("one of " + choice.group(1).replace(",", ", "))
    if default:
        remarks.append(f"{default.group(1)} unless given")
    if several and "repeated" not in text:
        remarks.append("may be repeated")
    head = re.sub(r" REQUIRED\b| Needs: .*| \.\.\.|:\{[^}]*\}| in \[[^\]]*\]|=\S+|:(?:INT|UINT|FLOAT|TEXT|PATH)\b|:(?=\s|$)", "", name)
    names, _, value = head.partition(" ")
    shown = ", ".join(f"\\fB{escaped(part)}\\fR" for part in names.split(",")) if names.startswith("-") else f"\\fI{escaped(names)}\\fR"
    if value:
        shown += f" \\fI{escaped(value)}\\fR"
    return shown, text + (f" ({'; '.join(remarks)})" if remarks else "")


def footer(lines, seen):
    """Paragraphs and examples of a help text; what several commands say is said once."""
    out = []
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines).strip("\n")):
        if not paragraph.strip() or paragraph in seen or "COMMAND --help" in paragraph:
            continue
        seen.add(paragraph)
        if paragraph.startswith("Example"):
            title, _, rest = paragraph.partition("\n")
            out += [".PP", escaped(title), ".PP", ".nf", ".RS 4", escaped("\n".join(line[2:] for line in rest.split("\n"))), ".RE", ".fi"]
        else:
            out += [".PP", escaped(re.sub(r"\s*\n\s*", " ", paragraph))]
    return out


def command(program, words, seen):
    help_text = Help(program, words)
    out = [f'.SH "{" ".join(["trunkline", *words]).upper()}"', escaped(help_text.about + "."), ".PP",
           "\\fB" + escaped(" ".join(["trunkline", *words])) + "\\fR " + escaped(help_text.usage.removeprefix(" ".join(["trunkline", *words])).strip())]
    for title, entries in help_text.groups:
        if title == "Subcommands":
            for name, text in entries:
                out += [".TP", f"\\fB{escaped(name)}\\fR", escaped(text)]
            continue
        shown = [option(name, text) for name, text in entries if not name.startswith("-h,")]
        if title in ("Keys and trust",) and title in seen:
            out += [".PP", "Keys and trust: the options of \\fBtrunkline serve\\fR, with the key of who dials where this listens nowhere."]
            for head, _ in shown:
                out += [".br", head]
            continue
        seen.add(title)
        if shown:
            out += [f'.SS "{title}"'] if title not in ("Options", "Positionals") else [".PP"]
        for head, text in shown:
            out += [".TP", head, escaped(text)]
    out += footer(help_text.footer, seen)
    for name in help_text.commands():
        out += command(program, [*words, name], seen)
    return out


def page(program):
    version = subprocess.run([program, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1]
    top = Help(program, [])
    exit_codes = next(paragraph for paragraph in "\n".join(top.footer).split("\n\n") if paragraph.startswith("Exit codes: "))
    seen = {exit_codes, *(paragraph for paragraph in "\n".join(top.footer).split("\n\n") if paragraph.startswith("Example"))}
    out = ['.\\" Made by cli/man_page.py from what the program says of itself.',
           f'.TH TRUNKLINE 1 "" "trunkline {version}" "User commands"', ".SH NAME", "trunkline \\- symmetric peers: tree sync and channels from a shell",
           ".SH SYNOPSIS", ".B trunkline", "\\fICOMMAND\\fR [\\fIOPTIONS\\fR]", ".SH DESCRIPTION", INTRODUCTION]
    for title, entries in top.groups:
        if title == "Subcommands":
            for name, text in entries:
                out += [".TP", f"\\fB{escaped(name)}\\fR", escaped(text + (", see" if name == "sync" else ""))]
                if name == "sync":
                    out.append(".BR trunkline\\-sync (1)")
    for name in top.commands():
        if name != "sync" and "not in this build" not in Help(program, [name]).about:
            out += command(program, [name], seen)
    out += [".SH EXIT STATUS", escaped(re.sub(r"\s*\n\s*", " ", exit_codes.removeprefix("Exit codes: "))),
            ".PP", "Commands that end with other codes say so above.",
            ".SH SEE ALSO", ".BR trunkline\\-sync (1),", ".BR rsync (1)"]
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.stdout.write(page(sys.argv[1]))
