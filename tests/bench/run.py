#!/usr/bin/env python3
"""Measures trunkline against raw sockets and other ways to move messages, in one run.

Two processes on loopback and one TCP connection per measurement. The rounds of all peers are interleaved, so that
what else the machine does hits all alike; the table shows medians, and each figure as a share of raw sockets in the
same run. A receiver that misses a message, or sees one twice or of the wrong size, fails its row: the reason is said at
once and again at the end, all other rows are measured, and the exit status is 1.

With --instructions nothing is timed: valgrind counts what one operation costs each side, serving and driving, in user
space. A process is run with n1 and with n2 operations, and (I(n2) - I(n1)) / (n2 - n1) is the figure, so that start and
end do not count. Both ends share one core, where they take turns in the same order whatever else the machine does, and
the counts are so high (n2 is 6,144 round trips, 24,576 opens, 122,880 messages) that a repetition gives the same within
0.5 %. A busy machine shows in one_way_64_x100 and forward_64, where it decides how often a sender waits: medians of
three, within 1 %. So figures of two commits on one machine, with one compiler, can be compared. With --against FILE they
are, and the run fails where one has grown by more than the tolerance.

Needs the drivers: ninja -C BUILD bench-drivers.
"""

# ./dev bench [--peers] [ARGUMENT...]
#   Builds a release and measures it against raw sockets in the same run.
#   --peers       first installs nghttp2, ZeroMQ and gRPC, which then take part
#   --peers=LIST  measures only these, and installs nothing
#   --sync        instead: the tree sync beside rsync, --rounds N --mib N --files N --many N --only CASE
#   --instructions  counts instructions instead of time, and first installs valgrind

import argparse
import json
import os
import resource
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import instructions
import sync

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import dev  # noqa: E402

WORKLOADS = ("one_way_64", "one_way_64_x100", "bulk_64k", "bulk_64k_x16", "round_trip", "opens",
             "idle_circuit_bytes", "idle_connection_bytes")
PEERS = ("raw", "trunkline", "raw_tls", "trunkline_tls", "trunkline_ws", "nghttp2", "zeromq", "grpc", "network", "quarkchain", "quarkchain_codec", "quarkchain_shard", "python")
# Drivers that are not built: pyquarkchain's own master and slave, where PYQUARKCHAIN says where they are (docs/testing.md).
SCRIPTS = {"python": os.path.join(os.path.dirname(os.path.abspath(__file__)), "quarkchain_python.py")}
# What only one driver does: a service on trunkline has nobody to be compared with here.
OF_TLS = ("one_way_64", "bulk_64k", "round_trip", "handshakes")
OF_WEB_SOCKET = ("one_way_64", "bulk_64k", "round_trip")
OWN_WORKLOADS = {"trunkline": ("calls_64",), "raw_tls": OF_TLS, "trunkline_tls": (*OF_TLS, "idle_connection_bytes"),
                 "trunkline_ws": OF_WEB_SOCKET,
                 "network": ("conduit_1", "conduit_50", "first_message", "broadcast_27", "mesh_27", "broadcast_81", "mesh_81"),
                 "quarkchain": ("calls_1", "calls_64", "forward_64", "idle_peer_bytes"),
                 "quarkchain_codec": ("quarkchain_root_block",),
                 "quarkchain_shard": ("shard_validate", "shard_validate_alone", "shard_validate_queued", "shard_senders", "shard_build", "shard_checkdb", "shard_root", "shard_memory"),
                 "python": ("calls_1", "calls_64", "shard_checkdb")}
ALL_WORKLOADS = tuple(dict.fromkeys(WORKLOADS + sum(OWN_WORKLOADS.values(), ())))
# Whose ceiling is not that of plain sockets: OpenSSL over a socket, with nothing but frames.
RAW_OF = {"trunkline_tls": "raw_tls"}
ON_ONE_CORE = ("round_trip", "calls_1")
IDLE_COUNTS = {"idle_circuit_bytes": 100_000, "idle_connection_bytes": 1_000, "idle_peer_bytes": 100_000}
IDLE_COUNTS_QUICK = {"idle_circuit_bytes": 10_000, "idle_connection_bytes": 200, "idle_peer_bytes": 20_000}

