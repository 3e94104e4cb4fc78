"""The tree sync beside rsync, in one run: ./dev bench --sync [--program FILE] [--rounds N] [--mib N] [--files N] [--many N] [--only WORD] [--json FILE]

A `trunkline serve` and an rsync daemon on 127.0.0.1, both pushed to, on one file system below $TMPDIR (tmpfs is best), turn
about, the order changing from round to round. The table shows medians: seconds from the start of the program that asks to its
end, processor time and peak memory of both ends, and what each program says it put on the wire, both ways together. Memory is
looked at a hundred times a second and is the sum of the peaks of all processes, in which rsync has what its own share counted
once for each. A round whose trees differ afterwards fails the run.

With --link both are pushed to over a link of 100 Mbit/s and 20 ms there and back (tests/bench/link.py): 1 % of a large file,
small files, and a large file whose transfer was interrupted when half of it was there.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import link

PROGRAMS = ("trunkline", "rsync")


class Failed(Exception):
    pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def children_of(process):
    try:
        with open(f"/proc/{process}/task/{process}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:  # it has ended
        return []


class Memory(threading.Thread):
    """The peaks of a process and of all that it starts, in MiB. What a process reports at its end will not do: it counts what the
    interpreter had that started it."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.peaks, self.over = process, {}, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.01):
            self.look()

    def look(self):
        left = [self.process]
        while left:
            process = left.pop()
            left += children_of(process)
            try:
                with open(f"/proc/{process}/status") as file:
                    peak = [int(line.split()[1]) for line in file if line.startswith("VmHWM")]
            except OSError:
                continue
            if peak and not self.is_interpreter(process):
                self.peaks[process] = max(self.peaks.get(process, 0), peak[0])

    def is_interpreter(self, process):
        """Between fork and exec."""
        try:
            return os.path.samefile(f"/proc/{process}/exe", sys.executable)
        except OSError:
            return True

    def end(self):
        self.over.set()
        self.join()
        return sum(self.peaks.values()) / 1024


