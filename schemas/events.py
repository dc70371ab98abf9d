"""Every fact of the system, in the past tense, one frozen Struct each.

Rules: a breaking change is a new type plus an upcaster; an optional field is free; readers tolerate unknown fields and
unknown types. No field can hold a prompt, a completion, a key or an environment block: strings are bounded, free text is
written by us and never copied from a body. Durations are in milliseconds, sizes in bytes, times RFC 3339 in UTC.

Must not know: who publishes or folds them, beyond what each docstring says.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeVar

from msgspec import Meta, Struct

from schemas.evidence import Evidence, Line, Word
from schemas.identity import ConversationKey, LaunchId, ProcessKey, RequestId, SessionId, TerminalKey

Id = Annotated[str, Meta(max_length=200)]
Path = Annotated[str, Meta(max_length=4096)]
Count = Annotated[int, Meta(ge=0)]
Milliseconds = Annotated[float, Meta(ge=0)]

Dialect = Literal["openai.responses", "openai.chat", "anthropic.messages", "openai.other", "unknown"]
ThreadKind = Literal["main", "subagent", "review", "title", "compaction", "unknown"]
Status = Literal["starting", "working", "waiting_permission", "waiting_input", "idle", "error", "gone"]
ProcessKind = Literal["tui", "exec", "app_server", "daemon", "mcp", "wrapper", "other"]

EVENTS: dict[str, type[Any]] = {}
_C = TypeVar("_C", bound=type[Any])


def _event(cls: _C) -> _C:
    if cls.TYPE in EVENTS:
        raise TypeError(f"event type {cls.TYPE!r} is defined twice")
    EVENTS[cls.TYPE] = cls
    return cls


# ---------------------------------------------------------------------------------------------------- values


class Usage(Struct, frozen=True, kw_only=True, gc=False):
    """Tokens of one response as its provider counted them; cached input is part of input, reasoning part of output."""

    input: Count = 0
    cached_input: Count = 0
    output: Count = 0
    reasoning: Count = 0
    total: Count = 0


class Candidate(Struct, frozen=True, kw_only=True, gc=False):
    """A provider that was considered for a request, and why it was skipped (empty when it was chosen)."""

    provider: Word
    skipped: Line = ""


class Timing(Struct, frozen=True, kw_only=True, gc=False):
    """Where the time of one request went; a phase that was not reached is None."""

    total_ms: Milliseconds
    attribution_ms: Milliseconds | None = None
    upstream_head_ms: Milliseconds | None = None
    first_byte_ms: Milliseconds | None = None


class Endpoint(Struct, frozen=True, kw_only=True, gc=False):
    """Where an agent sends its model requests as far as its arguments, environment and configuration tell.

    ``origin`` is scheme, host and port, never a path or a credential; ``source`` names what says so.
    """

    verdict: Literal["gateway", "other", "unknown"]
    source: Line
    origin: Line = ""


# ---------------------------------------------------------------------------------------------------- request.*
# Subject of request.received: request/<request>. Of every later one: session/<session>, or request/<request> again when
# the caller could not be attributed (``session`` is None then, and request.attributed says why).


@_event
class RequestReceived(Struct, frozen=True, kw_only=True, gc=False):
    """The gateway read the head of a request and let the caller in. ``path`` has its launch token removed."""

    TYPE: ClassVar[str] = "request.received"
    request: RequestId
    method: Word
    path: Line
    dialect: Dialect
    peer: Word


@_event
class RequestAttributed(Struct, frozen=True, kw_only=True, gc=False):
    """Who sent a request: the session it counts for, and every statement that was used or rejected."""

    TYPE: ClassVar[str] = "request.attributed"
    request: RequestId
    session: SessionId | None
    agent: Word
    conversation: ConversationKey | None = None
    thread: Id | None = None
    thread_kind: ThreadKind = "unknown"
    parent_thread: Id | None = None
    process: ProcessKey | None = None
    process_kind: ProcessKind = "other"
    terminal: TerminalKey | None = None
    terminal_missing: Line = ""
    launch: LaunchId | None = None
    cwd: Path | None = None
    evidence: tuple[Evidence, ...] = ()
    elapsed_ms: Milliseconds = 0


@_event
class RequestRouted(Struct, frozen=True, kw_only=True, gc=False):
    """Which provider a request went to, and why; every candidate that was passed over says so."""

    TYPE: ClassVar[str] = "request.routed"
    request: RequestId
    session: SessionId | None
    provider: Word
    reason: Line
    candidates: tuple[Candidate, ...] = ()
    requested_model: Line | None = None
    sent_model: Line | None = None


@_event
class RequestFirstByte(Struct, frozen=True, kw_only=True, gc=False):
    """The provider's answer began to reach the caller."""

    TYPE: ClassVar[str] = "request.first_byte"
    request: RequestId
    session: SessionId | None
    provider: Word
    status: Count
    first_byte_ms: Milliseconds


