"""Replays every fuzz target over its corpus and seeded mutations, and shows that the canary is caught, and bugs in the library.

    replay_test.py CORPUS REPLAY_PROGRAM...
"""
import os
import pathlib
import subprocess
import sys

corpus = pathlib.Path(sys.argv[1])
seed = os.environ.get("TRUNKLINE_SEED", "1")
BUGS = {"delta": ("delta finder", "delta in place")}  # of a build with planted bugs


def replay(program, rounds, seed, files, bug=None):
    planted = {"TRUNKLINE_PLANTED_BUG": bug} if bug else {}
    return subprocess.run([program, str(rounds), seed, *files], capture_output=True, text=True, timeout=240, env={**os.environ, **planted})


passed = failed = 0
for program in sys.argv[2:]:
    name = pathlib.Path(program).name.removeprefix("replay_")
    files = sorted(str(path) for path in (corpus / name).glob("*")) if (corpus / name).is_dir() else []
    rounds = {"canary": 200000, "trunk": 1000}.get(name, 4000)
    if "TRUNKLINE_TEST_PATIENCE" in os.environ and name != "canary":
        rounds //= 5  # a sanitizer is watching, which takes as many times longer
    run = replay(program, rounds, seed, files)
    died = run.returncode != 0
    expected = name == "canary"
    if died == expected:
        passed += 1
    else:
        failed += 1
        what = "was not caught" if expected else f"ended with {run.returncode}, TRUNKLINE_SEED={seed}"
        print(f"FAILED: {name} {what}\n{run.stderr[-2000:]}")
    for bug in BUGS.get(name, ()):
        code = replay(program, rounds, seed, files, bug).returncode
        if code < 0:
            passed += 1
        elif code != 77:
            failed += 1
            print(f"FAILED: {name} ended with {code} and did not notice the bug \"{bug}\", TRUNKLINE_SEED={seed}")
print(f"{passed} passed, {failed} failed")
sys.exit(failed != 0)
