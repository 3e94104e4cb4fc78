#!/usr/bin/env python3
"""The layers hold, and a violation planted in a copy of the tree is seen.

Copies the sources of the folders into a temporary tree, checks it, then adds one #include at a time to one file and expects exactly
one report for it.
"""

import os
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support")]
import layering  # noqa: E402
from checks import check, finish  # noqa: E402

# (file, what it is made to include, whether that is a violation)
PLANTED = [
    ("fragment/planted.hpp", '#include "circuit/circuit.hpp"', True),
    ("fragment/planted.hpp", "#include <boost/asio/post.hpp>", True),
    ("fragment/planted.hpp", '#include "async/types.hpp"', 2),
    ("async/planted.hpp", '#include "circuit/machine.hpp"', True),
    ("circuit/planted.cpp", '#include "transport/transport.hpp"', True),
    ("circuit/planted.cpp", '#include "peer/node.hpp"', True),
    ("circuit/planted.cpp", "#include <boost/asio/ip/tcp.hpp>", True),
    ("circuit/machine.hpp", "#include <boost/asio/awaitable.hpp>", True),
    ("circuit/output.cpp", '#include "async/signal.hpp"', True),
    ("circuit/trunk.cpp", "#include <boost/asio/awaitable.hpp>", False),
    ("circuit/native/planted.hpp", "#include <boost/asio/awaitable.hpp>", True),
    ("circuit/native/machine.cpp", "# include <boost/asio/awaitable.hpp>", True),
    ("circuit/native/machine.cpp", '#include "async/signal.hpp"', True),
    ("circuit/limits.hpp", "#include <boost/asio/awaitable.hpp>", True),
    ("transport/planted.cpp", '#include "circuit/circuit.hpp"', True),
    ("transport/planted.cpp", '#include "../circuit/circuit.hpp"', True),
    ("peer/planted.cpp", '#include "services/sync/sync.hpp"', True),
    ("peer/planted.cpp", '#include "cli/main.hpp"', True),
    ("peer/planted.cpp", '#include "tests/support/seed.hpp"', True),
    ("peer/planted.cpp", "#include <sys/socket.h>", True),
    ("peer/planted.cpp", "#include <openssl/ssl.h>", True),
    ("peer/planted.cpp", "#include <boost/beast/websocket.hpp>", True),
    ("peer/planted.cpp", '#include "transport/transport.hpp"', False),
    ("peer/planted.cpp", '// #include "services/sync/sync.hpp"', False),
    ("circuit/planted.cpp", "#include <boost/asio/awaitable.hpp>", False),
    ("transport/planted.cpp", "#include <boost/asio/ip/tcp.hpp>", False),
    ("services/planted.cpp", "#include <boost/beast/http.hpp>", False),
    ("services/planted.cpp", '#include "peer/node.hpp"', False),
    # Walls inside a folder.
    ("async/component/planted.hpp", '#include "circuit/circuit.hpp"', True),
    ("async/component/planted.hpp", '#include "peer/node.hpp"', True),
    ("async/component/planted.hpp", '#include "fragment/error.hpp"', False),
    ("async/planted.cpp", '#include "async/component/component.hpp"', True),
    ("circuit/planted.cpp", '#include "circuit/native/machine.hpp"', True),
    ("circuit/native/planted.cpp", '#include "circuit/machine.hpp"', False),
    ("peer/planted.hpp", '#include "peer/channel/network.hpp"', True),
    ("peer/planted.cpp", '#include "peer/channel/network.hpp"', True),
    ("peer/planted.hpp", '#include "channel/network.hpp"', True),
    ("peer/planted.hpp", '#include "node.hpp"', False),
    ("async/planted.hpp", '#include "component/component.hpp"', True),
    ("circuit/planted.cpp", '#include "native/machine.hpp"', True),
    ("peer/planted.cpp", '#include "circuit/native/machine.hpp"', False),
    ("peer/channel/planted.hpp", '#include "peer/node.hpp"', False),
    # Rooms: an arrow up, a circle, one that leaves the house, a room without a place.
    ("services/quarkchain/chain/planted.hpp", '#include "services/quarkchain/protocol/frame.hpp"', True),
    ("services/quarkchain/rpc/planted.hpp", '#include "services/quarkchain/backend/backend.hpp"', True),
    ("services/quarkchain/ledger/planted.cpp", '#include "services/quarkchain/slave/slave_node.hpp"', True),
    ("services/quarkchain/slave/planted.cpp", '#include "services/quarkchain/master/master_node.hpp"', True),
    ("services/quarkchain/master/planted.cpp", '#include "services/quarkchain/component.hpp"', True),
    ("services/quarkchain/planted/planted.cpp", '#include "services/quarkchain/chain/bytes.hpp"', True),
    ("services/quarkchain/backend/planted.hpp", '#include "services/quarkchain/rpc/refusal.hpp"', False),
    ("services/quarkchain/planted.cpp", '#include "services/quarkchain/master/master_node.hpp"', False),
    ("services/quarkchain/chain/planted.cpp", '#include "peer/node.hpp"', False),
]


with tempfile.TemporaryDirectory() as tree:
    for folder in layering.MAY_INCLUDE:
        if os.path.isdir(os.path.join(ROOT, folder)):
            shutil.copytree(os.path.join(ROOT, folder), os.path.join(tree, folder))
    before = list(layering.violations(tree))
    check("the layers hold", not before, "\n".join(before))
    check("there is something to check", any(files for _, _, files in os.walk(tree)))

    for path, line, wrong in PLANTED:
        target = os.path.join(tree, path)
        original = None
        if os.path.exists(target):
            with open(target, encoding="utf-8") as file:
                original = file.read()
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w", encoding="utf-8") as file:
            file.write((original or "") + "\n" + line + "\n")
        found = [text for text in layering.violations(tree) if text not in before]
        check(f"{path} with {line}", len(found) == int(wrong), "\n".join(found) or "nothing was reported")
        if original is None:
            os.remove(target)
        else:
            with open(target, "w", encoding="utf-8") as file:
                file.write(original)

finish()
