"""Where a session with an ACP agent is, and the ground that its steps stand on. Pure; see ``acp``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec

from actors.bridge.acp import reading
from actors.bridge.acp.reading import Setting, Settings, Tool, table
from actors.bridge.adapter import Output, Write
from schemas.bridge_rows import Ability
from schemas.content import Channel, Option
from schemas.events import Usage

ABILITIES: Final[frozenset[Ability]] = frozenset(("interrupt", "approve", "set_model", "set_mode", "clear", "resume"))
MAX_NAME: Final = 200
EMPTY: Final[Mapping[Any, Any]] = MappingProxyType({})
NO_SETTINGS: Final = Settings()
NO_USAGE: Final = Usage()

Purpose = Literal["initialize", "open", "mode", "model", "prompt", "close"]
Doing = Literal["", "start", "clear", "change"]


def no_usage(_: Any) -> Usage | None:
    """Find no tokens."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What one agent does its own way.

    ``only_listed``: it takes any model, and then uses none that it does not list. ``late_history``: it goes on telling what was
    in a conversation after it has said that it is loaded. ``modes`` are ours beside the agent's, and
    only begin a process. ``notices`` begin texts that are no reply although they come as one. ``turn_usage`` reads the tokens
    from the answer of a turn, ``step_usage`` those that one update adds.
    """

    agent: str
    can: frozenset[Ability] = ABILITIES
    only_listed: bool = False
    late_history: bool = False
    modes: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    turn_usage: Callable[[Any], Usage | None] = no_usage
    step_usage: Callable[[Any], Usage | None] = no_usage


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is being said."""

    item: str
    channel: Channel
    message: str
    length: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """A permission that the agent waits for, by the id of its request."""

    request: Any
    options: tuple[Option, ...]


def _nothing() -> Mapping[Any, Any]:
    return EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where a session is. ``doing`` is what the steps under way are for, ``steps`` what of it is still to be set."""

    dialect: Dialect
    cwd: str
    resume: str = ""
    fork: bool = False
    hold: float = 0.0
    held: bool = False
    hearing: bool = False
    token: str = field(default="", repr=False)
    wanted: Settings = NO_SETTINGS
    asked: int = 0
    awaited: Mapping[int, Purpose] = field(default_factory=lambda: EMPTY)
    agent: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    session: str = ""
    settings: Settings = NO_SETTINGS
    doing: Doing = "start"
    steps: tuple[tuple[Setting, str], ...] = ()
    turn: str = ""
    interrupted: bool = False
    text: Text | None = None
    texts: int = 0
    tools: Mapping[str, Tool] = field(default_factory=lambda: EMPTY)
    questions: Mapping[str, Question] = field(default_factory=lambda: EMPTY)
    questioned: int = 0
    usage: Usage = NO_USAGE


class Ground:
    """One step under way: the state as far as it has come, and what was given so far."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.outputs: list[Output] = []

    def set(self, **changes: Any) -> None:
        """Go on with a state that differs in this."""
        self.state = replace(self.state, **changes)

    def give(self, output: Output) -> None:
        """Give one output."""
        self.outputs.append(output)

    def write(self, **message: Any) -> None:
        """Write one message to the agent."""
        self.give(Write(msgspec.json.encode({"jsonrpc": "2.0", **message}) + b"\n"))

    def ask(self, purpose: Purpose, method: str, params: Mapping[str, Any]) -> None:
        """Ask the agent for something, and remember what for."""
        number = self.state.asked + 1
        self.set(asked=number, awaited=MappingProxyType({**self.state.awaited, number: purpose}))
        self.write(id=number, method=method, params=params)

    def own(self, **params: Any) -> dict[str, Any]:
        """Return what is said of our conversation."""
        return {"sessionId": self.state.session, **params}

    def place(self, **params: Any) -> dict[str, Any]:
        """Return what is said of where a conversation is."""
        return {"cwd": self.state.cwd, "mcpServers": [], **params}

    def safe(self, error: Any) -> str:
        """Return an agent's words without the key to the gateway, which may be in the address that it talks of."""
        said = reading.words_of(error)
        if self.state.token:
            said = said.replace(self.state.token, "<launch token>")
        return said[: reading.MAX_SHOWN]

    def has(self, ability: str) -> bool:
        """Tell whether the agent says that it can do this with conversations."""
        return isinstance(table(self.state.agent, "agentCapabilities", "sessionCapabilities").get(ability), dict)
