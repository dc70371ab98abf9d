"""``tabwire route explain``: where a session's next request would go, or which way a past one took, and why."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from actors.cli import gateway
from actors.cli.failures import USAGE, CommandFailedError
from actors.cli.output import show, show_json
from actors.cli.pins import session_table
from actors.cli.points import find_time
from actors.cli.tail import rows_of
from actors.cli.target import find_target
from actors.cli.text import moment
from actors.cli.trace import ENDS, trace_lines, trace_of
from actors.runtime.paths import Paths
from bus.journal import Journal
from schemas.codec import InvalidMessageError
from schemas.commands import ExplainRoute
from schemas.envelope import Recorded
from schemas.events import Dialect
from schemas.provider_rows import RoutePlan
from schemas.rows import SessionRow

_REQUEST: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{0,4}){0,3}(-[0-9a-f]{0,12})?")
_LATEST_FACT: Final = timedelta(hours=24)
_PAGE: Final = 1000
_FARTHEST: Final = 2_000_000
_SPEAKS: Final[dict[str, Dialect]] = {
    "claude": "anthropic.messages",
    "gemini": "gemini.generate",
    "auggie": "auggie",
    "opencode": "openai.chat",
    "qwen": "openai.chat",
}


def explain(target: str | None, *, cwd: str | None, model: str | None, json: bool) -> None:
    """Explain a session's next request, a past request, or the next request from a folder.

    Raises:
        CommandFailedError: neither is found, or several are.

    """
    if target is None:
        folder = find_target(cwd or ".", "project", None).key
        _show_plan(ExplainRoute(cwd=folder, model=model or ""), f"a request from {folder}", json=json)
        return
    table = session_table()
    rows = rows_of(target, table) if table is not None else []
    if len(rows) > 1:
        raise CommandFailedError(f"{target!r} names {len(rows)} sessions: {', '.join(row.session for row in rows)}", USAGE)
    if rows:
        _show_plan(_asked(rows[0], cwd, model), f"the next request of {rows[0].session}", json=json)
        return
    if not _REQUEST.fullmatch(target):
        raise CommandFailedError(f"{target!r} is no session (tabwire sessions --all) and no request's id (tabwire tail)", USAGE)
    _show_trace(target, json=json)


def _asked(row: SessionRow, cwd: str | None, model: str | None) -> ExplainRoute:
    return ExplainRoute(
        session=row.session,
        aliases=row.aliases,
        terminal=row.terminal or "",
        cwd=cwd or row.cwd or "",
        launch=row.launch or "",
        dialect=_SPEAKS.get(row.agent, "openai.responses"),
        model=model or row.requested_model or "",
    )


def _show_plan(command: ExplainRoute, about: str, *, json: bool) -> None:
    plan: RoutePlan = gateway.must_ask(command)
    if json:
        show_json(plan)
        return
    asked = f" ({command.dialect}{f', {command.model}' if command.model else ''})"
    if plan.provider is None:
        show(f"{about}{asked} would be refused: {plan.reason}")
    else:
        model = f"/{plan.model}" if plan.model else ""
        show(f"{about}{asked} would go to {plan.provider}{model}: {plan.reason}")
    if plan.pin:
        show(f"  pin: {plan.pin}")
    for one in plan.candidates:
        named = f"{one.provider}{f' as {one.model}' if one.model else ''}"
        if one.skipped:
            show(f"  passed over {named}: {one.skipped}")
        elif one.provider != plan.provider:
            show(f"  could stand in: {named}")
    for budget in plan.budgets:
        show(f"  budget: {budget}")


# ---------------------------------------------------------------------------------------------------- past requests


def _show_trace(target: str, *, json: bool) -> None:
    found = _find(target)
    if not found:
        raise CommandFailedError(
            f"no request's id begins with {target!r} in the journal, and no session's (tabwire tail --type request)", USAGE
        )
    if len(found) > 1:
        raise CommandFailedError(f"{target!r} names {len(found)} requests: {', '.join(sorted(found)[:10])}", USAGE)
    ((request, events),) = found.items()
    trace = trace_of(request, events)
    if json:
        show_json(trace)
    else:
        for line in trace_lines(trace):
            show(line)


def _find(prefix: str) -> dict[str, list[Recorded]]:
    """Read the facts of the requests whose ids begin so; an id holds the moment at which it was drawn."""
    first, last = _drawn(prefix)
    found: dict[str, list[Recorded]] = {}
    journal = Journal.open_readonly(Paths.default(os.environ).journal)
    try:
        waiting: set[str] = set()
        for event in _since(journal, first - timedelta(seconds=5)):
            request = event.envelope.correlationid or ""
            told = moment(event.stamp.recordedtime)
            if request.startswith(prefix):
                found.setdefault(request, []).append(event)
                waiting.add(request)
                if isinstance(event.envelope.data, ENDS):
                    waiting.discard(request)
            if told > last + timedelta(seconds=60) and (not waiting or told > last + _LATEST_FACT):
                break
    finally:
        journal.close()
    return found


def _drawn(prefix: str) -> tuple[datetime, datetime]:
    """Return the first and the last moment at which an id that begins so can have been drawn."""
    digits = prefix.replace("-", "")[:12]
    return tuple(  # type: ignore[return-value]
        datetime.fromtimestamp(min(int(digits.ljust(12, fill), 16) / 1000, 4e9), UTC) for fill in "0f"
    )


def _since(journal: Journal, time: datetime) -> Iterator[Recorded]:
    head, after = journal.head, 0
    search = find_time(max(1, journal.first), head, time)
    try:
        asked = next(search)
        while True:
            rows = journal.read(asked, 1).rows
            asked = search.send(rows[0].recorded().stamp.recordedtime if rows else None)
    except StopIteration as place:
        after = int(place.value)
    end = min(head, after + _FARTHEST)
    while after < end:
        page = journal.read(after, _PAGE)
        for row in page.rows:
            try:
                yield row.recorded()
            except InvalidMessageError:
                continue  # of a type that this version cannot read: not a fact of a request that it could explain
        after = page.through
