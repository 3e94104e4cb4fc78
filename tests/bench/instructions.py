"""Counts instructions instead of time: what one operation costs each side in user space, by valgrind's callgrind.

A process is run twice, with n1 and with n2 operations; start, handshake and end are the same in both, so that
(I(n2) - I(n1)) / (n2 - n1) is what one operation costs. Figures depend on the compiler and its packages, neither on the
machine nor on what else it does, and can be compared between commits.

Everything here is arithmetic and text; run.py starts the processes.
"""

import json
import re
import statistics

# Workloads and their two counts, chosen so that a repetition differs by less than 0.5 %: what varies is where the kernel
# cuts the stream of bytes, and how many wait at a time, and a long run has the average of both. The smaller count lies
# behind the growth of queues, windows and tables; counts are multiples of what a driver sends at once.
COUNTS = {
    "one_way_64": (20_480, 122_880),
    "one_way_64_x100": (20_480, 409_600),
    "opens": (4_096, 24_576),
    "round_trip": (1_024, 6_144),
    "calls_64": (8_192, 40_960),
    "forward_64": (20_000, 120_000),
}
# Where a busy machine shows, since it decides how often a sender has to wait: so many repetitions, and their median.
REPETITIONS = {"one_way_64_x100": 3, "forward_64": 3}
# In a round trip of raw sockets a tenth is the driver's own median of the times, which differ from run to run.
LEFT_OUT = {("round_trip", "raw")}
PEERS = ("raw", "trunkline", "nghttp2", "quarkchain")
SIDES = ("serve", "drive")
TOLERANCE = 3.0 # per cent


class Unreadable(Exception):
    """A file is not what it should be; the text says which and why."""


def command(path):
    """What stands before a driver's command line; the count is in `path` when the driver has ended."""
    return ["valgrind", "--tool=callgrind", "--quiet", f"--callgrind-out-file={path}"]


def total_in(text, path):
    """The instructions of a whole process, from what callgrind wrote."""
    events = re.search(r"^events: *(.*)$", text, re.MULTILINE)
    if not events or "Ir" not in events[1].split():
        raise Unreadable(f"{path}: expected callgrind's counts of the event Ir, seen "
                         f"{'events ' + events[1] if events else 'no line of events'}")
    total = re.search(r"^(?:totals|summary): *([\d ]+)$", text, re.MULTILINE)
    if not total:
        raise Unreadable(f"{path}: expected a line of totals, seen none; was the process killed?")
    return int(total[1].split()[events[1].split().index("Ir")])


def per_operation(counts, totals):
    """`totals` belong to `counts`: of n1 operations, and of n2."""
    (few, many), (of_few, of_many) = counts, totals
    if many <= few:
        raise ValueError(f"counts: expected two that grow, seen {few} and {many}")
    return (of_many - of_few) / (many - few)


def counts_of(workload, scale):
    """The workload's two counts; a scale below 1 gives a look and not a measurement."""
    return tuple(max(64, int(count * scale)) for count in COUNTS[workload])


def row(workload, peer, counts, repetitions):
    """A repetition is the totals of both sides, serving first, of n1 operations, and the same of n2."""
    figures = {side: statistics.median(per_operation(counts, (few[at], many[at])) for few, many in repetitions)
               for at, side in enumerate(SIDES)}
    return {"workload": workload, "peer": peer, **{side: round(figure, 1) for side, figure in figures.items()},
            "counts": list(counts)}


def table(rows):
    lines = [("workload", "peer", "serve", "drive")]
    before = None
    for one in rows:
        lines.append((one["workload"] if one["workload"] != before else "", one["peer"],
                      *(f"{one[side]:.0f}" for side in SIDES)))
        before = one["workload"]
    return aligned(lines)


def aligned(lines):
    """Words to the left, and to the right what stands behind the first two."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join("  ".join(text.rjust(width) if column > 1 else text.ljust(width)
                               for column, (text, width) in enumerate(zip(line, widths))).rstrip() for line in lines)


def read_rows(path):
    """What an earlier run wrote with --json."""
    try:
        with open(path) as file:
            rows = json.load(file)
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise Unreadable(f"{path}: expected JSON, seen {error}") from None
    shape = isinstance(rows, list) and rows and all(
        isinstance(one, dict) and {"workload", "peer", *SIDES} <= set(one)
        and all(isinstance(one[side], (int, float)) for side in SIDES) for one in rows)
    if not shape:
        raise Unreadable(f"{path}: expected rows of workload, peer, {' and '.join(SIDES)}, as ./dev bench "
                         f"--instructions --json writes them")
    return rows


def compare(before, now, tolerance):
    """A table of both and what is wrong: figures above the earlier ones by more than `tolerance` per cent, and nothing
    that both have, since a comparison of nothing holds nothing. Rows that only one has are left out."""
    earlier = {(one["workload"], one["peer"]): one for one in before}
    lines = [("workload", "peer", "side", "before", "now", "change")]
    wrong = []
    for one in now:
        known = earlier.get((one["workload"], one["peer"]))
        for side in SIDES if known else ():
            was, is_ = known[side], one[side]
            change = 100 * (is_ - was) / was if was else (0.0 if is_ == was else float("inf"))
            lines.append((one["workload"], one["peer"], side, f"{was:.0f}", f"{is_:.0f}", f"{change:+.1f} %"))
            if change > tolerance:
                wrong.append(f"{one['workload']}, {one['peer']}, {side}: expected {was:.0f} instructions and {tolerance:g} % at "
                             f"most, seen {is_:.0f}, {change:+.1f} %")
    if len(lines) == 1:
        wrong.append("nothing was compared: no workload and peer of this run is in the earlier one")
    return aligned(lines), wrong
