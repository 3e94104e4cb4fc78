#!/usr/bin/env python3
"""Operates the programs that run for long, as an administrator, logrotate, systemd or a monitoring would.

usage: operate_test.py TRUNKLINE [PART-OF-A-NAME]

Each test_* function is one test. Nothing here sleeps: tests wait for lines, for words on sockets, or for ends of processes.
"""
import functools
import json
import os
import re
import signal
import socket
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
def test_ready_ends_when_the_server_ends_and_health_does_not(here):
    source = tree(here, 2000)
    with serve(here, "--admin", "127.0.0.1:0", "--grace", 50, lines=2) as server:
        admin = admin_of(server)
        client = sync_under_way(source, server.address)
        client.send_signal(signal.SIGSTOP)
        server.send(signal.SIGTERM)
        server.waits_for("ending")
        assert get(admin, "/readyz", 503) == "it is ending\n" and get(admin, "/healthz") == "ok\n"
        client.send_signal(signal.SIGCONT)
        client.communicate(timeout=PATIENCE)
        assert server.process.wait(PATIENCE) == EQUAL


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
    for text, words in (("answered_maxx = 1", ('there is no limit "answered_maxx"', "did you mean answered_max")),
                        ("circuits_max = 'many'", ("limit circuits_max: expected a number up to 4294967295",)),
                        ("circuits_max = 5000000000", ("limit circuits_max: ",)),
                        ("stall_deadline = '1y'", ("limit stall_deadline: expected a number of milliseconds",)),
                        ("circuits_max = 0", ("circuits_max is 0",))):
        expect(run("serve", "--config", write(f"{here}/bad.toml", f"{good}[limits]\n{text}\n")), USAGE, *words)
    expect(run("serve", "--config", f"{here}/missing.toml"), FILE, "missing.toml")
    expect(run("serve", "--config", write(f"{here}/part.toml", 'listen = "tcp://127.0.0.1:0"\n')), USAGE, "--root is required")


@with_directory
def test_settings_are_printed_with_where_they_come_from_and_can_be_read_again(here):
    file = write(f"{here}/serve.toml", 'grace = 3\nlisten = ["tcp://127.0.0.1:0"]\n[limits]\nanswered_max = 7\n')
    environment = {**os.environ, "TRUNKLINE_LOG_LEVEL": "warning"}
    shown = expect(run("serve", "--config", file, "--root", here, "-q", "--print-config", env=environment), EQUAL).stdout
    settings = tomllib.loads(shown)
    assert settings["grace"] == 3 and settings["root"] == here and settings["listen"] == ["tcp://127.0.0.1:0"], settings
    assert settings["limit"] == ["answered_max=7"] and settings["quiet"] is True and settings["log-format"] == "text", settings
    assert f"grace = 3 # {file}:1\n" in shown and 'log-level = "warning" # TRUNKLINE_LOG_LEVEL\n' in shown, shown
    assert f'root = "{here}" # command line\n' in shown and 'strangers = "refuse" # default\n' in shown, shown
    again = expect(run("serve", "--config", write(f"{here}/again.toml", shown), "--print-config"), EQUAL).stdout
    assert tomllib.loads(again) == settings, again


@with_directory
def test_a_hangup_takes_the_level_from_the_file_and_names_what_has_to_wait(here):
    os.makedirs(f"{here}/root")
    file = write(f"{here}/serve.toml", f'root = "{here}/root"\nlisten = "tcp://127.0.0.1:0"\ngrace = 3\n')
    with Started("serve", "--config", file) as server:
        write(file, f'root = "{here}/root"\nlisten = "tcp://127.0.0.1:0"\ngrace = 4\nlog-level = "debug"\n')
        server.send(signal.SIGHUP)
        server.waits_for(f"{file}: grace has changed, which counts from the next start")
        server.waits_for(f"SIGHUP: read again: {file}")
        expect(run("sync", f"{here}/root", server.address), EQUAL)
        server.waits_for(" debug ")
        write(file, "nonsense")
        server.send(signal.SIGHUP)
        assert f"{file}:1: " in server.waits_for("not read again")
        assert server.end() == EQUAL


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
