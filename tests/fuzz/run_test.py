#!/usr/bin/env python3
"""run.py gives a target a copy of its corpus, keeps crashes, and passes arguments and exit codes on.

The target is a script that writes what it was given into the directory of crashes, adds to its corpus, and fails.
"""

import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support")]
sys.dont_write_bytecode = True
import run  # noqa: E402
from checks import check, finish  # noqa: E402

TARGET = """#!/usr/bin/env python3
import os, sys
corpus = sys.argv[-1]
prefix = [argument for argument in sys.argv if argument.startswith("-artifact_prefix=")][0].split("=", 1)[1]
print(*sorted(os.listdir(corpus)), file=open(prefix + "crash", "w"))
print(*sys.argv[1:-1], file=open(prefix + "arguments", "w"))
open(os.path.join(corpus, "found"), "w").close()
sys.exit(77)
"""

MERGER = """#!/usr/bin/env python3
import os, sys
corpus = sys.argv[-1]
if "-set_cover_merge=1" in sys.argv:
    assert "found" in os.listdir(corpus)
    open(os.path.join(sys.argv[-2], "small"), "w").close()
else:
    open(os.path.join(corpus, "found"), "w").close()
"""

check("every target has a source file", "canary" in run.targets() and "trunk" in run.targets(), run.targets())
for target in run.targets():
    check(f"{target} is in meson.build", f"'{target}'" in open(os.path.join(HERE, "meson.build"), encoding="utf-8").read())

corpus = os.path.join(HERE, "corpus", "trunk")
before = sorted(os.listdir(corpus))
with tempfile.TemporaryDirectory() as directory:
    program, crashes = os.path.join(directory, "fuzz_trunk"), os.path.join(directory, "deep", "crashes")
    with open(program, "w", encoding="utf-8") as file:
        file.write(TARGET)
    os.chmod(program, 0o755)
    code = run.run(program, "trunk", crashes, 7, ["-runs=1"])
    check("the exit code of the target is that of the run", code == 77, code)
    check("the target sees the whole corpus",
          open(os.path.join(crashes, "trunk-crash"), encoding="utf-8").read().split() == before)
    said = open(os.path.join(crashes, "trunk-arguments"), encoding="utf-8").read().split()
    check("arguments are passed on", "-max_total_time=7" in said and said[-1] == "-runs=1", said)
with tempfile.TemporaryDirectory() as directory:
    program, kept = os.path.join(directory, "fuzz_trunk"), os.path.join(directory, "kept")
    os.makedirs(kept)
    open(os.path.join(kept, "old"), "w").close()
    with open(program, "w", encoding="utf-8") as file:
        file.write(MERGER)
    os.chmod(program, 0o755)
    code = run.run(program, "trunk", os.path.join(directory, "crashes"), 7, [], kept)
    check("a run that keeps ends well", code == 0, code)
    check("what is kept is the merged corpus and nothing else", os.listdir(kept) == ["small"], os.listdir(kept))
check("the repository's corpus stays as it is", sorted(os.listdir(corpus)) == before)

finish()
