"""The seam between what every driven session has in common (``actors.bridge.conversation``) and one agent's protocol.

Theory of operation
-------------------
An adapter is a module of ``actors.bridge.adapters`` with four names (``Adapter``): its ``FACTS``, a ``plan`` (how the agent
is started), a ``begin`` (its first state) and a ``step``. Step is pure: (state, input) → (state, outputs), frozen values, no
clock, no process. One line of the agent goes in at a time; the adapter knows ids, framing and order of its protocol, and
nothing else:

* whether a message may be given now, what waits, who answered an approval first, how long anything may take and what is
  told to whom is the conversation's, for all agents alike;
* an adapter gets a ``Prompt`` only when no turn runs, an ``Interrupt`` only while one does, a ``Decide`` only for an approval
  that is open. It ends every turn that it began with ``TurnEnded`` in ``Say``, exactly once, whatever the agent does. (When the
  agent's process ends, the conversation does that for it.)
* an unknown message of the agent is no error (``Note`` it); one that breaks the protocol so that nobody can go on is ``Fail``.

Must not know the hub, pipes, the gateway's rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from actors.launch.plan import Door
from schemas.attachment import Attachment
from schemas.bridge_rows import Ability
from schemas.content import Option, Piece


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFacts:
    """What is known of an agent before any runs.

    ``agent`` is its name in sessions, ``programs`` the files that it may be. ``version_arguments`` make it print its version;
    ``tested`` is the version that the adapter was written against.
    ``modes`` are its names for how much it may do unasked, the first one is where it starts.
    """

    agent: str
    protocol: str
    programs: tuple[str, ...]
    tested: str
    can: frozenset[Ability]
    modes: tuple[str, ...] = ()
    version_arguments: tuple[str, ...] = ("--version",)
    install: str = ""
    notes: tuple[str, ...] = ()
    greeting_seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What a session is to be: where, behind which door, with what asked for.

    ``environ`` is all that the agent would be started with. ``read`` gives an agent's own file, or None; ``guarded`` tells
    whether nobody else can write in any folder above one. ``now`` is the time of day, in seconds since 1970 (0: not known).
    With ``attach`` an agent of the user's is to be joined, and none started.
    """

    cwd: Path
    door: Door
    program: str
    arguments: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    provider: str = ""
    model: str = ""
    mode: str = ""
    resume: str = ""
    fork: bool = False
    launch: str = ""
    read: Callable[[Path], str | None] = field(default=lambda _: None, repr=False)
    guarded: Callable[[Path], bool] = field(default=lambda _: True, repr=False)
    now: float = 0.0
    attach: Attachment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How the agent's process is started: ``environ`` is what differs from the bridge's own (None: taken away)."""

    argv: tuple[str, ...]
    environ: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()


# Inputs


@dataclass(frozen=True, slots=True)
class Spawned:
    """The agent's process runs: greet it."""


@dataclass(frozen=True, slots=True)
class LineCame:
    """One line of its stdout, without the newline; never empty. Longer ones than the shell takes come as ``LineSkipped``."""

    line: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class LineSkipped:
    """A line was too long to be taken: its length and its beginning."""

    length: int
    head: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Give the agent this message as the turn ``turn`` (our own name for it)."""

    turn: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop the running turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decide:
    """Answer an approval with the option of this id; None refuses it because nobody may or will answer any more."""

    approval: str
    option: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Model or mode from the next turn on, None leaves one. Only what ``can`` names is asked; no turn runs."""

    model: str | None = None
    mode: str | None = None


@dataclass(frozen=True, slots=True)
class Clear:
    """Begin a new conversation. No turn runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A time that was asked for by ``Wait`` is over."""

    name: str


Input = Spawned | LineCame | LineSkipped | Prompt | Interrupt | Decide | Change | Clear | Passed

# Outputs


@dataclass(frozen=True, slots=True)
class Write:
    """Write this to the agent's stdin, newline included."""

    line: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeted:
    """The agent answered its greeting and takes messages from now on."""

    version: str = ""
    can: frozenset[Ability] | None = None
    modes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    mode: str = ""
    model: str = ""
    transcript: str = ""


@dataclass(frozen=True, slots=True)
class Say:
    """Content for whoever listens. Texts of any length: the conversation makes pieces of them.

    Not these, which are the conversation's: TurnStarted, ApprovalRequested and -Resolved (see ``Ask``), StatusTold, Ended.
    """

    piece: Piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """The agent wants to know whether it may. Answered by a ``Decide``, in time, always."""

    approval: str
    tool: str
    title: str
    detail: str = field(default="", repr=False)
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Woke:
    """The agent began to work although nobody gave it a message: what it had left running is done, or a time is come.

    ``turn`` is the adapter's name for it. A turn like any other from here on, ended by its ``TurnEnded``; never said while
    another runs.
    """

    turn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """The agent does not wait for this answer any more."""

    approval: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """The agent confirmed (or refused, with the reason) what ``Change`` or ``Clear`` asked for."""

    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Send ``Passed(name)`` after so many seconds; of two with one name only the later counts; None forgets it."""

    name: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the bridge's log, without content."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """It cannot go on with this process: why, by a code of ours, and what to do. ``resumable``: a new one may take it up."""

    code: str
    message: str
    resumable: bool = True


Output = Write | Greeted | Say | Ask | Woke | Withdrawn | Changed | Wait | Note | Fail


class Adapter(Protocol):
    """What a module of ``actors.bridge.adapters`` has."""

    FACTS: AgentFacts

    def plan(self, beginning: Beginning) -> Command:
        """Return how the agent is started.

        Raises:
            actors.launch.plan.LaunchRefusedError: it cannot be pointed at the gateway, or cannot do what is asked.

        """

    def begin(self, beginning: Beginning) -> Any:
        """Return the state before the agent runs."""

    def step(self, state: Any, input_: Input) -> tuple[Any, tuple[Output, ...]]:
        """Take one input."""
