"""Who decides where a request goes: the most specific wish that there is. Pure.

A pin of the session, what its launch asked for, a pin of the terminal, a pin of the project (the longest folder), the default
provider. A budget that switches comes before all of them. A pin that has expired does nothing, and that is said.

Where a request names no conversation, a bridge's launch says which session it is of. Must not know whether what is wished for
can be had.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

from actors.gateway.route_terms import Asker, Table, folder_key
from actors.gateway.spending import Verdict
from schemas.config import Pin
from schemas.identity import is_provisional

_LINE: Final = 300
DEFAULT: Final = "the default provider"
OnFailure = Literal["fallback", "fail", "ask"]


class Wish(Struct, frozen=True):
    """A provider, why it is that one, and the pin that says so, where one does."""

    provider: str
    reason: str
    model: str = ""
    on_failure: OnFailure = "fallback"
    pin: Pin | None = None


def wish_of(asker: Asker, table: Table, verdict: Verdict, now: float) -> tuple[Wish, str]:
    """Find the most specific wish, and say which more specific pins have expired."""
    if verdict.switch_to:
        return Wish(verdict.switch_to, "a budget is spent"), ""
    expired = ""
    launch = asker.launch
    for pin in _pins(asker, table):
        if pin is None:
            if launch is not None and launch.provider is not None:
                return Wish(launch.provider, f"asked for by {launch.launch}"), expired
        elif pin.expires is not None and pin.expires.timestamp() <= now:
            expired += f"; the pin of {pin_text(pin)} has expired"
        else:
            return Wish(pin.provider, f"pinned by {pin_text(pin)}", pin.model, pin.on_failure, pin), expired
    return Wish(table.default, DEFAULT), expired


def _pins(asker: Asker, table: Table) -> Iterator[Pin | None]:
    """Go through the pins that could decide, the most specific first; None is where the launch's wish stands."""
    index = table.index
    if index:
        for name in _sessions(asker):
            if (pin := index.get(("session", name))) is not None:
                yield pin
    yield None
    if index:
        if asker.terminal is not None and (pin := index.get(("terminal", asker.terminal))) is not None:
            yield pin
        if asker.cwd is not None:
            for folder in _upward(asker.cwd):
                if (pin := index.get(("project", folder))) is not None:
                    yield pin


def _sessions(asker: Asker) -> Iterator[str]:
    """Go through the ids by which the session may be pinned."""
    driven = None if asker.launch is None else asker.launch.session
    if driven is not None and (asker.session is None or is_provisional(asker.session)):
        yield driven
    if asker.session is not None:
        yield asker.session
    yield from asker.also


def _upward(path: str) -> Iterator[str]:
    """Go from a folder up to the root."""
    folder = folder_key(path)
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
    yield ""


def pin_text(pin: Pin | None) -> str:
    """Name a pin; empty for none."""
    return "" if pin is None else f"{pin.kind}:{pin.target}"[:_LINE]
