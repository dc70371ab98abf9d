"""A chat at a terminal: text above, the row that is typed into below; what is typed is done while the session goes on.

One loop owns the view, the line and the screen; tasks bring what was typed, heard and signalled. Leaving only leaves.
"""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from typing import Final

import anyio
import anyio.abc

from actors.cli import chat_view
from actors.cli.chat_deeds import carry_out, footer, heading, turns
from actors.cli.chat_desk import SHOWN_TURNS, Action, Answer, Do, Send, ShowTurns, Tell, interrupted, lead, read_line
from actors.cli.chat_line import Key, Line, press, read_keys
from actors.cli.chat_pieces import View, Written, question, settings, tell
from actors.cli.chat_screen import Screen
from actors.cli.chat_session import AWAY_SECONDS, Away, Heard, Now, listen
from actors.cli.failures import CommandFailedError, explain_failure
from bus.client import Client
from bus.errors import BusError
from schemas.bridge_rows import BridgeRow, Pending

_WAITING: Final = 32  # messages that were entered and are not sent yet

_SIGNALS: Final = (signal.SIGINT, signal.SIGWINCH, signal.SIGCONT, signal.SIGTERM, signal.SIGHUP)


def converse(row: BridgeRow, first: str) -> bool:
    """Talk with a session until the person leaves, or it has ended, which is returned; ``first`` is sent at once."""
    with Screen() as screen:
        chat = _Chat(row, screen)
        anyio.run(chat.run, first)
    return chat.ended


class _Chat:
    """One conversation at one terminal."""

    def __init__(self, row: BridgeRow, screen: Screen) -> None:
        self._row = row
        self._screen = screen
        self._view = View(agent=row.agent, zone=None, session=row.session)
        self._line = Line()
        self._client: Client | None = None
        self._joined = False
        self._typed_at = ""  # the question that was shown when the line was begun
        self._stopped: float | None = None  # when Ctrl-C was pressed last
        self._here = anyio.Event()
        self._messages_in, self._messages = anyio.create_memory_object_stream[Send](_WAITING)
        self._tasks: anyio.abc.TaskGroup

    async def run(self, first: str) -> None:
        """Run until somebody leaves."""
        with self._messages_in, self._messages:
            async with anyio.create_task_group() as self._tasks:
                for task in (self._watch_keys, self._watch_signals, self._send_messages):
                    self._tasks.start_soon(task)
                if first:
                    self._enqueue(Send(first))
                self._draw()
                await listen(self._row.launch, self._missed, self._connected, self._heard)
                self._tasks.cancel_scope.cancel()

    @property
    def ended(self) -> bool:
        """Whether the session has ended."""
        return self._view.ended

    # ------------------------------------------------------------------------------------------------ what is heard

    def _missed(self, pending: Pending) -> int:
        if self._joined:
            return chat_view.missed(self._view, pending)
        return min(SHOWN_TURNS, pending.bridge.turns)

    def _connected(self, client: Client | None) -> None:
        self._client = client
        if client is None:
            self._here = anyio.Event()
        else:
            self._here.set()

    def _heard(self, heard: Heard) -> bool:
        if isinstance(heard, Away):
            self._show(chat_view.note(self._view, f"! {heard.reason}; trying again", "error"))
        elif isinstance(heard, Now):
            self._take_whole(heard)
        else:
            self._show(tell(self._view, heard.piece))
        self._draw()
        return self._view.ended

    def _take_whole(self, now: Now) -> None:
        if not self._joined:
            self._show(chat_view.note(self._view, heading(now.pending.bridge)))
        if now.history is not None:
            if now.history.before or now.history.note:
                self._say(footer(now.history))
            self._show(chat_view.made_good(self._view, now.history.turns))
        self._show(chat_view.whole(self._view, now.pending))
        self._joined = True

    # ------------------------------------------------------------------------------------------------ what is typed

    async def _watch_keys(self) -> None:
        rest = b""
        while True:
            await self._screen.typed()
            came = self._screen.keys()
            if not came:
                break  # the terminal is gone
            keys, rest = read_keys(rest, came)
            for key in keys:
                self._press(key)
            self._draw()
        self._tasks.cancel_scope.cancel()

    def _press(self, key: Key) -> None:
        if key.name == "redraw":
            self._screen.resized()
            return
        if key.name == "eof" and not self._line.text:
            self._enqueue(Do("leave"))
            return
        if not self._line.text:
            self._typed_at = self._asked()
        self._line, entered = press(self._line, key)
        if entered is None:
            return
        action = read_line(entered, self._view.approvals)
        if isinstance(action, Answer) and action.approval != self._typed_at:
            action = Tell("that was typed before the question was there; answer it now, or /approve shows it", error=True)
        self._enqueue(action)

    def _asked(self) -> str:
        return self._view.approvals[0].approval if self._view.approvals else ""

    async def _watch_signals(self) -> None:
        with anyio.open_signal_receiver(*_SIGNALS) as signals:
            async for one in signals:
                if one == signal.SIGINT:
                    running, typed = bool(self._view.turn), bool(self._line.text)
                    action, self._stopped = interrupted(self._stopped, time.monotonic(), running=running, typed=typed)
                    self._enqueue(action)
                elif one in (signal.SIGTERM, signal.SIGHUP):
                    self._tasks.cancel_scope.cancel()
                else:
                    if one == signal.SIGCONT:
                        self._screen.take()
                    self._screen.resized()
                self._draw()

    # ------------------------------------------------------------------------------------------------ what is done

    def _enqueue(self, action: Action) -> None:
        """Do it: messages one after the other, anything else at once, leaving before everything."""
        if action == Do("leave"):
            self._tasks.cancel_scope.cancel()
        elif action == Do("rub_out"):
            self._line = replace(self._line, text="", at=0, place=None, draft="")
        elif not isinstance(action, Send):
            self._tasks.start_soon(self._do, action)
        else:
            try:
                self._messages_in.send_nowait(action)
            except anyio.WouldBlock:
                self._say(f"{_WAITING} messages wait already; this one was not taken", error=True)

    async def _send_messages(self) -> None:
        async for action in self._messages:
            await self._do(action)

    async def _do(self, action: Action) -> None:
        with anyio.move_on_after(AWAY_SECONDS) as late:
            await self._here.wait()
        if late.cancelled_caught or self._client is None:
            self._say("Tabwire is not there; that was not done", error=True)
        else:
            try:
                await self._carry_out(self._client, action)
            except (BusError, CommandFailedError) as error:
                self._say(explain_failure(error)[0], error=True)
        self._draw()

    async def _carry_out(self, client: Client, action: Action) -> None:
        match action:
            case Tell(text=text, error=error):
                self._say(text, error=error)
            case Do(what="settings"):
                self._say(settings(self._view))
            case Do(what="questions"):
                for one in self._view.approvals:
                    self._show(question(self._view, one))
            case ShowTurns(count=count):
                history = await turns(client, self._row.launch, count)
                self._show(chat_view.past(self._view, history.turns))
                self._say(footer(history))
            case _:
                if isinstance(action, Send) and self._view.turn:
                    self._say("it waits for the end of the running turn")
                if said := await carry_out(client, self._row.launch, action):
                    self._say(said)

    # ------------------------------------------------------------------------------------------------ what is shown

    def _say(self, text: str, *, error: bool = False) -> None:
        self._show(chat_view.note(self._view, text, "error" if error else "notice"))

    def _show(self, written: Written) -> None:
        self._view, spans = written
        self._screen.write(spans)

    def _draw(self) -> None:
        self._screen.draw(lead(self._view), self._line)
