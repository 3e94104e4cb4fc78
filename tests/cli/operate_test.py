#!/usr/bin/env python3
"""Operates the programs that run for long, as an administrator, logrotate, systemd or a monitoring would.

usage: operate_test.py TRUNKLINE [PART-OF-A-NAME]

Each test_* function is one test. Nothing here sleeps: tests wait for lines, for words on sockets, or for ends of processes.
"""
import ctypes
import functools
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import tomllib
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cases

PROGRAM = os.path.abspath(sys.argv[1])
PATIENCE = cases.PATIENCE
EQUAL, USAGE, SOCKET, FILE, TRY_AGAIN = 0, 1, 10, 11, 75


Started = functools.partial(cases.Started, PROGRAM)


def serve(here, *words, **options):
    os.makedirs(f"{here}/root", exist_ok=True)
    return Started("serve", "--root", f"{here}/root", "--listen", "tcp://127.0.0.1:0", *words, **options)


def run(*words, **options):
    return subprocess.run([PROGRAM, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
                          **options)


def expect(result, code, *texts):
    assert result.returncode == code, f"exit code {result.returncode} instead of {code}: {result.stderr}{result.stdout}"
    for text in texts:
        assert text in result.stderr + result.stdout, f"{text!r} is not in {result.stderr + result.stdout!r}"
    return result


def tree(here, count=3, size=1000):
    for i in range(count):
        os.makedirs(f"{here}/from/d{i % 10}", exist_ok=True)
        with open(f"{here}/from/d{i % 10}/f{i}", "wb") as file:
            file.write(os.urandom(size))
    return f"{here}/from"


def sync_under_way(source, address):
    client = subprocess.Popen([PROGRAM, "sync", "--verbose", source, address], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
    client.stdout.read(1)
    return client


def with_directory(test):
    @functools.wraps(test)
    def run_it():
        with tempfile.TemporaryDirectory(prefix="trunkline-operate-") as directory:
            return test(directory)
    return run_it


class NotifySocket:
    """What systemd hears."""
    def __init__(self, here):
        self.path = f"{here}/notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(PATIENCE)

    def environment(self, **more):
        return {**os.environ, "NOTIFY_SOCKET": self.path, **more}

    def next(self):
        return self.socket.recv(4096).decode()


# --- signals

@with_directory
def test_neither_hangup_nor_usr1_ends_a_server_in_the_middle_of_a_sync(here):
    source = tree(here, 3000)
    with serve(here) as server:
        client = sync_under_way(source, server.address)
        server.send(signal.SIGHUP)
        server.send(signal.SIGUSR1)
        server.waits_for("SIGHUP: there is nothing to be read again")
        server.waits_for("SIGUSR1: the log is no file")
        client.communicate(timeout=PATIENCE)
        assert client.returncode == EQUAL
        assert server.process.poll() is None and server.end() == EQUAL


@with_directory
def test_hangups_do_not_shorten_the_grace_of_a_server_that_ends(here):
    source = tree(here, 2000)
    with serve(here, "--grace", 50) as server:
        client = sync_under_way(source, server.address)
        client.send_signal(signal.SIGSTOP)
        server.send(signal.SIGTERM)
        server.waits_for("SIGTERM: ending")
        server.send(signal.SIGHUP)
        server.waits_for("SIGHUP: ")
        client.send_signal(signal.SIGCONT)
        client.communicate(timeout=PATIENCE)
        assert client.returncode == EQUAL
        assert server.process.wait(PATIENCE) == EQUAL


@with_directory
def test_a_successor_binds_while_its_predecessor_lets_syncs_end(here):
    source = tree(here, 2000)
    with serve(here, "--grace", 50) as server:
        client = sync_under_way(source, server.address)
        client.send_signal(signal.SIGSTOP)
        server.send(signal.SIGTERM)
        server.waits_for("no longer listening")
        with Started("serve", "--root", f"{here}/root", "--listen", server.address) as successor:
            expect(run("sync", f"{source}/d1", f"{server.address}/other"), EQUAL)
            assert server.process.poll() is None
            client.send_signal(signal.SIGCONT)
            client.communicate(timeout=PATIENCE)
            assert client.returncode == EQUAL
            assert server.process.wait(PATIENCE) == EQUAL and successor.end() == EQUAL


@with_directory
def test_listen_takes_the_same_signals(here):
    with Started("net", "listen", "--listen", "tcp://127.0.0.1:0", "--channel", "c", "--log-level", "info", lines=2) as node:
        node.send(signal.SIGHUP)
        node.waits_for("SIGHUP: ")
        node.send(signal.SIGUSR1)
        node.waits_for("SIGUSR1: ")
        assert node.end() == EQUAL


# --- logs

@with_directory
def test_a_sync_leaves_a_line_that_says_who_from_where_what_how_much_and_how_long(here):
    source = tree(here)
    with serve(here) as server:
        expect(run("sync", source, f"{server.address}/new"), EQUAL)
        line = server.waits_for("pushes into")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d info    tcp://127\.0\.0\.1:\d+ \(node [^,]+, not proven\) "
                            r'pushes into "new": 3 files, 3000 bytes, 0 deleted, 0 errors in \d+\.\d{3} s.*\n', line), line


@with_directory
def test_json_logs_have_the_same_in_members(here):
    source = tree(here)
    with serve(here, "--log-format", "json") as server:
        expect(run("sync", source, f"{server.address}/new"), EQUAL)
        expect(run("sync", f"{server.address}/missing", f"{here}/to"), FILE)
        line = json.loads(server.waits_for("pushes into"))
        assert line["level"] == "info" and line["event"] == "sync" and line["direction"] == "push" and line["path"] == "new", line
        assert (line["files"], line["bytes"], line["errors"]) == (3, 3000, 0) and line["seconds"] >= 0, line
        assert line["remote"].startswith("tcp://127.0.0.1:") and len(line["node"]) == 22 and line["identity"] is None, line
        failed = json.loads(server.waits_for("failed"))
        assert failed["level"] == "warning" and "missing" in failed["failure"], failed
        assert server.end() == EQUAL
        assert all(isinstance(json.loads(line), dict) for line in server.log)


@with_directory
def test_json_lines_about_a_connection_have_its_link(here):
    with serve(here, "--log-format", "json", "--log-level", "debug") as server:
        expect(run("sync", tree(here), f"{server.address}/new"), EQUAL)
        expect(run("sync", f"{server.address}/new", f"{here}/to"), EQUAL)
        assert server.end() == EQUAL
        links = [json.loads(line) for line in server.log]
        syncs = {line["remote"]: line["link"] for line in links if line.get("event") == "sync"}
        assert sorted(syncs.values()) == [1, 2], syncs
        over = [line for line in links if " is over" in line["text"]]
        assert len(over) == 2, links
        for remote, number in syncs.items():
            about = [line for line in links if re.search(rf"{remote}[ :]", line["text"]) and " is open" not in line["text"]]
            assert len(about) >= 2 and all(line["link"] == number and line["remote"] == remote for line in about), about


@with_directory
def test_the_identity_of_who_syncs_is_in_the_log(here):
    there = {**os.environ, "HOME": f"{here}/there"}
    own = {**os.environ, "HOME": f"{here}/own"}
    os.makedirs(f"{here}/root")
    os.makedirs(f"{here}/there"), os.makedirs(f"{here}/own")
    source = tree(here)
    key = run("key", "new", "--key", f"{here}/there/.config/trunkline/client.pem", env=there).stdout.strip()
    expect(run("key", "trust", key, "--name", "laptop", env=own), EQUAL)
    with Started("serve", "--root", f"{here}/root", "--listen", "tls://127.0.0.1:0", "--log-format", "json", env=own) as server:
        expect(run("sync", source, f"{server.address}/new", env=there), EQUAL)
        line = json.loads(server.waits_for("pushes into"))
        assert line["identity"] == f"{key} (laptop)" and f"({key} (laptop)) pushes" in line["text"], line


@with_directory
def test_a_log_file_is_opened_again_when_it_was_moved(here):
    source = tree(here)
    with serve(here, "--log-file", f"{here}/log") as server:
        expect(run("sync", source, f"{server.address}/one"), EQUAL)
        os.rename(f"{here}/log", f"{here}/log.1")
        expect(run("sync", source, f"{server.address}/two"), EQUAL)
        server.send(signal.SIGUSR1)
        while not os.path.exists(f"{here}/log"):
            expect(run("sync", source, f"{server.address}/until"), EQUAL)
        expect(run("sync", source, f"{server.address}/three"), EQUAL)
        assert server.end() == EQUAL
        assert server.log == []
        with open(f"{here}/log.1", encoding="utf-8") as file:
            old = file.read()
        with open(f"{here}/log", encoding="utf-8") as file:
            new = file.read()
        assert '"one"' in old and '"two"' in old and '"three"' not in old, old
        assert "SIGUSR1: this is the log from here on" in new and '"three"' in new, new


@with_directory
def test_what_cannot_be_logged_to_is_said_at_the_start(here):
    os.makedirs(f"{here}/root")
    expect(run("serve", "--root", f"{here}/root", "--listen", "tcp://127.0.0.1:0", "--log-file", f"{here}/no/log"), FILE, "cannot open")


@with_directory
def test_the_journal_gets_priorities_and_no_second_time(here):
    # As systemd has it: standard error is a socket, and the environment says which.
    ours, theirs = socket.socketpair()
    status = os.fstat(theirs.fileno())
    os.makedirs(f"{here}/root")
    process = subprocess.Popen([PROGRAM, "serve", "--root", f"{here}/root", "--listen", "tcp://127.0.0.1:0"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=theirs, text=True,
                               env={**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    try:
        theirs.close()
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        ours.settimeout(PATIENCE)
        assert ours.recv(1000).decode() == "<6>SIGHUP: there is nothing to be read again\n"
    finally:
        process.kill()
        process.wait()
        ours.close()


@with_directory
def test_lines_that_repeat_have_one_limit(here):
    with serve(here) as server:
        for _ in range(30):
            server.send(signal.SIGUSR1)
            if len(server.log) < 10:
                server.waits_for("SIGUSR1")
        assert server.end() == EQUAL
        assert sum("SIGUSR1" in line for line in server.log) <= 20, server.log  # ten in each ten seconds


# --- the service manager

@with_directory
def test_systemd_hears_ready_alive_reloading_and_stopping(here):
    manager = NotifySocket(here)
    with serve(here, env=manager.environment(WATCHDOG_USEC="400000")) as server:
        assert manager.next() == f"READY=1\nSTATUS=serving {here}/root"
        assert [manager.next() for _ in range(3)] == ["WATCHDOG=1"] * 3
        server.send(signal.SIGHUP)
        words = [manager.next() for _ in range(20)]
        reloading = next(i for i, word in enumerate(words) if word.startswith("RELOADING=1\nMONOTONIC_USEC="))
        assert any(word.startswith("READY=1") for word in words[reloading:]), words
        server.send(signal.SIGTERM)
        while manager.next() != "STOPPING=1":
            pass
        assert server.process.wait(PATIENCE) == EQUAL


@with_directory
def test_the_watchdog_of_another_process_is_not_ours(here):
    manager = NotifySocket(here)
    with serve(here, env=manager.environment(WATCHDOG_USEC="2000", WATCHDOG_PID="1")) as server:
        assert manager.next().startswith("READY=1")
        server.send(signal.SIGTERM)
        assert manager.next() == "STOPPING=1"
        assert server.process.wait(PATIENCE) == EQUAL


@with_directory
def test_net_listen_tells_systemd_too(here):
    manager = NotifySocket(here)
    with Started("net", "listen", "--listen", "tcp://127.0.0.1:0", "--channel", "c", lines=2, env=manager.environment()) as node:
        assert manager.next().startswith("READY=1")
        assert node.end() == EQUAL
        assert manager.next() == "STOPPING=1"


@with_directory
def test_sockets_that_systemd_hands_over_are_listened_on(here):
    source = tree(here)
    os.makedirs(f"{here}/root")
    with socket.create_server(("127.0.0.1", 0)) as handed:
        port = handed.getsockname()[1]
        shell = ["sh", "-c", f'exec 3<&{handed.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"', "sh"]
        started = Started("serve", "--root", f"{here}/root", "--listen", f"tcp://127.0.0.1:{port}", shell=shell, pass_fds=(handed.fileno(),))
    with started as server:
        assert server.address == f"tcp://127.0.0.1:{port}"
        expect(run("sync", source, f"{server.address}/new"), EQUAL)
        assert "tcp://127.0.0.1:" in server.waits_for("pushes into")
        assert server.end() == EQUAL
        assert "Address already in use" not in "".join(server.log)


@with_directory
def test_a_socket_that_is_handed_over_and_not_named_is_said(here):
    os.makedirs(f"{here}/root")
    with socket.create_server(("127.0.0.1", 0)) as handed:
        shell = ["sh", "-c", f'exec 3<&{handed.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"', "sh"]
        with Started("serve", "--root", f"{here}/root", "--listen", "tcp://127.0.0.1:0", shell=shell, pass_fds=(handed.fileno(),)) as server:
            server.waits_for(f"a socket for tcp://127.0.0.1:{handed.getsockname()[1]} was handed over")


NO_OPENAT2 = ((0x20, 0, 0, 0), (0x15, 0, 1, 437), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7fff0000))  # else as ever


def without_openat2():
    """As RestrictSUIDSGID= of systemd has it, which DynamicUser= implies: ENOSYS. A filter of seccomp on x86-64 and arm64."""
    code = b"".join(struct.pack("HBBI", *line) for line in NO_OPENAT2)
    held = ctypes.create_string_buffer(code)
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(NO_OPENAT2), ctypes.addressof(held)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0


@with_directory
def test_a_tree_is_served_in_the_sandbox_of_the_unit(here):
    source = tree(here)
    os.makedirs(f"{here}/root"), os.makedirs(f"{here}/outside")
    os.symlink(f"{here}/outside", f"{here}/root/link")
    with serve(here, preexec_fn=without_openat2) as server:
        expect(run("sync", source, f"{server.address}/new"), EQUAL)
        expect(run("sync", f"{server.address}/new", f"{here}/back"), EQUAL)
        assert sorted(os.listdir(f"{here}/back")) == sorted(os.listdir(source))
        expect(run("sync", source, f"{server.address}/new/d1/deeper"), EQUAL)
        expect(run("sync", source, f"{server.address}/link"), FILE, "symbolic link")
        assert os.listdir(f"{here}/outside") == []
        assert server.end() == EQUAL


# --- the admin port

LINE = re.compile(r'([a-z_]+)(?:\{([a-z]+)="((?:[^"\\\\\n]|\\\\["\\\\n])*)"\})? (-?[0-9.e+]+|NaN|[+-]Inf)')


def get(base, path, code=200, **fields):
    request = urllib.request.Request(base.rstrip("/") + path, headers=fields)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        status, text = refused.code, refused.read().decode()
    assert status == code, (status, text)
    return text


def samples(text):
    """Prometheus' text format, strictly: the samples by name and label, each behind the HELP and TYPE of its family."""
    values, kinds, family = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
            assert family not in kinds, line
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family and kind in ("counter", "gauge"), line
            kinds[name] = kind
        else:
            match = LINE.fullmatch(line)
            assert match and match[1] == family and family in kinds, line
            key = (match[1], match[3]) if match[2] else match[1]
            assert key not in values, line
            values[key] = float(match[4])
    assert text.endswith("\n")
    return values


def admin_of(started):
    line = next(line for line in started.said if line.startswith("admin at "))
    return line.removeprefix("admin at ")


@with_directory
def test_serve_is_scraped_and_its_syncs_are_counted(here):
    source = tree(here)
    with serve(here, "--admin", "127.0.0.1:0", lines=2) as server:
        admin = admin_of(server)
        assert get(admin, "/healthz") == "ok\n" and get(admin, "/readyz") == "ready\n"
        before = samples(get(admin, "/metrics"))
        assert before["trunkline_sync_files_total"] == 0 and before["process_open_fds"] > 3, before
        expect(run("sync", source, f"{server.address}/new"), EQUAL)
        expect(run("sync", f"{server.address}/missing", f"{here}/to"), FILE)
        server.waits_for("failed")
        after = samples(get(admin, "/metrics"))
        assert (after["trunkline_syncs_total", "done"], after["trunkline_syncs_total", "failed"]) == (1, 1), after
        assert (after["trunkline_sync_files_total"], after["trunkline_sync_bytes_total"]) == (3, 3000), after
        assert after["trunkline_links_opened_total"] == 2 and after["trunkline_link_bytes_received_total"] > 3000, after
        assert server.end() == EQUAL


@with_directory
def test_a_sync_that_stands_still_is_seen_with_what_it_waits_for(here):
    source = tree(here, 4, 30_000_000)
    with serve(here, "--admin", "127.0.0.1:0", "--log-format", "json", lines=2) as server:
        admin = admin_of(server)
        expect(run("sync", f"{source}/d1", f"{server.address}/"), EQUAL)
        client = subprocess.Popen([PROGRAM, "sync", f"{server.address}/", f"{here}/to"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            links = []
            while not any(link["bytes_sent"] > 1_000_000 for link in links):
                links = json.loads(get(admin, "/links"))["links"]
                if client.poll() is not None:
                    break
            client.send_signal(signal.SIGSTOP)
            if client.poll() is None:
                link = json.loads(get(admin, "/links"))["links"][-1]
                assert link["remote"].startswith("tcp://127.0.0.1:") and link["circuits"] >= 1, link
                circuits = json.loads(get(admin, f"/circuits?link={link['link']}"))["circuits"]
                assert circuits and {circuit["link"] for circuit in circuits} == {link["link"]}, circuits
                shown = expect(run("top", admin, "--once"), EQUAL).stdout
                assert "WAITS FOR" in shown and "sync" in shown, shown
        finally:
            client.send_signal(signal.SIGCONT)
            client.communicate(timeout=PATIENCE)
        assert client.returncode == EQUAL


@with_directory
def test_a_server_that_ends_has_let_go_of_all_its_addresses(here):
    """Every medium, the page, and the admin port: a successor with the same command line binds while syncs still run."""
    source = tree(here, 2000, 20_000)  # more than sockets hold
    home = {**os.environ, "HOME": here}
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", f"{here}/web.key", "-out", f"{here}/web.pem"],
                   check=True, capture_output=True)
    os.chmod(f"{here}/web.key", 0o600)
    for web in ((), ("--web-certificate", f"{here}/web.pem", "--web-key", f"{here}/web.key")):
        root = f"{here}/root{len(web)}"  # empty, so that a sync has much to do
        os.makedirs(root)
        words = ("serve", "--root", root, "--grace", 50)
        listened = ("--listen", "tcp://127.0.0.1:0", "--listen", "tls://127.0.0.1:0", "--listen", f"unix:{here}/socket",
                    "--web=127.0.0.1:0", *web, "--admin=127.0.0.1:0")
        with Started(*words, *listened, lines=6, env=home) as server:
            tcp, tls, unix, page = (line.removeprefix("listening on ").partition("#")[0] for line in server.said[:4])
            assert page.startswith("wss://" if web else "ws://") and tls.startswith("tls://"), server.said
            client = sync_under_way(source, server.address)
            client.send_signal(signal.SIGSTOP)
            server.send(signal.SIGTERM)
            server.waits_for("no longer listening")
            again = ("--listen", tcp, "--listen", tls, "--listen", unix, f"--web={page.partition('//')[2]}", *web,
                     f"--admin={admin_of(server).removeprefix('http://').rstrip('/')}")
            with Started(*words, *again, lines=6, env=home) as successor:
                assert [line.partition("#")[0] for line in successor.said] == [line.partition("#")[0] for line in server.said]
                assert get(admin_of(successor), "/readyz") == "ready\n"
                expect(run("sync", f"{source}/d1", f"{tcp}/other", env=home), EQUAL)
                assert server.process.poll() is None, server.log
                client.send_signal(signal.SIGCONT)
                client.communicate(timeout=PATIENCE)
                assert client.returncode == EQUAL
                assert server.process.wait(PATIENCE) == EQUAL and successor.end() == EQUAL


@with_directory
def test_the_admin_port_stays_on_this_machine_unless_told(here):
    os.makedirs(f"{here}/root")
    serve_here = ("serve", "--root", f"{here}/root", "--listen", "tcp://127.0.0.1:0", "--admin")
    expect(run(*serve_here, "0.0.0.0:0"), USAGE, "--admin-public")
    expect(run(*serve_here, "nonsense"), USAGE, "neither HOST:PORT nor unix:/path")
    with serve(here, "--admin", "0.0.0.0:0", "--admin-public", lines=2) as server:
        port = admin_of(server).rstrip("/").rpartition(":")[2]
        get(f"http://127.0.0.1:{port}", "/metrics", Host="any.example")
    with serve(here, "--admin", "127.0.0.1:0", lines=2) as server:
        get(admin_of(server), "/links", 403, Host="any.example")
        get(admin_of(server), "/links", 200, Host="localhost")


@with_directory
def test_the_admin_port_of_a_unix_socket_is_shown_by_top(here):
    with serve(here, "--admin", f"unix:{here}/admin", lines=2) as server:
        assert admin_of(server) == f"unix:{here}/admin"
        assert "links 0" in expect(run("top", f"unix:{here}/admin", "--once"), EQUAL).stdout


def test_top_says_what_is_not_there():
    expect(run("top", "nowhere", "--once"), USAGE, "neither HOST:PORT nor unix:/path")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    expect(run("top", f"127.0.0.1:{port}", "--once"), SOCKET, "cannot connect")


def test_listen_is_scraped():
    with Started("net", "listen", "--listen", "tcp://127.0.0.1:0", "--channel", "chat", "--admin", "127.0.0.1:0", lines=3) as node:
        expect(run("net", "send", node.address, "chat", "hello"), EQUAL)
        assert node.process.stdout.readline().endswith(": hello\n")
        values = samples(get(admin_of(node), "/metrics"))
        assert values["trunkline_network_messages_received_total"] == 1 and values["trunkline_links_opened_total"] >= 1, values
        assert get(admin_of(node), "/readyz") == "ready\n"


# --- configuration

def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


@with_directory
def test_a_file_says_what_the_command_line_leaves_out(here):
    os.makedirs(f"{here}/root")
    source = tree(here)
    file = write(f"{here}/serve.toml", f"""
root = "{here}/root"   # the tree
listen = [
  "tcp://127.0.0.1:0",
  "unix:{here}/socket",
]
read-only = true
admin = "127.0.0.1:0"
log-format = "json"

[limits]
answered_max = 3
fragment_bytes_max = "8M"
""")
    with Started("serve", "--config", file, lines=3) as server:
        assert server.said[1] == f"listening on unix:{here}/socket" and get(admin_of(server), "/healthz") == "ok\n"
        expect(run("sync", source, f"{server.address}/new"), 12, "read only")
        json.loads(server.waits_for("read only"))
    with Started("serve", "--config", file, "--listen", "tcp://127.0.0.1:0", "--log-format=text", lines=2) as server:  # it has the last word
        assert server.said[1].startswith("admin at "), server.said
        expect(run("sync", source, f"{server.address}/new"), 12)
        assert not server.waits_for("read only").startswith("{")
    environment = {**os.environ, "TRUNKLINE_CONFIG": file, "TRUNKLINE_LOG_FORMAT": "text", "TRUNKLINE_READ_ONLY": "false"}
    with Started("serve", lines=3, env=environment) as server:
        expect(run("sync", source, f"{server.address}/new"), EQUAL)
        assert " info " in server.waits_for("pushes into")


@with_directory
def test_what_is_wrong_in_a_file_is_said_with_its_line(here):
    os.makedirs(f"{here}/root")
    good = f'root = "{here}/root"\nlisten = "tcp://127.0.0.1:0"\n'
    for text, where, words in (("lissten = 1", 3, ('serve has no setting "lissten"', 'did you mean listen')),
                               ("grace = 999999", 3, ("--grace",)),
                               ("grace = true", 3, ("grace: expected a value, seen true or false",)),
                               ("read-only = 1", 3, ("read-only: expected true or false, seen a number",)),
                               ("log-level = [1]", 3, ("log-level: expected one value, seen a list",)),
                               ("log-level = 2026-11-30", 3, ("log-level: expected a text or a number, seen a date or time",)),
                               ("\n[limit]\nx = 1", 4, ("limit: expected a text or a number, seen a table",)),
                               ("config = 'x'", 3, ('serve has no setting "config"',)),
                               ("grace = ", 3, ())):
        file = write(f"{here}/bad.toml", good + text + "\n")
        result = expect(run("serve", "--config", file), USAGE, f"{file}:{where}: ", *words)
        assert result.stderr.count("\n") == 1, result.stderr
    for text, words in (("answered_maxx = 1", (f"{here}/bad.toml:4: ", 'there is no limit "answered_maxx"', "did you mean answered_max")),
                        ("web.visitors = 1", (f"{here}/bad.toml:4: ", 'there is no limit "web.visitors"', "did you mean web.visitors_max")),
                        ("circuits_max = 'many'", (f"{here}/bad.toml:4: ", "limits.circuits_max: expected a number up to 4294967295",)),
                        ("circuits_max = 5000000000", (f"{here}/bad.toml:4: ", "limits.circuits_max: ",)),
                        ("stall_deadline = '1y'", (f"{here}/bad.toml:4: ", "limits.stall_deadline: expected a number of milliseconds",)),
                        ("redial.multiplier = 0.5", (f"{here}/bad.toml:4: ", "limits.redial.multiplier: expected a number from 1 to 1000",)),
                        ("circuits_max = 0", ("circuits_max is 0",))):
        expect(run("serve", "--config", write(f"{here}/bad.toml", f"{good}[limits]\n{text}\n")), USAGE, *words)
    for word, words in (("x=1", ('there is no limit "x"',)), ("circuits_max", ("expected NAME=VALUE",)),
                        ("circuits_max=much", ("limit circuits_max: expected a number",))):
        expect(run("serve", "--root", here, "--listen", "tcp://127.0.0.1:0", "--limit", word), USAGE, *words)
    expect(run("serve", "--config", f"{here}/missing.toml"), FILE, "missing.toml")
    expect(run("serve", "--config", write(f"{here}/part.toml", 'listen = "tcp://127.0.0.1:0"\n')), USAGE, "--root is required")


@with_directory
def test_settings_are_printed_with_where_they_come_from_and_can_be_read_again(here):
    file = write(f"{here}/serve.toml", 'grace = 3\nlisten = ["tcp://127.0.0.1:0"]\n[limits]\nanswered_max = 7\n')
    environment = {**os.environ, "TRUNKLINE_LOG_LEVEL": "warning"}
    shown = expect(run("serve", "--config", file, "--root", here, "-q", "--print-config", env=environment), EQUAL).stdout
    settings = tomllib.loads(shown)
    assert settings["grace"] == 3 and settings["root"] == here and settings["listen"] == ["tcp://127.0.0.1:0"], settings
    assert settings["limits"]["answered_max"] == 7 and settings["quiet"] is True and settings["log-format"] == "text", settings
    assert f"answered_max = 7 # {file}:4\n" in shown and 'idle_max = "60000ms" # default\n' in shown, shown
    assert f"grace = 3 # {file}:1\n" in shown and 'log-level = "warning" # TRUNKLINE_LOG_LEVEL\n' in shown, shown
    assert f'root = "{here}" # command line\n' in shown and 'strangers = "refuse" # default\n' in shown, shown
    again = expect(run("serve", "--config", write(f"{here}/again.toml", shown), "--print-config"), EQUAL).stdout
    assert tomllib.loads(again) == settings, again
    # Of one limit the command line says more than the environment, and that more than the file.
    environment = {**os.environ, "TRUNKLINE_LIMITS_PEERS_MAX": "5", "TRUNKLINE_LIMITS_ANSWERED_MAX": "6"}
    shown = expect(run("serve", "--config", file, "--limit", "peers_max=4", "--print-config", env=environment), EQUAL).stdout
    assert 'peers_max = 4 # command line\n' in shown and 'answered_max = 6 # TRUNKLINE_LIMITS_ANSWERED_MAX\n' in shown, shown


LIMITS_OF = {  # the structs whose limits are keys: where they are, which program has them, and what comes before the name
    ("circuit/limits.hpp", "Limits"): {"serve": "", "net": ""},
    ("peer/node.hpp", "NodeOptions"): {"serve": "", "net": ""},
    ("peer/backoff.hpp", "Backoff"): {"serve": "redial."},
    ("peer/channel/network.hpp", "NetworkOptions"): {"net": ""},
    ("transport/socket_options.hpp", "TcpOptions"): {"serve": "tcp.", "net": "tcp.", "slave": "tcp.", "master": "tcp."},
    ("transport/web_socket.hpp", "WebSocketOptions"): {"serve": "web."},
    ("services/admin/http.hpp", "HttpLimits"): {"serve": "admin.", "net": "admin.", "slave": "admin.", "master": "admin."},
    ("services/admin/port.hpp", "PortOptions"): {"serve": "admin.", "net": "admin.", "slave": "admin.", "master": "admin."},
    ("services/sync/service.hpp", "ServiceOptions"): {"serve": ""},
    ("services/sync/report.hpp", "Tuning"): {"serve": "tuning."},
    ("services/web/files.hpp", "FilesOptions"): {"serve": "files."},
    ("services/web/status.hpp", "StatusOptions"): {"serve": "status."},
    ("services/quarkchain/trunk/cluster_limits.hpp", "ClusterLimits"): {"slave": "", "master": ""},
    ("services/quarkchain/trunk/cluster_limits.hpp", "RpcLimits"): {"slave": "", "master": ""},
    ("services/quarkchain/cluster/cluster_connection.hpp", "ClusterConnectionsOptions"): {"slave": "", "master": ""},
    ("services/quarkchain/cluster/slave_pool.hpp", "SlavePoolOptions"): {"slave": "pool."},
    ("services/quarkchain/slave/peer_shard_service.hpp", "PeerShardLimits"): {"slave": "peer_shards."},
    ("services/quarkchain/slave/slave_node.hpp", "SlaveNodeOptions"): {"slave": ""},
    ("services/quarkchain/shards/shard_backend.hpp", "ShardBackendOptions"): {"slave": ""},
    ("services/quarkchain/ledger/ledger.hpp", "LedgerOptions"): {"slave": ""},
    ("services/quarkchain/master/master_node.hpp", "MasterNodeOptions"): {"master": ""},
    ("services/quarkchain/master/master_node.hpp", "PeerOptions"): {"master": "peers."},
    ("services/quarkchain/master/peer_root_service.hpp", "PeerRootLimits"): {"master": "peers.root."},
}
NO_KEYS = {  # other structs of options that have numbers, and why those are no keys of [limits]
    "AnswerOptions", "ServiceOptions", "BroadcastOptions", "CircuitOptions",  # of code that a program is made of, at its calls
    "LinksOptions", "FarLimits", "NativeMachineOptions", "ClusterMachineOptions",  # filled from others of the list
    "ClusterMasterOptions", "ClusterSlaveOptions", "BootOptions", "MachineSetup",
    "ComponentGroupOptions", "GossipOptions", "MachineOptions", "LinkOptions",  # of what none of the four programs runs
    "EngineSettings", "EngineDeadlines", "EngineProcessOptions", "EngineExecutorOptions", "Options",  # --el-..., and of a sync that one asks for
    "AddOptions",  # of the machine of one shard, for tests
    "SocketOptions",  # no limits: the system has them
}
NO_KEY = {  # members that are options of their own, or mean nothing there
    ("MasterNodeOptions", "boot_deadline"), ("MasterNodeOptions", "request_deadline"),
    ("PeerOptions", "version"), ("PeerOptions", "network_id"), ("PeerOptions", "port"),
}
SLAVE_ALONE = {"newcomers_max", "newcomers_per_host_max"}  # which its pool bounds
MEMBER = re.compile(r"^  (?:std::size_t|std::uint16_t|std::uint32_t|std::uint64_t|double|std::chrono::\w+|Duration) (\w+)(?: =\s[^;]+|\{[^}]*\});", re.MULTILINE)


def members(path, struct):
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    with open(os.path.join(root, path), encoding="utf-8") as file:
        text = re.sub(r"//[^\n]*", "", file.read())
    return MEMBER.findall(re.search(rf"^struct {struct}\b.*?^\}};", text, re.DOTALL | re.MULTILINE).group(0))


def keys_of(*words):
    def names(table, prefix=""):
        for key, value in table.items():
            yield from names(value, f"{prefix}{key}.") if isinstance(value, dict) else (prefix + key,)
    return set(names(tomllib.loads(expect(run(*words, "--print-config"), EQUAL).stdout)["limits"]))


def programs():
    has_quarkchain = "master" in run("quarkchain", "--help").stdout
    return {"serve": ("serve",), "net": ("net", "listen"),
            **({"slave": ("quarkchain", "slave"), "master": ("quarkchain", "master")} if has_quarkchain else {})}


def test_every_limit_of_the_headers_is_a_key_and_the_other_way_round():
    for program, words in programs().items():
        wanted = set()
        for (path, struct), prefixes in LIMITS_OF.items():
            if program not in prefixes:
                continue
            found = members(path, struct)
            assert found, (path, struct)
            wanted |= {prefixes[program] + name for name in found if (struct, name) not in NO_KEY and not (program == "slave" and name in SLAVE_ALONE)}
        assert keys_of(*words) == wanted, (program, keys_of(*words) ^ wanted)


def test_no_struct_of_limits_is_left_out_of_that():
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    known = {struct for _, struct in LIMITS_OF} | NO_KEYS
    for room in ("async", "circuit", "fragment", "peer", "transport", "services"):
        for directory, _, names in os.walk(os.path.join(root, room)):
            for name in (name for name in names if name.endswith(".hpp")):
                path = os.path.relpath(os.path.join(directory, name), root)
                with open(os.path.join(root, path), encoding="utf-8") as file:
                    structs = re.findall(r"^\s*struct (\w*(?:Options|Limits|Tuning|Settings|Deadlines|Backoff)) \{", file.read(), re.MULTILINE)
                for struct in structs:
                    assert struct in known or not members(path, struct), f"{path}: {struct} has limits that are no keys"


# --- reloading

def configured(here, text, *words, name="serve", **options):
    """A server with this file; write(file, ...) changes it."""
    os.makedirs(f"{here}/root", exist_ok=True)
    file = write(f"{here}/{name}.toml", f'root = "{here}/root"\nlisten = "tcp://127.0.0.1:0"\n{text}')
    return file, Started("serve", "--config", file, *words, **options)


def hangup(server, file, text, here):
    write(file, f'root = "{here}/root"\nlisten = "tcp://127.0.0.1:0"\n{text}')
    del server.log[:]
    server.send(signal.SIGHUP)
    server.waits_for(f"SIGHUP: read again: {file}")
    return [line for line in server.log if file in line]


@with_directory
def test_a_hangup_takes_level_and_format_and_file_of_the_log(here):
    file, started = configured(here, "")
    with started as server:
        lines = hangup(server, file, 'log-level = "debug"\nlog-format = "json"\n', here)
        assert json.loads(lines[0])["text"] == f"{file}: taken: log-format, log-level", lines
        expect(run("sync", f"{here}/root", server.address), EQUAL)
        assert json.loads(server.waits_for('"debug"'))["level"] == "debug"
        lines = hangup(server, file, "", here)
        assert " info " in lines[0], lines
        write(file, f'root = "{here}/root"\nlisten = "tcp://127.0.0.1:0"\nlog-file = "{here}/log"\n')
        server.send(signal.SIGHUP)
        wait_for_line(f"{here}/log", "SIGHUP: read again")


def wait_for_line(path, text):
    """Lines of a file, by a program that waits for them."""
    tail = subprocess.Popen(["tail", "-F", "-n", "+1", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        for line in tail.stdout:
            if text in line:
                return line
    finally:
        tail.kill()
        tail.wait()
        tail.stdout.close()


@with_directory
def test_a_hangup_names_what_needs_a_restart_again_until_it_was_undone(here):
    file, started = configured(here, "")
    with started as server:
        wanted = "read-only = true\n[limits]\npeers_max = 5\nanswered_max = 3\n"
        for _ in range(2):
            lines = hangup(server, file, wanted, here)
            for key in ("read-only", "limits.peers_max", "limits.answered_max"):
                assert any(f"{file}: {key} has changed and needs a restart" in line for line in lines), (key, lines)
        assert not any("needs a restart" in line for line in hangup(server, file, "", here))
        assert server.end() == EQUAL


@with_directory
def test_what_the_command_line_and_the_environment_say_stays_at_a_hangup(here):
    file, started = configured(here, "grace = 3\n", "--grace", "3", env={**os.environ, "TRUNKLINE_LOG_LEVEL": "info"})
    with started as server:
        lines = "".join(hangup(server, file, 'grace = 4\nlog-level = "error"\n', here))
        assert "grace has changed, and the command line has the last word" in lines, lines
        assert "log-level has changed, and TRUNKLINE_LOG_LEVEL has the last word" in lines, lines


@with_directory
def test_a_hangup_with_mistakes_takes_the_rest(here):
    file, started = configured(here, "")
    with started as server:
        lines = hangup(server, file, 'grace = 100000\nlog-level = "debug"\nadmin = "nowhere"\n', here)
        assert any(f"{file}:3: grace stays as it was: " in line and "86400" in line for line in lines), lines
        assert any(f"{file}:5: admin stays as it was: " in line and "neither HOST:PORT" in line for line in lines), lines
        assert any("taken: log-level" in line for line in lines), lines
        write(file, "nonsense")
        server.send(signal.SIGHUP)
        assert f"{file}:1: " in server.waits_for("not read again")
        assert server.end() == EQUAL


@with_directory
def test_a_hangup_opens_and_closes_the_admin_port(here):
    file, started = configured(here, "")
    with started as server:
        hangup(server, file, 'admin = "127.0.0.1:0"\n', here)
        admin = server.waits_for("admin at ").split("admin at ")[1].strip()
        assert get(admin, "/readyz") == "ready\n"
        hangup(server, file, f'admin = "unix:{here}/admin"\n', here)
        expect(run("top", admin, "--once"), SOCKET)
        expect(run("top", f"unix:{here}/admin", "--once"), EQUAL, "links 0")
        # A place that is taken: the old one stays.
        with socket.create_server(("127.0.0.1", 0)) as taken:
            lines = hangup(server, file, f'admin = "127.0.0.1:{taken.getsockname()[1]}"\n', here)
        assert any("admin stays as it was" in line for line in lines), lines
        expect(run("top", f"unix:{here}/admin", "--once"), EQUAL, "links 0")
        hangup(server, file, "admin = false\n", here)
        assert not os.path.exists(f"{here}/admin")
        assert server.end() == EQUAL


@with_directory
def test_a_hangup_listens_on_addresses_that_are_new(here):
    source = tree(here)
    file, started = configured(here, "")
    with started as server:
        write(file, f'root = "{here}/root"\nlisten = ["tcp://127.0.0.1:0", "unix:{here}/socket"]\n')
        server.send(signal.SIGHUP)
        server.waits_for(f"listening on unix:{here}/socket")
        expect(run("sync", source, f"unix:{here}/socket!/new"), EQUAL)
        write(file, f'root = "{here}/root"\nlisten = "unix:{here}/socket"\n')
        server.send(signal.SIGHUP)
        server.waits_for("listen: tcp://127.0.0.1:0 goes on, and needs a restart to end")
        expect(run("sync", source, f"{server.address}/new"), EQUAL)


@with_directory
def test_limits_of_a_file_that_changed_hold_for_new_connections(here):
    source = tree(here, 3, 300_000)
    file, started = configured(here, "")
    with started as server:
        expect(run("sync", source, f"{server.address}/one"), EQUAL)
        lines = hangup(server, file, "[limits]\ncircuits_max = 1\n", here)
        assert any("taken: limits.circuits_max" in line for line in lines), lines
        refused = run("sync", source, f"{server.address}/two")
        assert refused.returncode != EQUAL and "circuits_max of the far side is 1" in refused.stderr, refused
        lines = hangup(server, file, "[limits]\ncircuits_max = 0\n", here)
        assert any("limits.circuits_max stays as it was: circuits_max is 0" in line for line in lines), lines
        hangup(server, file, "", here)
        expect(run("sync", source, f"{server.address}/three"), EQUAL)
        assert server.end() == EQUAL


@with_directory
def test_a_hangup_takes_another_policy_and_reads_the_one_that_there_is(here):
    source = tree(here)
    file, started = configured(here, "")
    with started as server:
        expect(run("sync", source, f"{server.address}/one"), EQUAL)
        os.chmod(write(f"{here}/none", "allow certified to sync\n"), 0o600)
        hangup(server, file, f'policy = "{here}/none"\n', here)
        expect(run("sync", source, f"{server.address}/two"), 12, "no line of")
        write(f"{here}/none", "allow anyone to *\n")
        server.send(signal.SIGHUP)
        server.waits_for("keys, known nodes and policy")
        expect(run("sync", source, f"{server.address}/three"), EQUAL)
        lines = hangup(server, file, f'policy = "{here}/missing"\n', here)
        assert any("policy stays as it was" in line for line in lines), lines
        assert server.end() == EQUAL


@with_directory
def test_net_listen_follows_its_file_too(here):
    file = write(f"{here}/net.toml", 'listen = "tcp://127.0.0.1:0"\nchannel = "c"\n')
    with Started("net", "listen", "--config", file, lines=2) as node:
        write(file, 'listen = "tcp://127.0.0.1:0"\nchannel = "d"\nlog-level = "info"\nadmin = "127.0.0.1:0"\n[limits]\ncircuits_max = 9\n')
        node.send(signal.SIGHUP)
        node.waits_for(f"{file}: channel has changed and needs a restart")
        node.waits_for(f"{file}: taken: log-level, admin, limits.circuits_max")
        assert get(node.waits_for("admin at ").split("admin at ")[1].strip(), "/readyz") == "ready\n"
        assert node.end() == EQUAL


def test_units_start_programs_with_options_that_there_are():
    units = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "packaging", "systemd")
    started = 0
    for name in sorted(os.listdir(units)):
        with open(os.path.join(units, name), encoding="utf-8") as file:
            text = file.read()
        for line in re.findall(r"^ExecStart=/usr/bin/trunkline (.*)$", text, re.MULTILINE):
            words = line.split()
            command = [word for word in words[:2] if re.fullmatch("[a-z]+", word)]
            known = expect(run(*command, "--help"), EQUAL).stdout
            for option in (word for word in words if word.startswith("--")):
                assert re.search(rf"{option}\b", known), (name, option)
            assert "Type=notify" in text and "WatchdogSec=" in text and "ExecReload=/bin/kill -HUP $MAINPID" in text, name
            started += 1
    assert started == 4, started


if __name__ == "__main__":
    sys.exit(cases.run(globals(), sys.argv[2] if len(sys.argv) > 2 else ""))
