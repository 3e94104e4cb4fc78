#!/usr/bin/env python3
"""Runs `trunkline quarkchain slave` and `master` as an operator would: flags, files, signals, the prompt, what they print.

    quarkchain_cluster_test.py PROGRAM

Each test_* function is one test. Against pyquarkchain's own nodes: tests/interop/quarkchain/.
"""

import json
import os
import pty
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "interop", "quarkchain"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import cases  # noqa: E402
from cluster import AMOUNT, RICH, SHARDS, config, free_ports

PROGRAM = os.path.abspath(sys.argv[1])
PATIENCE = 600  # seconds until something that should happen counts as hanging: what is waited for is a line or an end
TWO = {"S0": [SHARDS[0], SHARDS[2]], "S1": [SHARDS[1], SHARDS[3]]}


# --- what tests are made of

class Place:
    """A directory with a configuration, and the processes that were started from it."""
    def __init__(self, slaves=TWO, change=lambda config: None):
        self.directory = tempfile.TemporaryDirectory()
        self.started = []
        ports = free_ports(1 + len(slaves))
        self.ports = dict(zip(slaves, ports[1:]))
        self.json = config([(name, self.ports[name], shards) for name, shards in slaves.items()], ports[0], ports[0], [RICH])
        change(self.json)
        self.path = os.path.join(self.directory.name, "cluster_config.json")
        with open(self.path, "w") as file:
            json.dump(self.json, file)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.started:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        self.directory.cleanup()

    def start(self, verb, *arguments, **options):
        log = open(os.path.join(self.directory.name, "log"), "a+")
        process = subprocess.Popen([PROGRAM, "quarkchain", verb, "--cluster_config", self.path, *arguments], stdout=subprocess.PIPE,
                                   stderr=log, stdin=subprocess.DEVNULL, text=True, cwd=self.directory.name, **options)
        self.started.append(process)
        process.log = log
        return process

    def slave(self, name, *arguments):
        process = self.start("slave", "--node_id", name, *arguments)
        line = next_line(process)
        assert line.startswith("listening on tcp://"), line
        return process

    def slaves(self):
        return [self.slave(name) for name in self.ports]

    def log(self):
        with open(os.path.join(self.directory.name, "log")) as file:
            return file.read()

    def run(self, verb, *arguments):
        return subprocess.run([PROGRAM, "quarkchain", verb, "--cluster_config", self.path, *arguments], capture_output=True, text=True,
                              timeout=PATIENCE, stdin=subprocess.DEVNULL, cwd=self.directory.name)

    def master(self, *commands, code=0):
        """Our master with --exec COMMAND... and --json: the rows."""
        result = self.run("master", "--json", *(word for command in commands for word in ("--exec", command)))
        assert result.returncode == code, result
        return [json.loads(line) for line in result.stdout.splitlines()]


def next_line(process):
    assert select.select([process.stdout], [], [], PATIENCE)[0], "nothing was printed"
    return process.stdout.readline()


def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came true"
        select.select([], [], [], 0.02)


def equal(seen, expected):
    assert seen == expected, f"seen     {str(seen)[:1500]}\nexpected {str(expected)[:1500]}"


def trouble(result, code):
    equal((result.returncode, result.stdout), (code, ""))
    line = result.stderr.splitlines()[-1]
    assert line.startswith("trunkline: "), line
    return line[len("trunkline: "):]


# --- a cluster

def test_a_master_boots_two_slaves_and_says_what_it_is_asked():
    with Place() as place:
        slaves = place.slaves()

        rows = place.master("status", "slaves", "stats", "account " + RICH, "headers", "root", "headers", f"block {SHARDS[0]} 0")

        equal(rows[0]["cluster"], "active")
        equal([row["slave"] for row in rows[1:3]], ["S0", "S1"])
        equal([(row["shard"], row["height"]) for row in rows[3:7]], [(f"0x{shard:08x}", 0) for shard in SHARDS])
        equal({row["shard"]: row["balances"] for row in rows[7:11]}, {f"0x{shard:08x}": f"{AMOUNT} QKC" for shard in SHARDS})
        equal([row["headers"] for row in rows[11:15]], [1] * 4)
        equal((rows[15]["root_height"], rows[15]["minor_headers"], rows[15]["switched"]), (1, 4, True))
        equal([row["headers"] for row in rows[16:20]], [0] * 4)
        equal((rows[20]["height"], rows[20]["shard"]), (0, f"0x{SHARDS[0]:08x}"))
        equal([slave.wait(PATIENCE) for slave in slaves], [0, 0])


