"""What Codex shows of a turn, its items, as pieces of content. Pure.

An item is told when it starts and when it completes; texts grow in between. Quick commands are told both at once, and a
command that its sandbox forbids is not told at all (0.169.0). Must not know requests, approvals, the order of a turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from actors.bridge.codex.wire import rows, table, text, written
from schemas.content import Channel, Piece, PlanStep, PlanUpdated, TextAdded, TextEnded, ToolEnded, ToolStarted

Item = Mapping[str, Any]
TEXTS: Final[Mapping[str, Channel]] = {"agentMessage": "reply", "plan": "reply", "reasoning": "thought"}
_STATES: Final = {"pending": "pending", "inProgress": "in_progress", "completed": "completed"}
_GONE_WRONG: Final = frozenset(("failed", "declined", "interrupted"))


def text_of(item: Item) -> str:
    """Return the whole text of a message, a plan or a thought."""
    if text(item, "type") != "reasoning":
        return text(item, "text")
    parts = [part for part in (*rows(item, "summary"), *rows(item, "content")) if isinstance(part, str)]
    return "\n\n".join(parts)


def text_completed(turn: str, item: Item, told: int) -> Iterator[Piece]:
    """Tell the rest of a text, of which so many characters were told, and its end."""
    channel, name, whole = TEXTS[text(item, "type")], text(item, "id"), text_of(item)
    if len(whole) > told:
        yield TextAdded(turn=turn, item=name, channel=channel, text=whole[told:])
    length = max(told, len(whole))
    if length:
        yield TextEnded(turn=turn, item=name, channel=channel, length=length)


def prompt_of(turn: str, item: Item) -> Iterator[Piece]:
    """Tell what somebody else asked in a turn; what we asked ourselves is known."""
    name, parts = text(item, "id"), [part for part in rows(item, "content") if isinstance(part, dict)]
    whole = "\n".join(text(part, "text") for part in parts if text(part, "type") == "text")
    if whole and text(item, "clientId") != turn:
        yield TextAdded(turn=turn, item=name, channel="prompt", text=whole)
        yield TextEnded(turn=turn, item=name, channel="prompt", length=len(whole))


def tool_started(turn: str, item: Item) -> ToolStarted | None:
    """Tell that a tool is used; None when the item is none."""
    if (tool := _TOOLS.get(text(item, "type"))) is None:
        return None
    name, title, arguments = tool(item)
    return ToolStarted(turn=turn, item=text(item, "id"), name=name, title=title, arguments=arguments)


def tool_ended(turn: str, item: Item) -> ToolEnded | None:
    """Tell that a tool is done; None when the item is none."""
    if text(item, "type") not in _TOOLS:
        return None
    status, code = text(item, "status"), item.get("exitCode")
    good = status not in _GONE_WRONG and code in (None, 0) and item.get("success") is not False
    output = _output(item) or ("declined" if status == "declined" else "")
    return ToolEnded(turn=turn, item=text(item, "id"), ok=good, output=output)


def plan_updated(turn: str, params: Mapping[str, Any]) -> PlanUpdated:
    """Tell the whole plan."""
    steps = [step for step in rows(params, "plan") if isinstance(step, dict)]
    return PlanUpdated(
        turn=turn,
        steps=tuple(
            PlanStep(text=text(step, "step"), state=_STATES.get(text(step, "status"), "pending"))  # type: ignore[arg-type]
            for step in steps
        ),
    )


def changes_in_words(item: Item) -> str:
    """Say what a change of files does, in one line."""
    return ", ".join(f"{text(table(change, 'kind'), 'type') or 'change'} {text(change, 'path')}" for change in _changes(item))


def diff_of(item: Item) -> str:
    """Return what a change of files changes."""
    return "\n".join(f"{text(change, 'path')}\n{text(change, 'diff')}" for change in _changes(item))


def _changes(item: Item) -> list[dict[str, Any]]:
    return [change for change in rows(item, "changes") if isinstance(change, dict)]


def _output(item: Item) -> str:
    """Return what a tool gave back, as far as it is text."""
    if failure := text(table(item, "error"), "message"):
        return failure
    parts = [*rows(table(item, "result"), "content"), *rows(item, "contentItems")]
    told = [text(part, "text") for part in parts if isinstance(part, dict)]
    return text(item, "aggregatedOutput") or "\n".join(part for part in told if part)


def _command(item: Item) -> tuple[str, str, str]:
    actions = [text(action, "command") for action in rows(item, "commandActions") if isinstance(action, dict)]
    command = text(item, "command")
    return "shell", " && ".join(action for action in actions if action) or command, command


def _mcp(item: Item) -> tuple[str, str, str]:
    name = f"{text(item, 'server')}.{text(item, 'tool')}"
    return name, name, written(item.get("arguments"))


def _own(item: Item) -> tuple[str, str, str]:
    name = ".".join(part for part in (text(item, "namespace"), text(item, "tool")) if part)
    return name, name, written(item.get("arguments"))


def _other_agent(item: Item) -> tuple[str, str, str]:
    return text(item, "tool"), text(item, "prompt"), text(item, "prompt")


_TOOLS: Final[Mapping[str, Callable[[Item], tuple[str, str, str]]]] = {
    "commandExecution": _command,
    "fileChange": lambda item: ("apply_patch", changes_in_words(item), diff_of(item)),
    "mcpToolCall": _mcp,
    "dynamicToolCall": _own,
    "collabAgentToolCall": _other_agent,
    "webSearch": lambda item: ("web_search", text(item, "query"), text(item, "query")),
    "imageView": lambda item: ("view_image", text(item, "path"), text(item, "path")),
    "imageGeneration": lambda item: ("generate_image", text(item, "revisedPrompt"), text(item, "revisedPrompt")),
    "contextCompaction": lambda _: ("compact", "make the conversation shorter", ""),
}
