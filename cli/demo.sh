#!/usr/bin/env bash
# The main job on real input: a tree is pushed to a node that serves an empty directory, over tcp, a circuit per file;
# it is changed and synced again; then the same node gives it back, into a third directory. Every byte, mode and time is
# compared. Exit status 0 means that no difference was found.
#
#   cli/demo.sh BUILD_DIRECTORY
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: cli/demo.sh BUILD_DIRECTORY" >&2; exit 1; }
trunkline=$(cd "$1" && pwd)/cli/trunkline
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ -x "$trunkline" ] || { echo "demo: $trunkline is missing; ./dev demo builds it" >&2; exit 1; }

work=$(mktemp -d)
server=
clean_up() {
  trap - EXIT INT TERM
  [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" 2>/dev/null; } || true
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step() { printf '\n%s\n' "$*"; }

# Runs a sync and keeps its summary line. On a terminal it runs in one of its own, so that the progress line is shown.
run_sync() { # NAME ARGUMENT...
  local name=$1; shift
  local command
  command=$(printf '%q ' "$trunkline" sync "$@")
  if [ -t 1 ]; then
    script -qefc "$command" "$work/$name.log"
  else
    bash -c "$command" | tee "$work/$name.log"
  fi
}

# Names, kinds, sizes, modes, times and link targets of everything in a tree; sizes of directories mean nothing.
listing() {
  (cd "$1" && find . \( -type d -printf '%P d %m %T@\n' \) -o \( -type l -printf '%P l %T@ %l\n' \) -o -printf '%P %y %m %T@ %s\n' |
    LC_ALL=C sort)
}

differences=0
compare() { # TREE TREE
  if diff -r --no-dereference "$1" "$2" >"$work/difference" && diff <(listing "$1") <(listing "$2") >>"$work/difference"; then
    echo "equal: every byte, mode, time and link of $(find "$1" | wc -l) names"
  else
    echo "DIFFERENT: $1 and $2" >&2
    head -n 20 "$work/difference" >&2
    differences=$((differences + 1))
  fi
}

step "Gathering this repository and /usr/include"
mkdir "$work/source" "$work/served"
if git -C "$repository" rev-parse HEAD >/dev/null 2>&1; then
  git -C "$repository" archive --prefix=repository/ HEAD | tar -x -C "$work/source"
else
  mkdir "$work/source/repository"
  tar -c -C "$repository" --exclude=./build --exclude=./.git . | tar -x -C "$work/source/repository"
fi
cp -a /usr/include "$work/source/include"
du -sh --apparent-size "$work/source" | awk '{print $1 " in " n " names"}' n="$(find "$work/source" | wc -l)"

step "A node serves an empty directory"
"$trunkline" serve --quiet --root "$work/served" --listen tcp://127.0.0.1:0 >"$work/address" &
server=$!
while ! grep -q '^listening on' "$work/address"; do # it says so when it does
  kill -0 "$server" 2>/dev/null || { echo "demo: the serving node did not start" >&2; exit 1; }
  read -rt 0.05 <> <(:) || true
done
address=$(sed -n 's/^listening on //p' "$work/address")
echo "listening on $address"

step "A second node pushes the tree to it"
run_sync push "$work/source" "$address"
compare "$work/source" "$work/served"

step "Three files change, one is added, one is deleted; synced again"
mapfile -t victims < <(cd "$work/source" && find include -type f -size +1k | LC_ALL=C sort | head -n 4)
for victim in "${victims[@]:0:3}"; do
  echo "// changed" >>"$work/source/$victim"
done
echo "an added file" >"$work/source/a new file"
rm "$work/source/${victims[3]}"
run_sync change --delete "$work/source" "$address"
compare "$work/source" "$work/served"

step "The other direction: the same node gives the tree to a third directory"
run_sync pull "$address" "$work/third"
compare "$work/source" "$work/third"

kill -TERM "$server"
wait "$server" || { echo "demo: the serving node ended with status $?" >&2; differences=$((differences + 1)); }
server=

step "Summary"
printf '%-22s %8s %10s %9s %9s %12s\n' "" files bytes circuits seconds rate
for phase in push change pull; do
  # "N files, 1.2 MB in 3.45 s (6.7 MB/s) over M circuits; ..."
  tr '\r' '\n' <"$work/$phase.log" | sed -nE \
    's/^.*[^0-9]?\b([0-9]+) files, ([0-9.]+ [A-Za-z]+) in ([0-9.]+) s \(([0-9.]+ [A-Za-z/]+)\) over ([0-9]+) circuits.*$/\1\t\2\t\5\t\3\t\4/p' |
    tail -n 1 | while IFS=$'\t' read -r files bytes circuits seconds rate; do
      case $phase in push) name="push of everything" ;; change) name="push of the changes" ;; pull) name="pull of everything" ;; esac
      printf '%-22s %8s %10s %9s %9s %12s\n' "$name" "$files" "$bytes" "$circuits" "$seconds" "$rate"
    done
done
if [ "$differences" -ne 0 ]; then
  echo "$differences differences" >&2
  exit 1
fi
echo "no differences"
