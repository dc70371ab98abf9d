"""What a terminal shows and what has just left it at the top, as one numbered text. Frozen; pure.

Lines are numbered from the terminal's first one on, over all that ever left, so that a line keeps its number as it moves up.
A program that clears the screen, or goes to the other one, breaks that; who reads has to know (``patterns``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from actors.terminal.contract import Drawn

MAX_PAST: Final = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """``rows`` are the screen's, ``top`` is the number of the first, ``past`` are lines above it, ``lost`` are not kept."""

    rows: tuple[str, ...] = ()
    top: int = 0
    past: tuple[str, ...] = ()
    lost: int = 0
    cursor: int = 0
    paste: bool = False
    lines: bool = False
    alternate: bool = False

    @property
    def bottom(self) -> int:
        """Return the number behind the last row's."""
        return self.top + len(self.rows)

    @property
    def text(self) -> str:
        """Return the screen, rows joined."""
        return "\n".join(row.removesuffix("\n") for row in self.rows)

    def between(self, first: int, last: int) -> Iterator[tuple[int, str]]:
        """Yield the lines that are known from one number to in front of another."""
        kept = self.top - len(self.past)
        for number in range(max(first, kept), min(last, self.bottom)):
            yield number, self.past[number - kept] if number < self.top else self.rows[number - self.top]

    def forgotten(self) -> Page:
        """Return the screen alone."""
        return replace(self, past=(), lost=0)


def turned(page: Page, drawn: Drawn) -> Page:
    """Return what is shown after this was drawn."""
    height = min(max(drawn.size[0], 0), 1_000)
    rows = [*page.rows[:height], *([""] * (height - len(page.rows)))]
    for number, text in drawn.changed:
        if 0 <= number < height:
            rows[number] = text
    lost = max(0, drawn.lost)
    past = (*(page.past if not lost else ()), *drawn.left)
    over = max(0, len(past) - MAX_PAST)
    return Page(
        rows=tuple(rows),
        top=page.top + lost + len(drawn.left),
        past=past[over:],
        lost=page.lost + (lost + len(page.past) if lost else 0) + over,
        cursor=min(max(drawn.cursor[0], 0), max(height - 1, 0)),
        paste=drawn.paste,
        lines=drawn.lines,
        alternate=drawn.alternate,
    )
