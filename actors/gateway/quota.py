"""What an answer's header tells of its provider's quota windows, in the words of OpenAI, Codex's backend and Anthropic.

A fact is told when a window changed noticeably: by a hundredth, in the time of its reset, or by being used up. A window of
minutes is refilled all the time and would be told with every answer: it is told when it changed by a tenth.

Pure. An answer without such fields costs a few looks. Must not know requests, or what follows from a quota.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors.gateway.fault_reading import read_moment
from actors.gateway.health import shown_time
from actors.runtime.http.fields import Fields
from schemas.events import ProviderQuotaObserved
from schemas.identity import SessionId

_SHORT: Final = 600.0  # a reset so near is that of a rate, not of a quota
_NOTICEABLE: Final = 1.0
_NOTICEABLE_RATE: Final = 10.0
_SAME_RESET: Final = 60.0
_WINDOWS: Final = 16  # of one provider
_ALL: Final = 100.0
_CODEX: Final = ("primary", "secondary")
_OPENAI: Final = ("requests", "tokens")
_ANTHROPIC: Final = ("requests", "tokens", "input-tokens", "output-tokens")
_UNIFIED: Final = "anthropic-ratelimit-unified-"
_MINUTES: Final = {"5h": 300, "7d": 10_080}
_LATEST: Final = 1 << 53


class Window(Struct, frozen=True):
    """One window as it was told; ``resets_at`` by the wall clock, 0 when it was not told."""

    name: str
    used_percent: float | None = None
    limit: int | None = None
    remaining: int | None = None
    minutes: int | None = None
    resets_at: float = 0.0
    exhausted: bool = False
    short: bool = False


Quotas = dict[str, Window]
NOTHING_TOLD: Final[Quotas] = {}


def read_quotas(fields: Fields, at: float) -> tuple[Window, ...]:
    """Read the windows of an answer's header."""
    found: list[Window] = []
    if "x-codex-primary-used-percent" in fields or "x-codex-secondary-used-percent" in fields:
        found += [window for name in _CODEX if (window := _codex(fields, name, at)) is not None]
    if "x-ratelimit-limit-requests" in fields or "x-ratelimit-limit-tokens" in fields:
        found += [window for what in _OPENAI if (window := _openai(fields, what, at)) is not None]
    if "anthropic-ratelimit-requests-limit" in fields or "anthropic-ratelimit-tokens-limit" in fields:
        found += [window for what in _ANTHROPIC if (window := _anthropic(fields, what, at)) is not None]
    if "anthropic-ratelimit-unified-status" in fields:
        found += _unified(fields, at)
    return tuple(found[:_WINDOWS])


def told_quotas(
    known: Quotas, provider: str, windows: tuple[Window, ...], session: SessionId | None
) -> tuple[Quotas, tuple[ProviderQuotaObserved, ...]]:
    """Return what is known now, and a fact for every window that changed noticeably since it was told."""
    changed = [window for window in windows if _noticeable(known.get(window.name), window)]
    if not changed:
        return known, ()
    after = {**known, **{window.name: window for window in changed}}
    return dict(list(after.items())[-_WINDOWS:]), tuple(_fact(provider, window, session) for window in changed)


def _noticeable(known: Window | None, window: Window) -> bool:
    if known is None or known.exhausted != window.exhausted or known.limit != window.limit:
        return True
    least = _NOTICEABLE_RATE if window.short else _NOTICEABLE
    if abs((known.used_percent or 0.0) - (window.used_percent or 0.0)) >= least:
        return True
    return not window.short and abs(known.resets_at - window.resets_at) >= _SAME_RESET


def _fact(provider: str, window: Window, session: SessionId | None) -> ProviderQuotaObserved:
    return ProviderQuotaObserved(
        provider=provider[:64],
        window=window.name,
        source="header",
        used_percent=window.used_percent,
        limit=window.limit,
        remaining=window.remaining,
        minutes=window.minutes,
        resets_at=shown_time(window.resets_at) if window.resets_at else "",
        exhausted=window.exhausted,
        session=session,
    )


# ------------------------------------------------------------------------------------------------------------ spellings


def _codex(fields: Fields, name: str, at: float) -> Window | None:
    used = _percent(fields.get(f"x-codex-{name}-used-percent"))
    if used is None:
        return None
    resets = _moment(fields.get(f"x-codex-{name}-reset-at") or fields.get(f"x-codex-{name}-reset-after-seconds"), at)
    minutes = _count(fields.get(f"x-codex-{name}-window-minutes"))
    return Window(name, used, minutes=minutes, resets_at=resets, exhausted=used >= _ALL)


def _openai(fields: Fields, what: str, at: float) -> Window | None:
    limit, remaining = _count(fields.get(f"x-ratelimit-limit-{what}")), _count(fields.get(f"x-ratelimit-remaining-{what}"))
    resets = _moment(fields.get(f"x-ratelimit-reset-{what}"), at)
    return _counted(Window(what, limit=limit, remaining=remaining, resets_at=resets), at)


def _anthropic(fields: Fields, what: str, at: float) -> Window | None:
    name = f"anthropic-ratelimit-{what}"
    limit, remaining = _count(fields.get(f"{name}-limit")), _count(fields.get(f"{name}-remaining"))
    resets = _moment(fields.get(f"{name}-reset"), at)
    return _counted(Window(what.replace("-", "_"), limit=limit, remaining=remaining, resets_at=resets), at)


def _counted(window: Window, at: float) -> Window | None:
    limit, remaining = window.limit, window.remaining
    if not limit or remaining is None:
        return None
    used = round(max(0.0, _ALL * (limit - remaining) / limit), 2)
    return replace(window, used_percent=used, exhausted=remaining == 0, short=window.resets_at - at < _SHORT)


def _unified(fields: Fields, at: float) -> list[Window]:
    """Read the windows of a subscription: ``5h``, ``7d``, ``7d_opus`` and whatever else is told like them."""
    windows = []
    for field, value in fields.items():
        name = field.lower()
        if not (name.startswith(_UNIFIED) and name.endswith("-utilization")):
            continue
        window = name[len(_UNIFIED) : -len("-utilization")]
        share = _percent(value)
        if share is None or not window or not window.isprintable():
            continue
        rejected = fields.get(f"{_UNIFIED}{window}-status") == "rejected"
        resets = _moment(fields.get(f"{_UNIFIED}{window}-reset"), at)
        minutes = _MINUTES.get(window[:2])
        windows.append(
            Window(
                window[:64],
                round(share * 100, 2),
                minutes=minutes,
                resets_at=resets,
                exhausted=rejected or share >= 1,
            )
        )
    return windows


def _percent(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return round(value, 4) if 0 <= value < _LATEST else None


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(_LATEST)) else None


def _moment(text: str, at: float) -> float:
    moment = read_moment(text, at) if text else None
    return 0.0 if moment is None or not 0 < moment < 1e11 else moment  # noqa: PLR2004 - later than any calendar
