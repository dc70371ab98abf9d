"""Answers what is no request for a provider: questions after our health, reports of agents' hooks, callers without a token.

A shell beside the data path: the same door and the same line, no exchange, and a task only where something must be waited
for. Must not know what a report holds, nor how healthy anything is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import anyio

from actors.gateway import dialect
from actors.gateway.admission import Door, Refusal, check_host
from actors.gateway.head import Head
from actors.gateway.hooks import BrokenBodyError, Hooks
from actors.gateway.intake import Request
from actors.gateway.replying import reply_head
from actors.gateway.server import CallerConnection

PLACES: Final = ("health", "hooks")
Health = Callable[[str], tuple[int, bytes]]


class Aside:
    """One such request."""

    __slots__ = ("_came", "_door", "_head", "_health", "_hooks", "_line", "_refusal", "_request", "_task")

    def __init__(
        self,
        line: CallerConnection,
        request: Request,
        head: Head,
        *,
        door: Door,
        health: Health,
        hooks: Hooks,
        refusal: Refusal | None = None,
    ) -> None:
        self._line = line
        self._request = request
        self._head = head
        self._door = door
        self._health = health
        self._hooks = hooks
        self._refusal = refusal
        self._came = anyio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Answer; at once unless it is a report."""
        refusal = self._refusal or check_host(self._door, self._head)
        if refusal is not None:
            self._refuse(refusal)
        elif self._head.target.place == "hooks":
            self._task = asyncio.get_running_loop().create_task(self._take())
        else:
            self._say(*self._health(self._head.target.rest))

    async def readany(self) -> bytes:
        """Wait for the next bytes of a report; none: it is whole.

        Raises:
            BrokenBodyError: it is not what its header says.

        """
        request = self._request
        while not request.waiting and not request.whole:
            if request.broken:
                raise BrokenBodyError
            self._came = anyio.Event()
            await self._came.wait()
        return b"".join(self._line.take(request))

    def body_came(self) -> None:
        """Let the report be read on."""
        self._came.set()

    def turn_away(self, reason: str) -> None:
        """Say that this connection is one too many; who has its answer already goes on."""
        if self._task is not None:
            self._task.cancel()
            self._refuse(Refusal(503, "busy", reason, close=True))

    def caller_left(self) -> None:
        """Let it be."""
        if self._task is not None:
            self._task.cancel()

    def pause(self) -> None:
        """Nothing is written that could be too much."""

    def resume(self) -> None:
        """Nothing was paused."""

    async def _take(self) -> None:
        try:
            status, body = await self._hooks.take(self._head, self._line.acquaintance, self)
        except Exception as error:  # noqa: BLE001 - one report breaks, not the gateway; the log says why
            self._line.log_exception(error)
            status, body = 500, dialect.error_body("unknown", 500, "internal", "the gateway failed; see its log")
        self._say(status, body)

    def _refuse(self, refusal: Refusal) -> None:
        body = dialect.error_body(self._head.dialect, refusal.status, refusal.code, refusal.message)
        self._say(refusal.status, body, close=refusal.close)

    def _say(self, status: int, body: bytes, *, close: bool = False) -> None:
        request = self._request
        keep_alive = request.keep_alive and request.whole and not (close or self._line.last)
        pairs = [("content-type", dialect.JSON), ("content-length", str(len(body))), ("cache-control", "no-store")]
        head = reply_head(request.version, status, "", pairs, keep_alive=keep_alive)
        self._line.transport.write(head if request.method == "HEAD" else head + body)
        self._line.done(keep_alive=keep_alive)
