r"""The terminal of a chat: text that is added to, and below it the row that is typed into.

Theory of operation
-------------------
Text is written once and never again, so that the terminal wraps it, keeps it in its scrollback and copies it as it does
everything. Behind it, its cursor is saved, and the row is drawn on the next line; when more text comes the cursor is put
back, what is below is cleared, and it goes on. A line below is made before saving (``\x1bD``), since scrolling would move
the text away from its saved place. A terminal that is at its last column waits with wrapping, which saving may forget:
such a line is ended. After a change of size nobody knows where the text has gone, so it goes on in a line of its own.

Keys come one by one and unechoed; Ctrl-C stays a signal. Owns the terminal's modes and puts them back.
"""

from __future__ import annotations

import os
import shutil
import sys
import termios
import tty
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self

import anyio
from rich.cells import cell_len

from actors.cli.chat_line import Line, row
from actors.cli.chat_text import Span, Style

_SGR: Final[Mapping[Style, str]] = {
    "prompt": "1",
    "thought": "2",
    "tool": "36",
    "notice": "2",
    "error": "31",
    "question": "1;33",
}
_ON: Final = "\x1b[?2004h"
_OFF: Final = "\x1b[?2004l"
_SAVE: Final = "\x1bD\x1b[A\x1b7"
_BACK: Final = "\x1b8\x1b[J"
_CLEAR: Final = "\r\x1b[J"


class Screen:
    """The terminal, for the length of a block."""

    def __init__(self) -> None:
        self._in = sys.stdin.fileno()
        self._out = sys.stdout.fileno()
        self._colour = "NO_COLOR" not in os.environ
        self._modes: list[Any] = []
        self._column = 0
        self._saved = False
        self._drawn = False
        self._full = False
        self._width = self._columns()

    def __enter__(self) -> Self:
        self._modes = termios.tcgetattr(self._in)
        self.take()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._put(f"{self._erased()}{chr(10) if self._column else ''}{_OFF}")
        termios.tcsetattr(self._in, termios.TCSADRAIN, self._modes)

    def take(self) -> None:
        """Take the terminal over, at first and when the process goes on after it was stopped."""
        tty.setcbreak(self._in, termios.TCSADRAIN)
        self._put(_ON)

    async def typed(self) -> None:
        """Wait until something was typed."""
        await anyio.wait_readable(self._in)

    def keys(self) -> bytes:
        """Read what was typed; nothing, when the terminal is gone."""
        return os.read(self._in, 65536)

    def write(self, spans: Iterable[Span]) -> None:
        """Write text behind the text before; the row has to be drawn again."""
        words = "".join(self._styled(span) for span in spans)
        if words:
            self._put(f"{self._erased()}{words}")

    def draw(self, lead: str, line: Line) -> None:
        """Draw the row that is typed into, below the text."""
        shown, cursor = row(line, lead, self._width)
        begin = "\r\x1b[K"
        if not self._drawn and self._column:
            self._full = self._column >= self._width
            self._saved = not self._full
            begin = "\r\n" if self._full else f"{_SAVE}\r\n"
        self._drawn = True
        self._put(f"{begin}{shown}\x1b[{cursor + 1}G")

    def resized(self) -> None:
        """Take the terminal's new size."""
        self._put(_CLEAR)
        self._width = self._columns()
        self._column = 0
        self._drawn = self._saved = self._full = False

    def _erased(self) -> str:
        """Return what takes the row away and leads back to the end of the text."""
        if not self._drawn:
            return ""
        self._drawn = False
        if self._saved:
            self._saved = False
            return _BACK
        return _CLEAR

    def _styled(self, span: Span) -> str:
        text = span.text
        if self._full:  # the row was drawn behind a line that fills the screen's width: this line is ended already
            self._full, self._column = False, 0
            text = text.removeprefix("\n")
        for place, part in enumerate(text.split("\n")):
            self._column = self._after(0 if place else self._column, part)
        code = _SGR.get(span.style, "") if self._colour else ""
        text = text.replace("\n", "\r\n")
        return f"\x1b[{code}m{text}\x1b[0m" if code and text else text

    def _after(self, column: int, part: str) -> int:
        """Return the column behind a part of a line, which is the screen's width where it just fills it."""
        for char in part:
            cells = cell_len(char)
            column = column + cells if column + cells <= self._width else cells
        return column

    def _put(self, text: str) -> None:
        raw = text.encode(errors="backslashreplace")
        while raw:
            raw = raw[os.write(self._out, raw) :]

    @staticmethod
    def _columns() -> int:
        return max(20, shutil.get_terminal_size().columns)
