#!/usr/bin/env python3
"""Runs client.py, which was written from docs/wire.md alone, against a C++ node (echo_node) over loopback.

usage: run.py ECHO_NODE [tcp|tls|ws]        over ws: with the WebSocket of python3-websockets

Each check is a function with a sentence for a name; most of them share one trunk, as circuits do. The last line counts.
"""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import client
import frames
import tls
import websocket
from client import (ACCEPT, CIRCUIT_WINDOW, CLOSE, CLOSE_RECEIVED, COST, CREDIT, DATA, FINISH, FINISH_ACKNOWLEDGED, GOODBYE, HELLO,
                    JOIN, OPEN, PING, PONG, PREFACE, REFUSE, RESET, START, TRUNK_WINDOW, Fragment, Trunk, frame, message,
                    parse, varint)

CHECKS = []
PATIENCE = 20  # seconds for one check


def check(function):
    CHECKS.append(function)
    return function


class Recorder:
    """A socket that remembers each write, and whether anything had been read before."""
    def __init__(self, wrapped):
        self.wrapped, self.writes, self.read = wrapped, [], 0

    def sendall(self, data):
        if data:
            self.writes.append((data, self.read))
        return self.wrapped.sendall(data)

    def recv(self, size):
        data = self.wrapped.recv(size)
        self.read += len(data)
        return data


def kinds(data):
    found = []
    while data:
        found.append(data[3])
        data = data[5 + int.from_bytes(data[:3], "little"):]
    return found


def fields_of(trunk_or_circuit, kind):
    return trunk_or_circuit.heard[kind][-1]


def ended_with(trunk):
    """The reason of the far side's GOODBYE, once it has closed the connection."""
    try:
        trunk.until(lambda: False)
    except (AssertionError, ConnectionError):
        pass
    return [(fields[1] or [0])[0] for fields in trunk.heard[GOODBYE]]


@check
def the_first_fragment_leaves_with_preface_hello_and_open_before_anything_was_heard(world):
    trunk = Trunk(*world.address)
    trunk.socket = recorder = Recorder(trunk.socket)
    circuit = trunk.open("echo")
    trunk.send(circuit, Fragment(op=7, part=1, payload=b"hello"))
    assert trunk.receive(circuit) == Fragment(op=7, part=1, payload=b"hello")
    data, read_before = recorder.writes[0]
    assert data.startswith(PREFACE) and kinds(data[8:]) == [HELLO, OPEN, DATA] and read_before == 0
    world.trunk, world.echo = trunk, circuit


@check
def the_golden_frames_are_those_that_the_client_makes(_):
    with open(frames.PATH, encoding="utf-8") as file:
        assert file.read() == frames.text(), "frames.py --write renews them"


@check
def the_hello_of_the_far_side_is_understood(world):
    hello = fields_of(world.trunk, HELLO)
    assert world.trunk.preface == PREFACE
    assert hello[1] == [1] and hello[2][0] >= 1 and len(hello[3][0]) == 16 and hello[4] == [b"echo_node"]
    host, port, identity = world.address
    address = f"{world.scheme}://{host}:{port}".encode()
    assert any(said == address or identity and said.startswith(address + b"#") for said in hello[5])
    # Of a node with a key, the hello says that it was made for this connection.
    assert bool(hello[16]) == bool(identity)


@check
def subject_args_and_numbers_of_either_sign_come_back_as_they_went(world):
    for sent in (Fragment(op=-1, part=-2**63, subject="θέμα".encode(), args=((b"k", b"v"), (b"#s", b"\xff\x00"), (b"e", b"")), payload=b"p"),
                 Fragment(op=2**31 - 1, part=2**63 - 1), Fragment(op=-2**31, subject=b"s" * 5000, payload=b"x" * 65536)):
        world.trunk.send(world.echo, sent)
        assert world.trunk.receive(world.echo) == sent


@check
def the_largest_metadata_and_a_full_chunk_of_payload_fit_no_frame_together(world):
    sent = Fragment(subject=b"s" * 8185, payload=b"x" * 65536)
    world.trunk.send(world.echo, sent)
    assert world.trunk.receive(world.echo) == sent


