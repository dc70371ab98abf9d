"""The values of one Codex session: its state, the requests that wait for an answer, the running turn. Frozen, pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from actors.bridge.adapter import Beginning, Output, Write
from actors.bridge.codex.asks import Question
from actors.bridge.codex.wire import RequestId, request
from schemas.events import Usage

Step = tuple["Session", tuple[Output, ...]]
Purpose = Literal["greet", "models", "open", "settle", "change", "turn", "interrupt", "left", "aside", "loaded", "under_way"]

AGENT: Final = "codex"
TESTED: Final = "0.169.0"
CONFIGURED: Final = "default"
_WORKSPACE: Final = {
    "type": "workspaceWrite",
    "writableRoots": [],
    "networkAccess": False,
    "excludeTmpdirEnvVar": False,
    "excludeSlashTmp": False,
}
MODES: Final[Mapping[str, Mapping[str, Any]]] = {
    "read-only": {"approvalPolicy": "on-request", "sandboxPolicy": {"type": "readOnly", "networkAccess": False}},
    "ask": {"approvalPolicy": "untrusted", "sandboxPolicy": _WORKSPACE},
    "auto": {"approvalPolicy": "on-request", "sandboxPolicy": _WORKSPACE},
    "full-access": {"approvalPolicy": "never", "sandboxPolicy": {"type": "dangerFullAccess"}},
}
"""When Codex asks, and its sandbox, by mode; ``CONFIGURED`` is what the thread began with, out of the user's configuration."""
MODE_NAMES: Final = (CONFIGURED, *MODES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What a request of ours was for: of which turn (or items), with which model and mode when it is done.

    ``clear``: it is a part of a new conversation in the place of an old one.
    """

    purpose: Purpose
    turn: str = ""
    clear: bool = False
    model: str | None = None
    mode: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The running turn: our name for it, Codex's (empty until it is known), what of it is open, tokens before it.

    ``joined``: it ran already when we came; ``done`` are the items of it that were shown whole.
    """

    name: str
    id: str = ""
    texts: Mapping[str, int] = field(default_factory=dict)
    items: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    before: Usage | None = None
    notices: int = 0
    joined: bool = False
    done: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Everything about one Codex session.

    ``configured`` is what the user's configuration allows, as the thread began with it; ``said`` are the warnings that were
    told once; ``kept`` are those that wait for a turn to be told in.
    """

    beginning: Beginning = field(repr=False)
    number: int = 0
    errands: Mapping[RequestId, Errand] = field(default_factory=dict)
    opened: bool = False
    greeted: bool = False
    version: str = ""
    models: tuple[str, ...] | None = None
    thread: str = ""
    transcript: str = ""
    model: str = ""
    mode: str = CONFIGURED
    configured: Mapping[str, Any] = field(default_factory=dict)
    turn: Turn | None = None
    questions: Mapping[str, tuple[RequestId, Question]] = field(default_factory=dict, repr=False)
    total: Usage | None = None
    tries: int = 0
    said: frozenset[str] = field(default_factory=frozenset, repr=False)
    kept: tuple[str, ...] = field(default=(), repr=False)


def asking(state: Session, errand: Errand, method: str, params: Mapping[str, Any]) -> tuple[Session, Write]:
    """Ask Codex for something, and remember what for."""
    number = state.number + 1
    return (
        replace(state, number=number, errands={**state.errands, number: errand}),
        Write(request(number, method, params)),
    )


def without(table: Mapping[Any, Any], name: Any) -> dict[Any, Any]:
    """Return a table without one of its names."""
    return {key: value for key, value in table.items() if key != name}
