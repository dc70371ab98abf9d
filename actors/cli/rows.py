"""The sessions table as people see it: pure functions from rows to what rich prints.

Verified sessions are listed. What is unproven is one line that counts it, and what is gone another, unless everything is
asked for. There are three layouts: *full* for pipes and files (nothing shortened, one line a row), *wide*, and *narrow* for
80 columns, where a second line below each row holds what has no column of its own.
Must not know where rows come from: ``sessions``, ``replay`` and the demo show them the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from actors.cli.text import printable, short_ids, short_path, short_terminal, state_words
from schemas.rows import SessionRow, SessionTable

COLUMNS: Final = ("session", "agent", "claimed", "provider", "preferred", "terminal", "folder", "state")
NARROW_COLUMNS: Final = ("session", "agent", "provider", "terminal", "state")
WIDE_FROM: Final = 140
_STYLES: Final = {"verified": "green", "unverified": "yellow"}
_NEEDS_YOU: Final = ("waiting_permission", "waiting_input", "error")
_NONE: Final = "-"

Layout = Literal["full", "wide", "narrow"]


@dataclass(frozen=True, slots=True)
class View:
    """How a table is to be shown: everything or a summary, in which layout, for whose home folder."""

    everything: bool = False
    layout: Layout = "wide"
    home: str = ""

    @property
    def full(self) -> bool:
        """Tell whether nothing is shortened."""
        return self.layout == "full"


@dataclass(frozen=True, slots=True)
class _Names:
    """What sessions are called in one table: ids as their agents show them, whole or as short as they stay unique."""

    own: Mapping[str, str]
    short: Mapping[str, str]

    def of(self, session: str) -> str:
        own = self.own.get(session, session)
        return self.short.get(own, own)


def layout_for(width: int | None) -> Layout:
    """Choose by the terminal's width; None is no terminal."""
    if width is None:
        return "full"
    return "wide" if width >= WIDE_FROM else "narrow"


def sessions_table(table: SessionTable, view: View) -> Group:
    """Return the table, and below it a line for the sessions that it counts without listing them."""
    listed, unproven, gone = sort_out(table.sessions, everything=view.everything)
    names = _names(table.sessions, view)
    draw = _lines if view.layout == "narrow" else _columns
    summary = (Text(line, style="dim") for line in (_counted(unproven, "unverified"), _counted(gone, "gone")) if line)
    return Group(*draw(listed, table.as_of.time, view, names), *summary)


def _columns(rows: Sequence[SessionRow], now: str, view: View, names: _Names) -> Iterator[RenderableType]:
    """Draw a column for everything."""
    drawn = Table(box=None if view.full else box.SIMPLE_HEAD, pad_edge=False, expand=False)
    for column in COLUMNS[:-1]:
        drawn.add_column(column, overflow="fold", no_wrap=view.full or column in ("session", "agent"))
    drawn.add_column(COLUMNS[-1], overflow="fold", no_wrap=view.full)
    for row in rows:
        terminal, cwd = row.terminal or _NONE, row.cwd or _NONE
        cells = [
            names.of(row.session),
            row.agent,
            row.agent_provider or _NONE,
            row.routing_provider or _NONE,
            _preferred(row) or _NONE,
            terminal if view.full else short_terminal(terminal),
            cwd if view.full else short_path(cwd, view.home),
        ]
        state = _state(row, now)
        for said in _details(row, names):
            state.append(f", {printable(said)}", style="dim")
        drawn.add_row(*(Text(printable(cell)) for cell in cells), state)
    yield drawn