@check
def a_fragment_with_err_goes_through_the_errors_queue_and_the_circuit_stays_open(world):
    sent = Fragment(op=3, err=b"only a note", payload=b"with bytes")
    world.trunk.send(world.echo, sent)
    assert world.trunk.receive(world.echo) == sent
    world.trunk.send(world.echo, Fragment(op=4))
    assert world.trunk.receive(world.echo) == Fragment(op=4)


@check
def a_fragment_larger_than_a_frame_travels_in_chunks(world):
    sent = Fragment(op=5, subject=b"chunks", payload=os.urandom(200_001))
    world.trunk.send(world.echo, sent)
    assert world.trunk.receive(world.echo) == sent


@check
def a_fragment_larger_than_every_window_waits_for_credit_and_arrives(world):
    sent = Fragment(op=6, payload=os.urandom(3 << 20))
    heard = len(world.echo.heard[CREDIT])
    world.trunk.send(world.echo, sent)
    assert len(world.echo.heard[CREDIT]) > heard
    assert world.trunk.receive(world.echo) == sent


@check
def many_small_fragments_pass_far_more_bytes_than_the_windows_hold(world):
    for batch in range(100):
        for part in range(100):
            world.trunk.send(world.echo, Fragment(part=part, payload=b"%064d" % part))
        for part in range(100):
            assert world.trunk.receive(world.echo) == Fragment(part=part, payload=b"%064d" % part)


@check
def after_all_of_it_every_window_has_its_size_again(world):
    # Less what was consumed and is not yet worth a frame.
    assert world.echo.theirs + world.echo.due == CIRCUIT_WINDOW and world.trunk.theirs + world.trunk.due == TRUNK_WINDOW
    assert world.echo.credit >= CIRCUIT_WINDOW // 2 and world.trunk.credit >= TRUNK_WINDOW * 3 // 4


@check
def a_ping_is_answered_with_its_number(world):
    world.trunk.say(PING, (1, 4711))
    world.trunk.until(lambda: world.trunk.heard[PONG])
    assert fields_of(world.trunk, PONG)[1] == [4711]


@check
def silence_is_broken_by_pings_and_our_answers_keep_the_trunk_alive(world):
    world.trunk.until(lambda: len(world.trunk.heard[PING]) >= 3)
    world.trunk.send(world.echo, Fragment(op=8))
    assert world.trunk.receive(world.echo) == Fragment(op=8)


@check
def an_accept_says_who_took_the_circuit_and_a_second_circuit_joins_it(world):
    first = world.trunk.open("echo", answer=True)
    world.trunk.until(lambda: first.heard[ACCEPT])
    accepted = fields_of(first, ACCEPT)
    assert accepted[3] == [b"echo"] and len(accepted[2][0]) == 16
    second = world.trunk.open("", mode=JOIN, to=accepted[2][0])
    world.trunk.send(second, Fragment(op=9))
    assert world.trunk.receive(second) == Fragment(op=9)


@check
def an_unknown_service_is_refused_by_name_and_only_that_circuit_ends(world):
    for _ in range(60):  # far more bytes than the trunk's window: what is dropped is credited to the trunk
        circuit = world.trunk.open("ehco")
        world.trunk.send(circuit, Fragment(payload=b"x" * 250_000))
        assert world.trunk.receive(circuit) is None
        refusal = fields_of(circuit, REFUSE)
        assert refusal[2] == [20] and b"ehco" in refusal[3][0] and b"echo" in refusal[3][0], refusal
    world.trunk.send(world.echo, Fragment(op=13))
    assert world.trunk.receive(world.echo) == Fragment(op=13)


@check
def an_unknown_peer_is_refused(world):
    circuit = world.trunk.open("echo", mode=JOIN, to=os.urandom(16))
    assert world.trunk.receive(circuit) is None
    assert fields_of(circuit, REFUSE)[2] == [21]


