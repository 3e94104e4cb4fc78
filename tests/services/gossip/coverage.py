#!/usr/bin/env python3
"""Measures whom each broadcast strategy reaches, and at which cost, with `trunkline net tree`.

usage: coverage.py PROGRAM           prints the table of docs/gossip.md and writes docs/gossip-coverage.svg
       coverage.py PROGRAM --check   fails when either is not what would be written
"""
import json
import os
import subprocess
import sys

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "docs")
PAGE, PLOT = os.path.join(DOCS, "gossip.md"), os.path.join(DOCS, "gossip-coverage.svg")
STRATEGIES = ("plain", "adopt", "redundancy", "cleanup", "adopt+cleanup", "exact+adopt")
SIZES = (8, 9, 24, 27, 50, 81, 100, 200, 243, 1000)
PLOTTED = range(2, 201)
COLOURS = {"plain": "#c0392b", "redundancy": "#8e44ad", "adopt+cleanup": "#2471a3", "exact+adopt": "#1e8449"}
BEGIN, END = "<!-- coverage: tests/services/gossip/coverage.py writes this -->", "<!-- end of coverage -->"


def play(program, size, strategy, dead=()):
    command = [program, "net", "tree", "--size", str(size), "--strategy", strategy, "--json"]
    if dead:
        command += ["--dead", ",".join(map(str, dead))]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def fifth(size):
    """Every fifth member: 3, 8, 13, ..."""
    return range(3, size + 1, 5)


def table(program):
    lines = ["| members | " + " | ".join(STRATEGIES) + " |", "|---|" + "---|" * len(STRATEGIES)]
    for size in SIZES:
        cells = []
        for strategy in STRATEGIES:
            whole, broken = play(program, size, strategy), play(program, size, strategy, fifth(size))
            cells.append(f"{len(whole['missed'])} / {len(broken['missed'])} missed, {len(whole['sends'])} sends, depth {whole['depth']}")
        lines.append(f"| {size} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(program):
    width, height, left, top = 320, 200, 45, 30
    first, last = PLOTTED.start, PLOTTED.stop - 1
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * (width + left) + 40} {height + top + 75}" font-family="sans-serif" '
           f'font-size="11">', '<rect width="100%" height="100%" fill="white"/>']
    panels = [("members missed, per cent", 40, lambda size, played: 100 * len(played["missed"]) / size),
              ("sends per member", 6, lambda size, played: len(played["sends"]) / size)]
    games = {name: {size: play(program, size, name) for size in PLOTTED} for name in COLOURS}
    for number, (title, most, value) in enumerate(panels):
        x0 = left + number * (width + left + 20)
        out.append(f'<text x="{x0}" y="{top - 12}">{title}</text>')
        for i in range(5):
            y = top + height - height * i / 4
            out.append(f'<line x1="{x0}" y1="{y:g}" x2="{x0 + width}" y2="{y:g}" stroke="#ddd"/>'
                       f'<text x="{x0 - 6}" y="{y + 4:g}" text-anchor="end">{most * i / 4:g}</text>')
        for size in (first, 50, 100, 150, last):
            x = x0 + width * (size - first) / (last - first)
            out.append(f'<text x="{x:.1f}" y="{top + height + 16}" text-anchor="middle">{size}</text>')
        for name, colour in COLOURS.items():
            points = " ".join(f"{x0 + width * (size - first) / (last - first):.1f},"
                              f"{top + height - height * min(value(size, played), most) / most:.1f}"
                              for size, played in games[name].items())
            out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
    x = left
    out.append(f'<text x="{left + width / 2}" y="{top + height + 34}" text-anchor="middle">members</text>')
    for name, colour in COLOURS.items():
        y = top + height + 58
        out.append(f'<line x1="{x}" y1="{y - 4}" x2="{x + 22}" y2="{y - 4}" stroke="{colour}" stroke-width="2"/><text x="{x + 27}" y="{y}">{name}</text>')
        x += 60 + 7 * len(name)
    return "\n".join(out + ["</svg>", ""])


def main():
    program, check = sys.argv[1], "--check" in sys.argv
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    before, rest = page.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    wanted = {PAGE: f"{before}{BEGIN}\n\n{table(program)}\n\n{END}{after}", PLOT: plot(program)}
    wrong = []
    for path, text in wanted.items():
        old = open(path, encoding="utf-8").read() if os.path.exists(path) else None
        if old == text:
            continue
        wrong.append(os.path.basename(path))
        if not check:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    if check:
        print(f"{', '.join(wrong)}: not what tests/services/gossip/coverage.py writes" if wrong else "as measured")
        print(f"{2 - len(wrong)} passed, {len(wrong)} failed")
    return 1 if check and wrong else 0


if __name__ == "__main__":
    sys.exit(main())
