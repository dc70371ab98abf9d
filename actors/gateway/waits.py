"""How long a provider is waited for: until the head of its answer, then between the pieces of it.

Reads no clock: times come in as arguments. A time of 0 says that nothing is waited for.
"""

from __future__ import annotations

from actors.gateway.moves import Problem
from actors.gateway.providers import Upstream


class Waits:
    """Since when an answer's head is awaited, or more of it; ``stirred``: some of it came since somebody last looked."""

    __slots__ = ("head", "more", "stirred")

    def __init__(self) -> None:
        self.head = 0.0
        self.more = 0.0
        self.stirred = False

    def end(self) -> None:
        """Wait for nothing any more."""
        self.head = self.more = 0.0

    def expired(self, now: float, upstream: Upstream, *, paused: bool) -> tuple[Problem, float] | None:
        """Say what took longer than its seconds; while the caller takes nothing (``paused``), the provider is not silent."""
        if self.more:
            if self.stirred or paused:
                self.stirred, self.more = False, now
            elif now - self.more > upstream.idle_timeout:
                return "idle_timeout", upstream.idle_timeout
        elif self.head and now - self.head > upstream.first_byte_timeout:
            return "first_byte_timeout", upstream.first_byte_timeout
        return None
