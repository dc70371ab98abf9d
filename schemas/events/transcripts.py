"""Facts that the rollout watcher reads in the files that agents write.

Must not know the formats of those files.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import Struct

from schemas.events.values import (
    Count,
    Id,
    Milliseconds,
    Path,
    Percent,
    ThreadKind,
    Usage,
    event,
)
from schemas.evidence import Line, Word
from schemas.identity import ConversationKey, SessionId

# Subject: session/<session>. Published by the rollout watcher from the files that agents write. ``file`` names the file by
# its content, ``offset`` is where the line that said it ends; with both a restart goes on exactly where it had ended.


@event
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


@event
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


@event
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


@event
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


@event
class TranscriptQuotaObserved(Struct, frozen=True, kw_only=True, gc=False):
    """The agent recorded how much of a quota window its own account has used; told when that has changed.

    ``window`` is the limit's name, ``minutes`` the window's length (None: not told), ``resets_at`` RFC 3339.
    """

    TYPE: ClassVar[str] = "transcript.quota_observed"
    session: SessionId
    file: Word
    offset: Count
    thread: Id
    window: Word
    used_percent: Percent
    minutes: Count | None = None
    resets_at: Word = ""
    at: Word = ""
    agent_provider: Word = ""


@event
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


@event
class TranscriptMoved(Struct, frozen=True, kw_only=True, gc=False):
    """A conversation's file is elsewhere: archived, brought back, compressed, or removed (``path`` is None then)."""

    TYPE: ClassVar[str] = "transcript.moved"
    session: SessionId
    file: Word
    path: Path | None
    archived: bool


@event
class TranscriptLineRejected(Struct, frozen=True, kw_only=True, gc=False):
    """A line could not be read and was skipped, nothing else. Subject session/<session>, or transcript/<file> without one."""

    TYPE: ClassVar[str] = "transcript.line_rejected"
    session: SessionId | None
    path: Path
    file: Word
    offset: Count
    length: Count
    reason: Line
