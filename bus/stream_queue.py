"""What waits for one listener of a stream: bounded, in order, and every loss seen (pure, but for the queue it owns).

Theory of operation
-------------------
``reached`` is the number that the listener has reached once it has taken all that waits. A frame that does not fit is not
taken and leaves ``reached`` where it was, so the next that fits jumps over it, which the frames' own numbers show. A mark
is told only when it names another number than ``reached``: then something is missing at the end, whoever lost it. A number
that goes back is a teller that began anew. Must not know sockets, clocks, nor what is told.
"""

from __future__ import annotations

from collections import deque

from bus.protocol import MARK, Mark, StreamFrame

MAX_QUEUED = 4096
MAX_QUEUED_BYTES = 16 * 1024 * 1024


class StreamQueue:
    """Frames on their way to one listener. ``lost`` counts the numbers jumped over since the first frame or mark."""

    def __init__(self, *, frames: int = MAX_QUEUED, size: int = MAX_QUEUED_BYTES) -> None:
        self._frames = frames
        self._size = size
        self._waiting: deque[tuple[bytes | Mark, int]] = deque()
        self._bytes = 0
        self.reached: int | None = None
        self.lost = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, frame: StreamFrame) -> None:
        """Take what was heard, or drop it when there is no room, or when it is no news."""
        told: bytes | Mark = frame.body
        if frame.kind == MARK:
            if frame.sequence == self.reached:
                return
            told = Mark(frame.sequence)
        size = len(frame.body)
        if len(self._waiting) >= self._frames or self._bytes + size > self._size:
            return
        if self.reached is not None and frame.sequence > self.reached:
            self.lost += frame.sequence - self.reached - isinstance(told, bytes)
        self.reached = frame.sequence
        self._waiting.append((told, size))
        self._bytes += size

    def take(self) -> bytes | Mark:
        """Take the oldest; look first whether there is one."""
        told, size = self._waiting.popleft()
        self._bytes -= size
        return told
