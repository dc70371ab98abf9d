"""What every actor uses to talk to the bus: publish, follow the feed, read the journal, ask and answer.

A client outlives a short absence of the broker (connections come again, unanswered publications are repeated under the same
ids); after three seconds of absence it is over, and ``connect`` raises ``BusUnavailableError`` out of its body.
Must not know what events mean.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio

from bus.connection import Connection
from bus.cursor import CaughtUp, Cursor, Gap, step
from bus.errors import BusError, BusUnavailableError, Refusal, RefusedError
from bus.feed import Feed, Told
from bus.frames import stream_topic
from bus.link import Link
from bus.protocol import (
    BATCH_TOPIC,
    BEAT_TOPIC,
    MAX_ANSWER,
    MAX_COMMAND,
    MAX_PAGE_EVENTS,
    MAX_PUBLISH_BYTES,
    MAX_PUBLISH_EVENTS,
    PROTOCOL,
    TELLER,
    Beat,
    Forwarded,
    Hello,
    Mark,
    Page,
    Read,
    Receipt,
    Reply,
    Request,
    Welcome,
)
from bus.sockets import Sockets
from bus.stream import Stream
from bus.teller import Teller
from schemas.codec import InvalidMessageError, decode, encode, encode_envelope
from schemas.envelope import Envelope, Recorded

__all__ = [
    "BusError",
    "BusUnavailableError",
    "CaughtUp",
    "Client",
    "Gap",
    "Mark",
    "Page",
    "Refusal",
    "RefusedError",
    "Serve",
    "connect",
]

Serve = Mapping[type[Any], Callable[[Any], Awaitable[Any]]]
EVERYTHING = (b"",)
MAX_ANSWERING = 64
_MAX_DEADLINE_MS = 60_000
_REPLY_GRACE = 0.5
_PUMP_ENDS_SECONDS = 1.0


@asynccontextmanager
async def connect(
    connection: Connection, *, serve: Serve | None = None, deadline: float = 5.0, role: str = ""
) -> AsyncIterator[Client]:
    """Connect to the bus and, with ``serve``, answer commands for as long as the context is open.

    An answering function returns an instance of its command's ``ANSWER`` or raises ``RefusedError``. Anything else that it
    raises ends the context with that exception, as a crash should.

    Raises:
        BusUnavailableError: no broker before the deadline, or (out of the context's body) it was away for 3 s.
        RefusedError: the broker does not know this key, or does not speak this protocol.

    """
    raised: Exception | None = None
    with Sockets() as sockets:
        async with anyio.create_task_group() as group:
            client = Client(connection, sockets, group.cancel_scope, serve or {}, role)
            try:
                client._begin(group)  # noqa: SLF001 - both are this module's
                await client._link.welcomed(deadline)  # noqa: SLF001
                yield client
            except Exception as error:  # noqa: BLE001 - raised again below, out of the task group, as itself
                raised = error
            group.cancel_scope.cancel()
    if client.lost is not None:
        raise client.lost from raised
    if raised is not None:
        raise raised


class Client:
    """One connection to the bus, made by ``connect``."""

    def __init__(self, connection: Connection, sockets: Sockets, scope: anyio.CancelScope, serve: Serve, role: str) -> None:
        self.lost: Exception | None = None
        self._connection = connection
        self._sockets = sockets
        self._scope = scope
        self._serve = {command.TYPE: (command, answer) for command, answer in serve.items()}
        self._answering = 0
        self._dealer = sockets.dealer(connection)
        monitor = self._dealer.monitor()
        hello = Hello(protocol=PROTOCOL, role=role, serves=tuple(self._serve))
        self._link = Link(connection, self._dealer, monitor, hello, commanded=self._commanded, on_lost=self._end)
        self._teller: Teller | None = None
        self._head = 0
        self._group: anyio.abc.TaskGroup

    @property
    def epoch(self) -> str:
        """Return the epoch of the broker's journal."""
        return self._welcome.epoch

    @property
    def head(self) -> int:
        """Return the highest position heard of so far."""
        return max(self._head, self._welcome.head)

    @property
    def name(self) -> str:
        """Return the name that the broker knows this key by."""
        return self._welcome.name

    async def publish(self, envelopes: Sequence[Envelope], *, deadline: float = 5.0) -> list[int]:
        """Record envelopes, in order; return their positions once they are on disk.

        An envelope whose id is already recorded is not recorded again and has its old position.

        Raises:
            RefusedError: one or more were refused; all others are recorded.
            BusUnavailableError: no answer before the deadline; publishing the same envelopes again is safe.

        """
        return await self.publish_encoded([encode_envelope(envelope) for envelope in envelopes], deadline=deadline)

    async def publish_encoded(self, envelopes: Sequence[bytes], *, deadline: float = 5.0) -> list[int]:
        """Record envelopes that are bytes already; otherwise as ``publish``."""
        positions: list[int | None] = []
        refused: list[Refusal] = []
        for part in _parts(envelopes):
            receipt = await self._link.ask(part, deadline)
            if not isinstance(receipt, Receipt) or len(receipt.positions) != len(part):
                raise BusError("the broker's answer to PUBLISH is not RECORDED, or not as long")
            refused.extend(replace(one, index=one.index + len(positions)) for one in receipt.refused)
            positions.extend(receipt.positions)
        if refused:
            first = refused[0]
            raise RefusedError(first.code, f"{len(refused)} of {len(envelopes)} events; the first: {first.message}", refused)
        return [position for position in positions if position is not None]

    def feed(
        self,
        after: int | None = 0,
        *,
        prefixes: Sequence[bytes] = EVERYTHING,
        types: Sequence[str] = (),
        until: int | None = None,
        epoch: str | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[Recorded | Gap | CaughtUp]]:
        """Follow the journal: everything after a position, then live, each event once and in order.

        ``after=None`` starts at the head. ``prefixes`` are of topics; with ``types``, only these are told, up to a beat later,
        and nothing is spent on others. ``until`` ends the feed once it has passed that
        position. ``epoch`` is that of ``after`` when it was remembered from another connection.

        Raises:
            BusUnavailableError: (while iterating) the broker was silent for 3 s.
            RefusedError: (while iterating) ``after`` does not exist yet.

        """
        return self._feed(after, prefixes, types, until, epoch)

    @asynccontextmanager
    async def _feed(
        self, after: int | None, prefixes: Sequence[bytes], types: Sequence[str], until: int | None, epoch: str | None
    ) -> AsyncIterator[AsyncIterator[Told]]:
        filtered = bool(types) or b"" not in prefixes
        cursor = Cursor(epoch or self.epoch, self.head if after is None else after, filtered=filtered)
        cursor, told = step(cursor, Beat(self.epoch, 0))  # which says so at once when ``after`` is of another epoch
        topics = (BEAT_TOPIC,) if types else (*prefixes, BEAT_TOPIC) if filtered else (BATCH_TOPIC, BEAT_TOPIC)

        async def read(place: int) -> Page:
            return await self.read(place, prefixes=prefixes, types=types)

        with self._sockets.subscriber(self._connection, topics) as socket:
            yield Feed(socket, cursor, read, told=told, until=until, heard=self._heard)

    async def read(
        self,
        after: int,
        *,
        limit: int = MAX_PAGE_EVENTS,
        prefixes: Sequence[bytes] = EVERYTHING,
        types: Sequence[str] = (),
        deadline: float = 5.0,
    ) -> Page:
        """Read one page of the journal; ``Page.events()`` are its events, ``more`` tells whether to go on after ``through``.

        Raises:
            RefusedError: ``after`` does not exist yet (``ahead``), or too much is asked for.
            BusUnavailableError: no answer before the deadline.

        """
        asked = Read(after=after, limit=limit, prefixes=tuple(prefix.decode() for prefix in prefixes), types=tuple(types))
        page = await self._link.ask(asked, deadline)
        if not isinstance(page, Page):
            raise BusError("the broker's answer to READ is not a PAGE")
        return page

    async def request(self, actor: str, command: Any, *, deadline: float = 2.0) -> Any:
        """Send a command to an actor and return its answer, typed by ``command.ANSWER``.

        Raises:
            RefusedError: by the actor, or by the broker (``no_such_actor``, ``unknown_command``, ``busy``, ``timeout``).
            BusUnavailableError: not even the broker answered.

        """
        raw = encode(command)
        if len(raw) > MAX_COMMAND:
            raise RefusedError("too_large", f"the command's {len(raw)} bytes exceed the limit of {MAX_COMMAND}")
        milliseconds = min(max(1, round(deadline * 1000)), _MAX_DEADLINE_MS)
        asked = Request(to=actor, type=command.TYPE, deadline_ms=milliseconds, command=raw)
        reply = await self._link.ask(asked, milliseconds / 1000 + _REPLY_GRACE)
        if not isinstance(reply, Reply):
            raise BusError("the broker's answer to REQUEST is not a REPLY")
        if not reply.ok:
            raise RefusedError(reply.code, reply.message)
        try:
            return decode(reply.answer, command.ANSWER)
        except InvalidMessageError as error:
            raise BusError(f"{actor} answered {command.TYPE} with what is not {command.ANSWER.__name__}: {error}") from error

    async def tell(self, stream: str, kind: str, sequence: int, body: bytes) -> bool:
        """Say something in a stream, to whoever listens now; it is recorded nowhere. Never waits.

        ``sequence`` counts from 1 in each stream and is spent whatever comes of it. False: it was dropped, since the broker
        takes no more or is away for longer than the queue holds; who listens sees the hole and asks for the state.

        Raises:
            RefusedError: this key may not tell (``forbidden``), or it is no TELL (``invalid``, ``too_large``).

        """
        if self._teller is None:
            if self.name != TELLER:
                raise RefusedError("forbidden", f"only the key named {TELLER} may tell, this is {self.name}")
            self._teller = Teller(self._sockets, self._connection, self._end)
            self._teller.start(self._group)
        return self._teller.tell(stream, kind, sequence, body)

    def stream(self, stream: str) -> AbstractAsyncContextManager[Stream]:
        """Listen to a stream: iterate over the bytes of its frames, and over each ``Mark`` that shows a loss at the end.

        Entered once the subscription stands: ask the teller for its state inside, then go on with the frames behind it.
        A number that is not the next one, or a ``Mark`` that is not the number reached: ask again. The queue is bounded;
        what finds it full is dropped, the newest first (``Stream.lost``).

        Raises:
            BusUnavailableError: (entering, or while iterating) the broker was silent for 3 s.

        """
        return self._stream(stream)

    @asynccontextmanager
    async def _stream(self, stream: str) -> AsyncIterator[Stream]:
        with self._sockets.subscriber(self._connection, (stream_topic(stream), BEAT_TOPIC)) as socket:
            told, scope, ended = Stream(socket), anyio.CancelScope(), anyio.Event()

            async def pump() -> None:
                try:
                    with scope:
                        await told.pump()
                finally:
                    ended.set()

            self._group.start_soon(pump)
            try:
                await told.joined()
                yield told
            finally:
                scope.cancel()
                with anyio.move_on_after(_PUMP_ENDS_SECONDS, shield=True):
                    await ended.wait()  # no socket is closed under a task that waits for it

    # ------------------------------------------------------------------------------------------------ inside

    @property
    def _welcome(self) -> Welcome:
        if self._link.welcome is None:
            raise BusUnavailableError("not connected yet")
        return self._link.welcome

    def _begin(self, group: anyio.abc.TaskGroup) -> None:
        self._group = group
        self._link.start(group)
        self._sockets.connect(self._dealer, self._connection.ingress)

    def _heard(self, epoch: str, head: int) -> None:
        if epoch == self._welcome.epoch:
            self._head = max(self._head, head)

    def _end(self, error: Exception) -> None:
        self.lost = error
        self._scope.cancel()

    def _commanded(self, request_id: bytes, forwarded: Forwarded) -> None:
        if self._answering >= MAX_ANSWERING:
            self._link.reply(request_id, Reply(ok=False, code="busy", message=f"{MAX_ANSWERING} commands are being answered"))
            return
        self._answering += 1
        self._group.start_soon(self._answer, request_id, forwarded)

    async def _answer(self, request_id: bytes, forwarded: Forwarded) -> None:
        try:
            self._link.reply(request_id, await self._answered(forwarded))
        except Exception as error:  # noqa: BLE001 - raised out of connect's body as itself
            self._end(error)
        finally:
            self._answering -= 1

    async def _answered(self, forwarded: Forwarded) -> Reply:
        known = self._serve.get(forwarded.type)
        if known is None:
            return Reply(ok=False, code="unknown_command", message=f"{forwarded.type!r} is not answered here")
        type_, answer = known
        try:
            command = decode(forwarded.command, type_)
        except InvalidMessageError as error:
            return Reply(ok=False, code="invalid", message=str(error)[:500])
        try:
            with anyio.fail_after(forwarded.deadline_ms / 1000):
                raw = encode(await answer(command))
        except RefusedError as error:
            return Reply(ok=False, code=error.code, message=error.message[:2000])
        except TimeoutError:
            return Reply(ok=False, code="timeout", message=f"not answered within {forwarded.deadline_ms} ms")
        if len(raw) > MAX_ANSWER:
            return Reply(ok=False, code="too_large", message=f"the answer's {len(raw)} bytes exceed the limit of {MAX_ANSWER}")
        return Reply(ok=True, answer=raw)


def _parts(envelopes: Sequence[bytes]) -> list[list[bytes]]:
    """Cut a publication into PUBLISH messages within the limits."""
    parts: list[list[bytes]] = []
    size = 0
    for envelope in envelopes:
        if not parts or len(parts[-1]) >= MAX_PUBLISH_EVENTS or size + len(envelope) > MAX_PUBLISH_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(envelope)
        size += len(envelope)
    return parts
