"""A peer's DEALER: questions out, answers back, and what to do when the connection ends and comes again.

Theory of operation
-------------------
One task reads answers and wakes the askers; one watches the connection. Each time a connection stands, HELLO is said first,
and when its WELCOME is here every unanswered PUBLISH and READ is sent again in its old order: both may be repeated safely
(events keep their ids). A command may not, so commands under way when a connection ends are refused as ``lost``. When no
connection has stood for ``LOST_SECONDS`` the link is lost: every asker is told, and so is ``on_lost``.
Must not know what is published, nor the feed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from bus.connection import Connection
from bus.errors import BusError, BusUnavailableError, RefusedError
from bus.frames import decode_answered, encode_asked
from bus.protocol import LOST_SECONDS, PROTOCOL, Answered, Asked, Failure, Forwarded, Hello, Reply, Request, Welcome
from bus.sockets import Monitor, Socket, UndeliveredError
from schemas.codec import InvalidMessageError

_BURST = 256
MAX_UNANSWERED = 4096


@dataclass(slots=True)
class _Question:
    frames: Sequence[bytes]
    repeatable: bool
    answered: anyio.Event = field(default_factory=anyio.Event)
    answer: Answered | None = None
    error: BusError | None = None


class Link:
    """One connection to a broker's ingress. Run ``start`` in a task group; then ``ask``."""

    def __init__(
        self,
        connection: Connection,
        socket: Socket,
        monitor: Monitor,
        hello: Hello,
        *,
        commanded: Callable[[bytes, Forwarded], None],
        on_lost: Callable[[BusError], None],
    ) -> None:
        self._where = connection.ingress
        self._socket = socket
        self._monitor = monitor
        self._hello = hello
        self._commanded = commanded
        self._on_lost = on_lost
        self._questions: dict[bytes, _Question] = {}
        self._number = 0
        self._greeting = b""
        self._up = False
        self._changed = anyio.Event()
        self._lost: BusError | None = None
        self.welcome: Welcome | None = None

    def start(self, group: TaskGroup) -> None:
        """Begin to read and to watch."""
        group.start_soon(self._socket.attend, self._receive)
        group.start_soon(self._monitor.attend, self._watch)
        group.start_soon(self._notice_loss)

    async def ask(self, message: Asked | Sequence[bytes], deadline: float) -> Answered:
        """Send a message (or the envelopes of a PUBLISH) and wait for its answer.

        Raises:
            RefusedError: the broker refused.
            BusUnavailableError: no answer before the deadline.

        """
        if self._lost is not None:
            raise self._lost
        if len(self._questions) >= MAX_UNANSWERED:
            raise RefusedError("busy", f"{MAX_UNANSWERED} questions wait for an answer already")
        self._number += 1
        request_id = self._number.to_bytes(8, "big")
        frames = [b"PUBLISH", request_id, *message] if isinstance(message, Sequence) else encode_asked(request_id, message)
        if self._up:
            self._send(frames)
        question = self._questions[request_id] = _Question(frames, repeatable=not isinstance(message, Request))
        try:
            with anyio.move_on_after(deadline):
                await question.answered.wait()
        finally:
            self._questions.pop(request_id, None)
        if question.error is not None:
            raise question.error
        if question.answer is None:
            raise BusUnavailableError(f"the broker at {self._where} did not answer within {deadline:g} s")
        if isinstance(question.answer, Failure):
            raise RefusedError(question.answer.code, question.answer.message)
        return question.answer

    def reply(self, request_id: bytes, reply: Reply) -> None:
        """Answer a command; an asker that is gone by then has had its timeout."""
        self._send(encode_asked(request_id, reply))

    async def welcomed(self, deadline: float) -> Welcome:
        """Wait for the first WELCOME.

        Raises:
            BusUnavailableError: none before the deadline.
            RefusedError: the broker turned this key, or this protocol, away.

        """
        with anyio.move_on_after(deadline):
            while self.welcome is None and self._lost is None:
                await self._changed.wait()
        if self._lost is not None:
            raise self._lost
        if self.welcome is None:
            raise BusUnavailableError(f"no broker answered at {self._where} within {deadline:g} s; see: tabwire status")
        return self.welcome

    # ------------------------------------------------------------------------------------------------ tasks

    def _receive(self) -> bool:
        for _ in range(_BURST):
            frames = self._socket.receive()
            if frames is None:
                break
            self._take(frames)
        return True

    def _take(self, frames: list[bytes]) -> None:
        try:
            request_id, message = decode_answered(frames)
        except InvalidMessageError as error:
            self._lose(BusError(f"the broker at {self._where} sent what is not protocol {PROTOCOL}: {error}"))
            return
        if isinstance(message, Forwarded):
            self._commanded(request_id, message)
        elif request_id == self._greeting:
            self._greeted(message)
        elif (question := self._questions.get(request_id)) is not None:
            question.answer = message
            question.answered.set()

    def _greeted(self, message: Answered) -> None:
        if isinstance(message, Failure):
            self._lose(RefusedError(message.code, message.message))
        elif isinstance(message, Welcome):
            self.welcome = message
            self._up = True
            for question in list(self._questions.values()):
                self._send(question.frames)
            self._change()

    def _watch(self) -> bool:
        while (news := self._monitor.news()) is not None:
            if news == "up":
                self._number += 1
                self._greeting = self._number.to_bytes(8, "big")
                self._send(encode_asked(self._greeting, self._hello))
            elif news == "refused":
                self._lose(RefusedError("unknown_key", f"the broker at {self._where} does not let this key in"))
            elif self._up:
                self._down()
        return True

    def _down(self) -> None:
        self._up = False
        for question in self._questions.values():
            if not question.repeatable:
                question.error = RefusedError("lost", "the connection ended; whether the command was done is unknown")
                question.answered.set()
        self._change()

    async def _notice_loss(self) -> None:
        """Call it lost when a connection that stood has been away too long."""
        while True:
            changed = self._changed
            away = self.welcome is not None and not self._up
            with anyio.move_on_after(LOST_SECONDS if away else math.inf) as limit:
                await changed.wait()
            if limit.cancelled_caught:
                self._lose(BusUnavailableError(f"the broker at {self._where} has been away for {LOST_SECONDS:g} s"))
                return

    def _send(self, frames: Sequence[bytes]) -> None:
        try:
            self._socket.send(frames)
        except UndeliveredError:
            return  # the monitor will say so; what may be repeated is sent again after the next WELCOME

    def _lose(self, error: BusError) -> None:
        if self._lost is not None:
            return
        self._lost = error
        for question in self._questions.values():
            question.error = error
            question.answered.set()
        self._change()
        self._on_lost(error)

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
