"""Which rule a command is launched by: Codex's own, a clear refusal, or the fallback for programs that Tabwire does not know.

Pure. Must not know files: Codex's come in through a function that is called only when they are needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Final

from actors.cli.launch import codex
from actors.cli.launch.environment import without_proxy
from actors.cli.launch.plan import Door, LaunchRefusedError, Plan

OTHER: Final = "other"
_CODEX: Final = re.compile(r"codex(-(x86_64|aarch64)-[a-z0-9-]+)?(\.exe|\.cmd)?")
_CLAUDE: Final = re.compile(r"claude(\.exe|\.cmd)?")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_RESERVED: Final = ("launch", "proc")
INSTALL: Final = {"codex": "npm install -g @openai/codex"}


def agent_of(program: str) -> str:
    """Name the agent that a program is by its file name; ``other`` when it is none that Tabwire knows."""
    base = PurePath(program).name
    if _CODEX.fullmatch(base):
        return codex.AGENT
    return "claude" if _CLAUDE.fullmatch(base) else OTHER


def plan_launch(
    argv: Sequence[str],
    door: Door,
    environ: Mapping[str, str],
    read_codex_home: Callable[[], codex.CodexHome],
    *,
    name: str | None = None,
    model: str | None = None,
) -> Plan:
    """Decide how a command is started.

    Raises:
        LaunchRefusedError: it cannot be pointed at the gateway.

    """
    if name is not None and (not _NAME.fullmatch(name) or name in _RESERVED):
        raise LaunchRefusedError(f"--name {name!r} is not an agent's name", "use a lower-case word of a-z 0-9 _")
    agent = name or agent_of(argv[0])
    if agent == codex.AGENT:
        plan = codex.plan_codex(argv, read_codex_home(), door, model)
    elif agent == "claude":
        raise LaunchRefusedError(
            "Claude Code speaks Anthropic Messages, which the gateway of this version does not route yet",
            "run it without tabwire",
        )
    else:
        plan = _any(argv, door, agent, model)
    if not plan.launched:
        return plan
    variables, note = without_proxy(environ)
    return replace(plan, environ={**plan.environ, **variables}, notes=(*plan.notes, *((note,) if note else ())))


def _any(argv: Sequence[str], door: Door, agent: str, model: str | None) -> Plan:
    """Point a program at the gateway by the one variable that most of them read."""
    if model is not None:
        raise LaunchRefusedError(
            f"--model: Tabwire does not know how {PurePath(argv[0]).name!r} is told its model",
            "give it the program's own option",
        )
    note = f"{PurePath(argv[0]).name} is no agent that Tabwire knows: it reaches the gateway only if it reads OPENAI_BASE_URL"
    return Plan(
        argv=tuple(argv),
        agent=agent,
        environ={"OPENAI_BASE_URL": door.base_url},
        notes=() if agent != OTHER else (note,),
    )
