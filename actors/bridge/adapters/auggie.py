"""Auggie by ACP.

Facts, tried with Auggie 0.36.0:

- ``auggie --acp``; it resumes by ``session/load``, which tells the whole conversation again.
- It asks for nothing of its own accord: its mode ``default`` does everything, ``ask`` changes nothing. Rules on its command
  line (``--permission TOOL:ask-user``) make it ask; the mode ``approve`` starts it so. They hold for the life of the process.
- At the first prompt in a folder it asks whether it may index it, which sends the folder's files to Augment. That is a question
  like any other, and its explanation comes as if it were the reply: told as a notice.
- ``session/set_model`` takes any name; one that the tenant does not list is sent as none. So only listed ones are taken.
- It tells no tokens.
"""

from __future__ import annotations

from typing import Final

from actors.bridge.acp import protocol
from actors.bridge.acp.launch import launched
from actors.bridge.acp.state import ABILITIES, Dialect, State
from actors.bridge.adapter import AgentFacts, Beginning, Command

_APPROVE: Final = "approve"
_ASKED: Final = """launch-process write-process kill-process str-replace-editor apply_patch save-file remove-files
    web-fetch""".split()  # noqa: SIM905 - a list to read
_INDEXING: Final = ("Augment would like to index your workspace", "Indexing enabled", "Indexing disabled")

FACTS: Final = AgentFacts(
    agent="auggie",
    protocol=protocol.PROTOCOL,
    programs=("auggie",),
    tested="0.36.0",
    can=ABILITIES,
    modes=("default", "ask", _APPROVE),
    install="npm install -g @augmentcode/auggie",
    notes=(
        "asks before commands and edits only when started in its mode approve; default does everything, ask changes nothing",
        "its first message in a folder asks whether Augment may index it",
        "changes its model only to one that its tenant lists; cannot fork; tells no tokens",
    ),
)
_DIALECT: Final = Dialect(agent="auggie", only_listed=True, modes=(_APPROVE,), notices=_INDEXING)


def plan(beginning: Beginning) -> Command:
    """Return how it is started.

    Raises:
        actors.launch.plan.LaunchRefusedError: it cannot be pointed at the gateway.

    """
    rules = [word for tool in _ASKED for word in ("--permission", f"{tool}:ask-user")]
    return launched("auggie", beginning, "--acp", *(rules if beginning.mode == _APPROVE else ()))


def begin(beginning: Beginning) -> State:
    """Return the state before it runs."""
    return protocol.begin(_DIALECT, beginning)


step = protocol.step
