"""The gateway as an actor: puts its parts together, opens its door, and says how it does.

Never ends for lack of a broker: facts wait in the outbox, bounded, and requests go on.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from functools import partial
from typing import Any, Final

import anyio
import anyio.lowlevel
import anyio.to_thread
import orjson

from actors.gateway import limits
from actors.gateway.commands import Commands
from actors.gateway.conductor import Conductor
from actors.gateway.crowd import Caps, Crowd
from actors.gateway.door import open_door
from actors.gateway.health_book import HealthBook
from actors.gateway.hooks import Hooks
from actors.gateway.identity import Identity
from actors.gateway.reload import Loaded, Reload, load
from actors.gateway.server import CallerServer
from actors.gateway.spending_book import SpendingBook
from actors.gateway.throttle import Throttle
from actors.gateway.upstream import UpstreamPool
from actors.probe import choose_probe
from actors.runtime.actor import Actor
from actors.runtime.hardening import allow_files
from actors.runtime.http import bounds
from actors.runtime.logging import register_secret
from bus.outbox import Outbox

_STATUS_INTERVAL: Final = 0.5
_DRAIN: Final = 1.0


class Teller:
    """Puts facts into envelopes and these into the outbox; never waits."""

    def __init__(self, actor: Actor, outbox: Outbox) -> None:
        self._source = actor.source
        self._put = outbox.put

    def of_request(self, subject: str, event: Any, request: str, cause: str | None) -> str:
        """Tell a fact of a request and return its id, the cause of the next."""
        envelope = self._source.envelope(subject, event, correlationid=request, causationid=cause)
        self._put(envelope)
        return envelope.id

    def of_process(self, subject: str, event: Any, id_: str | None) -> None:
        """Tell any other fact."""
        self._put(self._source.envelope(subject, event, id=id_))


async def main(actor: Actor) -> None:
    """Serve until told to stop."""
    settings = actor.bootstrap.settings
    reading = partial(load, actor.paths, os.environ, must_exist=False, echo=settings.get("echo") is not False)
    loaded = await anyio.to_thread.run_sync(reading)  # a keyring takes its time
    config, port = loaded.config, loaded.config.gateway.port
    allow_remote = settings.get("allow_remote") is True
    door, listening = open_door(
        config.gateway, str(actor.paths.config_file), allow_remote=allow_remote, keep_out=register_secret
    )
    if weakness := allow_files(2 * config.gateway.connections + limits.PROCESSES + limits.FILES):
        actor.log.warning("fewer connections than allowed", reason=weakness)
    outbox = Outbox(actor.connection, actor.source, "gateway")
    teller = Teller(actor, outbox)
    probe = choose_probe()
    identity = Identity(probe, actor.paths, teller.of_process, actor.log)
    pool = UpstreamPool()
    async with anyio.create_task_group() as tasks:
        hooks = Hooks(door, identity, teller.of_process)
        conductor = Conductor(
            door,
            identity,
            pool,
            loaded.providers,
            hooks=hooks,
            log=actor.log,
            tell=teller.of_request,
            new_id=actor.source.new_id,
        )
        throttle = conductor.throttle = Throttle(
            config.gateway.session_requests,
            config.gateway.session_window,
            lambda about, fact: teller.of_process(about, fact, None),
            actor.clock,
        )
        book = HealthBook(actor.paths.state / "gateway", config.breaker, teller.of_process, actor.log)
        conductor.health_book = book
        spending = SpendingBook(config, actor.paths, actor.connection, tell=teller.of_process, clock=actor.clock, log=actor.log)
        conductor.spending = spending
        reload = Reload(
            actor.paths,
            loaded,
            environ=os.environ,
            swap=lambda fresh: _take_over(fresh, conductor, throttle, book, spending),
            tell=teller.of_process,
            now=actor.clock,
            log=actor.log,
        )
        commands = Commands(
            actor.paths,
            reload,
            advisers=conductor,
            launches=identity.launches,
            log=actor.log,
        )
        caps = Caps(config.gateway.connections, config.gateway.connections_per_process)
        server = CallerServer(conductor.perform, identity, actor.log, caps, wide=bool(door.tokens))
        conductor.health = lambda kind: _health(kind, actor, reload, outbox, server)
        tasks.start_soon(outbox.run)
        tasks.start_soon(identity.run)
        tasks.start_soon(book.run)
        tasks.start_soon(spending.run)
        await identity.launches.refresh()
        listeners = [await asyncio.get_running_loop().create_server(server, sock=one) for one in listening]
        tasks.start_soon(_sweep, server, conductor, pool, throttle)
        tasks.start_soon(_say_status, actor, reload, outbox, server.crowd)
        tasks.start_soon(reload.run)
        tasks.start_soon(commands.serve, actor.connection)
        gc.collect()
        gc.freeze()  # what is here now stays: not to be looked through again and again
        url = f"http://127.0.0.1:{port}/v1"
        remote = {"remote": f"http://{config.gateway.host}:{port}/t/<token>/v1"} if door.tokens else {}
        actor.ready(url=url, **remote, default_provider=config.default_provider, capabilities=probe.capabilities)
        await actor.stopping.wait()
        for listener in listeners:
            listener.close()
        await _end(server, pool, throttle, outbox)
        tasks.cancel_scope.cancel()


async def _end(server: CallerServer, pool: UpstreamPool, throttle: Throttle, outbox: Outbox) -> None:
    """Let callers go, and what is told of them arrive."""
    await server.close()
    pool.close()
    throttle.close()
    await anyio.lowlevel.checkpoint()  # so that the requests that were cut tell their outcome
    if outbox.connected:  # without a bus there is nothing to wait for
        await outbox.drain(_DRAIN)


async def _sweep(server: CallerServer, conductor: Conductor, pool: UpstreamPool, throttle: Throttle) -> None:
    """Compare deadlines with the clock, a few times a second."""
    loop = asyncio.get_running_loop()
    while True:
        server.sweep(loop.time())
        conductor.sweep(time.monotonic())
        throttle.sweep(time.monotonic())
        pool.sweep(loop.time())
        await anyio.sleep(bounds.SWEEP)


def _take_over(loaded: Loaded, conductor: Conductor, throttle: Throttle, book: HealthBook, spending: SpendingBook) -> None:
    """Put a changed configuration where it is used, between two requests."""
    conductor.providers = loaded.providers
    book.rules = loaded.config.breaker
    spending.configured(loaded.config)
    throttle.limit = loaded.config.gateway.session_requests
    throttle.window = loaded.config.gateway.session_window


async def _say_status(actor: Actor, reload: Reload, outbox: Outbox, crowd: Crowd) -> None:
    """Say how the gateway does whenever that changes."""
    said = ""
    while True:
        note = _note(reload, outbox, crowd)
        if note != said:
            actor.status("degraded" if note else "ready", note)
            said = note
        await anyio.sleep(_STATUS_INTERVAL)


def _note(reload: Reload, outbox: Outbox, crowd: Crowd) -> str:
    notes = []
    if not outbox.connected:
        dropped = f", {outbox.dropped} dropped" if outbox.dropped else ""
        waiting = "facts wait" if outbox.queued else "no fact waits"
        notes.append(f"the bus is away: requests go on, {waiting}{dropped}")
    if reload.refused:
        notes.append(reload.refused)
    if reload.pending:
        notes.append(f"not before a restart (tabwire down, tabwire up): {', '.join(reload.pending)}")
    if problems := reload.loaded.providers.problems():
        notes.append(problems)
    if turned_away := crowd.note():
        notes.append(turned_away)
    return "; ".join(notes)


def _health(kind: str, actor: Actor, reload: Reload, outbox: Outbox, server: CallerServer) -> tuple[int, bytes]:
    """Answer ``/health``: alive is answering at all; ready is taking requests for a provider that can take them."""
    if kind == "live":
        return 200, b'{"status":"live"}'
    providers = reload.loaded.providers
    listings = providers.table.listings
    problem = listings[providers.default].problem
    ready = not problem and not actor.stopping.is_set()
    if kind == "ready":
        return (
            (200, b'{"status":"ready"}')
            if ready
            else (503, orjson.dumps({"status": "not ready", "reason": problem or "stopping"}))
        )
    return (200 if ready else 503), orjson.dumps(
        {
            "status": "ready" if ready else "not ready",
            "default_provider": providers.default,
            "providers": {name: listing.problem or "ok" for name, listing in listings.items()},
            "connections": server.crowd.figures(),
            "bus": {"connected": outbox.connected, "queued": outbox.queued, "dropped": outbox.dropped},
        }
    )
