"""The callers' side of the wire: who is at the other end of a connection, and how many there may be.

Theory of operation
-------------------
Turns, bounds and deadlines are those of every ``Line``. Beside them a connection is known by its process, which the kernel is
asked for as soon as it is made; one from beyond this computer is not asked the kernel about.

A connection beyond the bounds (``crowd``) is told so with 503 and ends the patient way; when its process is named only while
its first request waits for that, by that request.

Must not know providers, nor what a request is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final, Protocol

from actors.gateway import limits
from actors.gateway.acquaintance import Acquaintance
from actors.gateway.admission import Kernel
from actors.gateway.attribution import Caller, unknown_caller
from actors.gateway.crowd import Caps, Crowd
from actors.gateway.door import beyond_loopback
from actors.gateway.identity import Identity
from actors.runtime.http import line
from actors.runtime.http.intake import Request
from actors.runtime.http.replying import refusal

_ELSEWHERE: Final = "the caller is on another computer"


class Performer(line.Performer, Protocol):
    """What performs one request of a caller."""

    def turn_away(self, reason: str) -> None:
        """Answer 503 instead, if no answer has begun: this connection is one too many."""


class CallerConnection(line.Line):
    """One accepted connection."""

    __slots__ = ("_counted", "acquaintance", "peer_text", "remote")

    acquaintance: Acquaintance
    _performer: Performer | None
    _server: CallerServer

    def __init__(self, server: CallerServer) -> None:
        super().__init__(server)
        self._counted: Hashable | None = None
        self.remote = False
        self.peer_text = "unknown"

    def opened(self) -> None:
        """Learn who it is, unless there are too many."""
        server, transport = self._server, self.transport
        local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        if remote:
            self.peer_text = f"{remote[0]}:{remote[1]}"
            self.remote = server.wide and beyond_loopback(remote[0])
        if reason := server.crowd.enter(remote=self.remote):
            self._turn_away(reason, at_once=server.turned_away >= limits.TURNED_AWAY)
            return
        self.join()
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

    def count_stranger(self) -> None:
        """Count a request from beyond this computer that had no token: facts of them would be anybody's to make."""
        self._server.crowd.strangers += 1

    def leave_crowd(self) -> None:
        """Count no more."""
        self._server.crowd.leave(self._counted, remote=self.remote)
        self._counted = None

    def _named(self, caller: Caller) -> None:
        """Count for the process, now that it is known; one that could not be named counts for nobody."""
        if caller.process is not None and not self._ending:
            self._count(caller.process, "process")

    def _count(self, who: Hashable, what: str) -> None:
        if reason := self._server.crowd.name(who, what):
            self._turn_away(reason)
        else:
            self._counted = who

    def _turn_away(self, reason: str, *, at_once: bool = False) -> None:
        if self._performer is not None:
            self._performer.turn_away(reason)
            return
        self.transport.write(refusal("503 Service Unavailable", "server_error", "busy", reason, more="retry-after: 1\r\n"))
        self._server.let_go(self)
        self._end(at_once=at_once)


Perform = Callable[[CallerConnection, Request], Performer]


class CallerServer(line.Lines[CallerConnection]):
    """The listening end. ``wide``: it listens beyond loopback."""

    def __init__(self, perform: Perform, identity: Identity, log: Any, caps: Caps, *, wide: bool = False) -> None:
        super().__init__(CallerConnection, perform, log, grace=limits.SHUTDOWN_GRACE)
        self.identity = identity
        self.crowd = Crowd(caps)
        self.wide = wide
        self._parting: set[CallerConnection] = set()  # that were turned away and have not gone yet; the others count

    @property
    def turned_away(self) -> int:
        """Return how many connections read that they are too many, at this moment."""
        return len(self._parting)

    def every(self) -> Iterable[CallerConnection]:
        """Return all that have a deadline."""
        return (*self.connections, *self._parting)

    def forget(self, connection: CallerConnection) -> None:
        """Let a connection go that has ended."""
        self._parting.discard(connection)
        if connection in self.connections:
            connection.leave_crowd()
        super().forget(connection)

    def let_go(self, connection: CallerConnection) -> None:
        """Count a connection no more that is being told that it is too many."""
        self.forget(connection)
        self._parting.add(connection)
