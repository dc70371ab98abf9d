"""The broker: numbers an event, writes it to the journal, then acknowledges and publishes it, in this order.

Theory of operation
-------------------
One event loop owns the ROUTER; one thread writes the journal and puts what it has committed on the PUB; one reads the
journal. The loop drains the ROUTER: PUBLISH goes to the recorder, READ to the reading thread, commands through the exchange
table, TELL through the relay. An event that comes alone is committed and published by the loop itself (``bus.recorder``).
Nobody sees an event that is not on disk. When more is gathered than the disk takes, the ROUTER is not drained for a while,
and libzmq's bounded queues push back on the publishers.

Who sent a message is what ZAP said of its connection's key, told by libzmq with every message; nothing a peer writes can
change it. A peer that does not take its answers loses them (counted), never holds up the others.
Must not know what events mean, nor how a process is supervised: that is told through ``Report``.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

import anyio
from msgspec import Struct

from bus import zap
from bus.connection import write_connection
from bus.errors import Refusal
from bus.exchange import Exchange, Outgoing
from bus.frames import UnknownVerbError, decode_asked, encode_answered
from bus.journal import AheadError, Journal, JournalFullError
from bus.place import Place, bind, read_place, write_place
from bus.protocol import (
    BEAT_SECONDS,
    CLIENT,
    PROTOCOL,
    TELLER,
    Answered,
    Failure,
    Hello,
    Page,
    Publish,
    Read,
    Receipt,
    Reply,
    Request,
    Tell,
    Welcome,
)
from bus.publisher import Publisher
from bus.recorder import MAX_HERE_EVENTS, Batch, Recorder
from bus.relay import Relay
from bus.salvage import open_or_salvage
from bus.sequencer import Numbered, Submission, admit
from bus.sockets import Socket, Sockets, UndeliveredError
from bus.source import Source, rfc3339
from bus.upkeep import Retention, Upkeep
from bus.worker import Worker
from schemas.codec import InvalidMessageError, encode_envelope
from schemas.envelope import subject

BURST = 64
MAX_READS = 256
_DRAIN_SECONDS = 2.0
_SAID_SECONDS = 10.0
_MIB = 1024 * 1024


class Report(Protocol):
    """Whoever runs a broker hears of it here."""

    def ready(self, **facts: Any) -> None:
        """Hear that the broker serves."""

    def status(self, state: Literal["ready", "degraded"], note: str = "") -> None:
        """Hear that the broker's health changed."""

    def warn(self, event: str, **fields: Any) -> None:
        """Hear of something that somebody should look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Where a broker keeps its things, whom it lets in (public key in Z85 to name), and how long it keeps events.

    ``clock`` tells the Unix time in nanoseconds that everything is stamped with.
    """

    journal: Path
    keys: Path
    connection_file: Path
    incarnation: str
    allow: Mapping[str, str]
    max_age_days: float = 30
    max_size_mib: float = 512
    retention_seconds: float = 60.0
    clock: Callable[[], int] = time.time_ns

    def retention(self) -> Retention:
        """Return how long events are kept."""
        return Retention(timedelta(days=self.max_age_days), int(self.max_size_mib * _MIB), self.retention_seconds)


class _Asker(Struct, frozen=True):
    """Where a submission came from, and under which request id."""

    connection: bytes
    request_id: bytes


async def serve_broker(settings: BrokerSettings, stopping: anyio.Event, report: Report) -> None:
    """Run a broker until ``stopping`` is set.

    Raises:
        JournalError: the journal cannot be opened, or the disk failed.
        ConnectionFileError: the broker's own files are not its own.

    """
    started = time.perf_counter()
    place = await anyio.to_thread.run_sync(read_place, settings.keys)
    journal = await anyio.to_thread.run_sync(open_or_salvage, settings.journal)
    try:
        reading = Journal.open_readonly(settings.journal)
        try:
            with Sockets() as sockets:
                gate = sockets.zap()
                place, ingress, feed = bind(sockets, place)
                write_place(settings.keys, place)
                with Worker("journal writer") as writer, Worker("journal reader") as reader:
                    broker = Broker(
                        settings,
                        place=place,
                        journal=journal,
                        reading=reading,
                        ingress=ingress,
                        feed=feed,
                        writer=writer,
                        reader=reader,
                        report=report,
                    )
                    await broker.run(gate, stopping, (time.perf_counter() - started) * 1000)
        finally:
            reading.close()
    finally:
        journal.close()


