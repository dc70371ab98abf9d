"""One driven session as a client sees it: what it is told, and its stream joined with what is under way.

Survives the loss of frames, of the hub and of the broker. Must not know how anything looks.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import anyio

from actors.cli import bus
from actors.cli.chat_join import Join, came, marked, told
from actors.cli.failures import NOT_RUNNING, CommandFailedError
from bus.client import Client, Mark
from bus.connection import ConnectionFileError
from bus.errors import BusError, BusUnavailableError, RefusedError
from schemas.bridge_rows import BridgeRow, History, Pending
from schemas.codec import decode
from schemas.commands.bridges import SendMessage, ShowHistory, ShowPending
from schemas.content import Frame

HUB: Final = "bridges"
QUICK_SECONDS: Final = 5.0
SLOW_SECONDS: Final = 30.0  # what waits for a program of the agent, or for its end
AWAY_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.25
_PART: Final = 8_000  # characters of a message in one command: at most six bytes each
_TRIES: Final = 5
_PASSING: Final = frozenset(("no_such_actor", "timeout", "busy"))


@dataclass(frozen=True, slots=True)
class Now:
    """What is under way, in place of everything before; the turns that ended out of sight come first."""

    pending: Pending
    history: History | None = None


@dataclass(frozen=True, slots=True)
class Away:
    """Tabwire is not there; it is tried again."""

    reason: str


Heard = Frame | Now | Away
Missed = Callable[[Pending], int]


async def ask(client: Client, command: Any, deadline: float = QUICK_SECONDS) -> Any:
    """Ask the hub of the bridges."""
    return await client.request(HUB, command, deadline=deadline)


async def ask_patiently(client: Client, command: Any, deadline: float = QUICK_SECONDS) -> Any:
    """Ask the hub what may be asked twice, also while it is starting again.

    Raises:
        RefusedError: it refused, or did not come back.

    """
    until = anyio.current_time() + AWAY_SECONDS
    while True:
        try:
            return await ask(client, command, deadline)
        except RefusedError as error:
            if error.code not in _PASSING or anyio.current_time() > until:
                raise
        await anyio.sleep(_PAUSE_SECONDS)


async def send(client: Client, session: str, text: str, message: str) -> BridgeRow:
    """Give a session a message, in as many parts as it takes.

    Raises:
        CommandFailedError: it is no text that can be sent.

    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise CommandFailedError(
            f"the message is not UTF-8: character {error.start} is {text[error.start]!a}; nothing was sent"
        ) from error
    parts = [text[at : at + _PART] for at in range(0, len(text), _PART)] or [""]
    row: BridgeRow | None = None
    for number, part in enumerate(parts, 1):
        command = SendMessage(session=session, text=part, message=message, part=number, of=len(parts), by=own_name())
        row = await ask_patiently(client, command)
    assert row is not None  # noqa: S101 - there is at least one part
    return row


def new_message() -> str:
    """Return an id for a message; its turn will have the same."""
    return f"message-{secrets.token_hex(8)}"


def own_name() -> str:
    """Say who we are to those who share the session."""
    try:
        return f"chat on {os.ttyname(sys.stdin.fileno()).removeprefix('/dev/')}"[:64]
    except (OSError, ValueError, AttributeError):
        return f"chat of process {os.getpid()}"


async def listen(
    launch: str, missed: Missed, connected: Callable[[Client | None], None], heard: Callable[[Heard], bool]
) -> None:
    """Follow a session until ``heard`` says that it is enough, while Tabwire is there or comes back within half a minute.

    ``missed`` tells how many completed turns are wanted in front of what is under way; ``connected`` is given each connection.

    Raises:
        CommandFailedError: Tabwire stayed away.
        RefusedError: there is no such session any more.

    """
    listening = _Listening(launch, missed, connected, heard)
    gone: float | None = None
    while True:
        try:
            async with bus.client() as client:
                if await listening.follow(client):
                    return
        except (BusError, ConnectionFileError, CommandFailedError, OSError, ExceptionGroup) as error:
            first = _first(error)
            if not _passing(first):
                raise
            now, reached = anyio.current_time(), listening.lost()
            if gone is None or reached:
                gone = now
                heard(Away(str(first)))
            elif now - gone > AWAY_SECONDS:
                raise CommandFailedError(f"Tabwire did not come back: {first}", NOT_RUNNING) from error
        await anyio.sleep(_PAUSE_SECONDS)


class _Listening:
    """Up to where a session was heard, over all connections."""

    def __init__(
        self, launch: str, missed: Missed, connected: Callable[[Client | None], None], heard: Callable[[Heard], bool]
    ) -> None:
        self._launch = launch
        self._missed = missed
        self._connected = connected
        self._heard = heard
        self._join = Join()
        self._reached = False

    async def follow(self, client: Client) -> bool:
        """Hear what is said over one connection; true when it is enough."""
        async with client.stream(self._launch) as stream:
            now = await self._catch_up(client)
            self._reached = True
            self._connected(client)
            if now is not None and self._heard(now):
                return True
            async for told_ in stream:
                one = await self._take(client, told_)
                if one is not None and self._heard(one):
                    return True
        return False

    def lost(self) -> bool:
        """Take that the connection is gone; tell whether it had been good for anything."""
        self._connected(None)
        reached, self._reached = self._reached, False
        return reached

    async def _take(self, client: Client, told_: bytes | Mark) -> Heard | None:
        """Judge what the stream says, and ask where it shows a hole."""
        if isinstance(told_, Mark):
            return None if marked(self._join, told_.sequence) == "drop" else await self._catch_up(client)
        frame = decode(told_, Frame)
        self._join, verdict = came(self._join, frame)
        if verdict == "ask":
            return await self._catch_up(client, frame.run)
        return frame if verdict == "take" else None

    async def _pending(self, client: Client) -> Pending:
        pending: Pending = await ask_patiently(client, ShowPending(session=self._launch))
        return pending

    async def _catch_up(self, client: Client, because: str = "") -> Now | None:
        """Ask for what is under way, and for the turns before it that were missed, as of one moment."""
        pending = await self._pending(client)
        history: History | None = None
        for _ in range(_TRIES):
            count = self._missed(pending)
            if not count:
                break
            history = await _past(client, self._launch, count)
            before, pending = pending, await self._pending(client)
            if (before.turn, before.bridge.turns) == (pending.turn, pending.bridge.turns):
                break  # otherwise a turn ended meanwhile: it may be in both, or in neither
        self._join, verdict = told(self._join, pending, because)
        return Now(pending, history) if verdict == "take" else None


async def _past(client: Client, launch: str, count: int) -> History | None:
    try:
        history: History = await ask(client, ShowHistory(session=launch, limit=count), SLOW_SECONDS)
    except RefusedError:
        return None  # it cannot be told; what is missing is said by whoever shows it
    return history


def _passing(error: BaseException) -> bool:
    """Tell whether it may be better in a moment: the broker, or all of Tabwire, is starting again."""
    if isinstance(error, CommandFailedError):
        return error.code == NOT_RUNNING
    return isinstance(error, BusUnavailableError | ConnectionFileError | OSError)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
