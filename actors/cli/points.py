"""Points of the journal as people name them (a position, a time, a duration ago), and how a time is found in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from actors.cli.text import moment

_POSITION: Final = re.compile(r"[0-9]{1,18}")
_DURATION: Final = re.compile(r"([0-9]{1,9})(s|m|min|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Point:
    """A position, or else a time."""

    position: int | None = None
    time: datetime | None = None


def read_point(text: str, now: datetime) -> Point:
    """Read ``4711``, ``2026-11-21T01:50:01Z`` or ``10m``.

    Raises:
        ValueError: it is none of these.

    """
    if _POSITION.fullmatch(text):
        return Point(position=int(text))
    if ago := _DURATION.fullmatch(text):
        return Point(time=now - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]]))
    try:
        return Point(time=moment(text))
    except ValueError:
        raise ValueError(
            f"{text!r} is no point of the journal: "
            "give a position (4711), a time (2026-11-21T01:50:01Z) or a duration ago (10m)"
        ) from None


def find_time(first: int, head: int, time: datetime) -> Generator[int, str | None, int]:
    """Find the last position that was recorded before ``time``, by halving.

    Yields a position; send the time at which the first event *after* it was recorded (None when there is none).
    """
    low, high = first - 1, head
    while low < high:
        middle = (low + high) // 2
        recorded = yield middle
        if recorded is not None and moment(recorded) < time:
            low = middle + 1
        else:
            high = middle
    return low
