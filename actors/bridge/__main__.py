"""Runs one bridge: ``python -I -m actors.bridge``, started by the hub, spoken to as ``contract`` says."""

import sys

from actors.bridge.shell import run_bridge

if __name__ == "__main__":
    sys.exit(run_bridge())
