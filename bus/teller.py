"""The teller's side of streams: what is said now, to whoever listens, without ever waiting; and the marks behind it.

Theory of operation
-------------------
A connection of its own, so that no flood of text holds up the answers and facts of the same actor. Its queue is libzmq's and
bounded; what finds it full is dropped and the caller told so, while the number is spent all the same: that is what shows the
loss. A broker that is away for a moment finds the queue waiting. As the loss of the last frame shows in no number after it,
the last number of each stream is said again (``mark``), at intervals that double: soon enough for who waits for the end of a
sentence, and cheap for a stream that has been silent for a day. Must not know what is told.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from bus.connection import Connection
from bus.errors import BusError, RefusedError
from bus.frames import decode_answered, encode_asked
from bus.protocol import MARK, MAX_SEQUENCE, MAX_TELL, Failure, Tell
from bus.sockets import Sockets, UndeliveredError
from schemas.codec import InvalidMessageError

HIGH_WATER = 1024
MAX_STREAMS = 1024
FIRST_MARK_SECONDS = 0.5
LAST_MARK_SECONDS = 60.0
_LOOK_SECONDS = 0.25
_REQUEST_ID = b"tell"
_STREAM = re.compile(r"[A-Za-z0-9_~%-]{1,128}")
_KIND = re.compile(r"[a-z0-9_]{1,64}")


class _Place:
    """Where a stream stands, and when that is said next."""

    __slots__ = ("interval", "next", "sequence")

    def __init__(self, sequence: int, now: float) -> None:
        self.sequence = sequence
        self.interval = FIRST_MARK_SECONDS
        self.next = now + FIRST_MARK_SECONDS


class Teller:
    """Sends TELLs on a connection of its own. ``dropped`` counts what was not taken."""

    def __init__(self, sockets: Sockets, connection: Connection, on_refused: Callable[[BusError], None]) -> None:
        self._where = connection.ingress
        self._socket = sockets.teller(connection, HIGH_WATER)
        self._on_refused = on_refused
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self.dropped = 0

    def start(self, group: TaskGroup) -> None:
        """Begin to listen for refusals and to mark."""
        group.start_soon(self._socket.attend, self._receive)
        group.start_soon(self._mark)

    def tell(self, stream: str, kind: str, sequence: int, body: bytes) -> bool:
        """Send one frame of a stream now, or drop it; tell which.

        Raises:
            RefusedError: it is not what a TELL may be (``invalid``, ``too_large``).

        """
        if not _STREAM.fullmatch(stream) or not _KIND.fullmatch(kind) or kind == MARK or not 1 <= sequence <= MAX_SEQUENCE:
            raise RefusedError("invalid", f"stream {stream!r}, kind {kind!r}, sequence {sequence}: not what a TELL may be")
        self._places[stream] = _Place(sequence, anyio.current_time())
        self._places.move_to_end(stream)
        if len(self._places) > MAX_STREAMS:
            self._places.popitem(last=False)
        if len(body) > MAX_TELL:  # its number is spent: the mark shows it
            raise RefusedError("too_large", f"{len(body)} bytes told in {stream} exceed the limit of {MAX_TELL}")
        taken = self._send(Tell(stream=stream, kind=kind, sequence=sequence, body=body))
        self.dropped += not taken
        return taken

    def _send(self, tell: Tell) -> bool:
        try:
            self._socket.send(encode_asked(_REQUEST_ID, tell))
        except UndeliveredError:
            return False
        return True

    async def _mark(self) -> None:
        while True:
            await anyio.sleep(_LOOK_SECONDS)
            now = anyio.current_time()
            for stream, place in self._places.items():
                if now >= place.next and self._send(Tell(stream=stream, kind=MARK, sequence=place.sequence)):
                    place.interval = min(2 * place.interval, LAST_MARK_SECONDS)
                    place.next = now + place.interval

    def _receive(self) -> bool:
        """A TELL is only ever answered by a refusal, and ours were checked: such a broker speaks another protocol."""
        while (frames := self._socket.receive()) is not None:
            try:
                _, message = decode_answered(frames)
            except InvalidMessageError as error:
                self._on_refused(BusError(f"the broker at {self._where} answered TELL with what is no answer: {error}"))
                continue
            if isinstance(message, Failure):
                self._on_refused(RefusedError(message.code, f"TELL, by the broker at {self._where}: {message.message}"))
        return True
