"""Whom a request asks on its way beside the table of providers: their health, the budgets, the bound on how often it may ask.

Each has one that advises nothing, which is what a gateway has that was given none. Must not know how any of them decides.
"""

from __future__ import annotations

from typing import Any, Protocol

from actors.gateway.health import Health, Outcome
from actors.gateway.spending import GO_ON, Verdict
from actors.runtime.http.fields import Fields
from schemas.identity import SessionId


class HealthAdviser(Protocol):
    """How the providers do, and who owns which session's content."""

    now: Health

    def chosen(self, provider: str, model: str) -> None:
        """Note that a request goes to a provider."""

    def observed(self, outcome: Outcome) -> None:
        """Take what came of it."""

    def answered(self, provider: str, fields: Fields, session: SessionId | None) -> None:
        """Look at an answer's header."""

    def owner(self, session: str) -> str:
        """Return the account that answered a session last, empty when that is not known."""

    def owned(self, session: str, account: str) -> None:
        """Note the account that answered a session."""


class SpendingAdviser(Protocol):
    """What the budgets say; ``active``: there are any."""

    active: bool

    def verdict(self, session: SessionId | None, cwd: str | None) -> Verdict:
        """Judge one request."""

    def told(self, event: Any) -> None:
        """Count what a fact tells."""


class ThrottleAdviser(Protocol):
    """How often a session may ask."""

    def check(self, session: SessionId, at: float) -> str:
        """Count a request; the text of its refusal, or nothing."""


class NoHealth:
    """Everybody may be asked, and nobody owns anything."""

    now = Health()

    def chosen(self, provider: str, model: str) -> None:
        """Note nothing."""

    def observed(self, outcome: Outcome) -> None:
        """Note nothing."""

    def answered(self, provider: str, fields: Fields, session: SessionId | None) -> None:
        """Look away."""

    def owner(self, session: str) -> str:
        """Know nobody."""
        del session
        return ""

    def owned(self, session: str, account: str) -> None:
        """Note nothing."""


class NoBudgets:
    """Nothing is counted."""

    active = False

    def verdict(self, session: SessionId | None, cwd: str | None) -> Verdict:
        """Let it go on."""
        del session, cwd
        return GO_ON

    def told(self, event: Any) -> None:
        """Count nothing."""


class NoThrottle:
    """Everybody may ask as often as they like."""

    def check(self, session: SessionId, at: float) -> str:
        """Let it go on."""
        del session, at
        return ""
