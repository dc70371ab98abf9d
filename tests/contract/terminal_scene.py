"""A real terminal host with a real program in it, and a bridge that drives one; both as processes of their own."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import psutil

from actors.bridge.contract import Begin, Close, Over, Said, Send, decode_up
from actors.bridge.contract import encode_line as encode_bridge_line
from actors.bridge.terminal.page import Page, turned
from actors.terminal.contract import Down, Drawn, Open, Opened, Up, encode_line
from actors.terminal.contract import decode_up as decode_terminal_line
from schemas.content import TextAdded, TurnEnded
from schemas.terminals import Terminal

DEADLINE = 20.0
TOKEN = "a-token-that-is-long-enough-for-a-launch-000"
_T = TypeVar("_T")


class _Process:
    """A process that speaks in lines; each is waited for, never longer than the deadline."""

    def __init__(
        self, module: str, read: Callable[[bytes], Any], environ: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if environ is None else dict(environ),
            cwd=cwd,
        )
        self._read = read
        self._lines: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            self._lines.put(self._read(raw))
        self._lines.put(None)

    def write(self, raw: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(raw)
        self.process.stdin.flush()

    def next(self) -> Any:
        return self._lines.get(timeout=DEADLINE)

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def hang_up(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(DEADLINE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None and pipe is self.process.stdin:
                pipe.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


class Host(_Process):
    """A terminal host: ``page`` is what it has told of its screen."""

    def __init__(self, *argv: str, **more: Any) -> None:
        super().__init__("actors.terminal", decode_terminal_line)
        self.page = Page()
        self.heard: list[Up] = []
        self.say(Open(argv=argv, **{"columns": 60, "rows": 10, **more}))

    def say(self, line: Down) -> None:
        self.write(encode_line(line))

    def take(self) -> Up | None:
        line: Up | None = self.next()
        if line is not None:
            self.heard.append(line)
        if isinstance(line, Drawn):
            self.page = turned(self.page, line)
        return line

    def until(self, holds: Callable[[Page], bool]) -> Page:
        """Wait for a screen of which something holds."""
        while not holds(self.page):
            assert self.take() is not None, self.errors()
        return self.page

    def shows(self, text: str) -> Page:
        return self.until(lambda page: text in page.text)

    def line(self, kind: type[_T]) -> _T:
        """Wait for a line of a kind."""
        while not (found := [line for line in self.heard if isinstance(line, kind)]):
            assert self.take() is not None, self.errors()
        return found[-1]

    @property
    def program(self) -> psutil.Process:
        return psutil.Process(self.line(Opened).pid)


class Bridge(_Process):
    """A bridge that drives a declared terminal."""

    def __init__(self, terminal: Terminal, cwd: Path, **more: Any) -> None:
        super().__init__("actors.bridge", decode_up)
        self.heard: list[Any] = []
        self._asks = 0
        begin = {"launch": "launch-0123456789ab", "agent": "mine", "origin": "http://127.0.0.1:9", "token": TOKEN, **more}
        self.write(encode_bridge_line(Begin(cwd=str(cwd), terminal=terminal, **begin)))

    def ask(self, line: type[Any], **fields: Any) -> int:
        self._asks += 1
        self.write(encode_bridge_line(line(ask=self._asks, **fields)))
        return self._asks

    def line(self, kind: type[_T], holds: Callable[[_T], bool] = lambda _: True) -> _T:
        """Return the first line, or piece of content, of a kind, waiting for it."""
        seen = 0
        while True:
            for one in self.heard[seen:]:
                if isinstance(one, kind) and holds(one):
                    return one
            seen = len(self.heard)
            line = self.next()
            assert line is not None, self.errors()
            self.heard.append(line.piece if isinstance(line, Said) else line)

    def say(self, text: str, turn: str) -> tuple[str, TurnEnded]:
        """Give a message and wait for the end of its turn; return the reply and the end."""
        self.ask(Send, turn=turn, text=text)
        ended = self.line(TurnEnded, lambda piece: piece.turn == turn)
        return self.text(turn), ended

    def text(self, turn: str) -> str:
        added = [one for one in self.heard if isinstance(one, TextAdded) and (one.turn, one.channel) == (turn, "reply")]
        return "".join(one.text for one in added)

    def close(self) -> Over:
        self.ask(Close)
        return self.line(Over)
