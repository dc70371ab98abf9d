"""A server's end of the wire: keeps the bounds and deadlines of its connections, takes turns, answers what is not HTTP.

Theory of operation
-------------------
A ``Line`` feeds what comes to its ``Intake`` and lets one request at a time be performed; what comes behind it is held until
its turn, and beyond ``bounds.AHEAD`` not read. It is read all the time otherwise, because only so is it seen that a caller has
left: the end of its half counts as leaving.

An answer that leaves before its request's body is whole ends the connection the patient way: our half is closed, the rest is
read and dropped for ``bounds.LINGER``, since a connection closed over unread bytes is reset and the answer lost with it.

Deadlines are not timers but times that one sweep compares a few times a second: an assignment where something happens.
Must not know what a request is worth, nor who sent it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, Protocol, TypeVar

import anyio

from actors.runtime.http import bounds
from actors.runtime.http.intake import Intake, Request
from actors.runtime.http.replying import refusal

_STATUSES: Final = {"malformed": "400 Bad Request", "headers_too_large": "431 Request Header Fields Too Large"}


class Performer(Protocol):
    """What performs one request; it calls the line's ``done`` when the last byte of the answer was written."""

    def start(self) -> None:
        """Begin; the head is whole."""

    def body_came(self) -> None:
        """Learn that there is more of the request's body, or that it is whole or broken."""

    def caller_left(self) -> None:
        """Learn that nobody waits for the answer; ``done`` is not to be called any more."""

    def pause(self) -> None:
        """Write no more for now: the caller does not read."""

    def resume(self) -> None:
        """Write again."""


