"""What the checks have in common: comparing, waiting, and messages as JSON."""
import json
import os
import select
import subprocess
import sys
import time

from cluster import PATIENCE

PROGRAM = os.path.abspath(sys.argv[1])
SMALL = "ab" * 20  # an account that genesis gives nothing


def equal(seen, expected):
    """Of long ones it shows what is around the first difference."""
    if seen == expected:
        return
    texts = str(seen), str(expected)
    start = max(0, len(os.path.commonprefix(texts)) - 400)
    raise AssertionError("seen     {}\nexpected {}".format(*(text[start:start + 2000] for text in texts)))


def until(condition):
    """Polls: what the other process does is not ours to be told of."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came true"
        select.select([], [], [], 0.02)


def codec(verb, **line):
    done = subprocess.run([PROGRAM, "quarkchain", verb, "--json"], input=json.dumps(line) + "\n", capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout)


def encode(type, fields):
    return codec("encode", type=type, fields=fields)["hex"]


def decode(type, hex):
    return codec("decode", type=type, hex=hex)["fields"]


def call(address, *words):
    """`trunkline quarkchain call`; its replies."""
    words = [word if isinstance(word, str) else json.dumps(word) for word in words]
    done = subprocess.run([PROGRAM, "quarkchain", "call", address, *words], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def account_of(recipient, height=None):
    return {"address": {"recipient": recipient, "full_shard_key": 0}, "block_height": height}
