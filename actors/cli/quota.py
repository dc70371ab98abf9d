"""``tabwire quota``: how much of their quota windows providers said is used, and when these are open again."""

from __future__ import annotations

from typing import Final

from actors.cli import bus
from actors.cli.output import draw, line_width, say, show_json
from actors.cli.text import age, printable
from schemas.commands import ListQuotas
from schemas.provider_rows import QuotaRow, QuotaTable

_UNKNOWN: Final = "-"
_COLUMNS: Final = ("provider", "window", "used", "resets in", "source", "observed")
_LENGTHS: Final = {1440: "daily", 10_080: "weekly", 43_200: "monthly", 44_640: "monthly"}
_HOUR: Final = 60
_DAY: Final = 1440
_NAMELESS: Final = frozenset({"codex", "primary", "secondary", "unified"})


def show_quota(*, json: bool) -> None:
    """Print every quota window that is known."""
    table: QuotaTable = bus.ask(ListQuotas())
    if json:
        show_json(table)
    elif table.quotas:
        _draw(table)
    else:
        say("no provider has told of a quota yet; they do in their answers to requests, and Codex in its own files")


def _draw(table: QuotaTable) -> None:
    from rich import box  # noqa: PLC0415 - rich is slow to load; JSON needs none
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    full = line_width() is None
    drawn = Table(box=None if full else box.SIMPLE_HEAD, pad_edge=False, expand=False)
    for name in _COLUMNS:
        drawn.add_column(name, overflow="fold", no_wrap=full)
    for row in table.quotas:
        style = "red" if row.exhausted else "dim" if row.reset else ""
        drawn.add_row(*(Text(printable(cell), style=style) for cell in cells(row, table.as_of.time)))
    draw(drawn)


def cells(row: QuotaRow, now: str) -> tuple[str, ...]:
    """Return a row's cells, as of a time."""
    resets = _UNKNOWN
    if row.resets_at:
        resets = f"{age(row.resets_at, now)} ago" if row.reset else age(now, row.resets_at)
    return row.provider, window(row), used(row), resets, row.source, f"{age(row.observed, now)} ago"


def window(row: QuotaRow) -> str:
    """Name a window by its length, and by its limit where that is more than one of the usual slots."""
    length = _length(row.minutes)
    if not length:
        return row.window
    return length if row.window in _NAMELESS or row.window.startswith("unified") else f"{row.window}, {length}"


def used(row: QuotaRow) -> str:
    """Say how much is used; nothing is known to be once the reset has passed."""
    if row.reset:
        return "reset"
    said = []
    if row.used_percent is not None:
        said.append(f"{row.used_percent:.4g} %")
    if row.remaining is not None:
        said.append(f"{row.remaining:,}{f' of {row.limit:,}' if row.limit is not None else ''} left")
    told = ", ".join(said) or _UNKNOWN
    return (f"exhausted ({told})" if said else "exhausted") if row.exhausted else told


def _length(minutes: int | None) -> str:
    if not minutes:
        return ""
    if minutes in _LENGTHS:
        return _LENGTHS[minutes]
    if minutes % _DAY == 0:
        return f"{minutes // _DAY} d"
    return f"{minutes // _HOUR} h" if minutes % _HOUR == 0 else f"{minutes} min"
