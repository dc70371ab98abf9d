"""What Claude Code says in a turn, as pieces of content. Pure.

Theory of operation
-------------------
Every text and thought comes twice: in pieces (``stream_event``) and, complete, in an ``assistant`` line of the same message id.
The pieces are told; the line only where its message was not streamed (a request that Claude Code sent again without a stream,
a sentence of its own). A message whose stream broke off is begun anew under another id: its text ends where it was.

Tools are told from the ``assistant`` line, which has the whole input, and end with their ``tool_result``. What a sub-agent says
stays inside the tool that started it; the tools that it uses are told, since they may be asked about.

Usage is summed over the messages of the turn; an interrupted turn has none in its ``result``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, Literal

from msgspec import Struct

from actors.bridge import adapter as seam
from actors.bridge.claude import lines
from actors.bridge.claude.asks import title
from actors.bridge.claude.state import NO_USAGE, State, Text, Turn
from schemas.content import (
    MAX_TEXT,
    Channel,
    PlanStep,
    PlanUpdated,
    TextAdded,
    TextEnded,
    ToolEnded,
    ToolStarted,
    UsageTold,
)
from schemas.events import Usage

SYNTHETIC: Final = "<synthetic>"
MAX_STEPS: Final = 200
_MAX_OPEN: Final = 64
_MAX_TOOLS: Final = 1_024
_CHANNELS: Final[dict[str, Channel]] = {"text": "reply", "thinking": "thought"}
_STATES: Final[dict[str, Literal["in_progress", "completed"]]] = {"in_progress": "in_progress", "completed": "completed"}
Said = tuple[Turn, tuple[seam.Output, ...]]


class _Todo(Struct):
    content: str
    status: str = "pending"


class _Todos(Struct):
    todos: list[_Todo]


class _Task(Struct):
    id: str
    subject: str = ""


class _TaskMade(Struct):
    task: _Task


class _TaskMoved(Struct):
    to: str = ""


class _TaskChanged(Struct):
    taskId: str  # noqa: N815 - Claude Code's names
    statusChange: _TaskMoved | None = None  # noqa: N815


def streamed(turn: Turn, told: lines.Streamed) -> Said:  # noqa: PLR0911 - one way out for each kind of event
    """Take one event of the API's stream."""
    event = told.event
    if told.parent_tool_use_id is not None:
        return turn, ()
    match event.type:
        case "message_start" if event.message is not None:
            turn, ended = closed(turn)
            usage = turn.before + turn.current
            return replace(turn, streamed=event.message.id or "", before=usage, current=count(event.message.usage)), ended
        case "content_block_start" if event.content_block is not None and event.index is not None:
            return _opened(turn, event.index, event.content_block)
        case "content_block_delta" if event.delta is not None and event.index is not None:
            return _more(turn, event.index, event.delta.text or event.delta.thinking or "")
        case "content_block_stop" if event.index is not None:
            return _closed(turn, event.index)
        case "message_delta" if event.usage is not None:
            return _spent(turn, event.usage)
        case _:
            return turn, ()


def assistant(turn: Turn, said: lines.Said) -> Said:
    """Take a complete message of the model, or of one of its sub-agents."""
    message = said.message
    blocks = message.content if isinstance(message.content, list) else [lines.Block(type="text", text=message.content)]
    outputs: list[seam.Output] = []
    if said.parent_tool_use_id is None and message.id != turn.streamed:
        turn, told = _whole(turn, said, blocks)
        outputs += told
    for block in blocks:
        if block.type == "tool_use" and block.id and block.name:
            turn, told = _tool(turn, block, block.id, block.name)
            outputs += told
    return turn, tuple(outputs)


