#!/usr/bin/env python3
"""Drives `trunkline quarkchain call` as a script would, against a node of our own that answers what it is told to.

    quarkchain_call_test.py PROGRAM VECTORS

Each test_* function is one test.
"""

import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import cases  # noqa: E402

PROGRAM = os.path.abspath(sys.argv[1])
VECTORS = os.path.abspath(sys.argv[2])
PATIENCE = 600  # seconds until something that should happen counts as hanging: what is waited for is a line or an end
METADATA = {"cluster": 12, "slave": 0, "p2p": 4}
ACCOUNT = {"address": {"recipient": "00" * 19 + "02", "full_shard_key": 0}, "block_height": None}


# --- what tests are made of

def frame(op, rpc_id, payload=b"", metadata=b"\0" * 12):
    return struct.pack(">I", len(payload)) + metadata + struct.pack(">BQ", op, rpc_id) + payload


class Node:
    """Accepts one connection; `answer(op, rpc_id, payload, metadata)` is what it writes for a frame, None closes."""
    def __init__(self, answer, framing="cluster"):
        self.answer, self.metadata, self.frames = answer, METADATA[framing], []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        with self.listener, self.listener.accept()[0] as connection, connection.makefile("rb") as stream:
            while head := stream.read(4):
                metadata = stream.read(self.metadata)
                op, rpc_id = struct.unpack(">BQ", stream.read(9))
                payload = stream.read(struct.unpack(">I", head)[0])
                self.frames.append((op, rpc_id, payload, metadata))
                written = self.answer(op, rpc_id, payload, metadata)
                if written is None:
                    return
                connection.sendall(written)

    def heard(self):
        """The frames, when the connection has ended."""
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the connection was not closed"
        return self.frames


def call(*words, stdin=b""):
    return subprocess.run([PROGRAM, "quarkchain", "call", *(word if isinstance(word, str) else json.dumps(word) for word in words)],
                          input=stdin, capture_output=True, timeout=PATIENCE)


def replies(result):
    assert (result.returncode, result.stderr) == (0, b""), result
    return [json.loads(line) for line in result.stdout.decode().splitlines()]


def trouble(result, code):
    assert result.returncode == code and result.stdout == b"", result
    line = result.stderr.decode()
    assert line.startswith("trunkline: ") and line.count("\n") == 1 and line.endswith("\n"), line
    return line[len("trunkline: "):-1]


def vectors(name):
    with open(os.path.join(VECTORS, name), encoding="utf-8") as file:
        return json.load(file)["vectors"]


def equal(seen, expected):
    assert seen == expected, f"seen     {str(seen)[:1500]}\nexpected {str(expected)[:1500]}"


def account_reply(op, rpc_id, payload, metadata):
    return frame(op + 1, rpc_id, bytes(8), metadata)


# --- requests and replies

def test_every_request_of_a_master_is_sent_as_python_encodes_it_and_its_reply_is_read():
    messages = vectors("cluster_messages.json")
    first = {}
    for message in messages:
        first.setdefault(message["op"], message)
    requests = [message for op, message in sorted(first.items()) if op % 2 == 1 and op != 155]
    equal(len(requests), 33)
    node = Node(lambda op, rpc_id, payload, metadata: frame(op + 1, rpc_id, bytes.fromhex(first[op + 1]["hex"]), metadata))

    seen = replies(call(node.address, *(word for request in requests for word in (request["op_name"], request["fields"]))))

    equal(node.heard(), [(request["op"], i + 1, bytes.fromhex(request["hex"]), bytes(12)) for i, request in enumerate(requests)])
    equal(seen, [first[request["op"] + 1]["fields"] for request in requests])


def test_an_opcode_is_a_number_or_a_name_in_any_case_with_or_without_its_ending():
    for word in ("141", "GET_ACCOUNT_DATA_REQUEST", "get_account_data_request", "Get_Account_Data"):
        node = Node(account_reply)

        equal(replies(call(node.address, word, ACCOUNT)), [{"error_code": 0, "account_branch_data_list": []}])
        equal([f[0] for f in node.heard()], [141])


def test_without_fields_they_are_zero_empty_or_absent():
    node = Node(lambda op, rpc_id, payload, metadata: frame(130, rpc_id, bytes(8), metadata))

    equal(replies(call("tcp://" + node.address, "PING")), [{"id": "", "full_shard_id_list": []}])
    equal(node.heard(), [(129, 1, bytes(9), bytes(12))])


def test_fields_may_come_from_a_file_or_the_standard_input():
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(ACCOUNT, file)
        file.flush()
        node = Node(account_reply)

        equal(len(replies(call(node.address, "141", "@" + file.name, "141", "@-", stdin=json.dumps(ACCOUNT).encode()))), 2)
        there, here = node.heard()
        equal(there[2], here[2])


