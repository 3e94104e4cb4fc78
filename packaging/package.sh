#!/usr/bin/env bash
# Debian packages of this tree, and a look at whether they are of use.

# ./dev package [--fresh-root DIRECTORY]
#   Builds the Debian packages into build/packages, asks lintian about them, unpacks them into an empty directory and
#   compiles README's program against them, with the shared library and with the static one.
#   --fresh-root  also installs them with apt in a Debian 12 of its own in that directory, which debootstrap makes when it
#           is empty, and compiles and runs README's program there; needs root, and a mirror
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build_root=${TRUNKLINE_BUILD_ROOT:-$repository/build}
fresh_root=
while [ $# -gt 0 ]; do
  case "$1" in
    --fresh-root) fresh_root=${2:-} && shift 2 ;;
    *) echo "package: unknown argument $1; see ./dev package --help" >&2; exit 1 ;;
  esac
done
fail() { printf 'package: %s\n' "$*" >&2; exit 1; }
[ -z "$fresh_root" ] || [ "$(id -u)" = 0 ] || fail "--fresh-root needs root"

"$repository/dev" setup --package
triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
build=$build_root/package
export CCACHE_BASEDIR=$repository CCACHE_NOHASHDIR=1
if [ ! -f "$build/build.ninja" ]; then
  mkdir -p "$build_root"
  # Debian's flags against exploits; package.ini says how much is optimized.
  flags() { DEB_BUILD_MAINT_OPTIONS='hardening=+all reproducible=-fixfilepath' DEB_CXXFLAGS_MAINT_STRIP='-g -O2' dpkg-buildflags --get "$1"; }
  CXXFLAGS="$(flags CXXFLAGS) $(flags CPPFLAGS)" LDFLAGS=$(flags LDFLAGS) meson setup "$build" "$repository" \
    --native-file "$repository/packaging/package.ini" --native-file "$repository/.ci/kinds/ccache.ini" \
    --libdir="lib/$triplet" >"$build_root/package.log" 2>&1 || { cat "$build_root/package.log" >&2; fail "meson setup failed"; }
fi
ninja -C "$build" -j "${TRUNKLINE_JOBS:-$(nproc)}"

# dpkg writes beside the tree, so it works in a copy of what is committed or changed, without build directories.
work=$(mktemp -d "${TMPDIR:-/tmp}/trunkline-package-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"
(cd "$repository" && find . \( -path ./build -o -path ./.git -o -path ./site -o -name node_modules \) -prune -o -print0 |
  tar --null --no-recursion -cf - -T -) | tar -C "$work/tree" -xf -
(cd "$work/tree" && TRUNKLINE_PACKAGE_BUILD=$build dpkg-buildpackage -d -b -us -uc >"$build_root/package.log" 2>&1) ||
  { tail -n 40 "$build_root/package.log" >&2; fail "dpkg-buildpackage failed; the whole output is in $build_root/package.log"; }
rm -rf "$build_root/packages"
mkdir "$build_root/packages"
mv "$work"/*.deb "$work"/*.changes "$work"/*.buildinfo "$build_root/packages/"
lintian --fail-on error "$build_root"/packages/*.changes || fail "lintian found errors"

# README's program, as it stands there.
sed -n '/^```cpp$/,/^```$/ { /^```/d; p }' "$repository/README.md" | sed '/^int main() { run(both_ways); }$/q' >"$work/readme.cpp"
grep -q 'run(both_ways)' "$work/readme.cpp" || fail "README.md has no program"

# An empty root with these packages and nothing else of ours.
for package in "$build_root"/packages/*.deb; do dpkg-deb -x "$package" "$work/root"; done
export PKG_CONFIG_PATH=$work/root/usr/lib/$triplet/pkgconfig PKG_CONFIG_SYSROOT_DIR=$work/root
export LD_LIBRARY_PATH=$work/root/usr/lib/$triplet
TIMEFORMAT="README's program, compiled in %R s, %U s of a processor"
compile() { # OUTPUT [FLAG...]: with the flags of pkg-config
  local output=$1
  shift
  # shellcheck disable=SC2046 # flags are words
  time clang++-19 -std=c++20 -o "$output" "$work/readme.cpp" $(pkg-config --cflags trunkline) "$@" || fail "README's program does not compile"
  "$output" | tail -n 1
}
# shellcheck disable=SC2046
compile "$work/shared" $(pkg-config --libs trunkline)
readelf -d "$work/shared" | grep -q 'NEEDED.*libtrunkline.so.0' || fail "README's program does not use libtrunkline.so.0"
echo "the program needs $(readelf -d "$work/shared" | grep -c 'NEEDED') shared libraries"
# shellcheck disable=SC2046
compile "$work/static" $(pkg-config --static --libs trunkline | sed 's/-ltrunkline/-l:libtrunkline.a/')
"$work/root/usr/bin/trunkline" --version

if [ -n "$fresh_root" ]; then
  if [ ! -x "$fresh_root/usr/bin/apt-get" ]; then
    command -v debootstrap >/dev/null || fail "--fresh-root needs debootstrap"
    debootstrap --variant=minbase bookworm "$fresh_root" >"$build_root/package.log" 2>&1 ||
      { tail -n 5 "$build_root/package.log" >&2; fail "debootstrap failed; the whole output is in $build_root/package.log"; }
  fi
  # What this machine asks for packages, the fresh one asks, too.
  : >"$fresh_root/etc/apt/sources.list"
  for list in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    if [ -f "$list" ]; then cp "$list" "$fresh_root${list%/*}/"; fi
  done
  mkdir -p "$fresh_root/packages"
  rm -f "$fresh_root"/packages/*
  cp "$build_root"/packages/*.deb "$work/readme.cpp" "$fresh_root/packages/"
  cp "$repository/packaging/try_in_root.sh" "$fresh_root/packages/"
  chroot "$fresh_root" /bin/bash /packages/try_in_root.sh || fail "the packages are of no use in a fresh Debian 12"
fi
ls -l "$build_root"/packages/*.deb
