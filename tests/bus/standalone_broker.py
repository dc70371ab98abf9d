"""A broker without a supervisor: ``python -m tests.bus.standalone_broker``; settings as JSON on stdin, whose end means stop."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.to_thread

from bus.broker import BrokerSettings, serve_broker

SWITCH_SECONDS = 0.0001


class _Printed:
    def ready(self, **facts: Any) -> None:
        print("READY", json.dumps(facts), flush=True)

    def status(self, state: Literal["ready", "degraded"], note: str = "") -> None:
        print("STATUS", json.dumps({"state": state, "note": note}), flush=True)

    def warn(self, event: str, **fields: Any) -> None:
        print("WARN", json.dumps({"event": event, **fields}), flush=True)


async def _main(asked: dict[str, Any]) -> None:
    state = Path(asked.pop("state"))
    settings = BrokerSettings(
        journal=state / "journal",
        keys=state / "keys",
        connection_file=state / "run" / "bus.json",
        incarnation="test",
        **asked,
    )
    stopping = anyio.Event()
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            await anyio.to_thread.run_sync(sys.stdin.buffer.read)  # a pipe, which the event loop of Windows cannot wait for
            stopping.set()

        group.start_soon(watch)
        await serve_broker(settings, stopping, _Printed())
        group.cancel_scope.cancel()


if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_SECONDS)
    anyio.run(_main, json.loads(sys.stdin.buffer.readline()))
