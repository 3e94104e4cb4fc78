#!/usr/bin/env bash
# Debian packages of this tree, and a look at whether they are of use.

# ./dev package [--kind KIND]
#   Builds the Debian packages into build/packages, asks lintian about them, unpacks them into an empty directory and
#   compiles README's program against them, with the shared library and with the static one.
#   --kind  compiled as .ci/kinds/KIND.ini says; release unless told
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build_root=${TRUNKLINE_BUILD_ROOT:-$repository/build}
kind=release
while [ $# -gt 0 ]; do
  case "$1" in
    --kind) kind=${2:-} && shift 2 ;;
    *) echo "package: unknown argument $1; see ./dev package --help" >&2; exit 1 ;;
  esac
done
[ -f "$repository/.ci/kinds/$kind.ini" ] || { echo "package: there is no kind $kind" >&2; exit 1; }
fail() { printf 'package: %s\n' "$*" >&2; exit 1; }

"$repository/dev" setup --package
triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
build=$build_root/package
export CCACHE_BASEDIR=$repository CCACHE_NOHASHDIR=1
if [ ! -f "$build/build.ninja" ]; then
  meson setup "$build" "$repository" --native-file "$repository/.ci/kinds/$kind.ini" \
    --native-file "$repository/.ci/kinds/ccache.ini" --prefix=/usr --libdir="lib/$triplet" -Ddefault_library=both \
    -Dtests=false -Dquarkchain=false -Dplanted_bugs=false >"$build_root/package.log" 2>&1 ||
    { cat "$build_root/package.log" >&2; fail "meson setup failed"; }
fi
ninja -C "$build" -j "${TRUNKLINE_JOBS:-$(nproc)}"

# dpkg writes beside the tree, so it works in a copy of what is committed or changed, without build directories.
work=$(mktemp -d "${TMPDIR:-/tmp}/trunkline-package-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"
(cd "$repository" && find . \( -path ./build -o -path ./.git -o -path ./site \) -prune -o -print0 |
  tar --null --no-recursion -cf - -T -) | tar -C "$work/tree" -xf -
(cd "$work/tree" && TRUNKLINE_PACKAGE_BUILD=$build dpkg-buildpackage -d -b -us -uc >"$build_root/package.log" 2>&1) ||
  { tail -n 40 "$build_root/package.log" >&2; fail "dpkg-buildpackage failed; the whole output is in $build_root/package.log"; }
rm -rf "$build_root/packages"
mkdir "$build_root/packages"
mv "$work"/*.deb "$work"/*.changes "$work"/*.buildinfo "$build_root/packages/"
lintian --fail-on error "$build_root"/packages/*.changes || fail "lintian found errors"

# An empty root with these packages and nothing else of ours.
for package in "$build_root"/packages/*.deb; do dpkg-deb -x "$package" "$work/root"; done
sed -E 's/#include "(async|peer)/#include "trunkline\/\1/' "$repository/examples/readme.cpp" >"$work/readme.cpp"
export PKG_CONFIG_PATH=$work/root/usr/lib/$triplet/pkgconfig PKG_CONFIG_SYSROOT_DIR=$work/root
export LD_LIBRARY_PATH=$work/root/usr/lib/$triplet
compile() { # OUTPUT [FLAG...]: with the flags of pkg-config
  local output=$1 started=$SECONDS
  shift
  # shellcheck disable=SC2046 # flags are words
  clang++-19 -std=c++20 -o "$output" "$work/readme.cpp" $(pkg-config --cflags trunkline) "$@" || fail "README's program does not compile"
  "$output" | tail -n 1
  echo "README's program, compiled in $((SECONDS - started)) s"
  [ $((SECONDS - started)) -lt 10 ] || echo "more than ten seconds"
}
# shellcheck disable=SC2046
compile "$work/shared" $(pkg-config --libs trunkline)
readelf -d "$work/shared" | grep -q 'NEEDED.*libtrunkline.so.0' || fail "README's program does not use libtrunkline.so.0"
needed=$(readelf -d "$work/shared" | grep -c 'NEEDED')
echo "the program needs $needed shared libraries"
# shellcheck disable=SC2046
compile "$work/static" $(pkg-config --static --libs trunkline | sed 's/-ltrunkline/-l:libtrunkline.a/')
"$work/root/usr/bin/trunkline" --version
ls -l "$build_root"/packages/*.deb
