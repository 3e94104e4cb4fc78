#!/usr/bin/env python3
"""Starts every example as a visitor would and looks at what it prints. The last line counts.

usage: run.py DIRECTORY-OF-PROGRAMS
"""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import traceback

PATIENCE = 60  # seconds until a program that hangs is a failure
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


class Programs:
    def __init__(self, directory):
        self.directory, self.started = directory, []

    def start(self, name, *arguments, **options):
        program = subprocess.Popen([os.path.join(self.directory, name), *arguments], stdout=subprocess.PIPE, text=True, **options)
        self.started.append(program)
        return program

    def output(self, name, *arguments):
        program = self.start(name, *arguments)
        text, _ = program.communicate(timeout=PATIENCE)
        assert program.returncode == 0, f"exit code {program.returncode}\n{text}"
        return text

    def kill(self):
        for program in self.started:
            if program.poll() is None:
                program.kill()
                program.wait()
        self.started.clear()


def matches(text, *patterns):
    """Each pattern matches one whole line, in this order, and there are no other lines."""
    lines = text.splitlines()
    assert len(lines) == len(patterns), text
    for line, pattern in zip(lines, patterns):
        assert re.fullmatch(pattern, line), f"{line!r} is not like {pattern!r}"


@check
def readme_streams_both_ways(programs):
    counted = r"(tcp|node)://\S+/tally/\S{22}/\d+ counted 700\d bytes"
    matches(programs.output("readme"), *[counted] * 6)


@check
def echo_is_the_same_on_both_sides(programs):
    expected = [rf"{name} heard {text}, fragment {n} from echo" if n else rf"{name} {text}"
                for name, how in (("anna", "had to dial"), ("ben", "used the trunk that was there"))
                for n, text in ((1, "one"), (2, "two"), (3, "three"), (0, how))]
    matches(programs.output("echo"), *expected)
    with tempfile.TemporaryDirectory() as directory:
        matches(programs.output("echo", f"unix:{directory}/echo.sock"), *expected)


@check
def file_push_copies_every_byte_on_a_circuit_per_file(programs):
    with tempfile.TemporaryDirectory() as there, tempfile.TemporaryDirectory() as here:
        contents = {"empty": b"", "small": b"a few bytes", "with a space": os.urandom(100), "large": os.urandom(3_000_001)}
        for name, content in contents.items():
            with open(os.path.join(here, name), "wb") as file:
                file.write(content)
        receiver = programs.start("file_push", "receive", "tcp://127.0.0.1:0", there)
        address = receiver.stdout.readline().split()[-1]
        sent = programs.output("file_push", "send", address, *(os.path.join(here, name) for name in contents))
        matches(sent, *(rf"{len(content)} bytes stored on circuit \d+" for content in contents.values()))
        assert sorted(os.listdir(there)) == sorted(contents)
        for name, content in contents.items():
            with open(os.path.join(there, name), "rb") as file:
                assert file.read() == content, name


@check
def upload_shows_how_much_the_far_side_has_stored(programs):
    with tempfile.TemporaryDirectory() as there, tempfile.TemporaryDirectory() as here:
        content = os.urandom(5_000_001)
        with open(os.path.join(here, "large"), "wb") as file:
            file.write(content)
        receiver = programs.start("upload", "receive", "tcp://127.0.0.1:0", there)
        address = receiver.stdout.readline().split()[-1]
        lines = programs.output("upload", "send", address, os.path.join(here, "large")).splitlines()
        assert lines[-2:] == ["100 % stored", "5000001 bytes stored"] and len(lines) > 3, lines
        shares = [int(line.split()[0]) for line in lines[:-1]]
        assert shares == sorted(shares), lines
        with open(os.path.join(there, "large"), "rb") as file:
            assert file.read() == content
        assert os.listdir(there) == ["large"]


@check
def comeback_gives_up_on_both_sides_and_asks_again_after_a_restart(programs):
    lines = programs.output("comeback").splitlines()
    again = [line for line in lines if line.startswith("once more, after: ")]
    handler = sorted(line for line in lines if line.startswith("handler: "))
    assert again, lines
    assert handler == ['handler: nobody waits for "long" any more', 'handler: nobody waits for "longer" any more'], lines
    rest = [line for line in lines if line not in again + handler]
    assert rest == ["connected", "in time: done", "too late: deadline passed", "given up: timed out", "connected again",
                    "after the restart: done"], lines


@check
def guest_answers_lines_of_a_server_that_was_there_before(programs):
    program = programs.start("guest")
    port = int(program.stdout.readline().split()[-1])
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client, client.makefile("rw") as lines:
        for text in ("hello", "", "a longer line"):
            lines.write(text + "\n")
            lines.flush()
            assert lines.readline() == text[::-1] + "\n"
        program.send_signal(signal.SIGTERM)
        assert program.wait(PATIENCE) == 0


