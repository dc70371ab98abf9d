"""What the fold remembers: sessions, processes, launches, transcripts and requests in flight, every table with a bound.

Theory of operation
-------------------
The fold is the single owner of these tables and updates them in place; nothing outside of ``actors.registry`` may write
to them, and what leaves them (rows, explanations, effects) is frozen. Three things are kept apart on purpose:

* a *session* is a name under which requests were counted (``codex-…``, ``launch-…``, ``proc-…``);
* a *process* or *launch* carries what is true of it whoever it serves: terminals, folder, exit;
* a *claim* (``claims``) is the pair of the two: what ties one process to one session, with its own tallies. A process that
  claims another's conversation can therefore be set aside later without counting anything again.

A *transcript* is what the agent's own files say of one conversation. Thousands of old ones have no session: nothing but a
file speaks of them, and files alone make no row.

Statements are kept once each (``statements``). Where a table is full, ``Limits`` says what goes; whatever goes is counted.

Pure. Must not know what is concluded from all this (``judgement``, ``rows``).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Literal

from msgspec import Struct

from actors.registry.claims import Claim, Proof
from actors.registry.ledger import Cell, Ledger, Tokens
from actors.registry.limits import Limits
from actors.registry.preferences import Preferences
from actors.registry.quotas import Quotas
from actors.registry.statements import At, Line, Lines
from schemas.events import Endpoint, ProcessKind, RequestRouted, SessionStatusChanged, Status, TranscriptSeen
from schemas.evidence import Evidence
from schemas.identity import ConversationKey, LaunchId, ProcessKey, RequestId, SessionId, TerminalKey, process_id

OTHER: Final = "other"
SERVES_MANY: Final = frozenset({"daemon", "app_server", "mcp"})
"""Kinds of process that speak for several conversations: none of them *is* the process."""
NO_SESSION: Final = frozenset({"daemon", "wrapper"})
"""Kinds of process that are never a session of their own."""


class Choice(Struct, gc=False):
    """One routing decision and what became of it."""

    position: int
    time: str
    routed: RequestRouted
    outcome: str = ""


class Announced:
    """What was already said of a session on the bus, as read back from the journal."""

    __slots__ = ("conflicts", "identified", "lifecycle", "lifecycle_id", "links", "seen", "status", "status_id", "verified")

    def __init__(self) -> None:
        self.seen = False
        self.identified = False
        self.verified = False
        self.lifecycle = ""
        self.lifecycle_id = ""
        self.status: SessionStatusChanged | None = None
        self.status_id = ""
        self.conflicts: set[tuple[str, str]] = set()
        self.links: set[tuple[str, SessionId]] = set()


@dataclass(frozen=True, slots=True)
class Reported:
    """What a hook said last that tells a status: since when, which hook, with its own word for it."""

    status: Status
    since: str
    hook: str
    detail: str


class Session:
    """A name under which requests are counted, and every statement made about it.

    ``unheard``: it was an alias from its very beginning, so that nobody needs to hear of it. ``left`` tells since when the
    processes of a launch have it no more: their bridge began another one in its place. ``attached`` is the bridge that joined
    it, and how.
    """

    __slots__ = (
        "agent",
        "agent_order",
        "announced",
        "at",
        "attached",
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
        "left",
        "lines",
        "processes",
        "provisional",
        "recalled",
        "reported",
        "threads",
        "unheard",
    )

    def __init__(self, id_: SessionId, agent: str, at: At, *, provisional: bool) -> None:
        self.id = id_
        self.agent = agent
        self.agent_order: tuple[int, bool, str] = (9, True, "")
        self.at = at
        self.provisional = provisional
        self.attached: tuple[LaunchId, str] | None = None
        self.conversation: ConversationKey | None = None
        self.last_position = at.position
        self.last_time = at.time
        self.claims: dict[ProcessKey | None, Claim] = {}
        self.disputes: dict[SessionId, Claim] = {}
        self.processes: dict[ProcessKey, None] = {}
        self.launches: dict[LaunchId, None] = {}
        self.left: dict[LaunchId, str] | None = None
        self.lines: Lines = {}
        self.conflicts: dict[tuple[str, str], tuple[At, Evidence]] = {}
        self.conflicts_omitted = 0
        self.decisions: deque[Choice] = deque()
        self.threads: dict[str, str] = {}
        self.identified_as: SessionId | None = None
        self.identified_at: At | None = None
        self.unheard = False
        self.announced = Announced()
        self.recalled: Proof | None = None
        self.reported: Reported | None = None


class Process:
    """One process: what is true of it whoever it serves."""

    __slots__ = (
        "agent",
        "agent_order",
        "at",
        "cwd",
        "endpoint",
        "exited",
        "key",
        "kind",
        "launch",
        "lines",
        "parent",
        "session",
        "sessions",
        "started",
        "terminal_missing",
        "terminals",
        "unreadable",
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
        self.started = ""
        self.parent: ProcessKey | None = None
        self.endpoint: Endpoint | None = None
        self.unreadable = ""
        self.launch: LaunchId | None = None
        self.exited: tuple[At, str] | None = None
        self.sessions: dict[SessionId, None] = {}
        self.lines: Lines = {}


class Launch:
    """One launch of ours. ``stands``: what its bridge said that it stands for; ``swept``: all that it started has ended."""

    __slots__ = ("agent", "at", "cwd", "ended", "id", "model", "provider", "root", "sessions", "stands", "swept", "terminal")

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
        self.stands: SessionId | None = None
        self.swept: tuple[At, str] | None = None


class Bridge:
    """What a bridge of ours says of the session that it drives now, and of those that it drove before.

    ``launches`` are of its processes, the first one names it. ``asking`` holds the open approvals and since when they are.
    ``began`` tells of each conversation which one it was begun in place of.
    """

    __slots__ = (
        "agent",
        "asking",
        "began",
        "ended",
        "id",
        "launches",
        "parent",
        "process",
        "reason",
        "relation",
        "retrying",
        "session",
        "since",
        "status",
        "turn",
    )

    def __init__(self, id_: LaunchId, session: SessionId) -> None:
        self.id = id_
        self.session = session
        self.agent = OTHER
        self.process: ProcessKey | None = None
        self.launches: dict[LaunchId, None] = {id_: None}
        self.began: dict[SessionId, SessionId | None] = {}
        self.parent: SessionId | None = None
        self.relation: Literal["forks", "reviews"] | None = None
        self.status: Status = "starting"
        self.since = ""
        self.reason = ""
        self.turn: tuple[str, str] | None = None
        self.asking: dict[str, tuple[str, str]] = {}
        self.retrying = False
        self.ended = False


class File:
    """One file of a conversation: what its first line says of it, and how far its last turn is."""

    __slots__ = (
        "agent_provider",
        "archived",
        "at",
        "code",
        "cwd",
        "model",
        "outcome",
        "path",
        "seen",
        "thread",
        "turn",
        "turn_at",
        "turn_since",
    )

    def __init__(self, thread: str, at: At) -> None:
        self.thread = thread
        self.at = at
        self.seen: TranscriptSeen | None = None
        self.path: str | None = None
        self.archived = False
        self.agent_provider = ""
        self.model: str | None = None
        self.cwd: str | None = None
        self.turn = ""
        self.turn_since = ""
        self.turn_at = ""  # when it began by the agent's own clock, if it was read much later
        self.outcome = ""  # empty while the turn goes on
        self.code = ""


class Transcript:
    """What the agent's files say of one conversation: never more than a claim. Its tallies are of what no request told."""

    __slots__ = ("files", "unseen")

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.unseen: Claim | None = None


