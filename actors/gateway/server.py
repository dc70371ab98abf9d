"""The callers' side of the wire: accepts connections, keeps their bounds and deadlines, answers what is not HTTP.

Theory of operation
-------------------
A ``CallerConnection`` feeds what comes to its ``Intake`` and lets one request at a time be performed; what comes behind it is
held until its turn, and beyond ``limits.AHEAD`` not read. It is read all the time otherwise, because only so is it seen that a
caller has left: the end of its half counts as leaving.

An answer that leaves before its request's body is whole ends the connection the patient way: our half is closed, the rest is
read and dropped for ``limits.LINGER``, since a connection closed over unread bytes is reset and the answer lost with it.

A connection beyond the bounds (``crowd``) is told so with 503 and ends the same patient way; when its process is named only
while its first request waits for that, by that request. One from beyond this computer is not asked the kernel about.

Deadlines are not timers but times that one sweep compares a few times a second: an assignment where something happens.
Must not know providers, nor what a request is worth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Any, Final, Protocol

import anyio
import orjson

from actors.gateway import limits
from actors.gateway.admission import Kernel
from actors.gateway.attribution import Caller, unknown_caller
from actors.gateway.crowd import Caps, Crowd
from actors.gateway.door import beyond_loopback
from actors.gateway.identity import Acquaintance, Identity
from actors.gateway.intake import Intake, Request

_STATUSES: Final = {"malformed": "400 Bad Request", "headers_too_large": "431 Request Header Fields Too Large"}
_ELSEWHERE: Final = "the caller is on another computer"


class Performer(Protocol):
    """What performs one request; it calls the line's ``done`` when the last byte of the answer was written."""

    def start(self) -> None:
        """Begin; the head is whole."""

    def body_came(self) -> None:
        """Learn that there is more of the request's body, or that it is whole or broken."""

    def turn_away(self, reason: str) -> None:
        """Answer 503 instead, if no answer has begun: this connection is one too many."""

    def caller_left(self) -> None:
        """Learn that nobody waits for the answer; ``done`` is not to be called any more."""

    def pause(self) -> None:
        """Write no more for now: the caller does not read."""

    def resume(self) -> None:
        """Write again."""


