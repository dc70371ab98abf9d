"""Runs one terminal: ``python -I -m actors.terminal``, spoken to as ``contract`` says."""

import sys

from actors.terminal.host import run_terminal

if __name__ == "__main__":
    sys.exit(run_terminal())