class Flight(Struct, gc=False):
    """A request whose end was not told yet. ``auxiliary``: it belongs to no conversation."""

    source: str
    method: str = ""
    auxiliary: bool = False
    claim: Claim | None = None
    choice: Choice | None = None


class Response(Struct, gc=False):
    """What is known of one response: what its request and its transcript told, and where it counts.

    There are very many, and none is part of a cycle: the garbage collector need not look at them again and again.
    """

    owner: Claim
    cell: Cell
    asked: Tokens | None
    read: Tokens | None


@dataclass(slots=True)
class State:
    """Everything the registry knows at one position of the journal.

    ``aliases`` leads from an id to what it stands for: the ``named`` ones were announced and stay for ever, the ``declared``
    ones rest on a declaration alone. ``inside`` names the conversation of a thread that is no conversation of its own.
    ``unsettled`` conversations have claims to be judged again before the event is done (``identity.settle_all``).
    ``driven`` names the bridge that drives a session, or was the last one that did.
    ``nobody`` is whom requests count for that no session sent.
    ``dirty`` holds the sessions whose standing may have changed, with whether that may be more than their status.
    """

    limits: Limits = field(default_factory=Limits)
    epoch: str = ""
    position: int = 0
    time: str = ""
    sessions: dict[SessionId, Session] = field(default_factory=dict)
    processes: dict[ProcessKey, Process] = field(default_factory=dict)
    strays: dict[ProcessKey, None] = field(default_factory=dict)
    daemons: dict[ProcessKey, None] = field(default_factory=dict)
    launches: dict[LaunchId, Launch] = field(default_factory=dict)
    bridges: dict[LaunchId, Bridge] = field(default_factory=dict)
    driven: dict[SessionId, LaunchId] = field(default_factory=dict)
    transcripts: dict[SessionId, Transcript] = field(default_factory=dict)
    flights: dict[RequestId, Flight] = field(default_factory=dict)
    responses: dict[tuple[SessionId, str], Response] = field(default_factory=dict)
    ledger: Ledger = field(init=False)
    quotas: Quotas = field(init=False)
    nobody: Claim = field(init=False)
    preferences: Preferences = field(default_factory=Preferences)
    aliases: dict[SessionId, SessionId] = field(default_factory=dict)
    named: dict[SessionId, None] = field(default_factory=dict)
    declared: dict[SessionId, None] = field(default_factory=dict)
    inside: dict[SessionId, SessionId] = field(default_factory=dict)
    departed: dict[SessionId, None] = field(default_factory=dict)
    boots: dict[str, list[str]] = field(default_factory=dict)
    unsettled: dict[SessionId, None] = field(default_factory=dict)
    dirty: dict[SessionId, bool] = field(default_factory=dict)
    next_sweep: int = 0
    unattributed: int = 0
    counted: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the tables whose bounds are their own."""
        self.ledger = Ledger(self.limits.cells)
        self.quotas = Quotas(self.limits.quotas)
        self.nobody = Claim(SessionId(""), None)

    def count(self, what: str) -> None:
        """Count something that was set aside."""
        self.counted[what] = self.counted.get(what, 0) + 1

    def stir(self, *sessions: SessionId) -> None:
        """Mark sessions whose standing may have changed."""
        for name in sessions:
            self.dirty[name] = True
