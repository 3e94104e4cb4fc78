"""What the scripts behind ./dev ask of it."""

import os
import subprocess
import sys

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD_ROOT = os.environ.get("TRUNKLINE_BUILD_ROOT") or os.path.join(ROOT, "build")
KINDS = ("debug", "release", "asan", "tsan", "gcc", "fuzz", "demo")


def dev(*arguments):
    """Runs ./dev, and ends this program with its exit code when it fails."""
    code = subprocess.run([os.path.join(ROOT, "dev"), *arguments], stdout=sys.stderr).returncode
    if code != 0:
        sys.exit(code)


def build(kind, *targets):
    """Builds the targets, or everything; returns the build directory."""
    dev("build", "--" + kind, "--", *targets)
    return os.path.join(BUILD_ROOT, kind)
