#!/usr/bin/env python3
"""Drives `trunkline quarkchain decode` and `encode` as a script would: golden vectors, frames, recordings, refusals.

    quarkchain_test.py PROGRAM VECTORS

Each test_* function is one test.
"""

import json
import os
import select
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import cases  # noqa: E402

PROGRAM = os.path.abspath(sys.argv[1])
VECTORS = os.path.abspath(sys.argv[2])
PATIENCE = 600  # seconds until something that should happen counts as hanging: what is waited for is a line or an end
FRAMINGS = {"cluster": "cluster", "slave_to_slave": "slave", "p2p": "p2p"}


# --- what tests are made of

def run(verb, *arguments, stdin=b""):
    return subprocess.run([PROGRAM, "quarkchain", verb, *map(str, arguments)], input=stdin, capture_output=True, timeout=PATIENCE)


def lines(result, code=0):
    """The lines of JSON, and the exit code."""
    assert result.returncode == code, f"exit code {result.returncode} instead of {code}: {result.stderr.decode()}{result.stdout.decode()[-2000:]}"
    assert result.stderr == b"", result.stderr.decode()
    return [json.loads(line) for line in result.stdout.decode().splitlines()]


def as_input(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def vectors(name):
    with open(os.path.join(VECTORS, name), encoding="utf-8") as file:
        return json.load(file)


def messages():
    return [vector for name in ("structs.json", "cluster_messages.json", "p2p_messages.json") for vector in vectors(name)["vectors"]]


def equal(seen, expected):
    assert seen == expected, f"seen     {str(seen)[:1500]}\nexpected {str(expected)[:1500]}"


def metadata_of(frame):
    return frame["metadata"]


# --- values

def test_every_vector_is_decoded_to_its_fields_and_encoded_again():
    all_of_them = messages()

    seen = lines(run("decode", "--json", stdin=as_input({"type": v["type"], "hex": v["hex"]} for v in all_of_them)))

    equal(seen, [{"type": v["type"], "fields": v["fields"], "hex": v["hex"]} for v in all_of_them])


def test_every_vector_is_encoded_from_its_fields():
    all_of_them = messages()

    seen = lines(run("encode", "--json", stdin=as_input({"type": v["type"], "fields": v["fields"]} for v in all_of_them)))

    equal(seen, [{"type": v["type"], "fields": v["fields"], "hex": v["hex"]} for v in all_of_them])


def test_odd_bytes_become_what_python_makes_of_them():
    cases = vectors("noncanonical.json")["cases"]

    seen = lines(run("decode", "--json", stdin=as_input({"type": c["type"], "hex": c["hex"]} for c in cases)))

    equal(seen, [{"type": c["type"], "fields": c["fields"], "hex": c["reencoded_hex"]} for c in cases])


def test_every_negative_case_is_refused_by_name_and_the_next_line_is_read():
    cases = vectors("negative.json")["cases"]

    seen = lines(run("decode", "--json", stdin=as_input([*({"type": c["type"], "hex": c["hex"]} for c in cases),
                                                        {"type": "Branch", "hex": "00000007"}])), code=1)

    equal(len(seen), len(cases) + 1)
    for row, case in zip(seen, cases):
        equal(list(row), ["type", "error"])
        equal(row["type"], case["type"])
        assert row["error"].startswith(case["type"] + "."), row
        assert " at byte " in row["error"], row
    equal(seen[-1], {"type": "Branch", "fields": {"value": 7}, "hex": "00000007"})


def test_unusual_values_are_encoded_as_python_encodes_them():
    cases = vectors("encode.json")["accepted"]
    fields = [{"balance_map": c["input"]} if c["type"] == "TokenBalanceMap" else c["input"] for c in cases]

    seen = lines(run("encode", "--json", stdin=as_input({"type": c["type"], "fields": f} for c, f in zip(cases, fields))))

    equal([row["hex"] for row in seen], [c["hex"] for c in cases])


def test_values_that_have_no_encoding_are_refused_by_name():
    refused = [
        ({"type": "biguint", "fields": str(1 << 2040)}, "biguint: expected an integer of at most 255 bytes"),
        ({"type": "MineResponse", "fields": {"error_code": 1 << 32}}, "MineResponse.error_code: expected an integer of 0 to 4294967295"),
        ({"type": "CreateClusterPeerConnectionRequest", "fields": {"cluster_peer_id": -1}}, "cluster_peer_id: expected an integer of 0"),
        ({"type": "HashList", "fields": {"hlist": ["00" * 31]}}, "HashList.hlist[0]: expected 32 bytes in hexadecimal, seen 31"),
        ({"type": "SubmitWorkRequest", "fields": {"branch": {"value": 1}, "header_hash": "00" * 32, "nonce": 0, "mixhash": "00" * 32,
                                                  "signature": "00" * 64}}, "SubmitWorkRequest.signature: expected 65 bytes"),
        ({"type": "GetStorageResponse", "fields": {"error_code": 1, "result": ""}}, "GetStorageResponse.result: expected 32 bytes"),
        ({"type": "Pong", "fields": {"id": ""}}, "field full_shard_id_list is missing"),
        ({"type": "Pongg", "fields": {}}, "no structure or message has this name"),
        ({"type": "Pong"}, "fields: expected an object, seen nothing"),
    ]
    block = dict(next(v for v in messages() if v["type"] == "RootBlock" and v["mode"] == "min")["fields"], tracking_data="00" * 65536)
    refused.append(({"type": "RootBlock", "fields": block}, "RootBlock.tracking_data: 65536 do not fit behind a length of 2 bytes"))

    seen = lines(run("encode", "--json", stdin=as_input(row for row, _ in refused)), code=1)

    for row, (given, why) in zip(seen, refused):
        equal(row["type"], given["type"])
        assert why in row["error"], f"{why!r} is not in {row}"
    equal(len(seen), len(refused))


def test_lines_that_are_no_json_are_refused_and_the_next_is_read():
    seen = lines(run("decode", "--json", stdin=b'{"type": \n\n[1]\n{"type": "Branch", "hex": "0"}\n{"type": "Branch", "hex": "00000001"}\n'), code=1)

    equal([("error" in row) for row in seen], [True, True, True, False])


def test_each_line_is_answered_before_the_next_is_written():
    with subprocess.Popen([PROGRAM, "quarkchain", "decode", "--json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for value in (1, 2):
            process.stdin.write(as_input([{"type": "Branch", "hex": f"{value:08x}"}]))
            process.stdin.flush()
            assert select.select([process.stdout], [], [], PATIENCE)[0], "no answer"
            equal(json.loads(process.stdout.readline())["fields"], {"value": value})
        process.stdin.close()
        equal(process.wait(PATIENCE), 0)


# --- frames

def check_frame(seen, frame, message_fields):
    equal(seen["metadata"], metadata_of(frame))
    equal((seen["op"], seen["op_name"], str(seen["rpc_id"]), seen["type"]), (frame["op"], frame["op_name"], str(frame["rpc_id"]), frame["type"]))
    assert "payload_hex" not in seen and "error" not in seen, seen
    equal(seen["fields"], message_fields)


def test_whole_frames_are_decoded_and_encoded_back():
    for kind, framing in FRAMINGS.items():
        frames = vectors("frames.json")[kind]
        hexadecimal = "\n".join(frame["frame_hex"] for frame in frames) + "\n"
        fields = lines(run("decode", "--json", stdin=as_input({"type": f["type"], "hex": f["payload_hex"]} for f in frames)))

        decoded = run("decode", "--framing", framing, stdin=hexadecimal.encode())
        seen = lines(decoded)
        encoded = run("encode", "--framing", framing, stdin=decoded.stdout)

        equal(len(seen), len(frames))
        for row, frame, message in zip(seen, frames, fields):
            check_frame(row, frame, message["fields"])
        equal((encoded.returncode, encoded.stderr, encoded.stdout.decode()), (0, b"", hexadecimal))


def test_a_payload_that_is_not_its_fields_survives_the_way_there_and_back():
    # Trailing bytes, a boolean of 7, an opcode that does not exist, a payload that is cut off.
    payloads = [(0x82, "000000000000000001ff"), (0xBA, "0000000007"), (0x9C, "ab"), (0x81, "00")]
    hexadecimal = "".join(f"{len(p) // 2:08x}{op:02x}{5:016x}{p}\n" for op, p in payloads)

    decoded = run("decode", "--framing", "slave", stdin=hexadecimal.encode())
    seen = lines(decoded, code=1)
    encoded = run("encode", "--framing", "slave", stdin=decoded.stdout)

    equal([row["payload_hex"] for row in seen], [payload for _, payload in payloads])
    equal(["error" in row for row in seen], [False, False, True, True])
    equal(seen[2]["error"], "there is no opcode 156")
    assert seen[3]["error"].startswith("Ping.id at byte 0: "), seen[3]
    equal(encoded.stdout.decode(), hexadecimal)


def test_an_opcode_in_the_wrong_place_is_known_for_what_it_is():
    ping = "00000020" + "00000001" + "{:016x}" + "0e" + "00" * 8 + "00" * 32
    for peer_id in (9, 0):
        seen = lines(run("decode", stdin=ping.format(peer_id).encode()))
        equal((seen[0]["op_name"], seen[0]["type"], seen[0]["metadata"]),
              ("PING", "PingPongCommand", {"branch": 1, "cluster_peer_id": peer_id}))
    # Both tables have a PING: without its number, the place decides.
    for peer_id, code in ((0, "81"), (9, "0e")):
        row = {"metadata": {"cluster_peer_id": peer_id}, "op_name": "PING", "rpc_id": 0, "payload_hex": ""}
        equal(run("encode", stdin=as_input([row])).stdout.decode()[32:34], code)


def test_digits_may_be_spread_and_explained():
    text = "# a ping\n00000009 | 00000000 0000000000000000 | 81 | 00000000 # rpc id\n0000 0001 | 0000000\r\n00 | 00000000 0\n"

    seen = lines(run("decode", stdin=text.encode()))

    equal([row["op_name"] for row in seen], ["PING"])


def test_input_that_is_cut_off_or_wrong_is_said():
    def error(text, *arguments):
        seen = lines(run("decode", *arguments, stdin=text.encode()), code=1)
        return seen[-1]["error"]

    equal(error("00000009 00"), "5 bytes are left, which are no whole frame")
    equal(error("0000000"), "3 bytes are left, which are no whole frame")
    equal(error("0"), "the last byte has one digit")
    equal(error("00\nxyz"), 'line 2: "x" is no hexadecimal digit')
    equal(error("ffffffff"), "frame with 4294967295 bytes of payload exceeds payload_bytes_max 134217728")
    equal(error("00000002", "--payload-bytes-max", 1), "frame with 2 bytes of payload exceeds payload_bytes_max 1")
    equal(lines(run("decode", stdin=b"")), [])


def test_frames_that_cannot_be_told_are_refused_with_their_line():
    def refusal(row, *arguments):
        result = run("encode", *arguments, stdin=b"\n" + as_input([row]))
        equal((result.returncode, result.stdout), (1, b""))
        return result.stderr.decode()

    good = {"op_name": "MINE_RESPONSE", "rpc_id": 1, "fields": {"error_code": 0}}
    equal(run("encode", stdin=as_input([good])).returncode, 0)
    equal(refusal(dict(good, op_name="MINE")), 'trunkline: line 2: op_name: expected the name of an opcode, seen the text "MINE"\n')
    assert "op_name: expected GET_PEER_LIST_REQUEST for 3, seen the text" in refusal(dict(good, op=3))
    assert "op_name: expected the name of an opcode" in refusal(dict(good, op=156))
    assert "type: expected MineResponse for MINE_RESPONSE" in refusal(dict(good, type="Pong"))
    assert "rpc_id: expected an integer of 0 to 18446744073709551615, seen nothing" in refusal({"op": 168, "fields": {}})
    assert 'metadata: framing slave has no "branch"' in refusal(dict(good, metadata={"branch": 1}), "--framing", "slave")
    assert "MineResponse: field error_code is missing" in refusal(dict(good, fields={}))


# --- recordings

def pcap(packets, order="<", magic=0xA1B2C3D4, link_type=1):
    head = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link_type)
    return head + b"".join(struct.pack(order + "IIII", 0, 0, len(p), len(p) + cut) + p for p, cut in packets)


def packet(payload, sequence, ports=(40000, 38000), flags=0x18, version=4, link=b"\0" * 12, cut=0):
    tcp = struct.pack(">HHIIBBHHH", *ports, sequence & 0xFFFFFFFF, 0, 5 << 4, flags, 0, 0, 0) + payload
    if version == 4:
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, b"\x0a\0\0\x01", b"\x0a\0\0\x02") + tcp
        kind = b"\x08\x00"
    else:
        ip = struct.pack(">IHBB16s16s", 6 << 28, len(tcp), 6, 64, b"\0" * 15 + b"\1", b"\0" * 15 + b"\2") + tcp
        kind = b"\x86\xdd"
    if link is not None:
        ip = link + kind + ip
    return ip[:len(ip) - cut], cut


def some_frames(count=6):
    return [bytes.fromhex(frame["frame_hex"]) for frame in vectors("frames.json")["cluster"][:count]]


def names(rows):
    return [row.get("op_name", row.get("error")) for row in rows]


EXPECTED = [frame["op_name"] for frame in vectors("frames.json")["cluster"][:6]]


def test_a_recording_is_decoded_however_its_packets_are_cut_and_ordered():
    data = b"".join(some_frames())
    start = 0xFFFFFF00  # sequence numbers wrap in the middle
    pieces = [(at, data[at:at + 100]) for at in range(0, len(data), 100)]
    shuffled = [pieces[i ^ 1] if (i ^ 1) < len(pieces) else pieces[i] for i in range(len(pieces))]
    again = [shuffled[0]] + shuffled + [(50, data[50:150])]  # sent twice, and overlapping
    syn = packet(b"", start - 1, flags=2)
    for kind in ({"order": "<"}, {"order": ">"}, {"order": "<", "magic": 0xA1B23C4D}):
        recording = pcap([syn, *(packet(piece, start + at) for at, piece in again)], **kind)

        seen = lines(run("decode", stdin=recording))

        equal(names(seen), EXPECTED)
        equal((seen[0]["from"], seen[0]["to"]), ("10.0.0.1:40000", "10.0.0.2:38000"))


def test_a_recording_may_have_other_links_and_addresses():
    data = b"".join(some_frames())
    for link_type, link, version in ((101, None, 4), (101, None, 6), (1, b"\0" * 12, 6), (113, b"\0" * 14, 4), (0, b"\2\0\0\0", None)):
        if version is None:
            raw, _ = packet(data, 7, link=None)
            packets = [(b"\2\0\0\0" + raw, 0)]
        else:
            packets = [packet(data, 7, version=version, link=link)]

        seen = lines(run("decode", stdin=pcap(packets, link_type=link_type)))

        equal(names(seen), EXPECTED)
        equal(seen[0]["from"], "[0:0:0:0:0:0:0:1]:40000" if version == 6 else "10.0.0.1:40000")


def test_both_directions_and_only_the_wanted_port():
    there, back, other = some_frames(3)
    packets = [packet(there, 1), packet(back, 1, ports=(38000, 40000)), packet(other, 1, ports=(40001, 38001)),
               (b"\0" * 12 + b"\x08\x06" + b"\0" * 28, 0)]  # and an ARP
    with tempfile.NamedTemporaryFile(suffix=".pcap") as file:
        file.write(pcap(packets))
        file.flush()

        equal(len(lines(run("decode", file.name))), 3)
        equal(len(lines(run("decode", "--port", 38000, file.name))), 2)
        equal(len(lines(run("decode", file.name, "--port", 38000, "--port", 40001))), 3)


def test_what_a_recording_lacks_is_said():
    first, second = some_frames(2)
    lost = "bytes are missing from the recording"

    equal(names(lines(run("decode", stdin=pcap([packet(first, 1), packet(second, 1 + len(first) + 5)])), code=1)), [EXPECTED[0], lost])
    equal(names(lines(run("decode", stdin=pcap([packet(first, 1), packet(second, 1 + len(first), cut=3)])), code=1)), [EXPECTED[0], lost])
    seen = names(lines(run("decode", stdin=pcap([packet(first, 1), packet(second[:-1], 1 + len(first))])), code=1))
    equal(seen, [EXPECTED[0], f"{len(second) - 1} bytes are left, which are no whole frame"])


def test_a_recording_that_is_broken_ends_with_one_line():
    def trouble(data):
        result = run("decode", stdin=data)
        assert result.returncode != 0 and result.stderr.count(b"\n") == 1, result
        return result.stderr.decode()

    whole = pcap([packet(some_frames(1)[0], 1)])
    assert "the recording ends within packet 1" in trouble(whole[:-1])
    assert "pcapng" in trouble(bytes.fromhex("0a0d0d0a") + b"\0" * 100)
    assert "link type 147" in trouble(pcap([packet(b"x", 1)], link_type=147))
    assert "exceeds packet_bytes_max" in trouble(whole[:24] + struct.pack("<IIII", 0, 0, 1 << 31, 1 << 31))
    for size in range(24, len(whole)):  # no prefix of a packet is a crash
        equal(run("decode", stdin=pcap([(whole[40:size], 0)])).returncode in (0, 1), True)


# --- golden steps

def test_check_agrees_with_all_files_and_reports_a_changed_digit_alone():
    folder = os.path.join(VECTORS, "slave")
    files = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    whole = run("check", *files)
    assert whole.returncode == 0, whole.stdout.decode()[-2000:]
    last = whole.stdout.decode().splitlines()
    assert len(last) == 1 and last[0].endswith(" steps agree, 0 differ"), last[:5]

    steps = vectors("slave/xshard.json")
    confirmed = steps[0]["steps"][4]["then"]
    confirmed["tip_height"] += 1
    with tempfile.NamedTemporaryFile("w", suffix=".json") as changed:
        json.dump(steps, changed)
        changed.flush()
        told = run("check", changed.name)
        lines_told = told.stdout.decode().splitlines()
        equal(told.returncode, 1)
        equal(len(lines_told), 2)
        assert "cross shard 0, step 4 " in lines_told[0] and "tip_height: expected" in lines_told[0], lines_told
        assert lines_told[1].endswith(" steps agree, 1 differ"), lines_told


def test_check_names_a_file_that_is_missing_or_holds_no_steps():
    equal(run("check", "/no/such/file").returncode, 11)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as odd:
        odd.write('[{"colour": 3}]')
        odd.flush()
        told = run("check", odd.name)
        equal(told.returncode, 1)
        assert odd.name in told.stderr.decode() and "golden steps: item 0" in told.stderr.decode(), told.stderr


def test_state_names_what_it_cannot_read():
    equal(run("state", "--db", "/no/such/directory", "--at", "00" * 32).returncode, 11)
    equal(run("state", "--db", "/tmp", "--at", "12").returncode, 1)


# --- the program

def test_help_shows_an_example_that_runs():
    for verb in ("decode", "encode"):
        text = run(verb, "--help").stdout.decode()
        example = text.split("Example:\n")[1].strip().replace("trunkline", PROGRAM)
        done = subprocess.run(["sh", "-c", example], capture_output=True, timeout=PATIENCE)
        assert done.returncode == 0 and done.stdout and not done.stderr, (example, done)


def test_wrong_usage_and_missing_files_have_their_exit_codes():
    equal(run("decode", "--framing", "tcp").returncode, 1)
    equal(run("decode", "/no/such/file").returncode, 11)
    equal(run("encode", "/").returncode, 11)
    equal(subprocess.run([PROGRAM, "quarkchain"], capture_output=True, timeout=PATIENCE).returncode, 1)


if __name__ == "__main__":
    sys.exit(cases.run(globals()))
