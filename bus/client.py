"""What every actor uses to talk to the bus: publish, follow the feed, read the journal, ask and answer.

First cut: signatures are final, bodies follow.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from bus.connection import Connection
from bus.cursor import CaughtUp, Gap
from bus.errors import BusError, BusUnavailableError, RefusedError
from bus.protocol import Page
from schemas.envelope import Envelope, Recorded

__all__ = ["BusError", "BusUnavailableError", "CaughtUp", "Client", "Gap", "Page", "RefusedError", "connect"]

Serve = Mapping[type[Any], Callable[[Any], Awaitable[Any]]]


class Client:
    """One connection to the bus, made by ``connect``."""

    epoch: str
    head: int
    name: str

    async def publish(self, envelopes: Sequence[Envelope], *, deadline: float = 5.0) -> list[int]:
        """Record envelopes, in order; return their positions once they are on disk.

        An envelope whose id is already recorded is not recorded again and has its old position.

        Raises:
            RefusedError: one or more were refused; all others are recorded.
            BusUnavailableError: no answer before the deadline; publishing the same envelopes again is safe.

        """
        raise NotImplementedError

    def feed(
        self, after: int | None = 0, *, prefixes: Sequence[bytes] = (b"",), until: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Recorded | Gap | CaughtUp]]:
        """Follow the journal: everything after a position, then live, each event once and in order.

        ``after=None`` starts at the head. ``prefixes`` are of topics. ``until`` ends the feed once it has passed that position.

        Raises:
            BusUnavailableError: (while iterating) the broker went silent for 3 s.

        """
        raise NotImplementedError

    async def read(self, after: int, *, limit: int = 1000, prefixes: Sequence[bytes] = (b"",), deadline: float = 5.0) -> Page:
        """Read one page of the journal."""
        raise NotImplementedError

    async def request(self, actor: str, command: Any, *, deadline: float = 2.0) -> Any:
        """Send a command to an actor and return its answer, typed by ``command.ANSWER``.

        Raises:
            RefusedError: by the actor, or by the broker (``no_such_actor``, ``busy``, ``timeout``).

        """
        raise NotImplementedError


@asynccontextmanager
async def connect(connection: Connection, *, serve: Serve | None = None, deadline: float = 5.0) -> AsyncIterator[Client]:
    """Connect to the bus and, with ``serve``, answer commands for as long as the context is open.

    An answering function returns an instance of its command's ``ANSWER`` or raises ``RefusedError``.

    Raises:
        BusUnavailableError: no broker before the deadline, or (out of the context's body) it was lost for 3 s.
        RefusedError: the broker does not know this key.

    """
    raise NotImplementedError
    yield Client()
