"""The process that ``tabwire up`` starts: ``python -m actors.supervisor``."""

from __future__ import annotations

import sys

from actors.supervisor.run import run_supervisor
from actors.supervisor.table import children

if __name__ == "__main__":
    sys.exit(
        run_supervisor(
            lambda config, orders: children(
                config, demo=orders.demo, intensity=orders.intensity, allow_remote=orders.allow_remote
            )
        )
    )