# What trunkline is to reach: (what is compared, how, figure, in words).
TARGETS = {
    "one_way_64": ("ratio", "at_least", 0.20, ">= 0.20 of raw"),
    "one_way_64_x100": ("ratio", "at_least", 0.15, ">= 0.15 of raw"),
    "bulk_64k": ("ratio", "at_least", 0.55, ">= 0.55 of raw"),
    "bulk_64k_x16": ("ratio", "at_least", 0.55, ">= 0.55 of raw"),
    "round_trip": ("ratio", "at_most", 1.6, "<= 1.6 of raw"),
    "opens": ("value", "at_least", 200_000, ">= 200 k/s"),
    "idle_circuit_bytes": ("value", "at_most", 1000, "<= 1000 bytes"),
    "quarkchain_root_block": ("value", "at_least", 400, ">= 400 MB/s"),
    "shard_validate": ("value", "at_least", 20_000, ">= 20 k/s"),
    "shard_build": ("value", "at_least", 50, ">= 50/s"),
    "shard_root": ("value", "at_most", 50, "<= 50 ms"),
    "shard_memory": ("value", "at_most", 200, "<= 200 MiB"),
    "calls_64": ("value", "at_least", 150_000, ">= 150 k/s"),
    "forward_64": ("value", "at_least", 1_000_000, ">= 1 M/s"),
    "idle_peer_bytes": ("value", "at_most", 1000, "<= 1000 bytes"),
}

# The same where another peer's figure in the same run is what counts.
TARGETS_OF = {
    ("trunkline_tls", "bulk_64k"): ("raw_tls", 0.6, ">= 0.60 of raw_tls"),
    ("trunkline_tls", "one_way_64"): ("trunkline", 0.8, ">= 0.80 of plain"),
    ("trunkline_ws", "one_way_64"): ("trunkline", 0.7, ">= 0.70 of plain"),
    ("trunkline_ws", "bulk_64k"): ("trunkline", 0.5, ">= 0.50 of plain"),
}

UNSUPPORTED = 77
STARTED_WITHIN = 20  # seconds for a driver to listen
DONE_WITHIN = 60  # seconds beyond those that it measures; under valgrind ten minutes more


class Unsupported(Exception):
    pass


class Failed(Exception):
    pass


