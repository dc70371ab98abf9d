"""What is to be looked at, in which order: pure."""

from __future__ import annotations

import heapq

from actors.rollout.tracking import Look


class Queue:
    """Paths to look at: what just changed first, in its order; then what can wait, newest first, each path once."""

    def __init__(self) -> None:
        self._urgent: dict[str, None] = {}
        self._later: list[tuple[int, str]] = []
        self._waiting: set[str] = set()

    def __len__(self) -> int:
        return len(self._urgent) + len(self._waiting)

    def __contains__(self, path: str) -> bool:
        return path in self._urgent or path in self._waiting

    def add(self, look: Look) -> None:
        """Put a path in line."""
        if look.urgent:
            self._urgent[look.path] = None
        elif look.path not in self._waiting:
            self._waiting.add(look.path)
            heapq.heappush(self._later, (-look.newest, look.path))

    def take(self, count: int) -> list[str]:
        """Take the first paths; at least one that could wait is among them, so that it never starves."""
        taken = dict.fromkeys(list(self._urgent)[:count])
        for path in taken:
            del self._urgent[path]
        for _ in range(max(1, count - len(taken))):
            if self._later:
                path = heapq.heappop(self._later)[1]
                self._waiting.discard(path)
                taken[path] = None
        return list(taken)