def test_a_person_is_shown_columns():
    with Place() as place:
        place.slaves()

        shown = place.run("master", "--exec", "slaves", "--exec", f"block {SHARDS[1]} 0", "--exec", f"block {SHARDS[1]} 1").stdout

        assert re.match(r"slave  address +calls_pending  shards\nS0     tcp://127\.0\.0\.1:\d+ +0 +0x00000002, 0x00010002\nS1 ", shown), shown
        assert re.search(r"\nshard +0x00000003\nheight +0\nhash +[0-9a-f]{64}\n", shown), shown
        assert shown.endswith("\nno such block\n"), shown


def test_any_request_can_be_made_of_a_slave():
    with Place() as place:
        place.slaves()

        seen = place.master("call S0 PING", "create 7", "call S1 DESTROY_CLUSTER_PEER_CONNECTION {\"cluster_peer_id\": 7}", "call S1 135")

        equal(seen[0], {"id": b"S0".hex(), "full_shard_id_list": TWO["S0"]})
        equal(len(seen[2]["eco_info_list"]), 2)


def test_the_first_command_that_fails_is_the_last_and_decides_the_exit_code():
    with Place() as place:
        for command, words in (("frob", 'there is no command "frob"; help lists them'), ("stats now", "stats: expected nothing after it, seen 1 words"),
                               ("block 2", "block: expected SHARD HEIGHT|HASH, seen 1 words"), ("mining maybe", 'mining: expected on or off, seen "maybe"'),
                               ("account zz", 'ADDRESS: expected 40 or 48 hexadecimal digits, seen "zz"')):
            place.slaves()
            result = place.run("master", "--exec", command, "--exec", "status")
            equal((result.returncode, result.stdout, result.stderr), (1, "", f"trunkline: {words}\n"))
        place.slaves()
        result = place.run("master", "--exec", "call S9 PING", "--exec", "status")
        equal((result.returncode, result.stdout, result.stderr), (12, "", 'trunkline: no slave "S9" in the configuration\n'))


def test_what_is_kept_below_data_survives():
    with Place() as place:
        data = {name: os.path.join(place.directory.name, name) for name in ("S0", "S1", "master")}
        tips = []
        for _ in range(2):
            slaves = [place.slave(name, "--data", data[name]) for name in ("S0", "S1")]
            rows = json.loads(place.run("master", "--json", "--data", data["master"], "--exec", "root").stdout)
            tips.append(rows["root_height"])
            equal([slave.wait(PATIENCE) for slave in slaves], [0, 0])
        equal(tips, [1, 2])


def test_without_data_it_is_kept_below_db_path_root():
    with Place(change=lambda config: config.update(DB_PATH_ROOT="kept")) as place:
        place.slaves()
        place.master("root")
        equal(sorted(os.listdir(os.path.join(place.directory.name, "kept"))), ["trunkline-master", "trunkline-slave-S0", "trunkline-slave-S1"])


# --- signals

def test_a_signal_ends_a_slave_gracefully_and_so_does_the_loss_of_its_master():
    with Place() as place:
        first, second = place.slaves()
        master = place.start("master")
        until(lambda: "active" in place.log())

        first.send_signal(signal.SIGTERM)

        equal(first.wait(PATIENCE), 0)
        equal(second.wait(PATIENCE), 0)
        equal(master.wait(PATIENCE), 10)
        assert f"trunkline: the slave at tcp://127.0.0.1:{place.ports['S0']} is gone: " in place.log(), place.log()


def test_a_hangup_ends_neither_slave_nor_master():
    with Place() as place:
        slaves = place.slaves()
        master = place.start("master")
        until(lambda: "active" in place.log())
        for process in (*slaves, master):
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGUSR1)
        until(lambda: place.log().count("SIGHUP: there is nothing to be read again") == 3)
        until(lambda: place.log().count("SIGUSR1: the log is no file") == 3)
        assert "read at the start alone: " + place.path in place.log(), place.log()
        equal([process.poll() for process in (*slaves, master)], [None] * 3)
        master.send_signal(signal.SIGTERM)
        equal([process.wait(PATIENCE) for process in (master, *slaves)], [0] * 3)


