"""Commands on their way through a broker: who asked whom, and until when (pure, but for the table it owns).

Theory of operation
-------------------
A command waits in one table, bounded in all and for each actor, under a number of the broker's own; the actor's REPLY
repeats that number. What is not answered in time is answered here. The actor that serves a name is the last connection
that said so. Must not know sockets or clocks: times come in as numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from bus.protocol import Failure, Forwarded, Reply, Request

MAX_WAITING = 1024
MAX_WAITING_FOR_ONE = 64
_GRACE = 0.05


@dataclass(frozen=True, slots=True)
class Server:
    """The connection that answers for a name, and the commands that it answers."""

    connection: bytes
    serves: frozenset[str]


@dataclass(frozen=True, slots=True)
class Waiting:
    """One command that was handed on: who asked under which request id, whom, and until when."""

    asker: bytes
    request_id: bytes
    server: str
    connection: bytes
    type: str
    deadline: float


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for one connection."""

    connection: bytes
    request_id: bytes
    message: Forwarded | Reply | Failure


class Exchange:
    """The table of waiting commands and of the connections that answer them."""

    def __init__(self) -> None:
        self._servers: dict[str, Server] = {}
        self._waiting: dict[bytes, Waiting] = {}
        self._number = 0

    def serve(self, name: str, connection: bytes, serves: tuple[str, ...]) -> None:
        """Note that a connection answers for a name."""
        self._servers[name] = Server(connection, frozenset(serves))

    def gone(self, connection: bytes) -> list[Outgoing]:
        """Forget a connection; whoever waits for it is told."""
        for name in [name for name, server in self._servers.items() if server.connection == connection]:
            del self._servers[name]
        lost = [number for number, waiting in self._waiting.items() if waiting.connection == connection]
        return [self._refuse(number, "no_such_actor", "{to} is gone") for number in lost]

    def ask(self, asker: bytes, request_id: bytes, name: str, request: Request, now: float) -> Outgoing:
        """Hand a command on, or refuse it."""
        server = self._servers.get(request.to)
        code, message = "", ""
        if server is None:
            code, message = "no_such_actor", f"no actor named {request.to!r} answers commands now; see: tabwire status"
        elif request.type not in server.serves:
            code, message = "unknown_command", f"{request.to} does not answer {request.type!r}"
        elif len(self._waiting) >= MAX_WAITING or self._waiting_for(request.to) >= MAX_WAITING_FOR_ONE:
            code, message = "busy", f"too many commands wait for {request.to}; try again later"
        if server is None or code:
            return Outgoing(asker, request_id, Reply(ok=False, code=code, message=message))
        self._number += 1
        number = self._number.to_bytes(8, "big")
        deadline = now + request.deadline_ms / 1000
        self._waiting[number] = Waiting(asker, request_id, request.to, server.connection, request.type, deadline)
        forwarded = Forwarded(sender=name, type=request.type, deadline_ms=request.deadline_ms, command=request.command)
        return Outgoing(server.connection, number, forwarded)

    def replied(self, connection: bytes, number: bytes, reply: Reply) -> Outgoing | None:
        """Hand an answer back; None when nobody waits for it (any more), or it is not this connection's to give."""
        waiting = self._waiting.get(number)
        if waiting is None or waiting.connection != connection:
            return None
        del self._waiting[number]
        return Outgoing(waiting.asker, waiting.request_id, reply)

    def expired(self, now: float) -> list[Outgoing]:
        """Answer what nobody answered in time."""
        late = [number for number, waiting in self._waiting.items() if now > waiting.deadline + _GRACE]
        return [self._refuse(number, "timeout", "{to} did not answer {type} in time") for number in late]

    def _refuse(self, number: bytes, code: str, message: str) -> Outgoing:
        waiting = self._waiting.pop(number)
        text = message.format(to=waiting.server, type=waiting.type)
        return Outgoing(waiting.asker, waiting.request_id, Reply(ok=False, code=code, message=text))

    def _waiting_for(self, name: str) -> int:
        return sum(waiting.server == name for waiting in self._waiting.values())
