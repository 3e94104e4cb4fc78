#!/usr/bin/env python3
"""ssh:// against a real sshd on loopback, with a key and a configuration of its own.

    ssh_test.py PROGRAM

Trees are pushed and pulled, a path that a shell would take apart arrives, and what cannot be reached is said. Where there is no
sshd nothing is left out silently: the test fails and says which package is missing.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../cli"))
import cases

PATIENCE = 60
PROGRAM = os.path.abspath(sys.argv[1])


class Sshd:
    """Lets in whoever has the key, on a free port, as the user who runs this."""

    def __init__(self, here):
        daemon = shutil.which("sshd") or "/usr/sbin/sshd"
        assert os.path.exists(daemon), "sshd is missing: apt-get install openssh-server, or ./dev setup"
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{here}/{name}"], check=True)
        shutil.copy(f"{here}/user.pub", f"{here}/authorized")
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        with open(f"{here}/config", "w") as file:
            file.write(f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {here}/host\nAuthorizedKeysFile {here}/authorized\n"
                       f"StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\nPermitRootLogin yes\n")
        self.log = open(f"{here}/sshd.log", "w")
        self.process = subprocess.Popen([daemon, "-D", "-e", "-f", f"{here}/config"], stderr=self.log)
        self.shell = (f"ssh -F none -i {here}/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "
                      "-o BatchMode=yes")
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                assert self.process.poll() is None, open(f"{here}/sshd.log").read()
                time.sleep(0.02)  # lint-allow: another process is watched from outside

    def end(self):
        self.process.terminate()
        self.process.wait()


HERE = tempfile.mkdtemp(prefix="trunkline-ssh-")
SSHD = Sshd(HERE)
AT = f"ssh://127.0.0.1:{SSHD.port}"


def sync(*words):
    return subprocess.run([PROGRAM, "sync", "--rsh", SSHD.shell, "--trunkline-path", PROGRAM, *words], capture_output=True, timeout=PATIENCE)


def fill(root):
    os.makedirs(f"{root}/dir/deeper")
    for number in range(50):
        with open(f"{root}/dir/{number}", "wb") as file:
            file.write(os.urandom(number * 1000))
    with open(f"{root}/big", "wb") as file:
        file.write(os.urandom(3_000_000))


def same(one, other):
    return subprocess.run(["diff", "-r", one, other], capture_output=True).returncode == 0


def test_a_tree_is_pushed_and_pulled():
    fill(f"{HERE}/from")
    result = sync("--delete", f"{HERE}/from", f"{AT}{HERE}/to")
    assert result.returncode == 0 and same(f"{HERE}/from", f"{HERE}/to"), result
    result = sync("-z", f"{AT}{HERE}/to", f"{HERE}/back")
    assert result.returncode == 0 and same(f"{HERE}/from", f"{HERE}/back"), result
    with open(f"{HERE}/from/big", "r+b") as file:
        file.seek(1_000_000)
        file.write(b"changed")
    result = sync("--stats", f"{HERE}/from", f"{AT}{HERE}/to")
    assert result.returncode == 0 and same(f"{HERE}/from", f"{HERE}/to"), result
    sent = int(next(line for line in result.stdout.decode().splitlines() if line.startswith("bytes on the wire, sent")).split(": ")[1])
    assert sent < 200_000, result.stdout


def test_nothing_of_it_stays_behind():
    until = time.monotonic() + 20  # sshd ends a session a moment after its program; one that waits for a deadline takes longer
    while left := subprocess.run(["pgrep", "-f", f"{PROGRAM} serve --stdio"], capture_output=True).stdout.decode().split():
        assert time.monotonic() < until, left
        time.sleep(0.02)  # lint-allow: another process is watched from outside


def test_a_path_arrives_as_it_is():
    odd = f"{HERE}/it's $HOME; `x` *"
    os.makedirs(f"{odd}/in")
    with open(f"{odd}/in/file", "w") as file:
        file.write("hello")
    result = sync(f"{AT}{odd}/in", f"{HERE}/odd back")
    assert result.returncode == 0 and open(f"{HERE}/odd back/file").read() == "hello", result


def test_what_cannot_be_reached_is_said():
    result = sync(f"{AT}{HERE}/not there", f"{HERE}/nothing")
    assert result.returncode == 11 and b"not there" in result.stderr, result
    assert not os.path.exists(f"{HERE}/nothing")
    result = subprocess.run([PROGRAM, "sync", "--rsh", "false", f"{HERE}/from", f"{AT}/x"], capture_output=True, timeout=PATIENCE)
    assert result.returncode == 10, result
    for wrong in ("ssh://host", "ssh:///path", "ssh://-oProxyCommand=x/path", "ssh://h:port/path", "ssh://@h/path"):
        result = subprocess.run([PROGRAM, "sync", f"{HERE}/from", wrong], capture_output=True, timeout=PATIENCE)
        assert result.returncode == 1 and b"expected ssh://" in result.stderr, (wrong, result)


code = 1
try:
    code = cases.run(globals())
finally:
    SSHD.end()
    shutil.rmtree(HERE, ignore_errors=True)
sys.exit(code)
