"""Clusters of real processes: Python's nodes and ours, on loopback, from one configuration."""
import atexit
import contextlib
import json
import os
import select
import socket
import subprocess
import tempfile
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = int(os.environ.get("TRUNKLINE_TEST_PATIENCE", 600))  # seconds until something that should happen counts as hanging: what is waited for is a line or an end
SHARDS = [0x00002, 0x00003, 0x10002, 0x10003]
# An account that genesis gives something in every shard, and its key.
RICH = "19e7e376e7c213b7e7e7e46cc70a5dd086daff2a"
KEY = "11" * 32
AMOUNT = 120 * 10 ** 18


def free_ports(count):
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def proof(target):
    return {"CONSENSUS_TYPE": "POW_SIMULATE", "CONSENSUS_CONFIG": {"TARGET_BLOCK_TIME": target, "REMOTE_MINE": False},
            "COINBASE_ADDRESS": "00" * 24, "POSW_CONFIG": {}}


def chain(number, size, rich):
    zero = "00" * 32
    alloc = {f"{recipient}{number << 16 | shard:08x}": {"QKC": AMOUNT} for shard in range(size) for recipient in rich}
    genesis = {"ROOT_HEIGHT": 0, "VERSION": 0, "HEIGHT": 0, "HASH_PREV_MINOR_BLOCK": zero, "HASH_MERKLE_ROOT": zero, "EXTRA_DATA": "",
               "TIMESTAMP": 1556639999, "DIFFICULTY": 10000, "GAS_LIMIT": 12000000, "NONCE": 0, "ALLOC": alloc}
    return dict(proof(10), CHAIN_ID=number, SHARD_SIZE=size, DEFAULT_CHAIN_TOKEN="QKC", GENESIS=genesis)


def config(slaves, p2p_port, bootstrap_port, rich, db="", rpc_port=38391, shard_size=2):
    """Two chains of `shard_size` shards; `slaves` are (id, port, shards)."""
    zero = "00" * 32
    genesis = {"VERSION": 0, "HEIGHT": 0, "HASH_PREV_BLOCK": zero, "HASH_MERKLE_ROOT": zero, "TIMESTAMP": 1556639999, "DIFFICULTY": 1000000, "NONCE": 0}
    return {
        "P2P_PORT": p2p_port, "GENESIS_DIR": None, "DB_PATH_ROOT": db, "LOG_LEVEL": "info", "A_KEY_OF_TOMORROW": {"X": 1},
        "JSON_RPC_PORT": rpc_port, "JSON_RPC_HOST": "127.0.0.1", "ENABLE_PUBLIC_JSON_RPC": bool(db),
        "ENABLE_TRANSACTION_HISTORY": bool(db),
        "QUARKCHAIN": {
            "CHAIN_SIZE": 2, "NETWORK_ID": 1033, "GUARDIAN_PUBLIC_KEY": "00" * 64, "ROOT_SIGNER_PRIVATE_KEY": None,
            "SKIP_ROOT_DIFFICULTY_CHECK": True, "SKIP_MINOR_DIFFICULTY_CHECK": True,
            "ROOT": dict(proof(60), GENESIS=genesis), "CHAINS": [chain(number, shard_size, rich) for number in (0, 1)]},
        "MASTER": {"MASTER_TO_SLAVE_CONNECT_RETRY_DELAY": 0.1},
        "SLAVE_LIST": [{"HOST": "127.0.0.1", "PORT": port, "ID": name, "FULL_SHARD_ID_LIST": [f"0x{shard:08x}" for shard in shards]}
                       for name, port, shards in slaves],
        "SIMPLE_NETWORK": {"BOOTSTRAP_HOST": "127.0.0.1", "BOOTSTRAP_PORT": bootstrap_port}, "MONITORING": {}}


class Process:
    """A node. Its standard error goes to a file that is shown when something fails."""
    def __init__(self, name, command, directory):
        self.name = name
        self.path = os.path.join(directory, name + ".log")
        with open(self.path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        atexit.register(self.kill)  # also when a cluster does not even start

    def line(self):
        assert select.select([self.process.stdout], [], [], PATIENCE)[0], f"{self.name} says nothing"
        line = self.process.stdout.readline()
        assert line, f"{self.name} has ended, exit code {self.process.wait(PATIENCE)}"
        return line

    def ended(self):
        """Its exit code, once it has ended by itself."""
        return self.process.wait(PATIENCE)

    def kill(self):
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):  # what it never read
            self.process.stdin.close()
        self.process.stdout.close()

    def log(self):
        with open(self.path, errors="replace") as file:
            return file.read()


class PythonMaster(Process):
    """python_master.py, whose verbs are methods here."""
    def boot(self):
        assert json.loads(self.line()) == {"event": "active"}

    def begin(self, verb, **arguments):
        """Says it, and waits for no answer."""
        self.process.stdin.write(json.dumps(dict(arguments, do=verb)) + "\n")
        self.process.stdin.flush()

    def __getattr__(self, verb):
        def do(**arguments):
            self.begin(verb, **arguments)
            answer = json.loads(self.line())
            assert "result" in answer, answer.get("error", answer)
            return answer["result"]
        return do