class Line(asyncio.Protocol):
    """One accepted connection."""

    __slots__ = (
        "_advancing",
        "_deadline",
        "_ending",
        "_held",
        "_intake",
        "_performer",
        "_reading",
        "_request",
        "_server",
        "paused",
        "transport",
    )

    transport: asyncio.Transport
    _performer: Performer | None
    _server: Lines[Any]

    def __init__(self, server: Lines[Any]) -> None:
        self._server = server
        self._intake = Intake()
        self._performer = None
        self._request: Request | None = None
        self._held = b""
        self._reading = True
        self._advancing = False
        self._ending = False
        self._deadline: float | None = None
        self.paused = False

    # ------------------------------------------------------------------------------------------------ asyncio's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self.transport = transport
        self.opened()

    def data_received(self, data: bytes) -> None:
        """Feed what is the turn of, and hold the rest."""
        if self._ending:
            return
        if self._request is not None and self._request.whole:
            self._held += data
            if len(self._held) > bounds.AHEAD:
                self._stop_reading()
            return
        self._feed(data)
        self._advance()

    def eof_received(self) -> None:
        """Take a half-closed connection for a caller who has left: what is not written yet is for nobody."""
        if self._performer is not None:
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:  # noqa: ARG002 - however it ended
        """Tell who is busy with it."""
        self._ending = True
        self._intake.close()
        self._server.forget(self)
        self._leave()

    def pause_writing(self) -> None:
        """Tell who is busy with it that nobody reads."""
        self.paused = True
        if self._performer is not None:
            self._performer.pause()

    def resume_writing(self) -> None:
        """Tell that there is room again."""
        self.paused = False
        if self._performer is not None:
            self._performer.resume()

    # ------------------------------------------------------------------------------------------------ for who derives from it

    def opened(self) -> None:
        """Wait for a request; a server that turns connections away does so here."""
        self.join()

    def join(self) -> None:
        """Count among the server's, with as long for the first head as for any."""
        self._server.connections.add(self)
        self._deadline = self._server.time() + bounds.HEAD_DEADLINE

    # ------------------------------------------------------------------------------------------------ the performer's calls

    @property
    def last(self) -> bool:
        """Tell whether no other request can follow the one that is performed."""
        intake = self._intake
        return self._server.closing or (intake.deaf and not intake.requests and intake.refusal is None)

    def take(self, request: Request) -> list[bytes]:
        """Return what has come of a request's body, and make room for more."""
        chunks = request.take()
        if not self._reading:
            self._go_on_reading()
        return chunks

    def done(self, *, keep_alive: bool) -> None:
        """Go on with the next request, or end."""
        request, self._request, self._performer = self._request, None, None
        if not keep_alive or request is None or not request.whole:
            self._end(at_once=request is not None and request.whole and not self._held)
        elif not self._advancing:
            self._advance()

    def log_exception(self, error: BaseException) -> None:
        """Log what broke a request."""
        self._server.log.error("a request broke what performs it", exc_info=error)

    # ------------------------------------------------------------------------------------------------ the server's calls

    def expire(self, now: float) -> None:
        """Close what has outlived its deadline; not over bytes that are still on their way to a slow reader."""
        if self._deadline is None or now <= self._deadline:
            return
        if self.transport.get_write_buffer_size():
            self._deadline = now + bounds.LINGER
            return
        if not self._ending and not self._intake.between:
            text = f"the head of the request was not complete after {bounds.HEAD_DEADLINE:g} s"
            self.transport.write(refusal("408 Request Timeout", "invalid_request_error", "head_too_slow", text))
            self._end()
            return
        self._ending = True
        self._deadline = None
        self.transport.close()

    def retire(self) -> None:
        """End after the request that is performed; at once without one."""
        if self._performer is None:
            self._end(at_once=True)

    def cut(self) -> None:
        """End now, whatever is performed."""
        self._ending = True
        self._leave()
        self.transport.close()

    # ------------------------------------------------------------------------------------------------ turns

    def _feed(self, data: bytes) -> None:
        intake, request = self._intake, self._request
        intake.feed(data)
        if request is not None:
            if self._performer is not None:
                self._performer.body_came()
            if request.waiting > bounds.AHEAD and not request.whole:
                self._stop_reading()
        elif not intake.requests and not intake.between and self._deadline is not None:
            # A head has begun: from here it has as long as a first one.
            self._deadline = min(self._deadline, self._server.time() + bounds.HEAD_DEADLINE)

    def _advance(self) -> None:
        """Perform what stands in the queue, one after the other, until one takes its time."""
        self._advancing = True
        try:
            while self._performer is None and not self._ending:
                if self._intake.requests:
                    self._begin(self._intake.requests.popleft())
                elif not self._held or self._intake.deaf:
                    self._rest()
                    return
                else:
                    held, self._held = self._held, b""
                    self._go_on_reading()
                    self._feed(held)
        finally:
            self._advancing = False

    def _begin(self, request: Request) -> None:
        self._deadline = None
        self._request = request
        performer = self._performer = self._server.perform(self, request)
        performer.start()

    def _rest(self) -> None:
        """Wait for the next request; or end, when there will be none."""
        intake = self._intake
        if intake.refusal is not None:
            error = intake.refusal
            self.transport.write(refusal(_STATUSES[error.code], "invalid_request_error", error.code, str(error)))
            self._end()
        elif intake.deaf:
            self._end()
        elif self._deadline is None:
            self._deadline = self._server.time() + (bounds.KEEP_ALIVE if intake.between else bounds.HEAD_DEADLINE)

    def _end(self, *, at_once: bool = False) -> None:
        """Close; unless at once, our half first, so that what was said last is read before a reset can take it away."""
        self._ending = True
        self._held = b""
        self._intake.close()
        if at_once:
            self._deadline = None
            self.transport.close()
            return
        self._deadline = self._server.time() + bounds.LINGER
        self._go_on_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _leave(self) -> None:
        performer, self._performer, self._request = self._performer, None, None
        if performer is not None:
            performer.caller_left()

    def _stop_reading(self) -> None:
        if self._reading and not self.transport.is_closing():
            self._reading = False
            self.transport.pause_reading()

    def _go_on_reading(self) -> None:
        if not self._reading and not self.transport.is_closing():
            self._reading = True
            self.transport.resume_reading()


L = TypeVar("L", bound=Line)


class Lines(Generic[L]):
    """Every connection of one server; ``grace`` is how long those that are busy have when it closes."""

    def __init__(self, line: type[L], perform: Callable[[L, Request], Performer], log: Any, *, grace: float) -> None:
        self._line = line
        self.perform = perform
        self.log = log
        self.time = asyncio.get_running_loop().time
        self.connections: set[L] = set()
        self.closing = False
        self._grace = grace
        self._empty = anyio.Event()

    def __call__(self) -> L:
        """Make a connection."""
        return self._line(self)

    def every(self) -> Iterable[L]:
        """Return all that have a deadline."""
        return tuple(self.connections)

    def forget(self, connection: L) -> None:
        """Let a connection go that has ended."""
        self.connections.discard(connection)
        if self.closing and not self.connections:
            self._empty.set()

    def sweep(self, now: float) -> None:
        """Close what has outlived its deadline."""
        for connection in self.every():
            connection.expire(now)

    async def close(self) -> None:
        """Let what is under way end by itself for a moment, then end it."""
        self.closing = True
        for connection in list(self.connections):
            connection.retire()
        if self.connections:
            with anyio.move_on_after(self._grace):
                await self._empty.wait()
        for connection in self.every():
            connection.cut()
