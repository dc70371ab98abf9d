"""Qwen Code by ACP.

Facts, tried with Qwen Code 0.24.4:

- ``qwen --acp``; it resumes by ``session/resume``.
- Its mode ``auto``, where it starts, lets a model say what is safe to do unasked; ``default`` asks for edits and commands.
- ``session/set_model`` only takes models of its own list, which is the one model it was started with unless its settings name
  more. So another model is not its to choose.
- A denied tool ends the turn. A turn that failed stays in the conversation as it was asked.
- Its tokens come with each model request.
"""

from __future__ import annotations

from typing import Any, Final

from actors.bridge.acp import protocol
from actors.bridge.acp.launch import launched
from actors.bridge.acp.reading import table, whole_usage
from actors.bridge.acp.state import ABILITIES, Dialect, State
from actors.bridge.adapter import AgentFacts, Beginning, Command
from schemas.events import Usage

FACTS: Final = AgentFacts(
    agent="qwen",
    protocol=protocol.PROTOCOL,
    programs=("qwen",),
    tested="0.24.4",
    can=ABILITIES - {"set_model"},
    modes=("auto", "default", "auto-edit", "yolo", "plan"),
    install="npm install -g @qwen-code/qwen-code",
    notes=("its model is changed by the gateway, in its stead", "cannot fork"),
)


def _usage(update: Any) -> Usage | None:
    return whole_usage(table(update, "_meta", "usage"))


_DIALECT: Final = Dialect(agent="qwen", can=FACTS.can, step_usage=_usage)


def plan(beginning: Beginning) -> Command:
    """Return how it is started.

    Raises:
        actors.launch.plan.LaunchRefusedError: it cannot be pointed at the gateway.

    """
    return launched("qwen", beginning, "--acp")


def begin(beginning: Beginning) -> State:
    """Return the state before it runs."""
    return protocol.begin(_DIALECT, beginning)


step = protocol.step
