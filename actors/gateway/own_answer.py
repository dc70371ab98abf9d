"""A request that no provider answers: one answer of our own on the caller's line, found by a task where it takes time.

Owns the answer and the task. Must not know what is answered (``aside``, ``catalogue``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from actors.gateway import dialect
from actors.gateway.admission import Refusal
from actors.gateway.head import Head
from actors.gateway.server import CallerConnection
from actors.runtime.http.intake import Request
from actors.runtime.http.replying import reply_head


class OwnAnswer:
    """The performer of such a request, as its line knows it; who derives from it has ``start``."""

    __slots__ = ("_head", "_line", "_request", "_task")

    def __init__(self, line: CallerConnection, request: Request, head: Head) -> None:
        self._line = line
        self._request = request
        self._head = head
        self._task: asyncio.Task[None] | None = None

    def body_came(self) -> None:
        """Let a body be; nothing in it counts."""

    def turn_away(self, reason: str) -> None:
        """Say that this connection is one too many; who has its answer already goes on."""
        if self._task is not None:
            self._task.cancel()
            self.refuse(Refusal(503, "busy", reason, close=True))

    def caller_left(self) -> None:
        """Let it be."""
        if self._task is not None:
            self._task.cancel()

    def pause(self) -> None:
        """Nothing is written that could be too much."""

    def resume(self) -> None:
        """Nothing was paused."""

    def find(self, answer: Coroutine[None, None, None]) -> None:
        """Answer once that is found."""
        self._task = asyncio.get_running_loop().create_task(answer)

    def refuse(self, refusal: Refusal) -> None:
        """Answer with an error in the caller's dialect."""
        body = dialect.error_body(self._head.dialect, refusal.status, refusal.code, refusal.message)
        self.say(refusal.status, body, close=refusal.close)

    def say(self, status: int, body: bytes, own: tuple[tuple[str, str], ...] = (), *, close: bool = False) -> None:
        """Answer with JSON; ``own`` are fields beside the usual ones."""
        self._task = None
        request = self._request
        keep_alive = request.keep_alive and request.whole and not (close or self._line.last)
        pairs = [("content-type", dialect.JSON), ("content-length", str(len(body))), ("cache-control", "no-store"), *own]
        head = reply_head(request.version, status, "", pairs, keep_alive=keep_alive)
        self._line.transport.write(head if request.method == "HEAD" else head + body)
        self._line.done(keep_alive=keep_alive)
