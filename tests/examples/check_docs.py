#!/usr/bin/env python3
"""Holds the docs to the tree: what a page quotes from the code or the tests must be there.

usage: check_docs.py ROOT. Each check is a function with a sentence for a name; the last line counts.
"""
import glob
import json
import os
import re
import subprocess
import sys
import traceback

ROOT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", ".."))
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def test_names():
    """Every doctest case, and every check of a script: its name with spaces."""
    names = set()
    for path in glob.glob(os.path.join(ROOT, "tests", "**", "*.*"), recursive=True):
        if path.endswith(".cpp"):
            with open(path, encoding="utf-8") as file:
                # A name may be written as several literals that the compiler joins.
                for literals in re.findall(r'TEST_CASE\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)[,)]', file.read()):
                    names.add(re.sub(r'"\s*"', "", literals).strip().strip('"').replace('\\"', '"'))
        elif path.endswith(".py"):
            with open(path, encoding="utf-8") as file:
                for name in re.findall(r"^\s*def (\w+)\(", file.read(), re.MULTILINE):
                    names.add(f"{os.path.relpath(path, os.path.join(ROOT, 'tests')).split(os.sep)[0]}: {name.replace('_', ' ')}")
    return names


def quoted_tests(page):
    """Test names on a page stand in backticks and hold a colon and a space: `circuit: a cancelled receive takes nothing`."""
    return [name for name in re.findall(r"`([^`\n]+)`", read("docs", page)) if re.match(r"[a-z_ ]+: \S", name)]


@check
def every_test_that_promises_and_faults_quote_exists():
    names = test_names()
    for page in ("promises.md", "faults.md", "lifetime.md"):
        missing = [name for name in quoted_tests(page) if name not in names]
        assert not missing, f"docs/{page} quotes tests that do not exist:\n  " + "\n  ".join(missing)
    assert len(quoted_tests("promises.md")) >= 7, "every promise has a test"


@check
def every_row_of_what_was_reported_has_a_rule_and_tests_that_exist():
    names = test_names()
    rows = [[cell.strip() for cell in line.strip().strip("|").split(" | ")]
            for line in read("docs", "reported.md").splitlines() if line.startswith("| ") and not line.startswith("| **")]
    assert len(rows) > 30, "the table has not been read"
    for row in rows[1:]:
        assert len(row) == 3 and all(row), f"a row without a rule or without tests: {row}"
        assert re.findall(r"`[a-z_ ]+: ", row[2]), f"a row without a test: {row}"
    missing = [name for name in quoted_tests("reported.md") if name not in names]
    assert not missing, "docs/reported.md quotes tests that do not exist:\n  " + "\n  ".join(missing)


@check
def what_to_expect_has_every_number_once_and_names_tests_that_exist():
    rows = [[cell.strip() for cell in line.strip().strip("|").split(" | ")]
            for line in read("docs", "expected.md").split("## Stones")[0].splitlines() if re.match(r"\| \d", line)]
    assert sorted(int(row[0]) for row in rows) == list(range(1, 53)), [row[0] for row in rows]
    for row in rows:
        assert re.match(r"(yes|partly|no)\b", row[2]), row
        assert row[2] == "no" or len(row) == 4 and row[3], f"nothing to see: {row}"
    names = test_names()
    missing = [name for name in quoted_tests("expected.md") if name not in names]
    assert not missing, "docs/expected.md quotes tests that do not exist:\n  " + "\n  ".join(missing)
    stones = re.findall(r"^\| ([\d, ]+) \|", read("docs", "expected.md").split("## Stones")[1], re.MULTILINE)
    assert [int(n) for cell in stones for n in cell.split(", ")] == list(range(1, 38)), stones


