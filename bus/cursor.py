"""Where a subscriber stands in the journal's order, and what it must do next (pure).

Theory of operation
-------------------
PUB loses what a subscriber does not take, so the feed alone proves nothing: order and completeness come from positions.
A cursor knows the last position it has handled (``after``) and the highest it has heard of (``target``). While
``after < target`` or nothing was read yet, it wants the page after ``after`` and takes nothing from the feed but news of
higher targets; otherwise a live event that is exactly the next one is handled as it comes, and a hole sets the target and
starts the reading. The journal holds an event before the feed carries it, so a page through the target always closes the hole.

A *filtered* cursor cannot tell a hole from an event that does not match. It handles pages only; live events and beats are
news of a target and nothing else.

Another epoch voids everything: the subscriber is told (``Gap`` with ``new_epoch``) and reads from the first event. What the
feed still carries of a voided epoch is dropped; only a page, which answers a question of ours, can bring one back.
Must not know sockets, storage, clocks, nor what an event says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from msgspec import Struct, structs

from bus.protocol import Arrival, Beat, Page, Row


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


@dataclass(frozen=True, slots=True)
class Live:
    """Events of one epoch that came from the feed, in the order in which they came."""

    epoch: str
    arrivals: Sequence[Arrival]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page, and the position after which it was asked for."""

    after: int
    page: Page


class Cursor(Struct, frozen=True):
    """A subscriber's place. ``after=0`` and an epoch from the WELCOME to begin with; ``reading`` until the first page ended."""

    epoch: str
    after: int = 0
    filtered: bool = False
    target: int = 0
    reading: bool = True
    caught_up: bool = False
    voided: tuple[str, ...] = ()

    @property
    def wants_page(self) -> bool:
        """Tell whether the page after ``after`` must be asked for now."""
        return self.reading


Output = Arrival | Row | Gap | CaughtUp


def step(cursor: Cursor, heard: Live | Beat | Fetched) -> tuple[Cursor, list[Output]]:
    """Take one thing heard; return the new place and what the subscriber is to be given, in order."""
    outputs: list[Output] = []
    if isinstance(heard, Fetched):
        return _fetched(cursor, heard, outputs), outputs
    if heard.epoch != cursor.epoch:
        if heard.epoch in cursor.voided:
            return cursor, outputs  # still on its way when its journal was replaced
        cursor = _renewed(cursor, heard.epoch, 0, outputs)
    if isinstance(heard, Beat):
        return _news(cursor, heard.head), outputs
    return _live(cursor, heard.arrivals, outputs), outputs


def _fetched(cursor: Cursor, heard: Fetched, outputs: list[Output]) -> Cursor:
    """Take a page; one that was asked for from another place than ours is no use, and is asked for again."""
    page = heard.page
    if page.epoch != cursor.epoch:
        return _renewed(cursor, page.epoch, page.head, outputs)
    return _page(cursor, page, outputs) if heard.after == cursor.after else cursor


def _renewed(cursor: Cursor, epoch: str, target: int, outputs: list[Output]) -> Cursor:
    outputs.append(Gap(min(1, cursor.after), cursor.after, "new_epoch", epoch, f"the journal was {cursor.epoch}"))
    voided = (*(known for known in cursor.voided if known != epoch), cursor.epoch)
    return Cursor(epoch, 0, filtered=cursor.filtered, target=target, voided=voided)


def _news(cursor: Cursor, head: int) -> Cursor:
    """Hear of a position: one beyond our place means that something is to be read."""
    if head <= cursor.after or head <= cursor.target:
        return cursor
    return structs.replace(cursor, target=head, reading=True)


def _live(cursor: Cursor, arrivals: Sequence[Arrival], outputs: list[Output]) -> Cursor:
    after = cursor.after
    for arrival in arrivals:
        position = arrival.position
        if position <= after:
            continue
        if cursor.filtered or cursor.reading or position != after + 1:
            place = structs.replace(cursor, after=after)
            return _news(place, max(other.position for other in arrivals))
        outputs.append(arrival)
        after = position
    return structs.replace(cursor, after=after)


def _page(cursor: Cursor, page: Page, outputs: list[Output]) -> Cursor:
    after = cursor.after
    spans = [Gap(first, last, "damaged", page.epoch) for first, last in page.damaged]
    if page.first > after + 1 and page.through > after:
        spans.append(Gap(after + 1, min(page.first - 1, page.through), "trimmed", page.epoch))
    parts: list[Row | Gap] = [*page.rows, *spans]
    parts.sort(key=_place)
    for part in parts:
        if isinstance(part, Row):
            if after < part.position:
                outputs.append(part)
                after = part.position
        elif after < part.last:
            outputs.append(replace(part, first=max(part.first, after + 1)))
            after = part.last
    after = max(after, page.through)
    reading = page.more or after < cursor.target
    caught_up = cursor.caught_up
    if not reading and not caught_up:
        outputs.append(CaughtUp(page.epoch, after))
        caught_up = True
    return structs.replace(cursor, after=after, reading=reading, caught_up=caught_up)


def _place(part: Row | Gap) -> int:
    return part.position if isinstance(part, Row) else part.first
