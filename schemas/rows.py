"""Rows: the read models that owners of state answer with. ``tabwire … --json`` prints exactly these shapes.

Fields are only ever added. Must not know how a row is computed (``actors.registry``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.events import Endpoint, ProcessKind, Status, Usage
from schemas.evidence import Evidence
from schemas.identity import ConversationKey, LaunchId, ProcessKey, SessionId, TerminalKey

Verdict = Literal["verified", "unverified"]
Activity = Literal["active", "idle", "gone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOf:
    """The point of the journal that an answer reflects, and the time that activity was measured against."""

    epoch: str
    position: int
    time: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """One session as people see it; ``missing`` says what would verify it, ``terminal_missing`` why no tab is claimed.

    ``parent`` is the session that it comes from and ``relation`` how; ``threads`` counts the sub-agents and reviews inside it.
    ``auxiliary_requests`` came from its processes and belong to no conversation (titles, model lists).
    """

    session: SessionId
    agent: str
    provisional: bool
    verdict: Verdict
    activity: Activity
    first_seen: str
    last_seen: str
    conversation: ConversationKey | None = None
    aliases: tuple[SessionId, ...] = ()
    missing: tuple[str, ...] = ()
    terminal: TerminalKey | None = None
    terminal_missing: str = ""
    terminals: tuple[TerminalKey, ...] = ()
    process: ProcessKey | None = None
    process_kind: ProcessKind = "other"
    launch: LaunchId | None = None
    cwd: str | None = None
    parent: SessionId | None = None
    routing_provider: str | None = None
    preferred_provider: str | None = None
    preferred_model: str | None = None
    requested_model: str | None = None
    served_model: str | None = None
    requests: int = 0
    failures: int = 0
    cancellations: int = 0
    in_flight: int = 0
    usage: Usage | None = None
    conflicts: int = 0
    auxiliary_requests: int = 0
    agent_provider: str | None = None
    status: Status = "idle"
    status_since: str = ""
    status_source: str = ""
    status_reason: str = ""
    relation: Literal["forks", "reviews", "succeeds"] | None = None
    threads: int = 0
    endpoint: Endpoint | None = None
    transcript: str | None = None
    git_branch: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTable:
    """Every session at one point of the journal, most recently seen first.

    ``unattributed`` requests belong to none; ``omitted`` sessions, the least recently seen, did not fit into the answer.
    """

    as_of: AsOf
    sessions: tuple[SessionRow, ...]
    unattributed: int = 0
    omitted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceLine:
    """One statement, where it was recorded (the event's position, time, type, publisher), and how often it recurred."""

    position: int
    time: str
    type: str
    source: str
    evidence: Evidence
    repeated: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One routing decision."""

    position: int
    time: str
    request: str
    provider: str
    reason: str
    skipped: tuple[str, ...] = ()
    outcome: str = "in flight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a row says what it says: the row, every statement behind it in order of rank, and its last decisions."""

    as_of: AsOf
    row: SessionRow
    because: tuple[str, ...]
    evidence: tuple[EvidenceLine, ...]
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorRow:
    """One supervised process as ``tabwire status`` shows it; ``capabilities`` is what its probe can answer here."""

    actor: str
    state: Literal["starting", "ready", "degraded", "stopping", "stopped", "backoff", "failed"]
    pid: int | None
    since: str
    restarts: int
    last_exit: str = ""
    note: str = ""
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemStatus:
    """The supervisor's own account of the system, written to ``run/status.json`` at each change."""

    pid: int
    started: str
    version: str
    actors: tuple[ActorRow, ...]
    endpoints: dict[str, str]
