#!/usr/bin/env python3
"""The lint catches planted violations and passes what only looks like one.

Puts each fixture into an otherwise empty tree, runs the lint there, and compares the lines that it reports with the lines that say
"expect: ..."; both a missing and an additional report are failures. The whole repository is then checked as one more test.
"""

import os
import re
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support")]
import lint  # noqa: E402
from checks import check, finish  # noqa: E402

EXPECTED = re.compile(r"expect: (.*?)\s*$")


def findings_in(files):
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)) or root, exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        return lint.lint(root)


def check_fixture(name, path):
    with open(os.path.join(HERE, "fixtures", name), encoding="utf-8") as file:
        text = file.read()
    reported = {}
    for _, line, message in findings_in({path: text}):
        reported.setdefault(line, []).append(message)
    for number, line in enumerate(text.split("\n"), 1):
        expected = EXPECTED.search(line)
        messages = reported.get(number, [])
        if expected and "PART OF THE MESSAGE" not in line:
            check(f"{name}:{number} is reported", len(messages) == 1 and expected.group(1) in messages[0],
                  f"  {line.strip()}\n  reported: {messages}")
        elif messages:
            check(f"{name}:{number} is not reported", False, f"  {line.strip()}\n  reported: {messages}")
    check(f"{name} was looked at", reported)


check_fixture("coroutines.cpp", "circuit/coroutines.cpp")
check_fixture("rules.cpp", "circuit/rules.cpp")

# What would be found in this file itself is put together here.
nap = "sleep"
for path, text in {
    "tests/circuit/slow_test.cpp": f"void f() {{ std::this_thread::{nap}_for(1s); }}",
    "tests/circuit/posix_test.cpp": f"void f() {{ u{nap}(1000); }}",
    "tests/interop/slow_test.py": f"import time\ntime.{nap}(1)\n",
    "docs/tour.md": "as in /wo" + "rk/main\n",
    "dev": "cp x /tmp/ba" + "sh_jobs\n",
    "peer/note.cpp": "// see /ho" + "me/someone/notes\n",
}.items():
    check(f"{path} is reported", len(findings_in({path: text})) == 1, text)
for path, text in {
    "circuit/timer.cpp": f"awaitable<void> f() {{ co_await {nap}_for(1s); }}",
    "tests/circuit/virtual_test.cpp": f"awaitable<void> f() {{ co_await trunkline::{nap}_for(1s); }}",
    "tests/interop/quiet_test.py": f'"""time.{nap}(1) would be wrong here."""\n# time.{nap}(1)\n',
    "docs/tour.md": "docs/wo" + "rk/main and $HOME/wo" + "rk/x\n",
    "examples/main.cpp": "int main() { co_spawn(io, f(), asio::detached); }",
    "tests/fuzz/corpus/trunk/binary": "\x00\x01",
}.items():
    found = findings_in({path: text})
    check(f"{path} is not reported", not found, f"  {text}\n  reported: {found}")

# A scheme belongs to its medium: the constant in transport/ is what makes it known to the lint.
medium = {"transport/unix.cpp": 'constexpr std::string_view prefix = "unix:";\nauto text = "unix:/x";\n'}
for text, count in {
    'bool is(std::string_view scheme) { return scheme == "unix"; }': 1,
    'auto address = "unix:/run/t.sock";': 1,
    'auto address = "tcp://h:1"; // as "unix:/run/t.sock"': 0,
    'auto text = "tcp://h:1 or unix:/path";': 0,
    'auto text = "unixes";': 0,
    'auto raw = R"(unix:/x)";': 0,
    'auto address = "unix:/x"; // lint-allow: shows how a finding is allowed': 0,
}.items():
    found = findings_in(medium | {"peer/url.cpp": text})
    check(f"schemes in {text}", len(found) == count, f"  reported: {found}")
check("tests know media", not findings_in(medium | {"tests/peer/url_test.cpp": 'auto address = "unix:/x";'}))

# Tests are named after what they test, and kits are told apart.
library = {"peer/node.hpp": "", "async/signal.hpp": ""}
for path in ["tests/peer/nodes_test.cpp", "tests/peer/draining_test.cpp", "tests/async/node_test.cpp"]:
    check(f"{path} is reported", len(findings_in({**library, path: ""})) == 1)
for path in ["tests/peer/node_test.cpp", "tests/peer/node_draining_in_peace_test.cpp", "tests/sim/drivers_test.cpp"]:
    found = findings_in({**library, path: ""})
    check(f"{path} is not reported", not found, found)
found = findings_in({**library, "tests/peer/town.hpp": "", "tests/peer/town_fair_test.cpp": ""})
check("the test of a kit is not reported", not found, found)
kit = "namespace trunkline::test {\nclass Pair {\n  struct State {};\n};\n}\n"
for name, other, expected in [
    ("a class of one full name", kit, 2),
    ("a class of one full name, written otherwise", "namespace trunkline {\nnamespace test {\nstruct Pair final : Base {};\n}\n}\n", 3),
    ("a class of another namespace", kit.replace("trunkline::test", "trunkline::sync::test"), None),
    ("a class without a name for others", "namespace trunkline::test {\nnamespace {\nclass Pair {};\n}\n}\n", None),
    ("a class within a class", kit.replace("class Pair", "class Other"), None),
    ("a class that is only declared", "namespace trunkline::test {\nclass Pair;\n}\n", None),
]:
    found = findings_in({"tests/circuit/pair.hpp": kit, "tests/peer/pair.hpp": other})
    check(f"{name} is {'reported' if expected else 'not reported'}", [line for _, line, _ in found] == [expected] * bool(expected), found)

# A scheme belongs to its medium: the constant in transport/ is what makes it known to the lint.
medium = {"transport/unix.cpp": 'constexpr std::string_view prefix = "unix:";\nauto text = "unix:/x";\n'}
for text, count in {
    'bool is(std::string_view scheme) { return scheme == "unix"; }': 1,
    'auto address = "unix:/run/t.sock";': 1,
    'auto address = "tcp://h:1"; // as "unix:/run/t.sock"': 0,
    'auto text = "tcp://h:1 or unix:/path";': 0,
    'auto text = "unixes";': 0,
    'auto raw = R"(unix:/x)";': 0,
    'auto address = "unix:/x"; // lint-allow: shows how a finding is allowed': 0,
}.items():
    found = findings_in(medium | {"peer/url.cpp": text})
    check(f"schemes in {text}", len(found) == count, f"  reported: {found}")
check("tests know media", not findings_in(medium | {"tests/peer/url_test.cpp": 'auto address = "unix:/x";'}))

repository = lint.lint(os.path.join(HERE, "..", ".."))
check("the repository follows its rules", not repository, "\n".join(f"  {p}:{l}: {m}" for p, l, m in repository))

finish()
