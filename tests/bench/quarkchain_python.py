#!/usr/bin/env python3
"""The Python pair beside our figures for calls: a real pyquarkchain slave serves, a real pyquarkchain master drives.

    quarkchain_python.py serve calls_1 --seconds S
    quarkchain_python.py drive calls_1 PORT --seconds S
    quarkchain_python.py drive shard_checkdb

A driver as run.py knows them. PYQUARKCHAIN says where pyquarkchain is (docs/testing.md); without it the exit code is 77.
Each call is a GET_ACCOUNT_DATA over the one connection of a booted cluster, answered from four shards; how many are in
flight is in the workload's name. What is answered is looked at: every reply has its error code and its shards.

shard_checkdb has no cluster: one shard of pyquarkchain in memory, as its own tests make one, runs blocks of 200 transfers
again that it holds, which is what its master's --check_db asks of a slave. It has a tenth of the accounts that our driver has,
which is in its favour.
"""
import argparse
import asyncio
import json
import os
import sys
import tempfile
import time

UNSUPPORTED = 77
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop", "quarkchain"))


def refuse(reason):
    print(f"python: {reason}", file=sys.stderr)
    sys.exit(UNSUPPORTED)


def parsed():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["serve", "drive"])
    parser.add_argument("workload")
    parser.add_argument("port", nargs="?", type=int)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--far-pid")
    parser.add_argument("--plant")
    options = parser.parse_args()
    if options.workload not in ("calls_1", "calls_64", "shard_checkdb"):
        refuse(f"no {options.workload}")
    if options.plant:
        refuse("nothing is planted in pyquarkchain")
    if not os.environ.get("PYQUARKCHAIN"):
        refuse("PYQUARKCHAIN is not set")
    return options


def with_config(directory, port, *more):
    """The configuration of both, which differs in nothing that they compare."""
    from cluster import RICH, SHARDS, config, free_ports
    path = os.path.join(directory, "cluster_config.json")
    p2p_port, = free_ports(1)
    with open(path, "w") as file:
        json.dump(config([("S0", port, SHARDS)], p2p_port, p2p_port, [RICH]), file)
    sys.argv = ["quarkchain", "--cluster_config=" + path, *more]


def serve(out, directory):
    from cluster import free_ports
    import python_node
    port, = free_ports(1)
    with_config(directory, port, "--node_id=S0")
    python_node.prepare()
    start_server = asyncio.start_server

    async def and_say(*arguments, **named):
        server = await start_server(*arguments, **named)
        print(f"LISTENING {port}", file=out, flush=True)
        return server
    asyncio.start_server = and_say
    from quarkchain.cluster import slave
    slave.main()  # until the master has gone


SENDERS, ACCOUNTS, IN_BLOCK = 100, 10_000, 200


