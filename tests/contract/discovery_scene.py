"""Discovery between stand-ins of agents and a real bus, and how tests wait for what it tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio

from actors.runtime.contract import Ready
from bus.client import connect
from bus.connection import read_connection
from schemas.envelope import Recorded
from schemas.events import ProcessConversationFound, ProcessSeen
from tests.contract.actor_process import ActorProcess, Place

DEADLINE = 20.0
ROOT_THREAD = "01a1fb07-5b0e-7cf3-a2b2-400eaf1e2b60"
LATER_THREAD = "01a1fb09-0000-7cf3-a2b2-400eaf1e2b60"
OTHER_THREAD = "01a1fb0a-0000-7cf3-a2b2-400eaf1e2b60"


def begin(home: Place) -> ActorProcess:
    """Start discovery and wait until it is ready."""
    actor = home.start("discovery")
    actor.until(Ready)
    return actor


def facts(home: Place, until: Callable[[list[Any]], bool], pid: int | None = None) -> list[Any]:
    """Follow what discovery told, of one process or of all, until ``until`` is content."""

    async def follow() -> list[Any]:
        told: list[Any] = []
        with anyio.move_on_after(DEADLINE):
            async with connect(read_connection(home.paths.connection_file)) as client, client.feed(0) as feed:
                async for item in feed:
                    if not isinstance(item, Recorded) or not item.envelope.source.startswith("/actor/discovery/"):
                        continue
                    if pid is None or item.envelope.data.process.pid == pid:
                        told.append(item.envelope.data)
                        if until(told):
                            return told
        raise AssertionError(f"not told within {DEADLINE} s: {told}")

    return anyio.run(follow)


def types(told: list[Any]) -> list[str]:
    """Return what kinds of facts were told, in order."""
    return [one.TYPE for one in told]


def seen(home: Place, pid: int) -> ProcessSeen:
    """Wait until a process was seen."""
    one = facts(home, lambda told: types(told)[-1] == "process.seen", pid)[-1]
    assert isinstance(one, ProcessSeen)
    return one


def found(home: Place, pid: int, thread: str, content: Callable[[Any], bool] = lambda _: True) -> ProcessConversationFound:
    """Wait until a process was found to have a conversation, as ``content`` wants it."""

    def last(told: list[Any]) -> bool:
        return isinstance(told[-1], ProcessConversationFound) and told[-1].thread == thread and content(told[-1])

    one = facts(home, last, pid)[-1]
    assert isinstance(one, ProcessConversationFound)
    return one


def exited(told: list[Any]) -> bool:
    """Tell whether the exit of a process was told last."""
    return types(told)[-1] == "process.exited"
