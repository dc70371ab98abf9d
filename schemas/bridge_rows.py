"""What the hub of the bridges answers with. Fields are only ever added. Must not know how it is found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.content import Piece
from schemas.events import Status, Usage
from schemas.identity import LaunchId, ProcessKey, SessionId

Ability = Literal["interrupt", "approve", "set_model", "set_mode", "clear", "fork", "resume", "review", "history"]
Channel = Literal["app-server", "queue", "tmux"]
"""How an agent that runs in the user's own terminal is joined: over its control socket, by its own queue of messages, or by
typing into its pane of tmux; the last two are followed from its transcript."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeRow:
    """One driven session. ``launch`` names its stream and stays; ``session`` changes once the conversation is known.

    ``turns`` is the length of the conversation as the bridge counted it; ``queued`` messages wait for the running one.
    ``attached`` is the channel over which an agent of the user's is joined, which nothing that is done here ends.
    """

    launch: LaunchId
    session: SessionId
    agent: str
    cwd: str
    status: Status
    status_since: str
    created: str
    last_used: str
    status_reason: str = ""
    initialised: bool = False
    conversation: str = ""
    provider: str = ""
    model: str = ""
    mode: str = ""
    turns: int = 0
    queued: int = 0
    approvals: int = 0
    can: tuple[Ability, ...] = ()
    version: str = ""
    process: ProcessKey | None = None
    restarts: int = 0
    parent: SessionId | None = None
    relation: Literal["forks", "reviews"] | None = None
    note: str = ""
    attached: Channel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeTable:
    """Every driven session, last used first."""

    bridges: tuple[BridgeRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRow:
    """One agent that can be driven: what was found on this computer, and what it can do. ``problem`` says what is missing."""

    agent: str
    protocol: str
    program: str = ""
    version: str = ""
    tested: str = ""
    can: tuple[Ability, ...] = ()
    modes: tuple[str, ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTable:
    """Every agent that there is an adapter for."""

    agents: tuple[AgentRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What is under way in one session, as of ``sequence`` of its stream: go on with the frame behind it.

    ``pieces`` tell the running turn from its start, texts joined, the oldest left out where ``cut`` says so.
    """

    bridge: BridgeRow
    run: str
    sequence: int
    turn: str = ""
    pieces: tuple[Piece, ...] = ()
    cut: bool = False
    usage: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of a conversation's past. ``cut`` tells that pieces were left out of it, for their size.

    A turn that its bridge saw is named as on the stream, so that who has it from there (or from what was pending) knows it.
    """

    turn: str
    started: str
    pieces: tuple[Piece, ...]
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Completed turns, oldest first. ``before`` asks for the page in front of this one (empty: there is none).

    ``source`` says where they are from: the agent's own ``transcript``, or the ``bridge``, which only knows what it has seen.
    """

    session: SessionId
    source: Literal["transcript", "bridge", "none"]
    turns: tuple[Turn, ...]
    before: str = ""
    note: str = ""