def checkdb(out, options):
    """As shard_checkdb of quarkchain_shard.cpp: each of a hundred senders pays two of the accounts in every block."""
    import hashlib
    import python_node
    python_node.prepare()
    from quarkchain.cluster.shard_state import ShardState
    from quarkchain.cluster.tests.test_utils import get_test_env
    from quarkchain.core import Address, Identity, SerializedEvmTransaction, TypedTransaction
    from quarkchain.evm.transactions import Transaction
    from quarkchain.genesis import GenesisManager
    keys = [number.to_bytes(32, "big") for number in range(1, SENDERS + 1)]
    senders = [Address.create_from_identity(Identity.create_from_key(key), full_shard_key=0) for key in keys]
    accounts = [hashlib.sha256(str(number).encode()).digest()[:20] for number in range(ACCOUNTS)]
    environment = get_test_env(senders[0], chain_size=1, shard_size=1)
    settings = environment.quark_chain_config
    shard_id, = settings.shards
    token = settings.genesis_token
    alloc = settings.shards[shard_id].GENESIS.ALLOC
    alloc.clear()
    alloc.update({sender.serialize().hex(): {settings.GENESIS_TOKEN: 10 ** 18} for sender in senders})
    alloc.update({account.hex() + "00000000": {settings.GENESIS_TOKEN: 1000} for account in accounts})
    state = ShardState(environment, shard_id)
    state.init_genesis_state(GenesisManager(settings).create_root_block())
    blocks, sent = options.count or 5, 0
    for _ in range(blocks):
        for _ in range(IN_BLOCK):
            transaction = Transaction(sent // SENDERS, 10, 21000, accounts[sent * 7919 % ACCOUNTS], 1, b"", from_full_shard_key=0,
                                      to_full_shard_key=0, network_id=settings.NETWORK_ID, gas_token_id=token, transfer_token_id=token)
            transaction.sign(keys[sent % SENDERS])
            if not state.add_tx(TypedTransaction(SerializedEvmTransaction.from_evm_tx(transaction))):
                raise RuntimeError("a transfer was refused")
            sent += 1
        block = state.create_block_to_mine(address=senders[0])
        if len(block.tx_list) != IN_BLOCK:
            raise RuntimeError(f"a block has {len(block.tx_list)} transfers, expected {IN_BLOCK}")
        state.finalize_and_add_block(block)
    begin = time.monotonic()
    for height in range(1, blocks + 1):
        state.add_block(state.db.get_minor_block_by_height(height), force=True, write_db=False, skip_if_too_old=False)
    print(json.dumps({"value": blocks / (time.monotonic() - begin), "unit": "blocks/s"}), file=out, flush=True)


async def call(slave, request, operation, shards, goal, done):
    while not goal(done[0]):
        _, reply, _ = await slave.write_rpc_request(operation, request)
        if reply.error_code != 0 or len(reply.account_branch_data_list) != shards:
            raise RuntimeError(f"error code {reply.error_code}, {len(reply.account_branch_data_list)} shards, expected 0 and {shards}")
        done[0] += 1


async def calls(slave, request, operation, shards, options, in_flight):
    done, begin = [0], time.monotonic()
    if options.count:
        goal = lambda count: count >= options.count
    else:
        goal = lambda count: time.monotonic() >= begin + options.seconds
    await asyncio.gather(*(call(slave, request, operation, shards, goal, done) for _ in range(in_flight)))
    return done[0] / (time.monotonic() - begin)


def drive(out, directory, options):
    from cluster import RICH, SHARDS
    import python_node
    with_config(directory, options.port)
    python_node.prepare()
    from quarkchain.cluster import master as master_module
    from quarkchain.cluster.master import MasterServer
    from quarkchain.cluster.root_state import RootState
    from quarkchain.cluster.rpc import ClusterOp, GetAccountDataRequest
    from quarkchain.core import Address
    environment = master_module.parse_args()
    master = MasterServer(environment, RootState(environment))
    master.start()
    master.wait_until_cluster_active()
    slave, = master.slave_pool
    request = GetAccountDataRequest(Address(bytes.fromhex(RICH), 0))
    in_flight = int(options.workload.split("_")[1])
    value = asyncio.get_event_loop().run_until_complete(
        calls(slave, request, ClusterOp.GET_ACCOUNT_DATA_REQUEST, len(SHARDS), options, in_flight))
    print(json.dumps({"value": value, "unit": "calls/s"}), file=out, flush=True)


def main():
    options = parsed()
    wanted = os.environ.pop("PYQUARKCHAIN_PYTHON", None)
    if wanted:  # once: the other one finds it unset
        os.execvp(wanted, [wanted, os.path.abspath(__file__), *sys.argv[1:]])
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what pyquarkchain prints is no figure
    with tempfile.TemporaryDirectory() as directory:
        if options.workload == "shard_checkdb":
            if options.role == "drive":
                checkdb(out, options)
            else:
                print("LISTENING 0", file=out, flush=True)  # nobody has to answer
                sys.stdin.read()
        elif options.role == "serve":
            serve(out, directory)
        else:
            drive(out, directory, options)
    out.close()
    sys.stderr.flush()
    os._exit(0)  # pyquarkchain's threads and tasks are of no interest any more


if __name__ == "__main__":
    main()
