"""Facts of agents' processes, of launches, and what agents' hooks report.

Must not know how any of it is observed.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from schemas.events.values import (
    Endpoint,
    Id,
    Path,
    ProcessKind,
    event,
)
from schemas.evidence import Evidence, Line, Word
from schemas.identity import ConversationKey, LaunchId, ProcessKey, SessionId, TerminalKey

# Subject: process/<process id>.


@event
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


@event
class ProcessExited(Struct, frozen=True, kw_only=True, gc=False):
    """A process that had been seen is gone."""

    TYPE: ClassVar[str] = "process.exited"
    process: ProcessKey


# Subject of the two below: session/<session>. The rank is that of their statement: 2 for a file that the kernel says the
# process holds open, 3 for what it declares (an argument, a file of its own about itself).


@event
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


@event
class ProcessConversationLost(Struct, frozen=True, kw_only=True, gc=False):
    """A process was seen to have a conversation no more, though it lives: it closed it or went on to another."""

    TYPE: ClassVar[str] = "process.conversation_lost"
    process: ProcessKey
    agent: Word
    session: SessionId
    conversation: ConversationKey
    reason: Line


# Subject: launch/<launch>.


@event
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


@event
class LaunchEnded(Struct, frozen=True, kw_only=True, gc=False):
    """The launched process is gone; its token is worth nothing from here on."""

    TYPE: ClassVar[str] = "launch.ended"
    launch: LaunchId
    reason: Line = "process exited"


# Subject: session/<session>, or process/<process id> when the hook names no conversation that can be believed.


@event
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