@check
def every_requirement_of_the_facade_and_of_gossip_has_a_row_with_a_test_that_exists():
    names = test_names()
    page = read("docs", "network-tests.md")
    missing = [name for name in quoted_tests("network-tests.md") if name not in names]
    assert not missing, "docs/network-tests.md quotes tests that do not exist:\n  " + "\n  ".join(missing)
    rows = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in page.splitlines() if line.startswith("| ")]
    for row in rows:
        assert "`" in row[-1] or row[-1] == "shown by", f"no test: {row}"
    asked = {row[0] for row in rows}
    wanted = [f"N{n}" for n in range(1, 25)] + [f"T{n}" for n in range(1, 7)] + [f"K{n}" for n in range(1, 13)]
    wanted += [str(n) for n in range(1, 13)] + [f"R{n}" for n in range(1, 10)]
    assert not set(wanted) - asked, sorted(set(wanted) - asked)
    skipped_there = re.findall(r"\(K13 ([^)]+)\)` \|$", page.split("(K13):")[1].split("\n## ")[0], re.MULTILINE)
    assert len(set(skipped_there)) == 17, skipped_there


@check
def the_tests_that_the_page_of_the_slave_names_exist():
    names = test_names()
    quoted = quoted_tests("quarkchain-slave-tests.md")
    assert len(quoted) > 30, quoted
    missing = [name for name in quoted if name not in names]
    assert not missing, "docs/quarkchain-slave-tests.md quotes tests that do not exist:\n  " + "\n  ".join(missing)


@check
def the_chat_room_of_the_network_page_has_at_most_60_lines():
    assert read("examples", "chat_room.cpp").count("\n") <= 60


@check
def every_fault_has_a_row_with_a_test():
    rows = re.findall(r"^\| (F\d\d) \|.*$", read("docs", "faults.md"), re.MULTILINE)
    assert rows == [f"F{n:02}" for n in range(1, 45)], rows
    for line in re.findall(r"^\| F\d\d \|.*$", read("docs", "faults.md"), re.MULTILINE):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        assert len(cells) == 4 and all(cells), line


def value(expression):
    """A C++ initialiser as a number."""
    return int(eval(expression.replace("'", ""), {"__builtins__": {}}))


def declared(text):
    """Limits as declared: {name: (value, True when it is a time in ms)}."""
    found = {}
    for name, expression in re.findall(r"(?:std::size_t|std::uint32_t) (\w+) = ([^;]+);", text):
        found[name] = (value(expression), False)
    for name, expression in re.findall(r"std::chrono::milliseconds (\w+)\{([^}]+)\};", text):
        found[name] = (value(expression), True)
    return found


def documented(text):
    """Limits of the tables: {name: (value, True when it is a time in ms)}."""
    units = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "ms": 1, "s": 1000}
    found = {}
    for name, number, unit in re.findall(r"^\| `(\w+)` \| (\d+) ?(\w*) \|", text, re.MULTILINE):
        found[name] = (int(number) * units[unit], unit in ("ms", "s"))
    return found


@check
def limits_md_says_what_the_headers_say():
    limits = declared(read("circuit", "limits.hpp"))
    limits.update(declared(re.search(r"struct NodeOptions \{.*?^\};", read("peer", "node.hpp"), re.DOTALL | re.MULTILINE).group(0)))
    assert len(limits) > 25
    page = documented(read("docs", "limits.md"))
    for name in sorted(limits.keys() | page.keys()):
        assert limits.get(name) == page.get(name), f"{name}: the header says {limits.get(name)}, the page {page.get(name)}"


@check
def one_write_is_as_large_as_the_docs_say():
    code = re.search(r"write_bytes_max = ([^;]+);", read("peer", "session.cpp"))
    wanted = f"{value(code.group(1)) >> 10} KiB and"
    for page, around in (("architecture.md", "writer, one coroutine per connection"), ("promises.md", "one write of at most")):
        said = re.sub(r"\s+", " ", read("docs", page)).split(around)[1][:120]
        assert wanted in said, f"docs/{page} does not say {wanted!r}: {said}"