@_event
class RequestCompleted(Struct, frozen=True, kw_only=True, gc=False):
    """The answer ended as its dialect says it must; success is the end of the stream, not the status line."""

    TYPE: ClassVar[str] = "request.completed"
    request: RequestId
    session: SessionId | None
    provider: Word
    status: Count
    timing: Timing
    bytes_in: Count
    bytes_out: Count
    usage: Usage | None = None
    response: Id | None = None
    requested_model: Line | None = None
    served_model: Line | None = None


@_event
class RequestFailed(Struct, frozen=True, kw_only=True, gc=False):
    """The request ended badly: refused by us, by the provider, or cut. ``status`` is what the caller was given."""

    TYPE: ClassVar[str] = "request.failed"
    request: RequestId
    session: SessionId | None
    phase: Literal["admission", "attribution", "routing", "connect", "response_head", "stream"]
    code: Word
    message: Line
    status: Count
    timing: Timing
    provider: Word | None = None
    upstream_status: Count | None = None
    bytes_in: Count = 0
    bytes_out: Count = 0
    usage: Usage | None = None
    response: Id | None = None
    requested_model: Line | None = None
    served_model: Line | None = None


@_event
class RequestCancelled(Struct, frozen=True, kw_only=True, gc=False):
    """The caller left before the end; the provider's connection was closed at once."""

    TYPE: ClassVar[str] = "request.cancelled"
    request: RequestId
    session: SessionId | None
    phase: Literal["attribution", "routing", "connect", "response_head", "stream"]
    timing: Timing
    provider: Word | None = None
    bytes_in: Count = 0
    bytes_out: Count = 0
    usage: Usage | None = None
    response: Id | None = None
    requested_model: Line | None = None
    served_model: Line | None = None


# ---------------------------------------------------------------------------------------------------- process.*
# Subject: process/<process id>.


@_event
class ProcessSeen(Struct, frozen=True, kw_only=True, gc=False):
    """An agent's process was seen; said again, whole, when an exec or a late reading changed what is known of it.

    ``parent`` is the nearest agent above it, ``unreadable`` why the rest could not be read (another user's, elevated).
    """

    TYPE: ClassVar[str] = "process.seen"
    process: ProcessKey
    agent: Word
    kind: ProcessKind
    terminal: TerminalKey | None = None
    terminal_missing: Line = ""
    cwd: Path | None = None
    launch: LaunchId | None = None
    evidence: tuple[Evidence, ...] = ()
    started: Word = ""
    parent: ProcessKey | None = None
    endpoint: Endpoint | None = None
    unreadable: Line = ""


@_event
class ProcessExited(Struct, frozen=True, kw_only=True, gc=False):
    """A process that had been seen is gone."""

    TYPE: ClassVar[str] = "process.exited"
    process: ProcessKey


# Subject of the two below: session/<session>. The rank is that of their statement: 2 for a file that the kernel says the
# process holds open, 3 for what it declares (an argument, a file of its own about itself).


@_event
class ProcessConversationFound(Struct, frozen=True, kw_only=True, gc=False):
    """A process was seen to have a conversation, before or after its first request; ``evidence`` says by what."""

    TYPE: ClassVar[str] = "process.conversation_found"
    process: ProcessKey
    agent: Word
    session: SessionId
    conversation: ConversationKey
    thread: Id | None = None
    transcript: Path | None = None
    evidence: tuple[Evidence, ...] = ()


@_event
class ProcessConversationLost(Struct, frozen=True, kw_only=True, gc=False):
    """A process was seen to have a conversation no more, though it lives: it closed it or went on to another."""

    TYPE: ClassVar[str] = "process.conversation_lost"
    process: ProcessKey
    agent: Word
    session: SessionId
    conversation: ConversationKey
    reason: Line


# ---------------------------------------------------------------------------------------------------- transcript.*
# Subject: session/<session>. Published by the rollout watcher from the files that agents write. ``file`` names the file by
# its content, ``offset`` is where the line that said it ends; with both a restart goes on exactly where it had ended.


@_event
class TranscriptSeen(Struct, frozen=True, kw_only=True, gc=False):
    """A conversation's file was seen: what its first line says of it. ``agent_provider`` is a claim, shown and never trusted.

    ``root`` is the conversation that a sub-agent's or review's thread belongs to, the session of this event.
    """

    TYPE: ClassVar[str] = "transcript.seen"
    session: SessionId
    conversation: ConversationKey
    agent: Word
    thread: Id
    thread_kind: ThreadKind
    path: Path
    file: Word
    offset: Count
    created: Word = ""
    cwd: Path | None = None
    origin: Line = ""
    originator: Line = ""
    agent_version: Word = ""
    agent_provider: Word = ""
    git_branch: Line = ""
    git_commit: Word = ""
    parent_thread: Id | None = None
    forked_from: ConversationKey | None = None
    archived: bool = False


