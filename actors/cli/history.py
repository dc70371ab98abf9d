"""``tabwire history``: past sessions from the agents' own files, as a table, as JSON, or one of them in full."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from actors.cli import past
from actors.cli.failures import FAILURE, USAGE, CommandFailedError
from actors.cli.output import draw, line_width, say, show, show_json
from actors.cli.text import age, short_path, unique_beginnings
from actors.transcripts.tree import Agent, Found
from bus.source import rfc3339
from schemas.rows import HistoryDetail, HistoryRow, HistoryTable

_CANDIDATES: Final = 8
_KIB: Final = 1024


def show_history(*, json: bool, agent: str | None, cwd: str | None, archived: bool, limit: int, preview: bool) -> None:
    """Print the latest sessions.

    Raises:
        CommandFailedError: an agent of which no files are read.

    """
    found = past.transcripts(os.environ, _agents(agent))
    folder = None if cwd is None else str(Path(cwd).resolve())
    wanted = found if archived else [one for one in found if not one.root.archive]
    page = past.page(wanted, limit, lambda row: folder is None or _below(row.cwd, folder))
    rows = page.rows
    if preview:
        rows = _previewed(rows, found)
    now = rfc3339(time.time_ns())
    table = HistoryTable(time=now, sessions=rows, files=len(wanted), unreadable=page.unreadable, more=page.more)
    if json:
        show_json(table)
        return
    if not rows:
        say("no session was found" + ("" if found else f" below {' or '.join(past.homes(os.environ).values())}"))
    else:
        _print(table, found, archived=archived)
    for line in _footer(table):
        say(line)


def show_one(prefix: str, *, json: bool, preview: bool) -> None:
    """Print one session, read to its end.

    Raises:
        CommandFailedError: no session, or more than one, begins like that; or its file says nothing.

    """
    found = past.transcripts(os.environ)
    one = named(found, prefix)
    detail = past.detail(one, found)
    if detail is None:
        raise CommandFailedError(f"{one.path}: its first line does not say whose it is, so it is no session's")
    if preview:
        from dataclasses import replace  # noqa: PLC0415

        detail = replace(detail, row=_previewed((detail.row,), (one,))[0])
    if json:
        show_json(detail)
        return
    for line in detail_lines(detail, rfc3339(time.time_ns())):
        show(line)


def named(found: Sequence[Found], prefix: str) -> Found:
    """Find the one session that a prefix names.

    Raises:
        CommandFailedError: none, or several, which are listed.

    """
    try:
        return past.look_up(found, prefix)
    except past.UnknownThreadError:
        raise CommandFailedError(
            f"{prefix!r}: no past session's id begins with it; `tabwire history --archived` lists them", FAILURE
        ) from None
    except past.AmbiguousThreadError as error:
        listed = "; ".join(_candidate(one) for one in error.candidates[:_CANDIDATES])
        rest = len(error.candidates) - _CANDIDATES
        more = f"; and {rest} more" if rest > 0 else ""
        raise CommandFailedError(f"{prefix!r} names {len(error.candidates)} sessions: {listed}{more}", USAGE) from None


def detail_lines(detail: HistoryDetail, now: str) -> Iterator[str]:
    """Write one session: its file, where it comes from, what was done in it."""
    row = detail.row
    kept = ", ".join(word for word, holds in (("archived", row.archived), ("compressed", row.compressed)) if holds)
    yield f"{row.thread}  {row.agent}  {row.thread_kind}{f'  {kept}' if kept else ''}"
    yield f"  file      {row.path} ({_size(row.size)})"
    yield f"  created   {row.created or '?'}, changed {age(row.changed, now)} ago"
    git = " ".join(part for part in (row.git_branch, (row.git_commit or "")[:12]) if part)
    yield f"  folder    {row.cwd or '-'}{f' (git {git})' if git else ''}"
    if row.origin or row.originator:
        yield f"  from      {' '.join(part for part in (row.origin, row.originator, row.agent_version) if part)}"
    providers = ", ".join(dict.fromkeys((*((row.agent_provider,) if row.agent_provider else ()), *detail.providers)))
    yield f"  provider  {providers or '-'} (as the file claims); models: {', '.join(detail.models) or '-'}"
    codes = f" ({', '.join(detail.failure_codes)})" if detail.failure_codes else ""
    ended = f"{detail.completed} completed, {detail.aborted} aborted, {detail.failed} failed{codes}"
    worked = f", {timedelta(seconds=round(detail.working_ms / 1000))} at work" if detail.working_ms else ""
    yield f"  turns     {detail.turns}: {ended}{worked}"
    if detail.usage is not None:
        yield f"  tokens    in {detail.usage.input} (cached {detail.usage.cached_input}), out {detail.usage.output}"
    if row.forked_from:
        yield f"  forked    from {row.forked_from.partition(':')[2]}"
    if row.parent_thread:
        yield f"  inside    {row.conversation.partition(':')[2]}, begun by {row.parent_thread}"
    for thread in detail.threads:
        yield f"  thread    {thread.thread}  {thread.thread_kind}"
    if detail.rejected_lines:
        yield f"  skipped   {detail.rejected_lines} lines that could not be read"
    if row.title:
        yield f"  title     {row.title}"
    if row.preview:
        yield f"  preview   {row.preview}"
    if row.agent == "codex" and row.thread_kind == "main" and not row.archived:
        yield f"  go on     tabwire run codex resume {row.thread}"


def _agents(agent: str | None) -> tuple[Agent, ...]:
    if agent is None:
        return past.AGENTS
    chosen = tuple(one for one in past.AGENTS if one == agent)
    if not chosen:
        raise CommandFailedError(f"--agent {agent!r}: files are read of {', '.join(past.AGENTS)}", USAGE)
    return chosen


def _below(cwd: str | None, folder: str) -> bool:
    return cwd is not None and (cwd == folder or cwd.startswith(folder.rstrip(os.sep) + os.sep))


def _previewed(rows: Sequence[HistoryRow], found: Sequence[Found]) -> tuple[HistoryRow, ...]:
    from actors.cli.preview import with_preview  # noqa: PLC0415 - nobody else reads what was typed

    by_path = {one.path: one for one in found}
    return tuple(with_preview(row, by_path[row.path]) for row in rows)


def _candidate(found: Found) -> str:
    try:
        row = past.row_of(found)
    except OSError:
        row = None
    where = f" in {row.cwd}" if row is not None and row.cwd else ""
    archived = ", archived" if found.root.archive else ""
    return f"{found.name.thread} ({found.root.agent}{where}{archived})"


def _print(table: HistoryTable, found: Sequence[Found], *, archived: bool) -> None:
    from rich import box  # noqa: PLC0415 - --json does without
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from actors.cli.text import printable  # noqa: PLC0415

    full = line_width() is None
    home = "" if full else str(Path.home())
    shown = [row.thread for row in table.sessions]
    short = {} if full else unique_beginnings(shown, (one.name.thread for one in found))
    previews = any(row.preview or row.title for row in table.sessions)
    drawn = Table(box=None if full else box.SIMPLE_HEAD, pad_edge=False)
    for column in ("session", "agent", "changed", "claimed", "from", "folder", *(("said",) if previews else ())):
        drawn.add_column(column, overflow="fold", no_wrap=full or column in ("session", "agent", "changed"))
    for row in table.sessions:
        origin = " ".join(part for part in (row.origin or "-", "archived" if row.archived and archived else "") if part)
        cells = [
            short.get(row.thread, row.thread),
            row.agent,
            row.changed[:19] + "Z" if full else age(row.changed, table.time),
            row.agent_provider or "-",
            origin,
            short_path(row.cwd or "-", home),
        ]
        if previews:
            cells.append(row.title or row.preview or "-")
        drawn.add_row(*(Text(printable(cell)) for cell in cells))
    draw(drawn)


def _footer(table: HistoryTable) -> Iterator[str]:
    if table.more:
        yield f"the latest {len(table.sessions)} out of {table.files} files; --limit shows more"
    if table.unreadable:
        files = "file" if table.unreadable == 1 else "files"
        yield f"{table.unreadable} {files} could not be read as sessions and were passed over"


def _size(size: int) -> str:
    if size < _KIB:
        return f"{size} bytes"
    return f"{size / _KIB:.0f} KiB" if size < _KIB * _KIB else f"{size / _KIB / _KIB:.1f} MiB"