def test_slaves_and_masters_follow_their_settings_and_have_limits():
    with Place({"S0": list(SHARDS)}) as place:
        refused = trouble(place.run("slave", "--node_id", "S0", "--limit", "command_bytes_max=0"), 1)
        assert "command_bytes_max is 0" in refused, refused
        assert "there is no limit" in trouble(place.run("master", "--limit", "pool.slaves_max=3"), 1)  # of slaves alone
        file = os.path.join(place.directory.name, "settings.toml")

        def settings(text):
            with open(file, "w", encoding="utf-8") as to:
                to.write(text)

        settings("")
        slave = place.slave("S0", "--config", file)
        master = place.start("master", "--config", file)
        until(lambda: "active" in place.log())
        settings('log-level = "debug"\ngrace = 3\n[limits]\ncommand_bytes_max = "64M"\npeer_deadline = "20s"\npeers.peers_max = 3\n')
        slave.send_signal(signal.SIGHUP)
        until(lambda: "there is no limit \"peers.peers_max\"" in place.log())
        settings('log-level = "debug"\ngrace = 3\n[limits]\ncommand_bytes_max = "64M"\npeer_deadline = "20s"\n')
        slave.send_signal(signal.SIGHUP)
        until(lambda: f"{file}: limits.peer_deadline has changed and needs a restart" in place.log())
        until(lambda: f"{file}: taken: log-level, grace, limits.command_bytes_max" in place.log())
        settings('[limits]\ncommand_bytes_max = "64M"\npeers.peers_max = 3\n')
        master.send_signal(signal.SIGHUP)
        until(lambda: f"{file}: limits.peers.peers_max has changed and needs a restart" in place.log())
        until(lambda: f"{file}: taken: limits.command_bytes_max\n" in place.log())
        master.send_signal(signal.SIGTERM)
        equal((master.wait(PATIENCE), slave.wait(PATIENCE)), (0, 0))


def test_a_cluster_is_scraped():
    with Place() as place:
        ports = free_ports(3)
        slaves = [place.start("slave", "--node_id", name, "--admin", f"127.0.0.1:{port}") for name, port in zip(place.ports, ports)]
        for slave in slaves:
            equal((next_line(slave)[:9], slave.stdout.readline()[:9]), ("listening", "admin at "))
        master = place.start("master", "--admin", f"127.0.0.1:{ports[2]}")
        assert next_line(master) == f"admin at http://127.0.0.1:{ports[2]}/\n"

        def ask(port, path):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as refused:
                return refused.code, refused.read().decode()

        until(lambda: ask(ports[2], "/readyz") == (200, "ready\n"))
        for port, role in ((ports[0], "master"), (ports[2], "slave")):
            text = ask(port, "/metrics")[1]
            assert "\ntrunkline_quarkchain_active 1\n" in text and "\ntrunkline_quarkchain_slaves " in text, text
            links = json.loads(ask(port, "/links")[1])["links"]
            assert any(link["name"] == role and link["bytes_received"] > 0 for link in links), links
            assert json.loads(ask(port, "/circuits")[1])["circuits"], port
        master.send_signal(signal.SIGTERM)
        equal([process.wait(PATIENCE) for process in (master, *slaves)], [0] * 3)


def test_what_a_slave_ends_with_says_how_its_master_ended():
    frame = lambda op: struct.pack(">IIQBQ", 0, 0, 0, op, 1)  # of no payload, on the control circuit
    for sent, code in ((b"", 0), (frame(250), 12), (frame(147), 12), (frame(133), 12), (b"\0\0", 10)):
        with Place({"S0": SHARDS}) as place:
            slave = place.slave("S0")
            with socket.create_connection(("127.0.0.1", place.ports["S0"])) as master:
                master.sendall(sent)
            equal((sent, slave.wait(PATIENCE)), (sent, code))


def test_a_signal_ends_a_master_that_boots_and_one_that_is_active():
    with Place() as place:
        master = place.start("master")
        until(lambda: "cannot connect to" in place.log())
        master.send_signal(signal.SIGINT)
        equal(master.wait(PATIENCE), 0)

        place.slaves()
        master = place.start("master")
        until(lambda: "active" in place.log())
        master.send_signal(signal.SIGINT)
        equal(master.wait(PATIENCE), 0)


