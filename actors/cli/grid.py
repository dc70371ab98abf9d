"""A plain table of words, for lists that need no layout of their own."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from actors.cli.output import line_width
from actors.cli.text import printable


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table that folds long words on a terminal and nothing elsewhere; an empty last column is left out."""
    drawn = Table(box=None if line_width() is None else box.SIMPLE_HEAD, pad_edge=False, expand=False)
    kept = len(columns) if any(row[-1] for row in rows) else len(columns) - (not columns[-1])
    for column in columns[:kept]:
        drawn.add_column(column, overflow="fold", no_wrap=line_width() is None)
    for row in rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row[:kept]))
    return drawn
