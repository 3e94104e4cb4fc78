#!/usr/bin/env python3
"""A real Python slave, as pyquarkchain's cluster script starts it: --cluster_config F --node_id S0."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import python_node

python_node.prepare()
from quarkchain.cluster import slave

slave.main()
