"""Commands: imperative, addressed to one actor, answered or refused, never recorded and never replayed.

A command's type is ``<actor>.<verb>``; its answer is the type named in ``ANSWER``. Must not know transport.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from schemas.rows import Explanation, SessionTable

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
