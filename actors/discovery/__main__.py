"""Run discovery under the supervisor: ``python -m actors.discovery``."""

from __future__ import annotations

from actors.discovery.actor import serve
from actors.runtime.actor import run_actor

if __name__ == "__main__":
    run_actor("discovery", serve)
