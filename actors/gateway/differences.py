"""What differs between two configurations, by the names of keys, never their values; and what of it holds only after a restart.

Pure. Must not know files, nor how anything is applied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from schemas.config import ECHO, Config
from schemas.config_lines import shown

MOST: Final = 64
_AT_START: Final = ("echo", "journal", "rollout")
_LIVE_GATEWAY: Final = ("session_requests", "session_window")
_SECTIONS: Final = ("gateway", "failover", "breaker", "bridges", *_AT_START)
_LINE: Final = 300


def changed(before: Config, after: Config, keys: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Name what differs; ``keys`` are providers whose key is another one though its reference is the same."""
    found = list(_changed(before, after))
    found += [name for provider in keys if (name := shown(("providers", provider, "key"))) not in found]
    return _bounded(found)


def after_restart(before: Config, after: Config) -> tuple[str, ...]:
    """Name what of it does not hold before everything is started again."""
    found = [f"gateway.{name}" for name in _fields(before.gateway, after.gateway) if name not in _LIVE_GATEWAY]
    for section in _AT_START:
        found += [f"{section}.{name}" for name in _fields(getattr(before, section), getattr(after, section))]
    if after.default_provider == ECHO != before.default_provider:
        found.append("echo (if it was not started)")
    return _bounded(found)


def _changed(before: Config, after: Config) -> Iterator[str]:
    if before.default_provider != after.default_provider:
        yield "default_provider"
    for name in dict.fromkeys((*before.providers, *after.providers)):
        old, new = before.providers.get(name), after.providers.get(name)
        if old is None or new is None:
            yield f"{shown(('providers', name))} {'added' if old is None else 'removed'}"
        else:
            yield from (shown(("providers", name, field)) for field in _fields(old, new))
    if tuple(before.providers) != tuple(after.providers) and set(before.providers) == set(after.providers):
        yield "the order of providers"
    for section in _SECTIONS:
        yield from (f"{section}.{name}" for name in _fields(getattr(before, section), getattr(after, section)))
    yield from (name for name in ("pins", "budgets") if getattr(before, name) != getattr(after, name))


def _fields(before: Struct, after: Struct) -> list[str]:
    old: Mapping[str, Any] = msgspec.structs.asdict(before)
    new: Mapping[str, Any] = msgspec.structs.asdict(after)
    return [name for name, value in new.items() if old[name] != value]


def _bounded(found: list[str]) -> tuple[str, ...]:
    rest = len(found) - MOST
    kept = [name[:_LINE] for name in found[:MOST]]
    return (*kept, f"and {rest} more") if rest > 0 else tuple(kept)
