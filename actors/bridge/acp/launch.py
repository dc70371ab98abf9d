"""How an agent that speaks ACP is started: by its rule of ``actors.launch``, with the words that make it speak ACP.

Must not know how the process is started, nor what the agent says then.
"""

from __future__ import annotations

from typing import NoReturn

from actors.bridge.adapter import Beginning, Command
from actors.launch.choose import plan_launch


def launched(agent: str, beginning: Beginning, *words: str) -> Command:
    """Point the agent at the gateway; ``words`` come behind its program, the user's own arguments last.

    Raises:
        actors.launch.plan.LaunchRefusedError: it cannot be pointed there.

    """
    plan = plan_launch(
        (beginning.program, *words, *beginning.arguments),
        beginning.door,
        beginning.environ,
        _no_codex,
        name=agent,
        model=beginning.model or None,
        cwd=beginning.cwd,
        read=beginning.read,
        guarded=beginning.guarded,
    )
    return Command(argv=plan.argv, environ=plan.environ, notes=plan.notes)


def _no_codex() -> NoReturn:
    raise AssertionError("no agent that speaks ACP has a home of Codex's")