@check
def finish_is_acknowledged_when_everything_was_taken_and_close_ends_the_circuit(world):
    circuit = world.trunk.open("echo", name="a named one")
    for part in range(10):
        world.trunk.send(circuit, Fragment(part=part))
    world.trunk.say(FINISH, (1, circuit.number))
    for part in range(10):
        assert world.trunk.receive(circuit) == Fragment(part=part)
    assert world.trunk.receive(circuit) is None
    world.trunk.until(lambda: circuit.heard[CLOSE])
    assert circuit.heard[FINISH_ACKNOWLEDGED] and not fields_of(circuit, CLOSE)[2]


@check
def our_close_is_answered(world):
    circuit = world.trunk.open("echo")
    world.trunk.send(circuit, Fragment(op=10))
    world.trunk.say(CLOSE, (1, circuit.number))
    world.trunk.until(lambda: circuit.heard[CLOSE_RECEIVED] or circuit.heard[CLOSE])


@check
def our_reset_ends_one_circuit_and_no_other(world):
    circuit = world.trunk.open("echo")
    world.trunk.send(circuit, Fragment(op=11))
    world.trunk.say(RESET, (1, circuit.number), (2, 2))
    world.trunk.send(world.echo, Fragment(op=12))
    assert world.trunk.receive(world.echo) == Fragment(op=12)


@check
def the_far_side_opens_a_circuit_to_us_and_everything_works_the_other_way(world):
    trunk = world.trunk
    circuit = trunk.open("call_back")
    trunk.send(circuit, Fragment(op=1, part=700_000))
    trunk.until(lambda: 2 in trunk.circuits)
    back = trunk.circuits[2]
    opened = fields_of(back, OPEN)
    assert opened[5] == [trunk.peer] and opened[4] == [b"call_back"] and opened[7] == [b"back"] and opened[8] == [b"for the user"]
    heard = [trunk.receive(back) for _ in range(3)]
    assert heard[0] == Fragment(op=1, subject=b"first", payload=b"hello")
    assert Fragment(op=2, payload=b"x" * 700_000) in heard and Fragment(op=3, err=b"only a note") in heard
    assert trunk.receive(back) is None and not back.heard[CLOSE]  # half closed: we still may send
    trunk.send(back, Fragment(op=5, payload=b"y" * 300_000))
    trunk.send(back, Fragment(op=6, payload=b"z" * 123))
    trunk.say(FINISH, (1, back.number))
    trunk.until(lambda: back.heard[FINISH_ACKNOWLEDGED])
    assert trunk.receive(circuit) == Fragment(op=4, part=300_123, subject=b"report")


@check
def over_tls_a_hello_that_is_not_bound_to_the_session_breaks_the_trunk(world):
    if not world.address[2]:
        return
    for binding in (b"", os.urandom(32)):
        trunk = Trunk(*world.address)
        trunk.output = PREFACE + frame(HELLO, message((1, 1), (2, 1), (3, world.address[2].node_id), (16, binding)))
        assert ended_with(trunk) == [52]


@check
def over_tls_a_hello_with_the_id_of_another_key_breaks_the_trunk(world):
    if not world.address[2]:
        return
    trunk = Trunk(*world.address)
    bound = parse(trunk.output[len(PREFACE) + 5:])[16][0]
    trunk.output = PREFACE + frame(HELLO, message((1, 1), (2, 1), (3, os.urandom(16)), (16, bound)))
    assert ended_with(trunk) == [52]


@check
def without_tls_a_hello_that_is_bound_to_a_session_breaks_the_trunk(world):
    if world.address[2]:
        return
    trunk = Trunk(*world.address)
    trunk.output = PREFACE + frame(HELLO, message((1, 1), (2, 1), (3, os.urandom(16)), (16, os.urandom(32))))
    assert ended_with(trunk) == [52]


@check
def goodbye_closes_the_connection(world):
    world.trunk.say(GOODBYE)
    ended_with(world.trunk)


@check
def data_beyond_the_credit_breaks_the_trunk_by_its_reason(world):
    trunk = Trunk(*world.address)
    circuit = trunk.open("call_back")  # takes one fragment and no other
    circuit.credit = 1 << 30
    for _ in range(6):
        trunk.send(circuit, Fragment(payload=b"x" * 60_000))
    assert ended_with(trunk) == [42]


@check
def a_number_that_was_never_opened_breaks_the_trunk(world):
    trunk = Trunk(*world.address)
    trunk.say(FINISH, (1, 5))
    assert ended_with(trunk) == [40]


