"""A shard of ours whose transactions an execution layer runs, next to one of a Python slave, under a real master."""
import os
import re
import shutil
import signal

from cluster import AMOUNT, KEY, RICH, Cluster
from kit import PROGRAM, SMALL, equal, until

MODULES = os.environ.get("TRUNKLINE_EL") or os.path.normpath(os.path.join(os.path.dirname(PROGRAM), "../../el/node_modules"))
CLIENT = os.path.join(MODULES, "@ethereumjs/client/dist/esm/bin/cli.js")
COMMAND = (f"node {CLIENT} --gethGenesis={{genesis}} --dataDir={{data}} --rpc --rpcAddr=127.0.0.1 --rpcPort={{rpc_port}} --rpcEngine "
           "--rpcEngineAddr=127.0.0.1 --rpcEnginePort={engine_port} --jwtSecret={jwt} --isSingleNode --sync=none --port=0 --maxPeers=0 "
           "--discDns=false --discV4=false --logFile=false")

OWN, PYTHONS = 0x00001, 0x10001
OWN_KEY, PYTHONS_KEY = 0, 0x10000
MINER = "00" * 20
PRICE = 10 ** 10
TOPIC = "11" * 32
# Stores 5 at 0, logs it under a topic, and returns it; and what makes a contract of that.
RUNTIME = "600560005560056000527f" + TOPIC + "60206000a160206000f3"
CREATION = f"60{len(RUNTIME) // 2:02x}80600b6000396000f3" + RUNTIME
FIVE = f"0x{5:064x}"
REFUSED = "0x" + "00" * 36


def balance(cluster, recipient, key=OWN_KEY):
    """Of the one token that there is."""
    return sum(int(one["balance"], 16) for one in cluster.wallet("getBalances", f"0x{recipient}{key:08x}")["balances"])