def results(state: State, turn: Turn, said: lines.Said) -> tuple[State, Turn, tuple[seam.Output, ...]]:
    """Take what tools gave back."""
    blocks = said.message.content if isinstance(said.message.content, list) else []
    outputs: list[seam.Output] = []
    for block in blocks:
        if block.type != "tool_result" or not block.tool_use_id:
            continue
        name = turn.tools.get(block.tool_use_id)
        turn = replace(turn, tools=_without(turn.tools, block.tool_use_id))
        output, cut = _output(block)
        ok = not block.is_error
        outputs.append(seam.Say(ToolEnded(turn=turn.id, item=block.tool_use_id, ok=ok, output=output, cut=cut)))
        if ok and name in ("TaskCreate", "TaskUpdate"):
            state, told = _planned(state, turn, said)
            outputs += told
    return state, turn, tuple(outputs)


def notice(turn: Turn, text: str) -> Said:
    """Tell a sentence that is not the model's."""
    return _text(turn, "notice", text)


def closed(turn: Turn) -> Said:
    """End every text that is open."""
    ended = tuple(_ended(turn, text) for text in turn.texts.values())
    return replace(turn, texts=MappingProxyType({})), ended


def spent(turn: Turn, tokens: lines.Tokens | None) -> Said:
    """Take the usage of the whole turn, as its result tells it; none where it has none."""
    usage = count(tokens)
    if usage.total == 0 or usage == turn.told:
        return turn, ()
    return replace(turn, told=usage), (seam.Say(UsageTold(turn=turn.id, usage=usage)),)


def count(tokens: lines.Tokens | None) -> Usage:
    """Count as the gateway does: what was read from and written to the cache is part of the input."""
    if tokens is None:
        return NO_USAGE
    cached = max(0, tokens.cache_read_input_tokens or 0)
    given = max(0, tokens.input_tokens or 0) + cached + max(0, tokens.cache_creation_input_tokens or 0)
    said = max(0, tokens.output_tokens or 0)
    thought = tokens.output_tokens_details.thinking_tokens if tokens.output_tokens_details else 0
    return Usage(input=given, cached_input=cached, output=said, reasoning=max(0, thought or 0), total=given + said)


# ---------------------------------------------------------------------------------------------------------------- texts


def _opened(turn: Turn, index: int, block: lines.Block) -> Said:
    channel = _CHANNELS.get(block.type)
    if channel is None or len(turn.texts) >= _MAX_OPEN:
        return turn, ()
    turn, ended = _closed(turn, index)
    text = Text(item=f"{channel}-{turn.items + 1}", channel=channel)
    turn = replace(turn, items=turn.items + 1, texts=MappingProxyType({**turn.texts, index: text}))
    turn, first = _more(turn, index, block.text or block.thinking or "")
    return turn, (*ended, *first)


def _more(turn: Turn, index: int, more: str) -> Said:
    text = turn.texts.get(index)
    if text is None or not more:
        return turn, ()
    longer = replace(text, length=text.length + len(more))
    turn = replace(turn, spoken=True, texts=MappingProxyType({**turn.texts, index: longer}))
    return turn, (seam.Say(TextAdded(turn=turn.id, item=text.item, channel=text.channel, text=more)),)


def _closed(turn: Turn, index: int) -> Said:
    text = turn.texts.get(index)
    if text is None:
        return turn, ()
    rest = {at: other for at, other in turn.texts.items() if at != index}
    return replace(turn, texts=MappingProxyType(rest)), (_ended(turn, text),)


def _ended(turn: Turn, text: Text) -> seam.Say:
    return seam.Say(TextEnded(turn=turn.id, item=text.item, channel=text.channel, length=text.length))


def _text(turn: Turn, channel: Channel, text: str) -> Said:
    """Tell a text at once."""
    if not text:
        return turn, ()
    item = f"{channel}-{turn.items + 1}"
    added = seam.Say(TextAdded(turn=turn.id, item=item, channel=channel, text=text))
    ended = seam.Say(TextEnded(turn=turn.id, item=item, channel=channel, length=len(text)))
    return replace(turn, items=turn.items + 1, spoken=True), (added, ended)


