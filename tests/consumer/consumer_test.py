#!/usr/bin/env python3
"""Programs of other people, each in a project of its own, against this build as it is installed.

    consumer_test.py BUILD_DIRECTORY COMPILER SANITIZERS

Each has a timer, sockets and HTTP of its own beside trunkline, and a header peer/node.hpp. The routes that build
trunkline with themselves compile the program as they would and link it with the libraries of BUILD_DIRECTORY, which are
made of the same sources: compiling those once more would take longer than all other tests.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "support"))

from checks import check, finish  # noqa: E402

BUILD, COMPILER, SANITIZERS = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3]
SANITIZED = SANITIZERS != "none"
CLANG, GCC = "clang++-19", "g++-12"
LINKERS = ["lld", "bfd"]


def run(command, cwd=None, **environment):
    done = subprocess.run([str(word) for word in command], cwd=cwd, env={**os.environ, **environment},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace")
    return done.returncode, done.stdout


def install(prefix):
    """As `meson install` does it, of the framework alone and without building anything."""
    code, output = run(["meson", "install", "-C", BUILD, "--no-rebuild", "--tags", "devel,runtime-libraries",
                        "--destdir", prefix])
    check("meson install --tags devel", code == 0, output)
    found = next(prefix.rglob("include/trunkline"), None)
    assert found, output
    return found.parents[1]


def headers_are_ours_alone(installed):
    check("one folder in the include root", os.listdir(installed / "include") == ["trunkline"])
    _, listed = run([ROOT / "packaging" / "export_headers.py", "--list"])
    names = {str(path.relative_to(installed / "include/trunkline")) for path in installed.rglob("include/**/*.hpp")}
    check("the public headers, and the version", names == {*listed.split(), "version.hpp"}, str(names))
    quoted = [name for name in names if '#include "' in (installed / "include/trunkline" / name).read_text()]
    check("no header includes another by a name of this repository", not quoted, str(quoted))


class Consumer:
    """One project: where its program is built, and how it went."""

    def __init__(self, work, installed, name):
        self.name, self.out, self.installed = name, work / name, installed
        self.out.mkdir()
        libraries = next(installed.rglob("libtrunkline.*")).parent
        root = str(installed).removesuffix(installed_prefix(installed))
        self.shared = work / "shared"
        self.environment = {"PKG_CONFIG_PATH": str(libraries / "pkgconfig"), "PKG_CONFIG_SYSROOT_DIR": root,
                            "LD_LIBRARY_PATH": f"{libraries}:{self.shared}"}

    def built(self, code, output):
        check(f"{self.name}: builds", code == 0, output[-4000:])
        return code == 0

    def runs(self, program):
        code, output = run([program], **self.environment)
        check(f"{self.name}: runs", code == 0, f"exit code {code}\n{output}")


def installed_prefix(installed):
    text = next(installed.rglob("trunkline.pc")).read_text()
    return next(line for line in text.splitlines() if line.startswith("prefix=")).removeprefix("prefix=")


def sanitizer_flags():
    return f" -fsanitize={SANITIZERS} -fno-omit-frame-pointer" if SANITIZED else ""


def by_pkg_config(consumer, compiler, flags):
    """Compiled once, and linked by both linkers, then with a shared library."""
    flags += sanitizer_flags()
    for linker in LINKERS:
        (consumer.out / "program").unlink(missing_ok=True)
        code, output = run(["make", "-C", HERE / "pkgconfig", f"OUT={consumer.out}", f"CXX={compiler}", f"CXXFLAGS={flags}",
                            f"LDFLAGS=-fuse-ld={linker}"], **consumer.environment)
        if consumer.built(code, output):
            consumer.runs(consumer.out / "program")
    objects = [consumer.out / "main.o", consumer.out / "other_asio.o"]
    if not SANITIZED and all(path.exists() for path in objects):
        shared = consumer.out / "shared"
        code, output = run([compiler, *flags.split(), "-o", shared, *objects, consumer.shared / "libtrunkline.so.0"])
        if consumer.built(code, output):
            _, needed = run(["readelf", "-d", shared])
            check(f"{consumer.name}: uses the shared library and none of what that uses",
                  "[libtrunkline.so.0]" in needed and not re.search(r"libprotobuf|libssl|libfmt|libspdlog", needed), needed)
            consumer.runs(shared)


def share(installed, directory):
    """The shared library, made of the objects of the static one as meson makes it: these are position independent."""
    directory.mkdir()
    _, packages = run(["pkg-config", "--libs", "protobuf", "openssl", "fmt"])
    code, output = run([COMPILER, "-shared", "-fuse-ld=lld", "-o", directory / "libtrunkline.so.0", "-Wl,-soname,libtrunkline.so.0",
                        f"-Wl,--version-script={ROOT / 'packaging' / 'exported.map'}", "-Wl,--no-undefined", "-Wl,--whole-archive",
                        next(installed.rglob("libtrunkline.a")), "-Wl,--no-whole-archive", *packages.split(), "-pthread"])
    check("the shared library links", code == 0, output[-2000:])


def by_cmake(consumer, compiler):
    configure = ["cmake", "-G", "Ninja", "-S", HERE / "cmake", "-B", consumer.out, f"-DCMAKE_CXX_COMPILER={compiler}",
                 f"-DCMAKE_PREFIX_PATH={consumer.installed}", f"-DCMAKE_CXX_FLAGS={sanitizer_flags()}"]
    code, output = run(configure)
    if code == 0:
        code, output = run(["ninja", "-C", consumer.out])
    if consumer.built(code, output):
        consumer.runs(consumer.out / "program")


def link_as_ninja_would(directory, place):
    """Runs the last step of `program` with our libraries in the place of those that ninja would make."""
    (directory / place).mkdir(parents=True, exist_ok=True)
    for library in BUILD.glob("libtrunkline*.a"):
        (directory / place / library.name).unlink(missing_ok=True)
        # What is not installed is within the one that is; meson names it all the same.
        (directory / place / library.name).write_bytes(b"!<arch>\n")
    (directory / place / "libtrunkline.a").unlink(missing_ok=True)
    (directory / place / "libtrunkline.a").symlink_to(BUILD / "libtrunkline.a")
    _, commands = run(["ninja", "-C", directory, "-t", "commands", "program"])
    return run(["sh", "-c", commands.strip().splitlines()[-1]], cwd=directory)


def by_fetch(consumer, compiler):
    configure = ["cmake", "-G", "Ninja", "-S", HERE / "fetch", "-B", consumer.out, f"-DCMAKE_CXX_COMPILER={compiler}",
                 f"-DCMAKE_CXX_FLAGS={sanitizer_flags()}", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"]
    objects = [f"CMakeFiles/program.dir{HERE}/program/{name}.cpp.o" for name in ("main", "other_asio")]
    code, output = run(configure)
    if code == 0:
        code, output = run(["ninja", "-C", consumer.out, *objects])
    if code == 0:
        code, output = link_as_ninja_would(consumer.out, "_deps/trunkline-build")
    if consumer.built(code, output):
        consumer.runs(consumer.out / "program")
    compared = {str(path) for path in sources(BUILD, ("libtrunkline.a.p/", "libtrunkline_asio", "services/admin/lib", "services/sync/lib",
                                                       "services/gossip/lib"))}
    theirs = {path for path in map(str, sources(consumer.out, ("",))) if "/program/" not in path}
    check("CMake compiles what meson compiles", compared == theirs, str(compared ^ theirs))


def sources(directory, outputs):
    """The files of this repository that are compiled into one of `outputs`."""
    with open(directory / "compile_commands.json", encoding="utf-8") as file:
        for command in json.load(file):
            path = pathlib.Path(command["directory"], command["file"]).resolve()
            if command.get("output", "").startswith(outputs) and path.suffix == ".cpp" and path.is_relative_to(ROOT) \
                    and not path.is_relative_to(directory.resolve()):
                yield path


def by_subproject(consumer, compiler):
    project = consumer.out / "project"
    shutil.copytree(HERE / "program", project)
    shutil.copy(HERE / "subproject" / "meson.build", project)
    (project / "subprojects").mkdir()
    (project / "subprojects" / "trunkline").symlink_to(ROOT)
    shutil.copy(HERE / "subproject" / "trunkline.wrap", project / "subprojects")
    build = consumer.out / "build"
    options = [f"-Db_sanitize={SANITIZERS}", "-Db_lundef=false"] if SANITIZED else []  # else nothing is set, as she does
    code, output = run(["meson", "setup", build, project, *options], CXX=compiler, CXX_LD="lld")
    if code == 0:
        code, output = run(["ninja", "-C", build, "program.p/main.cpp.o", "program.p/other_asio.cpp.o"])
    if code == 0:
        code, output = link_as_ninja_would(build, "subprojects/trunkline")
    if consumer.built(code, output):
        consumer.runs(build / "program")


def by_guide(consumer):
    """Does what docs/guides/first-service.md says to somebody in an empty folder."""
    page = (ROOT / "docs/guides/first-service.md").read_text(encoding="utf-8")
    for name, text in re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        (consumer.out / name).write_text(text)
    typed = "".join(re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    code, output = run(["sh", "-e", "-c", typed], cwd=consumer.out, CXX_LD="lld", **consumer.environment)
    if not consumer.built(code, output):
        return
    # In two terminals.
    (serve, listening), (ask, hello) = re.findall(r"^```console\n\$ (.*)\n(.*)\n```$", page, re.MULTILINE)
    place = str(consumer.out)
    server = subprocess.Popen(serve.replace("/tmp/", place + "/").split(), cwd=place, stdout=subprocess.PIPE, text=True)
    try:
        heard = server.stdout.readline().strip()
        check(f"{consumer.name}: the first terminal", heard == listening.replace("/tmp/", place + "/"), heard)
        code, output = run(ask.replace("/tmp/", place + "/").split(), cwd=place)
        check(f"{consumer.name}: the second terminal", code == 0 and output.strip() == hello, output)
        server.send_signal(signal.SIGINT)
        check(f"{consumer.name}: Ctrl-C", server.wait(60) == 0)
    finally:
        server.kill()
        server.wait()
    code, output = run(["cmake", "-G", "Ninja", "-B", "by_cmake", f"-DCMAKE_CXX_COMPILER={CLANG}",
                        f"-DCMAKE_PREFIX_PATH={consumer.installed}"], cwd=place)
    check(f"{consumer.name}: its CMakeLists.txt finds trunkline", code == 0, output)


def refusals(consumer):
    """A setting of Asio that differs is an error of the linker with its name; an old language one of the compiler."""
    source = consumer.out / "small.cpp"
    source.write_text("#include <trunkline/async/run.hpp>\nint main() { trunkline::run({}); }\n")
    _, flags = run(["pkg-config", "--cflags", "--libs", "trunkline"], **consumer.environment)
    common = [COMPILER, source, "-o", consumer.out / "small", *sanitizer_flags().split()]
    _, output = run([*common, "-std=c++17", *flags.split()])
    check("C++17 is refused in words", "trunkline needs C++20: compile with -std=c++20" in output, output[:2000])
    code, output = run([*common, "-std=c++20", "-DBOOST_ASIO_DISABLE_SMALL_BLOCK_RECYCLING", *flags.split()])
    check("another setting of Asio does not link, and is named",
          code != 0 and "built_with_BOOST_ASIO_DISABLE_SMALL_BLOCK_RECYCLING" in output, output[:2000])
    everything = consumer.out / "everything.cpp"
    _, listed = run([ROOT / "packaging" / "export_headers.py", "--list"])
    everything.write_text("".join(f"#include <trunkline/{name}>\n" for name in listed.split()))
    code, output = run([COMPILER, "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", everything, *flags.split()])
    check("every public header compiles where it is installed", code == 0 and "error" not in output, output[:4000])


def main():
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        installed = install(work / "installed")
        headers_are_ours_alone(installed)
        if not SANITIZED:
            share(installed, work / "shared")
        jobs = {
            "pkg-config": lambda one: by_pkg_config(one, COMPILER, "-O0"),
            "pkg-config-release": lambda one: by_pkg_config(one, COMPILER, "-O2 -DNDEBUG"),
            "cmake": lambda one: by_cmake(one, COMPILER),
            "subproject": lambda one: by_subproject(one, COMPILER),
            "refusals": refusals,
        }
        if not SANITIZED:
            jobs["guide"] = by_guide
            jobs["fetch"] = lambda one: by_fetch(one, COMPILER)
            other = GCC if COMPILER == CLANG else CLANG
            if shutil.which(other):
                jobs[f"pkg-config-{other}"] = lambda one: by_pkg_config(one, other, "-O0 -w")
        with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("TRUNKLINE_JOBS") or 2)) as pool:
            for future in [pool.submit(job, Consumer(work, installed, name)) for name, job in jobs.items()]:
                future.result()
    finish()


main()
