"""What is remembered of a driven Claude Code. Frozen values; see ``claude``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from msgspec import Raw

from actors.bridge import adapter as seam
from schemas.content import Channel, PlanStep, TurnEnded
from schemas.events import Usage

NO_USAGE: Final = Usage()


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is being said."""

    item: str
    channel: Channel
    length: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The running turn. ``message`` is the uuid of the message that began it, empty when Claude Code woke by itself.

    ``begun`` tells that Claude Code took the message up; ``done`` is how it ended, while something is still asked.
    """

    id: str
    message: str = ""
    begun: bool = False
    interrupted: bool = False
    texts: Mapping[int, Text] = field(default_factory=lambda: MappingProxyType({}))
    streamed: str = ""
    items: int = 0
    spoken: bool = False
    tools: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    before: Usage = NO_USAGE
    current: Usage = NO_USAGE
    told: Usage = NO_USAGE
    done: TurnEnded | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Questions to the user, asked one after the other: what was asked, and which answers came so far."""

    asked: tuple[str, ...]
    choices: tuple[tuple[str, ...], ...]
    texts: tuple[str, ...] = field(repr=False)
    answers: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Something that Claude Code waits to be allowed. ``approval`` is its name outside, ``request`` Claude Code's own."""

    approval: str
    request: str
    tool: str
    input: Raw = field(repr=False)
    grants: tuple[Raw, ...] = field(default=(), repr=False)
    question: Question | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changing:
    """A change under way: which requests of ours wait for their answers, and what was refused so far."""

    waiting: Mapping[str, str]
    refused: tuple[str, ...] = ()
    model: str = ""
    mode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that is remembered of one Claude Code.

    ``resume`` is the conversation that it was started to go on with. ``reset`` tells that the conversation was left for a
    new one which is not named yet. ``waker`` is the uuid under which a turn of its own stands in the transcript.
    """

    launch: str
    resume: str = ""
    model: str = ""
    mode: str = ""
    greeted: bool = False
    requests: int = 0
    session: str = ""
    reset: bool = False
    turn: Turn | None = None
    asks: tuple[Ask, ...] = ()
    changing: Changing | None = None
    clearing: str = ""
    waker: str = ""
    wakes: int = 0
    plan: Mapping[str, PlanStep] = field(default_factory=lambda: MappingProxyType({}))
    strange: frozenset[str] = frozenset()


Told = tuple[State, tuple[seam.Output, ...]]
