"""The way of frames to the bus: in order, never waited for, dropped and counted when there are too many.

A number is spent whatever comes of its frame, so whoever listens sees a loss and asks for what is pending: by the number of the
next frame, or, of what the bus did not take, by its mark. Must not know sessions.
"""

from __future__ import annotations

from typing import Final

import anyio

from actors.bridges.frame_queue import FrameQueue
from bus.client import Client
from bus.errors import RefusedError
from schemas.codec import encode
from schemas.content import Frame

CAPACITY: Final = 20_000


class Streams:
    """Frames on their way."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._frames = FrameQueue(CAPACITY)
        self._wanted = anyio.Event()
        self._refused = 0

    @property
    def dropped(self) -> int:
        """Return how many were lost, here or by the bus."""
        return self._frames.dropped + self._refused

    def put(self, frame: Frame) -> None:
        """Take a frame; never waits."""
        self._frames.put(frame)
        self._wanted.set()

    async def run(self) -> None:
        """Tell what is put, for ever."""
        while True:
            await self._wanted.wait()
            self._wanted = anyio.Event()
            while self._frames:
                await self._send(self._frames.take())

    async def drain(self, deadline: float) -> None:
        """Tell what is left, within a deadline."""
        with anyio.move_on_after(deadline):
            while self._frames:
                await self._send(self._frames.take())

    async def _send(self, frame: Frame) -> None:
        kind = str(frame.piece.__struct_config__.tag)
        try:
            taken = await self._client.tell(frame.stream, kind, frame.sequence, encode(frame))
        except RefusedError as error:
            if error.code != "too_large":
                raise
            taken = False
        self._refused += not taken
