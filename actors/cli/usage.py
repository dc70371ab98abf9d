"""``tabwire usage``: the ledger as a table, what it costs, and where each figure comes from."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast

from actors.cli import bus
from actors.cli.failures import USAGE, CommandFailedError
from actors.cli.output import draw, line_width, say, show_json
from actors.cli.text import printable, short_ids, short_path
from schemas.commands import ListUsage
from schemas.events import Usage
from schemas.provider_rows import UsageRecord, UsageRow, UsageTable

if TYPE_CHECKING:
    from rich.table import Table

By = Literal["session", "provider", "model", "project", "day"]
BY: Final = ("session", "provider", "model", "project", "day")
AUDITED: Final = 200
_UNKNOWN: Final = "-"
_NUMBERS: Final = ("input", "cached", "output", "reasoning", "total", "responses", "failures", "cost")


def show_usage(*, by: str, since: str | None, session: str | None, audit: bool, json: bool) -> None:
    """Print the ledger.

    Raises:
        CommandFailedError: nothing can be summed by this, or that is no day.

    """
    if by not in BY:
        raise CommandFailedError(f"nothing can be summed by {by!r}: choose one of {', '.join(BY)}", USAGE)
    asked = ListUsage(by=cast("By", by), since=_day(since), session=session or "", audit=AUDITED if audit else 0)
    table: UsageTable = bus.ask(asked)
    if json:
        show_json(table)
        return
    if table.rows:
        draw(_audit(table) if audit else _sums(table))
    else:
        say("no response is known yet; start an agent with: tabwire run -- codex")
    for line in notes(table):
        say(line)


def notes(table: UsageTable) -> list[str]:
    """Say what the figures do not: what has no price, what was told differently, what is left out."""
    total = table.total
    said = []
    if total.unpriced:
        said.append(
            f'{_counted(total.unpriced, "response")} without a price: set [providers.<id>.prices."<model>"] in config.toml'
        )
    if total.from_transcripts:
        said.append(f"{_counted(total.from_transcripts, 'response')} known from the agents' own files alone (agent:…)")
    if total.differing:
        verb = "is" if total.differing == 1 else "are"
        said.append(f"{_counted(total.differing, 'response')} {verb} told differently by request and file: see --audit")
    if total.cancellations:
        said.append(f"{_counted(total.cancellations, 'request')} cancelled; what was used until then is counted")
    if table.before:
        said.append(f"days through {table.before} are kept as one sum, without sessions and projects")
    if table.omitted:
        said.append(f"{_counted(table.omitted, 'row')} left out")
    if table.prices:
        said.append(table.prices)
    said.append(f"as of position {table.as_of.position}; days are those of UTC on which a response was recorded")
    return said


def _day(text: str | None) -> str:
    if not text:
        return ""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise CommandFailedError(f"--since {text!r} is no day; write it like 2026-11-21", USAGE) from None


def _sums(table: UsageTable) -> Table:
    drawn = _table(table.by, _NUMBERS)
    names = _names(table)
    for row in table.rows:
        drawn.add_row(printable(names.get(row.key, row.key) or _UNKNOWN), *_cells(row))
    if len(table.rows) > 1 or table.omitted:
        drawn.add_section()
        drawn.add_row("total", *_cells(table.total))
    return drawn


def _cells(row: UsageRow) -> list[str]:
    return [*_tokens(row.usage), f"{row.responses:,}", f"{row.failures:,}", _cost(row)]


def _tokens(usage: Usage) -> list[str]:
    return [f"{n:,}" for n in (usage.input, usage.cached_input, usage.output, usage.reasoning, usage.total)]


def _cost(row: UsageRow) -> str:
    """Write what is known to be spent; ``+ ?`` where some of it has no price."""
    if row.cost_usd is None:
        return "?" if row.unpriced else _UNKNOWN
    return f"${row.cost_usd:,.4f}{' + ?' if row.unpriced else ''}"


def _names(table: UsageTable) -> dict[str, str]:
    """Shorten what people recognize anyway, on a terminal only."""
    if line_width() is None:
        return {}
    if table.by == "project":
        return {row.key: short_path(row.key, str(Path.home())) for row in table.rows}
    return short_ids(row.key for row in table.rows if row.key) if table.by == "session" else {}


def _audit(table: UsageTable) -> Table:
    drawn = _table("response", ("input", "cached", "output", "reasoning", "total"), ("told by", "session", "provider", "model"))
    for record in table.records:
        drawn.add_row(
            printable(record.response),
            *_tokens(record.usage),
            printable(_told_by(record)),
            *(printable(text or _UNKNOWN) for text in (record.session, record.provider, record.model)),
        )
    return drawn


def _told_by(record: UsageRecord) -> str:
    if record.request_usage is None:
        return "transcript"
    if record.transcript_usage is None:
        return "request"
    if not record.differing:
        return "both"
    one, other = record.request_usage, record.transcript_usage
    names = {"input": "input", "cached_input": "cached", "output": "output", "reasoning": "reasoning", "total": "total"}
    apart = [(name, getattr(one, field), getattr(other, field)) for field, name in names.items()]
    told = ", ".join(f"{name} {first:,} and {second:,}" for name, first, second in apart if first != second)
    return f"both, differing (request and transcript): {told}"


def _table(first: str, numbers: tuple[str, ...], words: tuple[str, ...] = ()) -> Table:
    from rich import box  # noqa: PLC0415 - rich is slow to load; JSON needs none
    from rich.table import Table  # noqa: PLC0415

    full = line_width() is None
    drawn = Table(box=None if full else box.SIMPLE_HEAD, pad_edge=False, expand=False)
    drawn.add_column(first, overflow="fold", no_wrap=full)
    for name in numbers:
        drawn.add_column(name, justify="right", no_wrap=True)
    for name in words:
        drawn.add_column(name, overflow="fold", no_wrap=full)
    return drawn


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
