"""The folders and files in which a change of an agent's conversations shows, and whether one has changed since a look at them.

A place that is missing is one more state of it, so that one that is made later is noticed like any other change. Must not
know what stands in them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Final

SETTLED: Final = 1.0


class Places:
    """The places of one process.

    A time of modification is trusted only when it is older than ``SETTLED``: within the grain of a file system's clock a
    second change looks like the first. ``unsettled`` asks for another look whatever the places say.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._stamps: dict[str, int] = {}
        self.unsettled = False

    def note(self, first: Iterable[str]) -> None:
        """Note how the places are, ``first`` if there are none yet; before they are looked at, so that no change is lost."""
        now = self._clock()
        self._stamps = {place: _stamp(place) for place in (tuple(self._stamps) or tuple(first))}
        self.unsettled = any(abs(now - stamp / 1e9) < SETTLED for stamp in self._stamps.values())

    def watch(self, places: Iterable[str]) -> None:
        """Watch these and no others; whether a new one has changed since the look is found out by another look."""
        before = self._stamps
        self._stamps = {place: before.get(place) or _stamp(place) for place in places}
        self.unsettled |= not self._stamps.keys() <= before.keys()

    def may_have_changed(self, asked: dict[str, int]) -> bool:
        """Tell whether to look again; ``asked`` keeps the answers for others that share a place."""
        for place, before in self._stamps.items():
            now = asked.get(place)
            if now is None:
                now = asked[place] = _stamp(place)
            if now != before:
                return True
        return self.unsettled


def _stamp(place: str) -> int:
    """Return when a place was changed last; -1 when it is not there, or not to be seen."""
    try:
        return os.stat(place).st_mtime_ns  # noqa: PTH116 - asked twice a second for every place
    except OSError:
        return -1
