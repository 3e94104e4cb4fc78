#!/usr/bin/env python3
"""Makes the API reference: a Markdown page for each public header, from its declarations and their /// comments.

    reference.py DIRECTORY    writes the pages there, for a look; ./dev docs has them in the site

It knows as much of C++ as our headers use. A class is shown member by member, a struct as it stands, both without what
is private and without the bodies of functions. What a comment names and has a place in the reference is linked.
"""

import os
import re
import sys

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "packaging"))
sys.dont_write_bytecode = True
from export_headers import public, roots  # noqa: E402

RECORD = re.compile(r"\s*(?:template\s*<[^{;]*?>\s*)?(?:typedef\s+)?(class|struct|enum class|enum|union|namespace|extern \"C\+\+\")\b")
ACCESS = re.compile(r"(public|private|protected)\s*:(?!:)")
CLOSING = {"(": ")", "[": "]", "{": "}"}
NOT_FOR_PROGRAMS = re.compile(r"For (?:the (?:peer|trunk|library|machine)|answer_calls|tests)\b")


class Item:
    """One declaration, or what else stands between two of them."""

    def __init__(self, kind, text="", doc=(), after_blank=False, body="", remark=""):
        self.kind, self.text, self.doc, self.after_blank, self.body, self.remark = kind, text, list(doc), after_blank, body, remark

    def record(self):
        match = RECORD.match(self.text) if self.kind == "record" else None
        return match.group(1) if match else None

    def name(self):
        text = re.sub(r"\[\[.*?\]\]|alignas\([^)]*\)", "", self.text)
        if self.kind == "record":
            match = re.match(r"\s*(?:template\s*<[^{;]*?>\s*)?(?:class|struct|enum class|enum|union|namespace)\s+([\w:]+(?:<[^{:]*>)?)", text)
            return match.group(1) if match else ""
        match = re.search(r"\busing\s+([\w:]+)\s*=", text)
        if match:
            return match.group(1)
        match = re.search(r"(operator\s*(?:\(\)|[^\s(]+|\w+))\s*\(|([~\w]+)\s*\(", without_templates(text))
        if match and "=" not in text[:text.find("(")].replace("operator==", "").replace("operator=", ""):
            return match.group(1) or match.group(2)
        match = re.search(r"(\w+)\s*(?:\[\w*\])?\s*(?:=|\{|;|$)", text)
        return match.group(1) if match else ""


def without_templates(text):
    """Without what stands in angle brackets; operators keep theirs."""
    text = re.sub(r"operator(<=>|<<|>>|<=|>=|<|>|->)", "operator_", text)
    while True:
        less = re.sub(r"<[^<>]*>", "", text)
        if less == text:
            return text
        text = less


def past_string(text, at):
    quote, at = text[at], at + 1
    while at < len(text) and text[at] != quote:
        at += 2 if text[at] == "\\" else 1
    return at + 1


def past_bracket(text, at):
    """The place behind the bracket that closes the one at `at`."""
    closing, at = CLOSING[text[at]], at + 1
    while text[at] != closing:
        if text.startswith("//", at):
            at = text.index("\n", at)
        elif text[at] == '"' or text[at] == "'" and not text[at - 1].isalnum():
            at = past_string(text, at)
        elif text[at] in CLOSING:
            at = past_bracket(text, at)
        else:
            at += 1
    return at + 1


def next_visible(text, at):
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def items(text):
    """The declarations of one scope, in order."""
    at, doc, newlines, blank = 0, [], 2, True
    while at < len(text):
        if text[at].isspace():
            newlines += text[at] == "\n"
            at += 1
            continue
        line_end = text.find("\n", at) if "\n" in text[at:] else len(text)
        if text.startswith("///", at):
            blank = blank if doc else newlines > 1
            doc.append(text[at + 3:line_end].strip())
            at, newlines = line_end, 0
        elif text.startswith("//", at):
            yield Item("note", text[at + 2:line_end].strip(), after_blank=newlines > 1)
            at, newlines = line_end, 0
        elif text[at] == "#":
            while text[line_end - 1] == "\\":
                line_end = text.find("\n", line_end + 1)
            at, newlines = line_end, 0
        elif ACCESS.match(text, at):
            match = ACCESS.match(text, at)
            yield Item("access", match.group(1))
            at, newlines = match.end(), 2
        else:
            item, at = declaration(text, at)
            item.doc, item.after_blank, doc, newlines = doc, blank if doc else newlines > 1, [], 0
            yield item


