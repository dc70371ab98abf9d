"""Driven sessions as a client sees them: commands over the bus, content from the stream, in order and without a hole.

Owns how these tests wait: for pieces on the stream, always with a deadline; never for time to pass. Knows no agent.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar, cast

import anyio
import msgspec
import psutil

from bus.client import Client, connect
from bus.connection import read_connection
from schemas.bridge_rows import BridgeRow, BridgeTable, Pending
from schemas.commands.bridges import (
    AnswerApproval,
    ChangeSettings,
    ClearConversation,
    CloseSession,
    InterruptTurn,
    ListBridges,
    SendMessage,
    ShowPending,
    StartSession,
)
from schemas.content import (
    ApprovalRequested,
    ApprovalResolved,
    Channel,
    Frame,
    Identified,
    Piece,
    StatusTold,
    TextAdded,
    ToolEnded,
    ToolStarted,
    TurnEnded,
)
from tests.e2e.system import System

DEADLINE = 60.0
_MESSAGES = count(1)
_P = TypeVar("_P")


@dataclass
class Told:
    """What one session told so far, and the way to wait for more."""

    client: Client
    launch: str
    frames: list[Frame] = field(default_factory=list)
    seen: int = 0
    news: anyio.Condition = field(default_factory=anyio.Condition)

    @property
    def pieces(self) -> list[Piece]:
        return [frame.piece for frame in self.frames]

    async def listen(self, started: anyio.Event) -> None:
        """Keep all frames; a number that is not the next one is a loss, which these tests have no reason to see."""
        async with self.client.stream(self.launch) as told:
            started.set()
            async for item in told:
                if not isinstance(item, bytes):
                    continue
                frame = msgspec.json.decode(item, type=Frame)
                assert not self.frames or frame.sequence == self.frames[-1].sequence + 1, (self.frames[-1], frame)
                async with self.news:
                    self.frames.append(frame)
                    self.news.notify_all()

    async def until(self, kind: type[_P], matches: Callable[[_P], bool] = lambda _: True) -> _P:
        """Return the next piece of a kind, behind the last one that was waited for."""
        with anyio.move_on_after(DEADLINE):
            async with self.news:
                while True:
                    while self.seen < len(self.frames):
                        piece = self.frames[self.seen].piece
                        self.seen += 1
                        if isinstance(piece, kind) and matches(piece):
                            return piece
                    await self.news.wait()
        raise AssertionError(f"no {kind.__name__} within {DEADLINE} s; the last pieces: {self.pieces[-8:]}")

    async def piece(self, kind: type[_P], *, after: int = 0, **fields: Any) -> _P:
        """Return the first piece with these values, whether it was waited for or not; that behind ``after`` of them."""

        def fits(piece: Any) -> bool:
            return isinstance(piece, kind) and all(getattr(piece, name) == value for name, value in fields.items())

        with anyio.move_on_after(DEADLINE):
            async with self.news:
                while True:
                    for piece in self.pieces[after:]:
                        if fits(piece):
                            found: Any = piece
                            return cast("_P", found)
                    await self.news.wait()
        raise AssertionError(f"no {kind.__name__} with {fields} within {DEADLINE} s; the last pieces: {self.pieces[-8:]}")

    async def ask(self, command: Any) -> Any:
        return await self.client.request("bridges", command, deadline=30.0)

    async def row(self) -> BridgeRow:
        table: BridgeTable = await self.ask(ListBridges())
        return next(row for row in table.bridges if row.launch == self.launch)

    async def identified(self) -> BridgeRow:
        """Return the row once the conversation is known; it may have been before anybody listened."""
        while not (row := await self.row()).conversation:
            await self.until(Identified)
        return row

    async def pending(self) -> Pending:
        found: Pending = await self.ask(ShowPending(session=self.launch))
        return found

    async def send(self, text: str) -> str:
        """Send a message; return its id, which names its turn."""
        message = f"message-{next(_MESSAGES)}"
        await self.ask(SendMessage(session=self.launch, text=text, message=message, by="test"))
        return message

    async def ended(self, turn: str) -> TurnEnded:
        return await self.until(TurnEnded, lambda piece: piece.turn == turn)

    async def say(self, text: str) -> TurnEnded:
        """Send a message and wait for the end of its turn."""
        return await self.ended(await self.send(text))

    async def asked(self) -> ApprovalRequested:
        return await self.until(ApprovalRequested)

    async def answer(self, asked: ApprovalRequested, kind: str) -> ApprovalResolved:
        """Answer with the first option of a kind, and wait until that is told."""
        option = next(option for option in asked.options if option.kind == kind)
        await self.ask(AnswerApproval(session=self.launch, approval=asked.approval, option=option.id, by="test"))
        return await self.until(ApprovalResolved, lambda piece: piece.approval == asked.approval)

    async def interrupt(self) -> None:
        await self.ask(InterruptTurn(session=self.launch))

    async def change(self, **settings: str) -> BridgeRow:
        row: BridgeRow = await self.ask(ChangeSettings(session=self.launch, **settings))
        return row

    async def clear(self) -> None:
        await self.ask(ClearConversation(session=self.launch))

    async def close(self) -> None:
        await self.ask(CloseSession(session=self.launch))

    async def idle(self) -> None:
        await self.until(StatusTold, lambda piece: piece.status in ("idle", "waiting_input"))

    def text(self, turn: str, channel: Channel) -> str:
        """Return what was said of a turn in a channel."""
        texts = [piece for piece in self.pieces if isinstance(piece, TextAdded) and piece.turn == turn]
        return "".join(piece.text for piece in texts if piece.channel == channel)

    def reply(self, turn: str) -> str:
        """Return what the agent replied in a turn."""
        return self.text(turn, "reply")

    def tools(self, turn: str) -> list[tuple[str, bool]]:
        """Return the tools of a turn by name, and whether each did what it should."""
        names = {piece.item: piece.name for piece in self.pieces if isinstance(piece, ToolStarted) and piece.turn == turn}
        return [(names[piece.item], piece.ok) for piece in self.pieces if isinstance(piece, ToolEnded) and piece.turn == turn]


@asynccontextmanager
async def session(system: System, **wishes: Any) -> AsyncIterator[Told]:
    """Start a session and listen to it for the length of a block; it is closed at the end of that."""
    async with on_bus(system) as client:
        row = await client.request("bridges", StartSession(**wishes), deadline=30.0)
        async with listening(client, row.launch) as told:
            try:
                yield told
            finally:
                with anyio.CancelScope(shield=True), anyio.move_on_after(10):
                    if any(row.launch == told.launch for row in (await told.ask(ListBridges())).bridges):
                        await told.close()


def on_bus(system: System) -> AbstractAsyncContextManager[Client]:
    """Connect as any client does."""
    return connect(read_connection(system.home / "state/run/bus.json"))


@asynccontextmanager
async def listening(client: Client, launch: str) -> AsyncIterator[Told]:
    """Listen to a session for the length of a block, and leave it as it is."""
    async with anyio.create_task_group() as group:
        told, begun = Told(client, launch), anyio.Event()
        group.start_soon(told.listen, begun)
        await begun.wait()
        yield told
        group.cancel_scope.cancel()


def descendants(pid: int) -> list[psutil.Process]:
    """Return the processes below one that run."""
    found: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        found = psutil.Process(pid).children(recursive=True)
    return found


def commands(pid: int) -> list[str]:
    """Return the command lines of what runs below a process; one that has ended has none."""
    found = []
    for process in descendants(pid):
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie too
            found.append(" ".join(process.cmdline()))
    return found


def end(family: Iterable[psutil.Process]) -> None:
    """Kill processes; one of them may have ended with another."""
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def running_of(family: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return those that still run."""
    found = []
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