@check
def network_md_and_gossip_md_say_what_their_headers_say():
    def of(header, *structs):
        found = {}
        for struct in structs:
            found.update(declared(re.search(rf"struct {struct} \{{.*?^\}};", header, re.DOTALL | re.MULTILINE).group(0)))
        return found

    gossip = []
    if os.path.isdir(os.path.join(ROOT, "services")):  # the framework stands without them
        gossip.append(("gossip.md", of(read("services", "gossip", "machine_options.hpp"), "MachineOptions")
                       | of(read("services", "gossip", "gossip.hpp"), "GossipOptions")))
    for page, limits in (("network.md", of(read("peer", "channel", "network.hpp"), "NetworkOptions")),
                         *gossip):
        assert len(limits) >= 14, limits
        said = documented(read("docs", page))
        for name in sorted(limits.keys() | said.keys()):
            assert limits.get(name) == said.get(name), f"docs/{page}: {name}: the header says {limits.get(name)}, the page {said.get(name)}"


@check
def the_program_of_the_readme_is_the_one_that_is_compiled():
    # As a program outside of this repository includes it.
    program = re.sub(r'#include "(async|peer)/([^"]+)"', r"#include <trunkline/\1/\2>", read("examples", "readme.cpp").split("// [readme]\n")[1])
    blocks = re.findall(r"^```cpp\n(.*?)^```$", read("README.md"), re.DOTALL | re.MULTILINE)
    assert program in blocks, "README.md has no code block that is examples/readme.cpp between its marks"