class Server:
    def __init__(self, name, program, root, here):
        if name == "trunkline":
            self.process = subprocess.Popen([program, "serve", "-q", "--root", root, "--listen", "tcp://127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
            self.address = self.process.stdout.readline().split()[-1]
            self.memory = Memory(self.process.pid)
            return
        port = free_port()
        with open(f"{here}/rsyncd.conf", "w") as file:
            file.write(f"use chroot = no\n{'uid = root' if os.geteuid() == 0 else ''}\n{'gid = root' if os.geteuid() == 0 else ''}\n[m]\n"
                       f"path = {root}\nread only = no\n")
        self.process = subprocess.Popen(["rsync", "--daemon", "--no-detach", "--address=127.0.0.1", f"--port={port}", f"--config={here}/rsyncd.conf"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.memory = Memory(self.process.pid)
        self.address = f"rsync://127.0.0.1:{port}/m"
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.02)  # lint-allow: another process is watched from outside

    def end(self):
        """Its processor time and peak memory, with its children's."""
        memory = self.memory.end()
        self.process.terminate()
        _, _, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = 0
        return usage.ru_utime + usage.ru_stime, memory


def bytes_below(target):
    total = 0
    for at, _, files in os.walk(target):
        for file in files:
            try:
                total += os.path.getsize(os.path.join(at, file))
            except OSError:  # it has another name by now
                pass
    return total


def interrupt_at(bytes_wanted, command, target):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while bytes_below(target) < bytes_wanted:
        if process.poll() is not None:
            raise Failed(f"{' '.join(command)} ended before it could be interrupted")
        time.sleep(0.01)  # lint-allow: another process is watched from outside
    process.send_signal(signal.SIGTERM)
    process.wait()
    before = -1
    while before != (now := bytes_below(target)):  # the server takes what was on its way
        before = now
        time.sleep(0.3)  # lint-allow: as above


def run(name, program, source, target, words, here, slow=False, interrupted_at=0):
    """One transfer: its figures."""
    server = Server(name, program, target, here)
    address, between = server.address, None
    if slow:
        port = int(address.removesuffix("/m").rsplit(":")[-1])
        between = link.Link(port)
        address = address.replace(str(port), str(between.port))
    command = ([program, "sync", "--json", "-q", *words, source, address] if name == "trunkline"
               else ["rsync", "-rlpt", "--stats", *words, source + "/", address + "/"])
    if interrupted_at:
        interrupt_at(interrupted_at, command if name == "trunkline" else [*command[:1], "--partial", *command[1:]], target)
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    memory = Memory(process.pid)
    out = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begin
    here_mib = memory.end()
    process.returncode = os.waitstatus_to_exitcode(status)
    there = server.end()
    if between:
        between.close()
    if process.returncode != 0:
        raise Failed(f"{' '.join(command)} ended with {process.returncode}: {process.stderr.read().decode()[-500:]}")
    if name == "trunkline":
        summary = json.loads(out.splitlines()[-1])
        wire = summary["wire_sent"] + summary["wire_received"]
    else:
        wire = sum(int(line.split(":")[1].replace(",", "")) for line in out.splitlines() if line.startswith(("Total bytes sent", "Total bytes received")))
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime + there[0], "mib": here_mib + there[1], "wire": wire}


def big(path, mib, new_after=64):
    """Of each so many MiB all are the same but for eight bytes."""
    choose = random.Random(1)
    block = choose.randbytes(1 << 20)
    with open(path, "wb") as file:
        for number in range(mib):
            file.write(number.to_bytes(8, "big") + block[8:])
            if number % new_after == 0:
                block = choose.randbytes(1 << 20)


def change(path, part=0.01, piece=65536):
    """Other bytes in as many pieces as come to a part of the file."""
    choose = random.Random(2)
    size = os.path.getsize(path)
    count = max(1, int(size * part / piece))
    with open(path, "r+b") as file:
        for number in range(count):
            file.seek(size // count * number)
            file.write(choose.randbytes(piece))


def small(root, count, bytes_max):
    choose = random.Random(3)
    noise = choose.randbytes(bytes_max)
    for number in range(count):
        folder = f"{root}/d{number // 200}"
        if number % 200 == 0:
            os.makedirs(folder)
        with open(f"{folder}/f{number}", "wb") as file:
            file.write(number.to_bytes(8, "big") + noise[:choose.randrange(bytes_max)])


def cases(options):
    """Name, how to make the source, what the target has before: nothing, an old version, the same; options."""
    yield f"{options.mib} MiB file, cold", lambda root: big(f"{root}/big", options.mib), None, []
    yield "the same, 1 % changed", lambda root: (big(f"{root}/big", options.mib), change(f"{root}/big")), lambda root: big(f"{root}/big", options.mib), []
    yield f"{options.files} small files, cold", lambda root: small(root, options.files, 17_000), None, []
    yield "the same, unchanged", lambda root: small(root, options.files, 17_000), "same", []
    yield "the same, unchanged, -c", lambda root: small(root, options.files, 17_000), "same", ["-c"]
    yield f"{options.many} files, unchanged", lambda root: small(root, options.many, 16), "same", []


def link_cases(options):
    yield f"{options.mib} MiB file, 1 % changed", lambda root: (big(f"{root}/big", options.mib), change(f"{root}/big")), lambda root: big(f"{root}/big", options.mib), []
    yield f"{options.files} small files, cold", lambda root: small(root, options.files, 17_000), None, []
    yield f"{options.half_of} MiB file, resumed at half", lambda root: big(f"{root}/big", options.half_of, 1), None, []


def measure(options, program):
    rows = []
    for name, make, before, words in link_cases(options) if options.link else cases(options):
        if options.only and options.only not in name:
            continue
        here = tempfile.mkdtemp(prefix="trunkline-bench-")
        try:
            os.makedirs(f"{here}/from")
            make(f"{here}/from")
            if before not in (None, "same"):
                os.makedirs(f"{here}/old")
                before(f"{here}/old")
                subprocess.run(["touch", "-d", "2020-01-01", *[os.path.join(f"{here}/old", entry) for entry in os.listdir(f"{here}/old")]], check=True)
            figures = {which: [] for which in PROGRAMS}
            for round_ in range(options.rounds):
                for which in PROGRAMS if round_ % 2 == 0 else reversed(PROGRAMS):
                    shutil.rmtree(f"{here}/to", ignore_errors=True)
                    if before is None:
                        os.makedirs(f"{here}/to")
                    else:
                        subprocess.run(["cp", "-a", f"{here}/from" if before == "same" else f"{here}/old", f"{here}/to"], check=True)
                    interrupted_at = options.half_of << 19 if "resumed" in name else 0
                    figures[which].append(run(which, program, f"{here}/from", f"{here}/to", words, here, options.link, interrupted_at))
                    if subprocess.run(["diff", "-rq", f"{here}/from", f"{here}/to"], stdout=subprocess.DEVNULL).returncode != 0:
                        raise Failed(f"{name}: the trees differ after {which}")
            rows.append({"case": name} | {which: {key: statistics.median(figure[key] for figure in figures[which]) for key in figures[which][0]} for which in PROGRAMS})
            print(line(rows[-1]), flush=True)
        finally:
            shutil.rmtree(here, ignore_errors=True)
    return rows


HEAD = ("| case | trunkline s | rsync s | ratio | processor s, t / r | memory MiB, t / r | wire bytes, t / r | ratio |\n"
        "|---|---|---|---|---|---|---|---|")


def line(row):
    ours, theirs = row["trunkline"], row["rsync"]
    return (f"| {row['case']} | {ours['seconds']:.2f} | {theirs['seconds']:.2f} | {ours['seconds'] / theirs['seconds']:.2f} "
            f"| {ours['cpu']:.2f} / {theirs['cpu']:.2f} | {ours['mib']:.0f} / {theirs['mib']:.0f} "
            f"| {ours['wire']:,} / {theirs['wire']:,} | {ours['wire'] / theirs['wire']:.2f} |")


def main(arguments, build):
    parser = argparse.ArgumentParser(prog="./dev bench --sync", description=__doc__.splitlines()[0])
    parser.add_argument("--program", help="instead of a release built for this")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=2048)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--many", type=int, default=200_000)
    parser.add_argument("--link", action="store_true", help="over a slow link, which has cases of its own")
    parser.add_argument("--half-of", type=int, default=256, help="MiB of the file that is interrupted")
    parser.add_argument("--only", help="cases whose name holds this")
    parser.add_argument("--json")
    options = parser.parse_args(arguments)
    program = os.path.abspath(options.program or os.path.join(build("release", "cli/trunkline"), "cli/trunkline"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    print(f"medians of {options.rounds} rounds, turn about; load {os.getloadavg()[0]:.1f} at the beginning\n{HEAD}", flush=True)
    try:
        rows = measure(options, program)
    except Failed as reason:
        print(f"run failed: {reason}", file=sys.stderr)
        return 1
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=1)
            file.write("\n")
    return 0 if rows else 1