class CallerConnection(asyncio.Protocol):
    """One accepted connection."""

    __slots__ = (
        "_advancing",
        "_counted",
        "_deadline",
        "_ending",
        "_held",
        "_intake",
        "_performer",
        "_reading",
        "_request",
        "_server",
        "acquaintance",
        "paused",
        "peer_text",
        "remote",
        "transport",
    )

    transport: asyncio.Transport
    acquaintance: Acquaintance

    def __init__(self, server: CallerServer) -> None:
        self._server = server
        self._intake = Intake()
        self._performer: Performer | None = None
        self._request: Request | None = None
        self._held = b""
        self._reading = True
        self._advancing = False
        self._ending = False
        self._deadline: float | None = None
        self._counted: Hashable | None = None
        self.paused = False
        self.remote = False
        self.peer_text = "unknown"

    # ------------------------------------------------------------------------------------------------ asyncio's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn who it is, unless there are too many."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self.transport = transport
        server = self._server
        local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        if remote:
            self.peer_text = f"{remote[0]}:{remote[1]}"
            self.remote = server.wide and beyond_loopback(remote[0])
        if reason := server.crowd.enter(remote=self.remote):
            self._turn_away(reason, at_once=server.turned_away >= limits.TURNED_AWAY)
            return
        server.connections.add(self)
        self._deadline = server.time() + limits.HEAD_DEADLINE
        if self.remote:
            self.acquaintance = Acquaintance(None, Kernel(None, _ELSEWHERE, remote=True))
            self.acquaintance.settle(unknown_caller(_ELSEWHERE))
            self._count(remote[0], "address")
            return
        acquaintance = self.acquaintance = server.identity.accept((local[0], local[1]), (remote[0], remote[1]))
        if acquaintance.caller is None:
            acquaintance.on_settled = self._named
        else:
            self._named(acquaintance.caller)

    def data_received(self, data: bytes) -> None:
        """Feed what is the turn of, and hold the rest."""
        if self._ending:
            return
        if self._request is not None and self._request.whole:
            self._held += data
            if len(self._held) > limits.AHEAD:
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

    def count_stranger(self) -> None:
        """Count a request from beyond this computer that had no token: facts of them would be anybody's to make."""
        self._server.crowd.strangers += 1

    def log_exception(self, error: BaseException) -> None:
        """Log what broke a request."""
        self._server.log.error("a request broke the gateway", exc_info=error)

    # ------------------------------------------------------------------------------------------------ the server's calls

    def expire(self, now: float) -> None:
        """Close what has outlived its deadline; not over bytes that are still on their way to a slow reader."""
        if self._deadline is None or now <= self._deadline:
            return
        if self.transport.get_write_buffer_size():
            self._deadline = now + limits.LINGER
            return
        if not self._ending and not self._intake.between:
            text = f"the head of the request was not complete after {limits.HEAD_DEADLINE:g} s"
            self.transport.write(_answer("408 Request Timeout", "invalid_request_error", "head_too_slow", text))
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

    # ------------------------------------------------------------------------------------------------ the crowd

    def _named(self, caller: Caller) -> None:
        """Count for the process, now that it is known; one that could not be named counts for nobody."""
        if caller.process is not None and not self._ending:
            self._count(caller.process, "process")

    def _count(self, who: Hashable, what: str) -> None:
        if reason := self._server.crowd.name(who, what):
            self._turn_away(reason)
        else:
            self._counted = who

    def leave_crowd(self) -> None:
        """Count no more."""
        self._server.crowd.leave(self._counted, remote=self.remote)
        self._counted = None

    def _turn_away(self, reason: str, *, at_once: bool = False) -> None:
        if self._performer is not None:
            self._performer.turn_away(reason)
            return
        self.transport.write(_answer("503 Service Unavailable", "server_error", "busy", reason, more="retry-after: 1\r\n"))
        self._server.let_go(self)
        self._end(at_once=at_once)

    # ------------------------------------------------------------------------------------------------ turns

    def _feed(self, data: bytes) -> None:
        intake, request = self._intake, self._request
        intake.feed(data)
        if request is not None:
            if self._performer is not None:
                self._performer.body_came()
            if request.waiting > limits.AHEAD and not request.whole:
                self._stop_reading()
        elif not intake.requests and not intake.between and self._deadline is not None:
            # A head has begun: from here it has as long as a first one.
            self._deadline = min(self._deadline, self._server.time() + limits.HEAD_DEADLINE)

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
            self.transport.write(_answer(_STATUSES[error.code], "invalid_request_error", error.code, str(error)))
            self._end()
        elif intake.deaf:
            self._end()
        elif self._deadline is None:
            self._deadline = self._server.time() + (limits.KEEP_ALIVE if intake.between else limits.HEAD_DEADLINE)

    def _end(self, *, at_once: bool = False) -> None:
        """Close; unless at once, our half first, so that what was said last is read before a reset can take it away."""
        self._ending = True
        self._held = b""
        self._intake.close()
        if at_once:
            self._deadline = None
            self.transport.close()
            return
        self._deadline = self._server.time() + limits.LINGER
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


Perform = Callable[[CallerConnection, Request], Performer]


class CallerServer:
    """The listening end. ``wide``: it listens beyond loopback."""

    def __init__(self, perform: Perform, identity: Identity, log: Any, caps: Caps, *, wide: bool = False) -> None:
        self.perform = perform
        self.identity = identity
        self.log = log
        self.crowd = Crowd(caps)
        self.wide = wide
        self.time = asyncio.get_running_loop().time
        self.connections: set[CallerConnection] = set()  # that count
        self._parting: set[CallerConnection] = set()  # that were turned away and have not gone yet
        self.closing = False
        self._empty = anyio.Event()

    def __call__(self) -> CallerConnection:
        """Make a connection."""
        return CallerConnection(self)

    @property
    def turned_away(self) -> int:
        """Return how many connections read that they are too many, at this moment."""
        return len(self._parting)

    def forget(self, connection: CallerConnection) -> None:
        """Let a connection go that has ended."""
        self._parting.discard(connection)
        if connection in self.connections:
            self.connections.discard(connection)
            connection.leave_crowd()
        if self.closing and not self.connections:
            self._empty.set()

    def let_go(self, connection: CallerConnection) -> None:
        """Count a connection no more that is being told that it is too many."""
        self.forget(connection)
        self._parting.add(connection)

    def sweep(self, now: float) -> None:
        """Close what has outlived its deadline."""
        for connection in (*self.connections, *self._parting):
            connection.expire(now)

    async def close(self) -> None:
        """Let what is under way end by itself for a moment, then end it."""
        self.closing = True
        for connection in list(self.connections):
            connection.retire()
        if self.connections:
            with anyio.move_on_after(limits.SHUTDOWN_GRACE):
                await self._empty.wait()
        for connection in (*self.connections, *self._parting):
            connection.cut()


def _answer(status: str, kind: str, code: str, text: str, *, more: str = "") -> bytes:
    """Write an answer to what is no request; the connection ends with it."""
    body = orjson.dumps({"error": {"message": text, "type": kind, "param": None, "code": code}})
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{more}connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