def declaration(text, at):
    start, parameters, cut, body, kind = at, False, None, "", "declaration"
    column = start - (text.rfind("\n", 0, start) + 1)
    while True:
        if text.startswith("//", at):
            at = text.find("\n", at)
        elif text[at] in "\"":
            at = past_string(text, at)
        elif text[at] == ";":
            at += 1
            break
        elif text[at] in "([":
            parameters = parameters or text[at] == "("
            at = past_bracket(text, at)
        elif text[at] == ":" and parameters and cut is None and text[at + 1] != ":" and text[at - 1] != ":":
            cut, at = at, at + 1  # what a constructor initializes
        elif text[at] == "{":
            end = past_bracket(text, at)
            head = text[start:at]
            if RECORD.match(head) and not parameters:
                kind, body, cut = "record", text[at + 1:end - 1], at
                at = end
                following = next_visible(text, at)
                if following < len(text) and text[following] == ";":
                    at = following + 1
                break
            if parameters and "=" not in without_templates(head).split(")")[-1]:
                cut = at if cut is None else cut
                following = next_visible(text, end)
                at = end
                if following < len(text) and text[following] in ",{" and cut < end - 1 and text[cut] == ":":
                    continue
                break
            at = end  # an initializer
        elif at + 1 >= len(text):
            at = len(text)
            break
        else:
            at += 1
    shown = text[start:at] if cut is None else text[start:cut].rstrip() + ("" if kind == "record" else ";")
    shown = "\n".join(line[column:] if not line[:column].strip() else line for line in shown.split("\n"))
    item = Item(kind, shown, body=body)
    remarks = []
    match = re.compile(r"[ \t]*//([^\n]*)").match(text, at)
    while match and not match.group(1).startswith("/"):
        remarks.append(match.group(1).strip())
        at = match.end()
        match = re.compile(r"\n {%d,}//([^\n]*)" % (column + 6)).match(text, at)
    item.remark = " ".join(remarks)
    return item, at


def visible(scope, record):
    """The items of a record that a program sees."""
    access = "private" if record == "class" else "public"
    for item in scope:
        if item.kind == "access":
            access = item.text
            yield Item("blank")
        elif access != "private" and not item.text.startswith("friend class") and not item.text.startswith("friend struct"):
            yield item


def groups(scope):
    """What one comment stands for: declarations without an empty line or another comment between them."""
    group = []
    for item in scope:
        if group and (item.after_blank or item.doc or item.kind in ("note", "record", "blank") or group[-1].kind in ("record", "note")):
            yield group
            group = []
        if item.kind != "blank":
            group.append(item)
    if group:
        yield group


def as_code(item, indent=""):
    """A declaration as it stands, with its comments."""
    lines = ["/// " + line for line in item.doc]
    if item.kind == "note":
        lines.append("// " + item.text)
    elif item.kind == "record" and item.record().startswith("enum"):
        lines += [item.text + " {", *("  " + line for line in dedent(item.body).split("\n")), "};"]
    elif item.kind == "record":
        lines.append(item.text + " {")
        inner = []
        for member in visible(items(item.body), item.record()):
            if member.kind == "blank" or hidden(member):
                continue
            if inner and member.after_blank:
                inner.append("")
            inner += as_code(member, "  ")
        lines += [*inner, "};"]
    else:
        lines += item.text.split("\n")
    if item.remark:
        lines[-1] += " // " + item.remark
    return [(indent + line).rstrip() for line in lines]


def dedent(text):
    lines = text.strip("\n").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    least = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[least:] for line in lines)


def hidden(item):
    return bool(item.doc) and bool(NOT_FOR_PROGRAMS.match(item.doc[0]))


def slug(text):
    return re.sub(r"[^\w]+", "-", text.lower()).strip("-")


