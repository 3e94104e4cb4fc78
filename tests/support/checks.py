"""Counts what a script checks and ends it as the test runner wants to hear it."""

import sys

passed = failed = 0


def check(name, condition, details=""):
    """Goes on when the condition does not hold; then the name is printed, with the details."""
    global passed, failed
    if condition:
        passed += 1
    else:
        failed += 1
        print(f"FAILED: {name}\n{details}".rstrip())


def finish():
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
