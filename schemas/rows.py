"""Rows: the read models that owners of state answer with. ``tabwire … --json`` prints exactly these shapes.

Fields are only ever added. Must not know how a row is computed (``actors.registry``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.events import Endpoint, ProcessKind, Status, ThreadKind, Usage
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
    ``auxiliary_requests`` came from its processes and belong to no conversation (titles, model lists). ``usage`` counts every
    response once; ``transcript_usage`` is the part of it that no request through the gateway tells of. ``declared`` means that
    its process is known by a declaration alone. Status is one word for what it does now, by ``status_source``.
    ``attached`` names the channel by which a bridge has joined it.
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
    transcript_usage: Usage | None = None
    declared: bool = False
    unreadable: str = ""
    attached: str = ""


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
    """One statement, where it was recorded (the event's position, time, type, publisher), and how often it recurred.

    ``process`` is the process that it is about, where it is about one.
    """

    position: int
    time: str
    type: str
    source: str
    evidence: Evidence
    repeated: int = 1
    process: str = ""


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
class Check:
    """One thing that was examined: ``finding`` in words, ``advice`` what to do about it (empty when nothing is to be done)."""

    subject: str
    state: Literal["ok", "note", "problem"]
    finding: str
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything that was examined, problems first."""

    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemStatus:
    """The supervisor's own account of the system, written to ``run/status.json`` at each change."""

    pid: int
    started: str
    version: str
    actors: tuple[ActorRow, ...]
    endpoints: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One past conversation as its agent's own file tells it, whether or not Tabwire ever saw it.

    ``changed`` is when its file last grew. ``title`` and ``preview`` are what people typed: set only where they were asked for.
    """

    conversation: ConversationKey
    agent: str
    thread: str
    thread_kind: ThreadKind
    path: str
    size: int
    changed: str
    created: str = ""
    archived: bool = False
    compressed: bool = False
    cwd: str | None = None
    git_branch: str | None = None
    git_commit: str | None = None
    origin: str = ""
    originator: str = ""
    agent_version: str = ""
    agent_provider: str | None = None
    parent_thread: str | None = None
    forked_from: ConversationKey | None = None
    title: str | None = None
    preview: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryTable:
    """Past conversations, the latest changed first, out of ``files``; ``more``: there are others beyond the limit."""

    time: str
    sessions: tuple[HistoryRow, ...]
    files: int
    unreadable: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryDetail:
    """One conversation's file read to its end; usage is its own, not that of what it was forked from.

    ``threads`` are the sub-agents and reviews inside it, each with a file of its own that is not counted here.
    """

    row: HistoryRow
    turns: int = 0
    completed: int = 0
    aborted: int = 0
    failed: int = 0
    failure_codes: tuple[str, ...] = ()
    working_ms: float = 0
    last_turn: str = ""
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    usage: Usage | None = None
    rejected_lines: int = 0
    threads: tuple[HistoryRow, ...] = ()
