"""Text as people may safely see it: no control characters, short ages, ids as short as they stay unique. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from schemas.events import Status
    from schemas.rows import SessionRow

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400
_SHORTEST: Final = 14
_SHOWN_VALUE: Final = 8
_STATUS: Final[Mapping[Status, str]] = {"waiting_permission": "needs permission", "waiting_input": "needs input"}


def printable(text: str) -> str:
    r"""Escape everything that is not plainly visible: control characters, bidirectional marks, lone surrogates (``\x1b``)."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text)


def moment(text: str) -> datetime:
    """Read RFC 3339; without an offset it is UTC.

    Raises:
        ValueError: it is no time.

    """
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def age(since: str, now: str) -> str:
    """Say how long ago something was: ``3 s``, ``12 min``, ``5 h``, ``2 d``; never negative."""
    try:
        seconds = max(timedelta(), moment(now) - moment(since)).total_seconds()
    except ValueError:
        return "?"
    if seconds < _MINUTE:
        return f"{int(seconds)} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min"
    if seconds < 2 * _DAY:
        return f"{int(seconds // _HOUR)} h"
    return f"{int(seconds // _DAY)} d"


def state_words(row: SessionRow, now: str) -> str:
    """Say what a session is doing and for how long; by its activity alone as long as no source tells more."""
    if row.activity == "gone" or not row.status_since:
        return f"{row.activity} {age(row.last_seen, now)}"
    return f"{_STATUS.get(row.status, row.status)} {age(row.status_since, now)}"


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """Return, for each id, its shortest beginning that no other one has; any such prefix is accepted by every command."""
    ordered = sorted(set(ids))
    short = {}
    for place, name in enumerate(ordered):
        neighbours = ordered[max(0, place - 1) : place] + ordered[place + 1 : place + 2]
        shared = max((_common(name, other) for other in neighbours), default=0)
        length = max(shared + 1, _SHORTEST)
        if name[length - 1 : length] == "-":
            length += 1 if length == shared + 1 else -1
        short[name] = name if length >= len(name) - 2 else name[:length]
    return short


def unique_beginnings(names: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """Return the same for a few names out of very many."""
    ordered = sorted({*others})
    short = {}
    for name in names:
        place = bisect_left(ordered, name)
        near = {*ordered[max(0, place - 1) : place + 2], name}
        short[name] = short_ids(near)[name]
    return short


def short_terminal(terminal: str) -> str:
    """Shorten a terminal key to its scheme and the end or beginning that tells it apart: ``wt:1a2b3c4d…``, ``tmux:…:%3``."""
    scheme, _, value = terminal.partition(":")
    if scheme in ("tmux", "screen", "tty"):
        return f"{scheme}:{value.rpartition('/')[2]}"
    return terminal if len(value) <= _SHOWN_VALUE + 1 else f"{scheme}:{value[:_SHOWN_VALUE]}…"


def short_path(path: str, home: str) -> str:
    """Write the home folder as ``~``."""
    if home and (path == home or path.startswith(f"{home}/")):
        return f"~{path[len(home) :]}"
    return path


def _common(one: str, other: str) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