def _whole(turn: Turn, said: lines.Said, blocks: list[lines.Block]) -> Said:
    """Tell a message that was not streamed. Claude Code's own words on a failure are told by the turn's end."""
    if said.is_api_error_message:
        return turn, ()
    own = said.message.model == SYNTHETIC
    outputs: list[seam.Output] = []
    for block in blocks:
        channel = "notice" if own else _CHANNELS.get(block.type)
        if channel is not None:
            turn, told = _text(turn, channel, block.text or block.thinking or "")
            outputs += told
    usage = count(said.message.usage)
    if usage.total:
        turn = replace(turn, before=turn.before + turn.current, current=usage, streamed=said.message.id or "")
    return turn, tuple(outputs)


def _spent(turn: Turn, tokens: lines.Tokens) -> Said:
    """Take how much of the message under way was said so far; what the event leaves out is as it was at its start."""
    now = count(tokens)
    output = max(now.output, turn.current.output)
    given = max(now.input, turn.current.input)
    current = Usage(
        input=given,
        cached_input=max(now.cached_input, turn.current.cached_input),
        output=output,
        reasoning=max(now.reasoning, turn.current.reasoning),
        total=given + output,
    )
    turn = replace(turn, current=current)
    whole = turn.before + current
    if whole == turn.told:
        return turn, ()
    return replace(turn, told=whole), (seam.Say(UsageTold(turn=turn.id, usage=whole)),)


# ---------------------------------------------------------------------------------------------------------------- tools


def _tool(turn: Turn, block: lines.Block, item: str, name: str) -> Said:
    if item in turn.tools:
        return turn, ()
    turn = replace(turn, spoken=True, tools=_with(turn.tools, item, name))
    arguments = bytes(block.input).decode(errors="replace")
    started = ToolStarted(
        turn=turn.id,
        item=item,
        name=name,
        title=title(name, block.input),
        arguments=arguments[:MAX_TEXT],
        cut=len(arguments) > MAX_TEXT,
    )
    outputs: tuple[seam.Output, ...] = (seam.Say(started),)
    if name == "TodoWrite" and (listed := lines.read(_Todos, block.input)) is not None:
        steps = tuple(_step(todo.content, todo.status) for todo in listed.todos[:MAX_STEPS])
        outputs = (*outputs, seam.Say(PlanUpdated(turn=turn.id, steps=steps)))
    return turn, outputs


def _output(block: lines.Block) -> tuple[str, bool]:
    text = "".join(_texts(lines.value(block.content)))
    return text[:MAX_TEXT], len(text) > MAX_TEXT


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
        return
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
            yield part["text"]
        elif isinstance(part, dict) and isinstance(part.get("type"), str):
            yield f"[{part['type'][:_MAX_OPEN]}]"


def _step(text: str, state: str) -> PlanStep:
    return PlanStep(text=text[:MAX_TEXT], state=_STATES.get(state, "pending"))


def _planned(state: State, turn: Turn, said: lines.Said) -> tuple[State, tuple[seam.Output, ...]]:
    """Take what became of the plan that Claude Code keeps in tasks."""
    plan = dict(state.plan)
    if (made := lines.read(_TaskMade, said.tool_use_result)) is not None:
        if len(plan) >= MAX_STEPS:
            return state, ()
        plan[made.task.id] = _step(made.task.subject, "pending")
    elif (changed := lines.read(_TaskChanged, said.tool_use_result)) is not None and changed.statusChange is not None:
        step = plan.pop(changed.taskId, None)
        if step is not None and changed.statusChange.to != "deleted":
            plan = {**plan, changed.taskId: _step(step.text, changed.statusChange.to)}
            plan = {name: plan[name] for name in state.plan if name in plan}
    else:
        return state, ()
    state = replace(state, plan=MappingProxyType(plan))
    return state, (seam.Say(PlanUpdated(turn=turn.id, steps=tuple(plan.values()))),)


def _with(tools: Any, item: str, name: str) -> Any:
    return MappingProxyType({**tools, item: name}) if len(tools) < _MAX_TOOLS else tools


def _without(tools: Any, item: str) -> Any:
    return MappingProxyType({one: name for one, name in tools.items() if one != item})
