#!/usr/bin/env python3
"""Drives `trunkline net` as an operator would: the tree on paper, and nodes in processes of their own.

Each test_* function is one test. Nothing here sleeps: tests wait for lines and for the end of processes.
"""
import json
import subprocess
import sys
import traceback

PROGRAM = sys.argv[1]
PATIENCE = 60  # seconds until something that should happen counts as hanging
USAGE = 1


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
    assert "adopt" in refused(USAGE, "tree", "--size", 9, "--strategy", "oak")
    assert "--size" in refused(USAGE, "tree", "--size", "-3")


def main():
    failed = 0
    tests = [(name, function) for name, function in globals().items() if name.startswith("test_")]
    for name, function in tests:
        try:
            function()
        except Exception:  # every test is judged, whatever the one before did
            failed += 1
            print(f"FAILED  {name.replace('_', ' ')}")
            traceback.print_exc(file=sys.stdout)
    print(f"{len(tests) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