class Process:
    """A driver, pinned to a core before it starts, with its output and its complaints kept."""

    def __init__(self, command, core, under=()):
        """`under` runs it: the command line of valgrind."""
        self.command = command
        self.complaints = tempfile.TemporaryFile()
        allowed = os.sched_getaffinity(0)
        if core is not None:
            os.sched_setaffinity(0, {core})
        try:
            self.process = subprocess.Popen([*under, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=self.complaints)
        finally:
            os.sched_setaffinity(0, allowed)
        self.ended = os.pidfd_open(self.process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.complaints.close()
        os.close(self.ended)

    def first_line(self, seconds):
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            raise Failed(f"{self.name()} said nothing within {seconds} s")
        return self.process.stdout.readline().decode()

    def complaint(self):
        self.complaints.seek(0)
        return self.complaints.read().decode(errors="replace").strip()

    def name(self):
        return " ".join([os.path.basename(self.command[0])] + self.command[1:])


def wait_both(serving, driving, seconds):
    """Returns when both have ended; as soon as one has failed, the other's fate is no longer of interest."""
    deadline = time.monotonic() + seconds
    left = {serving.ended: serving, driving.ended: driving}
    while left:
        ready, _, _ = select.select(list(left), [], [], max(0, deadline - time.monotonic()))
        if not ready:
            names = ", ".join(process.name() for process in left.values())
            raise Failed(f"not done within {seconds:.0f} s: {names}")
        for descriptor in ready:
            if left.pop(descriptor).process.wait() != 0:
                # A failed driver often is the echo of a failed server that ends in the same moment.
                select.select(list(left), [], [], 1)
                left.clear()
                break
    failed = [process for process in (serving, driving) if process.process.poll() not in (None, 0)]
    if failed:
        raise Failed("; ".join(f"{process.name()} ended with {process.process.returncode}: "
                               f"{process.complaint() or 'no reason given'}" for process in failed))


def measure(driver, workload, options, cores, under=((), ())):
    """One measurement: {"value": ..., "unit": ...}. Raises Unsupported with the driver's reason, or Failed.
    `under`: what runs the serving and the driving process."""
    serve_core, drive_core = cores
    both = list(options.both)
    if workload in options.idle_counts:
        both += ["--count", str(options.idle_counts[workload])]
    elif options.count:
        both += ["--count", str(options.count)]
    with Process([driver, "serve", workload] + both, serve_core, under[0]) as serving:
        line = serving.first_line(STARTED_WITHIN)
        if not line.startswith("LISTENING "):
            if serving.process.wait() == UNSUPPORTED:
                raise Unsupported(serving.complaint())
            raise Failed(f"{serving.name()} did not listen: {serving.complaint()}")
        command = [driver, "drive", workload, line.split()[1], "--far-pid", str(serving.process.pid)] + both
        with Process(command + options.drive_only, drive_core, under[1]) as driving:
            wait_both(serving, driving, (600 if under[0] else options.seconds) + DONE_WITHIN)
            return json.loads(driving.process.stdout.read())


def cores_for(workload):
    """(serving, driving): a core each, but one for both in single round trips, where waking another core decides all."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return (None, None)
    return (cores[1], cores[1]) if workload in ON_ONE_CORE else (cores[1], cores[0])


class Progress:
    """One line on a terminal that is written over, plain lines otherwise."""

    def __init__(self, total):
        self.total = total
        self.done = 0
        self.terminal = sys.stderr.isatty()

    def at(self, what):
        text = f"[{self.done}/{self.total}] {what}"
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            print("\r" + text[:width].ljust(width), end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)
        self.done += 1

    def say(self, text):
        self.end()
        print(text, file=sys.stderr, flush=True)

    def end(self):
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            print("\r" + " " * width + "\r", end="", file=sys.stderr, flush=True)


class Load:
    """How much of the machine other programs take while we measure, from /proc/stat."""

    def __init__(self):
        self.begin = self.now()

    @staticmethod
    def now():
        with open("/proc/stat") as file:
            fields = [int(field) for field in file.readline().split()[1:9]]
        ticks = os.sysconf("SC_CLK_TCK")
        idle = (fields[3] + fields[4]) / ticks
        everything = sum(fields) / ticks
        ours = sum(usage.ru_utime + usage.ru_stime
                   for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
        return everything, everything - idle, ours

    def others(self):
        everything, busy, ours = (after - before for after, before in zip(self.now(), self.begin))
        return max(0.0, busy - ours) / everything if everything > 0 else 0.0


def does(peer, workload):
    own = OWN_WORKLOADS.get(peer, ())
    return workload in own or (workload in WORKLOADS and (not own or peer == "trunkline"))


def run(drivers, workloads, options):
    """{workload: {peer: [measurement, ...]}}, notes and failures. Peers take turns within a round, another first each
    round. One that fails takes part in its workload no more, and has no row there; what is measured is written to
    --json after each workload."""
    results = {workload: {peer: [] for peer in drivers if does(peer, workload)} for workload in workloads}
    notes, failures = [], []
    progress = Progress(sum(map(len, results.values())) * options.rounds)
    for workload in workloads:
        order = list(results[workload])
        for number in range(options.rounds):
            for peer in list(order):
                progress.at(f"{workload}, round {number + 1} of {options.rounds}, {peer}")
                try:
                    results[workload][peer].append(measure(drivers[peer], workload, options, cores_for(workload)))
                    continue
                except Unsupported as reason:
                    notes.append(str(reason))
                except Failed as reason:
                    failures.append(f"{peer}, {workload}: {reason}")
                    progress.say(f"failed: {failures[-1]}")
                    results[workload][peer].clear()
                order.remove(peer)
                progress.done += options.rounds - number - 1
            order = order[1:] + order[:1]
        if options.json:
            write_json(rows_of(results), options.json)
    progress.end()
    return results, notes, failures


def count_instructions(drivers, workloads, options):
    """The rows of instructions.py, notes and failures; as `run`."""
    rows, notes, failures = [], [], []
    chosen = [(workload, peer) for workload in workloads for peer in drivers
              if does(peer, workload) and (workload, peer) not in instructions.LEFT_OUT]
    times = {workload: 1 if options.quick else instructions.REPETITIONS.get(workload, 1) for workload in workloads}
    progress = Progress(sum(2 * times[workload] for workload, _ in chosen))
    core = max(os.sched_getaffinity(0))
    for workload, peer in chosen:
        counts = instructions.counts_of(workload, 0.02 if options.quick else 1)
        repetitions = []
        try:
            for _ in range(times[workload]):
                totals = []
                for count in counts:
                    progress.at(f"{workload}, {count} times, {peer}")
                    totals.append(count_once(drivers[peer], workload, options, count, core))
                repetitions.append(totals)
        except Unsupported as reason:
            notes.append(str(reason))
            continue
        except (Failed, instructions.Unreadable) as reason:
            failures.append(f"{peer}, {workload}: {reason}")
            progress.say(f"failed: {failures[-1]}")
            continue
        rows.append(instructions.row(workload, peer, counts, repetitions))
        if options.json:
            write_json(rows, options.json)
    progress.end()
    return rows, notes, failures


def count_once(driver, workload, options, count, core):
    """The instructions of both processes, the serving one first."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, side) for side in instructions.SIDES]
        options.count = count
        measure(driver, workload, options, (core, core), [instructions.command(path) for path in paths])
        totals = []
        for path in paths:
            with open(path) as file:
                totals.append(instructions.total_in(file.read(), path))
        return totals


def rows_of(results):
    rows = []
    for workload, peers in results.items():
        medians = {peer: statistics.median(m["value"] for m in measured) for peer, measured in peers.items() if measured}
        for peer, value in medians.items():
            raw = None if workload in IDLE_COUNTS else medians.get(RAW_OF.get(peer, "raw"))
            rows.append({"workload": workload, "peer": peer, "value": value, "unit": peers[peer][0]["unit"],
                         "ratio_to_raw": round(value / raw, 4) if raw else None})
            for name in peers[peer][0].get("more", {}):  # figures of the same measurements: "broadcast_27 messages"
                rows.append({"workload": f"{workload} {name}", "peer": peer,
                             "value": statistics.median(m["more"][name] for m in peers[peer]), "unit": name.split("_")[-1],
                             "ratio_to_raw": None})
    return rows


def figure(value, unit):
    if unit.endswith("/s") and unit != "GB/s":
        for scale, letter in ((1e6, "M"), (1e3, "k")):
            if value >= scale:
                return f"{value / scale:.2f} {letter} {unit}"
    return f"{value:.2f} {unit}" if value < 100 else f"{value:.0f} {unit}"


def verdict(row, rows):
    if (row["peer"], row["workload"]) in TARGETS_OF:
        other, bound, words = TARGETS_OF[row["peer"], row["workload"]]
        values = [each["value"] for each in rows if (each["peer"], each["workload"]) == (other, row["workload"])]
        return f"{words}: {row['value'] / values[0]:.2f}, {'met' if row['value'] >= bound * values[0] else 'MISSED'}" if values else words
    if row["peer"] in ("raw_tls", "trunkline_tls", "trunkline_ws"):
        return ""
    if row["workload"] not in TARGETS or row["peer"] not in ("trunkline", *OWN_WORKLOADS) or row["peer"] in SCRIPTS:
        return ""
    what, how, bound, words = TARGETS[row["workload"]]
    value = row["ratio_to_raw"] if what == "ratio" else row["value"]
    if value is None:
        return words
    met = value >= bound if how == "at_least" else value <= bound
    return f"{words}: {'met' if met else 'MISSED'}"


def table(rows, results):
    lines = [("workload", "peer", "median", "lowest .. highest", "ratio to raw", "target")]
    before = None
    for row in rows:
        workload, _, name = row["workload"].partition(" ")
        values = [measured["more"][name] if name else measured["value"] for measured in results[workload][row["peer"]]]
        ratio = "" if row["ratio_to_raw"] is None else f"{row['ratio_to_raw']:.3f}"
        lines.append((row["workload"] if row["workload"] != before else "", row["peer"],
                      figure(row["value"], row["unit"]), f"{min(values):.4g} .. {max(values):.4g}", ratio,
                      verdict(row, rows)))
        before = row["workload"]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    right = {2, 3, 4}
    out = []
    for number, line in enumerate(lines):
        if number == 1 or (number > 1 and line[0]):
            out.append("")
        out.append("  ".join(text.rjust(width) if column in right else text.ljust(width)
                             for column, (text, width) in enumerate(zip(line, widths))).rstrip())
    return "\n".join(out)


def names(known):
    def split(text):
        chosen = [name for name in text.replace(",", " ").split() if name]
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f'no "{name}"; there are {", ".join(known)}')
        return chosen
    return split


def find_drivers(build, wanted):
    folders = [build, os.path.join(build, "tests", "bench")]
    drivers, missing = {}, []
    for peer in wanted:
        if peer in SCRIPTS:
            if os.environ.get("PYQUARKCHAIN"):
                drivers[peer] = SCRIPTS[peer]
            else:
                missing.append(peer)
            continue
        paths = [os.path.join(folder, f"bench_{peer}") for folder in folders]
        path = next((path for path in paths if os.access(path, os.X_OK)), None)
        if path:
            drivers[peer] = path
        else:
            missing.append(peer)
    return drivers, missing


def parse(arguments):
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)  # the build directory that holds the drivers
    parser.add_argument("--quick", action="store_true", help="three short rounds: a look, not a measurement")
    parser.add_argument("--json", metavar="FILE", help="write the rows as JSON, too")
    parser.add_argument("--peers", type=names(PEERS), metavar="LIST", help="of: " + ",".join(PEERS))
    parser.add_argument("--workloads", type=names(ALL_WORKLOADS), metavar="LIST", help="of: " + ",".join(ALL_WORKLOADS))
    parser.add_argument("--rounds", type=int, metavar="N", help="default 5, with --quick 3")
    parser.add_argument("--seconds", type=float, metavar="S", help="per measurement; default 1, with --quick 0.2")
    parser.add_argument("--count", type=int, metavar="N", help="messages (or opens) per measurement, instead of a time")
    parser.add_argument("--idle-count", type=int, metavar="N", help="idle circuits, or connections, to hold")
    parser.add_argument("--instructions", action="store_true",
                        help="count instructions with valgrind instead; with --quick too few operations for a figure. Of "
                             "--workloads " + ",".join(instructions.COUNTS) + " and --peers " + ",".join(instructions.PEERS))
    parser.add_argument("--against", metavar="FILE", help="with --instructions: compare with what an earlier --json wrote; "
                                                           "exit status 1 where a figure is above the earlier one")
    parser.add_argument("--tolerance", type=float, default=instructions.TOLERANCE, metavar="PERCENT",
                        help="how much above is not yet above, default %(default)g")
    parser.add_argument("--plant", choices=["skip-one"],
                        help="make the sender leave out one sequence number: the run has to fail")
    options = parser.parse_args(arguments)
    if options.against and not options.instructions:
        parser.error("--against: only instructions can be compared with an earlier run, add --instructions")
    if options.instructions:
        for name in options.workloads or ():
            if name not in instructions.COUNTS:
                parser.error(f"--instructions: no counts for {name}; there are {', '.join(instructions.COUNTS)}")
        for name in options.peers or ():
            if name not in instructions.PEERS:
                parser.error(f"--instructions: {name} is not counted; there are {', '.join(instructions.PEERS)}")
        for name in ("rounds", "count", "idle_count", "plant"):
            if getattr(options, name):
                parser.error(f"--{name.replace('_', '-')} is of measurements of time, not of --instructions")
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (0.2 if options.quick else 1.0)
    options.idle_counts = dict(IDLE_COUNTS_QUICK if options.quick else IDLE_COUNTS)
    if options.idle_count:
        options.idle_counts = dict.fromkeys(options.idle_counts, options.idle_count)
    options.both = ["--seconds", str(options.seconds)]
    options.drive_only = ["--plant", options.plant] if options.plant else []
    return options


