"""Which agent a process is, by the identity of its program and never by a command line that merely contains a word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.events import ProcessKind

OTHER = "other"


@dataclass(frozen=True, slots=True)
class AgentFinding:
    """An agent's name (``other`` when it is no known agent) and the kind of its process."""

    agent: str
    kind: ProcessKind


def classify(exe: str, argv: Sequence[str], script: str | None) -> AgentFinding:
    """Name the agent behind ``ProcessFacts.exe``, ``.argv`` and ``.script``."""
    raise NotImplementedError(exe, argv, script)
