"""Plain transfers in clusters of both kinds of slaves: each block is made by one kind and validated by the other."""
import time

from cluster import AMOUNT, KEY, RICH, SHARDS, Cluster
from kit import PROGRAM, SMALL, equal, until


class TransfersBetweenMixedClusters:
    """Two clusters whose shards are run by the other kind each: every block is made by one and validated by the other."""
    ROUNDS = 100
    TRANSFERS = 3  # in each
    PRICE, GAS, IN_SHARD, ACROSS = 10 ** 10, 39000, 21000, 9000

    def __init__(self):
        self.cluster = self.source = Cluster(PROGRAM, {"S0": ("ours", [SHARDS[0], SHARDS[2]]), "S1": ("python", [SHARDS[1], SHARDS[3]])}, kept=True)
        self.source.python_master()
        self.target = Cluster(PROGRAM, {"T0": ("python", [SHARDS[0], SHARDS[2]]), "T1": ("ours", [SHARDS[1], SHARDS[3]])}, bootstrap=self.source.p2p_port,
                              kept=True)
        self.source.processes += self.target.processes  # for the logs
        self.target.python_master()
        self.source.processes.append(self.target.master)
        self.source.master.mine_root_block()  # nothing crosses before
        self.rich = {shard: AMOUNT for shard in SHARDS}
        self.small = {shard: 0 for shard in SHARDS}
        self.nonces = {shard: 0 for shard in SHARDS}
        self.sent = []

    @staticmethod
    def key(shard):
        return shard & 0xFFFF0001

    def send(self, number):
        start, end = SHARDS[number % 4], SHARDS[number // 4 % 4]
        value = 1000 + number
        sent = self.source.master.transfer(key=KEY, from_key=self.key(start), to_key=self.key(end), to=SMALL, value=value, nonce=self.nonces[start])
        equal(sent["added"], True)
        self.sent.append((sent["hash"], start, end))
        self.nonces[start] += 1
        self.small[end] += value
        if start == end:
            self.rich[start] -= value + self.IN_SHARD * self.PRICE
        else:  # what is left of the gas is given back where it went
            self.rich[start] -= value + self.GAS * self.PRICE
            self.rich[end] += (self.GAS - self.IN_SHARD - self.ACROSS) * self.PRICE

    def root_of_all(self):
        transactions = 0
        for shard in SHARDS:
            mined = self.source.master.mine_minor_block(branch=shard)
            equal(mined["added"], True)
            transactions += mined["transactions"]
        return self.source.master.mine_root_block(), transactions

    def check_every_transfer_of_a_hundred_root_blocks_is_in_a_block(self):
        total, began = 0, time.time()
        for round in range(self.ROUNDS):
            # Each block is at least a second later than the one before, and none may be far ahead of the clock.
            until(lambda: time.time() - began > round - 8)
            for i in range(self.TRANSFERS):
                self.send(round * self.TRANSFERS + i)
            root, transactions = self.root_of_all()
            total += transactions
            equal(len(root["minor_headers"]), len(SHARDS))
        self.tip, _ = self.root_of_all()  # where the last deposits arrive
        equal(total, self.ROUNDS * self.TRANSFERS)

    def check_scenario_12_balances_are_exact_to_the_last_unit_in_shards_of_both_kinds(self):
        for recipient, amounts in ((RICH, self.rich), (SMALL, self.small)):
            seen = self.source.master.account_data(recipient=recipient)
            equal({shard: seen[str(shard)]["balances"].get("35760") for shard in SHARDS}, {shard: str(amount) for shard, amount in amounts.items()})

    def check_each_cluster_takes_every_block_of_the_other(self):
        until(lambda: self.target.master.tip()["hash"] == self.tip["hash"])
        for shard in SHARDS:
            for height in range(self.ROUNDS + 2):
                block = self.source.master.minor_block(branch=shard, height=height)
                equal((block["height"], self.target.master.minor_block(branch=shard, height=height)), (height, block))
        for recipient in (RICH, SMALL):
            equal(self.target.master.account_data(recipient=recipient), self.source.master.account_data(recipient=recipient))

    def check_wallets_see_balances_counts_and_receipts(self):
        for cluster in (self.source, self.target):
            for shard in SHARDS:
                rich, small = (f"0x{recipient}{self.key(shard):08x}" for recipient in (RICH, SMALL))
                for address, amount in ((rich, self.rich[shard]), (small, self.small[shard])):
                    equal([int(one["balance"], 16) for one in cluster.wallet("getBalances", address)["balances"]], [amount])
                equal(int(cluster.wallet("getTransactionCount", rich), 16), self.nonces[shard])
                self.wallet_sees_the_history(cluster, shard, small)
            for hash, start, end in self.sent:
                receipt = cluster.wallet("getTransactionReceipt", f"0x{hash}{self.key(start):08x}")
                equal((receipt["status"], int(receipt["gasUsed"], 16), receipt["transactionHash"], receipt["logs"]), ("0x1", self.IN_SHARD, "0x" + hash, []))
                if start != end:
                    there = cluster.wallet("getTransactionReceipt", f"0x{hash}{self.key(end):08x}")
                    equal((there["status"], int(there["gasUsed"], 16), there["transactionHash"]), ("0x1", self.ACROSS, "0x" + hash))

    def wallet_sees_the_history(self, cluster, shard, small):
        """All that the shard has sent or was sent, and all that the account has had from its own shard and from others."""
        equal(sorted(one["txId"] for one in self.pages(cluster, "getAllTransactions", hex(self.key(shard)))),
              sorted(f"0x{hash}{self.key(start):08x}" for hash, start, end in self.sent if shard in (start, end)))
        history = self.pages(cluster, "getTransactionsByAddress", small)
        equal((sum(int(one["value"], 16) for one in history), len(history)), (self.small[shard], sum(end == shard for _, _, end in self.sent)))

    @staticmethod
    def pages(cluster, method, whose):
        """Page by page, until one is empty."""
        seen, start = [], "0x"
        while (page := cluster.wallet(method, whose, start, "0x14"))["txList"]:
            seen, start = seen + page["txList"], page["next"]
        return seen

    def check_a_block_that_one_cluster_mines_is_announced_and_taken_by_the_other(self):
        for shard in SHARDS:
            mined = self.source.master.mine_minor_block(branch=shard)
            until(lambda: (self.target.master.minor_block(branch=shard, height=mined["height"]) or {}).get("hash") == mined["hash"])
        for shard in SHARDS:
            mined = self.target.master.mine_minor_block(branch=shard)
            until(lambda: (self.source.master.minor_block(branch=shard, height=mined["height"]) or {}).get("hash") == mined["hash"])

    def check_scenario_20_the_real_master_s_check_db_passes_after_a_restart(self):
        for cluster in (self.source, self.target):
            cluster.master.quit()
            cluster.master.ended()
            cluster.restart()
            equal(cluster.python_check_db(), 0)
            assert "Integrity check completed!" in cluster.processes[-1].log()

    def close(self):
        self.target.close()
