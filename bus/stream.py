"""The listener's side of one stream: its frames as they come, and where it stands when the last of them was lost.

Theory of operation
-------------------
A SUB socket of its own, emptied by a task into a bounded queue (``bus.stream_queue``), so that a listener who is slow costs the
broker nothing. Nothing is healed here: the frames' numbers show what is missing and ``Mark`` shows it at the end; the listener
asks the teller for its state then (``bus.protocol``, section 6). Must not know what is told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio

from bus.errors import BusError, BusUnavailableError
from bus.frames import decode_feed
from bus.protocol import LOST_SECONDS, Mark, StreamFrame
from bus.sockets import Socket
from bus.stream_queue import StreamQueue
from schemas.codec import InvalidMessageError

_BURST = 256
_GRACE_SECONDS = 0.5


class Stream(AsyncIterator[bytes | Mark]):
    """Iterate over it: the bytes of each frame in order, and a ``Mark`` when frames are missing at the end.

    ``lost`` counts the numbers that were jumped over, wherever they were lost.
    """

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._queue = StreamQueue()
        self._stirred = anyio.Event()
        self._error: BusError | None = None
        self._joined = False

    @property
    def lost(self) -> int:
        """Return how many numbers were jumped over so far."""
        return self._queue.lost

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> bytes | Mark:
        while not self._queue:
            if self._error is not None:
                raise self._error
            await self._stir_seen()
        return self._queue.take()

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
                self._queue.put(heard)

    def _stir(self) -> None:
        self._stirred.set()
        self._stirred = anyio.Event()

    async def _stir_seen(self) -> None:
        await self._stirred.wait()