def _lines(rows: Sequence[SessionRow], now: str, view: View, names: _Names) -> Iterator[RenderableType]:
    """Draw two lines a row: what is looked for first, and below it the rest."""
    cells = [NARROW_COLUMNS[:-1]]
    cells += [(names.of(row.session), row.agent, row.routing_provider or _NONE, _terminal(row)) for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    yield Text(f"{_padded(cells[0], widths)}{NARROW_COLUMNS[-1]}", style="bold")
    for row, first in zip(rows, cells[1:], strict=True):
        yield Text(_padded(first, widths)).append(_state(row, now))
        said = [short_path(row.cwd, view.home)] if row.cwd else []
        said += [f"says {row.agent_provider}"] if row.agent_provider else []
        said += [f"prefers {_preferred(row)}"] if _preferred(row) else []
        below = "; ".join(printable(part) for part in (*said, *_details(row, names)))
        yield Padding(Text(below, style="dim"), (0, 0, 0, 2))


def sort_out(rows: Sequence[SessionRow], *, everything: bool) -> tuple[list[SessionRow], list[SessionRow], list[SessionRow]]:
    """Part rows into those to list and those only to count: unproven ones, and ones that are gone."""
    if everything:
        return sorted(rows, key=lambda row: (row.activity == "gone", row.verdict != "verified")), [], []
    gone = [row for row in rows if row.activity == "gone"]
    living = [row for row in rows if row.activity != "gone"]
    listed = [row for row in living if row.verdict == "verified"]
    return listed, [row for row in living if row.verdict != "verified"], gone


def footer(table: SessionTable) -> str:
    """Say what else the table holds, for the line below it."""
    parts = [f"as of position {table.as_of.position}, {table.as_of.time}"]
    if table.unattributed:
        parts.append(f"{table.unattributed} request{'s' if table.unattributed > 1 else ''} of unknown senders")
    if table.omitted:
        parts.append(f"{table.omitted} older session{'s' if table.omitted > 1 else ''} left out")
    return "; ".join(parts)


def banner_id(row: SessionRow) -> str:
    """Return a session's id as its agent shows it; one without a conversation has ours alone."""
    return row.conversation.partition(":")[2] if row.conversation else row.session


def _names(rows: Sequence[SessionRow], view: View) -> _Names:
    own: dict[str, str] = {row.session: banner_id(row) for row in rows}
    if view.full:
        return _Names(own, {})
    return _Names(own, short_ids(name for row in rows for name in (row.session, *row.aliases, own[row.session])))


def _state(row: SessionRow, now: str) -> Text:
    """Write the verdict, what the session does, and since when."""
    state = Text(row.verdict, style="dim" if row.activity == "gone" else _STYLES[row.verdict])
    attention = row.activity != "gone" and row.status in _NEEDS_YOU
    state.append(f", {printable(state_words(row, now))}", style="bold" if attention else "")
    if row.conflicts:
        state.append(f", {row.conflicts} conflict{'s' if row.conflicts > 1 else ''}", style="red")
    return state


def _details(row: SessionRow, names: _Names) -> Iterator[str]:
    """Say by whom the status is told (and why it wants attention), where the session comes from, and what would prove it."""
    if row.status_source and row.activity != "gone":
        wanted = row.status in _NEEDS_YOU and row.status_reason
        yield f"by {row.status_source}{f': {row.status_reason}' if wanted else ''}"
    if row.parent:
        yield f"{row.relation or 'started by'} {names.of(row.parent)}"
    if row.attached:
        yield f"attached ({row.attached})"
    if row.threads:
        yield f"{row.threads} thread{'s' if row.threads > 1 else ''} inside"
    if row.verdict == "unverified" and row.missing:
        yield row.missing[0]


def _preferred(row: SessionRow) -> str:
    return "/".join(part for part in (row.preferred_provider, row.preferred_model) if part)


def _terminal(row: SessionRow) -> str:
    return short_terminal(row.terminal) if row.terminal else _NONE


def _padded(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(set_cell_size(printable(cell), width) + "  " for cell, width in zip(cells, widths, strict=True))


def _counted(rows: Sequence[SessionRow], what: str) -> str:
    if not rows:
        return ""
    agents = ", ".join(f"{agent} {count}" for agent, count in sorted(Counter(row.agent for row in rows).items()))
    plural = "s" if len(rows) > 1 else ""
    return printable(f"{len(rows)} {what} session{plural} ({agents}): --all shows {'them' if plural else 'it'}")