def prepared(arguments):
    """The arguments with a build directory. ./dev bench names none: installs what is asked for, and builds."""
    if "--build" in arguments:
        return arguments
    wanted = [argument for argument in arguments if argument != "--peers"]
    options = parse(["--build", "", *wanted])  # what is wrong is said before anything is built
    if options.instructions:
        dev.dev("setup", "--instructions")
    if wanted != arguments:
        dev.dev("setup", "--peers")
        # Meson remembers what it did not find; only a configuration made anew finds it.
        shutil.rmtree(os.path.join(dev.BUILD_ROOT, "release", "meson-private"), ignore_errors=True)
    return ["--build", dev.build("release", "bench-drivers"), *wanted]


def main(arguments):
    options = parse(arguments)
    drivers, missing = find_drivers(options.build, options.peers or (instructions.PEERS if options.instructions else PEERS))
    if not drivers or (options.peers and missing):
        print(f"no driver built for {', '.join(missing)} in {options.build}; ninja -C BUILD bench-drivers builds "
              f"those whose packages are installed", file=sys.stderr)
        return 2
    if options.instructions:
        return main_of_instructions(drivers, missing, options)
    load = Load()
    results, notes, failures = run(drivers, options.workloads or ALL_WORKLOADS, options)
    rows = rows_of(results)
    if not rows:
        return said(failures)

    cores = len(os.sched_getaffinity(0))
    print(f"medians of {options.rounds} interleaved rounds, "
          + (f"{options.count} messages" if options.count else f"{options.seconds:g} s") + " each"
          + (" (--quick: a look, not a measurement)" if options.quick else "")
          + f"; {cores} core{'s' if cores > 1 else ''}")
    print(table(rows, results))
    print()
    for note in notes:
        print(f"note: {note}")
    for peer in missing:
        print(f"note: {peer} left out, " + ("PYQUARKCHAIN is not set" if peer in SCRIPTS else "its driver is not built"))
    if cores < 2:
        print("note: with one core both ends share it in every workload")
    if load.others() > 0.05:
        print(f"note: other programs took {100 * load.others():.0f} % of the machine meanwhile: rates come out low, "
              f"and ratios favour peers with several threads; measure again on a quiet machine")
    return said(failures)


