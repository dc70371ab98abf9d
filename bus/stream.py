"""The listener's side of one stream: its frames as they come, and where it stands when the last of them was lost.

Theory of operation
-------------------
A SUB socket of its own, emptied by a task into a queue that is bounded in frames and bytes, so that a listener who is slow
costs the broker nothing. What finds the queue full is dropped, the newest first. Nothing is healed here: the frames' numbers
show what is missing (``lost`` counts it), and ``Mark`` shows it at the end; the listener asks the teller for its state then
(``bus.protocol``, section 6). Must not know what is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

import anyio

from bus.errors import BusError, BusUnavailableError
from bus.frames import decode_feed
from bus.protocol import LOST_SECONDS, MARK, Mark, StreamFrame
from bus.sockets import Socket
from schemas.codec import InvalidMessageError

MAX_QUEUED = 4096
MAX_QUEUED_BYTES = 16 * 1024 * 1024
_BURST = 256
_GRACE_SECONDS = 0.5


class Stream(AsyncIterator[bytes | Mark]):
    """Iterate over it: the bytes of each frame in order, and a ``Mark`` when frames are missing at the end.

    ``lost`` counts the numbers that were jumped over since the first frame, wherever they were lost.
    """

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._queue: deque[tuple[bytes | Mark, int]] = deque()
        self._bytes = 0
        self._sequence: int | None = None
        self._stirred = anyio.Event()
        self._error: BusError | None = None
        self._joined = False
        self.lost = 0

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> bytes | Mark:
        while not self._queue:
            if self._error is not None:
                raise self._error
            await self._stir_seen()
        told, size = self._queue.popleft()
        self._bytes -= size
        return told

    async def joined(self) -> None:
        """Wait until the subscription stands: what is told from here on comes, or its loss is seen.

        Raises:
            BusUnavailableError: the broker is silent.

        """
        while not self._joined:
            if self._error is not None:
                raise self._error
            await self._stir_seen()

    async def pump(self) -> None:
        """Take what comes, until the broker is silent or speaks another protocol."""
        try:
            while True:
                # Who was stopped itself finds its time over before libzmq's thread has read what came meanwhile.
                if not await self._socket.readable(LOST_SECONDS) and not await self._socket.readable(_GRACE_SECONDS):
                    self._error = BusUnavailableError(f"the broker was silent for {LOST_SECONDS:g} s")
                    return
                self._take_burst()
                self._joined = True
                self._stir()
        except InvalidMessageError as error:
            self._error = BusError(f"the feed carries what is not a frame of a stream: {error}")
        finally:
            self._stir()

    def _take_burst(self) -> None:
        for _ in range(_BURST):
            frames = self._socket.receive()
            if frames is None:
                return
            heard = decode_feed(frames)
            if isinstance(heard, StreamFrame):
                self._take(heard)

    def _take(self, frame: StreamFrame) -> None:
        if frame.kind == MARK:
            if frame.sequence == self._sequence:
                return
            told: bytes | Mark = Mark(frame.sequence)
        else:
            told = frame.body
        size = len(frame.body)
        if len(self._queue) >= MAX_QUEUED or self._bytes + size > MAX_QUEUED_BYTES:
            return  # dropped: the next number that is taken jumps over it, or a mark does
        if self._sequence is not None and frame.sequence > self._sequence:
            self.lost += frame.sequence - self._sequence - (not isinstance(told, Mark))
        self._sequence = frame.sequence
        self._queue.append((told, size))
        self._bytes += size

    def _stir(self) -> None:
        self._stirred.set()
        self._stirred = anyio.Event()

    async def _stir_seen(self) -> None:
        await self._stirred.wait()
