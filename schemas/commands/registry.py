"""What the registry is asked. Must not know how it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from schemas.commands.register import command
from schemas.provider_rows import QuotaTable, UsageTable
from schemas.rows import Explanation, SessionTable


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class ListSessions:
    """Answer with the sessions table as of the registry's position."""

    TYPE: ClassVar[str] = "registry.list_sessions"
    ANSWER: ClassVar[type[Any]] = SessionTable


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainSession:
    """Answer with the evidence behind one session, named by any unique prefix of its id or of an alias."""

    TYPE: ClassVar[str] = "registry.explain_session"
    ANSWER: ClassVar[type[Any]] = Explanation
    session: str


@command
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


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuotas:
    """Answer with every quota window that is known."""

    TYPE: ClassVar[str] = "registry.list_quotas"
    ANSWER: ClassVar[type[Any]] = QuotaTable
