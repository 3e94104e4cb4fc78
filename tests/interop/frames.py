#!/usr/bin/env python3
"""Golden frames: one of each kind, as client.py encodes it. `frames.py --write` renews frames.json; run.py compares the file
with this, and frames_test.cpp compares it with what the C++ side makes of the same values."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import (ACCEPT, CLOSE, CLOSE_RECEIVED, CREDIT, DRAIN, FINISH, FINISH_ACKNOWLEDGED, GOODBYE, HELLO, OPEN, PEER_ENDED,
                    PEER_METADATA, PING, PONG, PREFACE, JOIN_OR_START, METADATA, DATA, REFUSE, RESET, Fragment, data_frames, frame, message, varint)

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "frames.json")
NODE, PEER, OTHER = (bytes(range(start, start + 16)) for start in (0x00, 0x10, 0x20))


def control(kind, *fields):
    return frame(kind, message(*fields))


def data(fragment, rooms=()):
    """The frames of a fragment on circuit 1; `rooms` are the credits that it finds, without the overhead of the first."""
    credits = iter(rooms)
    return [encoded for encoded, _ in data_frames(1, fragment, lambda wanted: next(credits, wanted + (1 << 20)))]


def data_with(metadata, op, part, payload=b""):
    """A whole data frame on circuit 1 with these bytes of metadata."""
    header = b"".join(varint(n << 1 ^ n >> 63) for n in (op, part))
    return frame(DATA, varint(1) + header + varint(len(metadata)) + metadata + payload, METADATA)


def fixed32(number, value):
    return varint(number << 3 | 5) + value.to_bytes(4, "little")


def frames():
    [small], [full], [empty] = (data(fragment) for fragment in (
        Fragment(op=7, part=-1, payload=b"hello"),
        Fragment(op=-2**31, part=2**63 - 1, subject=b"about", args=((b"key", b"value"), (b"#trace", b"\x00\xff")),
                 payload=b"x", err=b"only a note"),
        Fragment()))
    first, middle, last = data(Fragment(op=300, part=2**40, subject=b"cut", payload=b"abcdefg"), (256 + 5 + 3, 2))
    return {
        "preface": PREFACE,
        "hello": control(HELLO, (1, 1), (2, 1), (3, NODE), (4, "golden"), (5, "tcp://0.0.0.0:7000"), (8, 4 << 20)),
        "hello_with_features_and_limits": control(
            HELLO, (1, 1), (2, 1), (3, NODE), (4, "golden"), (6, "calls"), (6, "shares"), (8, 4 << 20), (9, 4096), (10, 64), (11, 512),
            (12, 2048), (13, 100), (14, 1 << 20), (15, 500)),
        "open_with_deadline": control(
            OPEN, (1, 3), (2, JOIN_OR_START), (3, PEER), (4, "client"), (6, "echo"), (10, 1500)),
        "open": control(OPEN, (1, 1), (2, JOIN_OR_START), (3, PEER), (4, "client"), (6, "echo"), (7, "name"), (8, "user"), (9, True)),
        "accept": control(ACCEPT, (1, 1), (2, OTHER), (3, "echo")),
        "refuse": control(REFUSE, (1, 1), (2, 20), (3, "no service"), (4, "tcp://10.0.0.7:7000/echo/ICEiIyQlJicoKSorLC0uLw")),
        "data": small,
        "data_with_metadata": full,
        "data_empty": empty,
        "data_with_deadline": data_with(message((1, b"call")) + fixed32(4, 250), 7, 12, b"hello"),
        "data_that_cancels": data_with(message((5, True)), 0, 12),
        "data_first_of_more": first,
        "data_continues": middle,
        "data_last": last,
        "credit_of_circuit": control(CREDIT, (1, 1), (2, 131072)),
        "credit_of_trunk": control(CREDIT, (2, 7340032)),
        "credit_that_widens": control(CREDIT, (1, 1), (2, 393216), (3, 262144)),
        "credit_that_completes": control(CREDIT, (2, 1048576), (4, 1)),
        "finish": control(FINISH, (1, 1)),
        "finish_acknowledged": control(FINISH_ACKNOWLEDGED, (1, 1)),
        "close": control(CLOSE, (1, 1)),
        "close_with_reason": control(CLOSE, (1, 1), (2, 25), (3, "not yours")),
        "close_received": control(CLOSE_RECEIVED, (1, 1)),
        "reset": control(RESET, (1, 1), (2, 3), (3, "dropped")),
        "peer_metadata": control(PEER_METADATA, (1, PEER), (2, message((1, "role"), (2, "leader")))),
        "peer_ended": control(PEER_ENDED, (1, PEER), (2, 4)),
        "ping": control(PING, (1, 4711)),
        "pong": control(PONG, (1, 4711)),
        "drain": control(DRAIN),
        "goodbye": control(GOODBYE, (1, 40), (2, "why")),
    }


def text():
    lines = [f'  "{name}": "{encoded.hex()}"' for name, encoded in frames().items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    if "--write" in sys.argv:
        with open(PATH, "w", encoding="utf-8") as file:
            file.write(text())
    else:
        print(text(), end="")
