"""The wire (specification follows)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.codec import decode_recorded
from schemas.envelope import Recorded


@dataclass(frozen=True, slots=True)
class Row:
    """One event as the journal holds it and as the feed carries it: its position and its three frames."""

    position: int
    topic: bytes
    stamp: bytes
    envelope: bytes

    def recorded(self) -> Recorded:
        """Read the event.

        Raises:
            InvalidMessageError: its data breaks its type.

        """
        return decode_recorded(self.stamp, self.envelope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A stretch of the journal: every event after the position asked for, through ``through``, that matches the prefixes.

    ``first`` and ``head`` are the first and last positions kept; ``more`` says that ``through`` is not yet the head;
    ``damaged`` are ranges of positions inside the stretch that cannot be read.
    """

    epoch: str
    first: int
    head: int
    through: int
    more: bool
    damaged: tuple[tuple[int, int], ...] = ()
    rows: tuple[Row, ...] = field(default=(), repr=False)

    def events(self) -> Iterator[Recorded]:
        """Read the events, in order.

        Raises:
            InvalidMessageError: an event's data breaks its type; ``rows`` holds it as it is.

        """
        return (row.recorded() for row in self.rows)
