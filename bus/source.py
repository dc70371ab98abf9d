"""The publisher's side of an envelope: who speaks, at what time, under which id.

The only place of ``bus`` that reads a clock and draws randomness for envelopes, so that everything else can be repeated.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from schemas.envelope import Envelope
from schemas.ids import RANDOM_BYTES, uuid7

_DRAWN_AT_ONCE = 256
_SOURCE = re.compile(r"/(actor|client)(/[A-Za-z0-9_.~-]{1,64}){1,2}")


class Source:
    """One publisher: ``/actor/<name>/<incarnation>`` or ``/client/<name>/<pid>``; ``clock`` tells Unix time in nanoseconds."""

    def __init__(self, source: str, clock: Callable[[], int] = time.time_ns) -> None:
        if not _SOURCE.fullmatch(source):
            raise ValueError(f"source {source!r}: expected /actor/<name>/<incarnation> or /client/<name>/<pid>")
        self.source = source
        self._clock = clock
        self._drawn: deque[bytes] = deque()

    def new_id(self, nanoseconds: int) -> str:
        """Return a new UUID of version 7 at this Unix time in nanoseconds."""
        return uuid7(nanoseconds // 1_000_000, self._draw())

    def _draw(self) -> bytes:
        """Take random bytes from a stock, since a system call for each id costs more than the rest of its envelope."""
        while True:
            try:
                return self._drawn.popleft()
            except IndexError:
                block = os.urandom(RANDOM_BYTES * _DRAWN_AT_ONCE)
                self._drawn.extend(block[at : at + RANDOM_BYTES] for at in range(0, len(block), RANDOM_BYTES))

    def envelope(
        self,
        subject: str,
        data: Any,
        *,
        correlationid: str | None = None,
        causationid: str | None = None,
        id: str | None = None,  # noqa: A002 - the attribute's name in CloudEvents
    ) -> Envelope:
        """Put a fact (one of ``schemas.events``) into an envelope; without ``id`` a new UUID of version 7 is drawn."""
        now = self._clock()
        return Envelope(
            id=id or self.new_id(now),
            source=self.source,
            type=data.TYPE,
            subject=subject,
            time=rfc3339(now),
            data=data,
            correlationid=correlationid,
            causationid=causationid,
        )


def rfc3339(nanoseconds: int) -> str:
    """Write Unix time as RFC 3339 in UTC with microseconds: ``2026-11-21T01:50:01.123456Z``."""
    seconds, rest = divmod(nanoseconds // 1000, 1_000_000)
    return f"{_second(seconds)}.{rest:06d}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
