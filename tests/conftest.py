"""Settings that hold for every test."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# Specs under tests/ are what tests read, many of them broken on purpose.
collect_ignore_glob = ["*.circ"]
