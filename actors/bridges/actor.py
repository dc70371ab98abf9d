"""The hub of the bridges as an actor: puts its parts together and lives on its connection to the bus."""

from __future__ import annotations

import anyio
import anyio.to_thread

from actors.bridges.agents import facts
from actors.bridges.commands import Commands
from actors.bridges.shell import Hub
from actors.probe import choose_probe
from actors.runtime import hardening
from actors.runtime.actor import Actor
from bus.client import connect
from bus.outbox import Outbox


async def serve(actor: Actor) -> None:
    """Be the hub until told to stop."""
    if weakness := hardening.adopt_orphans():
        actor.log.warning("a protection is missing", reason=weakness)
    outbox = Outbox(actor.connection, actor.source, "bridges")
    commands = Commands()
    async with connect(actor.connection(), serve=commands.answers()) as client, anyio.create_task_group() as tasks:
        hub = Hub(actor, client, outbox, tasks, choose_probe())
        await hub.recall()
        commands.serve(hub)
        for work in (outbox.run, hub.streams.run, hub.keeping.run, hub.resume, hub.keep_time):
            tasks.start_soon(work)
        actor.ready(sessions=len(hub.sessions))
        tasks.start_soon(anyio.to_thread.run_sync, facts, {})  # so that the first start need not wait for what adapters load
        await actor.stopping.wait()
        with anyio.CancelScope(shield=True):
            await hub.end()
        tasks.cancel_scope.cancel()
