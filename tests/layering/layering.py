#!/usr/bin/env python3
"""The picture of the layers in docs/architecture.md, held to the #include lines.

    services, cli -> peer -> circuit -> async -> fragment -> proto
                     peer -> transport -> async
    circuit and transport do not know each other; nothing in the framework knows what is built on it.

Inside some folders are further walls: see INNER_WALLS and ROOMS.
"""

import os
import re
import sys

# What each folder may include, itself aside. A folder that is not listed here is not checked.
MAY_INCLUDE = {
    "proto": set(),
    "fragment": {"proto"},
    "async": {"fragment"},
    "circuit": {"async", "fragment", "proto"},
    "transport": {"async", "fragment"},
    "peer": {"circuit", "transport", "async", "fragment", "proto"},
    "services": {"peer", "circuit", "transport", "async", "fragment", "proto"},
    "cli": {"services", "peer", "circuit", "transport", "async", "fragment", "proto"},
    "examples": {"services", "peer", "circuit", "transport", "async", "fragment", "proto"},
}
FRAMEWORK = {"proto", "fragment", "async", "circuit", "transport", "peer"}

# The value and the machine know no I/O: bytes and a time point in, bytes, events and a deadline out.
WITHOUT_IO = re.compile(r"fragment/|circuit/(?:(?:machine|output|limits|invariant|circuit_table)\w*\.|native/)")
ASIO = re.compile(r"boost/(?:asio|beast)|async/")

# What touches a socket stays below transport/ (and in services/, where HTTP is the service itself).
SOCKETS = re.compile(r"boost/asio/(?:ip|local|ssl|generic)/|boost/asio/(?:ssl|basic_\w*socket\w*|posix)|boost/beast|openssl/|"
                     r"sys/(?:socket|un|epoll)\.h|netinet/|arpa/inet|netdb\.h|poll\.h")
MAY_USE_SOCKETS = {"transport", "services"}

# Walls inside a folder: what files of one place do not include of another, and the files that may do it all the same.
INNER_WALLS = [
    (re.compile(r"async/[^/]+$"), "async/component/", set(), "async/ does not know async/component/, which is built on it"),
    (re.compile(r"peer/[^/]+$"), "peer/channel/", set(), "peer/ does not know peer/channel/, which is built on it"),
    (re.compile(r"circuit/[^/]+$"), "circuit/native/", set(), "circuit/ knows machines, and no dialect"),
]

# Rooms of a folder, lowest first: a file includes nothing of a later room. Files beside the rooms are above all of them.
ROOMS = {
    "services/quarkchain": ["chain", "store", "protocol", "execution", "engine", "shard", "trunk", "rpc", "backend", "shards", "ledger", "cluster", "slave", "master"],
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]', re.MULTILINE)
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


def violations(root):
    """One line of text per #include that the picture does not have."""
    for folder in sorted(MAY_INCLUDE):
        for directory, folders, names in os.walk(os.path.join(root, folder)):
            folders.sort()
            for name in sorted(names):
                if not name.endswith((".cpp", ".hpp", ".h", ".cc")):
                    continue
                path = os.path.relpath(os.path.join(directory, name), root)
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    text = COMMENT.sub(lambda m: "\n" * m.group(0).count("\n"), file.read())
                for match in INCLUDE.finditer(text):
                    for why in wrong_with(folder, path, from_the_root(root, directory, match.group(1))):
                        yield f"{path}:{text.count(chr(10), 0, match.start()) + 1}: includes {match.group(1)}: {why}"


def from_the_root(root, directory, included):
    """What is included, as the picture has it: the compiler looks beside the including file first."""
    beside = os.path.join(directory, included)
    return os.path.relpath(beside, root) if not included.startswith(".") and os.path.isfile(beside) else included


def wrong_with(folder, path, included):
    # Written with ../ it would slip past the picture.
    target = included.split("/", 1)[0]
    if included.startswith("."):
        yield "write it from the root of the repository"
    elif target == "tests" and folder != "tests":
        yield "only tests include tests"
    elif target in MAY_INCLUDE and target != folder and target not in MAY_INCLUDE[folder]:
        if folder in FRAMEWORK and target not in FRAMEWORK:
            yield "nothing in the framework knows what is built on it"
        else:
            yield f"{folder}/ does not know {target}/"
    if WITHOUT_IO.match(path) and ASIO.match(included):
        yield "the value and the machine know no I/O"
    if folder in FRAMEWORK and folder not in MAY_USE_SOCKETS and SOCKETS.match(included):
        yield "sockets belong in transport/"
    for place, wall, may_pass, why in INNER_WALLS:
        if place.match(path) and included.startswith(wall) and path not in may_pass:
            yield why
    for house, rooms in ROOMS.items():
        if path.startswith(house + "/") and included.startswith(house + "/"):
            yield from wrong_between_rooms(house, rooms, path, included)


def wrong_between_rooms(house, rooms, path, included):
    room, target = (name[len(house) + 1:].rpartition("/")[0] for name in (path, included))
    for name in (room, target):
        if name and name not in rooms:
            yield f"{house}/{name}/ is not in the order of its rooms: give it a place in ROOMS"
            return
    if room and (not target or rooms.index(target) > rooms.index(room)):
        yield f"{house}/{room}/ is below {target or 'the files beside the rooms'}"


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    found = list(violations(root))
    print("\n".join(found) if found else "the layers hold")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
