#!/usr/bin/env python3
"""Says what share of a folder's code the corpora of some fuzz targets reach, file by file.

    tests/fuzz/coverage.py [--folder circuit] [TARGET...]      frames and trunk unless named

Compiles only that folder, what is below it, and the targets, with clang's coverage mapping, into build/coverage; the
corpora are replayed without mutations. Needs a build/debug that is configured, for the compiler's arguments.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import dev  # noqa: E402

MAPPING = ["-fprofile-instr-generate", "-fcoverage-mapping"]
BELOW = ["circuit", "fragment", "proto"]  # what a machine without I/O is made of


def commands(build):
    """The compiler's arguments of each source file of the library, relative to the build directory."""
    database = subprocess.run(["ninja", "-C", build, "-t", "compdb"], capture_output=True, text=True, check=True).stdout
    return {os.path.normpath(os.path.join(build, entry["file"])): entry["command"] for entry in json.loads(database)
            if entry["output"].endswith(".o")}


def compile_one(build, command, source, into):
    words = [word for word in shlex.split(command) if not word.endswith("ccache")]
    for option, count in (("-o", 2), ("-c", 2), ("-MF", 2), ("-MQ", 2), ("-MD", 1)):
        if option in words:
            at = words.index(option)
            del words[at:at + count]
    target = os.path.join(into, os.path.relpath(source, dev.ROOT).replace(os.sep, "_").replace(".." , "build") + ".o")
    subprocess.run([*words, *MAPPING, "-c", source, "-o", target], cwd=build, check=True)
    return target


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--folder", default="circuit")
    arguments = parser.parse_args()
    targets = arguments.targets or ["frames", "trunk"]
    build, into = os.path.join(dev.BUILD_ROOT, "debug"), os.path.join(dev.BUILD_ROOT, "coverage")
    os.makedirs(into, exist_ok=True)
    subprocess.run(["ninja", "-C", build, "proto/trunk.pb.h"], check=True, stdout=subprocess.DEVNULL)

    known = commands(build)
    below = tuple(os.path.join(dev.ROOT, folder) + os.sep for folder in BELOW)
    library = [source for source in known
               if source.startswith(below) or source == os.path.join(build, "proto", "trunk.pb.cc")]
    replay = os.path.join(HERE, "replay.cpp")
    roots = {target: os.path.join(HERE, f"fuzz_{target}.cpp") for target in targets}
    sources = [*library, replay, *roots.values()]
    with ThreadPoolExecutor(int(os.environ.get("TRUNKLINE_JOBS", os.cpu_count()))) as pool:
        objects = dict(zip(sources, pool.map(lambda source: compile_one(build, known[source], source, into), sources)))

    archive = os.path.join(into, "library.a")
    if os.path.exists(archive):
        os.remove(archive)
    subprocess.run(["llvm-ar-19", "rcs", archive, *(objects[source] for source in library)], check=True)
    programs, profiles = [], []
    for target, source in roots.items():
        program, profile = os.path.join(into, f"replay_{target}"), os.path.join(into, f"{target}.profraw")
        subprocess.run(["clang++-19", "-fuse-ld=lld", *MAPPING, "-o", program, objects[source], objects[replay], archive,
                        "-lprotobuf", "-lfmt", "-lpthread"], check=True)
        corpus = os.path.join(HERE, "corpus", target)
        files = sorted(os.path.join(corpus, name) for name in os.listdir(corpus))
        subprocess.run([program, "0", "1", *files], check=True, env={**os.environ, "LLVM_PROFILE_FILE": profile})
        programs += ["-object", program]
        profiles.append(profile)
    merged = os.path.join(into, "merged.profdata")
    subprocess.run(["llvm-profdata-19", "merge", "-o", merged, *profiles], check=True)
    folder = os.path.join(dev.ROOT, arguments.folder)
    files = [source for source in library if source.startswith(folder + os.sep)]
    headers = [os.path.join(path, name) for path, _, names in os.walk(folder) for name in names if name.endswith(".hpp")]
    subprocess.run(["llvm-cov-19", "report", *programs[1:], f"-instr-profile={merged}", *sorted(files + headers)], check=True)


if __name__ == "__main__":
    main()
