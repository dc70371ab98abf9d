"""What Codex writes down of the quota windows of its account, beside the tokens of each response: pure.

The slots ``primary`` and ``secondary`` hold windows of any length, so a window is named by its limit and told with its length.
Only what has changed since the line before is told again. Must not know the other lines of a rollout.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw, Struct

from actors.transcripts.facts import Fact, Limit, RejectedError, Spot, Thread, Told, Word, decoded, moment, printable
from schemas.events import TranscriptQuotaObserved
from schemas.identity import SessionId

_NAME: Final = "codex"
_SAME_SECONDS: Final = 90
_MOST: Final = 16
_LATEST: Final = 4_102_444_800  # the year 2100


class _Window(Struct):
    used_percent: Annotated[float, Meta(ge=0, le=1e6)]
    window_minutes: Annotated[int, Meta(ge=0, le=1 << 32)] | None = None
    resets_at: Annotated[int, Meta(ge=0, le=_LATEST)] | None = None
    resets_in_seconds: Annotated[int, Meta(ge=0, le=_LATEST)] | None = None


class _Limits(Struct):
    limit_id: Word | None = None
    primary: _Window | None = None
    secondary: _Window | None = None


_LIMITS: Final = msgspec.json.Decoder(_Limits)


def told(thread: Thread, spot: Spot, raw: Raw) -> Told:
    """Tell the windows that have changed.

    Raises:
        RejectedError: the line cannot be read.

    """
    if bytes(raw) in (b"", b"null"):
        return thread, ()
    limits: _Limits = decoded(_LIMITS, raw)
    name = printable(limits.limit_id or _NAME, "limit")
    found = [_limit(name, window, spot) for window in (limits.primary, limits.secondary) if window is not None]
    known = {(one.name, one.minutes): one for one in thread.limits}
    changed = [one for one in found if not _same(known.get((one.name, one.minutes)), one)]
    if not changed:
        return thread, ()
    after = {**known, **{(one.name, one.minutes): one for one in changed}}
    facts = tuple(_fact(thread, spot, one) for one in changed)
    return msgspec.structs.replace(thread, limits=tuple(after.values())[-_MOST:]), facts


def _limit(name: str, window: _Window, spot: Spot) -> Limit:
    resets = window.resets_at or 0
    if not resets and window.resets_in_seconds is not None:
        written = datetime.fromisoformat(moment(spot.timestamp))
        resets = int((written + timedelta(seconds=window.resets_in_seconds)).timestamp())
        if resets > _LATEST:
            raise RejectedError("a quota window is reset at a time that cannot be believed")
    return Limit(name=name, minutes=window.window_minutes or 0, used=window.used_percent, resets=resets)


def _same(known: Limit | None, found: Limit) -> bool:
    return known is not None and known.used == found.used and abs(known.resets - found.resets) <= _SAME_SECONDS


def _fact(thread: Thread, spot: Spot, limit: Limit) -> Fact:
    return TranscriptQuotaObserved(
        session=SessionId(thread.session),
        file=spot.place.file,
        offset=spot.end,
        thread=thread.thread,
        window=limit.name,
        used_percent=limit.used,
        minutes=limit.minutes or None,
        resets_at=f"{datetime.fromtimestamp(limit.resets, UTC):%Y-%m-%dT%H:%M:%SZ}" if limit.resets else "",
        at=moment(spot.timestamp),
        agent_provider=printable(thread.settings.agent_provider, "provider"),
    )
