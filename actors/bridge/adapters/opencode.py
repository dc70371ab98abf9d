"""opencode by ACP.

Facts, tried with opencode 1.18.33:

- ``opencode acp``; it resumes by ``session/resume``, forks by ``session/fork`` and closes by ``session/close``.
- ``acp`` knows no ``--model``: its model is the one of its configuration (``model``), and has to be in it.
- It does everything unasked unless its configuration says otherwise (``permission``); the mode ``approve`` starts it so that it
  asks before edits, commands and fetches, whatever else its configuration says of these. It holds for the life of the process.
- Its modes are its agents (``build``, ``plan`` and the user's own).
- Its tokens are those of the last model request of the turn; what was cached is counted beside the input.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from actors.bridge.acp import protocol
from actors.bridge.acp.launch import launched
from actors.bridge.acp.reading import parted_usage, table
from actors.bridge.acp.state import ABILITIES, Dialect, State
from actors.bridge.adapter import AgentFacts, Beginning, Command
from actors.launch.words import merged, options, without

_APPROVE: Final = "approve"
_ASKING: Final = {"permission": dict.fromkeys(("edit", "bash", "webfetch"), "ask")}
_CONTENT: Final = "OPENCODE_CONFIG_CONTENT"

FACTS: Final = AgentFacts(
    agent="opencode",
    protocol=protocol.PROTOCOL,
    programs=("opencode",),
    tested="1.18.33",
    can=ABILITIES | {"fork"},
    modes=("build", "plan", _APPROVE),
    install="npm install -g opencode-ai",
    notes=(
        "asks before edits, commands and fetches only when started in its mode approve, or as its own configuration says",
        "changes its model only to provider/model that its configuration knows",
    ),
)
_DIALECT: Final = Dialect(
    agent="opencode",
    can=FACTS.can,
    modes=(_APPROVE,),
    turn_usage=lambda result: parted_usage(table(result, "usage")),
)


def plan(beginning: Beginning) -> Command:
    """Return how it is started.

    Raises:
        actors.launch.plan.LaunchRefusedError: it cannot be pointed at the gateway.

    """
    command = launched("opencode", beginning, "acp")
    over: dict[str, Any] = _ASKING if beginning.mode == _APPROVE else {}
    if beginning.model:
        over = merged(over, {"model": options(command.argv, "--model")[0]})
        command = replace(command, argv=without(command.argv, "--model"))
    given = json.loads(command.environ.get(_CONTENT) or "{}")
    return replace(command, environ={**command.environ, _CONTENT: json.dumps(merged(given, over), ensure_ascii=False)})


def begin(beginning: Beginning) -> State:
    """Return the state before it runs; a conversation that is taken up remembers a model of its own."""
    return protocol.begin(_DIALECT, beginning, model=beginning.model if beginning.resume and "/" in beginning.model else "")


step = protocol.step
