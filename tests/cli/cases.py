"""Runs a script's tests and says how they went, as the test runner reads it."""

import sys
import traceback


def run(names, wanted=""):
    """Runs the test_* functions of `names` whose name holds `wanted`; the exit code: 0 when all passed."""
    passed = failed = 0
    for name, test in list(names.items()):
        if not name.startswith("test_") or wanted not in name:
            continue
        try:
            test()
            passed += 1
        except Exception:  # every test is judged, whatever the one before did
            failed += 1
            print(f"FAILED: {name}")
            traceback.print_exc(file=sys.stdout)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0
