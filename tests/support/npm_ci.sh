#!/usr/bin/env bash
# Installs what a package-lock.json lists, from npm and without its scripts, into a folder of the build.
#   npm_ci.sh PACKAGE INTO WHAT [LINK]
# PACKAGE has the lock file; INTO gets node_modules, and INTO.log what npm says; WHAT is said before; LINK, in a folder of
# sources, leads to those node_modules. Nothing is done when INTO already has what the lock file lists.
set -euo pipefail
package=$1 into=$2 what=$3 link=${4:-}

if [ ! -f "$into/node_modules/.package-lock.json" ] || ! cmp -s "$package/package-lock.json" "$into/package-lock.json"; then
  mkdir -p "$into"
  cp "$package/package.json" "$package/package-lock.json" "$into/"
  printf 'installing %s\n' "$what" >&2
  if ! npm ci --prefix "$into" --ignore-scripts --no-audit --no-fund >"$into.log" 2>&1; then
    tail -n 5 "$into.log" >&2
    printf 'npm ci failed; the whole output is in %s\n' "$into.log" >&2
    exit 1
  fi
fi
# A folder of that name is somebody's own npm ci.
if [ -n "$link" ] && { [ -L "$link" ] || [ ! -e "$link" ]; }; then ln -sfn "$into/node_modules" "$link"; fi
