"""What a broker does for its journal beside the traffic: says that it opened, checks old rows, sets damage aside, trims.

All of it runs on the broker's two threads, in pieces small enough that no event waits for it noticeably.
Must not know sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import anyio

from bus.journal import Damage, Journal, JournalFullError, Trimmed
from bus.source import rfc3339
from bus.worker import Worker
from schemas.events import JournalDamaged, JournalOpened, JournalTrimmed

_CHECK_ROWS = 1000
_CHECK_PAUSE = 0.02
_TRIM_ROWS = 2000
_TRIM_PAUSE = 0.02
_WRONG_CHECKSUM = "wrong checksum"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long events are kept: by age, by size, and how often that is looked at."""

    max_age: timedelta
    max_bytes: int
    every_seconds: float


class Upkeep:
    """The journal's housekeeping; ``tell`` publishes a fact."""

    def __init__(
        self,
        *,
        journal: Journal,
        reading: Journal,
        writer: Worker,
        reader: Worker,
        tell: Callable[[Any], None],
        retention: Retention,
        clock: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._reading = reading
        self._writer = writer
        self._reader = reader
        self._tell = tell
        self._retention = retention
        self._clock = clock
        self._begun = journal.head

    def opened(self, recovered_ms: float) -> None:
        """Say that the journal is open, and what was found damaged while opening it."""
        journal = self._journal
        self._tell(
            JournalOpened(epoch=journal.epoch, first=journal.first, head=journal.head, recovered_ms=round(recovered_ms, 3))
        )
        for damage in journal.found_at_start:
            self._tell(_damaged(damage))

    def set_aside(self, positions: Iterable[int]) -> None:
        """Put rows with a wrong checksum into quarantine, and say so."""
        for position in positions:
            self._writer.submit(partial(self._journal.quarantine, position, _WRONG_CHECKSUM), self._set_aside)

    def _set_aside(self, outcome: Damage | Exception | None) -> None:
        if isinstance(outcome, Damage):
            self._tell(_damaged(outcome))
        elif isinstance(outcome, Exception) and not isinstance(outcome, JournalFullError):
            raise outcome  # without room it is set aside when it is met the next time

    async def check_all(self) -> None:
        """Verify every row that was there at the start, a piece at a time, and return."""
        after = 0
        while after < self._begun:
            after, bad = await self._reader.call(partial(self._reading.check, after, _CHECK_ROWS))
            self.set_aside(bad)
            await anyio.sleep(_CHECK_PAUSE)

    async def retain(self) -> None:
        """Keep to the retention rule, for ever."""
        while True:
            trimmed = await self._trim()
            while trimmed is not None:
                self._tell(JournalTrimmed(first=trimmed.first, removed=trimmed.removed, reason=trimmed.reason))
                await anyio.sleep(_TRIM_PAUSE)
                trimmed = await self._trim()
            await anyio.sleep(self._retention.every_seconds)

    async def _trim(self) -> Trimmed | None:
        oldest = rfc3339(self._clock() - int(self._retention.max_age.total_seconds() * 1e9))
        try:
            return await self._writer.call(
                lambda: self._journal.trim(older_than=oldest, max_bytes=self._retention.max_bytes, at_most=_TRIM_ROWS)
            )
        except JournalFullError:
            return None  # removing writes first; it is tried again


def _damaged(damage: Damage) -> JournalDamaged:
    return JournalDamaged(first=damage.first, last=damage.last, reason=damage.reason, kept_at=damage.kept_at)
