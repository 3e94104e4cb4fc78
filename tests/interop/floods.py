#!/usr/bin/env python3
"""What floods of a hostile far side cost a node: processor time, memory, and an honest circuit's round trip beside them.

usage: floods.py ECHO_NODE [--seconds S] [--only NAME]

Each flood meets a fresh node with default limits, on a trunk (or connections) of its own, as fast as the node reads; an
honest client echoes a fragment every 20 ms on another trunk. Prints a table in Markdown. Not a test: it measures.
"""
import argparse
import os
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import (CLOSE, CREDIT, DATA, FINISH, FIRST_OF_MORE, HELLO, JOIN_OR_START, METADATA, OPEN, PEER_METADATA, PREFACE, RESET,
                    Fragment, Trunk, frame, message, varint)

FLOODS = {}
PEER = bytes(range(0x40, 0x50))


def flood(name):
    def keep(function):
        FLOODS[name] = function
        return function
    return keep


def opening(number, *more):
    return frame(OPEN, message((1, number), (2, JOIN_OR_START), (3, PEER), (4, "flood"), (6, "echo"), *more))


class Hose:
    """A raw trunk: writes what a generator of bytes yields as fast as it is read, and throws away what comes back."""
    def __init__(self, address, until):
        self.socket, self.until, self.said = socket.create_connection(address), until, 0
        self.socket.sendall(PREFACE + frame(HELLO, message((1, 1), (2, 1), (3, os.urandom(16)), (8, 4 << 20))))
        self.socket.setblocking(False)

    def pour(self, frames):
        selector, waiting, more = selectors.DefaultSelector(), b"", True
        selector.register(self.socket, selectors.EVENT_READ | selectors.EVENT_WRITE)
        try:
            while time.monotonic() < self.until:
                for _, events in selector.select(0.1):
                    if events & selectors.EVENT_READ and not self.socket.recv(1 << 18):
                        return "the node ended the trunk"
                    while more and events & selectors.EVENT_WRITE and len(waiting) < 1 << 16:
                        said = next(frames, None)
                        more = said is not None
                        waiting += said or b""
                        self.said += more
                    if waiting and events & selectors.EVENT_WRITE:
                        waiting = waiting[self.socket.send(waiting):]
                if not more and not waiting:
                    selector.modify(self.socket, selectors.EVENT_READ)
        except ConnectionError:
            return "the node ended the trunk"
        return ""


def poured(address, until, frames):
    hose = Hose(address, until)
    note = hose.pour(frames)
    return hose.said, note


def numbers():
    number = 1
    while True:
        yield number
        number += 2


@flood("circuits opened and reset in one packet (F17)")
def open_reset(address, until):
    return poured(address, until, (opening(n) + frame(RESET, message((1, n), (2, 9))) for n in numbers()))


@flood("circuits with a deadline of a millisecond (F17)")
def short_deadlines(address, until):
    return poured(address, until, (opening(n, (10, 1)) for n in numbers()))


@flood("circuits opened and closed in one packet")
def open_close(address, until):
    return poured(address, until, (opening(n) + frame(CLOSE, message((1, n))) for n in numbers()))


@flood("data behind a finish, which makes our side reset (F22)")
def data_behind_finish(address, until):
    data = lambda n: frame(DATA, varint(n) + b"\x00\x00" + b"x")
    return poured(address, until, (opening(n) + frame(FINISH, message((1, n))) + data(n) for n in numbers()))


@flood("metadata of a new peer each time (F38)")
def metadata(address, until):
    item = message((1, "key"), (2, "value"))
    return poured(address, until, (frame(PEER_METADATA, message((1, n.to_bytes(16, "big")), (2, item))) for n in numbers()))


@flood("grants of a byte (F31)")
def tiny_credit(address, until):
    tiny = frame(CREDIT, message((2, 1)))
    return poured(address, until, (tiny for _ in numbers()))


@flood("short beginnings of large fragments, which never go on")
def short_beginnings(address, until):
    # 4 KiB of 4 MiB on each, as many as the trunk's first credit pays for
    rooms = (1 << 20) // (4096 + 256)
    frames = (opening(n) + frame(DATA, varint(n) + b"\x00\x00" + varint(4 << 20) + b"x" * 4096, FIRST_OF_MORE)
              for n, _ in zip(numbers(), range(rooms)))
    return poured(address, until, frames)


@flood("words about calls that never were")
def words(address, until):
    trunk, said = Trunk(*address), 0
    circuit = trunk.open("echo")
    word = frame(DATA, varint(circuit.number) + b"\x00\x18" + varint(2) + message((5, True)), METADATA)
    while time.monotonic() < until:
        for _ in range(100):
            trunk.until(lambda: min(circuit.credit, trunk.credit) >= 258)
            trunk.output += word
            circuit.credit, trunk.credit, said = circuit.credit - 258, trunk.credit - 258, said + 1
    return said, ""


@flood("connections that say nothing (F44)")
def silent(address, until):
    held, said = [], 0
    while time.monotonic() < until:
        held.append(socket.create_connection(address))
        said += 1
        if len(held) > 900:
            held.pop(0).close()
    return said, ""


def honest(address, until, times, failures):
    try:
        trunk = Trunk(*address)
        circuit = trunk.open("echo")
        while time.monotonic() < until:
            began = time.monotonic()
            trunk.send(circuit, Fragment(op=1, payload=b"alive"))
            trunk.receive(circuit)
            times.append(time.monotonic() - began)
            threading.Event().wait(0.02)  # lint-allow: a pace, not a wait for something
    except (AssertionError, OSError) as failure:
        failures.append(str(failure))


def measure(node, name, seconds):
    process = subprocess.Popen([node], stdout=subprocess.PIPE, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    host, port = process.stdout.readline().strip().removeprefix("tcp://").rsplit(":", 1)
    address, until, times, failures = (host, int(port)), time.monotonic() + seconds, [], []
    client = threading.Thread(target=honest, args=(address, until, times, failures))
    client.start()
    said, note = FLOODS[name](address, until)
    client.join()
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
        ticks = sum(map(int, stat.read().rsplit(")", 1)[1].split()[11:13]))
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        memory = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    process.terminate()
    process.wait(20)
    busy = ticks / os.sysconf("SC_CLK_TCK")
    row = [name, f"{said / seconds:,.0f}", f"{busy / seconds:.0%}", f"{busy / max(said, 1) * 1e6:.1f} us", f"{memory / 1024:.0f} MiB",
           f"{statistics.median(times) * 1e3:.1f} / {max(times) * 1e3:.0f} ms" if times else "none"]
    return "| " + " | ".join(row) + " |" + (f"  {note}" if note else "") + (f"  HONEST: {failures[0]}" if failures else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("node")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    print("| flood | a second | processor | each | memory | honest round trip, median / longest |\n|---|---|---|---|---|---|")
    for name in FLOODS:
        if options.only in name:
            print(measure(options.node, name, options.seconds), flush=True)


if __name__ == "__main__":
    main()
