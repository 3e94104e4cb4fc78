#!/usr/bin/env python3
"""Builds one libFuzzer target and runs it on a copy of its corpus.

libFuzzer adds what it finds to the first directory that it is given: a copy keeps the repository's corpus as it is.
"""

# ./dev fuzz [TARGET [--seconds N] [--keep] [-- LIBFUZZER-ARGUMENT...]]
#   Builds a libFuzzer target with ASan and UBSan and runs it on a copy of its corpus, 60 seconds by default.
#   Without TARGET: lists the targets. A crashing input is left in build/fuzz/crashes/ and replayed by
#   build/fuzz/tests/fuzz/fuzz_TARGET FILE.
#   --keep  afterwards the smallest set of inputs that reaches as much is the corpus of the repository
#   tests/fuzz/coverage.py says what share of the code the corpora reach.

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import dev  # noqa: E402


# Short inputs, many of them: what a longer one reaches, a short one can write (see the targets).
OPTIONS = {"frames": ["-max_len=256"], "trunk": ["-max_len=400"], "delta": ["-max_len=256", "-len_control=0"]}
# Deep stacks of every allocation and a large quarantine take a third of the time; a crash is replayed without them.
SANITIZER = "malloc_context_size=4:quarantine_size_mb=8"


def targets():
    return sorted(name[len("fuzz_"):-len(".cpp")] for name in os.listdir(HERE)
                  if name.startswith("fuzz_") and name.endswith(".cpp"))


def run(program, target, crashes, seconds, arguments, kept=None):
    """Runs a target that is built; returns its exit code. After a good end, what it found goes to the folder `kept`."""
    os.makedirs(crashes, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        if os.path.isdir(os.path.join(HERE, "corpus", target)):
            shutil.copytree(os.path.join(HERE, "corpus", target), corpus, dirs_exist_ok=True)
        process = subprocess.Popen([program, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048",
                                    "-print_final_stats=1", f"-artifact_prefix={crashes}/{target}-",
                                    *OPTIONS.get(target, []), *arguments, corpus],
                                   env={**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", SANITIZER)})
        code = wait(process)
        if code == 0 and kept:
            code = keep(program, corpus, kept)
        return code


def wait(process):
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            pass  # libFuzzer has heard it too, and ends with its statistics


def keep(program, corpus, kept):
    """Replaces a folder by the smallest set of a corpus that reaches as much."""
    with tempfile.TemporaryDirectory() as smallest:
        code = wait(subprocess.Popen([program, "-set_cover_merge=1", "-timeout=10", "-rss_limit_mb=2048", smallest, corpus]))
        if code == 0:
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(smallest, kept)
        return code


def main():
    own, others = sys.argv[1:], []
    if "--" in own:
        mark = own.index("--")
        own, others = own[:mark], own[mark + 1:]
    parser = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args(own)
    if arguments.target is None:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the reader may have seen enough
        print("targets:", file=sys.stderr)
        print("\n".join(targets()))
        return 0
    if arguments.target not in targets():
        sys.exit(f"dev: fuzz: no target {arguments.target}; there are: {' '.join(targets())}")

    program = f"tests/fuzz/fuzz_{arguments.target}"
    build = dev.build("fuzz", program)
    kept = os.path.join(HERE, "corpus", arguments.target) if arguments.keep else None
    return run(os.path.join(build, program), arguments.target, os.path.join(build, "crashes"), arguments.seconds, others,
               kept)


if __name__ == "__main__":
    code = main()
    sys.exit(code if code >= 0 else 128 - code)
