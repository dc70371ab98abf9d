"""Quota windows as they were last told, by answers to requests or by transcripts. Pure.

A window is known by its provider, the limit's name and its length: Codex's backend puts windows of different lengths into the
slots ``primary`` and ``secondary`` as it likes, so a slot is no name. What a transcript tells is of the account that the agent
itself is logged in to: it counts for the agent's own provider, behind ``agent:``. What was observed earlier never replaces what
was observed later, in whichever order the two were recorded. A window whose reset has passed is open again, whatever was used.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from actors.registry.statements import moment
from schemas.events import ProviderQuotaObserved, TranscriptQuotaObserved
from schemas.provider_rows import QuotaRow

_SLOTS: Final = frozenset({"primary", "secondary"})
_ALL: Final = 100.0
Key = tuple[str, str, int]


class Quotas:
    """All windows; beyond the bound the one that was told of longest ago goes."""

    __slots__ = ("_limit", "windows")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.windows: dict[Key, QuotaRow] = {}

    def told(self, row: QuotaRow) -> None:
        """Take what was told of a window."""
        key = (row.provider, "" if row.window in _SLOTS and row.minutes else row.window, row.minutes or 0)
        known = self.windows.pop(key, None)
        if known is not None and _later(known.observed, row.observed):
            row = known
        elif known is None and len(self.windows) >= self._limit:
            del self.windows[next(iter(self.windows))]
        self.windows[key] = row


def observed(quotas: Quotas, time: str, data: ProviderQuotaObserved) -> None:
    """Take what a provider told in an answer."""
    quotas.told(
        QuotaRow(
            provider=data.provider,
            window=data.window,
            observed=time,
            source=data.source,
            used_percent=data.used_percent,
            limit=data.limit,
            remaining=data.remaining,
            minutes=data.minutes,
            resets_at=data.resets_at,
            exhausted=data.exhausted or (data.used_percent or 0.0) >= _ALL or data.remaining == 0,
        )
    )


def transcribed(quotas: Quotas, time: str, data: TranscriptQuotaObserved) -> None:
    """Take what a transcript tells of the agent's own account."""
    provider = data.agent_provider or data.session.partition("-")[0]
    quotas.told(
        QuotaRow(
            provider=f"agent:{provider}",
            window=data.window,
            observed=data.at or time,
            source="transcript",
            used_percent=data.used_percent,
            minutes=data.minutes,
            resets_at=data.resets_at,
            exhausted=data.used_percent >= _ALL,
        )
    )


def quota_rows(quotas: Quotas, now: str) -> tuple[QuotaRow, ...]:
    """Return every window as it is now: exhausted ones first, then by provider and length."""
    present = moment(now)
    rows = [_now(row, present) for row in quotas.windows.values()]
    return tuple(sorted(rows, key=lambda row: (not row.exhausted, row.provider, row.minutes or 0, row.window)))


def _now(row: QuotaRow, present: datetime | None) -> QuotaRow:
    resets = moment(row.resets_at) if row.resets_at else None
    if resets is None or present is None or resets > present:
        return row
    return QuotaRow(
        provider=row.provider,
        window=row.window,
        observed=row.observed,
        source=row.source,
        limit=row.limit,
        minutes=row.minutes,
        resets_at=row.resets_at,
        reset=True,
    )


def _later(one: str, other: str) -> bool:
    first, second = moment(one), moment(other)
    return first is not None and second is not None and first > second