def test_an_error_code_is_an_answer():
    node = Node(lambda op, rpc_id, payload, metadata: frame(op + 1, rpc_id, b"\0\0\0\x4a", metadata))

    equal(replies(call(node.address, "ADD_MINOR_BLOCK", {"minor_block_data": ""})), [{"error_code": 74}])


def test_a_command_is_written_with_id_0_and_not_waited_for():
    node = Node(lambda *_: b"")

    equal(replies(call(node.address, "DESTROY_CLUSTER_PEER_CONNECTION", {"cluster_peer_id": 7})), [])
    equal(node.heard(), [(155, 0, (7).to_bytes(8, "big"), bytes(12))])


def test_what_is_said_between_clusters_goes_to_the_virtual_peer_and_the_rest_does_not():
    node = Node(lambda op, rpc_id, payload, metadata: frame(op + 1, rpc_id, bytes(4), metadata))

    seen = replies(call(node.address, "--peer", "9", "--branch", "0x00010001", "CREATE_CLUSTER_PEER_CONNECTION", {"cluster_peer_id": 9},
                        "GET_MINOR_BLOCK_LIST", {"minor_block_hash_list": ["ab" * 32]}))

    equal(seen, [{"error_code": 0}, {"minor_block_list": []}])
    peer = struct.pack(">IQ", 0x10001, 9)
    equal([(op, rpc_id, metadata) for op, rpc_id, _, metadata in node.heard()], [(153, 1, bytes(12)), (9, 1, peer)])


def test_the_other_framings():
    slave = Node(lambda op, rpc_id, payload, metadata: frame(op + 1, rpc_id, bytes(4), b""), "slave")
    equal(replies(call("--framing", "slave", slave.address, "147")), [{"error_code": 0}])
    equal(slave.heard()[0][:2], (147, 1))

    # HELLO, which is heard and not answered, then a request on the root chain and one to a shard.
    other = Node(lambda op, rpc_id, payload, metadata: frame(0, 0, payload, metadata) if op == 0 else
                 frame(op + 1, rpc_id, bytes(4), metadata), "p2p")
    seen = replies(call("--framing", "p2p", "--branch", "65537", other.address, "GET_PEER_LIST"))
    equal(seen, [{"peer_info_list": []}])
    equal(other.heard()[0][3], (65537).to_bytes(4, "big"))


def test_a_slave_that_reports_headers_while_it_is_asked_is_answered():
    report = next(v for v in vectors("cluster_messages.json") if v["op"] == 145)
    said = []

    def answer(op, rpc_id, payload, metadata):
        said.append(op)
        if op == 129:
            return frame(145, 1, bytes.fromhex(report["hex"]))
        return frame(130, 1, bytes(8))  # when the report was answered

    node = Node(answer)
    equal(replies(call(node.address, "PING")), [{"id": "", "full_shard_id_list": []}])
    equal([(op, rpc_id, payload) for op, rpc_id, payload, _ in node.heard()], [(129, 1, bytes(9)), (146, 1, bytes(12))])

    said = call("-v", Node(answer).address, "PING").stderr.decode()
    assert "asks 145 ADD_MINOR_BLOCK_HEADER_REQUEST: {\"minor_block_header\": " in said, said


def test_a_reply_with_another_opcode_is_taken_at_its_word():
    node = Node(lambda op, rpc_id, payload, metadata: frame(168, rpc_id, b"\0\0\0\7", metadata))

    result = call(node.address, "GET_UNCONFIRMED_HEADERS")

    equal((result.returncode, json.loads(result.stdout)), (0, {"error_code": 7}))
    equal(result.stderr.decode(), f"trunkline: tcp://{node.address} answered 139 GET_UNCONFIRMED_HEADERS_REQUEST with opcode 168 instead of 140\n")


def test_blank_shows_the_fields_without_a_connection():
    seen = replies(call("--blank", "GET_WORK", "ping", "13"))

    equal(seen[:2], [{"branch": {"value": 0}, "coinbase_addr": None}, {"id": "", "full_shard_id_list": [], "root_tip": None}])
    equal(list(seen[2]["block"]), ["header", "meta", "tx_list", "tracking_data"])


# --- trouble

