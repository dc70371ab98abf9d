"""Run the rollout watcher under the supervisor: ``python -m actors.rollout``."""

from __future__ import annotations

from actors.rollout.actor import serve
from actors.runtime.actor import run_actor

if __name__ == "__main__":
    run_actor("rollout", serve)
