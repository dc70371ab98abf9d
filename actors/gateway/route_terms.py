"""What a routing decision is made from and what it is: the providers as routing sees them, who asks, for what, and the outcome.

Frozen values. Must not know how it is decided (``routing``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from actors.gateway.peek import Seen
from schemas.config import ECHO, Failover, Pin
from schemas.events import Candidate, Dialect, PinDecisionNeeded
from schemas.identity import SessionId
from schemas.launch import LaunchRecord

SEVERAL: Final = "*"
"""The owner of a conversation whose reasoning belongs to several accounts."""


class Listing(Struct, frozen=True):
    """A provider as routing sees it; ``problem`` is empty when it can take requests, else says what is wrong and what to do.

    ``account`` is whose encrypted content it can read: the provider's own name where nothing else is configured.
    ``passthrough``: it is sent the caller's own login.
    """

    problem: str = ""
    dialects: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    aliases: Mapping[str, str] = {}
    group: str = ""
    account: str = ""
    passthrough: bool = False


class Table(Struct, frozen=True):
    """Every provider in the order of the file, every pin, and the rules; ``index`` is made from the pins.

    ``usual`` are the decisions for requests of which nothing is special, by dialect and model.
    """

    listings: Mapping[str, Listing]
    pins: tuple[Pin, ...] = ()
    default: str = ECHO
    failover: Failover = Failover()
    index: Mapping[tuple[str, str], Pin] = {}
    usual: dict[tuple[str, str | None], Decision] = {}

    def __post_init__(self) -> None:
        """Make the pins findable; of several for the same target the first in the file counts."""
        index: dict[tuple[str, str], Pin] = {}
        for pin in self.pins:
            index.setdefault(_key(pin), pin)
        msgspec.structs.force_setattr(self, "index", index)


class Asker(Struct, frozen=True):
    """Who asks; ``also`` are the session's older ids (``launch-…``, ``proc-…``)."""

    session: SessionId | None = None
    terminal: str | None = None
    cwd: str | None = None
    launch: LaunchRecord | None = None
    also: tuple[str, ...] = ()


class Wanted(Struct, frozen=True):
    """What is asked for; ``owner`` is the account that answered this session last, empty when that is not known."""

    dialect: Dialect
    seen: Seen = Seen()
    owner: str = ""

    @property
    def bound(self) -> bool:
        """Tell whether something in it can be read by one account only."""
        seen = self.seen
        return self.owner != "" and (seen.encrypted > 0 or seen.compaction or seen.previous_response)


class Choice(Struct, frozen=True):
    """A provider to be asked, the model that it is sent instead of the one asked for, and whether reasoning is left out."""

    provider: str
    model: str | None = None
    strip: bool = False


class Decision(Struct, frozen=True):
    """The providers to be asked, in order, and every candidate that was looked at. Without choices there is a ``refusal``.

    ``pin`` is the pin that decided (``session:…``), ``code`` the refusal's; ``undecided`` is told when a pin's owner is asked.
    """

    choices: tuple[Choice, ...]
    candidates: tuple[Candidate, ...]
    reason: str
    pin: str = ""
    refusal: str = ""
    code: str = "no_provider"
    undecided: PinDecisionNeeded | None = None


def _key(pin: Pin) -> tuple[str, str]:
    return (pin.kind, folder_key(pin.target) if pin.kind == "project" else pin.target)


def folder_key(path: str) -> str:
    """Return the form in which folders are compared: no separator at the end, and Windows' paths without case."""
    if path[1:2] == ":" or path.startswith("\\\\"):
        path = path.replace("\\", "/").casefold()
    return path.rstrip("/")
