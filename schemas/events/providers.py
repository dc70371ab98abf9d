"""Facts of providers, pins, budgets and the configuration: what the gateway applies, and how the providers do.

Must not know how a request is routed.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import Struct

from schemas.events.values import Count, Path, event
from schemas.evidence import Line, Word
from schemas.identity import SessionId

# Subject: provider/<provider>.


@event
class ProviderStateChanged(Struct, frozen=True, kw_only=True, gc=False):
    """A circuit breaker moved. ``model`` is empty when the whole provider is meant; ``until`` is when it is tried again."""

    TYPE: ClassVar[str] = "provider.state_changed"
    provider: Word
    state: Literal["closed", "open", "half_open"]
    model: Line = ""
    failures: Count = 0
    until: Word = ""
    reason: Line = ""


@event
class ProviderQuotaObserved(Struct, frozen=True, kw_only=True, gc=False):
    """A provider told of a quota window, in an answer's header or by refusing (``exhausted``).

    ``window`` is the provider's word for it, ``minutes`` its length; ``session`` is whose request learned of it.
    """

    TYPE: ClassVar[str] = "provider.quota_observed"
    provider: Word
    window: Word
    source: Word
    used_percent: float | None = None
    limit: Count | None = None
    remaining: Count | None = None
    minutes: Count | None = None
    resets_at: Word = ""
    exhausted: bool = False
    session: SessionId | None = None


# Subject: config/file.


@event
class ConfigChanged(Struct, frozen=True, kw_only=True, gc=False):
    """The gateway took over a changed configuration; ``restart`` names what holds only after the next start.

    At its start it tells what it begins with: nothing ``changed``.
    """

    TYPE: ClassVar[str] = "config.changed"
    digest: Word
    changed: tuple[Line, ...] = ()
    restart: tuple[Line, ...] = ()
    default_provider: Word = ""


@event
class ConfigRefused(Struct, frozen=True, kw_only=True, gc=False):
    """A changed configuration cannot be used; the one before it stays in force."""

    TYPE: ClassVar[str] = "config.refused"
    file: Path
    line: Count
    key: Line
    problem: Line
    advice: Line = ""


# Subject: session/<session> for a pin of a session, otherwise pin/<kind>.


@event
class PinPlaced(Struct, frozen=True, kw_only=True, gc=False):
    """A session, terminal or project has a preferred provider from the next request on; ``expires`` is empty for ever."""

    TYPE: ClassVar[str] = "pin.placed"
    kind: Literal["session", "terminal", "project"]
    target: Path
    provider: Word
    model: Line = ""
    on_failure: Literal["fallback", "fail", "ask"] = "fallback"
    expires: Word = ""


@event
class PinRemoved(Struct, frozen=True, kw_only=True, gc=False):
    """A pin is no more: taken back, expired or pruned."""

    TYPE: ClassVar[str] = "pin.removed"
    kind: Literal["session", "terminal", "project"]
    target: Path
    reason: Line = "unpinned"


@event
class PinDecisionNeeded(Struct, frozen=True, kw_only=True, gc=False):
    """A pin with ``on_failure = "ask"`` cannot be kept; requests are refused until its owner chooses."""

    TYPE: ClassVar[str] = "pin.decision_needed"
    kind: Literal["session", "terminal", "project"]
    target: Path
    provider: Word
    reason: Line
    session: SessionId | None = None
    alternatives: tuple[Word, ...] = ()


# Subject: session/<session> for a budget of each session, otherwise config/budget.


@event
class BudgetReached(Struct, frozen=True, kw_only=True, gc=False):
    """A budget, or the part of it that is warned at, is spent; ``action`` is what follows from here on."""

    TYPE: ClassVar[str] = "budget.reached"
    budget: Word
    scope: Word
    target: Path
    period: Word
    spent: float
    limit: float
    unit: Literal["usd", "tokens"]
    action: Literal["warn", "switch", "stop"]
    provider: Word = ""
