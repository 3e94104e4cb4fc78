#!/usr/bin/env bash
# The main job on real input: pushes this repository and /usr/include to a node that serves an empty directory, changes
# something, syncs again, pulls everything back, and compares every byte, mode and time on the way.

# ./dev demo [--keep] [BUILD_DIRECTORY]
#   Installs what is missing, builds a release, and syncs a real tree between two nodes, push and pull, comparing every byte.
#   BUILD_DIRECTORY  where the program is; nothing is installed or built then
#   --keep   leave the three trees where they are and say where
#   TMPDIR   where the trees are made, about three times the size of /usr/include; default /tmp

set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
keep=false build=
for argument in "$@"; do
  case "$argument" in
    --keep) keep=true ;;
    -*) echo "demo: unknown argument $argument; see ./dev demo --help" >&2; exit 1 ;;
    *) build=$argument ;;
  esac
done
if [ -z "$build" ]; then
  "$repository/dev" build --demo -- cli/trunkline
  build=${TRUNKLINE_BUILD_ROOT:-$repository/build}/demo
fi
[ -x "$build/cli/trunkline" ] || { echo "demo: $build/cli/trunkline is missing; ./dev demo builds it" >&2; exit 1; }
program=$(cd "$build/cli" && pwd)/trunkline

work=$(mktemp -d "${TMPDIR:-/tmp}/trunkline-demo-XXXXXX")
server=
cleanup() {
  trap - EXIT INT TERM
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  if $keep; then echo "the trees are in $work"; else rm -rf "$work"; fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

# sync PHASE ARGUMENT...: one line of progress where there is a terminal, one row of the table at the end.
phases=()
sync() {
  local phase=$1 code=0
  shift
  "$program" sync --json "$@" >"$work/out.json" || code=$?
  tail -n 1 "$work/out.json" >"$work/phase-${#phases[@]}.json"
  if [ "$code" != 0 ]; then
    grep -a '"event": "error"' "$work/out.json" >&2 || true
    fail "$phase ended with exit code $code"
  fi
  phases+=("$phase")
  printf '%s\n' "$(row "$((${#phases[@]} - 1))")"
}

number() { sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p" "$2"; }

row() { # of the table, for a phase by its number
  local file=$work/phase-$1.json
  awk -v phase="${phases[$1]}" -v files="$(number files "$file")" -v bytes="$(number bytes "$file")" \
    -v circuits="$(number circuits "$file")" -v seconds="$(number seconds "$file")" \
    'BEGIN { printf "%-34s %8d %12d %9d %8.2f %8.1f", phase, files, bytes, circuits, seconds, (seconds > 0 ? bytes / seconds / 1e6 : 0) }'
}

heading() { printf '%-34s %8s %12s %9s %8s %8s\n' phase files bytes circuits seconds MB/s; }

# Type, permissions, time to the nanosecond and target of everything; setuid, setgid and sticky are not synced.
attributes() { (cd "$1" && find . -printf '%y %m %T@ %l %P\0' | sed -zE 's/^(l) [0-7]+/\1/; s/^([^l]) [0-7]*([0-7]{3}) /\1 \2 /' | sort -z); }

compare() { # two trees, byte by byte, and their attributes
  diff -r --no-dereference "$1" "$2" >"$work/diff" || { head -n 20 "$work/diff" >&2; fail "$1 and $2 differ"; }
  attributes "$1" >"$work/attributes-1"
  attributes "$2" >"$work/attributes-2"
  cmp -s "$work/attributes-1" "$work/attributes-2" || {
    diff --text <(tr '\0' '\n' <"$work/attributes-1") <(tr '\0' '\n' <"$work/attributes-2") | head -n 20 >&2
    fail "modes or times of $1 and $2 differ"
  }
  echo "equal, byte by byte, modes and times too: ${1#"$work"/} and ${2#"$work"/}"
}

say "one node serves an empty directory"
mkdir "$work/served" "$work/here"
"$program" serve --root "$work/served" --listen tcp://127.0.0.1:0 >"$work/address" 2>"$work/log" &
server=$!
while ! grep -qs '^listening on ' "$work/address"; do
  kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; fail "the node did not start"; }
  read -rt 0.05 _ < <(:) || true
done
address=$(sed -n 's/^listening on //p' "$work/address")
echo "$address"

say "another pushes this repository and /usr/include to it, one circuit per file"
# The repository is copied first: what is changed below are the files of the copy.
(cd "$repository" && find . -path ./build -prune -o -path ./.git -prune -o -print0 | tar --null --no-recursion -cf - -T -) |
  tar -C "$work/here" -xpf -
heading
sync "push the repository" "$work/here" "$address/repository"
sync "push /usr/include" /usr/include "$address/include"
compare "$work/here" "$work/served/repository"
compare /usr/include "$work/served/include"

say "three files change, one is new, one is gone; the same again"
for file in README.md meson.build dev; do
  [ -f "$work/here/$file" ] || file=LICENSE
  echo "# changed by the demo" >>"$work/here/$file"
done
echo "new" >"$work/here/a new file"
rm "$work/here/meson_options.txt"
sync "push the repository again" --delete "$work/here" "$address/repository"
[ "$(number files "$work/phase-2.json")" = 4 ] || fail "4 files should have been sent, not $(number files "$work/phase-2.json")"
[ "$(number deleted "$work/phase-2.json")" = 1 ] || fail "1 file should have been deleted, not $(number deleted "$work/phase-2.json")"
sync "push /usr/include again" --delete /usr/include "$address/include"
compare "$work/here" "$work/served/repository"
compare /usr/include "$work/served/include"

say "the same services, the other way round: everything is pulled back"
sync "pull both" "$address" "$work/back"
compare "$work/served" "$work/back"
compare "$work/here" "$work/back/repository"

say "all trees are equal"
heading
for index in "${!phases[@]}"; do printf '%s\n' "$(row "$index")"; done