@_event
class TranscriptTurnStarted(Struct, frozen=True, kw_only=True, gc=False):
    """The agent began to work on a message."""

    TYPE: ClassVar[str] = "transcript.turn_started"
    session: SessionId
    file: Word
    offset: Count
    thread: Id
    turn: Id
    at: Word = ""
    trigger: Word = ""


@_event
class TranscriptTurnEnded(Struct, frozen=True, kw_only=True, gc=False):
    """A turn ended: completed, aborted by the user, or failed with the agent's own error code (its text stays in the file)."""

    TYPE: ClassVar[str] = "transcript.turn_ended"
    session: SessionId
    file: Word
    offset: Count
    thread: Id
    turn: Id
    outcome: Literal["completed", "aborted", "failed"]
    at: Word = ""
    code: Word = ""
    duration_ms: Milliseconds | None = None


@_event
class TranscriptUsageRecorded(Struct, frozen=True, kw_only=True, gc=False):
    """The agent recorded what one response cost; ``response`` is the provider's id of it, the join to the request."""

    TYPE: ClassVar[str] = "transcript.usage_recorded"
    session: SessionId
    file: Word
    offset: Count
    thread: Id
    response: Id
    usage: Usage
    turn: Id | None = None
    model: Line | None = None


@_event
class TranscriptSettingsChanged(Struct, frozen=True, kw_only=True, gc=False):
    """The agent recorded the settings that hold from here on."""

    TYPE: ClassVar[str] = "transcript.settings_changed"
    session: SessionId
    file: Word
    offset: Count
    thread: Id
    at: Word = ""
    agent_provider: Word = ""
    model: Line | None = None
    cwd: Path | None = None
    approval_policy: Word = ""
    sandbox: Word = ""


@_event
class TranscriptMoved(Struct, frozen=True, kw_only=True, gc=False):
    """A conversation's file is elsewhere: archived, brought back, compressed, or removed (``path`` is None then)."""

    TYPE: ClassVar[str] = "transcript.moved"
    session: SessionId
    file: Word
    path: Path | None
    archived: bool


@_event
class TranscriptLineRejected(Struct, frozen=True, kw_only=True, gc=False):
    """A line could not be read and was skipped, nothing else. Subject session/<session>, or transcript/<file> without one."""

    TYPE: ClassVar[str] = "transcript.line_rejected"
    session: SessionId | None
    path: Path
    file: Word
    offset: Count
    length: Count
    reason: Line


# ---------------------------------------------------------------------------------------------------- hook.*
# Subject: session/<session>, or process/<process id> when the hook names no conversation that can be believed.


@_event
class HookReceived(Struct, frozen=True, kw_only=True, gc=False):
    """An agent's hook reported: its name and metadata, never what was typed or answered.

    ``process`` is the agent that ran the hook, by the kernel's account of the caller and its ancestors.
    """

    TYPE: ClassVar[str] = "hook.received"
    agent: Word
    hook: Word
    session: SessionId | None
    conversation: ConversationKey | None = None
    process: ProcessKey | None = None
    process_kind: ProcessKind = "other"
    terminal: TerminalKey | None = None
    launch: LaunchId | None = None
    turn: Id | None = None
    cwd: Path | None = None
    transcript: Path | None = None
    detail: Word = ""
    evidence: tuple[Evidence, ...] = ()


# ---------------------------------------------------------------------------------------------------- launch.*
# Subject: launch/<launch>.


@_event
class LaunchStarted(Struct, frozen=True, kw_only=True, gc=False):
    """An agent was started by us: its first process, and what was asked for. Its arguments are not told: they hold prompts."""

    TYPE: ClassVar[str] = "launch.started"
    launch: LaunchId
    agent: Word
    process: ProcessKey
    terminal: TerminalKey | None = None
    cwd: Path | None = None
    provider: Word | None = None
    model: Line | None = None


@_event
class LaunchEnded(Struct, frozen=True, kw_only=True, gc=False):
    """The launched process is gone; its token is worth nothing from here on."""

    TYPE: ClassVar[str] = "launch.ended"
    launch: LaunchId
    reason: Line = "process exited"


# ---------------------------------------------------------------------------------------------------- session.*
# Subject: session/<session>, and of session.identified session/<provisional>, so that whoever waits for that one hears it.
# Published by the registry alone, as effects of its fold.


