#!/usr/bin/env python3
"""A real Python master that does what it is told: --cluster_config F, and a JSON object per line on its standard input.

    {"do": "account_data", "recipient": "00..."}  ->  {"result": {...}} or {"error": "..."}

Each verb is a method of Verbs. It says {"event": "active"} when the cluster is, and {"event": "shutdown"} before it ends.
The log of pyquarkchain goes to the standard error.
"""
import asyncio
import json
import os
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import python_node

out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
python_node.prepare()
import rlp
from quarkchain.cluster import master as master_module
from quarkchain.cluster.master import MasterServer
from quarkchain.cluster.p2p_commands import OP_SERIALIZER_MAP as P2P_OP_SERIALIZER_MAP
from quarkchain.cluster.p2p_commands import HelloCommand
from quarkchain.cluster.protocol import ClusterMetadata
from quarkchain.cluster.root_state import RootState
from quarkchain.cluster.rpc import CLUSTER_OP_SERIALIZER_MAP, ClusterOp
from quarkchain.cluster.simple_network import SimpleNetwork
from quarkchain.core import Address, Branch, SerializedEvmTransaction, TypedTransaction
from quarkchain.evm.transactions import Transaction as EvmTransaction

PATIENCE = 300  # seconds for one verb


def say(**line):
    print(json.dumps(line), file=out, flush=True)


def described(block):
    return {"height": block.header.height, "hash": block.header.get_hash().hex(), "transactions": len(getattr(block, "tx_list", []))}


