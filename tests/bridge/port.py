"""The hub's end of one bridge, in a test: a real process, real pipes, every wait with a deadline."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from actors.bridge.contract import Ask, Beat, Began, Begin, Close, Down, Over, Replied, Said, Send, Up, decode_up, encode_line
from schemas.content import Piece, TextAdded, TurnEnded

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 30.0
TOKEN = "token-of-a-launch-0123456789abcdef"
_U = TypeVar("_U")


class BridgeProcess:
    """A bridge that is told what to do and whose lines are kept."""

    def __init__(self, *words: str, cwd: Path, command: tuple[str, ...] = (), deaf: bool = False, **terms: float) -> None:
        self.argv = command or (sys.executable, "-m", "tests.bridge.child", json.dumps(terms))
        if terms and command:
            raise ValueError("terms are the test child's alone")
        self.words = words
        self.cwd = cwd
        self.deaf = deaf
        self.lines: list[Up] = []
        self.log = bytearray()
        self._asks = 0
        self._came: queue.SimpleQueue[Up | None] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, bufsize=0
        )
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._read, self._read_log)]
        for thread in self._threads[self.deaf :]:
            thread.start()
        return self

    def hear(self) -> None:
        """Begin to read what it says, for one that was ``deaf``."""
        self.deaf = False
        self._threads[0].start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.hang_up()
        try:
            self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self.process.wait()
            for thread in self._threads[self.deaf :]:
                thread.join(DEADLINE)
            if self.deaf and self.process.stdout is not None:
                self.process.stdout.close()
            if kind is not None:
                sys.stderr.write(self.log.decode(errors="replace"))

    def begin(self, **fields: Any) -> None:
        """Say who it is."""
        self.tell(
            Begin(
                launch="launch-0123456789ab",
                agent=fields.pop("agent", "scripted"),
                origin="http://127.0.0.1:1",
                token=TOKEN,
                cwd=str(fields.pop("cwd", self.cwd)),
                program=fields.pop("program", sys.executable),
                arguments=self.words,
                **fields,
            )
        )

    def tell(self, line: Down) -> None:
        assert self.process.stdin is not None
        raw = memoryview(encode_line(line))
        while raw:
            raw = raw[self.process.stdin.write(raw) :]

    def hang_up(self) -> None:
        """End its stdin."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def ask(self, kind: type[Ask], **fields: Any) -> int:
        """Ask something; return the number of the ask."""
        self._asks += 1
        self.tell(kind(ask=self._asks, **fields))
        return self._asks

    def asked(self, kind: type[Ask], **fields: Any) -> Replied:
        """Ask something and wait for the answer."""
        number = self.ask(kind, **fields)
        return self.until(lambda line: line if isinstance(line, Replied) and line.ask == number else None)

    def send(self, text: str, turn: str = "t1") -> None:
        assert self.asked(Send, turn=turn, text=text).code == ""

    def turn(self, text: str, turn: str = "t1") -> tuple[str, TurnEnded]:
        """Give a message and wait for its end; return what was replied and how it ended."""
        self.send(text, turn)
        ended = self.piece(TurnEnded, turn=turn)
        return self.reply(turn), ended

    def reply(self, turn: str = "t1") -> str:
        """Return what was replied so far."""
        pieces = self.pieces
        return "".join(p.text for p in pieces if isinstance(p, TextAdded) and p.turn == turn and p.channel == "reply")

    @property
    def pieces(self) -> list[Piece]:
        return [line.piece for line in self.lines if isinstance(line, Said)]

    def piece(self, kind: type[_U], **fields: Any) -> _U:
        """Wait until such a piece has been said; of those that came before the first counts."""

        def found(line: Up) -> _U | None:
            piece = line.piece if isinstance(line, Said) else None
            if isinstance(piece, kind) and all(getattr(piece, name) == value for name, value in fields.items()):
                return piece
            return None

        for line in self.lines:
            if (piece := found(line)) is not None:
                return piece
        return self.until(found)

    def line(self, kind: type[_U]) -> _U:
        """Wait until such a line has been said; of those that came before the first counts."""
        for line in self.lines:
            if isinstance(line, kind):
                return line
        return self.until(lambda line: line if isinstance(line, kind) else None)

    def until(self, found: Callable[[Up], _U | None]) -> _U:
        """Take lines until one is the wanted one."""
        while True:
            try:
                line = self._came.get(timeout=DEADLINE)
            except queue.Empty:
                raise AssertionError(f"nothing came: {self.lines[-3:]}; {self.log.decode(errors='replace')}") from None
            if line is None:
                raise AssertionError(f"the bridge ended before that: {self.lines[-3:]}; {self.log.decode(errors='replace')}")
            if not isinstance(line, Beat):
                self.lines.append(line)
            if (wanted := found(line)) is not None:
                return wanted

    def close(self) -> Over:
        """Ask it to close, and wait for its last word and its end."""
        assert self.asked(Close).code == ""
        return self.over()

    def over(self) -> Over:
        over = self.line(Over)
        assert self._came.get(timeout=DEADLINE) is None, "something was said behind the last word"
        self.process.wait(DEADLINE)
        return over

    def agent_pid(self) -> int:
        return self.line(Began).pid

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as pipe, os.fdopen(os.dup(pipe.fileno()), "rb") as lines:
            for raw in lines:
                self._came.put(decode_up(raw))
        self._came.put(None)

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as pipe:
            while chunk := pipe.read(65536):
                self.log += chunk


def gone(pid: int) -> bool:
    """Tell whether there is no process with this pid any more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
