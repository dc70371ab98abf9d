"""What the hub of the bridges is asked and told.

``session`` in each is any unique prefix of a launch's or a session's id, also of an older one. Must not know how it is done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from schemas.bridge_rows import AgentTable, BridgeRow, BridgeTable, History, Pending
from schemas.commands.register import command


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class StartSession:
    """Start an agent in ``cwd``; answered at once with the provisional row, before anything of the agent runs.

    ``program`` is the agent's file where it is not the first of its name on PATH, ``arguments`` are its own and come last.
    ``environ`` are variables on top of those that Tabwire was started with. ``resume`` is a conversation's id.
    """

    TYPE: ClassVar[str] = "bridges.start_session"
    ANSWER: ClassVar[type[Any]] = BridgeRow
    agent: str
    cwd: str
    provider: str = ""
    model: str = ""
    mode: str = ""
    resume: str = ""
    program: str = ""
    arguments: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class AttachSession:
    """Join a session whose agent runs in the user's own terminal; answered at once with its row, or with that it has already.

    Refused with what is missing, and what to do, where there is no exact way to it. Closing it afterwards only detaches.
    """

    TYPE: ClassVar[str] = "bridges.attach_session"
    ANSWER: ClassVar[type[Any]] = BridgeRow
    session: str


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class SendMessage:
    """Give the agent a message, now or when the running turn has ended; answered when it is accepted, with the row.

    ``message`` is the sender's own id for it and the name of its turn, by which the sender knows it on the stream: said twice
    with one id, it is given once. A text too long for one command comes in ``of`` parts, numbered from 1, in order; the last
    one is answered as the whole.
    """

    TYPE: ClassVar[str] = "bridges.send_message"
    ANSWER: ClassVar[type[Any]] = BridgeRow
    session: str
    text: str
    message: str
    part: int = 1
    of: int = 1
    by: str = "client"


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptTurn:
    """Stop the running turn. What waits behind it is given back as not sent when ``queued`` is true."""

    TYPE: ClassVar[str] = "bridges.interrupt_turn"
    ANSWER: ClassVar[type[Any]] = BridgeRow
    session: str
    queued: bool = False


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerApproval:
    """Answer what the agent asks. Refused with ``already_answered`` and by whom when somebody was first."""

    TYPE: ClassVar[str] = "bridges.answer_approval"
    ANSWER: ClassVar[type[Any]] = BridgeRow
    session: str
    approval: str
    option: str
    by: str = "client"


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSettings:
    """Change provider, model or mode from the next turn on; None leaves it, an empty provider gives up the session's own."""

    TYPE: ClassVar[str] = "bridges.change_settings"
    ANSWER: ClassVar[type[Any]] = BridgeRow
    session: str
    provider: str | None = None
    model: str | None = None
    mode: str | None = None


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class ClearConversation:
    """Begin a new conversation in the same session's place."""

    TYPE: ClassVar[str] = "bridges.clear_conversation"
    ANSWER: ClassVar[type[Any]] = BridgeRow
    session: str


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class ForkSession:
    """Start a session of its own that begins with this one's conversation."""

    TYPE: ClassVar[str] = "bridges.fork_session"
    ANSWER: ClassVar[type[Any]] = BridgeRow
    session: str


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class CloseSession:
    """End the agent, its tools and all they started, also in mid-turn. Answered when nothing of it runs any more."""

    TYPE: ClassVar[str] = "bridges.close_session"
    ANSWER: ClassVar[type[Any]] = BridgeRow
    session: str


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class ResetWorkspace:
    """Close every driven session of one folder. Refused with ``in_use`` while one works, unless ``force``."""

    TYPE: ClassVar[str] = "bridges.reset_workspace"
    ANSWER: ClassVar[type[Any]] = BridgeTable
    cwd: str
    agent: str = ""
    force: bool = False


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSession:
    """Start another agent that reviews the work of a session (driven or not): its diff, last turns, ``instructions``.

    ``environ`` are variables as for a start; those that the session was given itself come before them.
    """

    TYPE: ClassVar[str] = "bridges.review_session"
    ANSWER: ClassVar[type[Any]] = BridgeRow
    session: str
    agent: str
    provider: str = ""
    model: str = ""
    instructions: str = ""
    against: str = ""
    environ: dict[str, str] = field(default_factory=dict)


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class SendBack:
    """Give the findings of a review, its last reply, to the session that it reviews, as a message."""

    TYPE: ClassVar[str] = "bridges.send_back"
    ANSWER: ClassVar[type[Any]] = BridgeRow
    session: str


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class ListBridges:
    """Answer with every driven session."""

    TYPE: ClassVar[str] = "bridges.list_bridges"
    ANSWER: ClassVar[type[Any]] = BridgeTable


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class ListAgents:
    """Answer with every agent that can be driven, and what was found of it, as a start with ``environ`` would find it."""

    TYPE: ClassVar[str] = "bridges.list_agents"
    ANSWER: ClassVar[type[Any]] = AgentTable
    environ: dict[str, str] = field(default_factory=dict)


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class ShowPending:
    """Answer with what is under way in a session, to go on from with its stream."""

    TYPE: ClassVar[str] = "bridges.show_pending"
    ANSWER: ClassVar[type[Any]] = Pending
    session: str


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class ShowHistory:
    """Answer with the completed turns of a session, the newest page or that in front of ``before``."""

    TYPE: ClassVar[str] = "bridges.show_history"
    ANSWER: ClassVar[type[Any]] = History
    session: str
    before: str = ""
    limit: int = 50