@check
def an_unknown_optional_frame_is_skipped_and_an_unknown_mandatory_one_breaks_the_trunk(world):
    trunk = Trunk(*world.address)
    circuit = trunk.open("echo")
    trunk.output += frame(0x91, b"from the future")
    trunk.send(circuit, Fragment(op=1))
    assert trunk.receive(circuit) == Fragment(op=1)
    trunk.output += frame(0x71)
    assert ended_with(trunk) == [40]


@check
def a_node_that_hears_its_own_id_says_that_it_dialled_itself(world):
    trunk = Trunk(*world.address)
    trunk.output = PREFACE + frame(HELLO, message((1, 1), (2, 1), (3, world.node_id)))
    # With TLS it says more than that: it is not proven, whose id that is.
    assert ended_with(trunk) == [52 if world.address[2] else 49]


@check
def versions_without_overlap_are_refused_by_name(world):
    trunk = Trunk(*world.address)
    trunk.output = PREFACE + frame(HELLO, message((1, 1000), (2, 1001), (3, os.urandom(16))))
    assert ended_with(trunk) == [47]
    assert b"1000" in fields_of(trunk, GOODBYE)[2][0]


@check
def a_client_of_another_protocol_is_turned_away_at_once(world):
    with socket.create_connection(world.address[:2], 5) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\nHost: trunk\r\n\r\n")
        try:
            while stranger.recv(4096):
                pass
        except ConnectionError:
            pass


@check
def the_end_of_a_trunk_over_websocket_is_a_close_in_order(world):
    if world.scheme != "ws":
        return
    trunk = Trunk(*world.address)
    trunk.say(GOODBYE)
    ended_with(trunk)
    assert trunk.socket.recv(1) == b"" and trunk.socket.close_code == 1000


@check
def a_node_that_closes_says_goodbye_and_its_process_ends_by_itself(world):
    trunk = Trunk(*world.address)
    circuit = trunk.open("echo")
    trunk.send(circuit, Fragment(op=1))
    assert trunk.receive(circuit) == Fragment(op=1)
    world.node.send_signal(signal.SIGTERM)
    assert ended_with(trunk) == [5]
    assert world.node.wait(10) == 0 and world.node.stdout.read() == "ended\n"


class World:
    def __init__(self, program, scheme):
        self.log, self.scheme = tempfile.TemporaryFile("w+"), scheme
        self.node = subprocess.Popen([program, f"{scheme}://127.0.0.1:0"], stdout=subprocess.PIPE, stderr=self.log, text=True)
        place = self.node.stdout.readline().strip().removeprefix(f"{scheme}://").split("#")[0]
        host, port = place.rsplit(":", 1)
        self.address = (host, int(port), tls.Identity() if scheme == "tls" else None)

    @property
    def node_id(self):
        trunk = Trunk(*self.address)
        trunk.until(lambda: trunk.heard[HELLO])
        return fields_of(trunk, HELLO)[3][0]


def out_of_patience(*_):
    raise TimeoutError(f"this check took more than {PATIENCE} s")


def main():
    signal.signal(signal.SIGALRM, out_of_patience)
    scheme = sys.argv[2] if len(sys.argv) > 2 else "tcp"
    if scheme == "ws":
        debian = "/usr/bin/python3"  # whose packages python3-websockets is one of, whichever interpreter this is
        if not websocket.websockets and sys.executable != debian and os.path.exists(debian):
            os.execv(debian, [debian, *sys.argv])
        if not websocket.websockets:
            print(f"python3-websockets is not installed\n0 passed, 0 failed, {len(CHECKS)} skipped")
            return 0
        client.socket = websocket.Module
    world, failed = World(sys.argv[1], scheme), 0
    for function in CHECKS:
        signal.alarm(PATIENCE)
        try:
            function(world)
        except Exception:  # every check is judged, whatever the one before did
            failed += 1
            print(f"FAILED  {function.__name__.replace('_', ' ')}")
            traceback.print_exc(file=sys.stdout)
    world.node.kill()
    if failed:
        world.log.seek(0)
        print(world.log.read())
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
