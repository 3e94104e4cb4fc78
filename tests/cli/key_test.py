#!/usr/bin/env python3
"""Keys and TLS from the command line: `trunkline key`, syncs and messages over tls://, and OpenSSL's programs as far sides.

usage: key_test.py TRUNKLINE [PART-OF-A-NAME]

Each test has a home directory of its own. Nothing sleeps: tests wait for lines and for ends of processes.
"""
import functools
import os
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cases

PROGRAM = os.path.abspath(sys.argv[1])
PATIENCE = cases.PATIENCE
EQUAL, USAGE, SOCKET, FILE, PROTOCOL = 0, 1, 10, 11, 12


class Home:
    """A home directory, and the program with it."""
    def __init__(self, directory):
        self.directory = directory
        self.environment = {**os.environ, "HOME": directory}
        self.environment.pop("XDG_CONFIG_HOME", None)

    def run(self, *arguments, **more):
        return subprocess.run([PROGRAM, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE,
                              env=self.environment, text=True, **more)

    def config(self, name):
        return f"{self.directory}/.config/trunkline/{name}"

    def key(self, *arguments):
        result = self.run("key", *arguments)
        assert result.returncode == EQUAL, result.stderr
        return result.stdout.strip()

    def id(self, file="node.pem"):
        """The id of a key, which is made if need be."""
        path = self.config(file)
        if not os.path.exists(path):
            return self.key("new", "--key", path)
        return self.key("show", "--key", path).split()[0]


def started(home, *arguments, lines=1):
    return cases.Started(PROGRAM, *arguments, lines=lines, env=home.environment)


def with_home(test):
    @functools.wraps(test)
    def run_it():
        with tempfile.TemporaryDirectory() as directory:
            os.mkdir(f"{directory}/here")
            os.mkdir(f"{directory}/there")
            return test(Home(f"{directory}/here"), Home(f"{directory}/there"))
    return run_it


def expect(result, code, *texts):
    assert result.returncode == code, f"exit code {result.returncode} instead of {code}: {result.stderr}{result.stdout}"
    for text in texts:
        assert text in result.stderr, f"{text!r} is not in {result.stderr!r}"
    return result


def content(home):
    os.makedirs(f"{home.directory}/tree", exist_ok=True)
    with open(f"{home.directory}/tree/file", "w", encoding="utf-8") as file:
        file.write("content")
    return f"{home.directory}/tree"


# --- keys as files

@with_home
def test_a_new_key_is_private_and_is_never_overwritten(here, _):
    made = here.key("new")
    assert len(made) == 22
    path = here.config("node.pem")
    assert os.stat(path).st_mode & 0o777 == 0o600 and os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    expect(here.run("key", "new"), USAGE, "is there already and stays as it is")
    assert here.key("show").split()[0] == made


@with_home
def test_a_key_that_others_can_read_is_refused_by_name(here, _):
    here.key("new")
    os.chmod(here.config("node.pem"), 0o644)
    expect(here.run("key", "show"), FILE, here.config("node.pem"), "0644", "expected 0600")
    expect(here.run("serve", "--root", here.directory, "--listen", "tls://127.0.0.1:0"), FILE, "expected 0600")


@with_home
def test_known_nodes_are_trusted_named_and_forgotten(here, there):
    other = there.id()
    here.key("trust", other, "--name", "laptop", "--at", "tls://h:1")
    assert f"{other}  laptop  tls://h:1" in here.key("show")
    expect(here.run("key", "trust", here.id(), "--name", "laptop"), USAGE, "is that of " + other)
    expect(here.run("key", "trust", "nonsense"), USAGE, "is no node id")
    here.key("forget", "laptop")
    assert other not in here.key("show")
    expect(here.run("key", "forget", other), USAGE, "is not known")


@with_home
def test_the_first_start_makes_a_key_and_says_so(here, _):
    with started(here, "serve", "--root", here.directory, "--listen", "tls://127.0.0.1:0") as serve:
        serve.waits_for("made the key")
        assert serve.address.endswith("#" + here.id())


# --- trees and messages over TLS: only the address differs

@with_home
def test_a_tree_is_pushed_and_pulled_between_nodes_that_trust_each_other(here, there):
    here.key("trust", there.id("client.pem"))
    with started(here, "serve", "--root", here.directory, "--listen", "tls://127.0.0.1:0") as serve:
        expect(there.run("sync", content(there), f"{serve.address}/got"), EQUAL)
        with open(f"{here.directory}/got/file", encoding="utf-8") as file:
            assert file.read() == "content"
        expect(there.run("sync", f"{serve.address}/got", f"{there.directory}/back"), EQUAL)
        assert os.path.exists(f"{there.directory}/back/file")
        assert serve.end() == EQUAL


@with_home
def test_whoever_is_not_trusted_hears_why_on_both_sides(here, there):
    with started(here, "serve", "--root", here.directory, "--listen", "tls://127.0.0.1:0") as serve:
        place = serve.address.split("#")[0]
        tree = content(there)
        expect(there.run("sync", tree, f"{place}/got"), PROTOCOL, f"shows the key {here.id()}, which is not known here")
        expect(there.run("sync", tree, f"{place}#{there.id()}/got"), PROTOCOL, here.id(), f"expected {there.id()}")
        expect(there.run("sync", tree, f"{serve.address}/got"), PROTOCOL,
               f"does not know this node's key {there.id('client.pem')}")
        serve.waits_for("unknown key")
        expect(there.run("sync", tree, f"{place}#nonsense/got"), USAGE, "the 22 characters of a node's id")


@with_home
def test_strangers_are_remembered_when_that_is_asked_for(here, there):
    with started(here, "serve", "--root", here.directory, "--listen", "tls://127.0.0.1:0", "--strangers", "accept") as serve:
        place = serve.address.split("#")[0]
        tree = content(there)
        expect(there.run("sync", "--strangers", "remember", tree, f"{place}/got"), EQUAL, "a new key, " + here.id(), "compare it")
        expect(there.run("sync", tree, f"{place}/got"), EQUAL)
        assert place in there.key("show")


@with_home
def test_a_new_key_is_taken_on_sighup_and_the_old_one_still_leads_to_it(here, there):
    old = here.id()
    here.key("trust", there.id("client.pem"))
    with started(here, "serve", "--root", here.directory, "--listen", "tls://127.0.0.1:0") as serve:
        new = here.run("key", "rotate")
        expect(new, EQUAL, old)
        assert os.path.exists(here.config(f"node.pem.{old}")) and here.id() == new.stdout.strip() != old
        serve.process.send_signal(signal.SIGHUP)
        serve.waits_for("read again")
        tree = content(there)
        expect(there.run("sync", tree, f"{serve.address}/got"), EQUAL)  # pinned to the old key
        expect(there.run("sync", tree, f"{serve.address.split('#')[0]}#{here.id()}/got"), EQUAL)
        assert serve.end() == EQUAL


@with_home
def test_a_policy_decides_who_may_sync_and_is_read_again(here, there):
    here.key("trust", there.id("client.pem"), "--name", "laptop")
    policy = f"{here.directory}/policy"
    with open(policy, "w", encoding="utf-8") as file:
        file.write("allow desk to sync\n")
    os.chmod(policy, 0o644)
    with started(here, "serve", "--root", here.directory, "--listen", "tls://127.0.0.1:0", "--policy", policy) as serve:
        tree = content(there)
        expect(there.run("sync", tree, f"{serve.address}/got"), PROTOCOL, "is not open to", "no line of", "allows it")
        serve.waits_for("is not open to " + there.id("client.pem") + " (laptop)")
        with open(policy, "w", encoding="utf-8") as file:
            file.write("allow laptop to *\n")
        serve.process.send_signal(signal.SIGHUP)
        serve.waits_for("read again")
        expect(there.run("sync", tree, f"{serve.address}/got"), EQUAL)
        with open(policy, "w", encoding="utf-8") as file:
            file.write("nonsense\n")
        serve.process.send_signal(signal.SIGHUP)
        serve.waits_for("not read again")
        expect(there.run("sync", tree, f"{serve.address}/got"), EQUAL)


@with_home
def test_messages_pass_over_tls(here, there):
    here.key("trust", there.id("client.pem"))
    with started(here, "net", "listen", "--listen", "tls://127.0.0.1:0", "--channel", "chat", lines=2) as listen:
        expect(there.run("net", "send", listen.address, "chat", "hello"), EQUAL)
        assert listen.process.stdout.readline() == f"chat {there.id('client.pem')}: hello\n"
        shown = expect(there.run("net", "peers", listen.address), EQUAL)
        assert there.id("client.pem") in shown.stdout


@with_home
def test_plain_text_to_other_machines_is_asked_for_on_both_sides(here, there):
    expect(here.run("serve", "--root", here.directory, "--listen", "tcp://0.0.0.0:0"), USAGE, "--insecure")
    expect(there.run("sync", content(there), "tcp://192.0.2.1:1/x"), USAGE, "nothing encrypts it", "--insecure")
    expect(there.run("net", "send", "tcp://192.0.2.1:1", "chat", "hello"), USAGE, "--insecure")
    with started(here, "serve", "--root", here.directory, "--listen", "tcp://0.0.0.0:0", "--insecure") as serve:
        serve.waits_for("is not encrypted")


# --- OpenSSL's own programs as far sides

def s_client(address, *arguments, send=b""):
    place = address.removeprefix("tls://").split("#")[0]
    result = subprocess.run(["openssl", "s_client", "-connect", place, "-ign_eof", *arguments], input=send, capture_output=True,
                            timeout=PATIENCE, check=False)
    return (result.stdout + result.stderr).decode("utf-8", "replace")


@with_home
def test_openssl_s_client_sees_what_it_should(here, there):
    key = there.config("client.pem")
    here.key("trust", there.id("client.pem"))
    shown = ["-cert", key, "-key", key]
    with started(here, "serve", "--root", here.directory, "--listen", "tls://127.0.0.1:0") as serve:
        good = s_client(serve.address, *shown, "-alpn", "trunkline", "-reconnect")
        for text in ("New, TLSv1.3", "ALPN protocol: trunkline", "Peer signature type: ed25519", f"CN = {here.id()}", "TRNK"):
            assert text in good, f"{text!r} is not in {good}"
        assert good.count("New, TLSv1.3") > 1 and "Reused" not in good, good  # -reconnect: no session is resumed
        for arguments, text in ((["-tls1_2"], "alert protocol version"), (["-groups", "P-521"], "alert handshake failure"),
                                (["-ciphersuites", "TLS_AES_128_CCM_8_SHA256"], "alert handshake failure"),
                                (["-alpn", "h2"], "alert no application protocol")):
            refused = s_client(serve.address, *shown, *(["-alpn", "trunkline"] if "-alpn" not in arguments else []), *arguments)
            assert text in refused and "TRNK" not in refused, f"{arguments}: {refused}"
        anonymous = s_client(serve.address, "-alpn", "trunkline")
        assert "certificate required" in anonymous and "TRNK" not in anonymous, anonymous
        stranger = s_client(serve.address, "-cert", here.config("node.pem"), "-key", here.config("node.pem"), "-alpn", "trunkline")
        assert "alert" in stranger and "TRNK" not in stranger, stranger


@with_home
def test_a_key_that_an_authority_has_certified_is_trusted_for_its_host(here, there):
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=PATIENCE)

    for home, file, name in ((here, "node.pem", "IP:127.0.0.1"), (there, "client.pem", "DNS:laptop.example")):
        home.id(file)
        directory, key = home.directory, home.config(file)
        if home is here:
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{directory}/ca.key",
                    "-out", f"{directory}/ca.pem", "-days", "2", "-subj", "/CN=authority")
        openssl("req", "-new", "-key", key, "-out", f"{directory}/request", "-subj", "/CN=node", "-addext", f"subjectAltName={name}")
        openssl("x509", "-req", "-in", f"{directory}/request", "-CA", f"{here.directory}/ca.pem", "-CAkey", f"{here.directory}/ca.key",
                "-days", "2", "-copy_extensions", "copyall", "-out", f"{directory}/certificate")
        with open(key, encoding="utf-8") as file:
            private = file.read().split("-----BEGIN CERTIFICATE")[0]
        with open(f"{directory}/certificate", encoding="utf-8") as file:
            certificate = file.read()
        with open(key, "w", encoding="utf-8") as file:
            file.write(private + certificate)
    authority = ["--authority", f"{here.directory}/ca.pem"]
    tree = content(there)
    with started(here, "serve", "--root", here.directory, "--listen", "tls://127.0.0.1:0", *authority) as serve:
        place = serve.address.split("#")[0]
        expect(there.run("sync", tree, f"{place}/got"), PROTOCOL, "which is not known here")
        expect(there.run("sync", *authority, tree, f"{place}/got"), EQUAL)
        other = place.replace("127.0.0.1", "localhost")
        expect(there.run("sync", *authority, tree, f"{other}/got"), PROTOCOL, "certified for node alone")


