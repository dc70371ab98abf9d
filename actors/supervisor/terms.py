"""The terms of supervision: what is promised about a child, what is known of it, what can happen, what can be ordered.

Frozen values only; the rules are in ``actors.supervisor.supervision``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from actors.runtime.contract import Line
from schemas.events import ActorExited, ActorFailed, ActorReady, ActorStarted

Phase = Literal["waiting", "starting", "ready", "degraded", "stopping", "backoff", "failed", "stopped"]
ALIVE: Final = ("starting", "ready", "degraded", "stopping")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """What is promised about one child; ``needs`` is the child whose READY ends a back-off after exit 75.

    ``settings`` are of its own kind, for its bootstrap.
    """

    actor: str
    needs: str = ""
    intensity: int = 5
    period: float = 60.0
    start_deadline: float = 15.0
    order_deadline: float = 10.0
    grace: float = 5.5
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One child now. ``due`` is when the next timed thing happens to it (start after a back-off, kill after a request)."""

    spec: ChildSpec
    phase: Phase = "waiting"
    since: float = 0.0
    incarnation: int = 0
    name: str = ""
    pid: int | None = None
    started: float = 0.0
    ready_at: float | None = None
    heard: float = 0.0
    beaten: bool = False
    restarts: int = 0
    quick: int = 0
    crashes: tuple[float, ...] = ()
    due: float | None = None
    doom: str = ""
    last_code: int | None = None
    last_exit: str = ""
    last_words: str = ""
    note: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All children in order of start; ``released`` of them have been let go. ``stop_due`` is set once a stop was asked for."""

    children: tuple[Child, ...]
    released: int = 0
    order_due: float = 0.0
    stop_due: float | None = None
    ticked: float = 0.0
    done: bool = False


# ---------------------------------------------------------------------------------------------------- inputs


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed; comes a few times a second."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """A process was started as asked; ``name`` is the incarnation's name in the world."""

    actor: str
    incarnation: int
    pid: int
    name: str


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The operating system would not start it."""

    actor: str
    incarnation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Said:
    """A line came from its stdout."""

    actor: str
    incarnation: int
    line: Line


@dataclass(frozen=True, slots=True)
class Exited:
    """Its process ended."""

    actor: str
    incarnation: int
    code: int


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Everything shall end, in order."""


@dataclass(frozen=True, slots=True)
class RetryAsked:
    """A failed child, or one that is backing off, shall be started now; its counters begin anew."""

    actor: str


What = Tick | Spawned | SpawnFailed | Said | Exited | StopAsked | RetryAsked


@dataclass(frozen=True, slots=True)
class Input:
    """What happened, when (monotonic seconds), and a random number in [0, 1)."""

    at: float
    chance: float
    what: What


# ---------------------------------------------------------------------------------------------------- outputs


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a process; answered by ``Spawned`` or ``SpawnFailed``."""

    actor: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """End its stdin and send SIGTERM."""

    actor: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Kill:
    """End its process, no matter what."""

    actor: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell the bus."""

    actor: str
    event: ActorStarted | ActorReady | ActorExited | ActorFailed


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do."""


Output = Spawn | Terminate | Kill | Publish | Done
