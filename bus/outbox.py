"""For publishers that must never wait (gateway, supervisor): a bounded queue in front of the bus.

Theory of operation
-------------------
``put`` only appends; ``run`` does everything else, for ever: it connects, connects again with back-off, and sends what has
gathered in batches, one on its way at a time. While facts keep coming, that is, while more came before the last batch was
answered for, they gather for longer: everyone behind works by the batch. A batch leaves the queue when the broker has
answered for it, so whatever was on its way when a connection ended is sent again under the same ids, and recorded once.
What finds the queue full is dropped, the newest first since nothing that was taken is ever given up, and what the broker
refuses for good is dropped too; both are counted by type and told in ``actor.dropped`` as soon as the bus takes facts
again. Must not know what is published.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

import anyio

from bus.client import Client, connect
from bus.connection import Connection, ConnectionFileError
from bus.errors import BusError, RefusedError
from bus.protocol import MAX_EVENT
from bus.source import Source
from schemas.codec import encode_envelope
from schemas.envelope import Envelope, subject
from schemas.events import ActorDropped

CAPACITY_EVENTS = 20_000
CAPACITY_BYTES = 32 * 1024 * 1024
BATCH_EVENTS = 512
BATCH_BYTES = 1024 * 1024
LINGER_SECONDS = 0.002
BUSY_LINGER_SECONDS = 0.010  # at a thousand requests a second a third of the broker's time, a fifth of every follower's
PUBLISH_SECONDS = 5.0
_FIRST_BACK_OFF = 0.1
_LAST_BACK_OFF = 2.0
_FULL = "outbox full"
_REFUSED = "refused by the broker"
_TRY_LATER = ("busy", "storage_full")


@dataclass(frozen=True, slots=True)
class _Entry:
    raw: bytes
    type: str
    time: str


class _Tally:
    """What was dropped for one reason since it was last told."""

    def __init__(self) -> None:
        self.types: Counter[str] = Counter()
        self.since = ""
        self.until = ""

    def add(self, type_: str, time: str) -> None:
        self.types[type_[:64]] += 1
        self.since = self.since or time
        self.until = time


class Outbox:
    """Takes envelopes at once and records them when it can.

    ``connected``: a broker takes them now. ``queued``: how many wait. ``dropped``: how many were lost, ever.
    """

    def __init__(
        self,
        connect_to: Callable[[], Connection],
        source: Source,
        actor: str,
        *,
        capacity_events: int = CAPACITY_EVENTS,
        capacity_bytes: int = CAPACITY_BYTES,
    ) -> None:
        self._connect_to = connect_to
        self._source = source
        self._actor = actor
        self._capacity_events = capacity_events
        self._capacity_bytes = capacity_bytes
        self._queue: deque[_Entry] = deque()
        self._bytes = 0
        self._tallies: dict[str, _Tally] = {}
        self._reports: list[_Entry] = []
        self._changed: anyio.Event | None = None
        self.connected = False
        self.dropped = 0
        self.trouble = ""

    @property
    def queued(self) -> int:
        """Return how many envelopes wait to be recorded."""
        return len(self._queue) + len(self._reports)

    def put(self, envelope: Envelope) -> None:
        """Take an envelope; never waits, and drops it, counted, when there is no room. Call it in the event loop's thread."""
        entry = _Entry(encode_envelope(envelope), envelope.type, envelope.time)
        size = len(entry.raw)
        if size > MAX_EVENT:
            self._drop(_REFUSED, [entry])
        elif len(self._queue) >= self._capacity_events or self._bytes + size > self._capacity_bytes:
            self._drop(_FULL, [entry])
        else:
            self._queue.append(entry)
            self._bytes += size
        self._change()

    async def run(self) -> None:
        """Record what is put, for ever."""
        back_off = _FIRST_BACK_OFF
        while True:
            try:
                async with connect(self._connect_to(), role=f"outbox of {self._actor}"[:64]) as client:
                    self.connected, self.trouble, back_off = True, "", _FIRST_BACK_OFF
                    await self._forward(client)
            except (BusError, ConnectionFileError) as error:
                self.trouble = str(error)
            finally:
                self.connected = False
            await anyio.sleep(back_off)
            back_off = min(back_off * 2, _LAST_BACK_OFF)

    async def drain(self, deadline: float) -> bool:
        """Wait until everything put so far is recorded (``run`` must be running); tell whether it was, by the deadline."""
        with anyio.move_on_after(deadline):
            while self.queued or self._tallies:
                await self._change_seen()
        return not self.queued

    # ------------------------------------------------------------------------------------------------ sending

    async def _forward(self, client: Client) -> None:
        back_off = _FIRST_BACK_OFF
        while True:
            linger = BUSY_LINGER_SECONDS if self._queue else LINGER_SECONDS
            while not self._queue and not self._reports and not self._tallies:
                await self._change_seen()
            if len(self._queue) < BATCH_EVENTS:
                await anyio.sleep(linger)
            self._write_reports()
            batch = self._batch()
            try:
                await client.publish_encoded([entry.raw for entry in (*self._reports, *batch)], deadline=PUBLISH_SECONDS)
            except RefusedError as error:
                if error.code in _TRY_LATER and not error.refused:
                    self.trouble = str(error)
                    await anyio.sleep(back_off)
                    back_off = min(back_off * 2, _LAST_BACK_OFF)
                    continue
                self._refused([*self._reports, *batch], error)
            back_off, self.trouble = _FIRST_BACK_OFF, ""
            self._reports.clear()
            for _ in batch:
                self._bytes -= len(self._queue.popleft().raw)
            self._change()

    def _batch(self) -> list[_Entry]:
        batch: list[_Entry] = []
        size = 0
        for entry in islice(self._queue, BATCH_EVENTS):
            size += len(entry.raw)
            if batch and size > BATCH_BYTES:
                break
            batch.append(entry)
        return batch

    def _refused(self, sent: list[_Entry], error: RefusedError) -> None:
        """Count what will never be recorded: the events named, or all of them when the message itself was refused."""
        if error.refused:
            self._drop(_REFUSED, [sent[one.index] for one in error.refused])
        else:
            self._drop(_REFUSED, sent)

    # ------------------------------------------------------------------------------------------------ dropping

    def _drop(self, reason: str, entries: Iterable[_Entry]) -> None:
        tally = self._tallies.setdefault(reason, _Tally())
        for entry in entries:
            tally.add(entry.type, entry.time)
            self.dropped += 1

    def _write_reports(self) -> None:
        """Turn what was counted into facts; those keep their ids until they are recorded."""
        if self._reports:
            return
        for reason, tally in self._tallies.items():
            fact = ActorDropped(
                actor=self._actor,
                count=tally.types.total(),
                since=tally.since,
                until=tally.until,
                types=dict(tally.types),
                reason=reason,
            )
            envelope = self._source.envelope(subject("actor", self._actor), fact)
            self._reports.append(_Entry(encode_envelope(envelope), envelope.type, envelope.time))
        self._tallies.clear()

    def _change(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def _change_seen(self) -> None:
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()
