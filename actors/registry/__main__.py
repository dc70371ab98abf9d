"""Run the registry under the supervisor: ``python -m actors.registry``."""

from __future__ import annotations

from actors.registry.actor import serve
from actors.runtime.actor import run_actor

if __name__ == "__main__":
    run_actor("registry", serve)
