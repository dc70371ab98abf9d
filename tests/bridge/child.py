"""A real bridge process whose only agent is the tests' own: ``python -m tests.bridge.child {"patience": …}``."""

from __future__ import annotations

import json
import sys

from actors.bridge.shell import run_bridge
from actors.bridge.state import Terms
from tests.bridge import scripted

if __name__ == "__main__":
    sys.exit(run_bridge(lambda _: scripted, Terms(**json.loads(sys.argv[1])) if len(sys.argv) > 1 else None))