@check
def every_snippet_of_the_tour_and_the_guides_is_in_a_program_that_is_compiled():
    sources = ""
    for path in sorted(glob.glob(os.path.join(ROOT, "examples", "*.[ch]pp")) + glob.glob(os.path.join(ROOT, "tests", "examples", "*.cpp"))):
        with open(path, encoding="utf-8") as file:
            sources += file.read()
    plain = re.sub(r"\s+", " ", sources)
    guides = sorted(os.path.join("guides", name) for name in os.listdir(os.path.join(ROOT, "docs", "guides")))
    for page in ("tour.md", "lifetime.md", "threads.md", "errors.md", "README.md", *guides):
        # A file that a page tells to write is typed and compiled by tests/consumer.
        text = re.sub(r"^`\S+`:\n\n```.*?^```$", "", read("docs", page), flags=re.DOTALL | re.MULTILINE)
        for block in re.findall(r"^```cpp\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            # Indentation is the page's own; "..." stands for what the page leaves out.
            for part in re.split(r"^\s*// \.\.\.\s*$", block, flags=re.MULTILINE):
                part = re.sub(r"\s+", " ", part).strip()
                assert part in plain, f"docs/{page}: no program holds\n{part}"


@check
def every_link_leads_somewhere():
    outcome = subprocess.run([sys.executable, os.path.join(ROOT, "tests", "docs", "check_links.py"), ROOT], capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stdout


@check
def every_reason_of_the_wire_page_is_the_one_of_the_header():
    names = {int(number): name.replace("_", " ") for name, number in re.findall(r"^  (\w+) = (\d+),", read("fragment", "error.hpp"), re.MULTILINE)}
    table = read("docs", "wire.md").split("## Reasons")[1]
    page = {int(number): name.strip() for number, name in re.findall(r"\| (\d+) \| ([a-z ]+?) (?=\|)", table)}
    page[0] = "none" if page.get(0) == "clean" else page.get(0)
    assert len(page) > 25
    for number, name in page.items():
        assert names[number] == name, f"{number}: {name} on the page, {names[number]} in the header"
    missing = [number for number in names if number < 80 and number not in page]
    assert not missing, missing


@check
def the_errors_page_has_every_number_of_the_header_and_what_to_do():
    codes = [(number, name) for name, number in re.findall(r"^  (\w+) = (\d+),", read("fragment", "error.hpp"), re.MULTILINE)]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")]
            for line in read("docs", "errors.md").splitlines() if re.match(r"\| \d", line)]
    assert sorted((row[0], row[1].strip("`")) for row in rows) == sorted(codes), set((row[0], row[1].strip("`")) for row in rows) ^ set(codes)
    assert all(len(row) == 4 and all(row) for row in rows), rows


@check
def the_program_of_the_simulator_page_is_the_one_that_is_compiled():
    assert read("examples", "simulated.cpp").split("\n", 1)[1] in read("docs", "simulator.md")


@check
def the_example_of_the_wire_page_is_made_of_golden_frames():
    page = read("docs", "wire.md").split("## Example")[1].split("\n## ")[0]
    shown = re.findall(r"^ {4,7}((?:[0-9A-F]{2} )*[0-9A-F]{2})(?: {2,}.*)?$", page, re.MULTILINE)
    golden = json.loads(read("tests", "interop", "frames.json"))
    assert "".join(shown).replace(" ", "").lower() == "".join(golden[name] for name in ("preface", "hello", "open", "data"))


@check
def the_changelog_begins_with_the_version_that_is_built():
    built = re.search(r"version: '([^']+)'", read("meson.build")).group(1)
    assert re.findall(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)[0] == built, f"meson.build says {built}"


@check
def the_architecture_page_has_a_row_for_every_room_and_no_other():
    rooms = set(re.findall(r"^\| `([\w/]+)/` \|", read("docs", "architecture.md"), re.MULTILINE))
    folders = set()
    for top in os.listdir(ROOT):
        if top.startswith(".") or top in ("build", "subprojects", "tests"):
            continue
        for folder, _, names in os.walk(os.path.join(ROOT, top)):
            if any(name.endswith((".hpp", ".cpp", ".proto")) for name in names):
                folders.add(os.path.relpath(folder, ROOT))
    here = set(os.listdir(ROOT))  # the framework stands without services/ and the like
    rooms = {room for room in rooms if room.split("/")[0] in here}
    assert rooms - {"tests"} == folders, f"no row for {sorted(folders - rooms)}, no sources in {sorted(rooms - folders - {'tests'})}"


@check
def the_architecture_page_tells_four_journeys_of_at_most_eight_steps_with_a_file_each():
    page = read("docs", "architecture.md").split("## Four journeys")[1].split("\n## ")[0]
    journeys = page.split("\n### ")[1:]
    assert len(journeys) == 4, [journey.splitlines()[0] for journey in journeys]
    for journey in journeys:
        steps = re.findall(r"^(\d)\. (.*(?:\n   .*)*)", journey, re.MULTILINE)
        assert 5 <= len(steps) <= 8 and [int(number) for number, _ in steps] == list(range(1, len(steps) + 1)), journey
        for _, step in steps:
            files = re.findall(r"\]\(\.\./([\w/.]+)\)", step)
            assert len(files) == 1, f"a step names one file: {step}"
            there = os.path.isfile(os.path.join(ROOT, files[0])) or not os.path.isdir(os.path.join(ROOT, files[0].split("/")[0]))
            assert there, f"{files[0]} does not exist: {step}"


@check
def every_page_is_in_the_index():
    index = read("docs", "README.md")
    pages = [page for folder in (".", "guides", "decisions") for page in glob.glob(os.path.join(ROOT, "docs", folder, "*.md"))]
    missing = [page for page in (os.path.relpath(path, os.path.join(ROOT, "docs")) for path in pages)
               if page != "README.md" and f"({page})" not in index]
    assert not missing, f"docs/README.md does not name {missing}"


@check
def the_client_from_outside_stays_within_150_lines():
    assert read("tests", "interop", "client.py").count("\n") <= 150


def main():
    failed = 0
    for function in CHECKS:
        try:
            function()
        except AssertionError as failure:
            failed += 1
            print(f"FAILED  {function.__name__.replace('_', ' ')}\n{failure}")
        except Exception:  # a page that is not there, say
            failed += 1
            print(f"FAILED  {function.__name__.replace('_', ' ')}")
            traceback.print_exc(file=sys.stdout)
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
