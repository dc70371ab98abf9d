"""A lull: nobody is asking for a session just now, so that what was asked for may begin.

To load a bridge takes 0.2 s of a processor, and then its agent begins; to answer that it will be started takes a few
milliseconds. So answers go first: who asks for many sessions at once has all their names before the first agent runs. A lull
never keeps a start for longer than ``LONGEST_SECONDS``, however many more are asked for. Must not know sessions.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Final

import anyio

QUIET_SECONDS: Final = 0.02
LONGEST_SECONDS: Final = 0.2


class Lull:
    """Tells when nobody has asked for ``QUIET_SECONDS``."""

    def __init__(self) -> None:
        self._asking = 0
        self._last = -math.inf

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Be somebody who asks, for the length of a block."""
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1
            self._last = anyio.current_time()

    async def come(self, longest: float = LONGEST_SECONDS) -> bool:
        """Wait for it, but no longer than so many seconds; tell whether it came."""
        with anyio.move_on_after(longest):
            while True:
                rest = QUIET_SECONDS if self._asking else self._last + QUIET_SECONDS - anyio.current_time()
                if rest <= 0:
                    return True
                await anyio.sleep(rest)
        return False
