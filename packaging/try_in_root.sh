#!/usr/bin/env bash
# In a fresh Debian 12, with the packages and README's program in /packages: installs them as a user would, and compiles
# and runs it. Called by package.sh in a root of its own.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
cd /packages
dpkg --purge trunkline trunkline-doc libtrunkline-dev libtrunkline0 >/dev/null 2>&1 || true # of an earlier try
apt-get update -qq
apt-get install -y -qq --no-install-recommends clang-19 pkg-config libstdc++-12-dev ./*.deb >apt.log 2>&1 || { tail apt.log; exit 1; }
flags=$(pkg-config --cflags --libs trunkline)
# shellcheck disable=SC2086 # flags are words
compile() { clang++-19 -std=c++20 readme.cpp -o readme $flags; }
TIMEFORMAT=$'%R %U'
{ time compile >&3 2>&4; } 3>&1 4>&2 2>taken
read -r real processor <taken
echo "in a fresh Debian 12: README's program, compiled in $real s, $processor s of a processor"
./readme
trunkline --version
test -e /usr/share/man/man1/trunkline.1.gz
test -e /usr/share/doc/trunkline-doc/guides/first-service.md
test -e /usr/share/doc/trunkline-doc/examples/echo.cpp
# What others use of the machine is not ours: the processor's time is what counts.
awk -v taken="$processor" 'BEGIN { exit !(taken < 10) }' || { echo "more than ten seconds"; exit 1; }