def test_unknown_opcodes_are_refused_with_those_that_are_near():
    def near(word):
        return trouble(call("127.0.0.1:1", word), 1)

    equal(near("GET_ACOUNT_DATA"), 'there is no opcode "GET_ACOUNT_DATA"; did you mean GET_ACCOUNT_DATA_REQUEST?')
    equal(near("minor_block_list"), 'there is no opcode "minor_block_list"; did you mean GET_MINOR_BLOCK_LIST_REQUEST or SYNC_MINOR_BLOCK_LIST_REQUEST?')
    equal(near("PNIG"), 'there is no opcode "PNIG"; did you mean PING?')
    equal(near("frobnicate"), 'there is no opcode "frobnicate"')
    equal(near("156"), 'there is no opcode "156"')
    equal(near("999"), 'there is no opcode "999"')
    equal(near("142"), "142 GET_ACCOUNT_DATA_RESPONSE is a reply: nobody answers it")
    equal(trouble(call("127.0.0.1:1"), 1), "an opcode is required (see trunkline quarkchain call --help)")


def test_wrong_fields_are_refused_by_type_and_field_before_anything_is_dialled():
    def refused(op, fields):
        return trouble(call("127.0.0.1:1", op, fields), 1)

    equal(refused("PING", {"id": "00"}), "129 PING: Ping: field full_shard_id_list is missing")
    assert refused("PING", {"id": "00", "full_shard_id_list": [], "root_tip": None, "colour": 1}).startswith(
        '129 PING: Ping: no field "colour"; there are id, full_shard_id_list, root_tip'), refused
    equal(refused("PING", {"id": "0", "full_shard_id_list": [], "root_tip": None}),
          '129 PING: Ping.id: expected bytes in hexadecimal, seen the text "0"')
    equal(refused("141", {"address": {"recipient": "00" * 20, "full_shard_key": 1 << 32}, "block_height": None}),
          "141 GET_ACCOUNT_DATA_REQUEST: GetAccountDataRequest.address.full_shard_key: expected an integer of 0 to 4294967295, seen the number 4294967296")
    assert refused("PING", "{").startswith("129 PING: Ping: JSON at byte 1: "), refused("PING", "{")
    assert "/no/such/file" in trouble(call("127.0.0.1:1", "PING", "@/no/such/file"), 11)


def test_what_cannot_be_said_on_a_framing_is_refused():
    equal(trouble(call("127.0.0.1:1", "GET_MINOR_BLOCK_LIST"), 1),
          "9 GET_MINOR_BLOCK_LIST_REQUEST is said between clusters: expected --peer and --branch, seen none")
    equal(trouble(call("127.0.0.1:1", "--peer", "1", "PING"), 1), "--peer: expected --branch with it, seen none")
    equal(trouble(call("127.0.0.1:1", "--branch", "1", "PING"), 1), "--branch: expected --peer with it, seen none")
    equal(trouble(call("127.0.0.1:1", "--peer", "1", "--branch", "0x", "PING"), 1),
          '--branch: expected a full shard id, as 65537 or 0x00010001, seen "0x"')
    equal(trouble(call("127.0.0.1:1", "--framing", "udp", "PING"), 1), '--framing: expected cluster, slave or p2p, seen "udp"')
    assert "there is no opcode" in trouble(call("--framing", "p2p", "127.0.0.1:1", "GET_WORK"), 1)
    equal(trouble(call("nowhere", "PING"), 1), 'address "tcp://nowhere" is not tcp://host:port')


def test_a_refused_connection_is_said():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    equal(trouble(call(f"127.0.0.1:{port}", "PING"), 10), f"cannot connect to tcp://127.0.0.1:{port}: Connection refused")


def test_a_reply_that_does_not_come_is_a_timeout():
    node = Node(lambda *_: b"")

    equal(trouble(call("--timeout", "1", node.address, "PING"), 30), f"no reply from tcp://{node.address} to 129 PING within 1 s")
    node.heard()


def test_a_connection_that_ends_instead_is_said():
    node = Node(lambda *_: None)

    said = trouble(call(node.address, "PING"), 10)

    assert said.startswith(f"tcp://{node.address} ended the connection before it answered 129 PING: "), said


def test_bytes_that_are_no_reply_are_said_by_type_and_field():
    node = Node(lambda op, rpc_id, payload, metadata: frame(130, rpc_id, b"\0\0\0\x05ab", metadata))

    equal(trouble(call(node.address, "PING"), 12), f"6 bytes from tcp://{node.address} are no Pong: Pong.id at byte 4: needs 5 bytes, 2 are left")


def test_help_shows_an_example_that_runs():
    text = call("--help").stdout.decode()
    example = text.split("Example:\n")[1].strip().replace("trunkline", PROGRAM)
    node = Node(account_reply)

    done = subprocess.run(["sh", "-c", example.replace("127.0.0.1:38000", node.address)], capture_output=True, timeout=PATIENCE)

    equal((done.returncode, done.stdout, done.stderr), (0, b'{"error_code": 0, "account_branch_data_list": []}\n', b""))
    equal(node.heard()[0][0], 141)


if __name__ == "__main__":
    sys.exit(cases.run(globals()))
