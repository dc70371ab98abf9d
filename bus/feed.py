"""One subscription followed without loss: a SUB socket, the pure cursor, and READ for whatever the socket did not bring.

While pages are read, live frames wait in the socket's bounded queue; what does not fit is dropped there and found missing
afterwards. So a subscriber that works slowly, or stands still, costs memory that is bounded and misses nothing.
Must not know what events mean.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

from bus.cursor import CaughtUp, Cursor, Fetched, Gap, Live, Output, step
from bus.errors import BusError, BusUnavailableError
from bus.frames import decode_feed
from bus.protocol import LOST_SECONDS, Arrival, Beat, Page, Row, StreamFrame
from bus.sockets import Socket
from schemas.codec import InvalidMessageError
from schemas.envelope import Recorded

_BURST = 256
_GRACE_SECONDS = 0.5
Told = Recorded | Gap | CaughtUp


class Feed(AsyncIterator[Told]):
    """Iterate over it: each event once, in order, then live; ends after ``until``."""

    def __init__(
        self,
        socket: Socket,
        cursor: Cursor,
        read: Callable[[int], Awaitable[Page]],
        *,
        told: Iterable[Output] = (),
        until: int | None = None,
        heard: Callable[[str, int], None],
    ) -> None:
        self._socket = socket
        self._cursor = cursor
        self._read = read
        self._until = until
        self._heard = heard
        self._ready: deque[Output] = deque(told)
        self._joined = False
        self.holes = 0

    def __aiter__(self) -> Feed:
        return self

    async def __anext__(self) -> Told:
        while not self._ready:
            if self._until is not None and self._cursor.after >= self._until:
                raise StopAsyncIteration
            await self._advance()
        told = self._ready.popleft()
        if isinstance(told, Arrival | Row):
            return self._event(told)
        return told

    def _event(self, row: Arrival | Row) -> Recorded | Gap:
        if self._until is not None and row.position > self._until:
            raise StopAsyncIteration
        try:
            return row.recorded()
        except InvalidMessageError as error:
            return Gap(row.position, row.position, "unreadable", self._cursor.epoch, str(error))

    async def _advance(self) -> None:
        if not self._joined:
            await self._wait()  # any frame proves that the subscription stands: from here on nothing is missed unseen
            self._joined = True
            return
        if self._cursor.wants_page:
            after = self._cursor.after
            page = await self._read(after)
            if page.more and page.through <= self._cursor.after and page.epoch == self._cursor.epoch:
                raise BusError(f"the broker's page after {self._cursor.after} does not go on; its journal must be checked")
            self._heard(page.epoch, page.head)
            self._step(Fetched(after, page))
            return
        await self._wait()

    async def _wait(self) -> None:
        """Take what the socket has, and wait for it when that is nothing."""
        spoke = await self._socket.readable(LOST_SECONDS)
        # Who was stopped itself finds its time over before libzmq's thread has read what came meanwhile.
        if not spoke and not await self._socket.readable(_GRACE_SECONDS):
            raise BusUnavailableError(f"the broker was silent for {LOST_SECONDS:g} s")
        arrivals: list[Arrival] = []
        epoch = self._cursor.epoch
        while len(arrivals) < _BURST:
            frames = self._socket.receive()
            if frames is None:
                break
            try:
                heard = decode_feed(frames)
            except InvalidMessageError as error:
                raise BusError(f"the feed carries what is not an event: {error}") from error
            if isinstance(heard, Beat):
                self._live(epoch, arrivals)
                arrivals = []
                self._heard(heard.epoch, heard.head)
                self._step(heard)
                continue
            if isinstance(heard, StreamFrame):
                continue  # of a prefix as wide as ``b"s"``: no event, and no news of one
            if heard[0].stamp.epoch != epoch:
                self._live(epoch, arrivals)
                epoch, arrivals = heard[0].stamp.epoch, []
            arrivals += heard
        self._live(epoch, arrivals)

    def _live(self, epoch: str, arrivals: Sequence[Arrival]) -> None:
        if arrivals:
            self._heard(epoch, arrivals[-1].position)
            self._step(Live(epoch, arrivals))

    def _step(self, heard: Live | Beat | Fetched) -> None:
        was_reading = self._cursor.wants_page
        self._cursor, outputs = step(self._cursor, heard)
        self.holes += self._cursor.wants_page and not was_reading
        self._ready.extend(outputs)