class SServer:
    """A running `openssl s_server`."""
    def __init__(self, home, *arguments):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        key = home.config("node.pem")
        self.process = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-cert", key, "-key", key,
                                         "-naccept", "1", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        while b"ACCEPT" not in (line := self.process.stdout.readline()):
            assert line, "s_server has ended"

    def __enter__(self):
        return f"tls://127.0.0.1:{self.port}"

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


@with_home
def test_openssl_s_server_is_told_what_is_wrong_with_it(here, there):
    tree = content(there)
    there.key("trust", here.id())
    for arguments, text in ((["-tls1_2"], "speaks no TLS 1.3"), ([], 'does not name the protocol "trunkline"'),
                            (["-alpn", "h2"], 'but not "trunkline"')):
        with SServer(here, *arguments) as address:
            expect(there.run("sync", tree, f"{address}/got"), PROTOCOL, text)
    there.id()
    with SServer(there) as address:
        expect(there.run("sync", tree, f"{address}/got"), PROTOCOL, "which is not known here")


@with_home
def test_a_port_that_speaks_no_tls_is_named(here, there):
    tree = content(there)
    with started(here, "serve", "--root", here.directory, "--listen", "tcp://127.0.0.1:0") as serve:
        plain = serve.address.replace("tcp://", "tls://")
        expect(there.run("sync", tree, f"{plain}/got"), PROTOCOL, "does not speak TLS: it says a trunk without TLS")
    with started(here, "serve", "--root", here.directory, "--listen", "tls://127.0.0.1:0") as serve:
        encrypted = serve.address.split("#")[0].replace("tls://", "tcp://")
        expect(there.run("sync", tree, f"{encrypted}/got"), SOCKET, "closed the connection")
        serve.waits_for("no tls")


if __name__ == "__main__":
    sys.exit(cases.run(globals(), sys.argv[2] if len(sys.argv) > 2 else ""))
