"""Answers what is no request for a provider: questions after our health, reports of agents' hooks, callers without a token.

A shell beside the data path: the same door and the same line, no exchange, and a task only where something must be waited
for. Must not know what a report holds, nor how healthy anything is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio

from actors.gateway import dialect
from actors.gateway.admission import Door, Refusal, check_host
from actors.gateway.head import Head
from actors.gateway.hooks import BrokenBodyError, Hooks
from actors.gateway.own_answer import OwnAnswer
from actors.gateway.server import CallerConnection
from actors.runtime.http.intake import Request

PLACES: Final = ("health", "hooks")
Health = Callable[[str], tuple[int, bytes]]


class Aside(OwnAnswer):
    """One such request."""

    __slots__ = ("_came", "_door", "_health", "_hooks", "_refusal")

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
        super().__init__(line, request, head)
        self._door = door
        self._health = health
        self._hooks = hooks
        self._refusal = refusal
        self._came = anyio.Event()

    def start(self) -> None:
        """Answer; at once unless it is a report."""
        refusal = self._refusal or check_host(self._door, self._head)
        if refusal is not None:
            self.refuse(refusal)
        elif self._head.target.place == "hooks":
            self.find(self._take())
        else:
            self.say(*self._health(self._head.target.rest))

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

    async def _take(self) -> None:
        try:
            status, body = await self._hooks.take(self._head, self._line.acquaintance, self)
        except Exception as error:  # noqa: BLE001 - one report breaks, not the gateway; the log says why
            self._line.log_exception(error)
            status, body = 500, dialect.error_body("unknown", 500, "internal", "the gateway failed; see its log")
        self.say(status, body)