class Broker:
    """A broker with everything open; ``run`` it once."""

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        place: Place,
        journal: Journal,
        reading: Journal,
        ingress: Socket,
        feed: Socket,
        writer: Worker,
        reader: Worker,
        report: Report,
    ) -> None:
        self._settings = settings
        self._place = place
        self._journal = journal
        self._reading = reading
        self._upkeep = Upkeep(
            journal=journal,
            reading=reading,
            writer=writer,
            reader=reader,
            tell=self.tell,
            retention=settings.retention(),
            clock=settings.clock,
        )
        self._ingress = ingress
        self._publisher = Publisher(feed)
        self._writer = writer
        self._reader = reader
        self._report = report
        self._source = Source(f"/actor/broker/{settings.incarnation}", settings.clock)
        self._exchange = Exchange()
        self._recorder: Recorder[_Asker | None] = Recorder(
            journal=journal,
            writer=writer,
            now=self._now,
            publish=self._publisher.put_rows,
            recorded=self._recorded,
            refused=self._no_room,
        )
        self._relay = Relay(journal=journal, writer=writer, feed=feed, now=self._now)
        self._published = journal.head
        self._room = anyio.Event()
        self._degraded = False
        self.counts: Counter[str] = Counter()

    async def run(self, gate: Socket, stopping: anyio.Event, recovered_ms: float) -> None:
        """Serve until ``stopping`` is set, then record what has been taken in, and return."""
        allow = {**self._settings.allow, self._place.client_key: CLIENT}
        async with anyio.create_task_group() as group:
            group.start_soon(self._writer.deliver)
            group.start_soon(self._reader.deliver)
            group.start_soon(zap.serve, gate, allow, self._count)
            group.start_soon(self._beat)
            self._upkeep.opened(recovered_ms)
            with anyio.CancelScope() as serving:
                group.start_soon(self._stop, stopping, serving)
                group.start_soon(self._upkeep.check_all)
                group.start_soon(self._upkeep.retain)
                write_connection(self._settings.connection_file, self._place.connection())
                self._report.ready(epoch=self._journal.epoch, first=self._journal.first, head=self._journal.head)
                await self._serve()
            await self._drain()
            group.cancel_scope.cancel()

    # ------------------------------------------------------------------------------------------------ what comes in

    async def _serve(self) -> None:
        while True:
            await self._ingress.attend(self._receive)
            while self._recorder.full:
                self._room = anyio.Event()
                await self._room.wait()

    def _receive(self) -> bool:
        """Take what peers sent; tell whether there is room for more."""
        for _ in range(BURST):
            received = self._ingress.receive_named()
            if received is None:
                self._recorder.settle()
                break
            self._take(*received)
        else:
            self._recorder.start()
        return not self._recorder.full

    def _take(self, frames: list[bytes], name: str) -> None:
        connection, *message = frames
        if not name:
            self.counts["turned away, chose its routing id"] += 1
            return
        try:
            request_id, asked = decode_asked(message)
        except InvalidMessageError as error:
            self._refuse(connection, message, error)
            return
        match asked:
            case Publish():
                self._publish(_Asker(connection, request_id), asked, name)
            case Read():
                self._read(connection, request_id, asked)
            case Request():
                self._send(self._exchange.ask(connection, request_id, name, asked, time.monotonic()))
            case Reply():
                outgoing = self._exchange.replied(connection, request_id, asked)
                if outgoing is None:
                    self.counts["late replies"] += 1
                else:
                    self._send(outgoing)
            case Tell():
                self._tell(connection, request_id, asked, name)
            case Hello():
                self._hello(connection, request_id, asked, name)

    def _refuse(self, connection: bytes, message: list[bytes], error: InvalidMessageError) -> None:
        self.counts["invalid"] += 1
        if len(message) > 1 and message[1]:
            code = "unknown_verb" if isinstance(error, UnknownVerbError) else "invalid"
            self._answer(connection, message[1][:32], Failure(code, str(error)))

    def _hello(self, connection: bytes, request_id: bytes, hello: Hello, name: str) -> None:
        if hello.protocol != PROTOCOL:
            text = f"protocol {hello.protocol} is not spoken here (this is {PROTOCOL}); run the same version everywhere"
            self._answer(connection, request_id, Failure("unsupported_protocol", text))
            return
        if hello.serves:
            if name == CLIENT:
                self._answer(connection, request_id, Failure("forbidden", "the client key may not serve commands"))
                return
            self._exchange.serve(name, connection, hello.serves)
        welcome = Welcome(
            protocol=PROTOCOL,
            epoch=self._journal.epoch,
            first=self._journal.first,
            head=self._published,
            name=name,
            feed=self._place.connection().feed,
        )
        self._answer(connection, request_id, welcome)

    def _publish(self, asker: _Asker, publish: Publish, name: str) -> None:
        entries = tuple([admit(index, envelope, name) for index, envelope in enumerate(publish.envelopes)])
        self._recorder.submit(asker, Submission(entries), sum(map(len, publish.envelopes)))
        if len(entries) >= MAX_HERE_EVENTS:
            self._recorder.start()  # the disk need not wait for the next message to be looked for

    def _tell(self, connection: bytes, request_id: bytes, tell: Tell, name: str) -> None:
        if name != TELLER:
            self._answer(connection, request_id, Failure("forbidden", f"only the key named {TELLER} may tell, this is {name}"))
        elif not self._relay.take(tell):
            self.counts["told, but dropped"] += 1

    def _read(self, connection: bytes, request_id: bytes, read: Read) -> None:
        if self._reader.waiting >= MAX_READS:
            self._answer(connection, request_id, Failure("busy", f"{MAX_READS} pages are waiting to be read; try again later"))
            return
        prefixes = tuple(prefix.encode() for prefix in read.prefixes)

        def done(outcome: Page | Exception) -> None:
            if isinstance(outcome, AheadError):
                self._answer(connection, request_id, Failure("ahead", str(outcome)))
            elif isinstance(outcome, Exception):
                raise outcome
            else:
                self._answer(connection, request_id, outcome)
                self._upkeep.set_aside(first for first, last in outcome.damaged if first == last)

        self._reader.submit(lambda: self._reading.read(read.after, read.limit, prefixes, read.types), done)

    # ------------------------------------------------------------------------------------------------ what goes out

    def tell(self, data: Any) -> None:
        """Record a fact of the broker's own."""
        raw = encode_envelope(self._source.envelope(subject("bus", "journal"), data))
        self._recorder.submit(None, Submission((admit(0, raw, "broker"),)), len(raw))
        self._recorder.start()

    def _recorded(self, batch: Batch[_Asker | None], numbered: Numbered) -> None:
        self._published = numbered.head
        for (asker, submission), positions in zip(batch.entries, numbered.positions, strict=True):
            if asker is not None:
                refused = tuple([entry for entry in submission.entries if isinstance(entry, Refusal)])
                self.counts["refused events"] += len(refused)
                receipt = Receipt(epoch=self._journal.epoch, positions=positions, refused=refused)
                self._answer(asker.connection, asker.request_id, receipt)
        self._room.set()
        if self._degraded and numbered.rows:
            self._degraded = False
            self._report.status("ready")

    def _no_room(self, batch: Batch[_Asker | None], error: JournalFullError) -> None:
        for asker in batch.origins:
            if asker is not None:
                self._answer(asker.connection, asker.request_id, Failure("storage_full", str(error)))
        self.counts["storage full"] += len(batch.entries)
        self._room.set()
        if not self._degraded:
            self._degraded = True
            self._report.status("degraded", str(error))

    def _answer(self, connection: bytes, request_id: bytes, message: Answered) -> None:
        try:
            self._ingress.send([connection, *encode_answered(request_id, message)])
        except UndeliveredError:
            self.counts["undelivered answers"] += 1
            for outgoing in self._exchange.gone(connection):
                self._send(outgoing)

    def _send(self, outgoing: Outgoing) -> None:
        self._answer(outgoing.connection, outgoing.request_id, outgoing.message)

    async def _beat(self) -> None:
        said: Counter[str] = Counter()
        say_at = -math.inf
        while True:
            await self._writer.call(lambda: self._publisher.put_beat(self._journal.epoch, self._journal.head, self._now()))
            now = time.monotonic()
            for outgoing in self._exchange.expired(now):
                self._send(outgoing)
            if now >= say_at and self.counts != said:
                said, say_at = self.counts.copy(), now + _SAID_SECONDS
                self._report.warn(
                    "not done, so far", **{name.replace(" ", "_"): count for name, count in said.items() if count}
                )
            await anyio.sleep(BEAT_SECONDS)

    def _count(self, reason: str) -> None:
        self.counts[f"turned away, {reason}"] += 1

    async def _stop(self, stopping: anyio.Event, serving: anyio.CancelScope) -> None:
        await stopping.wait()
        serving.cancel()

    async def _drain(self) -> None:
        """Finish what was taken in, so that everything recorded is also acknowledged."""
        with anyio.move_on_after(_DRAIN_SECONDS):
            while not self._recorder.idle:
                self._room = anyio.Event()
                await self._room.wait()

    def _now(self) -> str:
        return rfc3339(self._settings.clock())
