"""A chat without a person at its terminal: one prompt in, one answer out; or whatever happens, as JSON.

The answer goes to stdout as the agent wrote it (escaped only where stdout is a terminal), questions and failures to stderr.
Must not know how to talk to a terminal.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable
from typing import Final

import anyio
import anyio.abc

from actors.cli import chat_view
from actors.cli.chat_pieces import View, tell
from actors.cli.chat_session import Away, Heard, Now, ask, listen, new_message, send
from actors.cli.chat_text import Span
from actors.cli.failures import CLOSED_PIPE, FAILURE, INTERRUPTED, OK, CommandFailedError
from actors.cli.output import say, write_line
from bus.client import Client
from bus.errors import BusError
from schemas.bridge_rows import BridgeRow, History, Pending
from schemas.codec import encode
from schemas.commands.bridges import InterruptTurn
from schemas.content import Ended, Piece, TurnEnded, TurnStarted

_LEAVE_SECONDS: Final = 2.0
_CODES: Final = {"completed": OK, "interrupted": INTERRUPTED, "failed": FAILURE}


def answer(row: BridgeRow, text: str, *, json: bool) -> int:
    """Give a session one message, print the answer as it comes, and return the exit code that its outcome asks for."""
    return anyio.run(_Once(row, text, json=json).run)


def watch(row: BridgeRow, *, json: bool) -> int:
    """Print the first turn of a session, which runs or has ended already; Ctrl-C leaves it to itself."""
    return anyio.run(_Once(row, None, json=json, first=True).run)


def follow(row: BridgeRow) -> int:
    """Print what happens in a session as JSON, until it ends or Ctrl-C."""
    return anyio.run(_Once(row, None, json=True).run)


class _Once:
    """What was printed so far, and what is waited for."""

    def __init__(self, row: BridgeRow, text: str | None, *, json: bool, first: bool = False) -> None:
        self._row = row
        self._text = text
        self._json = json
        self._first = first  # the first turn that is seen is the one that is waited for
        self._message = new_message()
        self._view = View(agent=row.agent, zone=None, verbatim=not sys.stdout.isatty())
        self._client: Client | None = None
        self._ready = anyio.Event()
        self._joined = self._begun = self._left = False
        self._ended: TurnEnded | None = None
        self._over = ""
        self._open = self._parted = False  # stdout is within a line; something else came between two texts

    async def run(self) -> int:
        """Do it all; return the exit code."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch_interrupts, tasks)
            tasks.start_soon(self._give)
            await listen(self._row.launch, self._missed, self._connected, self._heard)
            tasks.cancel_scope.cancel()
        if self._open:
            self._write("\n")
        return self._code()

    def _code(self) -> int:
        if self._text is None and (self._left or not self._first):
            return OK
        if self._ended is None:
            raise CommandFailedError("interrupted", INTERRUPTED) if self._left else CommandFailedError(self._over)
        outcome, reason = self._ended.outcome, self._ended.reason or "no reason was told"
        if outcome != "completed":
            say(f"the turn {'was interrupted' if outcome == 'interrupted' else 'failed'}: {reason}")
        return _CODES[outcome]

    # ------------------------------------------------------------------------------------------------ to the session

    def _connected(self, client: Client | None) -> None:
        self._client = client
        if client is not None:
            self._ready.set()

    async def _give(self) -> None:
        await self._ready.wait()
        if self._text is not None and self._client is not None:
            await send(self._client, self._row.launch, self._text, self._message)

    async def _watch_interrupts(self, tasks: anyio.abc.TaskGroup) -> None:
        """Ctrl-C stops our turn and waits for its end a moment; the second one, or nothing to stop, leaves."""
        with anyio.open_signal_receiver(signal.SIGINT) as signals:
            async for _ in signals:
                if self._left or self._text is None or self._view.turn != self._message:
                    break
                self._left = True
                tasks.start_soon(self._interrupt, tasks)
        self._left = True
        tasks.cancel_scope.cancel()

    async def _interrupt(self, tasks: anyio.abc.TaskGroup) -> None:
        if self._client is not None:
            try:
                await ask(self._client, InterruptTurn(session=self._row.launch))
            except BusError as error:
                say(f"the turn could not be stopped: {error}")
        await anyio.sleep(_LEAVE_SECONDS)
        tasks.cancel_scope.cancel()

    # ------------------------------------------------------------------------------------------------ from the session

    def _missed(self, pending: Pending) -> int:
        if self._joined:
            return chat_view.missed(self._view, pending)
        return 1 if self._first and not pending.turn and pending.bridge.turns else 0

    def _heard(self, heard: Heard) -> bool:
        if isinstance(heard, Away):
            say(f"{heard.reason}; trying again")
            return False
        if isinstance(heard, Now):
            return self._take_whole(heard)
        if self._json:
            write_line(encode(heard))
        return self._take(heard.piece)

    def _take(self, piece: Piece) -> bool:
        if isinstance(piece, TurnStarted):
            self._choose(piece.turn)
        if isinstance(piece, TurnEnded) and piece.turn == self._message:
            self._ended = piece
            return True
        if isinstance(piece, Ended):
            self._over = f"the session has ended: {piece.reason}"
            return True
        self._view, spans = tell(self._view, piece)
        self._print(spans, ours=self._view.turn == self._message)
        return False

    def _choose(self, turn: str) -> None:
        """Take that this turn has begun: it is ours, or the first one."""
        if self._first and not self._begun:
            self._message = turn
        self._begun = self._begun or turn == self._message

    def _take_whole(self, now: Now) -> bool:
        if self._json:
            if now.history is not None:
                write_line(encode(now.history))
            write_line(encode(now.pending))
        if self._take_missed(now.history):
            return True
        if self._begun and now.pending.turn != self._message:
            self._over = f"the end of the answer was not seen; it is in: tabwire chat {self._row.launch}"
            return True
        if now.pending.turn:
            self._choose(now.pending.turn)
        self._view, spans = chat_view.whole(self._view, now.pending)
        self._print(spans, ours=now.pending.turn == self._message)
        self._joined = True
        return False

    def _take_missed(self, history: History | None) -> bool:
        """Take the end of our turn from the history, when it ended out of sight."""
        for turn in history.turns if history is not None else ():
            self._choose(turn.turn)
            ended = next((piece for piece in turn.pieces if isinstance(piece, TurnEnded)), None)
            if turn.turn == self._message and ended is not None:
                self._view, spans = chat_view.made_good(self._view, (turn,))
                self._print(spans, ours=True)
                self._ended = ended
                return True
        return False

    # ------------------------------------------------------------------------------------------------ to people

    def _print(self, spans: Iterable[Span], *, ours: bool) -> None:
        """Print an answer's texts, parted by an empty line; say questions and failures."""
        if self._json:
            return
        asked = False
        for span in spans:
            if span.style == "reply":
                if ours:
                    self._write(("\n\n" if self._open and self._parted else "") + span.text)
                    self._open, self._parted = True, False
                continue
            self._parted = True
            if span.style in ("question", "error"):
                asked = asked or span.style == "question"
                say(span.text.rstrip("\n"))
        if asked:
            say(f"answer it with: tabwire chat {self._row.launch}")

    @staticmethod
    def _write(text: str) -> None:
        try:
            sys.stdout.flush()
            sys.stdout.buffer.write(text.encode(errors="backslashreplace"))
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise CommandFailedError("", CLOSED_PIPE) from None