@_event
class SessionSeen(Struct, frozen=True, kw_only=True, gc=False):
    """A session is known for the first time, provisional or not."""

    TYPE: ClassVar[str] = "session.seen"
    session: SessionId
    agent: Word
    provisional: bool


@_event
class SessionIdentified(Struct, frozen=True, kw_only=True, gc=False):
    """The conversation behind a provisional session is proven; the provisional id stays an alias for ever."""

    TYPE: ClassVar[str] = "session.identified"
    session: SessionId
    provisional: SessionId


@_event
class SessionVerified(Struct, frozen=True, kw_only=True, gc=False):
    """A request of this session went through the gateway with evidence of rank 1 or 2."""

    TYPE: ClassVar[str] = "session.verified"
    session: SessionId
    request: RequestId
    rank: Annotated[int, Meta(ge=1, le=2)]


@_event
class SessionConflicted(Struct, frozen=True, kw_only=True, gc=False):
    """A statement contradicted one of a higher rank; the higher one stands."""

    TYPE: ClassVar[str] = "session.conflicted"
    session: SessionId
    evidence: Evidence


@_event
class SessionLinked(Struct, frozen=True, kw_only=True, gc=False):
    """A session was found to come from another one: forked from it, reviewing it, or begun in its place by the same process."""

    TYPE: ClassVar[str] = "session.linked"
    session: SessionId
    relation: Literal["forks", "reviews", "succeeds"]
    to: SessionId


@_event
class SessionStatusChanged(Struct, frozen=True, kw_only=True, gc=False):
    """What a session is doing changed, as told by ``source`` (request, transcript, hook, process)."""

    TYPE: ClassVar[str] = "session.status_changed"
    session: SessionId
    status: Status
    since: Word
    source: Word
    reason: Line = ""


@_event
class SessionGone(Struct, frozen=True, kw_only=True, gc=False):
    """The last process of a session exited."""

    TYPE: ClassVar[str] = "session.gone"
    session: SessionId
    reason: Line


@_event
class SessionReturned(Struct, frozen=True, kw_only=True, gc=False):
    """A session that was gone has a living process again, as after a resume."""

    TYPE: ClassVar[str] = "session.returned"
    session: SessionId


# ---------------------------------------------------------------------------------------------------- actor.*
# Subject: actor/<name>. Published by the supervisor, except actor.dropped.


@_event
class ActorStarted(Struct, frozen=True, kw_only=True, gc=False):
    """The supervisor started an actor's process."""

    TYPE: ClassVar[str] = "actor.started"
    actor: Word
    incarnation: Word
    pid: Count
    restarts: Count


@_event
class ActorReady(Struct, frozen=True, kw_only=True, gc=False):
    """An actor said that it is ready to work."""

    TYPE: ClassVar[str] = "actor.ready"
    actor: Word
    incarnation: Word
    pid: Count
    start_ms: Milliseconds


@_event
class ActorExited(Struct, frozen=True, kw_only=True, gc=False):
    """An actor's process ended; ``code`` is its exit code, negative for a signal."""

    TYPE: ClassVar[str] = "actor.exited"
    actor: Word
    incarnation: Word
    pid: Count
    code: int
    reason: Line


@_event
class ActorFailed(Struct, frozen=True, kw_only=True, gc=False):
    """An actor is not started again until somebody acts: it crashed too often, or its configuration is bad."""

    TYPE: ClassVar[str] = "actor.failed"
    actor: Word
    reason: Line


@_event
class ActorDropped(Struct, frozen=True, kw_only=True, gc=False):
    """An actor's outbox was full and facts were lost; said when the bus took facts again."""

    TYPE: ClassVar[str] = "actor.dropped"
    actor: Word
    count: Count
    since: Word
    until: Word
    types: dict[Word, Count] = {}
    reason: Line = "outbox full"


# ---------------------------------------------------------------------------------------------------- bus.*
# Subject: bus/journal. Published by the broker.


@_event
class JournalOpened(Struct, frozen=True, kw_only=True, gc=False):
    """The broker opened its journal and serves from here on."""

    TYPE: ClassVar[str] = "bus.journal_opened"
    epoch: Word
    first: Count
    head: Count
    recovered_ms: Milliseconds


@_event
class JournalDamaged(Struct, frozen=True, kw_only=True, gc=False):
    """A range of the journal could not be read; it was set aside, and nothing else was lost."""

    TYPE: ClassVar[str] = "bus.journal_damaged"
    first: Count
    last: Count
    reason: Line
    kept_at: Path


@_event
class JournalTrimmed(Struct, frozen=True, kw_only=True, gc=False):
    """Events below ``first`` were removed by the retention rule."""

    TYPE: ClassVar[str] = "bus.journal_trimmed"
    first: Count
    removed: Count
    reason: Line
