"""Where a subscriber stands in the journal's order, and what it must do next (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Gap:
    """Positions ``first`` to ``last`` will not be delivered, and why.

    ``trimmed``: removed by retention. ``damaged``: unreadable in the journal and set aside. ``unreadable``: the event's
    data breaks its type. ``new_epoch``: the journal is another one; everything known so far (through ``last``) is void
    and what follows starts at its first event.
    """

    first: int
    last: int
    reason: Literal["trimmed", "damaged", "unreadable", "new_epoch"]
    epoch: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Everything through ``position`` was delivered; what follows happens now. Said once for each epoch of a feed."""

    epoch: str
    position: int
