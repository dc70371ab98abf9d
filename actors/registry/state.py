"""What the fold remembers: sessions, processes, launches and requests in flight, every table with a bound.

Theory of operation
-------------------
The fold is the single owner of these tables and updates them in place; nothing outside of ``actors.registry`` may write
to them, and what leaves them (rows, explanations, effects) is frozen. Three things are kept apart on purpose:

* a *session* is a name under which requests were counted (``codex-…``, ``launch-…``, ``proc-…``);
* a *process* or *launch* carries what is true of it whoever it serves: terminals, folder, exit;
* a *claim* is the pair of the two: what one process sent in the name of one session, with its own tallies. A process that
  claims another's conversation can therefore be set aside later without counting anything again.

Statements are kept once each, with the position where they were first made and how often they recurred. Where a table is
full, ``Limits`` says what goes; whatever goes is counted.

Pure. Must not know what is concluded from all this (``judgement``, ``rows``).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from schemas.envelope import Recorded
from schemas.events import ProcessKind, RequestRouted
from schemas.evidence import Evidence, Rank
from schemas.identity import ConversationKey, LaunchId, ProcessKey, RequestId, SessionId, TerminalKey, process_id

OTHER: Final = "other"
SERVES_MANY: Final = frozenset({"daemon", "app_server", "mcp"})
"""Kinds of process that speak for several conversations: none of them *is* the process."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bound of every table, and what happens at it."""

    sessions: int = 10_000  # the session that went longest ago goes, or else the one not heard of for longest
    flights: int = 10_000  # the oldest request in flight is counted as lost
    strays: int = 10_000  # the process without a session that was seen longest ago is forgotten
    aliases: int = 100_000  # the oldest alias is forgotten
    statements: int = 64  # a better-ranked statement replaces the worst, any other is left out
    conflicts: int = 50  # further contradictions are only counted
    decisions: int = 20  # the oldest decision goes
    responses: int = 128  # the oldest response id goes; the same id said again after that would count again
    claims: int = 128  # the claim of the process that exited longest ago is added to those of unknown processes
    terminals: int = 8  # further terminals of one process are only counted
    threads: int = 256  # further threads are not listed
    gone_hours: float = 24.0  # a session that has been gone for longer, and was said to be, is forgotten


@dataclass(frozen=True, slots=True)
class At:
    """Where in the journal something was said, and by whom."""

    position: int
    time: str
    type: str
    source: str
    id: str


class Line:
    """One statement, where it was made first, and how often."""

    __slots__ = ("evidence", "position", "repeated", "source", "time", "type")

    def __init__(self, event: Recorded, evidence: Evidence) -> None:
        self.position = event.stamp.position
        self.time = event.stamp.recordedtime
        self.type = event.envelope.type
        self.source = event.envelope.source
        self.evidence = evidence
        self.repeated = 1


Lines = dict[tuple[str, str, str, str], Line]


class Proof:
    """The request that verified a claim."""

    __slots__ = ("at", "rank", "request")

    def __init__(self, at: At, request: RequestId, rank: int) -> None:
        self.at = at
        self.request = request
        self.rank = rank


class Claim:
    """What one process (None: an unknown one) sent in the name of one session."""

    __slots__ = (
        "best",
        "cached_input",
        "cancellations",
        "cwd",
        "facts",
        "failures",
        "in_flight",
        "input",
        "last_position",
        "model",
        "output",
        "process",
        "proof",
        "provider",
        "rank",
        "reasoning",
        "rejected",
        "requests",
        "served_model",
        "session",
        "total",
        "used",
    )

    def __init__(self, session: SessionId, process: ProcessKey | None) -> None:
        self.session = session
        self.process = process
        self.rank = Rank.TRANSCRIPT_DECLARED  # how well the conversation is known to be this process's
        self.best = 9  # the best rank of any statement that was believed of its requests
        self.rejected = ""
        self.proof: Proof | None = None
        self.facts: tuple[object, ...] = ()
        self.requests = self.failures = self.cancellations = self.in_flight = 0
        self.used = False
        self.input = self.cached_input = self.output = self.reasoning = self.total = 0
        self.last_position = 0
        self.provider: str | None = None
        self.model: str | None = None
        self.served_model: str | None = None
        self.cwd: str | None = None


class Choice:
    """One routing decision and what became of it."""

    __slots__ = ("outcome", "position", "routed", "time")

    def __init__(self, event: Recorded, routed: RequestRouted) -> None:
        self.position = event.stamp.position
        self.time = event.stamp.recordedtime
        self.routed = routed
        self.outcome = ""


class Announced:
    """What was already said of a session on the bus, as read back from the journal."""

    __slots__ = ("conflicts", "identified", "lifecycle", "lifecycle_id", "seen", "verified")

    def __init__(self) -> None:
        self.seen = False
        self.identified = False
        self.verified = False
        self.lifecycle = ""
        self.lifecycle_id = ""
        self.conflicts: set[tuple[str, str]] = set()