class Header:
    """What the page of one header says, before its links are known."""

    def __init__(self, path):
        self.path = path
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            text = file.read()
        self.page = re.sub(r"\.hpp$", ".md", path)
        lead = re.match(r"(?://[^\n]*\n)*", text).group(0)
        self.about = [line[2:].strip() for line in lead.splitlines()]
        self.sections = []  # (level, heading, anchor, comment, code)
        self.symbols = {}   # what a comment may call it: its anchor
        self.read(text[len(lead):], "")

    def read(self, text, namespace):
        for group in groups(items(text)):
            first = group[0]
            if first.kind == "record" and first.record() == "namespace":
                name = first.name()
                inner = f"{namespace}::{name}" if namespace else name
                if inner.startswith("trunkline") and not inner.endswith("detail"):
                    self.read(first.body, inner)
                continue
            group = [item for item in group if not re.fullmatch(r"(?:class|struct|enum class)\s+\w+;", item.text)]
            if not group or hidden(group[0]) or namespace == "trunkline::abi" or not namespace:
                continue
            if first.kind == "note":
                self.sections.append((0, "", "", [first.text], []))
            elif first.kind == "record" and first.record() == "class":
                self.read_class(first)
            else:
                self.add(2, group, "")

    def read_class(self, item):
        self.add(2, [Item("record", item.text, item.doc)], "", code=[item.text + ";"])
        for group in groups(visible(items(item.body), "class")):
            if hidden(group[0]):
                continue
            if group[0].kind == "note":
                self.sections.append((0, "", "", [group[0].text], []))
            else:
                self.add(3, group, item.name())

    def add(self, level, group, owner, code=None):
        names = list(dict.fromkeys(name for name in (item.name() for item in group) if name))
        if not names:
            return
        anchor = base = slug((owner + " " if owner else "") + names[0])
        taken = {section[2] for section in self.sections}
        while anchor in taken:  # an overload with a comment of its own
            anchor = f"{base}-{len(taken)}"
        if code is None:
            code = [line for item in group for line in as_code(Item(item.kind, item.text, [], False, item.body, item.remark))]
        kind = group[0].record() if group[0].kind == "record" else ""
        heading = (kind + " " if kind else "") + ", ".join(names if len(names) < 6 else [*names[:4], "..."])
        self.sections.append((level, heading, anchor, group[0].doc, code))
        for name in names:
            self.symbols.setdefault(f"{owner}::{name}" if owner else name, anchor)
        if kind in ("struct", "enum class", "enum"):
            members = items(group[0].body) if kind == "struct" else [Item("declaration", m + ";") for m in re.findall(r"^\s*(\w+)(?: = \w+)?,?", re.sub(r"//[^\n]*", "", group[0].body), re.MULTILINE)]
            for member in members:
                if member.kind in ("declaration", "record") and member.name():
                    self.symbols.setdefault(f"{names[0]}::{member.name()}", anchor)

    def markdown(self, places, pages):
        link = Links(self, places, pages)
        library = re.match(r"services/(\w+)/", self.path)
        lines = [f"# {self.path}", "", link.text(self.about), "", "```cpp", f"#include <trunkline/{self.path}>", "```", ""]
        if library:
            lines += [f"Of the library `trunkline_{library.group(1)}`.", ""]
        previous = None
        for level, heading, anchor, comment, code in self.sections:
            if level == 0:
                if previous == 0:
                    lines.pop()
                lines += [link.text(comment), ""]
            else:
                lines += [f"{'#' * level} {escaped(heading)} {{ #{anchor} }}", ""]
                if code:
                    lines += ["```cpp", *code, "```", ""]
                if comment:
                    lines += [link.text(comment), ""]
            previous = level
        return "\n".join(lines)


def escaped(text):
    return text.translate({ord(letter): f"&#{ord(letter)};" for letter in "*<>[]"})


class Links:
    """Turns comments into text whose names lead to their places."""

    def __init__(self, header, places, pages):
        self.header, self.places, self.pages = header, places, pages

    def text(self, lines):
        out = []
        for part in re.split(r"(`[^`]*`)", " ".join(lines)):
            if part.startswith("`"):
                out.append(self.linked(part.strip("`"), part))
            else:
                part = part.replace("&", "&amp;").replace("<", "&lt;").replace("*", "\\*")
                part = re.sub(r"\b(docs/[\w/-]+\.md)\b", self.page, part)
                out.append(re.sub(r"\b(?:std::|asio::|boost::)?[A-Za-z_]\w*(?:::~?\w+)+\b|\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b",
                                  lambda match: self.linked(match.group(0), f"`{match.group(0)}`" if "::" in match.group(0) else match.group(0)), part))
        return re.sub(r" ?\b((?:Errors|Cancelled)(?: also| or timed out)?): ", r"\n\n**\1:** ", "".join(out)).strip()

    def page(self, match):
        up = "../" * (self.header.page.count("/") + 1)
        return f"[{match.group(1)}]({up}{match.group(1)[len('docs/'):]})" if match.group(1) in self.pages else match.group(1)

    def linked(self, name, shown):
        name = name.rstrip("()")
        for candidate in (name, *(f"{owner}::{name}" for owner in self.own())):
            if candidate in self.places:
                page, anchor = self.places[candidate]
                here = os.path.dirname(self.header.page)
                return f"[{shown}]({'' if page == self.header.page else os.path.relpath(page, here)}#{anchor})"
        return shown

    def own(self):
        return dict.fromkeys(name.partition("::")[0] for name in self.header.symbols if "::" in name)


def headers():
    return [Header(path) for path in public()]


def write(directory, pages=()):
    """Writes the pages; returns (page, header's name) of each, those first that programs include."""
    found = headers()
    places = {}
    for header in found:
        for name, anchor in header.symbols.items():
            places.setdefault(name, (header.page, anchor))
    first = [header for header in found if header.path in roots()]
    rest = [header for header in found if header not in first]
    for header in found:
        path = os.path.join(directory, header.page)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(header.markdown(places, set(pages)))
    with open(os.path.join(directory, "index.md"), "w", encoding="utf-8") as file:
        file.write("# Headers\n\nWhat a program may include, as `<trunkline/FOLDER/NAME.hpp>`; all names are in the namespace"
                   " `trunkline`.\n[What may change](../stability.md) from release to release, and"
                   " [who may call what from which thread](../threads.md), have pages of their own.\n\n")
        for title, some in (("Begin here", first), ("What those include", rest)):
            file.write(f"## {title}\n\n| header | |\n|---|---|\n")
            for header in some:
                about = " ".join(header.about).split(". ")[0].rstrip(".").replace("|", "\\|")
                file.write(f"| [{header.path}]({header.page}) | {about}. |\n")
            file.write("\n")
    return [(header.page, header.path) for header in [*first, *rest]]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for page, _ in write(sys.argv[1]):
        print(page)
