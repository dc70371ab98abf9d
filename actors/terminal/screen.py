"""One terminal's screen as text: pyte's, with what pyte does not have: lines that leave at the top, and the other screen.

Takes a program's bytes, gives rows without blanks at their ends. Nothing that a program writes raises: ``Sieve`` lets through
only what pyte takes. Must not know processes, nor who looks.
"""

from __future__ import annotations

import re
from collections import deque
from copy import copy
from typing import Any, Final

import pyte
from pyte.screens import Char, Cursor, StaticDefaultDict

from actors.terminal.contract import MAX_LEFT, Drawn
from actors.terminal.sieve import Sieve

MIN_SIDE: Final = 2
MAX_SIDE: Final = 1_000
_OTHER: Final = frozenset((47, 1047, 1049))
_MODES: Final = frozenset((6, 7, 25, 2004))
_PASTE: Final = 2004 << 5
_MORE: Final = {"S": "scroll_up", "T": "scroll_down", "b": "repeat", "s": "keep_cursor", "u": "take_cursor"}
_GOES_ON: Final = "goes_on"
_PLAIN: Final = re.compile(r"[\x20-\x7e]+|.", re.DOTALL)

_Rows = dict[int, StaticDefaultDict[int, Char]]


class _Canvas(pyte.Screen):  # type: ignore[misc,unused-ignore]
    """What stands where. ``left`` are the lines that went out at the top, ``lost`` how many of them are not kept."""

    def __init__(self, columns: int, lines: int) -> None:
        self.left: deque[str] = deque()
        self.lost = 0
        self.rang = False
        self.answers: list[str] = []
        self._drawing = False
        self._usual: tuple[_Rows, Cursor] | None = None
        super().__init__(columns, lines)

    @property
    def alternate(self) -> bool:
        return self._usual is not None

    def row(self, number: int) -> str:
        """Return a row without blanks at its end; with a newline where its text goes on in the next one."""
        line = self.buffer.get(number)
        if line is None:
            return ""
        text = "".join(line[column].data for column in range(self.columns))
        return f"{text}\n" if getattr(line, _GOES_ON, False) and text[-1:].strip() else text.rstrip()

    # What pyte does in another way

    def reset(self) -> None:
        self._usual = None
        super().reset()

    def draw(self, data: str) -> None:
        """Draw text; pyte drops all that stands behind a character without a width, so each of those goes alone."""
        self._drawing = True
        try:
            for part in (data,) if data.isascii() else _PLAIN.findall(data):
                super().draw(part)
        finally:
            self._drawing = False

    def linefeed(self) -> None:
        """Go to the next line; within a text pyte does so because the row is full."""
        if self._drawing:
            setattr(self.buffer[self.cursor.y], _GOES_ON, True)
        super().linefeed()

    def index(self) -> None:
        bottom = self.margins.bottom if self.margins else self.lines - 1
        if self.cursor.y == bottom and not (self.margins and self.margins.top) and not self.alternate:
            self._leaves(self.row(0))
        super().index()

    def _leaves(self, line: str) -> None:
        self.left.append(line)
        if len(self.left) > MAX_LEFT:
            self.left.popleft()
            self.lost += 1

    def set_mode(self, *modes: int, **kwargs: Any) -> None:
        self._modes(super().set_mode, modes, kwargs, on=True)

    def reset_mode(self, *modes: int, **kwargs: Any) -> None:
        self._modes(super().reset_mode, modes, kwargs, on=False)

    def _modes(self, change: Any, modes: tuple[int, ...], kwargs: dict[str, Any], *, on: bool) -> None:
        if not kwargs.get("private"):
            change(*(mode for mode in modes if mode in (4, 20)))
            return
        if _OTHER & set(modes) and on != self.alternate:
            self._swap()
        change(*(mode for mode in modes if mode in _MODES), private=True)

    def _swap(self) -> None:
        """Go to the other screen, which begins empty, or back to what stood on the usual one."""
        if self._usual is None:
            self._usual = (self.buffer, copy(self.cursor))
            self.buffer = type(self.buffer)(self.buffer.default_factory)  # type: ignore[attr-defined]
        else:
            (self.buffer, self.cursor), self._usual = self._usual, None
            self.ensure_hbounds()
            self.ensure_vbounds()
        self.margins = None
        self.dirty.update(range(self.lines))

    def bell(self, *_: Any) -> None:
        self.rang = True

    def write_process_input(self, data: str) -> None:
        self.answers.append(data)

    # What pyte does not do

    def scroll_up(self, count: int = 1, *_: int) -> None:
        """Move everything up, as if so many lines had come at the bottom."""
        place = copy(self.cursor)
        bottom = self.margins.bottom if self.margins else self.lines - 1
        for _each in range(min(count or 1, self.lines)):
            self.cursor.y = bottom
            self.index()
        self.cursor.y, self.cursor.x = place.y, place.x

    def scroll_down(self, count: int = 1, *_: int) -> None:
        """Move everything down."""
        place = copy(self.cursor)
        for _each in range(min(count or 1, self.lines)):
            self.cursor.y = self.margins.top if self.margins else 0
            self.reverse_index()
        self.cursor.y, self.cursor.x = place.y, place.x

    def keep_cursor(self, *_: int) -> None:
        """Remember where the cursor is."""
        self.save_cursor()

    def take_cursor(self, *_: int) -> None:
        """Put the cursor where it was remembered."""
        self.restore_cursor()

    def repeat(self, count: int = 1, *_: int) -> None:
        """Draw the character in front of the cursor again."""
        before = self.buffer[self.cursor.y][self.cursor.x - 1].data if self.cursor.x else ""
        if before:
            self.draw(before * min(count or 1, self.columns))


