"""``python -m actors.gateway``: started by the supervisor, told what it needs on stdin."""

from __future__ import annotations

from actors.gateway.actor import main
from actors.runtime.actor import run_actor

if __name__ == "__main__":
    run_actor("gateway", main, inspectable=False, background=False)
