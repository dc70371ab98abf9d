"""Where the reading of a growing file stands, and how its bytes become lines: pure.

Theory of operation
-------------------
A position is a byte offset behind a newline, so everything before it was read and everything after it was not. It carries a
digest of the bytes just before it (``tail``): bytes at an offset say nothing when the file was truncated and grew again, but
lines of JSON with ids and times in them do not repeat. ``span`` says which bytes are wanted next: those before the offset,
to be checked, and what follows. ``frame`` checks them and cuts lines at newlines. A torn line waits: its bytes are read
again when there are more. A line beyond ``MAX_LINE`` is discarded up to its newline and reported as one rejection, and so
is what is passed over of a file that is met when it is already beyond ``MAX_HISTORY``: its beginning is read (it says what
the file is), then its last ``KEPT_HISTORY`` bytes.

Must not know files, nor what lines say.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

SLICE: Final = 256 * 1024
LONG_SLICE: Final = 2 * 1024 * 1024  # of a line that is long already, or is being discarded
MAX_LINE: Final = 16 * 1024 * 1024
MAX_HISTORY: Final = 64 * 1024 * 1024
KEPT_HISTORY: Final = 16 * 1024 * 1024
MAX_HEAD: Final = 64 * 1024
_TAIL: Final = 1024


class Position(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a file was read.

    ``tail``: digest of the last bytes before ``offset``; empty when they were not seen. ``scanned``: how far a torn line was
    searched for its end. ``lost``: where a range that is being discarded began (-1: none), and ``why``. ``reached``: the
    file's end was reached once, so nothing of it is history any more.
    """

    offset: int = 0
    tail: str = ""
    scanned: int = 0
    lost: int = -1
    why: str = ""
    reached: bool = False


START: Final = Position()


class Line(Struct, frozen=True):
    """A whole line without its newline; ``end`` is the offset behind the newline."""

    end: int
    raw: bytes


class Discarded(Struct, frozen=True):
    """A range that was passed over, ending behind a newline at ``end``."""

    end: int
    length: int
    reason: str


class Framed(Struct, frozen=True):
    """What some bytes held. ``more``: there is more to read now."""

    position: Position
    found: tuple[Line | Discarded, ...]
    more: bool


def digest(raw: bytes) -> str:
    """Name bytes by their content."""
    return blake2b(raw, digest_size=16).hexdigest()


def name_of(head: bytes) -> str | None:
    """Name a file by its first line, which holds an id and a time; None while there is not enough of it."""
    first, newline, _ = head[:MAX_HEAD].partition(b"\n")
    return digest(first) if newline or len(first) == MAX_HEAD else None


def span(position: Position, size: int, budget: int = SLICE) -> tuple[int, int]:
    """Return from where to where to read of a file that is ``size`` bytes long; the bytes to be checked come first."""
    first = position.offset - min(_TAIL, position.offset) if position.tail else position.offset
    torn = max(0, position.scanned - position.offset)
    step = LONG_SLICE if position.lost >= 0 else max(budget, min(torn, LONG_SLICE))
    return first, min(size, position.offset + torn + step)


def shortened(position: Position, size: int) -> Position:
    """Pass over the middle of a file that was met when it was already too large to be read whole."""
    begun = position.offset > 0 or position.lost >= 0 or position.scanned > 0
    if position.reached or not begun or size - position.offset <= MAX_HISTORY:
        return position
    lost = position.lost if position.lost >= 0 else position.offset
    why = f"met with {size} bytes: only its beginning and its last {KEPT_HISTORY} bytes are read"
    return Position(offset=size - KEPT_HISTORY, lost=lost, why=why, scanned=size - KEPT_HISTORY)


def frame(position: Position, first: int, raw: bytes, *, ended: bool) -> Framed | None:
    """Cut what was read from ``first`` on into lines; None when the file is not the one that the position is of.

    ``ended``: the file has no more than this.
    """
    checked = position.offset - first
    if len(raw) < checked or (position.tail and digest(raw[:checked]) != position.tail):
        return None
    end = first + len(raw)
    found: list[Line | Discarded] = []
    at, lost, why = checked, position.lost, position.why
    if lost >= 0:
        newline = raw.find(b"\n", at)
        if newline < 0:
            return Framed(_at(first, raw, len(raw), position, ended=ended, lost=lost, why=why), (), more=not ended)
        at = newline + 1
        found.append(Discarded(first + at, first + at - lost, why))
    while (newline := raw.find(b"\n", at)) >= 0:
        found.append(_line(first, raw, at, newline))
        at = newline + 1
    if len(raw) - at > MAX_LINE:
        why = f"a line of more than {MAX_LINE} bytes"
        moved = _at(first, raw, len(raw), position, ended=ended, lost=first + at, why=why)
    else:
        moved = _at(first, raw, at, position, ended=ended)
    return Framed(replace(moved, scanned=end), tuple(found), more=not ended)


def _line(first: int, raw: bytes, at: int, newline: int) -> Line | Discarded:
    end = first + newline + 1
    if newline - at > MAX_LINE:
        return Discarded(end, newline - at + 1, f"a line of more than {MAX_LINE} bytes")
    return Line(end, raw[at:newline])


def _at(first: int, raw: bytes, at: int, before: Position, *, ended: bool, lost: int = -1, why: str = "") -> Position:
    """Stand behind ``raw[:at]``."""
    reached = before.reached or ended
    if at == before.offset - first:  # nothing was consumed, so the old tail holds
        return replace(before, lost=lost, why=why, reached=reached)
    seen = raw[max(0, at - _TAIL) : at]
    whole = len(seen) == min(_TAIL, first + at)
    return Position(
        offset=first + at, tail=digest(seen) if whole else "", scanned=first + at, lost=lost, why=why, reached=reached
    )