def test_a_second_signal_ends_it_at_once():
    with Place() as place, socket.create_server(("127.0.0.1", 0)) as silent:
        slave = place.slave("S0", "--grace", "86400")
        with socket.create_connection(("127.0.0.1", place.ports["S0"])) as master:
            # A request that runs for as long as another slave says nothing.
            info = {"id": b"S1".hex(), "host": b"127.0.0.1".hex(), "port": silent.getsockname()[1], "full_shard_id_list": TWO["S1"]}
            frame = {"op_name": "CONNECT_TO_SLAVES_REQUEST", "rpc_id": 1, "fields": {"slave_info_list": [info]}}
            encoded = subprocess.run([PROGRAM, "quarkchain", "encode"], input=json.dumps(frame), capture_output=True, text=True).stdout
            master.sendall(bytes.fromhex(encoded))
            silent.settimeout(PATIENCE)
            with silent.accept()[0] as greeted:
                assert greeted.recv(1), "no PING came"
                slave.send_signal(signal.SIGINT)
                until(lambda: "SIGINT: ending" in place.log())
                equal(slave.poll(), None)

                slave.send_signal(signal.SIGINT)

                equal(slave.wait(PATIENCE), -signal.SIGINT)


# --- safe mode

def test_with_a_master_host_a_stranger_is_no_master():
    with Place({"S0": SHARDS}) as place:
        slave = place.slave("S0", "--master-host", "127.0.0.2", "--listen", "tcp://127.0.0.1:0")
        address = ("127.0.0.1", int(re.findall(r"listening on tcp://127\.0\.0\.1:(\d+)", place.log())[-1]))
        stranger = socket.create_connection(address)
        with socket.create_connection(address, source_address=("127.0.0.2", 0)):
            until(lambda: "the master is tcp://127.0.0.2:" in place.log())
        equal(slave.wait(PATIENCE), 0)
        stranger.close()


def test_a_master_host_is_a_number_not_a_name():
    with Place({"S0": SHARDS}) as place:
        for name in ("localhost", "deadbeef", ""):
            equal(trouble(place.run("slave", "--node_id", "S0", "--master-host", name), 1), f'--master-host: expected an IP address, seen "{name}"')


def test_a_slave_may_keep_waiting_for_a_new_master():
    with Place({"S0": SHARDS}) as place:
        slave = place.slave("S0", "--keep-waiting")
        for _ in range(2):
            equal(place.master("status")[0]["cluster"], "active")
        slave.send_signal(signal.SIGTERM)
        equal(slave.wait(PATIENCE), 0)


# --- over TLS

class SecurePlace(Place):
    """The same processes with keys that trust each other. In the configuration the hosts alone are others."""
    def __init__(self, slaves=TWO, strangers=()):
        def change(json):
            for slave in json["SLAVE_LIST"]:
                slave["HOST"] = "tls://127.0.0.1"
        super().__init__(slaves, change)
        self.environment = {**os.environ, "HOME": self.directory.name}
        self.environment.pop("XDG_CONFIG_HOME", None)
        self.ids = {}
        for name in ("master", *(f"slave-{slave}" for slave in slaves)):
            self.ids[name] = self.key("new", "--key", f"{self.directory.name}/.config/trunkline/{name}.pem").split()[0]
            if name not in strangers:
                self.key("trust", self.ids[name], "--name", name)

    def key(self, *arguments):
        result = subprocess.run([PROGRAM, "key", *arguments], capture_output=True, text=True, env=self.environment, timeout=PATIENCE,
                                stdin=subprocess.DEVNULL)
        assert result.returncode == 0, result
        return result.stdout

    def start(self, verb, *arguments, **options):
        return super().start(verb, *arguments, env=self.environment, **options)

    def slave(self, name, *arguments):
        process = self.start("slave", "--node_id", name, *arguments)
        equal(next_line(process), f"listening on tls://0.0.0.0:{self.ports[name]}#{self.ids['slave-' + name]}\n")
        return process

    def run(self, verb, *arguments):
        return subprocess.run([PROGRAM, "quarkchain", verb, "--cluster_config", self.path, *arguments], capture_output=True, text=True,
                              timeout=PATIENCE, stdin=subprocess.DEVNULL, cwd=self.directory.name, env=self.environment)


def test_over_tls_a_cluster_is_the_same_and_the_addresses_alone_differ():
    with SecurePlace() as place:
        slaves = place.slaves()

        rows = place.master("status", "slaves", "headers", "root")

        equal(rows[0]["cluster"], "active")
        equal([row["address"].split("#")[0] for row in rows[1:3]], [f"tls://127.0.0.1:{port}" for port in place.ports.values()])
        equal([row["headers"] for row in rows[3:7]], [1] * 4)
        equal((rows[7]["root_height"], rows[7]["minor_headers"], rows[7]["switched"]), (1, 4, True))
        equal([slave.wait(PATIENCE) for slave in slaves], [0, 0])