@check
def simulated_loses_nothing_to_a_partition_and_is_the_same_each_time(programs):
    first = programs.output("simulated")
    matches(first, "total 5050 after 10002 ms", "trace hash [0-9a-f]+")
    assert programs.output("simulated") == first
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "simulator.md"), encoding="utf-8") as page:
        assert first.splitlines()[0] in page.read()


@check
def chat_talks_both_ways_whoever_dialled(programs):
    anna = programs.start("chat", "anna", "--listen", "tcp://127.0.0.1:0", stdin=subprocess.PIPE)
    address = anna.stdout.readline().split()[-1]
    ben = programs.start("chat", "ben", "--dial", address, stdin=subprocess.PIPE)
    assert re.fullmatch(r"\* called by \S+/chat/\S+\n", anna.stdout.readline())
    assert re.fullmatch(r"\* we called \S+/chat/\S+\n", ben.stdout.readline())
    for speaker, name, listener, text in ((ben, "ben", anna, "hello"), (anna, "anna", ben, "who is there?"), (ben, "ben", anna, "")):
        speaker.stdin.write(text + "\n")
        speaker.stdin.flush()
        assert listener.stdout.readline() == f"{name}: {text}\n"
    for speaker in (ben, anna):
        speaker.stdin.close()
    assert ben.wait(PATIENCE) == 0 and anna.wait(PATIENCE) == 0


@check
def chat_room_lets_five_hear_each_other_over_one_connection_per_pair(programs):
    lines = programs.output("chat_room").splitlines()
    names = ["anna", "ben", "cleo", "dan", "eva"]
    for name in names:
        heard = [line for line in lines if line.startswith(f"{name} heard: ")]
        assert heard == [f"{name} heard: hello from {other}" for other in names if other != name], lines
        assert f"{name} heard 4 over 4 connections" in lines, lines
    assert len(lines) == 25, lines


@check
def join_or_start_starts_one_room_and_joins_it(programs):
    text = programs.output("join_or_start")
    matches(text, r"anna is visitor 1 of room \S{22}", r"ben is visitor 2 of room \S{22}",
            r"a second room is refused: .*tcp://127.0.0.1:\d+/room/\S{22}.*", r"ben is visitor 3 of room \S{22}")
    assert len(set(re.findall(r"of room (\S+)", text))) == 1


@check
def calls_are_answered_in_any_order(programs):
    matches(programs.output("calls"), "first: 13, second: 5", "third: timed out", "fourth: 4",
            "fifth: refused, there is no text", "1 late reply")


@check
def typed_messages_arrive_as_messages(programs):
    matches(programs.output("typed"), "3 readings, mean 18, warmest in Lisbon",
            r"garbage: .*weather\.Reading.*")


@check
def errors_are_told_apart(programs):
    matches(programs.output("errors"), r'complaint: "two" is not a number', "sum: 4", ".*reason: .*nobody quits here.*",
            r"the service threw: (?!.*secret).*handler failed.*", ".*service: .*addre.*adder.*",
            r"nobody listens: .*127\.0\.0\.1:1.*", "the far node closed: .*node closed.*")


@check
def threads_ask_through_a_mailbox_of_the_node_thread(programs):
    matches(programs.output("threads_mailbox"), "worker 0 heard ONE", "worker 1 heard TWO", "worker 2 heard THREE",
            "after the end: the mailbox is closed")


@check
def threads_run_a_node_each_and_talk_over_circuits(programs):
    lines = programs.output("threads_cores").splitlines()
    assert len(lines) >= 2, lines
    for core, line in enumerate(lines):
        assert line == f"core {core} heard: hello from core {(core + 1) % len(lines)}", lines


@check
def threads_of_a_pool_work_while_the_node_answers_others(programs):
    matches(programs.output("threads_pool"), "2 is the smallest factor of 1000000000000",
            "7919 is the smallest factor of 62710561", "the node's thread did none of the work")


@check
def drain_lets_the_running_circuit_finish(programs):
    program = programs.start("drain")
    heard = []
    for line in program.stdout:
        heard.append(line.strip())
        if heard[-1] == "circuit 1, tick 2":
            break
    program.send_signal(signal.SIGINT)
    rest, _ = program.communicate(timeout=PATIENCE)
    heard += rest.splitlines()
    assert program.returncode == 0 and "draining" in heard and "drained" in heard
    ticks = [line for line in heard if line.startswith("circuit 1,")]
    assert ticks == [f"circuit 1, tick {n}" for n in range(1, 6)], heard
    assert any(re.match("no new circuit: .*(draining|connect)", line) for line in heard), heard


def main():
    programs, failed = Programs(sys.argv[1]), 0
    for function in CHECKS:
        try:
            function(programs)
        except Exception:  # every example is judged, whatever the one before did
            failed += 1
            print(f"FAILED  {function.__name__.replace('_', ' ')}")
            traceback.print_exc(file=sys.stdout)
        programs.kill()
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