class Cluster:
    """`slaves` says of each whether it is "python" or "ours", and what it runs: {"S0": ("ours", [2, 3])}.

    `kept`: on disk, with the history of transactions, and with a JSON RPC for wallets. `el_command`: with it our slaves
    run an execution layer for each shard.
    """
    def __init__(self, program, slaves, rich=(RICH,), bootstrap=None, kept=False, shard_size=2, el_command=None):
        self.program, self.processes, self.el_command = program, [], el_command
        self.directory = tempfile.TemporaryDirectory()
        self.p2p_port, self.rpc_port, *ports = free_ports(2 + len(slaves))
        db = os.path.join(self.directory.name, "db") if kept else ""
        self.slaves = {name: (kind, port, shards) for port, (name, (kind, shards)) in zip(ports, slaves.items())}
        self.config = os.path.join(self.directory.name, "cluster_config.json")
        listed = [(name, port, shards) for name, (_, port, shards) in self.slaves.items()]
        with open(self.config, "w") as file:
            json.dump(config(listed, self.p2p_port, bootstrap or self.p2p_port, rich, db, self.rpc_port, shard_size), file)
        self.nodes = {name: self.start_slave(name) for name in self.slaves}
        self.master = None

    def start(self, kind, name, *command):
        process = kind(name, list(command), self.directory.name)
        self.processes.append(process)
        return process

    def python(self, script):
        return os.environ.get("PYQUARKCHAIN_PYTHON", "python3"), os.path.join(HERE, script), "--cluster_config=" + self.config

    def start_slave(self, name):
        if self.slaves[name][0] == "python":
            return self.start(Process, name, *self.python("python_slave.py"), "--node_id=" + name)
        executor = ["--el-command", self.el_command, "--el-deadline=120"] if self.el_command else []
        node = self.start(Process, name, self.program, "quarkchain", "slave", "--cluster_config=" + self.config, "--node_id=" + name, "-v", *executor)
        assert node.line().startswith("listening on tcp://0.0.0.0:"), name
        return node

    def python_master(self):
        self.master = self.start(PythonMaster, "python_master", *self.python("python_master.py"))
        self.master.boot()
        return self.master

    def restart(self):
        """All slaves anew, on what they have kept."""
        for node in self.nodes.values():
            node.ended()
        self.nodes = {name: self.start_slave(name) for name in self.slaves}

    def python_check_db(self):
        """The exit code of a Python master that has all slaves check all that they have."""
        checker = self.start(Process, "check_db", *self.python("python_master.py"), "--check_db=true")
        return checker.ended()

    def kept_by(self, name):
        """Where a slave of ours keeps what it has."""
        return os.path.join(self.directory.name, "db", "trunkline-slave-" + name)

    def wallet(self, method, *params):
        """What a wallet is told by the Python master's JSON RPC."""
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.rpc_port}", body, {"Content-Type": "application/json"})
        answer = json.load(urllib.request.urlopen(request, timeout=PATIENCE))
        assert "error" not in answer, answer
        return answer["result"]

    def our_master(self, *commands):
        """Runs ours to its end with --exec COMMAND...; the lines that it printed."""
        arguments = [argument for command in commands for argument in ("--exec", command)]
        done = subprocess.run([self.program, "quarkchain", "master", "--cluster_config=" + self.config, "--json", *arguments],
                              capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def address(self, name):
        return f"127.0.0.1:{self.slaves[name][1]}"

    def logs(self):
        return "".join(f"---- {process.name}\n{process.log()[-6000:]}" for process in self.processes)

    def close(self):
        for process in self.processes:
            process.kill()
        self.directory.cleanup()


class Peer:
    """Another cluster's master, as far as a Python master can tell: a socket that has said HELLO."""
    def __init__(self, cluster, name):
        self.stream = socket.create_connection(("127.0.0.1", cluster.p2p_port), PATIENCE).makefile("rwb")
        self.rpc_ids = {}
        self.send(0, 0, 0, bytes.fromhex(cluster.master.hello(peer_id=name * 32)))
        branch, op, _, _ = self.receive()
        assert (branch, op) == (0, 0), "no HELLO came back"

    def send(self, branch, op, rpc_id, payload):
        self.stream.write(len(payload).to_bytes(4, "big") + branch.to_bytes(4, "big") + bytes([op]) + rpc_id.to_bytes(8, "big") + payload)
        self.stream.flush()

    def receive(self):
        head = self.stream.read(17)
        assert len(head) == 17, "the master has closed the connection"
        return int.from_bytes(head[4:8], "big"), head[8], int.from_bytes(head[9:17], "big"), self.stream.read(int.from_bytes(head[:4], "big"))

    def call(self, branch, op, payload):
        """What the shard answers; each shard's connection counts its own ids."""
        rpc_id = self.rpc_ids[branch] = self.rpc_ids.get(branch, 0) + 1
        self.send(branch, op, rpc_id, payload)
        while True:
            answered = self.receive()
            if answered[:1] + answered[2:3] == (branch, rpc_id):
                return answered[1], answered[3]

    def close(self):
        self.stream.close()
