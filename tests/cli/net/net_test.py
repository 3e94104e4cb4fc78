#!/usr/bin/env python3
"""Drives `trunkline net` as an operator would: the tree on paper, and nodes in processes of their own.

Each test_* function is one test. Nothing here sleeps: tests wait for lines and for the end of processes.
"""
import json
import os
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import cases  # noqa: E402

PROGRAM = sys.argv[1]
PATIENCE = 60  # seconds until something that should happen counts as hanging
USAGE, SOCKET, PROTOCOL, PARTIAL, TIMEOUT = 1, 10, 12, 23, 30


def run(*arguments, **options):
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([PROGRAM, "net", *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE, **options)


def said(*arguments):
    done = run(*arguments)
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout


def refused(code, *arguments):
    """What it says in its one line of trouble."""
    done = run(*arguments)
    assert done.returncode == code and done.stdout == "", done
    assert done.stderr.startswith("trunkline: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


# --- tree

def tree(*arguments):
    text = said("tree", *arguments, "--json")
    assert text.count("\n") == 1, text
    played = json.loads(text)
    assert sorted(played) == ["depth", "missed", "sends"], played
    assert all(sorted(sent) == ["from", "level", "to"] for sent in played["sends"]), played
    return played


def test_tree_of_27_is_the_published_one_in_json():
    played = tree("--size", 27, "--strategy", "plain")
    sends = {(sent["from"], sent["to"], sent["level"]) for sent in played["sends"]}
    published = {1: "10@3 19@3 7@2 13@2 5@1 9@1", 10: "16@2 22@2 14@1 18@1", 19: "25@2 4@2 23@1 27@1", 4: "8@1 12@1",
                 7: "11@1 15@1", 13: "17@1 21@1", 16: "20@1 24@1", 22: "26@1 3@1", 25: "2@1 6@1"}
    assert sends == {(sender, *map(int, word.split("@"))) for sender, line in published.items() for word in line.split()}
    assert len(played["sends"]) == 26 and played["depth"] == 3 and played["missed"] == []


def test_tree_says_who_is_missed_and_the_default_misses_nobody():
    assert tree("--size", 8, "--strategy", "plain")["missed"] == [5, 8]
    assert len(tree("--size", 27, "--strategy", "plain", "--dead", 10)["missed"]) == 8
    assert tree("--size", 27, "--strategy", "adopt", "--dead", 10)["missed"] == []
    for size in (1, 2, 8, 24, 100):
        assert tree("--size", size, "--origin", size)["missed"] == []
        assert tree("--size", size, "--dead", ",".join(map(str, range(2, size, 4))) or size)["missed"] == [] or size == 1


def test_tree_exact_sends_once_to_everybody():
    for size in (1, 2, 10, 82, 1000):
        played = tree("--size", size, "--strategy", "exact", "--origin", 1)
        assert len(played["sends"]) == size - 1
        assert sorted(sent["to"] for sent in played["sends"]) == list(range(2, size + 1))


def test_tree_in_words_has_a_line_per_sender_and_a_summary():
    lines = said("tree", "--size", 9, "--strategy", "plain").splitlines()
    assert lines == ["1: 4@2 7@2 3@1 5@1", "4: 6@1 8@1", "7: 9@1 2@1", "plain of 9 members, from 1: 8 sends, depth 2, nobody missed"]


def test_tree_refuses_what_makes_no_sense_in_one_line():
    assert "--size" in refused(USAGE, "tree")
    assert "--size 0" in refused(USAGE, "tree", "--size", 0)
    assert "--origin 10" in refused(USAGE, "tree", "--size", 9, "--origin", 10)
    assert "--dead 10" in refused(USAGE, "tree", "--size", 9, "--dead", "3,10")
    for dead in ("3,,4", ",3", "3,", "3,x", "-3", "3 4", "99999999999"):
        line = refused(USAGE, "tree", "--size", 9, f"--dead={dead}")
        assert "--dead" in line and "is no list of members" in line, line
    assert "is no list of members" in refused(USAGE, "tree", "--size", 9, "--dead", "")
    assert "adopt" in refused(USAGE, "tree", "--size", 9, "--strategy", "oak")
    assert "--size" in refused(USAGE, "tree", "--size", "-3")


def test_tree_says_that_a_dead_originator_is_dead():
    assert said("tree", "--size", 3, "--dead", "1").splitlines() == ["adopt+cleanup of 3 members, from 1: 0 sends, it is dead, depth 0, 2 missed: 2 3"]


def test_a_missing_or_wrong_command_is_answered_with_those_there_are():
    for arguments, seen in (((), "nothing"), (("sned",), '"sned"; did you mean send?')):
        line = refused(USAGE, *arguments)
        assert f"expected one of the commands listen, send, broadcast, peers, stats, tree, saw {seen} (see trunkline net --help)" in line, line
    assert "(see trunkline net tree --help)" in refused(USAGE, "tree", "--size", "many")


# --- nodes

class Listen:
    """A running `trunkline net listen`; ended, however the test ends."""

    def __init__(self, *arguments, channel="chat", address="tcp://127.0.0.1:0"):
        self.process = subprocess.Popen([PROGRAM, "net", "listen", "--listen", address, "--channel", channel, *arguments],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().removeprefix("listening on ").strip()
        self.node = self.process.stdout.readline().removeprefix("node ").strip()
        assert self.address and len(self.node) == 22

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def line(self):
        return self.process.stdout.readline()

    def end(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)


def test_send_delivers_and_says_nothing():
    with Listen() as node:
        assert said("send", node.address, "chat", "hello") == ""
        line = node.line()
        assert line.startswith("chat ") and line.endswith(": hello\n"), line
        done = run("send", node.address, "chat", stdin=None, input="from a pipe\n\x1b[31m")
        assert done.returncode == 0, done
        assert node.line().endswith(": from a pipe\\n\\x1b[31m\n")
        assert said("send", node.address, "chat", "unheard", "--no-ack") == ""
        assert node.line().endswith(": unheard\n")
        assert node.end() == 0


def test_send_over_a_unix_socket_with_a_given_id():
    with tempfile.TemporaryDirectory() as folder:
        with Listen("--id", "bWFrZSBpdCBzb3VuZCEhIQ", "--json", address=f"unix:{folder}/node.sock") as node:
            assert node.node == "bWFrZSBpdCBzb3VuZCEhIQ"
            answer = json.loads(said("send", node.address, "chat", "hello", "--json"))
            assert answer == {"to": node.address, "node": node.node, "sent": True, "error": ""}, answer
            heard = json.loads(node.line())
            assert heard["channel"] == "chat" and heard["text"] == "hello" and len(heard["origin"]) == 22


def test_send_names_what_went_wrong_in_its_exit_code_and_one_line():
    with Listen() as node:
        assert "nowhere" in refused(PROTOCOL, "send", node.address, "nowhere", "x")
        assert said("send", node.address, "chat", "still there") == ""
        assert refused(USAGE, "send", node.address) and refused(USAGE, "send", node.address, "#chat", "x")
    assert refused(SOCKET, "send", "tcp://127.0.0.1:1", "chat", "x") == "trunkline: cannot connect to tcp://127.0.0.1:1: Connection refused\n"
    assert "pigeon" in refused(SOCKET, "send", "pigeon://loft", "chat", "x")
    assert refused(USAGE, "listen", "--listen", "tcp://0.0.0.0:0", "--channel", "chat")
    assert "22 characters" in refused(USAGE, "listen", "--listen", "tcp://127.0.0.1:0", "--channel", "chat", "--id", "me")


def test_send_to_a_node_that_does_not_answer_ends_at_its_deadline():
    with Listen() as node:
        node.process.send_signal(signal.SIGSTOP)
        refused(TIMEOUT, "send", node.address, "chat", "x", "--timeout", "0.3")
        node.process.send_signal(signal.SIGCONT)


def test_broadcast_reports_each_target_in_order():
    with Listen() as one, Listen() as other:
        lines = said("broadcast", "chat", "to all", "--to", other.address, "--to", one.address).splitlines()
        assert lines == [f"{other.address} {other.node}", f"{one.address} {one.node}"], lines
        for node in (one, other):
            assert node.line().endswith(": to all\n")
        # Options may come first, as they may everywhere; each --to takes one address.
        assert len(said("broadcast", "--to", other.address, "--to", one.address, "chat", "options first").splitlines()) == 2
        for node in (one, other):
            assert node.line().endswith(": options first\n")
        done = run("broadcast", "chat", "again", "--to", one.address, "--to", "tcp://127.0.0.1:1", "--json")
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert done.returncode == PARTIAL and [row["sent"] for row in rows] == [True, False], done


def test_broadcast_has_room_for_as_many_targets_as_it_is_given():
    with Listen() as node:
        targets = [word for _ in range(130) for word in ("--to", node.address)]
        assert said("broadcast", "chat", "x", *targets).splitlines() == [f"{node.address} {node.node}"] * 130


def test_peers_and_stats_show_what_went_over_a_node():
    with Listen() as node:
        said("send", node.address, "chat", "12345")
        refused(PROTOCOL, "send", node.address, "nowhere", "x")
        rows = [json.loads(line) for line in said("stats", node.address, "--json").splitlines()]
        assert rows[0]["node"] == node.node and rows[0]["drops_unknown_channel"] == 1, rows
        assert rows[1]["channel"] == "chat" and rows[1]["messages_received"] == 1 and rows[1]["bytes_received"] == 5, rows
        peers = [json.loads(line) for line in said("peers", node.address, "--json").splitlines()]
        assert sum(peer["messages_received"] for peer in peers) == 1, peers
        assert [peer["name"] for peer in peers if peer["connected"] is True] == ["operator"], peers
        assert "CHANNEL" in said("stats", node.address)
        lines = [line.split() for line in said("peers", node.address).splitlines()]
        assert lines[0][:2] == ["NODE", "NAME"] and lines[1][1:3] == ["operator", "from"], lines
        assert sorted(line[1:6] for line in lines[2:4]) == [["send", "none", "0", "0", "0"], ["send", "none", "0", "1", "0"]], lines
        assert lines[4][:2] == ["and", "3"], lines  # the operators before
    assert refused(SOCKET, "peers", "tcp://127.0.0.1:1")


def test_a_node_that_answers_no_operator_says_so():
    with tempfile.TemporaryDirectory() as folder:
        serve = subprocess.Popen([PROGRAM, "serve", "--root", folder, "--listen", f"unix:{folder}/s.sock", "--quiet"],
                                 stdout=subprocess.PIPE, text=True)
        try:
            serve.stdout.readline()
            assert "no service" in refused(PROTOCOL, "stats", f"unix:{folder}/s.sock")
        finally:
            serve.kill()
            serve.wait()
            serve.stdout.close()


if __name__ == "__main__":
    sys.exit(cases.run(globals()))
