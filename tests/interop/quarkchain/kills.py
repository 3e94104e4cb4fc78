"""Slaves of ours that end by kill -9 under a real master, next to a twin that nobody disturbs."""
import os
import random
import select

from cluster import KEY, RICH, SHARDS, Cluster
from kit import PROGRAM, SMALL, equal, until


class OurSlavesAreKilledUnderAPythonMaster:
    """What the master has confirmed is there again after each kill, and the cluster goes on.

    The twin is another cluster, a peer of this one, that has every block from it: Python's slaves run one half of its
    shards and ours the other. A real master that starts takes the root block before its last one as its tip, and goes on
    from there; so the twin has to leave a branch each time, and comes to the same tips.
    """
    KILLS = [("S0",), ("S1",), ("S0", "S1")]
    MOMENTS = ["mine_minor_block", "mine_root_block"]

    def __init__(self):
        self.seed = int(os.environ.get("TRUNKLINE_SEED", 0)) or random.SystemRandom().getrandbits(32)
        self.random = random.Random(self.seed)
        self.twin = Cluster(PROGRAM, {"T0": ("ours", SHARDS[:2]), "T1": ("python", SHARDS[2:])})
        self.twin.python_master()
        self.cluster = Cluster(PROGRAM, {"S0": ("ours", [SHARDS[0], SHARDS[2]]), "S1": ("ours", [SHARDS[1], SHARDS[3]])},
                               kept=True, bootstrap=self.twin.p2p_port)
        self.cluster.processes += self.twin.processes  # for the logs
        self.nonces = {shard: 0 for shard in SHARDS}
        self.seen = {}  # by root block: the tips that it confirms, and the accounts there
        self.start()
        self.confirm()

    def start(self):
        self.master = self.cluster.python_master()
        until(lambda: self.master.peers())

    def accounts(self, cluster):
        return [cluster.master.account_data(recipient=recipient) for recipient in (RICH, SMALL)]

    def confirm(self):
        for shard in SHARDS:
            equal(self.master.mine_minor_block(branch=shard)["added"], True)
        root = self.master.mine_root_block()
        self.seen[root["hash"]] = self.tips(self.cluster), self.accounts(self.cluster)

    def send(self):
        """In its own shard or to any other."""
        start, end = self.random.choice(SHARDS), self.random.choice(SHARDS)
        sent = self.master.transfer(key=KEY, from_key=start & 0xFFFF0001, to_key=end & 0xFFFF0001, to=SMALL, value=1000, nonce=self.nonces[start])
        equal(sent["added"], True)
        self.nonces[start] += 1

    def kill(self, names, verb):
        """In the middle of what the master has it do, at a moment that chance has chosen."""
        self.master.begin(verb, **({"branch": self.random.choice(SHARDS)} if verb == "mine_minor_block" else {}))
        select.select([], [], [], self.random.uniform(0, 0.2))
        for name in names:
            self.cluster.nodes[name].process.kill()
        self.master.ended()
        self.cluster.restart()
        self.start()

    def tips(self, cluster):
        """The root chain's, and the shards', each as its own slave says."""
        return cluster.master.tip(), [cluster.master.minor_tip(branch=shard) for shard in SHARDS]

    def stands_where_its_root_chain_is(self):
        tips, accounts = self.seen[self.master.tip()["hash"]]
        equal((self.tips(self.cluster), self.accounts(self.cluster)), (tips, accounts))
        for shard, tip in zip(SHARDS, tips[1]):
            equal(self.twin.master.minor_block(branch=shard, height=tip["height"])["hash"], tip["hash"])

    def check_after_each_kill_every_shard_is_where_the_master_s_root_chain_is_and_comes_to_its_twin_s_tips(self):
        print(f"        moments of the kills: TRUNKLINE_SEED={self.seed}")
        for names in self.KILLS:
            for verb in self.MOMENTS:
                for _ in range(3):
                    self.send()
                    self.confirm()
                self.send()
                self.master.mine_minor_block(branch=SHARDS[0])  # which nothing confirms
                self.kill(names, verb)
                self.stands_where_its_root_chain_is()
                counts = self.master.account_data(recipient=RICH)
                self.nonces = {shard: counts[str(shard)]["transaction_count"] for shard in SHARDS}
                for _ in range(2):  # which is heavier than what the twin has
                    self.confirm()
                until(lambda: self.tips(self.twin) == self.tips(self.cluster))
                equal(self.accounts(self.twin), self.accounts(self.cluster))

    def check_every_block_below_the_tips_is_the_twin_s(self):
        for shard, tip in zip(SHARDS, self.tips(self.cluster)[1]):
            for height in range(tip["height"] + 1):
                equal(self.master.minor_block(branch=shard, height=height), self.twin.master.minor_block(branch=shard, height=height))

    def check_all_that_is_kept_passes_the_real_check_db(self):
        self.master.quit()
        self.master.ended()
        self.cluster.restart()
        equal(self.cluster.python_check_db(), 0)

    def close(self):
        self.twin.close()
