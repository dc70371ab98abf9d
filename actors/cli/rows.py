"""The sessions table as people see it: pure functions from rows to a rich table.

Verified sessions stand first. What is unproven is counted in one row, and what is gone in another, unless everything is
asked for. Must not know where rows come from: ``sessions``, ``replay`` and the demo show them the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from actors.cli.text import age, printable, short_ids, short_path, short_terminal
from schemas.rows import SessionRow, SessionTable

COLUMNS = ("session", "agent", "provider", "preferred", "terminal", "folder", "state")
_STYLES = {"verified": "green", "unverified": "yellow"}
_NONE = "-"


@dataclass(frozen=True, slots=True)
class View:
    """How a table is to be shown: everything or a summary, in full or shortened for a narrow terminal."""

    everything: bool = False
    full: bool = False
    home: str = ""


def sessions_table(table: SessionTable, view: View) -> Table:
    """Return the table; its last rows count what is not listed."""
    drawn = Table(box=box.SIMPLE_HEAD if not view.full else None, pad_edge=False, expand=False)
    for column in COLUMNS:
        drawn.add_column(column, overflow="fold", no_wrap=view.full or column in ("session", "agent"))
    listed, unproven, gone = sort_out(table.sessions, everything=view.everything)
    short = short_ids(name for row in table.sessions for name in (row.session, *row.aliases))
    for row in listed:
        drawn.add_row(*_cells(row, table.as_of.time, view, short))
    if unproven:
        drawn.add_row(*_summary(unproven, "unverified", "--all lists them"), style="dim")
    if gone:
        drawn.add_row(*_summary(gone, "gone", "--all lists them"), style="dim")
    return drawn


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
    return "; ".join(parts)


def _cells(row: SessionRow, now: str, view: View, short: dict[str, str]) -> list[Text]:
    name = row.session if view.full else short[row.session]
    terminal = row.terminal or _NONE
    cwd = row.cwd or _NONE
    preferred = "/".join(part for part in (row.preferred_provider, row.preferred_model) if part) or _NONE
    values = [
        name,
        row.agent,
        row.routing_provider or _NONE,
        preferred,
        terminal if view.full else short_terminal(terminal),
        cwd if view.full else short_path(cwd, view.home),
    ]
    cells = [Text(printable(value)) for value in values]
    state = Text(row.verdict, style="dim" if row.activity == "gone" else _STYLES[row.verdict])
    state.append(f", {row.activity} {age(row.last_seen, now)}", style="")
    if row.conflicts:
        state.append(f", {row.conflicts} conflicts", style="red")
    return [*cells, state]


def _summary(rows: Sequence[SessionRow], what: str, advice: str) -> list[Text]:
    agents = ", ".join(f"{agent} {count}" for agent, count in sorted(Counter(row.agent for row in rows).items()))
    return [Text(printable(value)) for value in (f"{len(rows)} {what}", agents, "", "", "", "", advice)]
