"""Commands: imperative, addressed to one actor, answered or refused, never recorded and never replayed.

A command's type is ``<actor>.<verb>``; its answer is the type named in ``ANSWER``. Must not know transport.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

from schemas.config import PinKind
from schemas.events import Dialect
from schemas.rows import Explanation, PinTable, ProviderTable, QuotaTable, RoutePlan, SessionTable, UsageTable

COMMANDS: dict[str, type[Any]] = {}
_C = TypeVar("_C", bound=type[Any])


def _command(cls: _C) -> _C:
    if cls.TYPE in COMMANDS:
        raise TypeError(f"command type {cls.TYPE!r} is defined twice")
    COMMANDS[cls.TYPE] = cls
    return cls


@_command
@dataclass(frozen=True, slots=True, kw_only=True)
class ListSessions:
    """Answer with the sessions table as of the registry's position."""

    TYPE: ClassVar[str] = "registry.list_sessions"
    ANSWER: ClassVar[type[Any]] = SessionTable


@_command
@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainSession:
    """Answer with the evidence behind one session, named by any unique prefix of its id or of an alias."""

    TYPE: ClassVar[str] = "registry.explain_session"
    ANSWER: ClassVar[type[Any]] = Explanation
    session: str


@_command
@dataclass(frozen=True, slots=True, kw_only=True)
class ListUsage:
    """Answer with the ledger, summed by one key; ``since`` is the first day (``2026-11-21``, UTC) that counts, empty for all.

    ``session`` is any unique prefix of a session's id or of an alias. ``audit`` is how many single responses to list.
    """

    TYPE: ClassVar[str] = "registry.list_usage"
    ANSWER: ClassVar[type[Any]] = UsageTable
    by: Literal["session", "provider", "model", "project", "day"] = "session"
    since: str = ""
    session: str = ""
    audit: int = 0


@_command
@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuotas:
    """Answer with every quota window that is known."""

    TYPE: ClassVar[str] = "registry.list_quotas"
    ANSWER: ClassVar[type[Any]] = QuotaTable


@_command
@dataclass(frozen=True, slots=True, kw_only=True)
class ListProviders:
    """Answer with the providers as the gateway has them."""

    TYPE: ClassVar[str] = "gateway.list_providers"
    ANSWER: ClassVar[type[Any]] = ProviderTable


@_command
@dataclass(frozen=True, slots=True, kw_only=True)
class SetProvider:
    """Enable or disable a provider; answered with all of them once that is in force."""

    TYPE: ClassVar[str] = "gateway.set_provider"
    ANSWER: ClassVar[type[Any]] = ProviderTable
    provider: str
    enabled: bool


@_command
@dataclass(frozen=True, slots=True, kw_only=True)
class ListPins:
    """Answer with the pins as the gateway has them."""

    TYPE: ClassVar[str] = "gateway.list_pins"
    ANSWER: ClassVar[type[Any]] = PinTable


@_command
@dataclass(frozen=True, slots=True, kw_only=True)
class SetPin:
    """Pin a session, a terminal or a project, whole keys; answered with all pins once it is in force."""

    TYPE: ClassVar[str] = "gateway.set_pin"
    ANSWER: ClassVar[type[Any]] = PinTable
    kind: PinKind
    target: str
    provider: str
    model: str = ""
    on_failure: Literal["fallback", "fail", "ask"] = "fallback"
    expires: str = ""


@_command
@dataclass(frozen=True, slots=True, kw_only=True)
class RemovePin:
    """Take a pin back; answered with the others."""

    TYPE: ClassVar[str] = "gateway.remove_pin"
    ANSWER: ClassVar[type[Any]] = PinTable
    kind: PinKind
    target: str


@_command
@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePins:
    """Remove the pins that have expired or name a provider that is no more; answered with the others."""

    TYPE: ClassVar[str] = "gateway.prune_pins"
    ANSWER: ClassVar[type[Any]] = PinTable


@_command
@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainRoute:
    """Answer where a request would go now that came with these keys; empty ones are not known.

    ``aliases`` are the session's older ids; ``launch`` is the launch that it belongs to.
    """

    TYPE: ClassVar[str] = "gateway.explain_route"
    ANSWER: ClassVar[type[Any]] = RoutePlan
    session: str = ""
    terminal: str = ""
    cwd: str = ""
    dialect: Dialect = "openai.responses"
    model: str = ""
    launch: str = ""
    aliases: tuple[str, ...] = ()
