"""The values of a session with an agent that has nothing but a terminal. Frozen; see ``protocol``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from actors.bridge.terminal.page import Page
from actors.bridge.terminal.patterns import Patterns, Reply, Typed
from actors.terminal.contract import Open
from schemas.terminals import Question, Terminal

Phase = Literal["opening", "idle", "awaiting", "typing", "working"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A message that is being typed or worked on; ``id`` is empty while a conversation is cleared.

    ``seen``: it showed that it works, or that it is done; ``changed``: anything changed since Enter; ``waited``: long
    enough for it to have shown. ``told`` are the lines of the reply that were told as the text ``item``, ``before`` is the
    reply of the last look.
    """

    id: str
    text: str = field(default="", repr=False)
    typed: Typed = field(default=Typed(), repr=False)
    seen: bool = False
    changed: bool = False
    waited: bool = False
    interrupted: bool = False
    told: tuple[str, ...] = field(default=(), repr=False)
    before: Reply = field(default=Reply(), repr=False)
    item: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that waits for its answer."""

    approval: str
    question: Question


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where a session is. ``prompt`` is the line where the prompt stood last, ``shown`` how it looked; ``passed``: openings."""

    name: str
    launch: str
    terminal: Terminal
    patterns: Patterns = field(repr=False)
    open: Open = field(repr=False)
    phase: Phase = "opening"
    page: Page = field(default=Page(), repr=False)
    attach: str = ""
    prompt: int = 0
    shown: str = ""
    passed: int = 0
    turn: Turn | None = None
    asked: Asked | None = None
    questions: int = 0
    wakes: int = 0
    quiet: bool = False
