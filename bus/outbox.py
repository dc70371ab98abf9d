"""For publishers that must never wait (gateway, supervisor): a bounded queue in front of the bus.

First cut: signatures are final, bodies follow.
"""

from __future__ import annotations

from collections.abc import Callable

from bus.connection import Connection
from bus.source import Source
from schemas.envelope import Envelope

CAPACITY_EVENTS = 20_000
CAPACITY_BYTES = 32 * 1024 * 1024


class Outbox:
    """Takes envelopes at once and records them when it can; the newest are dropped, and counted by type, when it is full."""

    def __init__(
        self,
        connect_to: Callable[[], Connection],
        source: Source,
        actor: str,
        *,
        capacity_events: int = CAPACITY_EVENTS,
        capacity_bytes: int = CAPACITY_BYTES,
    ) -> None:
        raise NotImplementedError

    connected: bool
    queued: int
    dropped: int

    def put(self, envelope: Envelope) -> None:
        """Take an envelope; never waits, never raises for a full queue."""
        raise NotImplementedError

    async def run(self) -> None:
        """Record what is put, for ever: connects, connects again with back-off, sends again what was not acknowledged."""
        raise NotImplementedError

    async def drain(self, deadline: float) -> bool:
        """Wait until everything put so far is recorded (``run`` must be running); tell whether it was, by the deadline."""
        raise NotImplementedError