class AnExecutionLayerUnderAPythonMaster:
    """Chain 0 is ours, with an execution layer; chain 1 is Python's, which checks all that it can see of ours."""
    @staticmethod
    def missing():
        return None if os.path.exists(CLIENT) else f"no EL in {MODULES} (./dev setup --el installs one; TRUNKLINE_EL names another place)"

    def __init__(self):
        self.cluster = Cluster(PROGRAM, {"S0": ("ours", [OWN]), "S1": ("python", [PYTHONS])}, kept=True, shard_size=1, el_command=COMMAND)
        self.master = self.cluster.python_master()
        self.nonce = 0

    def mine(self):
        """A block of each shard, and a root block of both."""
        for shard in (OWN, PYTHONS):
            equal(self.master.mine_minor_block(branch=shard)["added"], True)
        return self.master.mine_root_block()

    def send(self, to, data="", gas=200000, value=0):
        """A transaction in a block; its receipt."""
        signed = self.master.sign(key=KEY, chain=0, nonce=self.nonce, to=to, value=value, data=data, gas=gas, version=2)
        equal(self.cluster.wallet("eth_sendRawTransaction", signed["raw"]), signed["id"])
        equal(self.master.mine_minor_block(branch=OWN)["transactions"], 1)
        self.nonce += 1
        return self.cluster.wallet("eth_getTransactionReceipt", signed["id"])

    def told(self, height):
        """What wallets are told of all blocks up to one: the same, however often the execution layer goes and comes."""
        addresses = [f"0x{who}{OWN_KEY:08x}" for who in (RICH, SMALL, MINER)]
        return {"blocks": [self.cluster.wallet("getMinorBlockByHeight", hex(OWN_KEY), hex(each), True) for each in range(height + 1)],
                "receipts": [self.cluster.wallet("eth_getTransactionReceipt", id) for id in self.sent], "logs": self.logs(height),
                "balances": [self.cluster.wallet("getBalances", address, hex(height)) for address in addresses],
                "counts": [self.cluster.wallet("getTransactionCount", address, hex(height)) for address in addresses],
                "storage": self.cluster.wallet("getStorageAt", self.contract, "0x0", hex(height)), "code": self.cluster.wallet("getCode", self.contract)}

    def logs(self, height):
        """Of the contract. A real master that has begun anew knows no "latest" before the next block."""
        return self.cluster.wallet("getLogs", {"address": self.contract, "topics": ["0x" + TOPIC], "fromBlock": "0x0", "toBlock": hex(height)}, hex(OWN_KEY))

    def runs(self):
        """Of each execution layer that was started: its process id, and how many blocks it was given again once it answered."""
        log = self.cluster.nodes["S0"].log()
        starts = re.split(r"execution layer is process (\d+)", log)[1:]
        answers = [re.search(r"answers; (\d+) blocks were run again", text) for text in starts[1::2]]
        return [(int(pid), answer and int(answer[1])) for pid, answer in zip(starts[::2], answers)]

    def kill_execution_layer(self):
        """How many blocks the next one was given again."""
        before = self.runs()
        os.kill(before[-1][0], signal.SIGKILL)
        until(lambda: len(self.runs()) > len(before) and self.runs()[-1][1] is not None)
        return self.runs()[-1][1]

    def check_it_boots_and_wallets_see_what_genesis_has_given(self):
        equal(self.master.stats(), {str(OWN): 0, str(PYTHONS): 0})
        equal([balance(self.cluster, RICH), balance(self.cluster, SMALL), balance(self.cluster, RICH, PYTHONS_KEY)], [AMOUNT, 0, AMOUNT])

    def check_its_blocks_are_confirmed_and_taken_by_python_s_shard(self):
        equal(self.mine()["minor_headers"], [[OWN, 0], [OWN, 1], [PYTHONS, 0], [PYTHONS, 1]])
        equal(self.mine()["minor_headers"], [[OWN, 2], [PYTHONS, 2]])
        equal(self.cluster.wallet("getMinorBlockByHeight", hex(OWN_KEY))["hash"], "0x" + self.master.minor_block(branch=OWN, height=2)["hash"])

    def check_a_contract_with_an_event_is_made_called_and_told_to_wallets(self):
        made = self.send("", CREATION)
        self.contract = made["contractAddress"]
        called = self.send(self.contract[2:42])
        self.sent = [made["transactionId"], called["transactionId"]]
        equal([made["status"], called["status"]], ["0x1", "0x1"])
        equal([self.cluster.wallet("getCode", self.contract), self.cluster.wallet("eth_getCode", self.contract[:42], hex(OWN_KEY))], ["0x" + RUNTIME] * 2)
        equal(self.cluster.wallet("getStorageAt", self.contract, "0x0"), FIVE)
        equal([(log["topics"], log["data"], log["address"], log["blockNumber"], log["transactionHash"]) for log in called["logs"]],
              [(["0x" + TOPIC], FIVE, self.contract[:42], called["blockNumber"], called["transactionHash"])])
        equal(self.logs(self.master.stats()[str(OWN)]), called["logs"])
        equal(self.cluster.wallet("eth_getLogs", {"address": self.contract[:42], "fromBlock": "0x0", "toBlock": "latest"}, hex(OWN_KEY)), called["logs"])
        equal(self.cluster.wallet("getTransactionById", called["transactionId"])["version"], "0x2")
        question = {"from": f"0x{RICH}{OWN_KEY:08x}", "to": self.contract, "gas": "0x30d40"}
        equal(self.cluster.wallet("call", question), FIVE)
        assert 21000 < int(self.cluster.wallet("estimateGas", question), 16) < int(called["gasUsed"], 16)  # 5 is stored already
        paid = PRICE * (int(made["gasUsed"], 16) + int(called["gasUsed"], 16))
        equal((balance(self.cluster, RICH), self.cluster.wallet("eth_getTransactionCount", "0x" + RICH, hex(OWN_KEY))), (AMOUNT - paid, "0x2"))

    def check_a_transaction_that_it_cannot_run_is_refused_and_the_log_says_why(self):
        signed = self.master.sign(key=KEY, chain=0, nonce=self.nonce, to=SMALL, value=1, data="", gas=21000, version=0)
        equal(self.cluster.wallet("sendRawTransaction", signed["raw"]), REFUSED)
        assert "is of version 0: an execution layer runs version 2 alone" in self.cluster.nodes["S0"].log()

    def check_a_deposit_from_python_s_shard_is_credited_with_what_is_left_of_its_gas(self):
        before, value = balance(self.cluster, RICH), 3 * 10 ** 9
        equal(self.master.transfer(key=KEY, from_key=PYTHONS_KEY, to_key=OWN_KEY, to=SMALL, value=value, nonce=0)["added"], True)
        equal(self.master.mine_minor_block(branch=PYTHONS)["transactions"], 1)
        self.master.mine_root_block()
        self.mine()
        equal((balance(self.cluster, SMALL), balance(self.cluster, RICH) - before), (value, 9000 * PRICE))

    def check_the_miner_has_what_the_headers_of_its_blocks_and_of_root_blocks_say(self):
        tip = self.cluster.wallet("getMinorBlockByHeight", hex(OWN_KEY))
        blocks = [self.cluster.wallet("getMinorBlockByHeight", hex(OWN_KEY), hex(height)) for height in range(1, int(tip["height"], 16) + 1)]
        last = int(self.cluster.wallet("getRootBlockById", tip["hashPrevRootBlock"])["height"], 16)
        blocks += [self.cluster.wallet("getRootBlockByHeight", hex(height)) for height in range(1, last + 1)]
        equal(balance(self.cluster, MINER), sum(int(one["balance"], 16) for block in blocks for one in block["coinbase"]))

    def check_the_total_of_all_balances_is_that_of_the_accounts_that_there_are(self):
        block = self.cluster.wallet("getMinorBlockByHeight", hex(OWN_KEY))["hash"] + f"{OWN_KEY:08x}"
        every = self.cluster.wallet("getTotalBalance", block, None, "0x8bb0", None, "0x64")
        equal((int(every["totalBalance"], 16), int(every["next"], 16)), (sum(balance(self.cluster, who) for who in (RICH, SMALL, MINER)), 0))
        first = self.cluster.wallet("getTotalBalance", block, None, "0x8bb0", None, "0x1")
        rest = self.cluster.wallet("getTotalBalance", block, None, "0x8bb0", first["next"], "0x64")
        equal(int(first["totalBalance"], 16) + int(rest["totalBalance"], 16), int(every["totalBalance"], 16))

    def check_after_a_kill_of_the_execution_layer_nothing_is_lost_and_its_shard_goes_on(self):
        self.height = self.master.stats()[str(OWN)]
        self.before = self.told(self.height)
        self.kill_execution_layer()
        equal(self.told(self.height), self.before)
        self.mine()

    def check_a_kill_while_a_block_is_made_loses_nothing_either(self):
        self.master.begin("mine_minor_block", branch=OWN)
        self.kill_execution_layer()
        self.master.line()  # whether it was made or not
        self.mine()
        equal(self.told(self.height), self.before)

    def check_an_execution_layer_whose_data_are_gone_is_given_all_blocks_again(self):
        data = os.path.join(self.cluster.kept_by("S0"), f"el-0x{OWN:08x}", "data")
        os.rename(data, data + "-gone")  # while it runs: it would be too late once the next one has started
        equal(self.kill_execution_layer(), self.master.stats()[str(OWN)])
        equal(self.told(self.height), self.before)
        self.mine()

    def check_the_same_after_a_restart_of_the_slaves(self):
        tip = self.mine()
        self.master.quit()
        equal([node.ended() for node in self.cluster.nodes.values()], [0, 0])
        shutil.rmtree(os.path.join(self.cluster.kept_by("S0"), f"el-0x{OWN:08x}", "data"))
        self.cluster.restart()
        self.master = self.cluster.python_master()
        equal(self.master.tip()["height"], tip["height"] - 1)  # a real master begins with the one before its last
        equal(self.told(self.height), self.before)
        again = self.send(self.contract[2:42])
        equal((again["status"], again["logs"]), ("0x1", self.logs(self.master.stats()[str(OWN)])[1:]))
        self.mine()

    def check_a_branch_that_is_left_and_comes_back_has_its_receipts_and_logs(self):
        below = self.mine()
        left = self.mine()
        called = self.send(self.contract[2:42])
        receipt = lambda: self.cluster.wallet("eth_getTransactionReceipt", called["transactionId"])
        tip = self.master.minor_tip(branch=OWN)
        logs = self.logs(tip["height"])
        equal(called["status"], "0x1")

        self.master.fork_root_block(parent=below["hash"], minors=left["minors"])
        equal((self.master.minor_tip(branch=OWN)["height"], receipt()), (tip["height"] - 1, None))
        equal(self.master.mine_minor_block(branch=OWN)["transactions"], 1)  # it waited again
        other = receipt()
        equal((other["status"], other["blockHash"] == called["blockHash"]), ("0x1", False))

        self.master.fork_root_block(parent=left["hash"], minors=[[OWN, tip["hash"]]])
        equal((self.master.minor_tip(branch=OWN), receipt(), self.logs(tip["height"])), (tip, called, logs))
        equal(self.told(self.height), self.before)
        self.mine()

    def check_the_real_master_s_check_db_passes(self):
        self.master.quit()
        self.master.ended()
        self.cluster.restart()
        equal(self.cluster.python_check_db(), 0)
        assert "Integrity check completed!" in self.cluster.processes[-1].log()
