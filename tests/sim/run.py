#!/usr/bin/env python3
"""Builds a simulator and becomes it."""

# ./dev sim [--cluster | --honest] [--seeds N | --seed S] [--first S] [--minutes M | --seconds S] [--jobs N] [--plant BUG]
#           [--verbose] [--traces]
#   Builds a release and runs the simulator: whole nodes under a virtual clock, with faults and checkers.
#   A failure prints its seed; --seed replays that run exactly.
#   --cluster    QuarkChain clusters of one master and four slaves instead; has --seconds for --minutes, and no --jobs
#   --honest     a program that keeps the rules, at every rate, with default limits; has no --plant
#   --seeds N    how many worlds                         --first S    the seed of the first one
#   --minutes M  of virtual time with faults, per world  --jobs N     processes
#   --plant BUG  a bug, to see that it is caught; an unknown one lists them
#   --verbose    prints what nodes log and which faults strike
#   --traces     prints a line "SEED TRACE-HASH" for each seed instead of a summary

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import dev  # noqa: E402


def main():
    arguments, program = sys.argv[1:], "tests/sim/trunkline-sim"
    if arguments[:1] == ["--cluster"]:
        arguments, program = arguments[1:], "tests/services/quarkchain/trunkline-cluster-sim"
    path = os.path.join(dev.build("release", program), program)
    os.execv(path, [path, *arguments])


if __name__ == "__main__":
    main()
