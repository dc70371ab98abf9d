"""A request's body: taken from the caller's line, looked at, changed when a provider is to be sent something else, let go of.

A shell: large bodies are looked at and rewritten in worker threads, and all bodies of the gateway together are bounded. Must
not know exchanges, nor what follows from what is seen.
"""

from __future__ import annotations

from typing import Final, Protocol

import anyio.to_thread

from actors.gateway import limits
from actors.gateway.head import Head
from actors.gateway.moves import BodyProblem, Rewrite
from actors.gateway.peek import Seen, look
from actors.gateway.rewriting import CannotRewrite, Rewritten, rewrite
from actors.runtime.http.intake import Request

_UNSEEN: Final = Seen()
_PACKED: Final = 16  # a compressed body is larger than it looks


class Shelf(Protocol):
    """Where all bodies are counted."""

    bodies_held: int


class Payload:
    """The body of one request; ``size`` counts the bytes that are kept, ``since`` is when it was awaited (0: not now)."""

    __slots__ = ("_head", "_pieces", "_request", "_shelf", "since", "size")

    def __init__(self, shelf: Shelf, request: Request, head: Head) -> None:
        self._shelf = shelf
        self._request = request
        self._head = head
        self._pieces: list[bytes] = []
        self.since = 0.0
        self.size = 0

    @property
    def body(self) -> bytes:
        """Return what is kept, in one piece."""
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0] if self._pieces else b""

    def take(self, pieces: list[bytes], grown: int) -> None:
        """Keep the next bytes."""
        self._pieces += pieces
        self.size += grown
        self._shelf.bodies_held += grown

    def problem(self) -> BodyProblem | None:
        """Say why the body is not to be had."""
        if self.size > limits.BODY:
            return "too_large"
        if self._shelf.bodies_held > limits.BODIES_HELD:
            return "busy"
        return "malformed" if self._request.broken else None

    def too_slow(self, now: float) -> bool:
        """Tell whether the caller takes too long with it."""
        elapsed = now - self.since
        slow = elapsed > limits.BODY_GRACE and self._request.size < elapsed * limits.BODY_RATE
        return slow or elapsed > limits.BODY_DEADLINE

    def let_go(self) -> None:
        """Keep it no more."""
        self._shelf.bodies_held -= self.size
        self.size = 0
        self._pieces = []

    def look_at_once(self) -> Seen | None:
        """Look at what is asked for; None where that takes too long for here."""
        head, body = self._head, self.body
        if head.dialect != "gemini.generate" and (not body or "json" not in head.fields.get("content-type")):
            return _UNSEEN
        encoding = head.fields.get("content-encoding")
        if len(body) > limits.PEEK_INLINE // (_PACKED if encoding else 1):
            return None
        return look(body, encoding, head.dialect, head.target.rest)

    async def look(self) -> Seen:
        """Look at it in a worker thread."""
        head = self._head
        encoding = head.fields.get("content-encoding")
        return await anyio.to_thread.run_sync(look, self.body, encoding, head.dialect, head.target.rest)

    def rewrite_at_once(self, change: Rewrite) -> Rewritten | CannotRewrite | None:
        """Return it changed, or why it cannot be; None where that takes too long for here."""
        if len(self.body) > limits.REWRITE_INLINE // (_PACKED if self._head.fields.get("content-encoding") else 1):
            return None
        return self._rewritten(self.body, change)

    async def rewrite(self, change: Rewrite) -> Rewritten | CannotRewrite:
        """Change it in a worker thread."""
        return await anyio.to_thread.run_sync(self._rewritten, self.body, change)

    def _rewritten(self, body: bytes, change: Rewrite) -> Rewritten | CannotRewrite:
        head = self._head
        encoding = head.fields.get("content-encoding")
        try:
            return rewrite(body, encoding, head.target.rest, head.dialect, model=change.model, strip=change.strip)
        except CannotRewrite as problem:
            return problem
