"""Gemini CLI by ACP.

Facts, tried with Gemini CLI 0.61.0:

- ``gemini --acp``; it resumes by ``session/load``, which tells the whole conversation again, in part behind its answer.
- It keeps a conversation in ``<own>/tmp/<project>/chats/session-<minute>-<first of the id>.jsonl``, by the minute (UTC) in
  which it began. Loading one begins a file for it by the minute of the loading: within the minute in which the conversation
  itself began that is the same file, whose messages it thereby declares void. The conversation is lost, and the load fails.
  So it is not loaded before that minute is over.
- It tells no tool that it asks for before the question, and nothing of one that was denied.
- Its modes ``autoEdit`` and ``yolo`` are refused in a folder that it does not trust (``--skip-trust`` is the user's to give).
- A change of the mode is also said as if it were the reply ("[MODE_UPDATE] plan").
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from actors.bridge.acp import protocol
from actors.bridge.acp.launch import launched
from actors.bridge.acp.reading import count, read_line, table, word
from actors.bridge.acp.state import ABILITIES, Dialect, State
from actors.bridge.adapter import AgentFacts, Beginning, Command
from actors.launch.plan import LaunchRefusedError
from schemas.events import Usage

_MARGIN: Final = 0.5

FACTS: Final = AgentFacts(
    agent="gemini",
    protocol=protocol.PROTOCOL,
    programs=("gemini",),
    tested="0.61.0",
    can=ABILITIES,
    modes=("default", "autoEdit", "yolo", "plan"),
    install="npm install -g @google/gemini-cli",
    notes=(
        "takes up a conversation only when the minute in which it began is over: it would lose it, so that is waited for",
        "its modes autoEdit and yolo need a folder that it trusts, or its own --skip-trust",
        "cannot fork",
    ),
    greeting_seconds=130.0,
)


def _usage(result: Any) -> Usage | None:
    told = table(result, "_meta", "quota", "token_count")
    put, given = count(told, "input_tokens"), count(told, "output_tokens")
    return Usage(input=put, output=given, total=put + given) if told else None


_DIALECT: Final = Dialect(agent="gemini", late_history=True, notices=("[MODE_UPDATE] ",), turn_usage=_usage)


def plan(beginning: Beginning) -> Command:
    """Return how it is started.

    Raises:
        actors.launch.plan.LaunchRefusedError: it cannot be pointed at the gateway.

    """
    return launched("gemini", beginning, "--acp")


def begin(beginning: Beginning) -> State:
    """Return the state before it runs."""
    return protocol.begin(_DIALECT, beginning, hold=_hold(beginning))


def _hold(beginning: Beginning) -> float:
    """Return how many seconds a conversation must not be loaded, because it began in this very minute."""
    if not (beginning.resume and beginning.now):
        return 0.0
    now = datetime.fromtimestamp(beginning.now, UTC)
    own = Path(beginning.environ.get("GEMINI_CLI_HOME") or beginning.environ.get("HOME") or "~") / ".gemini"
    projects = read_line((_text(beginning, own / "projects.json") or "").encode())
    project = word(table(projects, "projects"), str(beginning.cwd))
    name = f"session-{now:%Y-%m-%dT%H-%M}-{beginning.resume[:8]}.jsonl"
    if not project or _text(beginning, own / "tmp" / project / "chats" / name) is None:
        return 0.0
    over = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return (over - now).total_seconds() + _MARGIN


def _text(beginning: Beginning, file: Path) -> str | None:
    """Return what a file holds, None where there is none; one that cannot be read is there all the same."""
    try:
        return beginning.read(file)
    except LaunchRefusedError:
        return ""


step = protocol.step