def test_over_tls_a_master_whose_key_the_slaves_do_not_know_is_none():
    with SecurePlace(strangers=("master",)) as place:
        place.slaves()
        master = place.start("master", "--exec", "status")
        until(lambda: f"shows the key {place.ids['master']}, which is not known here" in place.log())
        until(lambda: f"does not know this node's key {place.ids['master']}" in place.log())
        assert master.wait(PATIENCE) != 0


# --- the prompt

class Terminal:
    MARK = "quarkchain> "

    def __init__(self, place, *arguments):
        self.terminal, inner = pty.openpty()
        self.process = subprocess.Popen([PROGRAM, "quarkchain", "master", "--cluster_config", place.path, *arguments], stdin=inner, stdout=inner,
                                        stderr=inner, start_new_session=True)
        place.started.append(self.process)
        os.close(inner)
        self.heard = ""

    def until(self, words):
        end = time.monotonic() + PATIENCE
        while words not in self.heard:
            assert select.select([self.terminal], [], [], max(0, end - time.monotonic()))[0], f"{words!r} is not in {self.heard!r}"
            self.heard += os.read(self.terminal, 65536).decode()
        heard, _, self.heard = self.heard.partition(words)
        return heard

    def type(self, text):
        os.write(self.terminal, text.encode())

    def close(self):
        try:
            return self.process.wait(PATIENCE)
        finally:
            os.close(self.terminal)


def test_the_prompt_answers_line_by_line_and_ends_with_quit_or_the_end_of_the_input():
    for last in ("quit\n", "exit\n", "\x04"):
        with Place() as place:
            place.slaves()
            terminal = Terminal(place)
            terminal.until(Terminal.MARK)
            terminal.type("help\n")
            assert "  account ADDRESS [HEIGHT] " in terminal.until(Terminal.MARK)
            terminal.type("\n")
            terminal.until(Terminal.MARK)
            terminal.type("stauts\n")
            assert 'there is no command "stauts"; did you mean stats or status?' in terminal.until(Terminal.MARK)
            terminal.type("root\n")
            assert "minor_headers  4" in terminal.until(Terminal.MARK)
            terminal.type("meet unix:/nobody/listens.sock\n")
            heard = terminal.until(Terminal.MARK)
            assert "unix:/nobody/listens.sock" in heard and "tcp://" not in heard, heard
            terminal.type(last)
            equal(terminal.close(), 0)


def test_a_slave_that_is_lost_ends_the_prompt_or_can_be_booted_again():
    with Place() as place:
        first, _ = place.slaves()
        terminal = Terminal(place)
        terminal.until(Terminal.MARK)
        first.kill()
        terminal.until("is gone: ")
        equal(terminal.close(), 10)
    with Place() as place:
        _, second = place.slaves()
        terminal = Terminal(place, "--survive-slaves")
        terminal.until(Terminal.MARK)
        terminal.type("boot S1\n") # it is there: nothing is done to it
        terminal.until('slave "S1" is connected')
        terminal.type("call S1 PING\n")
        terminal.until("full_shard_id_list")
        equal(second.poll(), None)
        second.kill()
        terminal.until("is gone: ")
        terminal.type("root\n")
        terminal.until('slave "S1" is not connected')
        place.slave("S1")
        terminal.type("boot S1\n")
        terminal.until("slave S1 is part of the cluster")
        terminal.type("root\n")
        terminal.until("root_height    1")
        terminal.type("quit\n")
        equal(terminal.close(), 0)


def test_control_c_at_the_prompt_ends_the_cluster_in_order():
    with Place() as place:
        slaves = place.slaves()
        terminal = Terminal(place)
        terminal.until(Terminal.MARK)
        os.killpg(terminal.process.pid, signal.SIGINT)
        terminal.until("SIGINT: ending")
        equal(terminal.close(), 0)
        equal([slave.wait(PATIENCE) for slave in slaves], [0, 0])


