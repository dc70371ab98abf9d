"""Run the hub of the bridges under the supervisor: ``python -m actors.bridges``."""

from __future__ import annotations

from actors.bridges.actor import serve
from actors.runtime.actor import run_actor

if __name__ == "__main__":
    run_actor("bridges", serve, background=False)
