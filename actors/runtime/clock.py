"""The clock of one run of Tabwire: the time of day as it was when the run began, carried on by a clock that nobody sets.

The supervisor reads both clocks once, at its start, and hands this ``Anchor`` to every actor. All of them stamp and measure
by it, so that within a run time never jumps: not when somebody sets the clock by an hour, not for summer time, and a
computer that slept has slept for as long as it did. The next run takes an anchor of its own.

Times of files are the wall clock's; whoever compares with those must ask the wall clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from actors.runtime.contract import Anchor


def _steady() -> Callable[[], int]:
    """Choose the clock that goes on while the computer sleeps and that nobody can set; the same for every process."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)  # Linux
    if boot is None:
        boot = getattr(time, "CLOCK_MONOTONIC", None)  # macOS, where it counts sleep too
    if boot is None:
        return time.perf_counter_ns  # Windows: the performance counter, of the whole system and through sleep
    return lambda: time.clock_gettime_ns(boot)


_STEADY: Final = _steady()


def take_anchor() -> Anchor:
    """Read both clocks at one moment."""
    before = _STEADY()
    wall = time.time_ns()
    return Anchor(wall=wall, steady=(before + _STEADY()) // 2)


class Clock:
    """Tells the time by an anchor."""

    def __init__(self, anchor: Anchor) -> None:
        self.anchor = anchor
        self._ahead = anchor.wall - anchor.steady

    def __call__(self) -> int:
        """Return Unix time in nanoseconds."""
        return _STEADY() + self._ahead
