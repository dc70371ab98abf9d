"""Which rule a command is launched by: an agent's own, or the fallback for programs that Tabwire does not know.

Must not know files: what an agent's rule reads comes in through functions that are called only when they are needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from actors.launch.environment import without_proxy
from actors.launch.plan import Door, LaunchRefusedError, Plan, Wish

if TYPE_CHECKING:
    from actors.launch.codex import CodexHome

OTHER: Final = "other"
_CODEX: Final = re.compile(r"codex(-(x86_64|aarch64)-[a-z0-9-]+)?(\.exe|\.cmd)?")
_NAMED: Final = re.compile(r"(claude|gemini|opencode|qwen|auggie)(\.exe|\.cmd)?")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_RESERVED: Final = ("launch", "proc")
INSTALL: Final = {
    "codex": "npm install -g @openai/codex",
    "claude": "npm install -g @anthropic-ai/claude-code",
    "gemini": "npm install -g @google/gemini-cli",
    "opencode": "npm install -g opencode-ai",
    "qwen": "npm install -g @qwen-code/qwen-code",
    "auggie": "npm install -g @augmentcode/auggie",
}
_CODEX_AGENT: Final = "codex"


def agent_of(program: str) -> str:
    """Name the agent that a program is by its file name; ``other`` when it is none that Tabwire knows."""
    base = PurePath(program).name
    if _CODEX.fullmatch(base):
        return _CODEX_AGENT
    found = _NAMED.fullmatch(base)
    return found[1] if found else OTHER


def plan_launch(
    argv: Sequence[str],
    door: Door,
    environ: Mapping[str, str],
    read_codex_home: Callable[[], CodexHome],
    *,
    name: str | None = None,
    model: str | None = None,
    cwd: Path = Path(),
    read: Callable[[Path], str | None] = lambda _: None,
    guarded: Callable[[Path], bool] = lambda _: True,
) -> Plan:
    """Decide how a command is started.

    Raises:
        LaunchRefusedError: it cannot be pointed at the gateway.

    """
    if name is not None and (not _NAME.fullmatch(name) or name in _RESERVED):
        raise LaunchRefusedError(f"--name {name!r} is not an agent's name", "use a lower-case word of a-z 0-9 _")
    agent = name or agent_of(argv[0])
    if agent == _CODEX_AGENT:
        from actors.launch.codex import plan_codex  # noqa: PLC0415 - only the rule that is needed is loaded

        plan = plan_codex(argv, read_codex_home(), door, model)
    elif _NAMED.fullmatch(agent):
        wish = Wish(argv=tuple(argv), door=door, environ=environ, cwd=cwd, read=read, guarded=guarded, model=model)
        plan = _rule(agent)(wish)
    else:
        plan = _any(argv, door, agent, model)
    if not plan.launched:
        return plan
    variables, note = without_proxy(environ)
    return replace(plan, environ={**plan.environ, **variables}, notes=(*plan.notes, *((note,) if note else ())))


def _rule(agent: str) -> Callable[[Wish], Plan]:
    """Load the rule of one agent (a launch waits for every module that it loads)."""
    rule: Callable[[Wish], Plan] = getattr(import_module(f"actors.launch.{agent}"), f"plan_{agent}")
    return rule


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