class Session:
    """A name under which requests are counted, and every statement made about it."""

    __slots__ = (
        "agent",
        "agent_order",
        "announced",
        "at",
        "claims",
        "conflicts",
        "conflicts_omitted",
        "conversation",
        "decisions",
        "disputes",
        "id",
        "identified_as",
        "identified_at",
        "last_position",
        "last_time",
        "launches",
        "lines",
        "processes",
        "provisional",
        "recalled",
        "responses",
        "threads",
    )

    def __init__(self, id_: SessionId, agent: str, at: At, *, provisional: bool) -> None:
        self.id = id_
        self.agent = agent
        self.agent_order: tuple[int, bool, str] = (9, True, "")
        self.at = at
        self.provisional = provisional
        self.conversation: ConversationKey | None = None
        self.last_position = at.position
        self.last_time = at.time
        self.claims: dict[ProcessKey | None, Claim] = {}
        self.disputes: dict[SessionId, Claim] = {}
        self.processes: dict[ProcessKey, None] = {}
        self.launches: dict[LaunchId, None] = {}
        self.lines: Lines = {}
        self.conflicts: dict[tuple[str, str], tuple[At, Evidence]] = {}
        self.conflicts_omitted = 0
        self.decisions: deque[Choice] = deque()
        self.responses: dict[str, tuple[Claim, tuple[int, int, int, int, int]]] = {}
        self.threads: dict[str, str] = {}
        self.identified_as: SessionId | None = None
        self.identified_at: At | None = None
        self.announced = Announced()
        self.recalled: Proof | None = None


class Process:
    """One process: what is true of it whoever it serves."""

    __slots__ = (
        "agent",
        "agent_order",
        "at",
        "conversation",
        "cwd",
        "exited",
        "key",
        "kind",
        "launch",
        "lines",
        "session",
        "sessions",
        "terminal_missing",
        "terminals",
    )

    def __init__(self, key: ProcessKey, at: At) -> None:
        self.key = key
        self.at = at
        self.session = SessionId(f"proc-{process_id(key)}")
        self.agent = OTHER
        self.agent_order: tuple[int, bool, str] = (9, True, "")
        self.kind: ProcessKind = OTHER
        self.terminals: dict[TerminalKey, Line] = {}
        self.terminal_missing = ""
        self.cwd: str | None = None
        self.launch: LaunchId | None = None
        self.exited: tuple[At, str] | None = None
        self.sessions: dict[SessionId, None] = {}
        self.conversation: SessionId | None = None
        self.lines: Lines = {}


class Launch:
    """One launch of ours."""

    __slots__ = ("agent", "at", "conversation", "cwd", "ended", "id", "model", "provider", "root", "sessions", "terminal")

    def __init__(self, id_: LaunchId, at: At) -> None:
        self.id = id_
        self.at = at
        self.agent = OTHER
        self.root: ProcessKey | None = None
        self.terminal: TerminalKey | None = None
        self.cwd: str | None = None
        self.provider: str | None = None
        self.model: str | None = None
        self.ended: tuple[At, str] | None = None
        self.sessions: dict[SessionId, None] = {}
        self.conversation: SessionId | None = None


class Flight:
    """A request whose end was not told yet."""

    __slots__ = ("choice", "claim", "method", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self.method = ""
        self.claim: Claim | None = None
        self.choice: Choice | None = None


@dataclass(slots=True)
class State:
    """Everything the registry knows at one position of the journal."""

    limits: Limits = field(default_factory=Limits)
    epoch: str = ""
    position: int = 0
    time: str = ""
    sessions: dict[SessionId, Session] = field(default_factory=dict)
    processes: dict[ProcessKey, Process] = field(default_factory=dict)
    strays: dict[ProcessKey, None] = field(default_factory=dict)
    launches: dict[LaunchId, Launch] = field(default_factory=dict)
    flights: dict[RequestId, Flight] = field(default_factory=dict)
    aliases: dict[SessionId, SessionId] = field(default_factory=dict)
    departed: dict[SessionId, None] = field(default_factory=dict)
    boots: dict[str, list[str]] = field(default_factory=dict)
    dirty: dict[SessionId, None] = field(default_factory=dict)
    next_sweep: int = 0
    unattributed: int = 0
    counted: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> None:
        """Count something that was set aside."""
        self.counted[what] = self.counted.get(what, 0) + 1


def at(event: Recorded) -> At:
    """Return where an event stands."""
    return At(event.stamp.position, event.stamp.recordedtime, event.envelope.type, event.envelope.source, event.envelope.id)


def note(lines: Lines, evidence: Evidence, event: Recorded, limit: int) -> bool:
    """Keep a statement, once; tell whether it is new. In a full table it replaces the worst, or is only known as new."""
    key = (evidence.kind, evidence.proves, evidence.value, evidence.rejected)
    line = lines.get(key)
    if line is not None:
        line.repeated += 1
        return False
    if len(lines) >= limit:
        worst = max(lines, key=lambda held: (lines[held].evidence.rank, lines[held].position))
        if evidence.rank >= lines[worst].evidence.rank:
            return True
        del lines[worst]
    lines[key] = Line(event, evidence)
    return True