class Verbs:
    def __init__(self, master, network):
        self.master, self.network = master, network
        self.config = master.env.quark_chain_config

    def slave(self, name):
        return next(slave for slave in self.master.slave_pool if slave.id == name.encode())

    async def ping(self, slave):
        identity, shards = await self.slave(slave).send_ping()
        return {"id": identity.decode(), "full_shard_id_list": shards}

    async def account_data(self, recipient):
        data = await self.master.get_account_data(Address(bytes.fromhex(recipient), 0))
        return {str(branch.value): {"transaction_count": one.transaction_count,
                                    "balances": {str(token): str(amount) for token, amount in one.token_balances.balance_map.items()}}
                for branch, one in data.items()}

    async def stats(self):
        """What each shard has told with ADD_MINOR_BLOCK_HEADER."""
        return {str(branch): stats.height for branch, stats in self.master.branch_to_shard_stats.items()}

    async def knows_minor_block(self, hash):
        return self.master.root_state.db.contain_minor_block_by_hash(bytes.fromhex(hash))

    async def tip(self):
        tip = self.master.root_state.tip
        return {"height": tip.height, "hash": tip.get_hash().hex()}

    async def mine_root_block(self):
        """Makes a block of what the slaves have, adds it, and broadcasts it: nothing is proved with POW_SIMULATE."""
        block = await self.master.get_next_block_to_mine(Address.create_empty_account(), None)
        await self.master.add_root_block(block)
        headers = block.minor_block_header_list
        return dict(described(block), minor_headers=[[header.branch.value, header.height] for header in headers],
                    minors=[[header.branch.value, header.get_hash().hex()] for header in headers])

    async def fork_root_block(self, parent, minors):
        """A root block on one that need not be the tip, heavier than the tip; `minors` are what it confirms, each its branch and hash."""
        state, nobody = self.master.root_state, Address.create_empty_account()
        below = state.db.get_root_block_header_by_hash(bytes.fromhex(parent))
        headers = [(await self.master.get_minor_block_by_hash(bytes.fromhex(hash), Branch(branch), False))[0].header for branch, hash in minors]
        created = max(below.create_time + 1, int(time.time()), *(header.create_time for header in headers))
        block = below.create_block_to_append(create_time=created, difficulty=state.tip.total_difficulty - below.total_difficulty + 1, address=nobody)
        block.minor_block_header_list = headers
        block.finalize(coinbase_tokens=state._calculate_root_block_coinbase([header.get_hash() for header in headers], block.header.height),
                       coinbase_address=nobody)
        await self.master.add_root_block(block)
        return described(block)

    async def mine_minor_block(self, branch):
        """A block that the shard's slave makes and is given back."""
        block = await self.master.get_next_block_to_mine(Address.create_empty_account(), branch)
        added = await self.master.add_raw_minor_block(Branch(branch), block.serialize())
        return dict(described(block), added=added)

    async def minor_tip(self, branch):
        """On which the shard's slave would build, and nothing while it syncs: what it has told last may be of a branch that it has left."""
        block = await self.master.get_next_block_to_mine(Address.create_empty_account(), branch)
        return block and {"height": block.header.height - 1, "hash": block.header.hash_prev_minor_block.hex()}

    async def minor_block(self, branch, height):
        block, _ = await self.master.get_minor_block_by_height(height, Branch(branch), False)
        return block and dict(described(block), hex=block.serialize().hex())

    async def transfer(self, key, from_key, to_key, to, value, nonce):
        """Signs a transfer and gives it to the shard of the sender."""
        transaction = EvmTransaction(nonce=nonce, gasprice=10 ** 10, startgas=30000 + 9000, to=bytes.fromhex(to), value=value, data=b"",
                                     from_full_shard_key=from_key, to_full_shard_key=to_key, network_id=self.config.NETWORK_ID,
                                     gas_token_id=self.config.genesis_token, transfer_token_id=self.config.genesis_token)
        transaction.sign(bytes.fromhex(key))
        typed = TypedTransaction(SerializedEvmTransaction.from_evm_tx(transaction))
        return {"hash": typed.get_hash().hex(), "added": await self.master.add_transaction(typed)}

    async def sign(self, key, chain, nonce, to, value, data, gas, version):
        """A transaction of the chain's own shard, for a wallet to send."""
        network = self.config.CHAINS[chain].ETH_CHAIN_ID if version == 2 else self.config.NETWORK_ID
        transaction = EvmTransaction(nonce=nonce, gasprice=10 ** 10, startgas=gas, to=bytes.fromhex(to), value=value, data=bytes.fromhex(data),
                                     from_full_shard_key=chain << 16, to_full_shard_key=chain << 16, network_id=network,
                                     gas_token_id=self.config.genesis_token, transfer_token_id=self.config.genesis_token, version=version)
        transaction.sign(bytes.fromhex(key))
        typed = TypedTransaction(SerializedEvmTransaction.from_evm_tx(transaction))
        return {"raw": "0x" + rlp.encode(transaction).hex(), "id": f"0x{typed.get_hash().hex()}{chain << 16:08x}"}

    async def call(self, slave, op, hex):
        """Any request, as its bytes; the reply's opcode and bytes, as Python has understood them."""
        op = getattr(ClusterOp, op)
        request = CLUSTER_OP_SERIALIZER_MAP[op].deserialize(bytes.fromhex(hex))
        reply_op, reply, _ = await self.slave(slave).write_rpc_request(op, request)
        return {"op": int(reply_op), "type": type(reply).__name__, "hex": reply.serialize().hex()}

    async def hello(self, peer_id):
        """What another cluster of the same genesis would say."""
        return HelloCommand(version=self.config.P2P_PROTOCOL_VERSION, network_id=self.config.NETWORK_ID, peer_id=bytes.fromhex(peer_id),
                            peer_ip=0x7F000001, peer_port=1, chain_mask_list=[], root_block_header=self.master.root_state.tip,
                            genesis_root_block_hash=self.master.root_state.get_genesis_block_hash()).serialize().hex()

    async def understand(self, op, hex):
        """A message between clusters, read and written again by Python."""
        message = P2P_OP_SERIALIZER_MAP[op].deserialize(bytes.fromhex(hex))
        return {"type": type(message).__name__, "hex": message.serialize().hex()}

    async def to_slave(self, slave, branch, peer, op, rpc_id, hex):
        """One frame as the forwarding would write it, whether there is such a peer or not."""
        self.slave(slave).write_raw_data(ClusterMetadata(Branch(branch), peer), bytes([op]) + rpc_id.to_bytes(8, "big") + bytes.fromhex(hex))

    async def peers(self):
        return sorted(self.network.cluster_peer_pool)

    async def quit(self):
        self.master.shutdown()


async def answer(verbs, line):
    try:
        line = json.loads(line)
        result = await asyncio.wait_for(getattr(verbs, line.pop("do"))(**line), PATIENCE)
        say(result=result)
    except Exception:
        say(error=traceback.format_exc())


async def obey(verbs, loop):
    reader = asyncio.StreamReader(limit=1 << 26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        await answer(verbs, line)
    verbs.master.shutdown()


def main():
    env = master_module.parse_args()
    loop = asyncio.get_event_loop()
    master = MasterServer(env, RootState(env))
    master.start()
    master.wait_until_cluster_active()
    if env.arguments.check_db:
        checking = asyncio.ensure_future(master.check_db())
        master.do_loop([])
        return checking.result()
    network = SimpleNetwork(env, master, loop)
    network.start()
    ending = [network.shutdown]
    if env.cluster_config.ENABLE_PUBLIC_JSON_RPC:
        from quarkchain.cluster.jsonrpc import JSONRPCHttpServer
        ending.append(JSONRPCHttpServer.start_public_server(env, master).shutdown)
    say(event="active")
    obeying = loop.create_task(obey(Verbs(master, network), loop))  # the loop itself would not keep it
    master.do_loop(ending)
    obeying.cancel()
    say(event="shutdown")


main()
