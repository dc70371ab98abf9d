"""What was said and done in the turns of a Codex rollout, line by line: pure.

The agent's items say what was shown (``item_completed``); tools are begun by the model's calls, which stand before them. Old
files have no items and no ids of turns: there a message begins a turn named after its offset. Lines of which nothing is
understood say nothing. A message stands there under the id that its client gave it. Must not know files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from actors.transcripts.gathering import Gathering, usage_of
from schemas.content import Channel

_COUNTS: Final = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")
_TEXTS: Final[Mapping[str, Channel]] = {"UserMessage": "prompt", "AgentMessage": "reply", "Reasoning": "thought"}
_NOTICES: Final = {
    "ContextCompaction": "the conversation was summarised, to make room",
    "EnteredReviewMode": "a review began",
    "ExitedReviewMode": "the review ended",
}
_FAILED: Final = ("failed", "declined", "error")


def read(gathering: Gathering, line: bytes) -> None:
    """Take one line."""
    entry = _object(line)
    payload = entry.get("payload")
    if not isinstance(payload, dict):
        return
    kind = payload.get("type")
    if entry.get("type") == "event_msg":
        _event(gathering, kind, payload, _text(entry.get("timestamp")))
    elif entry.get("type") == "response_item":
        _call(gathering, kind, payload)
    elif entry.get("type") == "token_usage_record":
        gathering.used(usage_of(payload.get("usage"), _COUNTS))


def _event(gathering: Gathering, kind: Any, payload: dict[str, Any], time: str) -> None:
    if kind in ("task_started", "turn_started"):
        gathering.begin(_text(payload.get("turn_id")) or f"offset-{gathering.at}", time)
    elif kind in ("task_complete", "turn_complete"):
        error = payload.get("error")
        reason = _text(error.get("message")) if isinstance(error, dict) else ""
        gathering.end("failed" if error is not None else "completed", reason)
    elif kind == "turn_aborted":
        gathering.end("interrupted", _text(payload.get("reason")))
    elif kind == "item_completed" and isinstance(payload.get("item"), dict):
        _item(gathering, payload["item"])
    elif kind == "user_message" and (not gathering.turn or gathering.turn.startswith("offset-")):
        gathering.begin(f"offset-{gathering.at}", time)
        gathering.text("prompt", "prompt", _text(payload.get("message")))
    elif kind == "agent_message" and gathering.turn.startswith("offset-"):
        gathering.text(f"reply-{gathering.at}", "reply", _text(payload.get("message")))
        gathering.end("completed")


def _item(gathering: Gathering, item: dict[str, Any]) -> None:
    kind, name = _text(item.get("type")), _text(item.get("id"))
    if channel := _TEXTS.get(kind):
        if channel == "prompt":
            gathering.message(_text(item.get("client_id")))
        text = _joined(item.get("content")) or _joined(item.get("summary_text")) or _joined(item.get("summary"))
        gathering.text(name or f"item-{gathering.at}", channel, text)
    elif kind in _NOTICES:
        gathering.text(name or f"item-{gathering.at}", "notice", _NOTICES[kind])
    elif name:
        command = _words(item.get("command"))
        rest = {key: value for key, value in item.items() if key not in ("type", "id", "status", "aggregated_output")}
        gathering.tool(name, _snake(kind), title=command, arguments=command or _json(rest))
        output = _text(item.get("aggregated_output")) or _text(item.get("stdout"))
        ok = item.get("status") not in _FAILED and item.get("exit_code") in (None, 0)
        gathering.tool_end(name, output, ok=ok)


def _call(gathering: Gathering, kind: Any, payload: dict[str, Any]) -> None:
    call = _text(payload.get("call_id"))
    if not call:
        return
    if kind in ("function_call", "custom_tool_call"):
        given = _text(payload.get("arguments")) or _text(payload.get("input"))
        gathering.tool(call, _text(payload.get("name")) or "tool", title=_command(given), arguments=given)
    elif kind in ("function_call_output", "custom_tool_call_output"):
        output = payload.get("output")
        told = output.get("content") if isinstance(output, dict) else output
        ok = not (isinstance(output, dict) and output.get("success") is False)
        gathering.tool_end(call, _joined(told), ok=ok)


def _command(arguments: str) -> str:
    """Return the command line in the arguments of a call, if that is what it is."""
    given = _object(arguments.encode("utf-8", "replace"))
    return _words(given.get("cmd")) or _words(given.get("command"))


def _words(command: Any) -> str:
    if isinstance(command, str):
        return command
    if isinstance(command, list) and all(isinstance(word, str) for word in command):
        return command[-1] if len(command) > 1 and command[-2] in ("-c", "-lc") else " ".join(command)
    return ""


def _joined(content: Any) -> str:
    """Return the text of what may be a text, or a list of texts and of objects with a text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (one.get("text") if isinstance(one, dict) else one for one in content)
    return "".join(text for text in texts if isinstance(text, str))


def _snake(kind: str) -> str:
    return "".join(f"_{one.lower()}" if one.isupper() else one for one in kind).lstrip("_") or "tool"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
