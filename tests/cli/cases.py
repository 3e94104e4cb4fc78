"""Runs a script's tests and says how they went, as the test runner reads it."""

import signal
import subprocess
import sys
import threading
import traceback

PATIENCE = 60  # seconds until something that should happen counts as hanging


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


class Started:
    """A running program whose first lines were read; ended, however the test ends."""
    def __init__(self, program, *words, lines=1, shell=(), **options):
        self.process = subprocess.Popen([*shell, program, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, **options)
        self.said = [self.process.stdout.readline().rstrip("\n") for _ in range(lines)]
        assert all(self.said), f"{self.said} {self.process.stderr.read()}"
        self.address = next(line for line in self.said if line.startswith("listening on ")).removeprefix("listening on ")
        self.log = []
        self.grown = threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            with self.grown:
                self.log.append(line)
                self.grown.notify_all()

    def waits_for(self, text):
        """The first line that holds it."""
        found = lambda: next((line for line in self.log if text in line), None)
        with self.grown:
            assert self.grown.wait_for(found, PATIENCE), f"{text!r} is not in {self.log}"
            return found()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self.reader.join(PATIENCE)

    def send(self, number):
        self.process.send_signal(number)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        return code
