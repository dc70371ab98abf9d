"""The hub of the bridges as a client sees it: commands over the bus, and the stream of a session, taken up as the schemas say.

A session is followed from its stream and ``show_pending``, each frame once, in order, with none missing; every wait has a
deadline.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from bus.client import Client, connect
from bus.connection import read_connection
from schemas.bridge_rows import BridgeRow, History, Pending
from schemas.codec import decode
from schemas.commands.bridges import (
    AnswerApproval,
    ChangeSettings,
    ClearConversation,
    CloseSession,
    ForkSession,
    InterruptTurn,
    ListBridges,
    SendMessage,
    ShowHistory,
    ShowPending,
    StartSession,
)
from schemas.content import ApprovalRequested, Frame, Identified, Piece, TextAdded, TurnEnded
from tests.e2e.system import System

DEADLINE = 60.0
PART = 8_192  # characters, each of which may take six bytes in a command
_P = TypeVar("_P")


class Bridges:
    """The hub, asked over one connection."""

    def __init__(self, portal: BlockingPortal, client: Client) -> None:
        self.portal = portal
        self.client = client

    def ask(self, command: Any, deadline: float = 20.0) -> Any:
        """Ask the hub; raises RefusedError when it refuses."""

        async def ask() -> Any:
            return await self.client.request("bridges", command, deadline=deadline)

        return self.portal.call(ask)

    def rows(self) -> dict[str, BridgeRow]:
        """Return every driven session by its launch."""
        return {row.launch: row for row in self.ask(ListBridges()).bridges}

    @contextlib.contextmanager
    def session(self, agent: str, cwd: Path, **more: Any) -> Iterator[Driven]:
        """Start a session, follow it, and close it at the end of the block."""
        with self.following(self.ask(StartSession(agent=agent, cwd=str(cwd), **more))) as driven:
            yield driven

    @contextlib.contextmanager
    def following(self, row: BridgeRow) -> Iterator[Driven]:
        """Follow a session that was started, and close it at the end of the block."""
        driven = Driven(self, row.launch)
        driven.follow()
        try:
            yield driven
        finally:
            if row.launch in self.rows():
                driven.close()
            driven.leave()


class Driven:
    """One driven session."""

    def __init__(self, bridges: Bridges, launch: str) -> None:
        self.bridges = bridges
        self.launch = launch
        self.pieces: list[Piece] = []
        self.failure: BaseException | None = None
        self._changed = threading.Condition()
        self._scope: anyio.CancelScope | None = None
        self._following: Future[None] | None = None

    @property
    def row(self) -> BridgeRow:
        return self.bridges.rows()[self.launch]

    # what is asked

    def send(self, text: str, turn: str = "") -> str:
        """Give it a message, in parts where it is long; return the name of its turn."""
        turn = turn or f"turn-{uuid.uuid4()}"
        parts = [text[at : at + PART] for at in range(0, len(text), PART)] or [""]
        for number, part in enumerate(parts, 1):
            self.bridges.ask(SendMessage(session=self.launch, text=part, message=turn, part=number, of=len(parts)))
        return turn

    def turn(self, text: str) -> tuple[str, TurnEnded]:
        """Give it a message and wait for its end; return what was replied and how it ended."""
        turn = self.send(text)
        ended = self.piece(TurnEnded, turn=turn)
        return self.text(turn), ended

    def answer(self, option: str, **fields: Any) -> ApprovalRequested:
        """Wait until something is asked, and answer it."""
        asked = self.piece(ApprovalRequested, **fields)
        self.bridges.ask(AnswerApproval(session=self.launch, approval=asked.approval, option=option, by="test"))
        return asked

    def interrupt(self, *, queued: bool = False) -> None:
        self.bridges.ask(InterruptTurn(session=self.launch, queued=queued))

    def change(self, **wanted: str) -> BridgeRow:
        row: BridgeRow = self.bridges.ask(ChangeSettings(session=self.launch, **wanted), 60.0)
        return row

    def clear(self) -> BridgeRow:
        row: BridgeRow = self.bridges.ask(ClearConversation(session=self.launch), 60.0)
        return row

    def fork(self) -> BridgeRow:
        row: BridgeRow = self.bridges.ask(ForkSession(session=self.launch))
        return row

    def close(self) -> None:
        self.bridges.ask(CloseSession(session=self.launch), 30.0)

    def pending(self) -> Pending:
        pending: Pending = self.bridges.ask(ShowPending(session=self.launch))
        return pending

    def history(self, **more: Any) -> History:
        history: History = self.bridges.ask(ShowHistory(session=self.launch, **more))
        return history

    # what is said

    def text(self, turn: str, channel: str = "reply") -> str:
        """Return what was said in a turn so far."""
        with self._changed:
            added = [piece for piece in self.pieces if isinstance(piece, TextAdded)]
        return "".join(piece.text for piece in added if piece.turn == turn and piece.channel == channel)

    def piece(self, kind: type[_P], *, after: int = 0, **fields: Any) -> _P:
        """Wait for a piece; of those that came the first behind ``after`` of them counts."""
        found: list[_P] = []

        def there() -> bool:
            if self.failure is not None:
                raise AssertionError(f"the stream broke: {self.failure}")
            for piece in self.pieces[after:]:
                if isinstance(piece, kind) and all(getattr(piece, name) == value for name, value in fields.items()):
                    found.append(piece)
                    return True
            return False

        self._wait(there, f"no {kind.__name__} with {fields}")
        return found[0]

    def identified(self, after: int = 0) -> Identified:
        return self.piece(Identified, after=after)

    def _wait(self, there: Callable[[], bool], what: str) -> None:
        with self._changed:
            came = self._changed.wait_for(there, DEADLINE)
            assert came, f"{what} within {DEADLINE:.0f} s; the last: {self.pieces[-6:]}"

    # the stream

    def follow(self) -> None:
        """Take the stream up: what is under way, then each frame behind it."""
        standing = threading.Event()
        self._following = self.bridges.portal.start_task_soon(self._follow, standing)
        assert standing.wait(DEADLINE)

    def leave(self) -> None:
        """Stop following."""
        if self._following is not None and self._scope is not None:
            self.bridges.portal.call(self._scope.cancel)
            self._following.result(DEADLINE)

    async def _follow(self, standing: threading.Event) -> None:
        try:
            with anyio.CancelScope() as self._scope:
                async with self.bridges.client.stream(self.launch) as stream:
                    pending = await self.bridges.client.request("bridges", ShowPending(session=self.launch), deadline=20.0)
                    self._take(*pending.pieces)
                    standing.set()
                    await self._take_all(stream, pending.sequence)
        except BaseException as error:
            with self._changed:
                self.failure = error
                self._changed.notify_all()
            raise
        finally:
            standing.set()

    async def _take_all(self, stream: Any, last: int) -> None:
        async for item in stream:
            if not isinstance(item, bytes):
                continue  # a mark: what it could show as lost would be a hole in the next frame too
            frame = decode(item, Frame)
            assert frame.sequence <= last + 1, f"lost between {last} and {frame.sequence}"
            if frame.sequence == last + 1:
                last = frame.sequence
                self._take(frame.piece)

    def _take(self, *pieces: Piece) -> None:
        with self._changed:
            self.pieces.extend(pieces)
            self._changed.notify_all()


@contextlib.contextmanager
def hub(system: System) -> Iterator[Bridges]:
    """Connect to the hub of a system for the length of a block."""
    with start_blocking_portal() as portal:
        connection = read_connection(system.home / "state/run/bus.json")
        with portal.wrap_async_context_manager(connect(connection)) as client:
            yield Bridges(portal, client)
