"""Runs one bridge: ``python -I -m actors.bridge``, started by the hub, spoken to as ``contract`` says."""

import sys

from actors.runtime.priority import give_way

if __name__ == "__main__":
    give_way()  # before all the rest is loaded: that takes longest, and others are waiting for answers
    from actors.bridge.shell import run_bridge

    sys.exit(run_bridge())
