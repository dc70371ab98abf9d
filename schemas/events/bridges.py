"""What bridges do with the agents that they drive.

No content: what was said, asked and shown goes over the stream (``schemas.content``) and is never recorded. Subject:
session/<session>, the provisional one until ``bridge.identified``. Published by the actor ``bridges`` alone.
Must not know how an agent is driven.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from schemas.events.values import Count, Id, Milliseconds, Path, Usage, event
from schemas.evidence import Line, Word
from schemas.identity import LaunchId, ProcessKey, SessionId

TurnId = Annotated[str, Meta(max_length=128)]
TurnOutcome = Literal["completed", "interrupted", "failed"]
ApprovalOutcome = Literal["allowed", "denied", "cancelled"]


@event
class BridgeStarted(Struct, frozen=True, kw_only=True, gc=False):
    """A bridge was started, or started again (``restarts``), to drive an agent.

    ``parent`` is the session that this one reviews or was forked from, as ``relation`` tells. ``resumed`` is the
    conversation that the agent was asked to take up. A launch is one process's for ever: ``spawned`` is that of this process
    where it is not the first one, which ``launch`` (and the stream) is named by.
    """

    TYPE: ClassVar[str] = "bridge.started"
    launch: LaunchId
    session: SessionId
    agent: Word
    process: ProcessKey
    cwd: Path
    provider: Word | None = None
    model: Line | None = None
    mode: Word | None = None
    parent: SessionId | None = None
    relation: Literal["forks", "reviews"] | None = None
    resumed: Id | None = None
    restarts: Count = 0
    spawned: LaunchId | None = None


@event
class BridgeReady(Struct, frozen=True, kw_only=True, gc=False):
    """The agent runs and has answered its greeting."""

    TYPE: ClassVar[str] = "bridge.ready"
    launch: LaunchId
    session: SessionId
    process: ProcessKey
    version: Word = ""


@event
class BridgeIdentified(Struct, frozen=True, kw_only=True, gc=False):
    """The agent named its conversation. ``succeeds`` is the session that it began in place of, as after a clear."""

    TYPE: ClassVar[str] = "bridge.identified"
    launch: LaunchId
    session: SessionId
    conversation: Id
    succeeds: SessionId | None = None


@event
class BridgeTurnStarted(Struct, frozen=True, kw_only=True, gc=False):
    """The agent began to work on a message of ``length`` characters."""

    TYPE: ClassVar[str] = "bridge.turn_started"
    launch: LaunchId
    session: SessionId
    turn: TurnId
    length: Count = 0


@event
class BridgeTurnEnded(Struct, frozen=True, kw_only=True, gc=False):
    """The agent is done with a message. ``reason`` is ours, never the agent's text; ``reply_length`` is in characters."""

    TYPE: ClassVar[str] = "bridge.turn_ended"
    launch: LaunchId
    session: SessionId
    turn: TurnId
    outcome: TurnOutcome
    milliseconds: Milliseconds
    reason: Line = ""
    reply_length: Count = 0
    tools: Count = 0
    usage: Usage | None = None


@event
class BridgeApprovalRequested(Struct, frozen=True, kw_only=True, gc=False):
    """The agent asks whether it may do something, and waits."""

    TYPE: ClassVar[str] = "bridge.approval_requested"
    launch: LaunchId
    session: SessionId
    approval: Id
    kind: Word
    seconds: Count


@event
class BridgeApprovalResolved(Struct, frozen=True, kw_only=True, gc=False):
    """It was answered, by whom (``by``: a client's name, ``deadline``, ``interrupt``, ``bridge``)."""

    TYPE: ClassVar[str] = "bridge.approval_resolved"
    launch: LaunchId
    session: SessionId
    approval: Id
    outcome: ApprovalOutcome
    by: Word
    milliseconds: Milliseconds


@event
class BridgeSettingsChanged(Struct, frozen=True, kw_only=True, gc=False):
    """Provider, model or mode of a driven session changed; None is as it was."""

    TYPE: ClassVar[str] = "bridge.settings_changed"
    launch: LaunchId
    session: SessionId
    provider: Word | None = None
    model: Line | None = None
    mode: Word | None = None


@event
class BridgeFailed(Struct, frozen=True, kw_only=True, gc=False):
    """Something of the agent or its bridge broke; ``reason`` is ours and says what to do. Whether it goes on: ``retrying``."""

    TYPE: ClassVar[str] = "bridge.failed"
    launch: LaunchId
    session: SessionId
    code: Word
    reason: Line
    retrying: bool = False


@event
class BridgeAttached(Struct, frozen=True, kw_only=True, gc=False):
    """A bridge joined a session whose agent runs in the user's own terminal. Says nothing of whose the session is.

    ``channel`` is how. What is said and done then, the agent's transcript, hooks and requests tell as before: of a session that
    was only joined there are no other facts of its bridge.
    """

    TYPE: ClassVar[str] = "bridge.attached"
    launch: LaunchId
    session: SessionId
    channel: Word
    process: ProcessKey


@event
class BridgeDetached(Struct, frozen=True, kw_only=True, gc=False):
    """A bridge left the session that it had joined. The agent goes on, unless ``reason`` says that it is gone."""

    TYPE: ClassVar[str] = "bridge.detached"
    launch: LaunchId
    session: SessionId
    reason: Line


@event
class BridgeEnded(Struct, frozen=True, kw_only=True, gc=False):
    """A bridge and everything that it had started has ended."""

    TYPE: ClassVar[str] = "bridge.ended"
    launch: LaunchId
    session: SessionId
    reason: Line
    exit_code: int | None = None
