"""What waits on its way to the streams: bounded, in order, every loss seen (pure, but for the queue it owns).

Theory of operation
-------------------
A frame that finds no room is lost, which the number of the next one of its stream shows. The last one that was lost of a stream
has no next one: so it is kept, one for each stream, until another of its stream comes or all that waited is gone, and then goes
out itself, behind the hole that it shows. Must not know who listens.
"""

from __future__ import annotations

from collections import deque

from schemas.content import Frame
from schemas.identity import LaunchId


class FrameQueue:
    """Frames in the order in which they go out. ``dropped`` counts those that were lost."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: deque[Frame] = deque()
        self._last: dict[LaunchId, Frame] = {}
        self.dropped = 0

    def __bool__(self) -> bool:
        return bool(self._waiting or self._last)

    def put(self, frame: Frame) -> None:
        """Take a frame, or keep it as the last one of its stream when there is no room."""
        if self._last.pop(frame.stream, None) is not None:
            self.dropped += 1
        if len(self._waiting) < self._capacity:
            self._waiting.append(frame)
        else:
            self._last[frame.stream] = frame

    def take(self) -> Frame:
        """Take the next one; look first whether there is any."""
        if self._waiting:
            return self._waiting.popleft()
        return self._last.pop(next(iter(self._last)))