class Neighbour:
    """Another slave that answers one PING of each connection and closes it; `met` counts them."""
    def __init__(self, name, shards):
        self.name, self.shards, self.met = name.encode(), shards, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            with stream, stream.makefile("rwb") as file:
                length, op, rpc_id = struct.unpack(">IBQ", file.read(13))
                file.read(length)
                pong = struct.pack(">I", len(self.name)) + self.name + struct.pack(f">I{len(self.shards)}I", len(self.shards), *self.shards)
                file.write(struct.pack(">IBQ", len(pong), op + 1, rpc_id) + pong)
                self.met += 1

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def test_strict_parity_never_dials_a_lost_slave_again_and_otherwise_it_is_dialled():
    for strict in (True, False):
        with Place() as place:
            neighbour = Neighbour("S1", TWO["S1"])
            place.slave("S0", "--keep-waiting", *(["--strict-parity"] if strict else []))
            request = json.dumps({"slave_info_list": [{"id": b"S1".hex(), "host": b"127.0.0.1".hex(), "port": neighbour.port, "full_shard_id_list": TWO["S1"]}]})

            def connect():
                done = subprocess.run([PROGRAM, "quarkchain", "call", f"127.0.0.1:{place.ports['S0']}", "CONNECT_TO_SLAVES_REQUEST", request],
                                      capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
                assert done.returncode == 0, done
                equal(json.loads(done.stdout)["result_list"], [""])
            connect()
            until(lambda: "slave connection with" in place.log() and "waiting for a new one" in place.log())
            connect()  # it is known, whatever has become of it; or dialled, unless that was done meanwhile
            if strict:
                equal(neighbour.met, 1)
            else:
                until(lambda: neighbour.met >= 2)
            neighbour.close()


# --- trouble

def test_what_is_wrong_with_the_configuration_is_said_by_key():
    def said(change, verb="slave", *arguments):
        with Place(change=change) as place:
            return trouble(place.run(verb, *(arguments or (("--node_id", "S0") if verb == "slave" else ("--exec", "status")))), 1).replace(place.path, "F")

    def drop(*path):
        def change(config):
            for key in path[:-1]:
                config = config[key]
            del config[path[-1]]
        return change

    def put(value, *path):
        def change(config):
            for key in path[:-1]:
                config = config[key]
            config[path[-1]] = value
        return change

    for verb in ("slave", "master"):
        equal(said(drop("QUARKCHAIN"), verb), "F: cluster_config: QUARKCHAIN: expected an object, seen nothing")
        equal(said(put("x", "SLAVE_LIST", 0, "PORT"), verb), 'F: cluster_config: SLAVE_LIST[0].PORT: expected an integer of 0 to 65535, seen the text "x"')
        equal(said(put(3, "QUARKCHAIN", "CHAINS", 1, "SHARD_SIZE"), verb), "F: cluster_config: QUARKCHAIN.CHAINS[1].SHARD_SIZE: expected a power of two, seen 3")
        equal(said(put("loud", "LOG_LEVEL"), verb), 'LOG_LEVEL: expected debug, info, warning, error or critical, seen "loud"')
    assert said(lambda config: None, "slave", "--node_id", "S7").startswith('F: cluster_config: SLAVE_LIST: expected a slave with ID "S7"'), "node_id"
    assert "0x00010003" in said_of_missing_shard(), said_of_missing_shard()


def said_of_missing_shard():
    with Place({"S0": SHARDS[:3]}) as place:
        return trouble(place.run("master", "--exec", "status"), 12)


def test_a_file_that_is_not_there_or_no_json_is_said():
    with Place() as place:
        missing = subprocess.run([PROGRAM, "quarkchain", "master", "--cluster_config", "/no/such/file"], capture_output=True, text=True, timeout=PATIENCE)
        assert "/no/such/file" in trouble(missing, 11), missing
        with open(place.path, "w") as file:
            file.write("{")
        equal(trouble(place.run("slave", "--node_id", "S0"), 1), f"{place.path}: JSON at byte 1: incomplete JSON")


def test_a_directory_of_another_genesis_or_that_cannot_be_is_refused():
    with Place() as place:
        place.slaves()
        assert place.run("master", "--data", "kept", "--exec", "status").returncode == 0
        place.json["QUARKCHAIN"]["ROOT"]["GENESIS"]["TIMESTAMP"] += 1
        with open(place.path, "w") as file:
            json.dump(place.json, file)
        assert "genesis" in trouble(place.run("master", "--data", "kept", "--exec", "status"), 1)
        assert place.path in trouble(place.run("master", "--data", place.path, "--exec", "status"), 11)


def test_a_slave_refuses_what_shards_of_another_network_or_the_embedded_ledger_have_kept():
    with Place({"S0": SHARDS}) as place:
        first = place.slave("S0", "--data", "shards")
        place.master("root")
        equal(first.wait(PATIENCE), 0)
        equal(len(os.listdir(os.path.join(place.directory.name, "shards"))), len(SHARDS))
        demo = place.slave("S0", "--data", "ledger", "--ledger")
        place.master("root")
        equal(demo.wait(PATIENCE), 0)
        assert "--ledger: for demonstrations" in place.log(), place.log()

        assert "seen what the embedded ledger keeps" in trouble(place.run("slave", "--node_id", "S0", "--data", "ledger"), 1)
        assert "seen the databases of shards" in trouble(place.run("slave", "--node_id", "S0", "--data", "shards", "--ledger"), 1)
        place.json["QUARKCHAIN"]["NETWORK_ID"] += 1
        with open(place.path, "w") as file:
            json.dump(place.json, file)
        said = trouble(place.run("slave", "--node_id", "S0", "--data", "shards"), 1)
        assert "the database of another shard: rules: expected " in said and said.endswith("(the databases are in shards)"), said


def test_executors_that_cannot_be_had_together_are_refused():
    with Place({"S0": SHARDS}) as place:
        both = place.run("slave", "--node_id", "S0", "--data", "shards", "--ledger", "--el-command", "true")
        equal(trouble(both, 1), "--ledger and --el-command: expected one executor, seen two")
        for alone in (["--el-bridge"], ["--el-ports", "20000"], ["--el-ports", "20000", "--ledger"]):
            said = trouble(place.run("slave", "--node_id", "S0", "--data", "shards", *alone), 1)
            equal(said, alone[0] + ": expected --el-command, seen none")
        nowhere = place.run("slave", "--node_id", "S0", "--el-command", "true")
        equal(trouble(nowhere, 1), "--el-command: expected --data or DB_PATH_ROOT, which is where it keeps its own")
        of_chains = trouble(place.run("slave", "--node_id", "S0", "--data", "shards", "--el-command", "true"), 1)
        assert "expected SHARD_SIZE 1, seen 2" in of_chains, of_chains


def test_a_database_is_checked_while_nobody_runs_it_and_damage_is_found():
    with Place({"S0": SHARDS}) as place:
        for _ in range(2):
            slave = place.slave("S0", "--data", "shards")
            place.run("master", "--data", "master", "--exec", "root")
            equal(slave.wait(PATIENCE), 0)
        database = os.path.join("shards", f"shard-0x{SHARDS[0]:08x}")
        done = place.run("checkdb", "--db", database)
        equal((done.returncode, done.stdout), (0, f"1 blocks of shard 0x{SHARDS[0]:08x} are right, 0 are not\n"))
        assert re.match(r"1 of 1 blocks, \d+ a second, 0 s left\n$", done.stderr), done
        assert "expected the database of a shard" in trouble(place.run("checkdb", "--db", "master"), 1)
        assert "no/such" in trouble(place.run("checkdb", "--db", "no/such"), 11)


def test_what_cannot_be_read_or_written_is_exit_code_11():
    with Place({"S0": SHARDS}) as place:
        no_such = subprocess.run([PROGRAM, "quarkchain", "check", "no/such.json"], capture_output=True, text=True, cwd=place.directory.name)
        assert "no/such.json" in trouble(no_such, 11)
        no_such = subprocess.run([PROGRAM, "quarkchain", "state", "--db", "no/such", "--at", "00" * 32], capture_output=True, text=True, cwd=place.directory.name)
        assert "no/such" in trouble(no_such, 11)
        assert place.path in trouble(place.run("slave", "--node_id", "S0", "--data", place.path), 11)


def test_a_slave_whose_disk_is_full_refuses_what_it_cannot_keep_and_ends_with_11():
    def small_files():  # a write beyond it fails, as the signal is ignored
        resource.setrlimit(resource.RLIMIT_FSIZE, (40000, 40000))

    with Place({"S0": SHARDS}) as place:
        slave = place.start("slave", "--node_id", "S0", "--data", "shards", preexec_fn=small_files, restore_signals=False)
        assert next_line(slave).startswith("listening on tcp://")
        words = [word for _ in range(200) for word in ("--exec", "root")]
        assert place.run("master", *words).returncode != 0
        equal(slave.wait(PATIENCE), 11)
        assert "writing shards/shard-" in place.log(), place.log()


def test_settings_that_nobody_reads_are_named_in_the_log():
    with Place({"S0": SHARDS}, change=lambda config: config["QUARKCHAIN"]["CHAINS"][1].update(SHARD_SIZ=2)) as place:
        place.slave("S0")
        for key in ("A_KEY_OF_TOMORROW", "QUARKCHAIN.CHAINS[1].SHARD_SIZ", "JSON_RPC_PORT"):
            assert f": the setting {key} is read by nobody" in place.log(), place.log()
        for key in ("LOG_LEVEL", "QUARKCHAIN.CHAINS[0].SHARD_SIZE", "SLAVE_LIST", "P2P_PORT"):
            assert f" {key} is read by nobody" not in place.log(), place.log()


def test_stats_slaves_and_status_name_every_shard_and_slave_also_of_a_master_that_has_heard_nothing():
    with Place() as place:
        slaves = [place.slave(name, "--keep-waiting") for name in ("S0", "S1")]
        place.run("master", "--data", "master", "--exec", "root")
        rows = [json.loads(line) for line in place.run("master", "--data", "master", "--json", "--exec", "stats", "--exec", "slaves", "--exec", "status").stdout.splitlines()]
        equal([(row["shard"], row["slave"]) for row in rows[:4]], [(f"0x{shard:08x}", name) for shard in SHARDS for name, shards in TWO.items() if shard in shards])
        equal([row["slave"] for row in rows[4:6]], ["S0", "S1"])
        assert all(name in rows[6]["members"] for name in TWO), rows[6]
        for slave in slaves:
            slave.send_signal(signal.SIGTERM)
            equal(slave.wait(PATIENCE), 0)


def test_an_address_in_use_is_said():
    with Place() as place, socket.create_server(("0.0.0.0", place.ports["S0"])):
        assert f"tcp://0.0.0.0:{place.ports['S0']}" in trouble(place.run("slave", "--node_id", "S0"), 10)


def test_a_slave_that_is_another_one_is_said_by_name():
    with Place() as place:
        with Place() as other:
            other.ports = dict(zip(("S1", "S0"), place.ports.values()))
            other.json["SLAVE_LIST"] = [dict(entry, PORT=other.ports[entry["ID"]]) for entry in other.json["SLAVE_LIST"]]
            with open(other.path, "w") as file:
                json.dump(other.json, file)
            other.slaves()
            said = trouble(place.run("master", "--exec", "status"), 12)
            assert re.match(r'at 127\.0\.0\.1:\d+ is slave "S[01]", expected "S[01]"$', said), said


def test_flags_of_pyquarkchain_are_taken_and_named():
    with Place({"S0": SHARDS}) as place:
        slave = place.slave("S0", "--enable_profiler=true", "--log_level", "debug", "--clean")
        log = place.log()
        for flag in ("--enable_profiler", "--log_level", "--clean"):
            assert f"{flag} says nothing next to --cluster_config" in log, log
        slave.send_signal(signal.SIGTERM)
        equal(slave.wait(PATIENCE), 0)


def test_keys_come_from_the_environment_too():
    with Place({"S0": SHARDS}) as place:
        os.environ["QKC__LOG_LEVEL"] = "'shout'"
        try:
            assert 'seen "shout"' in trouble(place.run("slave", "--node_id", "S0"), 1)
        finally:
            del os.environ["QKC__LOG_LEVEL"]


def test_a_command_that_does_not_exist_is_said_with_those_that_do():
    def said(*words):
        return trouble(subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=PATIENCE), 1)

    equal(said("quarkchain", "slaev"), 'expected one of the commands master, slave, call, decode, encode, check, state, checkdb, saw "slaev"; did you mean slave? (see trunkline quarkchain --help)')
    equal(said("quarkchain"), "expected one of the commands master, slave, call, decode, encode, check, state, checkdb, saw nothing (see trunkline quarkchain --help)")
    assert said("quarkchian").endswith('saw "quarkchian"; did you mean quarkchain? (see trunkline --help)'), said("quarkchian")
    assert "--node_id is required" in said("quarkchain", "slave", "--cluster_config", "x"), said("quarkchain", "slave", "--cluster_config", "x")


def test_help_shows_an_example_that_runs():
    with Place() as place:
        examples = [subprocess.run([PROGRAM, "quarkchain", verb, "--help"], capture_output=True, text=True).stdout.split("Example:\n")[1].strip()
                    for verb in ("slave", "master")]
        slave, master = (example.replace("trunkline", PROGRAM).split() for example in examples)
        for name in ("S0", "S1"):
            process = subprocess.Popen([word if word != "S0" else name for word in slave], cwd=place.directory.name, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, text=True)
            place.started.append(process)
            assert next_line(process).startswith("listening on "), name
        done = subprocess.run(master, cwd=place.directory.name, capture_output=True, text=True, timeout=PATIENCE)
        equal((done.returncode, done.stderr), (0, ""))
        assert done.stdout.startswith("cluster      active\n"), done.stdout


if __name__ == "__main__":
    sys.exit(cases.run(globals(), *sys.argv[2:3]))
