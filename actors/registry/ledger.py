"""The ledger's sums: what was used on a day, by a session, of a provider's model, for a project. Pure.

Theory of operation
-------------------
A *cell* sums what has its whole key in common: the day, the session, the provider, the model, the folder, and whether it was
auxiliary (a title, which belongs to no conversation and counts for its process or launch). A day is that of UTC on which the
fact was recorded in the journal. The provider is the gateway's own id; of what only a transcript tells, it is the agent's own
word for it behind ``agent:``, since that is a claim about somebody else's names. The model is the one that served, else the one
that was sent, else the one that was asked for.

Requests are added when they end, responses by ``usage``, which knows what was counted of each before and can move it.

Cells are bounded. When there are too many, the oldest day is folded into ``BEFORE``: providers and models stay apart, so that
it can still be priced, while day, session and project are given up. If one day alone is too much, what does not fit any more
is counted for that day without session and project.

Must not know which facts lead to what, nor prices.
"""

from __future__ import annotations

from typing import Final

Tokens = tuple[int, int, int, int, int]
"""Input, cached input (a part of it), output, reasoning (a part of that), total."""
Key = tuple[str, str, str, str, str, bool]
"""Day, session, provider, model, project, auxiliary."""

BEFORE: Final = "before"
NO_TOKENS: Final[Tokens] = (0, 0, 0, 0, 0)


class Cell:
    """One sum. ``transcribed`` of the responses were told by a transcript alone, of ``differing`` ones two sources disagree.

    ``into`` is the cell that it was folded into: whatever is counted or taken back here after that belongs there.
    """

    __slots__ = (
        "cached_input",
        "cancellations",
        "differing",
        "failures",
        "input",
        "into",
        "key",
        "output",
        "reasoning",
        "requests",
        "responses",
        "total",
        "transcribed",
    )

    def __init__(self, key: Key) -> None:
        self.key = key
        self.into: Cell | None = None
        self.input = self.cached_input = self.output = self.reasoning = self.total = 0
        self.responses = self.requests = self.failures = self.cancellations = 0
        self.transcribed = self.differing = 0

    def add(self, tokens: Tokens) -> None:
        """Count tokens."""
        self.input += tokens[0]
        self.cached_input += tokens[1]
        self.output += tokens[2]
        self.reasoning += tokens[3]
        self.total += tokens[4]

    def sum(self, other: Cell) -> None:
        """Add another cell's sums."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_SUMS: Final = tuple(name for name in Cell.__slots__ if name not in {"key", "into"})


class Ledger:
    """All cells. ``before`` is the last day that was folded into ``BEFORE``; empty while none was."""

    __slots__ = ("_limit", "before", "cells")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.cells: dict[Key, Cell] = {}
        self.before = ""

    def cell(self, key: Key) -> Cell:
        """Return the cell that a key is counted in, new if there was none."""
        cell = self.cells.get(key)
        if cell is not None:
            return cell
        key = self._folded(key)
        if key not in self.cells and len(self.cells) >= self._limit:
            self._make_room()
            key = self._folded(key)
            if key not in self.cells and len(self.cells) >= self._limit:
                key = (key[0], "", key[2], key[3], "", False)
        return self._begun(key)

    def _begun(self, key: Key) -> Cell:
        cell = self.cells.get(key)
        if cell is None:
            cell = self.cells[key] = Cell(key)
        return cell

    def _folded(self, key: Key) -> Key:
        """Return where a key is counted now that its day may be folded."""
        return (BEFORE, "", key[2], key[3], "", False) if key[0] <= self.before else key

    def _make_room(self) -> None:
        """Fold the oldest day, unless it is the only one."""
        days = {key[0] for key in self.cells} - {BEFORE}
        if len(days) > 1:
            self.before = min(days)
            for key in [key for key in self.cells if key[0] == self.before]:
                cell = self.cells.pop(key)
                cell.into = self._begun(self._folded(key))
                cell.into.sum(cell)


def standing(cell: Cell) -> Cell:
    """Return the cell that counts for a cell now."""
    while cell.into is not None:
        cell = cell.into
    return cell
