"""What the gateway told of pins and of the default provider, and which of it is meant for a session. Pure.

Who decides, most specific first: the session's pin, what its launch asked for, its terminal's pin, its project's pin (the
longest folder), the default provider. A pin whose time is over means nothing.

The gateway alone knows whether that provider can take the request, so what it really chose counts as soon as it has chosen.
Must not know sessions' tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from actors.registry.statements import moment
from schemas.envelope import Recorded
from schemas.events import ConfigChanged, PinPlaced, PinRemoved

_MOST: Final = 20_000
Kind = Literal["session", "terminal", "project"]


@dataclass(slots=True)
class Preferences:
    """Every pin in force, the default provider, and the position at which any of it was told last."""

    pins: dict[tuple[Kind, str], PinPlaced] = field(default_factory=dict)
    default: str = ""
    told: int = 0

    def placed(self, event: Recorded, data: PinPlaced) -> None:
        """Take a pin; the oldest goes when there are too many."""
        if len(self.pins) >= _MOST and (data.kind, data.target) not in self.pins:
            del self.pins[next(iter(self.pins))]
        self.pins[data.kind, data.target] = data
        self.told = event.position

    def removed(self, event: Recorded, data: PinRemoved) -> None:
        """Forget a pin."""
        self.pins.pop((data.kind, data.target), None)
        self.told = event.position

    def changed(self, event: Recorded, data: ConfigChanged) -> None:
        """Take the default provider of the configuration that is in force now."""
        self.default = data.default_provider
        self.told = event.position


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which provider and model are meant for a session; both empty when nobody asked for any."""

    provider: str = ""
    model: str = ""


def wish(  # noqa: PLR0917 - every key that a pin can be of
    told: Preferences, names: Iterable[str], launched: Wish, terminal: str | None, cwd: str | None, now: str
) -> Wish:
    """Find what is preferred for a session that is known by these names and keys."""
    at = moment(now)
    for name in names:
        if found := _pinned(told, "session", name, at):
            return found
    if launched.provider:
        return launched
    found = _pinned(told, "terminal", terminal or "", at)
    for folder in _folders(cwd or "") if found is None else ():
        found = found or _pinned(told, "project", folder, at)
    return found or launched


def in_use(told: Preferences, preferred: Wish, chosen: str | None, chosen_at: int) -> str | None:
    """Return the provider of the next request: what was chosen last, unless something was told since."""
    if chosen is None:
        return preferred.provider or None
    return chosen if chosen_at > told.told else preferred.provider or told.default or chosen


def _pinned(told: Preferences, kind: Kind, target: str, now: datetime | None) -> Wish | None:
    pin = told.pins.get((kind, target)) if target else None
    if pin is None:
        return None
    expires = moment(pin.expires) if pin.expires else None
    return None if expires is not None and now is not None and expires <= now else Wish(provider=pin.provider, model=pin.model)


def _folders(cwd: str) -> Iterator[str]:
    """Yield a folder and every one above it."""
    while cwd:
        yield cwd
        cut = max(cwd.rfind("/"), cwd.rfind("\\"))
        if cut < 0 or cut == len(cwd) - 1:
            return
        cwd = cwd[:cut] or cwd[: cut + 1]