def said(failures):
    """The exit status, after the failures have been said again, below everything else."""
    for failure in failures:
        print(f"run failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


def write_json(rows, path):
    with open(path, "w") as file:
        json.dump(rows, file, indent=1)
        file.write("\n")


def main_of_instructions(drivers, missing, options):
    if not shutil.which("valgrind"):
        print("--instructions: expected valgrind, seen none; apt-get install valgrind, or ./dev setup --instructions",
              file=sys.stderr)
        return 2
    try:
        before = instructions.read_rows(options.against) if options.against else None
    except instructions.Unreadable as reason:
        print(f"run failed: {reason}", file=sys.stderr)
        return 1
    rows, notes, failures = count_instructions(drivers, options.workloads or list(instructions.COUNTS), options)
    if not rows:
        return said(failures or ["none of these peers does any of these workloads"])
    print("instructions in user space per operation" + (" (--quick: a look, not a measurement)" if options.quick else ""))
    print(instructions.table(rows))
    for note in notes:
        print(f"note: {note}")
    for peer in missing:
        print(f"note: {peer} left out, its driver is not built")
    status = said(failures)
    if before is None:
        return status
    text, wrong = instructions.compare(before, rows, options.tolerance)
    print(f"\nagainst {options.against}, {options.tolerance:g} % more at most")
    print(text)
    for complaint in wrong:
        print(complaint, file=sys.stderr)
    return 1 if wrong else status


if __name__ == "__main__":
    try:
        if "--sync" in sys.argv:
            sys.exit(sync.main([word for word in sys.argv[1:] if word != "--sync"], dev.build))
        sys.exit(main(prepared(sys.argv[1:])))
    except KeyboardInterrupt:
        sys.exit(130)
