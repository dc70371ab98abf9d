"""The values of a driven session's conversation: its state, and what its step takes and gives. Frozen; see ``conversation``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from actors.bridge import adapter as seam
from actors.bridge import contract
from actors.bridge.approvals import Approvals
from schemas.bridge_rows import Ability
from schemas.content import Channel, StatusTold

MAX_QUEUED: Final = 64
MAX_QUEUED_TEXT: Final = 16_777_216

Phase = Literal["starting", "ready", "ending", "over"]


@dataclass(frozen=True, slots=True)
class Moment:
    """A time on two clocks, in seconds: the steady one, which nobody sets, and the time of day since 1970."""

    steady: float
    wall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long anything may take, in seconds.

    ``patience``: an approval's answer; ``greeting``: the agent's; ``interrupt``: the end of a turn behind it; ``operation``: a
    change or a clear; ``stuck``: until it reads what it is told. After ``quiet`` without a word in a turn that uses no tool,
    the status says so.
    """

    patience: float = 300.0
    greeting: float = 60.0
    interrupt: float = 10.0
    operation: float = 60.0
    quiet: float = 120.0
    stuck: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that waits to be given."""

    turn: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A change or a clear, waiting or under way; ``ask`` is whom to answer, None when that was done."""

    what: seam.Change | seam.Clear
    ask: int | None
    expires: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The running turn: what of it is open, and until when it has to end where it was interrupted."""

    id: str
    texts: Mapping[tuple[str, Channel], int] = field(default_factory=lambda: MappingProxyType({}))
    tools: tuple[str, ...] = ()
    interrupted_until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why the agent is being ended."""

    code: str
    reason: str
    resumable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything about one driven session. ``inner`` is its adapter's."""

    agent: str
    can: frozenset[Ability]
    terms: Terms
    inner: Any = field(repr=False)
    phase: Phase = "starting"
    provider: str = ""
    model: str = ""
    mode: str = ""
    waiting: tuple[Message | Operation, ...] = ()
    turn: Turn | None = None
    operation: Operation | None = None
    approvals: Approvals = field(default_factory=Approvals)
    timers: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    status: StatusTold | None = None
    greet_until: float | None = None
    heard: float = 0.0
    ending: Ending | None = None
    closing: tuple[int, ...] = ()

    @property
    def queued(self) -> int:
        """Return how many messages wait."""
        return sum(isinstance(item, Message) for item in self.waiting)


# Inputs, beside the lines of the hub and the adapter's LineCame and LineSkipped


@dataclass(frozen=True, slots=True)
class Started:
    """The agent's process runs."""

    pid: int
    argv0: str


@dataclass(frozen=True, slots=True)
class Stuck:
    """The agent has not read its stdin for so many seconds although there is something to read."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Broken:
    """The adapter, or the step, raised this: the session cannot go on. The state is that of before, ``ask`` unanswered."""

    what: str
    ask: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited:
    """The agent's process ended and what was left of it was ended; ``survivors`` would not. ``words``: its last on stderr."""

    code: int | None
    survivors: int = 0
    words: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class HubGone:
    """Nobody is there to tell anything: end."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A deadline may be over."""


Input = contract.Ask | seam.LineCame | seam.LineSkipped | Started | Stuck | Broken | Exited | HubGone | Tick

# Outputs, beside the adapter's Write and Note


@dataclass(frozen=True, slots=True)
class Tell:
    """Say this to the hub."""

    line: contract.Up


@dataclass(frozen=True, slots=True)
class End:
    """End the agent and all that it started, then give ``Exited``."""


Output = Tell | seam.Write | seam.Note | End