class _Stream(pyte.Stream):
    """pyte's reading, with three sequences more."""

    csi = {**pyte.Stream.csi, **_MORE}  # noqa: RUF012 - as pyte has it


class Screen:
    """What one terminal shows, and what of it was not told yet."""

    def __init__(self, columns: int, rows: int) -> None:
        self._canvas = _Canvas(_side(columns), _side(rows))
        self._stream = _Stream(self._canvas)
        self._sieve = Sieve()
        self._told: dict[int, str] = {}
        self.broken = 0

    @property
    def paste(self) -> bool:
        """Tell whether the program wants to be told what is pasted."""
        return _PASTE in self._canvas.mode

    @property
    def size(self) -> tuple[int, int]:
        """Return rows and columns."""
        return self._canvas.lines, self._canvas.columns

    def feed(self, raw: bytes) -> str:
        """Take what the program wrote; return what a terminal answers to it.

        A sequence that pyte stumbles over is passed over and counted (``broken``); what stands behind it is not lost.
        """
        for part in self._sieve.feed(raw).splitlines(keepends=True):
            try:
                self._stream.feed(part)
            except Exception:  # noqa: BLE001 - pyte's own, upon what no program should write; the screen goes on
                self.broken += 1
        answers, self._canvas.answers = "".join(self._canvas.answers), []
        return answers

    def resize(self, columns: int, rows: int) -> None:
        """Take another size; who draws is told by its own terminal."""
        self._canvas.resize(_side(rows), _side(columns))
        self._canvas.ensure_hbounds()
        self._canvas.ensure_vbounds()
        self._told = {number: text for number, text in self._told.items() if number < self._canvas.lines}

    def drawn(self, *, lines: bool = False) -> Drawn:
        """Return what has changed since this was asked last; ``lines``: the system gathers lines for the program."""
        canvas = self._canvas
        changed = tuple(
            (number, text)
            for number in sorted(canvas.dirty)
            if number < canvas.lines and self._told.get(number, "") != (text := canvas.row(number))
        )
        canvas.dirty.clear()
        self._told.update(changed)
        left, lost, rang = tuple(canvas.left), canvas.lost, canvas.rang
        canvas.left.clear()
        canvas.lost, canvas.rang = 0, False
        return Drawn(
            changed=changed,
            cursor=(canvas.cursor.y, min(canvas.cursor.x, canvas.columns - 1)),
            size=self.size,
            left=left,
            lost=lost,
            paste=self.paste,
            lines=lines,
            alternate=canvas.alternate,
            title=self._sieve.title,
            bell=rang,
        )


def _side(given: int) -> int:
    return max(MIN_SIDE, min(given, MAX_SIDE))
